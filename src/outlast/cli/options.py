"""Options and forms that several verbs share; values: durations, sizes, NAME=VALUE pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from outlast import units
from outlast.errors import Invalid
from outlast.ids import LATEST

MOST_RETRIES = 999
# What a shell reads as more than a part of a word.
SHELLS_OWN = frozenset("|&;<>()$`*?[]{}~!#\n")

Function = TypeVar("Function", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds from "90s", "2h30m"; not fewer than `least_s`."""

    name = "duration"

    def __init__(self, least_s: float = 0.0) -> None:
        self.least_s = least_s

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> float:
        try:
            found = units.parse_duration(_field(param), value) if isinstance(value, str) else value
        except Invalid as error:
            self.fail(f"{value!r}: {error.facts.get('remedy', error.message)}", param, context)
        if found < self.least_s:
            self.fail(f"{value!r}: give {units.duration(self.least_s)} or more", param, context)
        return found


class Size(click.ParamType[int]):
    """Bytes from "512MB", "2GiB"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> int:
        try:
            return units.parse_size(_field(param), value) if isinstance(value, str) else value
        except Invalid as error:
            self.fail(f"{value!r}: {error.facts.get('remedy', error.message)}", param, context)


class Amount(click.ParamType[float]):
    """A number that is 0 or more, and finite."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> float:
        try:
            found = float(value)
        except ValueError:
            found = -1.0
        if not 0 <= found < float("inf"):
            self.fail(f"{value!r}: give a number, 0 or more", param, context)
        return found


class Pair(click.ParamType[tuple[str, str]]):
    """("NAME", "VALUE") from "NAME=VALUE"."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r}: give NAME=VALUE", param, context)
        return name, text


class NameVersion(click.ParamType[tuple[str, str]]):
    """("NAME", "VERSION") from NAME, NAME:3 or NAME:ALIAS; without one, the newest."""

    name = "name:version"

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, _, version = value.partition(":")
        return name, version or LATEST


class Numbered(NameVersion):
    """The same where only a number may name the version: another word may mean another one soon."""

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> tuple[str, str]:
        name, version = super().convert(value, param, context)
        if not version.isdigit():
            raise click.UsageError("name the version by its number, as NAME:3", context)
        return name, version


class Setting(click.ParamType[tuple[str, str]]):
    """("NAME", "VALUE") from "NAME=VALUE"; ("", "FILE or NAME") from anything without "="."""

    name = "name=value|file|name"

    def convert(self, value: Any, param: click.Parameter | None, context: Any) -> tuple[str, str]:
        if "=" in str(value):
            return Pair().convert(value, param, context)
        return "", str(value)


def _field(param: click.Parameter | None) -> str:
    return param.opts[0] if param is not None else "value"


def listing(function: Function) -> Function:
    """The options of every list."""
    for option in reversed(
        (
            click.option("--json", "as_json", is_flag=True, help="As JSON, one document."),
            click.option("-q", "--quiet", is_flag=True, help="Ids only, one a line."),
            click.option(
                "-n",
                "--limit",
                type=click.IntRange(1),
                default=20,
                show_default=True,
                metavar="N",
                help="At most so many.",
            ),
            click.option("--since", type=Duration(), help="Only of the last DURATION, as 2h."),
            click.option(
                "--status",
                metavar="STATUS",
                help="Only with this status, as Failed; several by commas.",
            ),
            click.option("-e", "--experiment", metavar="NAME", help="Only of this experiment."),
            click.option(
                "--kind",
                metavar="KIND",
                help="Only of this kind; session, tunnel and all show more.",
            ),
            click.option(
                "--where",
                metavar="CONDITION",
                help='Only where this holds, as "metrics.loss < 0.1".',
            ),
            click.option(
                "--sort",
                metavar="KEY",
                help="By created, duration, metrics.NAME, tags.NAME, …; - reverses.",
            ),
        )
    ):
        function = option(function)
    return function


class Deeds(click.Group):
    """A verb with verbs of its own, each told in full: click cuts what is longer than a line."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name: deed.help or "" for name, deed in self.commands.items()}
        rows = [(name, " ".join(told[name].split("\n\n")[0].split())) for name in sorted(told)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


class AskingCommand(click.Command):
    """A verb with `--output PATH [--check CMD]`: click forgets the order, so it is noted before."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        end = _own(args, self.get_params(context))
        return super().parse_args(context, _with_numbered_checks(args, end, context))


def _own(args: list[str], params: Sequence[click.Parameter]) -> int:
    """How many of the arguments are the verb's: the command after them has options of its own."""
    options = [param for param in params if isinstance(param, click.Option) and not param.is_flag]
    taking = {name for option in options for name in option.opts}
    at = 0
    while at < len(args) and args[at].startswith("-") and args[at] not in ("-", "--"):
        arg = args[at]
        if arg.startswith("--"):
            is_open = arg in taking
        else:  # as -d, -eNAME, -de NAME
            taker = next((i for i, letter in enumerate(arg) if f"-{letter}" in taking), 0)
            is_open = taker == len(arg) - 1
        at += 2 if is_open else 1
    return min(at, len(args))


def _with_numbered_checks(args: list[str], end: int, context: click.Context) -> list[str]:
    """`--check CMD` as `--check=N=CMD`, N being the number of the --output before it."""
    outputs = 0
    numbered: list[str] = []
    rest = iter(args[:end])
    for arg in rest:
        outputs += arg == "--output" or arg.startswith("--output=")
        if arg == "--check" or arg.startswith("--check="):
            command = arg[len("--check=") :] if "=" in arg else next(rest, "")
            if not outputs or not command:
                raise click.UsageError(
                    "--check CMD belongs after the --output PATH that it checks", context
                )
            numbered.append(f"--check={outputs - 1}={command}")
        else:
            numbered.append(arg)
    return numbered + args[end:]


def asking(function: Function) -> Function:
    """The options of `run` and `submit`: what a run is asked with."""
    for option in reversed(_ASKING):
        function = option(function)
    return function


_ASKING: Sequence[Callable[[Any], Any]] = (
    click.option("--name", default="", help="A name, by which it is found as well."),
    click.option("-e", "--experiment", default="default", help="What it belongs to [default]."),
    click.option(
        "--output", "outputs", multiple=True, metavar="PATH",
        help="A file or folder that must be produced; may be repeated.",
    ),
    click.option(
        "--check", "checks", multiple=True, metavar="CMD",
        help="CMD must exit 0 when the run ends; for the --output before it.",
    ),
    click.option("--cpus", type=Amount(), metavar="N", help="CPUs to wait for [1]."),
    click.option("--memory", type=Size(), help="Memory to wait for, as 4GB [0]."),
    click.option("--gpus", type=click.IntRange(0), metavar="N", help="GPUs to wait for [0]."),
    click.option("--compute", default="", metavar="NAME", help="Wait for a node of this target."),
    click.option(
        "--nodes", type=click.IntRange(1), metavar="N",
        help="Start it as ranks, on so many nodes [1].",
    ),
    click.option(
        "--processes", type=click.IntRange(1), metavar="N", help="Start so many ranks a node [1]."
    ),
    click.option(
        "--ranks", type=click.Choice(["torch", "mpi", "tensorflow"]),
        help="Which variables tell a rank who it is [torch].",
    ),
    click.option("--memory-limit", type=Size(), help="End it when it uses more memory."),
    click.option("--max-time", type=Duration(), help="End it when it runs longer [30d]."),
    click.option("--grace", type=Duration(), help="Time between TERM and KILL [10s]."),
    click.option(
        "--retries", type=click.IntRange(0, MOST_RETRIES), default=0, metavar="N",
        help="Try again so often [0].",
    ),
    click.option(
        "--retry-on", multiple=True, type=click.Choice(["lost", "failed"]),
        help="What is tried again; may be repeated [lost].",
    ),
    click.option(
        "--retry-exit-code", "retry_codes", multiple=True, type=click.IntRange(1, 255),
        metavar="CODE", help="Try again after this exit code; may be repeated.",
    ),
    click.option(
        "--leftovers", type=click.Choice(["wait", "terminate", "fail"]),
        help="What becomes of processes that outlive the command [wait].",
    ),
    click.option("--leftovers-wait", type=Duration(), help="Wait for them at most this long [5m]."),
    click.option(
        "--on-logged-error", type=click.Choice(["ignore", "warn", "fail"]),
        help="When the exit code is 0, but the output has errors [warn].",
    ),
    click.option(
        "--after", multiple=True, metavar="RUN",
        help="Start when RUN is Completed; may be repeated.",
    ),
    click.option(
        "--tag", "tags", multiple=True, type=Pair(), metavar="N=V", help="A tag; may be repeated."
    ),
    click.option(
        "--param", "params", multiple=True, type=Pair(), metavar="N=V",
        help="A parameter; may be repeated.",
    ),
    click.option(
        "--env", "settings", multiple=True, type=Setting(), metavar="N=V|FILE|NAME",
        help="A variable (may be repeated); or the environment to run in: requirements.txt, "
        "environment.yml, pyproject.toml, a Python or venv, or a saved NAME.",
    ),
    click.option(
        "--cwd", default=".", metavar="FOLDER",
        help="The folder to run in, or to take the snapshot of [here].",
    ),
)  # fmt: skip


def request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of `outlast.submit` for these options; what wasn't given stays the default."""
    outputs: list[dict[str, Any]] = [{"path": path} for path in asked["outputs"]]
    for check in asked["checks"]:
        number, _, command = check.partition("=")
        outputs[int(number)]["check"] = _words(command)
    retries = asked["retries"]
    retry_on = asked["retry_on"] or (() if asked["retry_codes"] else ("lost",))
    return {
        "name": asked["name"],
        "experiment": asked["experiment"],
        "folder": asked["cwd"],
        "outputs": outputs,
        "resources": _given(cpus=asked["cpus"], memory_bytes=asked["memory"], gpus=asked["gpus"]),
        "target": asked["compute"],
        "distributed": _given(
            nodes=asked["nodes"], processes_per_node=asked["processes"], kind=asked["ranks"]
        ),
        "limits": _given(
            memory_bytes=asked["memory_limit"],
            max_run_duration_s=asked["max_time"],
            stop_grace_s=asked["grace"],
            leftovers_s=asked["leftovers_wait"],
        ),
        "policy": _given(
            leftovers=asked["leftovers"],
            on_logged_error=asked["on_logged_error"],
            max_attempts=retries + 1,
            retry_on=list(retry_on),
            retry_exit_codes=list(asked["retry_codes"]),
        ),
        "tags": dict(asked["tags"]),
        "parameters": dict(asked["params"]),
        "variables": {name: value for name, value in asked["settings"] if name},
        "environment": _environment([value for name, value in asked["settings"] if not name]),
    }


def _words(command: str) -> list[str]:
    """A check's command line: through a shell when it means one, as in "test -s a && test -s b"."""
    if SHELLS_OWN.intersection(command):
        return ["/bin/sh", "-c", command]
    import shlex

    try:
        return shlex.split(command)
    except ValueError as error:
        raise Invalid.field("--check", command, f"close the quote ({error})") from None


def _environment(named: Sequence[str]) -> str | None:
    if len(named) > 1:
        raise Invalid.field("--env", named[1], f"a run has one environment, here {named[0]!r}")
    return named[0] if named else None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
