"""The program uv: where it is, which interpreter it gives, what it resolves and installs.

It takes its settings from its own variables and files, and, where those say nothing, from pip's:
whoever has set a mirror up for pip needn't do so again. Everything is told to a `Log`.
"""

from __future__ import annotations

import configparser
import os
import platform
import shutil
import sys
import tempfile
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from outlast.environments.environment import Note
from outlast.environments.log import Log
from outlast.errors import EnvironmentFailed

_FETCH_PYTHON_S = 180.0
_FIND_PYTHON_S = 60.0
# Of the caller's environment: they'd make uv or an interpreter look elsewhere.
_LEFT_OUT = (
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON",
    "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_VENV_SEED",
)  # fmt: skip
# pip's settings and uv's for the same; a value of pip's may be a list.
_PIP_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}
# Whom the machine trusts, as pip does; uv by itself trusts a list of its own.
_TRUSTED = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


class Interpreter(NamedTuple):
    """A Python to make an environment with."""

    path: str
    version: str  # as "3.11.7"
    notes: Tuple[Note, ...] = ()


def program(environ: Mapping[str, str]) -> str:
    """uv beside this interpreter, else on the PATH. Raises EnvironmentFailed."""
    beside = os.path.join(os.path.dirname(sys.executable), "uv")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("uv", path=environ.get("PATH"))
    if found is None:
        raise EnvironmentFailed("the program uv is missing", hint="pip install uv")
    return found


def clean(environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment for uv and conda: as the caller's, but no other environment is active."""
    kept = {name: value for name, value in environ.items() if name not in _LEFT_OUT}
    for name, value in _from_pip(kept).items():
        kept.setdefault(name, value)
    if any(map(os.path.exists, _TRUSTED)):
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    kept.update(UV_NO_PROGRESS="1", NO_COLOR="1", UV_PYTHON_INSTALL_BIN="0")
    return kept


def _from_pip(environ: Mapping[str, str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    home = environ.get("HOME", "/")
    files = [path.replace("~", home, 1) for path in _PIP_FILES]
    parser = configparser.RawConfigParser(strict=False)
    for path in [*files, environ.get("PIP_CONFIG_FILE", os.devnull)]:
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, ValueError, configparser.Error):
            continue  # pip would complain; what it says isn't needed here
    for setting, name in _PIP_SETTINGS.items():
        value = environ.get("PIP_" + setting.upper().replace("-", "_"), "")
        if not value and parser.has_option("global", setting):
            value = parser.get("global", setting)
        if not value:
            continue
        if setting == "no-index":
            value = "1" if value.lower() in ("1", "true", "yes", "on") else "0"
        found[name] = (",".join if setting == "find-links" else " ".join)(value.split())
    return found


def interpreter(wanted: str, environ: Mapping[str, str], log: Log) -> Interpreter:
    """The Python of this version; uv fetches it if it can, else the nearest, with a note.

    "" is the one that this program runs on. Raises EnvironmentFailed without uv.
    """
    own = Interpreter(sys.executable, platform.python_version())
    if not wanted or wanted == own.version:
        return own
    uv = program(environ)
    found = _found(uv, wanted, environ, log)
    if found is not None:
        return found
    log.say(f"Python {wanted} isn't on this machine; uv tries to fetch it")
    fetch = [uv, "python", "install", "--no-bin", wanted]
    if log.run(fetch, environ, within_s=_FETCH_PYTHON_S).code == 0:
        found = _found(uv, wanted, environ, log)
    if found is None:
        minor = ".".join(wanted.split(".")[:2])
        near = _found(uv, minor, environ, log) if minor != wanted else None
        found = near or own
        text = (
            f"Python {wanted} was asked for, but isn't on this machine and couldn't be fetched; "
            f"Python {found.version} is used instead"
        )
        log.say(text)
        found = found._replace(notes=(("python_replaced", text),))
    return found


def _found(uv: str, wanted: str, environ: Mapping[str, str], log: Log) -> Interpreter | None:
    find = [uv, "python", "find", "--system", "--no-project", "--no-python-downloads", wanted]
    done = log.run(find, environ, within_s=_FIND_PYTHON_S, is_quiet=True)
    path = done.text.strip()
    if done.code != 0 or not path:
        return None
    asked = [path, "-I", "-S", "-c", "import platform; print(platform.python_version())"]
    version = log.run(asked, environ, within_s=_FIND_PYTHON_S, is_quiet=True)
    return Interpreter(path, version.text.strip()) if version.code == 0 else None


def compiled(
    lines: Sequence[str], python: str, environ: Mapping[str, str], log: Log, *, index_url: str
) -> Tuple[str, str]:
    """The lock of these requirements, and the options that its installation needs.

    Raises EnvironmentFailed with uv's reason.
    """
    options, flags, packages = _split(lines, index_url)
    if not packages:
        return "", options
    with tempfile.TemporaryDirectory(prefix="outlast-environment-") as folder:
        wanted, lock = os.path.join(folder, "requirements.in"), os.path.join(folder, "lock.txt")
        with open(wanted, "w", encoding="utf-8") as file:
            file.write(options + "\n".join(packages) + "\n")
        command = [program(environ), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--generate-hashes", "--python", python, *flags, "-o", lock, wanted]
        done = log.run(command, environ, folder=folder)
        if done.code != 0:
            raise EnvironmentFailed(f"uv can't resolve its packages: {done.reason}")
        with open(lock, encoding="utf-8") as file:
            return file.read(), options


def _split(lines: Sequence[str], index_url: str) -> Tuple[str, List[str], List[str]]:
    """Options as lines of a requirements file, flags of the command line, and packages."""
    options = [f"--index-url {index_url}"] if index_url else []
    flags: List[str] = []
    packages: List[str] = []
    for line in lines:
        name, _, value = line.replace("=", " ", 1).partition(" ")
        if not line.startswith("-") or name in ("-e", "--editable"):
            packages.append(line)
        elif name == "--pre":
            flags += ["--prerelease", "allow"]
        elif name == "--trusted-host":
            flags += ["--allow-insecure-host", value.strip()]
        elif name != "--prefer-binary":  # uv does so anyway
            options.append(line)
    return "".join(f"{line}\n" for line in options), flags, packages


def install(
    lock: str, options: str, prefix: str, environ: Mapping[str, str], log: Log, *, is_sync: bool
) -> None:
    """Install what the lock lists into the environment at `prefix`, compiled. EnvironmentFailed."""
    path = os.path.join(prefix, "lock.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(options + lock)
    verb = ["sync", path] if is_sync else ["install", "-r", path]
    python = os.path.join(prefix, "bin", "python")
    # Once, here: else each of the runs to come would compile what it imports, or do without.
    command = [program(environ), "pip", verb[0], "--python", python, "--compile-bytecode"]
    done = log.run([*command, *verb[1:]], environ, folder=prefix)
    if done.code != 0:
        raise EnvironmentFailed(f"uv can't install its packages: {done.reason}")


def made_venv(prefix: str, python: str, prompt: str, environ: Mapping[str, str], log: Log) -> None:
    """An empty virtual environment that may be moved. Raises EnvironmentFailed."""
    command = [program(environ), "venv", "--relocatable", "--no-project", "--quiet"]
    command += ["--prompt", prompt, "--python", python, prefix]
    done = log.run(command, environ)
    if done.code != 0:
        raise EnvironmentFailed(f"uv can't make the environment's folder: {done.reason}")
