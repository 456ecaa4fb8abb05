"""The drawing process: keeps terminal engines for the server, and answers its questions.

    python -m outlast.sessions.engine FD          FD = its end of a socket

One thread, one question at a time. Few engines are loaded at once, none that wasn't asked for
within half a minute; after ten minutes without a question the process ends, and the server starts
another when it needs one. When native code crashes, this process is all that is lost.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import time
from collections import OrderedDict
from typing import Any

from outlast.errors import OutlastError
from outlast.run.folder import RunFolder
from outlast.sessions.engine import message
from outlast.sessions.engine.replay import Drawn, Replay, draw_tail

MOST_ENGINES = 8
ENGINE_IDLE_S = 30.0
PROCESS_IDLE_S = 600.0  # starting costs a client 150 ms, waiting costs 21 MB
# Behind the server and the runs, but not behind everything: somebody may be waiting.
_NICENESS = 2


class Drawer:
    """The engines that are loaded, least recently used first."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, tuple[Replay, float]] = OrderedDict()

    def answer(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Header and data of the answer; {"error": text} when a journal can't be read."""
        try:
            if question["op"] == "advance":
                return self._advance(question), b""
            drawn = self._draw(question)
        except (OutlastError, OSError) as error:
            self._drop(question["folder"])
            return {"error": str(error)}, b""
        if drawn is None:
            return {}, b""
        head = drawn._asdict()
        return head, head.pop("data")

    def drop_idle(self, now_s: float) -> None:
        """Give back the engines that nobody asked for in a while."""
        for path, (_replay, used_s) in list(self._loaded.items()):
            if now_s - used_s >= ENGINE_IDLE_S:
                self._drop(path)

    def _draw(self, question: dict[str, Any]) -> Drawn | None:
        size, up_to = (question["columns"], question["rows"]), question["up_to"]
        if question["is_tail"]:
            self._drop(question["folder"])
            return draw_tail(RunFolder(question["folder"]), size, up_to)
        return self._replay(question["folder"]).draw(size, up_to)

    def _advance(self, question: dict[str, Any]) -> dict[str, Any]:
        replay = self._replay(question["folder"])
        behind = replay.advance(question["limit"])
        return {"kept": replay.kept, "behind": behind}

    def _replay(self, path: str) -> Replay:
        found = self._loaded.pop(path, None)
        replay = found[0] if found is not None else Replay(RunFolder(path))
        self._loaded[path] = (replay, time.monotonic())
        while len(self._loaded) > MOST_ENGINES:
            self._drop(next(iter(self._loaded)))
        return replay

    def _drop(self, path: str) -> None:
        found = self._loaded.pop(path, None)
        if found is not None:
            found[0].close()


def serve(connection: socket.socket) -> None:
    """Answer until the server hangs up, or asks nothing for a minute."""
    drawer = Drawer()
    asked_s = time.monotonic()
    while True:
        is_asked = select.select([connection], [], [], ENGINE_IDLE_S)[0]
        now_s = time.monotonic()
        drawer.drop_idle(now_s)
        if is_asked:
            question = _question(connection)
            if question is None:
                return
            header, data = drawer.answer(question)
            connection.sendall(message.pack({"id": question["id"], **header}, data))
            asked_s = time.monotonic()
        elif now_s - asked_s >= PROCESS_IDLE_S:
            return


def _question(connection: socket.socket) -> dict[str, Any] | None:
    prefix = _exactly(connection, message.LENGTHS_BYTES)
    if prefix is None:
        return None
    header_bytes, data_bytes = message.lengths(prefix)
    body = _exactly(connection, header_bytes + data_bytes)
    return None if body is None else message.header(body[:header_bytes])


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes; None when the server is gone."""
    found = b""
    while len(found) < size:
        try:
            piece = connection.recv(size - len(found))
        except ConnectionError:
            return None
        if not piece:
            return None
        found += piece
    return found


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    os.nice(_NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except ConnectionError:
            return 0  # the server went while an answer was on its way
    return 0


if __name__ == "__main__":
    sys.exit(main())
