"""What a command runs in: the checked form of a spec's `environment`. Pure.

`checked` is the only way in; {} stays {} and means the caller's own environment. Where an
environment lies and how it is built is told by `outlast.environments`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from outlast.errors import Invalid

# pip: packages from PyPI. conda: packages of conda channels, and pip's. existing: an interpreter
# that is there, used as it is.
KINDS = ("pip", "conda", "existing")
MAX_LINES = 2_000
MAX_LINE_CHARS = 2_000

# What a line of pip's may begin with beside a package; those with a value first.
VALUED_OPTIONS = (
    "--index-url", "-i", "--extra-index-url", "--find-links", "-f", "--no-binary", "--only-binary",
    "--trusted-host", "--editable", "-e",
)  # fmt: skip
PLAIN_OPTIONS = ("--no-index", "--pre", "--prefer-binary")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PYTHON = re.compile(r"[<>=!~]{0,2}\d+(\.(\d+|\*)){0,2}(,[<>=!~]{1,2}\d+(\.(\d+|\*)){0,2})*")
_CONDA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/\[\]'\"=<>!~,*|+ -]*")
_CHANNEL = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_.:/@%~+-]*")
_PASSWORD = re.compile(r"\w+://[^/\s@]*:(?!\$\{\w+\})[^/\s@]+@|\w+://(?!\$\{\w+\})[^/\s@:]{20,}@")
_REFERENCE = re.compile(r"(-r|-c|--requirement|--constraint)\b")


class Environment(NamedTuple):
    """One environment as it was asked for."""

    name: str = ""
    version: str = ""
    kind: str = "pip"
    python: str = ""  # as "3.11"; "" = as the server's own
    pip: Tuple[str, ...] = ()  # lines of a requirements file; paths in them are absolute
    conda: Tuple[str, ...] = ()  # as "numpy=1.26" or "conda-forge::ffmpeg"
    channels: Tuple[str, ...] = ()
    index_url: str = ""  # where pip's packages come from; "" = as uv and pip are set up
    interpreter: str = ""  # of an existing one: absolute
    variables: Mapping[str, Optional[str]] = {}  # None = set, but not shown
    docker: Mapping[str, Any] = {}  # kept, not used

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Environment:
        """Of what `checked` returned."""
        values: Dict[str, Any] = {}
        for key, value in data.items():
            values[key] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    @property
    def title(self) -> str:
        """As a sentence calls it."""
        if self.name:
            return f"environment {self.name}" + (f":{self.version}" if self.version else "")
        if self.kind == "existing":
            return f"the environment of {self.interpreter}"
        number = len(self.pip) + len(self.conda)
        return f"an environment with {number} requirement" + ("" if number == 1 else "s")

    def digest(self, *more: str) -> str:
        """32 hex digits over what decides its contents: neither name nor variables; and `more`."""
        import hashlib  # 4 MB and 4 ms that a supervisor needn't pay

        said = [self.kind, self.python, self.pip, self.conda, self.channels, self.index_url, *more]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def checked(field: str, value: Any) -> Dict[str, Any]:
    """The environment without what is as by default; {} for {}. Raises Invalid, naming the field.

    A value in which a password may stand is not shown.
    """
    if not isinstance(value, Mapping):
        raise Invalid.field(field, value, f"give an object with {', '.join(Environment._fields)}")
    if not value:
        return {}
    for key in value:
        if key not in Environment._fields:
            known = ", ".join(Environment._fields)
            raise Invalid.field(f"{field}.{key}", value[key], f"unknown field; known: {known}")
    found = Environment(**{key: _READERS[key](f"{field}.{key}", v) for key, v in value.items()})
    _check_together(field, found)
    empty = Environment()
    kept = {k: v for k, v in found._asdict().items() if v != getattr(empty, k)}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
    return {"kind": found.kind, **plain}


def _check_together(field: str, found: Environment) -> None:
    if found.kind == "existing":
        if not found.interpreter.startswith("/"):
            remedy = "give the absolute path of a Python interpreter"
            raise Invalid.field(f"{field}.interpreter", found.interpreter, remedy)
        for name in ("pip", "conda", "python"):
            if getattr(found, name):
                remedy = "leave it out: an existing interpreter is used as it is"
                raise Invalid.field(f"{field}.{name}", getattr(found, name), remedy)
    elif found.interpreter:
        remedy = "leave it out, or use kind = 'existing'"
        raise Invalid.field(f"{field}.interpreter", found.interpreter, remedy)
    if found.kind == "pip" and found.conda:
        raise Invalid.field(f"{field}.conda", found.conda, "use kind = 'conda' for these")


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise Invalid.field(field, value, "give a string on one line")
    if len(value) > MAX_LINE_CHARS:
        raise Invalid.field(field, len(value), f"use at most {MAX_LINE_CHARS} characters")
    return value


def _matching(pattern: re.Pattern[str], remedy: str) -> Any:
    def read(field: str, value: Any) -> str:
        text = _text(field, value)
        if text and not pattern.fullmatch(text):
            raise Invalid.field(field, value, remedy)
        return text

    return read


def _lines(read: Any) -> Any:
    def read_all(field: str, value: Any) -> Tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise Invalid.field(field, value, "give a list of strings")
        if len(value) > MAX_LINES:
            raise Invalid.field(field, len(value), f"give at most {MAX_LINES}")
        return tuple(read(f"{field}[{index}]", item) for index, item in enumerate(value))

    return read_all


def _kind(field: str, value: Any) -> str:
    if value not in KINDS:
        raise Invalid.field(field, value, f"use one of: {', '.join(KINDS)}")
    return str(value)


def _without_password(field: str, value: Any) -> str:
    text = _text(field, value)
    if _PASSWORD.search(text):
        remedy = "it holds a password: keep that in ~/.netrc, or write ${NAME} for a variable"
        raise Invalid(f"{field}: {remedy}", field=field, remedy=remedy)
    return text


def _requirement(field: str, value: Any) -> str:
    text = _without_password(field, value).strip()
    if not text:
        raise Invalid.field(field, value, "give a requirement, as numpy==1.26")
    if _REFERENCE.match(text):
        raise Invalid.field(field, value, "write the lines of that file here instead")
    word, _, rest = text.partition(" ")
    option, _, given = word.partition("=")
    if text.startswith("-"):
        rest = given or rest.strip()
        if option not in VALUED_OPTIONS + PLAIN_OPTIONS or (option in VALUED_OPTIONS) != bool(rest):
            known = ", ".join(VALUED_OPTIONS + PLAIN_OPTIONS)
            raise Invalid.field(field, value, f"of pip's options these may stand here: {known}")
        text = rest if option in ("-e", "--editable") else "/"
    if text.startswith((".", "~")):
        raise Invalid.field(field, value, "give an absolute path")
    return " ".join(value.split())


def _index(field: str, value: Any) -> str:
    text = _without_password(field, value)
    if text and not text.startswith(("https://", "http://", "file://", "/")):
        raise Invalid.field(field, value, "give a URL, as https://pypi.org/simple")
    return text


def _variables(field: str, value: Any) -> Dict[str, Optional[str]]:
    if not isinstance(value, Mapping):
        raise Invalid.field(field, value, "give an object with names and values")
    for name, item in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Invalid.field(field, name, "a variable's name has neither '=' nor NUL")
        if item is not None and (not isinstance(item, str) or "\0" in item):
            raise Invalid(f"{field}.{name}: give a string without NUL characters")
    return dict(value)


def _docker(field: str, value: Any) -> Dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise Invalid.field(field, value, "give JSON values") from None
    if not isinstance(value, Mapping):
        raise Invalid.field(field, value, "give an object")
    return dict(value)


_READERS: Dict[str, Any] = {
    "name": _matching(_NAME, "use letters, digits and . _ -, as digits-cpu"),
    "version": _matching(_NAME, "use letters, digits and . _ -"),
    "kind": _kind,
    "python": _matching(_PYTHON, "give a version, as 3.11"),
    "pip": _lines(_requirement),
    "conda": _lines(_matching(_CONDA, "give a conda package, as numpy=1.26")),
    "channels": _lines(_matching(_CHANNEL, "give a channel, as conda-forge")),
    "index_url": _index,
    "interpreter": _text,
    "variables": _variables,
    "docker": _docker,
}
