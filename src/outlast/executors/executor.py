"""The contract of an executor: it starts supervisors, says whether they live, and stops them.

An executor never decides what becomes of a run: it reports evidence. It keeps nothing that a
restarted server would miss; whatever it must find again stands in the run's folder or in /proc.
A new executor is one file on this shelf that passes `tests/executors/contract.py`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

from outlast.process import Identity
from outlast.run.folder import RunFolder

Mode = Literal["command", "adopt"]
ALIVE: Final = "alive"  # a process supervises the run
GONE: Final = "gone"  # none does any more
REBOOTED: Final = "rebooted"  # the machine that ran it has been started anew


class Sight(NamedTuple):
    """What an executor sees of a run's supervisor."""

    found: Literal["alive", "gone", "rebooted"]
    supervisor: Identity | None = None  # who it is, when alive
    heartbeat_ns: int = 0  # mtime of the lease; 0 = there never was one


class Executor(Protocol):
    """One way to run supervisors."""

    @property
    def name(self) -> str:
        """What a spec's `executor` says to choose this one."""

    def launch(self, folder: RunFolder, attempt: int, *, mode: Mode = "command") -> Identity:
        """Start a supervisor for this attempt and return who it is, without waiting for its word.

        `launch.json` stands in the folder already. When it returns, the supervisor lives apart from
        the caller: in its own session, with no descriptor and no variable of it.
        Raises Unreachable when it can't be started now (nothing of it is left then).
        """

    def poll(self, folder: RunFolder, supervisor: Identity | None) -> Sight:
        """Look for the run's supervisor: `supervisor`, or another that took its place.

        "gone" is proof: no process supervises the folder. A stopped or a silent process is alive.
        """

    def stop(self, folder: RunFolder, reason: str, *, force: bool = False) -> bool:
        """Ask the supervisor to end the run; True once it took the request.

        With `force`, grace is left out, and when no supervisor answers the run's own processes are
        killed; then True means that there is nothing left to kill, and no supervisor that could
        start anything. The outcome is learnt from the journals, not from here.
        """

    def remains(self, folder: RunFolder) -> list[int]:
        """The pids of the run's own processes that live, whoever supervises them."""

    def reap(self) -> None:
        """Let the system forget the supervisors that have ended. Cheap; never waits."""

    def explain(self, folder: RunFolder, supervisor: Identity | None) -> str:
        """One sentence for a person: where the supervisor is and what it does."""
