"""What a session's screen shows, drawn by another process, for clients that come fresh.

`snapshot` gives bytes that a reset terminal draws, and the offset of the output that follows them;
or None when nothing can draw them: the caller then sends the end of the output as it is. `follow`
keeps the session's checkpoint near the output's end, so that the next snapshot takes milliseconds.

The engine is native code. It lives in one child of the server (`outlast.sessions.engine`), started
when it is needed; when it dies or hangs, it is started again, and the one who asked gets a picture
of the output's end alone (`is_exact` is False). It never sees a client and answers no query.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from outlast.run.folder import OUTPUT, RunFolder
from outlast.sessions.engine import message

_log = logging.getLogger(__name__)

DEADLINE_S = 2.0
MOST_CELLS_A_SIDE = 1000
# A checkpoint is worth its work once so much has come since the last.
FOLLOW_BYTES = 1 << 20
_ADVANCE_BYTES = 1 << 20
# The drawing process rests three times as long as it worked on checkpoints: a quarter of a core.
_REST = 3.0
# What ended or hung the process isn't tried again for so long.
_AVOIDED_S = 60.0
_MOST_REMEMBERED = 256
_COMMAND = (sys.executable, "-m", "outlast.sessions.engine")


class Snapshot(NamedTuple):
    """What a terminal draws after a reset, in the size that was asked for."""

    offset: int  # the output goes on here
    data: bytes
    is_exact: bool  # False: drawn from the end of the output alone, colours and modes may be wrong
    lines: int  # of history above the screen
    will_be_exact: bool = False  # one that is asked for after `caught_up` is


class Gone(Exception):
    """The drawing process ended or hung while it was asked something."""

    def __init__(self, text: str, *, has_hung: bool = False) -> None:
        super().__init__(text)
        self.has_hung = has_hung


class Screens:
    """The drawing process of one server; `close` it at the end."""

    def __init__(
        self, command: Sequence[str] = _COMMAND, *, deadline_s: float = DEADLINE_S
    ) -> None:
        """`command` is started with the number of its socket's descriptor as last argument."""
        self._command = tuple(command)
        self._deadline_s = deadline_s
        self._drawer: _Drawer | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False
        # (folder, from its tail alone?) -> until when it isn't asked for: it ended the process
        self._avoided: dict[tuple[str, bool], float] = {}
        self._kept: dict[str, int] = {}  # folder -> how far its checkpoint goes, as last told
        self._followed: dict[str, None] = {}  # folders that may be behind, oldest wish first
        self._following: asyncio.Task[None] | None = None
        self._waiting: dict[str, list[asyncio.Future[bool]]] = {}  # for a folder's checkpoint
        self._preparing: asyncio.Task[None] | None = None

    async def snapshot(
        self, folder: RunFolder, columns: int, rows: int, *, up_to: int | None = None
    ) -> Snapshot | None:
        """The screen of a session at `up_to` (default: by now), for a terminal of this size.

        None when the session has printed nothing yet, no engine is installed, or nothing could be
        drawn within about twice the deadline. Never raises for what is in the run's folder.
        """
        if not is_available() or _length(folder) == 0:
            return None
        question = {
            "op": "draw",
            "folder": folder.path,
            "columns": min(max(columns, 1), MOST_CELLS_A_SIDE),
            "rows": min(max(rows, 1), MOST_CELLS_A_SIDE),
            "up_to": up_to,
        }
        for is_tail in (False, True):
            if not self._is_avoided(folder.path, is_tail):
                answer = await self._answer(folder, {**question, "is_tail": is_tail})
                if answer is not None:
                    return self._told(folder, *answer)
        return None

    def follow(self, folder: RunFolder) -> None:
        """Bring the session's checkpoint up to date in the background; cheap to call often."""
        if self._is_closed or not is_available():
            return
        self._followed[folder.path] = None
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def caught_up(self, folder: RunFolder) -> bool:
        """Wait until the session's checkpoint is near the output's end; False when none will be."""
        if self._is_closed or not is_available():
            return False
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(folder.path, []).append(told)
        self.follow(folder)
        return await told

    def prepare(self) -> None:
        """Have the process running soon: somebody is about to ask for a picture."""
        if self.pid is None and not self._is_closed and is_available():
            self._preparing = asyncio.get_running_loop().create_task(self._prepare())

    async def close(self) -> None:
        """End the drawing process; whoever still waits for a picture gets None."""
        self._is_closed = True
        for task in (self._following, self._preparing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for path in list(self._waiting):
            self._tell(path, False)
        if self._drawer is not None:
            await self._drawer.close()

    @property
    def pid(self) -> int | None:
        """The drawing process, while there is one."""
        return None if self._drawer is None or self._drawer.is_over else self._drawer.pid

    async def _answer(
        self, folder: RunFolder, question: dict[str, Any]
    ) -> tuple[dict[str, Any], bytes] | None:
        """The answer; None when it can't be had, and then it isn't asked for again in a while.

        A process that was ended from outside is innocent: what it was asked is asked once more.
        """
        for is_last in (False, True):
            try:
                return await self._ask(question)
            except Gone as error:
                _log.warning("run=%s: no picture: %s", folder.run_id, error)
                if is_last or error.has_hung:
                    break
        self._avoid(folder.path, question["is_tail"])
        return None

    def _told(self, folder: RunFolder, answer: dict[str, Any], data: bytes) -> Snapshot | None:
        if "error" in answer:
            _log.warning("run=%s: no picture: %s", folder.run_id, answer["error"])
            return None
        if "offset" not in answer:
            return None
        self.follow(folder)  # so that the next one who comes waits less
        return Snapshot(
            answer["offset"], data, answer["is_exact"], answer["lines"], answer["will_be_exact"]
        )

    def _avoid(self, path: str, is_tail: bool) -> None:
        while len(self._avoided) >= _MOST_REMEMBERED:
            self._avoided.pop(next(iter(self._avoided)))
        self._avoided[path, is_tail] = time.monotonic() + _AVOIDED_S

    def _is_avoided(self, path: str, is_tail: bool) -> bool:
        return self._avoided.get((path, is_tail), 0.0) > time.monotonic()

    async def _ask(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Ask the drawing process, starting it if need be; raises Gone."""
        for _ in range(2):
            drawer = await self._running()
            try:
                async with asyncio.timeout(self._deadline_s):
                    return await drawer.ask(question)
            except TimeoutError:
                await drawer.close()
                text = f"it took longer than {self._deadline_s:g} s"
                raise Gone(text, has_hung=True) from None
            except Gone:
                await drawer.close()
                if drawer.code != 0:
                    raise
                # It had nothing to do and ended just when it was asked: once more.
        raise Gone("the drawing process ends as soon as it is started")

    async def _running(self) -> _Drawer:
        async with self._starting:
            if self._is_closed:
                raise Gone("the server is ending")
            if self._drawer is None or self._drawer.is_over:
                try:
                    self._drawer = await _Drawer.start(self._command)
                except OSError as error:
                    raise Gone(f"it can't be started: {error.strerror}") from error
            return self._drawer

    async def _prepare(self) -> None:
        with contextlib.suppress(Gone):  # whoever asks is told, and why
            await self._running()

    async def _follow(self) -> None:
        """Advance the followed sessions in turn, a piece each, resting between two pieces."""
        while self._followed:
            path = next(iter(self._followed))
            del self._followed[path]
            started_s = time.monotonic()
            if await self._is_behind(path):
                self._followed[path] = None
                await asyncio.sleep(_REST * (time.monotonic() - started_s))
            else:
                self._tell(path, not self._is_avoided(path, False))

    def _tell(self, path: str, is_there: bool) -> None:
        for told in self._waiting.pop(path, []):
            if not told.done():
                told.set_result(is_there)

    async def _is_behind(self, path: str) -> bool:
        """Advance one session by a piece if that is worth it; True when there is more to do."""
        new_bytes = _length(RunFolder(path)) - self._kept.get(path, 0)
        if new_bytes < FOLLOW_BYTES or self._is_avoided(path, False):
            return False
        question = {"op": "advance", "folder": path, "limit": _ADVANCE_BYTES}
        try:
            answer, _ = await self._ask(question)
        except Gone as error:
            _log.warning("run=%s: no checkpoint: %s", RunFolder(path).run_id, error)
            self._avoid(path, False)
            return False
        if "error" in answer:
            return False
        while len(self._kept) >= _MOST_REMEMBERED:
            self._kept.pop(next(iter(self._kept)))
        self._kept[path] = answer["kept"]
        return bool(answer["behind"] >= FOLLOW_BYTES)


class _Drawer:
    """One drawing process and the questions that it hasn't answered."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}
        self._next_id = 0
        self.is_over = False
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def start(cls, command: Sequence[str]) -> _Drawer:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                number = theirs.fileno()
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(number),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=(number,),
                )
            except OSError:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit status, once it is over."""
        return self._process.returncode

    async def ask(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Its answer; raises Gone when it ends before."""
        if self.is_over:
            raise Gone("the drawing process ended")
        self._next_id += 1
        number = self._next_id
        answer: asyncio.Future[tuple[dict[str, Any], bytes]]
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(message.pack({**question, "id": number}))
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End it now; whoever waits for an answer is told Gone."""
        self._end()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        try:
            while True:
                prefix = await self._reader.readexactly(message.LENGTHS_BYTES)
                header_bytes, data_bytes = message.lengths(prefix)
                header = message.header(await self._reader.readexactly(header_bytes))
                data = await self._reader.readexactly(data_bytes)
                waiting = self._waiting.get(header["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result((header, data))
        except (asyncio.IncompleteReadError, OSError):
            await self._process.wait()
        finally:
            self._end()

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Gone("the drawing process ended"))


def _length(folder: RunFolder) -> int:
    """How long the output is; 0 while there is none."""
    try:
        return os.lstat(folder.file(OUTPUT)).st_size
    except OSError:
        return 0


def is_available() -> bool:
    """Is there an engine for this machine?"""
    return importlib.util.find_spec("pyghostty") is not None
