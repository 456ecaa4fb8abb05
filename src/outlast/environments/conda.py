"""Kind conda: packages of conda channels, and pip's on top.

Made by micromamba, mamba, conda or pixi, whichever is on the PATH. On a machine without any of them
the names are taken to PyPI's, and that is said. A conda environment can't be moved, so it is made
where it will lie; what is in it is known when it is made.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import List, Mapping, Optional, Tuple

from outlast.environments import names, uv, venv
from outlast.environments.environment import Resolved
from outlast.environments.log import Log
from outlast.errors import EnvironmentFailed
from outlast.run.environment import Environment

PROGRAMS = ("micromamba", "mamba", "conda", "pixi")  # the quickest first


def program(environ: Mapping[str, str]) -> str:
    """The path of the program that makes conda environments here; "" when there is none."""
    found = (shutil.which(name, path=environ.get("PATH")) for name in PROGRAMS)
    return next((path for path in found if path), "")


def resolve(wanted: Environment, environ: Mapping[str, str], log: Log) -> Resolved:
    """As environment.Kind says."""
    if not program(environ):
        return _resolved_by_pypi(wanted, environ, log)
    return Resolved("", "", _python(wanted), is_in_place=True)


def _resolved_by_pypi(wanted: Environment, environ: Mapping[str, str], log: Log) -> Resolved:
    mapped = names.mapped(wanted.conda)
    text = f"conda isn't on this machine: {_counted(len(mapped.pip))} taken from PyPI"
    if mapped.renamed:
        text += f" ({', '.join(mapped.renamed)})"
    if mapped.left_out:
        text += f"; left out, since PyPI has no such: {', '.join(mapped.left_out)}"
    log.say(text)
    plain = wanted._replace(
        kind="pip", conda=(), pip=(*mapped.pip, *wanted.pip), python=wanted.python or mapped.python
    )
    resolved = venv.resolve(plain, environ, log)
    return resolved._replace(notes=(*resolved.notes, ("conda_mapped", text)))


def _counted(number: int) -> str:
    return "1 package was" if number == 1 else f"{number} packages were"


def _python(wanted: Environment) -> str:
    return wanted.python or names.mapped(wanted.conda).python


def install(
    wanted: Environment, resolved: Resolved, prefix: str, environ: Mapping[str, str], log: Log
) -> str:
    """As environment.Kind says."""
    if not resolved.is_in_place:
        return venv.install(wanted, resolved, prefix, environ, log)
    maker = program(environ)
    if os.path.basename(maker) == "pixi":
        _made_by_pixi(maker, wanted, prefix, environ, log)
    else:
        _made_by_conda(maker, wanted, prefix, environ, log)
    if not os.access(os.path.join(prefix, "bin", "python"), os.X_OK):
        raise EnvironmentFailed(f"{os.path.basename(maker)} made an environment without Python")
    if wanted.pip:
        lines, options = "\n".join(wanted.pip) + "\n", ""
        if wanted.index_url:
            options = f"--index-url {wanted.index_url}\n"
        uv.install(lines, options, prefix, environ, log, is_sync=False)
    return _installed(prefix, environ, log)


def _made_by_conda(
    maker: str, wanted: Environment, prefix: str, environ: Mapping[str, str], log: Log
) -> None:
    command = [maker, "create", "--yes", "--prefix", prefix]
    if wanted.channels:
        command += ["--override-channels"]
        command += [word for channel in wanted.channels for word in ("--channel", channel)]
    done = log.run([*command, *_specs(wanted)], environ)
    if done.code != 0:
        raise EnvironmentFailed(f"{os.path.basename(maker)} can't make it: {done.reason}")


def _specs(wanted: Environment) -> List[str]:
    has_python = any(names.split(spec)[0] == "python" for spec in wanted.conda)
    if has_python:
        return list(wanted.conda)
    python = wanted.python
    mark = "=" if python[:1].isdigit() else ""
    return [f"python{mark}{python}", *wanted.conda]


def _made_by_pixi(
    maker: str, wanted: Environment, prefix: str, environ: Mapping[str, str], log: Log
) -> None:
    """pixi makes an environment inside a project: `prefix` then leads to it."""
    os.makedirs(prefix)
    channels = json.dumps(list(wanted.channels) or ["conda-forge"])
    system = {"aarch64": "linux-aarch64"}.get(os.uname().machine, "linux-64")
    lines = [f'[workspace]\nname = "outlast"\nchannels = {channels}\nplatforms = ["{system}"]']
    lines.append("[dependencies]")
    for spec in _specs(wanted):
        name, version = names.split(spec)
        lines.append(f"{json.dumps(name)} = {json.dumps(version or '*')}")
    manifest = os.path.join(prefix, "pixi.toml")
    with open(manifest, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    done = log.run([maker, "install", "--manifest-path", manifest], environ)
    if done.code != 0:
        raise EnvironmentFailed(f"pixi can't make it: {done.reason}")
    for name in ("bin", "lib", "conda-meta"):
        os.symlink(os.path.join(".pixi", "envs", "default", name), os.path.join(prefix, name))


def _installed(prefix: str, environ: Mapping[str, str], log: Log) -> str:
    """What conda and pip have installed, one package a line."""
    found: List[str] = []
    meta = os.path.join(prefix, "conda-meta")
    if os.path.isdir(meta):
        found = [entry[:-5] for entry in os.listdir(meta) if entry.endswith(".json")]
    frozen = _frozen(prefix, environ, log)
    return "".join(f"{line}\n" for line in (*sorted(found), *frozen))


def _frozen(prefix: str, environ: Mapping[str, str], log: Log) -> Tuple[str, ...]:
    python = os.path.join(prefix, "bin", "python")
    command = [uv.program(environ), "pip", "freeze", "--python", python]
    done = log.run(command, environ, is_quiet=True)
    return tuple(done.text.splitlines()) if done.code == 0 else ()


def chosen(environ: Mapping[str, str]) -> Optional[str]:
    """The name of the program that would be used; None when PyPI stands in."""
    path = program(environ)
    return os.path.basename(path) if path else None
