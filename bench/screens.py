"""A fresh client's screen with 2,000 lines: drawn by the engine, beside feeding the raw stream.

usage: python bench/screens.py [MEGABYTES]        the length of the streams, 8 by default

Three streams: coloured logs, wide characters, a full-screen program. Then a snapshot end to end
(server, drawing process, journal), with a checkpoint near and far behind, and what following costs.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from outlast.journal.writer import Writer
from outlast.run.folder import OUTPUT, TIMING, RunFolder
from outlast.sessions.engine.drawing import draw
from outlast.sessions.engine.ghostty import HISTORY_LINES, Engine
from outlast.sessions.engine.picture import read
from outlast.sessions.engine.replay import Replay
from outlast.sessions.screens import Screens

COLUMNS, ROWS = 120, 40
PIECE_BYTES = 64 << 10
TURNS = 15


def logs(chance: random.Random) -> bytes:
    """One line of a training that colours its log."""
    text = f"\x1b[{chance.randint(31, 37)}m{chance.randint(0, 99999):05d}\x1b[0m epoch "
    text += f"\x1b[1m{chance.randint(0, 99)}\x1b[0m loss=\x1b[32m{chance.random():.6f}\x1b[0m "
    return (text + "x" * chance.randint(10, 60) + "\r\n").encode()


def wide(chance: random.Random) -> bytes:
    """One line with characters of two cells and of one."""
    return f"{chance.random():.6f} \u65e5\u672c\u8a9e \u00e9 \u2502 {'x' * 30}\r\n".encode()


def full_screen(chance: random.Random) -> bytes:
    """A piece of a row of a program that draws all over the screen."""
    place = f"\x1b[{chance.randint(1, ROWS)};{chance.randint(1, COLUMNS)}H"
    colour = f"\x1b[38;5;{chance.randint(0, 255)};48;5;{chance.randint(0, 255)}m"
    return (place + colour + "word " * chance.randint(1, 6) + "\x1b[0m").encode()


def stream(line: Callable[[random.Random], bytes], size_bytes: int) -> bytes:
    """So many bytes of it, the same each time."""
    chance = random.Random(1)
    made = bytearray(b"\x1b[?1049h" if line is full_screen else b"")
    while len(made) < size_bytes:
        made += line(chance)
    return bytes(made)


def milliseconds(work: Callable[[], object]) -> float:
    """Median of several turns."""
    taken = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(taken)


def engine_figures(name: str, data: bytes) -> None:
    engine = Engine(COLUMNS, ROWS)
    begun = time.perf_counter()
    for at in range(0, len(data), PIECE_BYTES):
        engine.feed(data[at : at + PIECE_BYTES])
    fed_s = time.perf_counter() - begun
    state = engine.state()
    assert state is not None
    picture = read(state)
    dump = engine.dump()

    def restore() -> None:
        Engine(COLUMNS, ROWS).feed(dump.data)

    print(
        f"{name:<12} raw {len(data) / 1e6 / fed_s:5.0f} MB/s = {1e3 * fed_s:6.0f} ms for all | "
        f"dump {milliseconds(engine.dump):5.1f} ms ({len(dump.data) / 1e3:.0f} kB, "
        f"{dump.lines} lines: state {milliseconds(engine.state):.1f}, "
        f"read {milliseconds(lambda: read(state)):.1f}, "
        f"draw {milliseconds(lambda: draw(picture, HISTORY_LINES)):.1f}) | "
        f"drawn into another {milliseconds(restore):.1f} ms | "
        f"restored {milliseconds(lambda: Engine.restored(state)):.1f} ms "
        f"({len(state) / 1e3:.0f} kB)"
    )


def add(folder: RunFolder, data: bytes) -> None:
    with Path(folder.file(OUTPUT)).open("ab") as file:
        file.write(data)


async def snapshots(folder: RunFolder, data: bytes) -> None:
    screens = Screens()

    async def timed() -> tuple[float, bool]:
        begun = time.perf_counter()
        shot = await screens.snapshot(folder, COLUMNS, ROWS)
        assert shot is not None
        return 1e3 * (time.perf_counter() - begun), shot.is_exact

    print(f"snapshot, process not running          {(await timed())[0]:6.1f} ms")
    taken = [(await timed())[0] for _ in range(TURNS)]
    print(f"snapshot, loaded                        {statistics.median(taken):6.1f} ms")
    add(folder, data * 4)
    took, is_exact = await timed()
    print(
        f"snapshot, {4 * len(data) / 1e6:3.0f} MB behind         {took:6.1f} ms, exact: {is_exact}"
    )
    await screens.close()


def following(folder: RunFolder) -> None:
    replay = Replay(folder)
    begun, cpu = time.perf_counter(), time.process_time()
    start = replay.offset
    while replay.advance(1 << 20):
        pass
    size = (replay.offset - start) / 1e6
    cpu_ms = 1e3 * (time.process_time() - cpu) / size
    speed = size / (time.perf_counter() - begun)
    print(
        f"checkpoints for {size:2.0f} MB                  {cpu_ms:6.1f} ms CPU/MB, {speed:.0f} MB/s"
    )
    replay.close()
    begun = time.perf_counter()
    replay = Replay(folder)
    replay.draw((COLUMNS, ROWS), None)
    print(f"loaded from the checkpoint, drawn      {1e3 * (time.perf_counter() - begun):6.1f} ms")
    replay.close()


def main() -> None:
    size_bytes = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 8 << 20
    made = {"logs": logs, "wide": wide, "full screen": full_screen}
    for name, line in made.items():
        engine_figures(name, stream(line, size_bytes))
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(path)
        data = stream(logs, size_bytes)
        Path(folder.file(OUTPUT)).write_bytes(data[: 1 << 20])
        with Writer(folder.file(TIMING)) as timing:
            timing.append({"at": 0, "t": 1, "size": [COLUMNS, ROWS]})
        asyncio.run(snapshots(folder, data))
        following(folder)
    print("budget: a fresh client with 2,000 lines <= 100 ms")


if __name__ == "__main__":
    main()
