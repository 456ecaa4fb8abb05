"""Print the completion script of a shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete verbs and options.

    \b
    bash:  outlast completion bash >> ~/.bashrc
    zsh:   outlast completion zsh >> ~/.zshrc
    fish:  outlast completion fish > ~/.config/fish/completions/outlast.fish
    """
    from click.shell_completion import get_completion_class

    from outlast.cli.main import outlast

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    click.echo(kind(outlast, {}, "outlast", "_OUTLAST_COMPLETE").source())
