"""What both ends of a terminal's connection agree on: numbers, roles, and what there is to do.

The ends themselves are pure state machines: no socket, no file, no clock; time is passed in, and
each call returns what its caller has to do next, in order.

    client   ClientHalf    what a client keeps over all its connections
    relay    ServerHalf    the server's side of one connection
    driver   DriverLedger  who types into a session, and how much of it was taken

Frames are in `frame`; FORMATS.md ("Live connections") tells the rules in words.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple, Union

from outlast.wire.frame import Frame

VERSION = 1
DRIVER = "driver"
VIEWER = "viewer"
ROLES = (DRIVER, VIEWER)

# Output sent but not drawn. Enough for 25 MB/s at 10 ms; little enough that Ctrl-C is felt.
WINDOW_BYTES = 256 << 10
# Input sent but not taken by the PTY.
INPUT_WINDOW_BYTES = 256 << 10
# One OUTPUT or INPUT frame.
PIECE_BYTES = 64 << 10
# DRAWN is said after so much, or when all is drawn and it was more than a screen's worth of keys.
DRAWN_STEP_BYTES = 32 << 10
DRAWN_LEAST_BYTES = 1 << 10
# Who is further behind than this gets the screen as it is now, and the count of what was skipped.
BEHIND_BYTES = 4 << 20

# A server that was just started may not know its sessions yet: "try again" is believed so long.
RETRY_BELIEVED_S = 60.0
# No more than 20 connections a second, even if each of them is welcomed and cut.
LEAST_CONNECTION_S = 0.05

MOST_CELLS = 1000  # columns, rows


class Send(NamedTuple):
    """Send this to the other end."""

    frame: Frame


class Draw(NamedTuple):
    """Draw these bytes of the journal; then say drawn(offset + their number)."""

    offset: int
    data: bytes
    is_replay: bool  # queries in it were asked before: the terminal must not answer them


class Reset(NamedTuple):
    """Reset the terminal, draw `data` (a screen, maybe empty); then say drawn(offset)."""

    offset: int
    data: bytes


class Skipped(NamedTuple):
    """The bytes [start, end) of the journal will not be drawn."""

    start: int
    end: int
    why: str  # "skipped" (too far behind), "tail", "trimmed", "lost"


class Live(NamedTuple):
    """All that was there at the attach is drawn: the terminal may answer queries from now on."""


class Sized(NamedTuple):
    """The session has this size, for those who don't drive it."""

    columns: int
    rows: int


class Attached(NamedTuple):
    """Welcomed: the connection is up."""

    session: str
    server: str  # changes when the server was started again
    live: int  # length of the journal at the attach
    first: int  # first offset that is kept


class News(NamedTuple):
    """Who is here."""

    role: str  # this client's
    is_fenced: bool  # another driver took over
    driver: Optional[str]
    viewers: Tuple[str, ...]
    dropped_bytes: int  # typed, but never taken, since another drives now


class Accepted(NamedTuple):
    """The PTY has taken so much of what was typed."""

    total_bytes: int
    queued_bytes: int


class Ended(NamedTuple):
    """The session is over, and all of its output was handed over."""

    code: Optional[int]
    signal: Optional[int]
    t_ns: Optional[int]
    message: str
    status: str


class Closed(NamedTuple):
    """Close the socket, if there is one. Unless final, `due` says when to connect again."""

    is_final: bool
    retry_s: float
    reason: str


class Connect(NamedTuple):
    """Open a connection; then say connected(), cut() or refused()."""


class Forward(NamedTuple):
    """Send this to the supervisor."""

    frame: Frame


class Read(NamedTuple):
    """Read so much of the journal, then say read()."""

    offset: int
    limit_bytes: int


class Picture(NamedTuple):
    """Make a snapshot of the screen as late as possible, then say snapshot() or skip()."""

    has_history: bool  # lines above the screen, too
    up_to: Optional[int] = None  # exactly there, and exact: snapshot() or not_redrawn()


Action = Union[
    Send, Draw, Reset, Skipped, Live, Sized, Attached, News, Accepted, Ended, Closed, Connect,
    Forward,
]  # fmt: skip
Actions = List[Action]


def whole(value: Any, least: int = 0, most: int = (1 << 63) - 1) -> int:
    """This value as an integer in these bounds. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} isn't a whole number from {least} to {most}")
    return value


def cells(value: Any) -> int:
    """A number of columns or rows, brought into its bounds. Raises ValueError."""
    return min(whole(value), MOST_CELLS) or 1
