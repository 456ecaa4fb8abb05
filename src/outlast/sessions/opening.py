"""Open a session: from what was asked for to the spec of a run and its launch. Blocks.

A session is the user's own shell, or a command, on a terminal that nothing but `close` or a stated
limit ends. It runs in the environment of who asks for it, in the server's own without its secrets
(a browser has none to send), or in the folder and environment of a run that is entered.
Where the shell is bash, zsh or fish, it tells its commands (`integration/`); no file of the user's
is touched for that. Who starts it is `scheduler`.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast.errors import Conflict, Invalid
from outlast.ids import new_run_id
from outlast.process import OF_ITS_RUN
from outlast.run import redact
from outlast.run.folder import LAUNCH, SPEC, WORK, RunFolder
from outlast.run.spec import Limits, Policy, Resources, RunSpec, Source, Terminal

EXPERIMENT = "sessions"
# A limit always exists; this one is 50 years, which no machine stays up.
FOR_EVER_S = 50 * 365.25 * 24 * 3600.0
# Shells ignore TERM and obey HUP; what runs in them may want to save something.
STOP_GRACE_S = 5.0
INTEGRATION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration")
# All viewers are, or behave like, an xterm: the terminal that opened it may be gone tomorrow.
TERM = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
# What tells of the terminal in which somebody sat who asked for another one.
_OTHER_TERMINALS = frozenset(
    (
        "ALACRITTY_LOG", "ALACRITTY_SOCKET", "ALACRITTY_WINDOW_ID", "COLORFGBG", "COLUMNS",
        "GNOME_TERMINAL_SCREEN", "GNOME_TERMINAL_SERVICE", "ITERM_PROFILE", "ITERM_SESSION_ID",
        "KITTY_LISTEN_ON", "KITTY_PID", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "LINES", "LS_OPTIONS",
        "SSH_TTY", "STY", "TERM_FEATURES", "TERM_PROGRAM", "TERM_PROGRAM_VERSION",
        "TERM_SESSION_ID", "TERMCAP", "TERMINFO", "TMUX", "TMUX_PANE", "VTE_VERSION",
        "WEZTERM_PANE", "WINDOW", "WINDOWID", "WT_SESSION", "XTERM_VERSION", "ZELLIJ",
    )
)  # fmt: skip
_NO_SHELLS = ("nologin", "false", "sync", "halt", "shutdown")


class Asked(NamedTuple):
    """What somebody wants to be opened."""

    command: tuple[str, ...] = ()  # () = the user's shell
    environ: Mapping[str, str] | None = None  # None = the server's own, without its secrets
    folder: str = ""  # "" = the home folder
    umask: int = 0o022
    name: str = ""
    columns: int = 80
    rows: int = 24
    quota_bytes: int = 1 << 30
    idle_s: float = 0.0
    is_login: bool = False
    target: str = ""  # the compute instance that it is opened on
    by: str = ""


class Opening(NamedTuple):
    """What the scheduler takes."""

    spec: RunSpec
    launch: dict[str, Any]


class _Place(NamedTuple):
    """Where it runs."""

    folder: str
    environ: dict[str, str]
    umask: int
    properties: Mapping[str, str] = {}
    parent: str | None = None


def plan(asked: Asked, entered: RunFolder | None = None) -> Opening:
    """The spec and launch of a session; with `entered`, in that run's folder and environment.

    Raises Invalid, naming the field, or Conflict when the run can't be entered.
    """
    place = _own_place(asked) if entered is None else _entered_place(asked, entered)
    if not os.path.isdir(place.folder):
        raise Invalid.field("folder", place.folder, "there is no such folder")
    environ = _cleaned(place.environ)
    command = asked.command
    if not command or (len(command) == 1 and _is_shell(command[0])):
        shell = command[0] if command else _shell(environ)
        command = _integrated(shell, environ, is_login=asked.is_login)
    spec = RunSpec(
        id=new_run_id(),
        experiment=EXPERIMENT,
        name=asked.name,
        kind="session",
        command=command,
        source=Source("in_place", place.folder),
        resources=Resources(0.0, 0, 0),
        target=asked.target,
        terminal=Terminal(asked.columns, asked.rows, asked.quota_bytes, asked.idle_s),
        limits=Limits(
            max_run_duration_s=FOR_EVER_S,
            stop_grace_s=STOP_GRACE_S,
            leftovers_s=FOR_EVER_S,
            idle_leftovers_s=FOR_EVER_S,
        ),
        policy=Policy(on_logged_error="ignore", retry_on=()),
        properties=place.properties,
        parent=place.parent,
        created_by=asked.by,
    )
    launch = {
        "command": list(command),
        "environ": environ,
        "folder": place.folder,
        "umask": place.umask,
    }
    return Opening(RunSpec.from_dict(spec.to_dict()), launch)


def shown_command(spec: RunSpec) -> str:
    """The command of a session as a person would say it: "bash", not how it is told to tell."""
    return os.path.basename(spec.command[0]) if is_shell(spec) else shlex.join(spec.command)


def is_shell(spec: RunSpec) -> bool:
    """Is the session's command a shell that waits for commands, and no more than that?"""
    words = spec.command
    return any(INTEGRATION in word for word in words) or (
        len(words) >= 1 and _is_shell(words[0]) and all(word in ("-i", "-l") for word in words[1:])
    )


# --- where it runs ---


def _own_place(asked: Asked) -> _Place:
    environ = _own(asked)
    folder = asked.folder or environ.get("HOME") or "/"
    return _Place(folder, environ, asked.umask)


def _own(asked: Asked) -> dict[str, str]:
    """The environment of who asks; who sits in a session or a run opens a session of its own."""
    environ = own_environ() if asked.environ is None else asked.environ
    return {name: value for name, value in environ.items() if not name.startswith(OF_ITS_RUN)}


def own_environ() -> dict[str, str]:
    """The server's environment as far as it is nobody's secret, with what a login sets."""
    user = pwd.getpwuid(os.getuid())
    environ = {
        name: value
        for name, value in os.environ.items()
        if not redact.is_secret_name(name)
        and not redact.looks_secret(value)
        and not name.startswith("OUTLAST_")
    }
    environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    environ.setdefault("SHELL", user.pw_shell)
    environ.setdefault("PATH", os.defpath)
    environ.setdefault("LANG", "C.UTF-8")
    return environ


def _entered_place(asked: Asked, run: RunFolder) -> _Place:
    """While the run isn't over, exactly its own place; afterwards what was kept of it."""
    with open(run.file(SPEC), "rb") as file:
        spec = RunSpec.from_dict(json.load(file))
    live = _live(run)
    base = _own(asked)
    properties = {"entered": spec.id}
    if live is not None:
        environ = {
            **{k: base[k] for k in ("HOME", "SHELL", "USER") if k in base},
            **live["environ"],
        }
        if spec.resources.gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in live.get("gpus") or ())
        folder, umask = str(live["folder"]), int(live.get("umask", asked.umask))
        environ.update(_belonging(run, live, folder))
    else:
        kept = {name: value for name, value in spec.variables.items() if value is not None}
        missing = sorted(set(spec.variables) - set(kept) - set(base))
        if missing:  # they were secret, so they were never written down
            properties["missing_variables"] = ", ".join(missing)
        environ, umask = {**base, **kept}, asked.umask
        work = run.file(WORK)
        folder = work if os.path.isdir(work) else spec.source.folder if spec.source else ""
    if not folder:
        raise Conflict(
            f"run {spec.id} can't be entered: nobody knows the folder in which it ran",
            hint="outlast shell   (then cd to it)",
        )
    return _Place(asked.folder or folder, environ, umask, properties, spec.id)


def _belonging(run: RunFolder, live: Mapping[str, Any], folder: str) -> dict[str, str]:
    """What makes a script that is started here see and log into the run, as its own processes do.

    Not OUTLAST_RUN: by that the run would wait for this shell, and end it when it is canceled.
    """
    environ = dict(live["environ"])
    behind = environ.get("PYTHONPATH")
    kit = str(live.get("kit") or "")
    return {
        "OUTLAST_CONTEXT": run.path,
        "OUTLAST_OUTPUTS": os.path.join(folder, "outputs"),
        "OUTLAST_ATTEMPT": str(live["attempt"]),
        **({"PYTHONPATH": kit + (os.pathsep + behind if behind else "")} if kit else {}),
    }


def _live(run: RunFolder) -> dict[str, Any] | None:
    """The run's launch.json, as long as the run isn't over."""
    try:
        with open(run.file(LAUNCH), "rb") as file:
            launch = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Conflict(f"run {run.run_id} can't be entered: {LAUNCH}: {error}") from None
    if not isinstance(launch, dict) or "attempt" not in launch:
        raise Conflict(
            f"run {run.run_id} can't be entered: it hasn't been started yet",
            hint=f"outlast why {run.run_id}",
        )
    return launch


# --- its environment and shell ---


def _cleaned(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what belongs to another terminal or another run, and with the terminal's own."""
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _OTHER_TERMINALS
        and not name.startswith("VSCODE_")
        and name not in ("OUTLAST_DETACHED", "OUTLAST_TOKEN")
    }
    return {**kept, **TERM}


def _shell(environ: Mapping[str, str]) -> str:
    """The user's shell: as the environment says, else as the system does."""
    for shell in (environ.get("SHELL", ""), pwd.getpwuid(os.getuid()).pw_shell):
        is_one = os.path.isabs(shell) and os.access(shell, os.X_OK)
        if is_one and os.path.basename(shell) not in _NO_SHELLS:
            return shell
    return "/bin/sh"


def _is_shell(word: str) -> bool:
    return os.path.basename(word) in ("bash", "zsh", "fish", "sh", "dash", "ksh", "tcsh")


def _integrated(shell: str, environ: dict[str, str], *, is_login: bool) -> tuple[str, ...]:
    """The words that start this shell so that it tells its commands; `environ` is completed."""
    kind = os.path.basename(shell)
    login = ("-l",) if is_login else ()
    if kind == "bash":
        if is_login:  # a login bash reads no file that it is told: this one reads what it would
            environ["OUTLAST_SHELL_LOGIN"] = "1"
        return (shell, "--init-file", os.path.join(INTEGRATION, "outlast.bash"), "-i")
    if kind == "zsh":
        if "ZDOTDIR" in environ:
            environ["OUTLAST_ZDOTDIR"] = environ["ZDOTDIR"]
        environ["ZDOTDIR"] = os.path.join(INTEGRATION, "zsh")
        return (shell, "-i", *login)
    if kind == "fish":
        script = os.path.join(INTEGRATION, "outlast.fish").replace("\\", "\\\\").replace("'", "\\'")
        return (shell, "-i", *login, "--init-command", f"source '{script}'")
    return (shell, "-i", *login)
