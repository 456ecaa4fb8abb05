"""The studio's built pages, as browsers get them.

`scripts/studio` builds them into the folder `studio` beside this file; wheels carry them. They are
read once, when the server starts. Names under `assets/` hold a digest of their content, so they are
kept by browsers for ever; the index, which names them, is asked for each time. Which paths are
pages stands in `routes/pages`; who may see them, `auth` says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "studio")
INDEX = "index.html"
NOT_BUILT = "The studio isn't built. In the project's folder: scripts/studio\n"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# How a file may come, the smallest first, with the ending of its compressed twin.
ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
# Nothing from elsewhere, nothing inline, no text as markup. Styles of the terminal are constructed
# sheets, which need no exception.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; font-src 'none'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types svelte-trusted-html"
)
FOR_EVER = "public, max-age=31536000, immutable"


class File(NamedTuple):
    """One built file in each of its forms: by encoding, "" = as it is."""

    kind: str
    forms: dict[str, bytes]


class Studio:
    """The pages of one server; empty when they aren't built."""

    def __init__(self, folder: str = FOLDER) -> None:
        self.files = dict(_read(folder))
        self.index = self.files.pop(INDEX, None)

    @property
    def public_paths(self) -> frozenset[bytes]:
        """Scripts, styles and pictures: the same for everybody, and they hold no data."""
        return frozenset(f"/{name}".encode() for name in self.files)

    def page(self, headers: Mapping[str, str], status: int = 200) -> Response:
        """The one page that all paths of the studio show."""
        if self.index is None:
            return Response(NOT_BUILT, 404 if status == 200 else status, media_type="text/plain")
        answer = _answer(self.index, headers, status)
        answer.headers["Content-Security-Policy"] = PAGE_POLICY
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    def asset(self, path: str, headers: Mapping[str, str]) -> Response | None:
        """A script, style or picture; None for one that isn't there."""
        file = self.files.get(path)
        if file is None:
            return None
        answer = _answer(file, headers, 200)
        answer.headers["Cache-Control"] = FOR_EVER
        return answer


def _answer(file: File, headers: Mapping[str, str], status: int) -> Response:
    wanted = {
        part.partition(";")[0].strip() for part in headers.get("accept-encoding", "").split(",")
    }
    encoding = next((name for name, _ in ENCODINGS if name in wanted and name in file.forms), "")
    answer = Response(file.forms[encoding], status, media_type=None)
    answer.headers["Content-Type"] = file.kind
    answer.headers["Vary"] = "Accept-Encoding"
    if encoding:
        answer.headers["Content-Encoding"] = encoding
    return answer


def _read(folder: str) -> list[tuple[str, File]]:
    found = []
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            kind = TYPES.get(os.path.splitext(name)[1])
            if kind is None:
                continue  # the compressed twins, and the stamp of the build
            path = os.path.join(place, name)
            forms = {"": _bytes(path)}
            for encoding, ending in ENCODINGS:
                if os.path.exists(path + ending):
                    forms[encoding] = _bytes(path + ending)
            found.append((os.path.relpath(path, folder), File(kind, forms)))
    return found


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
