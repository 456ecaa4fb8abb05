"""Show or write the configuration that ssh, scp and VS Code need."""

from __future__ import annotations

from pathlib import Path

import click

from outlast.cli import reach, show

USER_CONFIG = "~/.ssh/config"


@click.command()
@click.argument("target", default="local")
@click.option("--write", "is_written", is_flag=True, help=f"Let {USER_CONFIG} include it, once.")
@click.option(
    "--direct",
    metavar="HOST",
    multiple=True,
    help="Also for HOST, which you reach without a tunnel: keep firewalls from forgetting you.",
)
@click.option(
    "--sshd", is_flag=True, help="Instead: an sshd_config for an instance reached directly."
)
def command(target: str, is_written: bool, direct: tuple[str, ...], sshd: bool) -> None:
    """The Host block by which ssh, scp, rsync and VS Code reach TARGET through a tunnel.

    \b
    outlast ssh-config --write     then: ssh outlast-local, scp, VS Code
    outlast ssh-config --sshd      for /etc/ssh/sshd_config of an instance
    """
    from outlast.ssh import config, daemon, targets

    if sshd:
        click.echo(daemon.instance_config(daemon.account()), nl=False)
        return
    workspace = reach.workspace()
    url = workspace.url
    files = [targets.write_block(workspace.connection, workspace.home, target, url)]
    for host in direct:
        block = config.direct_block(host)
        files.append(config.write_block(workspace.home, f"direct-{host}", block))
    if not is_written:
        click.echo("\n".join(file.read_text() for file in files), nl=False)
        return
    is_new = config.include(workspace.home, Path(USER_CONFIG).expanduser())
    show.say(f"{USER_CONFIG} {'now includes' if is_new else 'includes'} {files[0].parent}/*.conf")
    click.echo(f"ssh {config.alias(target, url)}")
