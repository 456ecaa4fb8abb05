"""Following runs from a terminal: output once, Ctrl-C detaches, exit as the command did."""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import click

from outlast import units
from outlast.cli import exits, show
from outlast.cli.show import say
from outlast.errors import OutlastError, Trimmed
from outlast.sdk.handle import WAIT_S, RunHandle
from outlast.sdk.shown import Shown

# A second Ctrl-C within this time cancels.
TWICE_S = 2.0
# A run that starts within this time needn't say what it waits for.
START_S = 1.0
# A press that comes right before a system call that waits is noticed after so long at the latest.
LOOK_S = 0.2
# The last lines are looked for in steps that grow up to so much.
FIRST_LOOK_BYTES = 1 << 16
LONGEST_LOOK_BYTES = 1 << 20
# When nothing is printed for so long, it is told once what the run waits for.
QUIET_S = 5.0
STARTED = frozenset(("Running", "Finalizing", "Completed", "Failed", "Canceled"))


class Following:
    """A run's output on this terminal, and where in it we are."""

    def __init__(
        self, handle: RunHandle, start: int = 0, *, is_raw: bool = False, journal: str = "output"
    ) -> None:
        self.handle = handle
        self.next = start
        self._journal = journal
        self._shown = Shown(sys.stdout, is_raw=is_raw)
        self._told: set[tuple[str, str]] = set()

    def so_far(self) -> None:
        """Show what is there."""
        for piece in self.handle.output_so_far(
            self.next, on_trimmed=self._trimmed, journal=self._journal
        ):
            self._take(piece.data, piece.next)
        self._shown.close()

    def to_the_end(self) -> None:
        """Show everything until the run is over; while nothing comes, say once what it waits for.

        What was shown is shown, whatever this raises: call it again to go on.
        """
        if self._journal == "output":
            self._until_started()
        pieces = self.handle.follow_output(
            self.next, on_trimmed=self._trimmed, wait_s=QUIET_S, journal=self._journal
        )
        for piece in pieces:
            self._take(piece.data, piece.next)
            if not piece.data and not piece.is_end:
                self._tell(self.handle.state()[1])
        self._shown.close()

    def note(self, text: str) -> None:
        """A line of Outlast's own amid the output."""
        if not self._shown.is_at_line_start and sys.stdout.isatty():
            click.echo()
        say(text)

    def _take(self, data: bytes, following: int) -> None:
        self._shown.write(data)
        self.next = following

    def _until_started(self) -> None:
        patient_until = time.monotonic() + START_S
        version, state = self.handle.state()
        while state["status"] not in STARTED:
            left_s = patient_until - time.monotonic()
            if left_s <= 0:
                self._tell(state)
            version, state = self.handle.state(version, wait_s=left_s if left_s > 0 else WAIT_S)

    def _tell(self, state: Mapping[str, Any]) -> None:
        standing = (state["status"], state["stage"])
        if standing in self._told or state["status"] == "Running":
            return
        self._told.add(standing)
        self.note(f"{self.handle.id}: {headline(self.handle)}")

    def _trimmed(self, error: Trimmed) -> None:
        gone = units.size(error.first - error.asked)
        self.note(f"{gone} of the output were trimmed away; it goes on at offset {error.first}")


def headline(handle: RunHandle) -> str:
    """Why the run is as it is, in one sentence."""
    try:
        return str(handle.why()["headline"])
    except OutlastError as error:
        return f"{handle.status} (why isn't known: {error.message})"


def tail_offset(handle: RunHandle, lines: int, journal: str = "output") -> int:
    """The offset where the last `lines` lines begin.

    A line ends with "\\n" alone: a progress bar's carriage returns are within its line. Where
    retention has taken the beginning away, that is the first offset that is kept.
    """
    end = start = handle.output_size(journal)
    is_whole = True  # as far as was looked
    look_bytes = FIRST_LOOK_BYTES
    while lines > 0 and start > 0 and is_whole:
        before, start = start, max(0, start - look_bytes)
        look_bytes = min(4 * look_bytes, LONGEST_LOOK_BYTES)
        gone: list[Trimmed] = []
        pieces = handle.output_so_far(start, end=before, on_trimmed=gone.append, journal=journal)
        data = b"".join(piece.data for piece in pieces)
        if gone:
            is_whole, start = False, gone[-1].first
        last_ends = before == end and data.endswith(b"\n")
        newlines = data.count(b"\n")
        wanted = lines + 1 if last_ends else lines
        if newlines >= wanted:
            return start + len(data) - len(data.split(b"\n", newlines - wanted + 1)[-1])
        lines = wanted - newlines
    return start


def to_the_end(handle: RunHandle) -> int:
    """Show the run until it is over, and exit as it did. Ctrl-C detaches; twice cancels."""
    following = Following(handle)
    with Presses() as presses:
        try:
            following.to_the_end()
        except KeyboardInterrupt:
            return _detached(following, presses)
        except BrokenPipeError:
            say(f"nobody reads this any more; run {handle.id} goes on")
            raise
        except OSError:
            say(f"what it prints can't be written here; run {handle.id} goes on")
            raise
    return tell_end(handle)


class Presses:
    """Counts Ctrl-C. The first interrupts; one that comes while it is answered is only counted.

    So two presses are two, however fast they come: the second would else end the answer to the
    first, and the run would go on where its user meant to cancel it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._is_heard = True

    def __enter__(self) -> Presses:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # a shell's background job ignores it
            signal.signal(signal.SIGINT, self._pressed)
            # Python notes a signal and calls its handler later: not while a call waits that was
            # begun in between. An alarm that means nothing makes such a call let Python look.
            signal.signal(signal.SIGALRM, lambda _number, _frame: None)
            signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, self._before)

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._is_heard:
            self._is_heard = False
            raise KeyboardInterrupt

    def come_twice(self) -> bool:
        """Does Ctrl-C come again soon? What is typed instead ends the wait, for the shell."""
        try:
            self.hear()
            if self._count < 2:
                select.select([sys.stdin], [], [], TWICE_S)
        except KeyboardInterrupt:
            return True
        finally:
            self._is_heard = False  # a third one mustn't stop the request to cancel
        return self._count >= 2

    def hear(self) -> None:
        """From here on the next press interrupts again."""
        self._is_heard = True


def _detached(following: Following, presses: Presses) -> int:
    handle = following.handle
    if sys.stderr.isatty():
        click.echo(err=True)  # after the "^C" that the terminal shows
    say(f"detached; run {handle.id} goes on")
    say(f"come back by: outlast logs -f {handle.id}")
    if not sys.stdin.isatty():
        return exits.INTERRUPTED
    say(f"Ctrl-C again within {TWICE_S:g} s cancels it; any other line goes to the shell")
    if not presses.come_twice():
        return exits.INTERRUPTED
    handle.cancel("Ctrl-C twice")
    say(f"canceling {handle.id}")
    try:
        presses.hear()
        following.to_the_end()
    except KeyboardInterrupt:
        say(f"{handle.id} is being canceled.   See: outlast why {handle.id}")
        return exits.INTERRUPTED
    return tell_end(handle)


def until_over(handle: RunHandle) -> int:
    """Wait for the end without showing output; exit as the run did."""
    try:
        handle.wait(raise_on_error=False)
    except KeyboardInterrupt:
        return exits.INTERRUPTED  # the handle has said how to come back
    return tell_end(handle)


def tell_end(handle: RunHandle) -> int:
    """Say on stderr how the run ended and what to look at; the exit code that stands for it."""
    facts = handle.fetch()
    code = exits.of_run(facts)
    if code == exits.OK and not facts["warnings"]:
        say(f"{handle.id} Completed in {show.lasted(facts) or '0 s'}")
    else:
        say(f"{handle.id} {headline(handle)}")
        for _code, message in facts["warnings"]:
            say(f"warning: {message}")
        say(f"more by: outlast why {handle.id}")
    return code
