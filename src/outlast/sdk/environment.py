"""What a run's command runs in: said in Python, read from a file, or saved under a name.

Building is the run's own affair, before its command starts; nothing is installed here. Paths in a
file of requirements are taken from that file's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlast.errors import Invalid
from outlast.run import environment, redact

if TYPE_CHECKING:
    from outlast.sdk.workspace import Workspace

_PATH_OPTIONS = ("-e", "--editable", "-f", "--find-links")


class Environment:
    """One environment: packages of PyPI (`pip`) and of conda, or an interpreter that is there."""

    def __init__(
        self,
        name: str = "",
        *,
        pip: Sequence[str] = (),
        conda: Sequence[str] = (),
        channels: Sequence[str] = (),
        python: str = "",
        index_url: str = "",
        interpreter: str | Path = "",
        variables: Mapping[str, str] | None = None,
        docker: Mapping[str, Any] | None = None,
        version: str = "",
    ) -> None:
        """`pip`: lines as in requirements.txt; `conda`: as "numpy=1.26". `python`: as "3.11".

        `interpreter`: the path of an existing Python, instead of packages. `variables` are set for
        the command; a run's own win. `docker` is only kept. Raises Invalid, naming the field.
        """
        kind = "existing" if interpreter else "conda" if conda or channels else "pip"
        asked = {
            "name": name, "version": version, "kind": kind, "python": str(python),
            "pip": [line for text in pip for line in _absolute(text, Path.cwd())],
            "conda": list(conda), "channels": list(channels), "index_url": index_url,
            "interpreter": os.path.abspath(interpreter) if interpreter else "",
            "variables": dict(variables or {}), "docker": dict(docker or {}),
        }  # fmt: skip
        self.definition = environment.checked("environment", asked)

    def __repr__(self) -> str:
        return f"Environment({environment.Environment.of(self.definition).title!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment) and self.definition == other.definition

    __hash__ = None  # type: ignore[assignment]  # its definition may be read and changed

    @property
    def name(self) -> str:
        return str(self.definition.get("name", ""))

    @property
    def version(self) -> str:
        """Once it is saved; "" before."""
        return str(self.definition.get("version", ""))

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Environment:
        """Of the fields that run.environment names. Raises Invalid."""
        made = cls()
        made.definition = environment.checked("environment", definition)
        return made

    @classmethod
    def from_file(cls, path: str | Path, *, name: str = "") -> Environment:
        """From requirements.txt, environment.yml, pyproject.toml, an interpreter, or a venv folder.

        Of pyproject.toml the dependencies and `requires-python` count. Raises Invalid.
        """
        path = Path(path).expanduser().absolute()
        if path.is_dir():
            return cls._existing(path, name)
        if not path.is_file():
            raise Invalid.field("environment", str(path), "there is no such file")
        if path.suffix in (".yml", ".yaml"):
            return cls._from_conda(path, name)
        if path.suffix == ".toml":
            return cls._from_pyproject(path, name)
        if path.suffix in (".txt", ".in"):
            return cls(name, pip=list(_requirements(path)))
        if os.access(path, os.X_OK):
            return cls._existing(path, name)
        remedy = "give requirements.txt, environment.yml, pyproject.toml, or a Python interpreter"
        raise Invalid.field("environment", str(path), remedy)

    @classmethod
    def _existing(cls, path: Path, name: str) -> Environment:
        if path.is_dir():
            python = path / "bin" / "python"
            if not python.exists():
                remedy = "there is no bin/python in this folder: it is no environment"
                raise Invalid.field("environment", str(path), remedy)
            path = python
        return cls(name, interpreter=path)

    @classmethod
    def _from_conda(cls, path: Path, name: str) -> Environment:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        except (YAMLError, UnicodeDecodeError) as error:
            problem = str(error).split("\n")[0]
            raise Invalid.field("environment", str(path), f"it isn't YAML: {problem}") from None
        if not isinstance(data, dict) or not isinstance(data.get("dependencies", []), list):
            remedy = "a conda file has `dependencies`, a list"
            raise Invalid.field("environment", str(path), remedy)
        python, conda, pip = _split(data.get("dependencies") or [], path)
        made = cls(
            name or str(data.get("name") or ""),
            python=python,
            conda=conda,
            pip=pip,
            channels=[str(channel) for channel in data.get("channels") or ()],
            variables={str(k): str(v) for k, v in (data.get("variables") or {}).items()},
        )
        return cls.of({**made.definition, "kind": "conda"})

    @classmethod
    def _from_pyproject(cls, path: Path, name: str) -> Environment:
        import tomllib

        try:
            project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid.field("environment", str(path), f"it isn't TOML: {error}") from None
        pip = [str(line) for line in project.get("dependencies", ())]
        python = str(project.get("requires-python", "")).replace(" ", "")
        return cls(name or str(project.get("name", "")), pip=pip, python=python)

    def save(self, *, workspace: Workspace | None = None) -> Environment:
        """Keep it in the workspace under its name; returns it with its version (1, 2, 3 …).

        The same as the newest version again is that version. Raises Invalid without a name.
        """
        answer = _workspace(workspace).connection.post(
            "/api/environments/named", {"definition": self.definition}, repeat=True
        )
        return Environment.of(answer["definition"])

    @classmethod
    def get(
        cls, name: str, version: str = "", *, workspace: Workspace | None = None
    ) -> Environment:
        """One that was saved; by default its newest version. Raises NotFound."""
        from outlast.transport.connection import in_path

        path = f"/api/environments/named/{in_path(name)}"
        return cls.of(_workspace(workspace).connection.get(path, version=version)["definition"])


Asked = str | Path | Environment | Mapping[str, Any] | None


def asked_for(asked: Asked, workspace: Workspace) -> dict[str, Any]:
    """The definition that `environment=` or `--env` means: a file's, a saved one's, or itself.

    A string is the path of a file or folder that is there, else NAME or NAME:VERSION.
    """
    if asked is None:
        return {}
    if isinstance(asked, Environment):
        return dict(asked.definition)
    if isinstance(asked, Mapping):
        return environment.checked("environment", asked)
    if isinstance(asked, Path) or "/" in asked or Path(asked).exists():
        return Environment.from_file(asked).definition
    if Path(asked).suffix in (".txt", ".in", ".yml", ".yaml", ".toml"):
        raise Invalid.field("environment", asked, "there is no such file")
    name, _, version = asked.partition(":")
    return Environment.get(name, version, workspace=workspace).definition


def shown(definition: Mapping[str, Any]) -> dict[str, Any]:
    """As a spec keeps it: without the values of secret variables."""
    if not definition.get("variables"):
        return dict(definition)
    kept = {
        name: None if redact.is_secret_name(name) or redact.looks_secret(value or "") else value
        for name, value in definition["variables"].items()
    }
    return {**definition, "variables": kept}


def _workspace(given: Workspace | None) -> Workspace:
    from outlast.sdk.workspace import Workspace

    return given or Workspace()


def _split(dependencies: Sequence[Any], path: Path) -> tuple[str, list[str], list[str]]:
    """Python's version, conda's packages, and pip's, of a conda file's list."""
    python, conda, pip = "", [], []
    for item in dependencies:
        if isinstance(item, Mapping):
            pip += [
                line
                for text in item.get("pip") or ()
                for line in _line(str(text), path.parent, (path,))
            ]
            continue
        text = str(item).strip()
        name = text.split("=")[0].split(" ")[0].split("<")[0].split(">")[0]
        version = text[len(name) :].strip().lstrip("=").split("=")[0].removesuffix(".*")
        if name == "python" and version[:1] not in ("", "*"):
            python = version.replace(" ", "")
        elif name != "python":
            conda.append(text)
    return python, conda, pip


def _requirements(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[str]:
    """The lines of a requirements file, with those of the files that it names."""
    if path in seen:
        raise Invalid.field("environment", str(path), "this file names itself")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid.field("environment", str(path), f"it can't be read: {error}") from None
    for line in text.replace("\\\n", " ").splitlines():
        yield from _line(line, path.parent, (*seen, path))


def _line(line: str, folder: Path, seen: tuple[Path, ...]) -> Iterator[str]:
    line = line.split(" #")[0].strip()
    if not line or line.startswith("#"):
        return
    option, _, value = line.replace("=", " ", 1).partition(" ")
    if option in ("-r", "--requirement"):
        yield from _requirements(folder / value.strip(), seen)
    else:
        yield from _absolute(line, folder)


def _absolute(line: str, folder: Path) -> Iterator[str]:
    """The line with its path from the root on, if it has one."""
    option, _, value = line.replace("=", " ", 1).partition(" ")
    value = value.strip()
    if option in _PATH_OPTIONS and value and "://" not in value:
        yield f"{option} {os.path.normpath(folder / Path(value).expanduser())}"
    elif line.startswith((".", "~")):
        yield os.path.normpath(folder / Path(line).expanduser())
    else:
        yield line
