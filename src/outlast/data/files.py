"""Which files a definition names: folders walked, globs matched, URLs looked up.

A datastore is a boundary: neither its path nor a link in it leads out of its folder. Outside of
datastores a path is the caller's own, and links are followed. Nothing is read here but folders; of
a URL, its headers.
"""

from __future__ import annotations

import os
import random
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple
from urllib.parse import unquote, urlsplit

from outlast.data.extras import extra
from outlast.errors import Invalid, NotFound
from outlast.run.dataset import Definition, Source, is_url

_WILD = re.compile(r"[*?\[]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
MAX_FILES = 1_000_000


class Found(NamedTuple):
    """One file of a dataset."""

    name: str  # in the dataset: relative, '/' between its parts, none of them '..'
    path: str  # where it is read: a path of this machine, or a URL
    is_sole: bool = False  # the one file of a source that names just this file

    @property
    def is_local(self) -> bool:
        return not is_url(self.path)


def found(definition: Definition) -> List[Found]:
    """The files, in the order of sources and names. Raises NotFound, Invalid, Unreachable.

    Of a file dataset also its steps are done: take, skip, sample and split choose among files.
    """
    groups = [_of_source(source) for source in definition.sources]
    begins = {kind: _common(groups, kind) for kind in (True, False)}
    files: List[Found] = []
    taken: Dict[str, str] = {}
    for group in groups:
        for path in group.paths:
            name = _name(path, begins[group.is_local])
            if name in taken:
                if taken[name] != path:
                    raise Invalid(f"{path} and {taken[name]} would both be called {name!r}")
                continue
            taken[name] = path
            is_sole = group.is_file and len(groups) == 1
            files.append(Found(name, path, is_sole))
    if len(files) > MAX_FILES:
        raise Invalid(f"sources: {len(files)} files; name at most {MAX_FILES}")
    return chosen(files, definition.steps) if definition.kind == "file" else files


def chosen(items: List[Any], steps: Sequence[Any]) -> List[Any]:
    """What the steps leave of a list. The same seed gives the same choice."""
    for step in steps:
        if step["do"] == "take":
            items = items[: step["count"]]
        elif step["do"] == "skip":
            items = items[step["count"] :]
        elif step["do"] == "sample":
            draw = random.Random(_seed(step))
            items = [item for item in items if draw.random() < step["probability"]]
        elif step["do"] == "split":
            draw = random.Random(_seed(step))
            draws = [draw.random() < step["fraction"] for _ in items]
            wanted = not step.get("is_rest")
            items = [item for item, is_first in zip(items, draws) if is_first == wanted]
        elif step["do"] == "where":
            raise Invalid("a file dataset can't be filtered by columns; filter a table")
    return items


def _seed(step: Any) -> int:
    return int(step.get("seed") or 0)


class _Group(NamedTuple):
    """The files of one source."""

    begin: str  # their common folder
    paths: List[str]
    is_local: bool
    is_file: bool


def _of_source(source: Source) -> _Group:
    if is_url(source.root or source.path):
        return _remote(source)
    if not source.root:
        return _local(source.path, "", source)
    root = os.path.realpath(source.root)
    if not os.path.isdir(root):
        raise NotFound(
            f"datastore {source.datastore!r}: there is no folder {source.root} on this machine"
        )
    return _local(os.path.join(root, source.path) if source.path else root, root, source)


def _local(path: str, root: str, source: Source) -> _Group:
    plain = path.rstrip("/") or "/"
    if not _WILD.search(path) or os.path.lexists(plain):
        _check_inside(plain, root, source)
        if os.path.isfile(plain):
            return _Group(os.path.dirname(plain), [plain], True, True)
        if not os.path.isdir(plain):
            raise NotFound(f"{_shown(source)}: there is no such file or folder on this machine")
        paths = list(_walk(plain, root, source, set()))
        begin = plain
    else:
        parts = plain.split("/")
        wild = next(index for index, part in enumerate(parts) if _WILD.search(part))
        begin = "/".join(parts[:wild]) or "/"
        _check_inside(begin, root, source)
        if not os.path.isdir(begin):
            raise NotFound(f"{_shown(source)}: there is no folder {begin} on this machine")
        pattern = _pattern("/".join(parts[wild:]) + ("/**" if path.endswith("/") else ""))
        cut = len(begin.rstrip("/")) + 1
        found = _walk(begin, root, source, set())
        paths = [one for one in found if pattern.fullmatch(one[cut:])]
    if not paths:
        raise NotFound(f"{_shown(source)}: there is no such file on this machine")
    return _Group(begin, paths, True, False)


def _shown(source: Source) -> str:
    if not source.datastore:
        return source.path
    return f"{source.path!r} in datastore {source.datastore!r} ({source.root})"


def _walk(folder: str, root: str, source: Source, seen: Set[Tuple[int, int]]) -> Iterator[str]:
    """Every file below, in the order of names."""
    try:
        at = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise Invalid(f"{folder} can't be read: {error.strerror}") from None
    if (at.st_dev, at.st_ino) in seen:  # a link that leads back up
        return
    seen.add((at.st_dev, at.st_ino))
    for entry in entries:
        if entry.is_symlink():
            _check_inside(entry.path, root, source)
        if entry.is_dir():
            yield from _walk(entry.path, root, source, seen)
        elif entry.is_file():
            yield entry.path
        elif entry.is_symlink():
            raise NotFound(
                f"{entry.path} is a link to {os.readlink(entry.path)}, which isn't there"
            )


def _check_inside(path: str, root: str, source: Source) -> None:
    if not root:
        return
    real = os.path.realpath(path)
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise Invalid(
            f"{_shown(source)}: {path} leads out of the datastore's folder, to {real}",
            hint="copy it into the datastore, or name its real path",
        )


def _pattern(glob: str) -> Any:
    """`*` and `?` stay within a name; `**` is any number of folders, and at the end all below."""
    text, at = "", 0
    while at < len(glob):
        if glob.startswith("**/", at):
            text, at = text + "(?:[^/]+/)*", at + 3
        elif glob.startswith("**", at):
            text, at = text + ".*", at + 2
        elif glob[at] == "*":
            text, at = text + "[^/]*", at + 1
        elif glob[at] == "?":
            text, at = text + "[^/]", at + 1
        elif glob[at] == "[" and "]" in glob[at + 2 :]:
            end = glob.index("]", at + 2)
            inner = glob[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            inner = "^" + inner[1:] if inner[0] == "!" else inner.replace("^", r"\^", 1)
            text, at = f"{text}[{inner}]", end + 1
        else:
            text, at = text + re.escape(glob[at]), at + 1
    return re.compile(text, re.DOTALL)


# --- URLs ---


def url_of(source: Source) -> str:
    """The whole URL of a source."""
    if not source.root:
        return source.path
    return source.root.rstrip("/") + "/" + source.path if source.path else source.root


def filesystem(url: str) -> Any:
    """The fsspec filesystem of a URL's scheme. Raises Invalid where a package is missing."""
    scheme = urlsplit(url).scheme
    fsspec = extra("fsspec", f"reading {scheme}://")
    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise Invalid(f"reading {scheme}:// isn't possible here: {error}") from None


def _remote(source: Source) -> _Group:
    url = url_of(source)
    if urlsplit(url).scheme in ("http", "https"):
        path = urlsplit(url).path
        if _WILD.search(path):
            raise Invalid.field("path", url, "a web server lists no files: name each URL")
        if path.endswith("/") or not path:
            raise Invalid.field("path", url, "name a file: a web server lists none")
        return _Group(url.rpartition("/")[0], [url], False, True)
    system, scheme = filesystem(url), urlsplit(url).scheme
    below = url.split("://", 1)[1].rstrip("/")
    try:
        if _WILD.search(below):
            begin = _WILD.split(below)[0].rpartition("/")[0]
            paths, is_file = sorted(system.glob(below)), False
            paths = [path for path in paths if system.isfile(path)]
        else:
            is_file = bool(system.isfile(below))
            begin = below.rpartition("/")[0] if is_file else below
            paths = [below] if is_file else sorted(system.find(below))
    except Exception as error:  # each filesystem raises errors of its own
        raise NotFound(f"{url} can't be listed: {type(error).__name__}: {error}") from None
    if not paths:
        raise NotFound(f"{url}: there is no such file")
    urls = [f"{scheme}://{path.lstrip('/')}" for path in paths]
    return _Group(f"{scheme}://{begin}", urls, False, is_file)


# --- names ---


def _common(groups: Sequence[_Group], is_local: bool) -> str:
    begins = [group.begin for group in groups if group.is_local is is_local]
    if not begins:
        return ""
    split = [begin.rstrip("/").split("/") for begin in begins]
    shared: List[str] = []
    for parts in zip(*split):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _name(path: str, begin: str) -> str:
    rest = path[len(begin) :].lstrip("/") if path.startswith(begin) else path
    if is_url(path):
        rest = unquote(rest.split("?")[0])
        rest = rest.split("://", 1)[-1]
    parts = [part for part in rest.split("/") if part not in ("", ".", "..")]
    safe = [_UNSAFE.sub("_", part)[:255] for part in parts]
    return "/".join(safe) or "file"
