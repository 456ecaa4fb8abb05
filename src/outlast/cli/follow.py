"""Following runs from a terminal: output once, Ctrl-C detaches, exit as the command did."""

from __future__ import annotations

import codecs
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

import click

from outlast.cli import exits, show
from outlast.printable import Stripper
from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace

# A second Ctrl-C within this time cancels.
TWICE_S = 2.0


def run(ref: str) -> RunHandle:
    """The run that `ref` names, in the workspace of this command."""
    return Workspace().run(ref)


def ids(refs: Iterable[str]) -> list[str]:
    """Full ids of these runs."""
    return [run(ref).id for ref in refs]


def print_json(value: Any) -> None:
    """A document that is valid JSON whatever the run logged."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=not sys.stdout.isatty()))


def output(handle: RunHandle, start: int = 0, *, until_end: bool, raw: bool = False) -> int:
    """Write what the run prints from `start` on; return the offset of the first byte not shown."""
    shown = Shown(is_raw=raw)
    for piece in handle.follow_output(start) if until_end else handle.output_so_far(start):
        shown.write(piece.data)
        start = piece.next
    shown.close()
    return start


class Shown:
    """Bytes of a run on this terminal: without what a terminal would obey, unless raw."""

    def __init__(self, *, is_raw: bool) -> None:
        self._is_raw = is_raw
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stripper = Stripper(keep_colours=sys.stdout.isatty())

    def write(self, data: bytes, *, is_last: bool = False) -> None:
        if not self._is_raw:
            data = self._stripper.feed(self._decoder.decode(data, is_last)).encode()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        self.write(b"", is_last=True)
        sys.stdout.buffer.write(self._stripper.close().encode())
        sys.stdout.buffer.flush()


def tail_offset(handle: RunHandle, lines: int) -> int:
    """The offset where the last `lines` lines begin."""
    data = b""
    end = start = handle.output_size()
    while start > 0 and data.count(b"\n") <= lines:
        start = max(0, start - (1 << 16))
        data = b"".join(piece.data for piece in handle.output_so_far(start, end=end))
    kept = data.split(b"\n")
    is_whole = data.endswith(b"\n")
    wanted = kept[-(lines + is_whole) :] if lines else []
    return end - len(b"\n".join(wanted))


def to_the_end(handle: RunHandle) -> int:
    """Show the run until it is over, and exit as it did. Ctrl-C detaches; twice cancels."""
    try:
        output(handle, until_end=True)
        handle.wait(raise_on_error=False)
    except KeyboardInterrupt:
        return _detached(handle)
    return _tell_end(handle)


def _detached(handle: RunHandle) -> int:
    click.echo(f"\nDetached; run {handle.id} goes on. Ctrl-C again cancels it.", err=True)
    click.echo(f"Come back with: outlast logs -f {handle.id}", err=True)
    deadline = time.monotonic() + TWICE_S
    try:
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(left)
    except KeyboardInterrupt:
        handle.cancel("Ctrl-C twice")
        click.echo(f"Canceling {handle.id}.", err=True)
        return until_over(handle)
    return exits.INTERRUPTED


def until_over(handle: RunHandle) -> int:
    """Wait for the end without showing output; exit as the run did."""
    handle.wait(raise_on_error=False)
    return _tell_end(handle)


def _tell_end(handle: RunHandle) -> int:
    facts = handle.fetch()
    line = f"{handle.id} {show.status(facts)} after {show.lasted(facts) or '0 s'}"
    if facts["status"] != "Completed" or facts["warnings"]:
        message = facts["message"] or "; ".join(text for _, text in facts["warnings"])
        line += f": {message}\n  see: outlast why {handle.id}"
    click.echo(line, err=True)
    return exits.of_run(facts)
