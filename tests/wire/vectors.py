"""Scripts of a terminal's client, and what each call gives, as JSON for the twin in TypeScript.

`python -m tests.wire.vectors` writes tests/vectors/wire/client-*.json and terminal-frames.json
anew, from `ClientHalf` as it is. A test compares: a change of them is a change of the protocol.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from outlast.wire import frame as wire
from outlast.wire.client import ClientHalf
from outlast.wire.frame import Frame, telling
from outlast.wire.terminal import Action

FOLDER = Path(__file__).parents[1] / "vectors" / "wire"
KEY = "00112233445566778899aabbccddeeff"
OTHER_KEY = "ffeeddccbbaa99887766554433221100"
NAMES = {
    getattr(wire, name): name
    for name in (
        "HELLO", "WELCOME", "PING", "PONG", "BYE", "OUTPUT", "SNAPSHOT", "GAP", "DRAWN", "INPUT",
        "ACCEPTED", "SIZE", "NEWS", "EXIT", "WRITTEN",
    )
}  # fmt: skip
OF_JSON = {
    wire.HELLO, wire.WELCOME, wire.BYE, wire.GAP, wire.SIZE, wire.NEWS, wire.EXIT,
}  # fmt: skip


def payload(data: bytes) -> dict[str, Any]:
    """Bytes as JSON: one byte many times, text, or base64."""
    if len(data) > 40 and len(set(data)) == 1:
        return {"byte": data[0], "times": len(data)}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def shown(frame: Frame) -> dict[str, Any]:
    """A frame as JSON; a payload of JSON is compared as a value."""
    told: dict[str, Any] = {"kind": NAMES.get(frame.kind, frame.kind), "number": frame.number}
    try:
        return {**told, "says": frame.said()} if frame.kind in OF_JSON else told | body(frame)
    except ValueError:
        return told | body(frame)


def body(frame: Frame) -> dict[str, Any]:
    return {"payload": payload(frame.payload)} if frame.payload else {}


def given(action: Action) -> dict[str, Any]:
    """An action as JSON: its name and its fields."""
    told: dict[str, Any] = {"do": type(action).__name__}
    fields = cast(Any, action)._asdict()
    for name, value in fields.items():
        if isinstance(value, bytes):
            told[name] = payload(value)
        elif isinstance(value, float):
            told[name] = round(value, 6)
        else:
            told[name] = shown(value) if isinstance(value, Frame) else value
    return told


class Script:
    """Calls a client and writes down what came of it."""

    def __init__(self, about: str, role: str = "driver") -> None:
        self.about = about
        self.options = {
            "key": KEY, "role": role, "columns": 80, "rows": 24, "who": "ann", "jitter": 0.5,
        }  # fmt: skip
        self.client = ClientHalf(KEY, role=role, columns=80, rows=24, who="ann", jitter=lambda: 0.5)
        self.steps: list[dict[str, Any]] = []
        self.now = 0.0

    def call(self, name: str, *, after_s: float = 0.0, **arguments: Any) -> None:
        """`after_s`: so much time passes before."""
        self.now = round(self.now + after_s, 6)
        method = getattr(self.client, name)
        told = {
            key: shown(value)
            if isinstance(value, Frame)
            else payload(value)
            if isinstance(value, bytes)
            else value
            for key, value in arguments.items()
        }
        if name in ("due", "connected", "cut", "refused", "hurry", "heard", "take_over"):
            arguments["now"] = told["now"] = self.now
        actions = method(**arguments)
        wait_s = self.client.wait_s(self.now)
        self.steps.append(
            {
                "call": name,
                "with": told,
                "gives": [given(action) for action in actions or []],
                "then": {
                    "role": self.client.role,
                    "is_online": self.client.is_online,
                    "is_live": self.client.is_live,
                    "is_over": self.client.is_over,
                    "queued_bytes": self.client.queued_bytes,
                    "wait_s": None if math.isinf(wait_s) else round(wait_s, 6),
                },
            }
        )

    def hear(self, kind: int, number: int = 0, data: bytes = b"", **says: Any) -> None:
        frame = telling(kind, number, **says) if says else Frame(kind, number, data)
        self.call("heard", frame=frame)

    def gap(self, start: int, end: int, why: str) -> None:
        says = json.dumps({"from": start, "why": why})
        self.hear(wire.GAP, end, says.encode())

    def connect(self, **welcome: Any) -> None:
        self.call("due")
        self.call("connected")
        says = {
            "session": "s1", "role": self.client.role, "fenced": False, "epoch": 1, "accepted": 0,
            "columns": 80, "rows": 24, "output": 0, "live": 0, "first": 0, "driver": "ann",
            "viewers": [], "server": "server-1",
        }  # fmt: skip
        self.hear(wire.WELCOME, **{**says, **welcome})

    def as_json(self) -> dict[str, Any]:
        return {"about": self.about, "client": self.options, "steps": self.steps}


def first_attach() -> Script:
    script = Script("An empty session: live at once; keys go out, are accepted, echo is drawn.")
    script.connect()
    script.call("typed", data=b"ls\r")
    script.hear(wire.ACCEPTED, 3)
    script.hear(wire.OUTPUT, 0, b"ls\r\n")
    script.call("drawn", offset=4)
    script.call("resized", columns=100, rows=30)
    script.call("due", after_s=2.0)
    script.hear(wire.PONG, 1)
    script.hear(wire.PING, 9)
    script.hear(99, 0, b"a kind of the future")
    return script


def snapshot() -> Script:
    script = Script("A session that has a screen: reset, replay (muted), then live.")
    script.connect(output=0, live=1000)
    script.hear(wire.SNAPSHOT, 990, b"\x1b[Hscreen")
    script.hear(wire.OUTPUT, 990, b"0123456789live")
    script.call("drawn", offset=990)
    script.call("drawn", offset=1000)
    script.call("drawn", offset=1004)
    return script


def replay_without_snapshot() -> Script:
    script = Script("No snapshot: reset, a tail from a line start, and what is left out is told.")
    script.connect(output=0, live=5000)
    script.gap(0, 4000, "tail")
    script.hear(wire.OUTPUT, 4000, b"x" * 1000)
    script.call("drawn", offset=4000)
    script.call("drawn", offset=5000)
    return script


def resume() -> Script:
    script = Script("After a cut both ways go on at the byte; what comes twice is left out.")
    script.connect()
    script.hear(wire.OUTPUT, 0, b"one ")
    script.call("drawn", offset=4)
    script.call("typed", data=b"echo ")
    script.hear(wire.ACCEPTED, 2)
    script.call("cut", after_s=1.0, reason="reset by peer")
    script.call("typed", data=b"hi")
    script.connect(accepted=4, output=4, live=8)
    script.hear(wire.OUTPUT, 2, b"e two ")
    script.hear(wire.OUTPUT, 4, b"two ")
    script.call("drawn", offset=8)
    script.hear(wire.ACCEPTED, 7)
    return script


def fenced_while_away() -> Script:
    script = Script("Another took over while this one was away: its keys are dropped, and told.")
    script.connect()
    script.call("typed", data=b"abc")
    script.call("cut", after_s=1.0, reason="")
    script.call("typed", data=b"def")
    script.connect(role="viewer", fenced=True, epoch=2, driver="bob", viewers=["ann"])
    script.call("typed", data=b"ignored")
    script.call("resized", columns=10, rows=10)
    script.hear(wire.SIZE, 0, columns=120, rows=40)
    script.call("take_over", key=OTHER_KEY)
    script.call("typed", data=b"mine again")
    script.connect(epoch=3)
    return script


def fenced_live() -> Script:
    script = Script("Another takes over while this one is connected.")
    script.connect()
    script.call("typed", data=b"abc")
    script.hear(wire.NEWS, 0, role="viewer", epoch=2, driver="bob", viewers=["ann"])
    script.hear(wire.ACCEPTED, 3)
    script.call("cut", after_s=1.0, reason="")
    script.call("due")
    script.call("connected")
    return script


def too_far_behind() -> Script:
    script = Script("Skipped bytes are told; a cut right behind them asks for a whole screen.")
    script.connect()
    script.hear(wire.OUTPUT, 0, b"start")
    script.gap(5, 5_000_000, "skipped")
    script.hear(wire.SNAPSHOT, 5_000_000, b"screen")
    script.hear(wire.OUTPUT, 5_000_000, b"more")
    script.gap(5_000_004, 9_000_000, "skipped")
    script.call("cut", after_s=1.0, reason="")
    script.connect(output=0, live=9_500_000)
    script.hear(wire.SNAPSHOT, 9_500_000, b"screen")
    script.call("drawn", offset=9_500_000)
    return script


def trimmed() -> Script:
    script = Script("Bytes that are gone: told once; the screen goes on behind them.")
    script.connect()
    script.hear(wire.OUTPUT, 0, b"start")
    script.gap(5, 100, "trimmed")
    script.gap(5, 50, "trimmed")
    script.hear(wire.OUTPUT, 100, b"on")
    script.call("cut", after_s=1.0, reason="")
    script.call("due")
    script.call("connected")
    return script


def trimmed_to_the_end() -> Script:
    script = Script("All that was missed is gone: live without anything drawn, also a bit later.")
    script.connect()
    script.hear(wire.OUTPUT, 0, b"start")
    script.call("drawn", offset=5)
    script.call("cut", after_s=1.0, reason="")
    script.connect(output=5, live=100, first=100)
    script.gap(5, 100, "trimmed")
    script.hear(wire.OUTPUT, 100, b"more")
    script.call("cut", after_s=1.0, reason="")
    script.connect(output=104, live=300, first=300)
    script.gap(104, 200, "trimmed")
    script.gap(200, 300, "trimmed")
    script.call("drawn", offset=104)
    return script


def dead_link() -> Script:
    script = Script("Without any frame for 6 s a link is dead; the first retry comes at once.")
    script.connect()
    script.call("due", after_s=1.9)
    for _ in range(2):
        script.call("due", after_s=2.0)
    script.call("due", after_s=2.1)
    script.call("due")
    script.call("connected")
    script.call("due", after_s=6.0)
    return script


def backoff() -> Script:
    script = Script("Pauses double up to 5 s; the jitter of 0.5 makes them three quarters.")
    for _ in range(8):
        script.call("due", after_s=5.0)
        script.call("cut", reason="refused")
    script.call("due", after_s=1.0)
    script.call("hurry")
    script.connect()
    script.call("cut", after_s=0.01, reason="flaps")
    return script


def told_to_retry() -> Script:
    script = Script("'Try again' is believed for 60 s; a server that doesn't answer breaks it off.")
    for seconds in (0, 5, 30):
        script.call("due", after_s=seconds)
        script.call("refused", is_final=False, retry_s=0.5, reason="starting")
    script.call("due", after_s=5)
    script.call("cut", reason="refused")
    for seconds in (20, 59, 4):
        script.call("due", after_s=seconds)
        script.call("connected")
        script.hear(wire.BYE, 0, final=False, retry_s=1.0, reason="starting")
    script.call("due", after_s=9)
    return script


def refused_for_good() -> Script:
    script = Script("An unknown session is final.")
    script.call("due")
    script.call("connected")
    script.hear(wire.BYE, 0, final=True, reason="no such session")
    script.call("typed", data=b"x")
    script.call("take_over", key=OTHER_KEY)
    script.call("due", after_s=100)
    return script


def ended() -> Script:
    script = Script("The shell ended: told when all of its output is here.")
    script.connect()
    script.hear(wire.EXIT, 4, code=3, signal=None, t_ns=5, message="", status="Completed")
    script.hear(wire.OUTPUT, 0, b"bye\n")
    script.call("drawn", offset=4)
    script.call("due", after_s=100)
    return script


def ended_while_away() -> Script:
    script = Script("It ended while nobody looked: screen, then the end.", role="viewer")
    script.connect(role="viewer", live=20, output=0, driver=None)
    script.hear(wire.SNAPSHOT, 20, b"last lines")
    script.hear(wire.EXIT, 20, code=None, signal=9, t_ns=7, message="killed", status="Failed")
    return script


def much_input() -> Script:
    script = Script("A paste: at most 256 KiB under way, in frames of 64 KiB, the rest waits.")
    script.connect()
    script.call("typed", data=b"p" * 300_000)
    script.call("typed", data=b"p")
    script.hear(wire.ACCEPTED, 65536)
    script.hear(wire.ACCEPTED, 262144)
    script.hear(wire.ACCEPTED, 1000)
    script.hear(wire.ACCEPTED, 300_001)
    return script


def much_output() -> Script:
    script = Script("DRAWN after 32 KiB, or when all is drawn and 1 KiB or more came.")
    script.connect()
    for start, size_bytes in ((0, 65536), (65536, 1024), (66560, 1000)):
        script.hear(wire.OUTPUT, start, b"o" * size_bytes)
    for offset in (10_000, 32768, 40_000, 65536, 66560, 67560):
        script.call("drawn", offset=offset)
    return script


def nonsense() -> Script:
    script = Script("What can't be ends the connection; five times in a row for good.")
    script.connect()
    script.hear(wire.OUTPUT, 0, b"fine")
    script.hear(wire.OUTPUT, 10, b"a hole")
    script.call("due", after_s=1.0)
    script.call("connected")
    script.hear(wire.WELCOME, 0, b"[]")
    for _ in range(2):
        script.now += 1.0
        script.connect(output=4, live=4)
        script.hear(wire.ACCEPTED, 5)
    script.now += 1.0
    script.connect(output=4, live=4)
    script.hear(wire.NEWS, 0, role="emperor", driver=None, viewers=[])
    return script


SCRIPTS: tuple[Callable[[], Script], ...] = (
    first_attach, snapshot, replay_without_snapshot, resume, fenced_while_away, fenced_live,
    too_far_behind, trimmed, trimmed_to_the_end, dead_link, backoff, told_to_retry,
    refused_for_good, ended,
    ended_while_away, much_input, much_output, nonsense,
)  # fmt: skip


def frames() -> list[dict[str, Any]]:
    """Frames and their messages, byte by byte."""
    said = [
        Frame(wire.PING, 1),
        Frame(wire.OUTPUT, (1 << 53) - 1, b"\x00\xff\x1b[0m"),
        Frame(wire.INPUT, 258, b"\x03"),
        Frame(wire.DRAWN, 1 << 32),
        telling(wire.BYE, 0, final=True, reason="no such session"),
        Frame(200, 7, b"a kind of the future"),
    ]
    return [{"frame": shown(frame), "message": frame.encode().hex()} for frame in said]


def files() -> dict[str, str]:
    """Name and text of each file."""
    made = {
        f"client-{script.__name__.replace('_', '-')}.json": _text(script().as_json())
        for script in SCRIPTS
    }
    return {**made, "terminal-frames.json": _text({"frames": frames()})}


def _text(value: dict[str, Any]) -> str:
    """One step a line."""
    lines = ["{"]
    for n, (key, part) in enumerate(value.items()):
        comma = "," if n + 1 < len(value) else ""
        if isinstance(part, list):
            rows = ",\n".join("  " + json.dumps(row) for row in part)
            lines.append(f'"{key}": [\n{rows}\n]{comma}')
        else:
            lines.append(f'"{key}": {json.dumps(part)}{comma}')
    return "\n".join([*lines, "}"]) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
