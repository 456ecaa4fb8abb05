"""The command line's entry: finds the verb's file, calls it, turns errors into two lines.

Exit codes of Outlast's own are in `cli/exits.py` and docs/cli.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from outlast import __version__
from outlast.cli import exits
from outlast.errors import OutlastError
from outlast.stdout import whole

COMMANDS = Path(__file__).parent / "commands"


class Verbs(click.Group):
    """The verbs, listed from the folder: adding one is adding a file."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(path.stem.replace("_", "-") for path in COMMANDS.glob("[a-z]*.py"))

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        stem = name.replace("-", "_")
        if "_" in name or not stem.isidentifier() or not _file(name).is_file():
            return None
        command: click.Command = import_module(f"outlast.cli.commands.{stem}").command
        return command

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **options)
        except BrokenPipeError:  # while it prints its help
            raise click.exceptions.Exit(_nobody_reads()) from None

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:  # caught here, since click would exit with 1
            return _nobody_reads()

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # 3 ms that only a mistake pays

            near = get_close_matches(args[0], self.list_commands(context), 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", context) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Each verb with the first line of its file: nothing is imported for it."""
        rows = [(name, _first_line(_file(name))) for name in self.list_commands(context)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _file(verb: str) -> Path:
    """Where a verb is: `ssh-config` in ssh_config.py."""
    return COMMANDS / f"{verb.replace('-', '_')}.py"


def _first_line(path: Path) -> str:
    with path.open() as file:
        return file.readline().strip().strip('"').rstrip(".")


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="outlast %(version)s")
@click.option(
    "--home",
    metavar="FOLDER",
    help="Workspace folder (default: OUTLAST_HOME, else ~/.outlast).",
)
def outlast(home: str | None) -> None:
    """Runs that outlast your connection, and a straight answer to "why isn't it finished?".

    \b
    outlast run -- python train.py      run it, follow it; Ctrl-C only detaches
    outlast ls                          what runs, and what ran
    outlast why @last                   why it is as it is
    """
    if home is not None:
        os.environ["OUTLAST_HOME"] = str(Path(home).expanduser().absolute())
        os.environ.pop("OUTLAST_URL", None)  # the workspace in this folder is meant


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code. Never a traceback for a user's mistake."""
    _open_what_is_closed()
    sys.stdout = whole(sys.stdout)
    try:
        code = outlast.main(arguments, prog_name="outlast", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else exits.OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _wrong_usage(error)
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:  # by the last flush
        return _nobody_reads()
    except OutlastError as error:
        if os.environ.get("OUTLAST_DEBUG"):
            raise
        _print_error(error.message, error.hint)
        return exits.of_error(error)
    except OSError as error:
        if os.environ.get("OUTLAST_DEBUG"):
            raise
        _print_os_error(error)
        return exits.FAILED


def _open_what_is_closed() -> None:
    """Of a program started with `>&-`, the next file that it opens would be its stdout."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, fd)
        if null != fd:
            os.close(null)
        setattr(sys, name, os.fdopen(fd, mode, closefd=False))


def _wrong_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # `outlast` alone: the help
    else:
        verb = context.command_path if context is not None else "outlast"
        _print_error(error.format_message(), f"{verb} --help")
    return exits.USAGE


def _nobody_reads() -> int:
    """The reader (head, less) has seen enough. Python would complain again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return exits.BROKEN_PIPE


def _print_os_error(error: OSError) -> None:
    where = f"{error.filename}: " if error.filename else ""
    hint = None
    if isinstance(error, FileNotFoundError) and not where and not _has_folder():
        where, hint = "the current folder was deleted: ", "cd .."
    _print_error(f"{where}{error.strerror or error}", hint)


def _has_folder() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _print_error(message: str, hint: str | None) -> None:
    from outlast.printable import printable  # only a mistake pays

    print(f"error: {printable(message)}", file=sys.stderr)
    if hint:
        print(f"  try: {printable(hint)}", file=sys.stderr)
