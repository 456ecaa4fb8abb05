"""What a dataset is: where its data lie, in which form, and what is done to them on reading.

A `Definition` is plain JSON values, checked here and nowhere else; it holds no data, so a run's
spec or the registry can keep it. Nothing is opened: `datasets/` reads. Addresses are local paths or
URLs of the schemes listed here; a server keeps them and never opens one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from outlast.errors import Invalid
from outlast.ids import check_dataset_name
from outlast.run.texts import text_of, texts_of

KINDS = ("file", "tabular")
FORMATS = ("delimited", "parquet", "json_lines")
# direct: the job reads by itself. mount: a view of the files. download: a copy of its own.
MODES = ("direct", "mount", "download")
# http(s) needs nothing; the others need fsspec and the package that it names.
SCHEMES = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "adl", "hdfs")
MAX_SOURCES = 1_000
MAX_STEPS = 100
MAX_BYTES = 1 << 20  # of a definition as JSON

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)::?//")

# Format option -> the types that it takes.
OPTIONS: Dict[str, Tuple[type, ...]] = {
    "separator": (str,), "header": (str,), "encoding": (str,), "include_path": (bool,),
    "infer_column_types": (bool,), "empty_as_string": (bool,), "column_types": (dict,),
    "partition_format": (str,), "invalid_lines": (str,),
}  # fmt: skip
HEADERS = ("all_same", "first", "combine", "none")
# What may be done with the rows (or files), in the order given -> its fields.
STEPS: Dict[str, Tuple[str, ...]] = {
    "keep": ("columns",), "drop": ("columns",), "take": ("count",), "skip": ("count",),
    "sample": ("probability", "seed"), "split": ("fraction", "seed", "is_rest"),
    "where": ("test",), "stamps": ("timestamp", "partition"),
    "time": ("after", "before", "is_boundary"),
}  # fmt: skip


class Source(NamedTuple):
    """A file, folder, glob or URL; with `root` below it."""

    path: str
    datastore: str = ""  # the name of the root
    root: str = ""  # an absolute folder, or a URL


class Definition(NamedTuple):
    """Where the data lie and how they are read."""

    kind: str
    sources: Tuple[Source, ...]
    format: str = ""  # of a tabular one
    options: Mapping[str, Any] = {}
    steps: Tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values; `from_dict` reads it back to an equal definition."""
        return {
            "kind": self.kind,
            "sources": [source._asdict() for source in self.sources],
            "format": self.format,
            "options": dict(self.options),
            "steps": [dict(step) for step in self.steps],
        }

    @classmethod
    def from_dict(cls, data: Any, field: str = "definition") -> Definition:
        """Check everything. Raises Invalid, naming the field, the value and the remedy."""
        if isinstance(data, Definition):
            data = data.to_dict()
        _check_fields(field, data, cls._fields)
        made = cls(
            _choice(f"{field}.kind", data.get("kind"), KINDS),
            _sources(f"{field}.sources", data.get("sources")),
            data.get("format", ""),
            _options(f"{field}.options", data.get("options", {})),
            _steps(f"{field}.steps", data.get("steps", [])),
        )
        allowed = FORMATS if made.kind == "tabular" else ("",)
        _choice(f"{field}.format", made.format, allowed)
        if len(made.text()) > MAX_BYTES:
            raise Invalid(f"{field}: it is larger than {MAX_BYTES >> 20} MB; name a folder or glob")
        return made

    def text(self) -> str:
        """The same text for the same definition."""
        try:
            return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"definition: it isn't made of plain JSON values ({error})") from None

    @property
    def id(self) -> str:
        """A UUID that the same definition always has."""
        digest = hashlib.sha256(self.text().encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def then(self, do: str, **fields: Any) -> Definition:
        """The same data with one more step."""
        step: Mapping[str, Any] = {"do": do, **fields}
        return self._replace(steps=(*self.steps, *_steps("steps", [step])))


class Input(NamedTuple):
    """A dataset as a run reads it."""

    definition: Definition
    mode: str = "mount"
    dataset: str = ""  # its name in the registry, "" for one that isn't registered
    version: int = 0
    digest: str = ""  # of its contents when it was registered; "" = not known
    path: str = ""  # where the job wants it: absolute, or in its working folder; "" = anywhere
    run: str = ""  # the run that put it out; its source is then "/" and a path in that manifest

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return {**self._asdict(), "definition": self.definition.to_dict()}


class Delivery(NamedTuple):
    """A folder that a run fills, and that is delivered to a datastore when it ends well."""

    folder: str  # in the working folder
    root: str  # the datastore's folder
    target: str  # below it
    datastore: str = ""
    globs: Tuple[str, ...] = ()  # which of its files; () = all
    is_overwriting: bool = True
    register: Mapping[str, Any] = {}  # name, description, tags and definition of a new version

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return {**self._asdict(), "globs": list(self.globs)}

    def definition(self) -> Definition:
        """What was delivered, as a dataset."""
        asked = {key: self.register[key] for key in _OF_DELIVERY if key in self.register}
        source = Source(self.target, self.datastore, self.root)
        return Definition.from_dict({"kind": "file", "sources": [source], **asked})


def inputs(field: str, value: Any) -> Dict[str, Input]:
    """The inputs of a run by name. Raises Invalid, naming the field."""
    found = {}
    for name, given in _named(field, value):
        where = f"{field}.{name}"
        data = given._asdict() if isinstance(given, Input) else given
        _check_fields(where, data, Input._fields)
        definition = Definition.from_dict(data.get("definition"), f"{where}.definition")
        texts = {key: text_of(f"{where}.{key}", data.get(key, "")) for key in _INPUT_TEXTS}
        mode = _choice(f"{where}.mode", data.get("mode", "mount"), MODES)
        if definition.kind == "tabular" and mode != "direct":
            raise Invalid.field(f"{where}.mode", mode, "a table is read by the job: use direct")
        version = _whole(f"{where}.version", data.get("version", 0))
        found[name] = Input(definition, mode, version=version, **texts)
    return found


_OF_REGISTRATION = ("name", "description", "tags", "kind", "format", "options", "steps")
_OF_DELIVERY = ("kind", "format", "options", "steps")
_INPUT_TEXTS = ("dataset", "digest", "path", "run")


def deliveries(field: str, value: Any) -> Dict[str, Delivery]:
    """The outputs of a run that are delivered, by name. Raises Invalid, naming the field."""
    found = {}
    for name, given in _named(field, value):
        where = f"{field}.{name}"
        data = given._asdict() if isinstance(given, Delivery) else given
        _check_fields(where, data, Delivery._fields)
        for key in ("folder", "target"):
            below(f"{where}.{key}", data.get(key))
        root = text_of(f"{where}.root", data.get("root"))
        if not root.startswith("/"):
            raise Invalid.field(
                f"{where}.root", root, "outputs are delivered to datastores of this machine only"
            )
        register = data.get("register") or {}
        _check_fields(f"{where}.register", register, _OF_REGISTRATION)
        if register:
            check_dataset_name(register.get("name"))
        found[name] = Delivery(
            data["folder"], root, data["target"], text_of(where, data.get("datastore", "")),
            texts_of(f"{where}.globs", data.get("globs", ())),
            bool(data.get("is_overwriting", True)), dict(register),
        )  # fmt: skip
        found[name].definition()
    return found


def below(field: str, value: Any) -> str:
    """Return a path that stays below whatever it is joined to; raise Invalid otherwise."""
    text = text_of(field, value)
    parts = text.split("/")
    if not text or any(part in ("", ".", "..") or len(part) > 255 for part in parts):
        remedy = "give a relative path without '..', '.' and empty parts"
        raise Invalid.field(field, text, remedy)
    return text


def is_url(path: str) -> bool:
    """Has it a scheme, as https:// or s3://?"""
    return _SCHEME.match(path) is not None


def check_url(field: str, url: str) -> str:
    """Return the URL if it may be kept and read; raise Invalid otherwise."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid.field(field, url, f"it is no URL ({error})") from None
    if parts.scheme.lower() not in SCHEMES or "::" in url:
        remedy = f"use a path of this machine, or a URL of one of: {', '.join(SCHEMES)}"
        raise Invalid.field(field, url, remedy)
    if "@" in parts.netloc and parts.scheme.startswith("http"):
        shown = url.replace(parts.netloc, "***@" + parts.netloc.rpartition("@")[2])
        remedy = "leave user and password out: a definition is kept and shown"
        raise Invalid.field(field, shown, remedy)
    if not parts.netloc or parts.fragment:
        raise Invalid.field(field, url, "give a whole URL without '#'")
    return url


def _sources(field: str, value: Any) -> Tuple[Source, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or not value:
        raise Invalid.field(field, value, "give a list with at least one path")
    if len(value) > MAX_SOURCES:
        raise Invalid.field(field, len(value), f"give at most {MAX_SOURCES}; a glob is one")
    return tuple(_source(f"{field}[{index}]", item) for index, item in enumerate(value))


def _source(field: str, value: Any) -> Source:
    data = value._asdict() if isinstance(value, Source) else value
    if isinstance(data, str):
        data = {"path": data}
    _check_fields(field, data, Source._fields)
    path = text_of(f"{field}.path", data.get("path"))
    root = text_of(f"{field}.root", data.get("root", ""))
    datastore = text_of(f"{field}.datastore", data.get("datastore", ""))
    if root:
        check_root(f"{field}.root", root)
        if path.rstrip("/"):
            below(f"{field}.path", path.rstrip("/"))
    elif is_url(path):
        check_url(f"{field}.path", path)
    elif not path.startswith("/") or ".." in path.split("/"):
        raise Invalid.field(f"{field}.path", path, "give an absolute path without '..', or a URL")
    return Source(path, datastore, root)


def check_root(field: str, root: str) -> str:
    """Return what may be a datastore's root: an absolute folder or a URL; else raise Invalid."""
    if is_url(root):
        return check_url(field, root)
    if not root.startswith("/") or ".." in root.split("/"):
        raise Invalid.field(field, root, "give an absolute folder, or a URL")
    return root


def _options(field: str, value: Any) -> Dict[str, Any]:
    _check_fields(field, value, tuple(OPTIONS))
    for key, item in value.items():
        if not isinstance(item, OPTIONS[key]):
            kind = OPTIONS[key][0].__name__
            raise Invalid.field(f"{field}.{key}", item, f"give a {kind}")
    if "header" in value:
        _choice(f"{field}.header", value["header"], HEADERS)
    return dict(value)


def _steps(field: str, value: Any) -> Tuple[Mapping[str, Any], ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise Invalid.field(field, value, "give a list of steps")
    if len(value) > MAX_STEPS:
        raise Invalid.field(field, len(value), f"use at most {MAX_STEPS} steps")
    checked: List[Mapping[str, Any]] = []
    for index, step in enumerate(value):
        where = f"{field}[{index}]"
        if not isinstance(step, Mapping) or step.get("do") not in STEPS:
            raise Invalid.field(where, step, f"give do, one of: {', '.join(STEPS)}")
        _check_fields(where, step, ("do", *STEPS[step["do"]]))
        for key, check in _STEP_CHECKS.items():
            if key in step:
                check(f"{where}.{key}", step[key])
        checked.append(dict(step))
    return tuple(checked)


def _columns(field: str, value: Any) -> None:
    if not texts_of(field, value):
        raise Invalid.field(field, value, "give at least one column")


def _share(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise Invalid.field(field, value, "give a number from 0 to 1")


def _maybe_whole(field: str, value: Any) -> None:
    if value is not None:
        _whole(field, value)


def _whole(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise Invalid.field(field, value, "give a whole number of at least 0")
    return value


_STEP_CHECKS: Dict[str, Callable[[str, Any], Any]] = {
    "columns": _columns, "count": _whole, "probability": _share, "fraction": _share,
    "seed": _maybe_whole,
}  # fmt: skip


def _named(field: str, value: Any) -> List[Tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise Invalid.field(field, value, "give an object with names and values")
    return [(input_name(name), given) for name, given in value.items()]


def input_name(name: Any) -> str:
    """Return what may name an input or output of a run, also as a variable; else raise Invalid."""
    if not isinstance(name, str) or not _INPUT_NAME.fullmatch(name):
        remedy = "use letters, digits and '_', beginning with a letter"
        raise Invalid.field("name", name, remedy)
    return name


def _check_fields(field: str, value: Any, known: Tuple[str, ...]) -> None:
    if not isinstance(value, Mapping):
        raise Invalid.field(field, value, f"give an object with {', '.join(known)}")
    for key in value:
        if key not in known:
            raise Invalid.field(f"{field}.{key}", value[key], f"known: {', '.join(known)}")


def _choice(field: str, value: Any, allowed: Tuple[str, ...]) -> str:
    if value not in allowed:
        raise Invalid.field(field, value, f"use one of: {', '.join(map(repr, allowed))}")
    return str(value)


def described(definition: Definition, limit: int = 3) -> str:
    """Where the data lie, in words for a line of a list."""
    shown = [_shown(source) for source in definition.sources[:limit]]
    more = len(definition.sources) - limit
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _shown(source: Source) -> str:
    return f"{source.datastore}:{source.path}" if source.datastore else source.path


def of_paths(paths: Any, kind: str = "file", **more: Any) -> Definition:
    """A definition of local paths, globs or URLs, made absolute from the current folder."""
    given = [paths] if isinstance(paths, (str, os.PathLike, Source)) else list(paths)
    sources = []
    for path in given:
        if not isinstance(path, Source):
            text = os.fspath(path)
            is_there = is_url(text) and not text.startswith("file://")
            path = Source(text if is_there else _absolute(text))
        sources.append(path)
    data: Dict[str, Any] = {"kind": kind, "sources": sources, **more}
    return Definition.from_dict(data)


def _absolute(path: str) -> str:
    if path.startswith("file://"):
        path = path[len("file://") :]
    kept = "/" if path.endswith("/") and len(path) > 1 else ""
    return os.path.abspath(os.path.expanduser(path)) + kept


def with_stamps(definition: Definition) -> Tuple[Optional[str], Optional[str]]:
    """The columns that say when a row is of, as (timestamp, partition); None without."""
    for step in reversed(definition.steps):
        if step["do"] == "stamps":
            return step.get("timestamp"), step.get("partition")
    return None, None
