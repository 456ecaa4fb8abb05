"""Collect a run's outputs at its end: which files it made, whether they are whole, their hashes.

Runs in a thread beside the loop, reads every file once, and can be abandoned at any time. It runs
only when not one process of the run is left. Where to look is told by `outputs`.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from outlast.run.folder import UPLOADS
from outlast.run.manifest import Entry
from outlast.run.spec import Output
from outlast.supervisor import outputs, whole
from outlast.supervisor.command import CannotStart
from outlast.supervisor.inventory import Inventory
from outlast.supervisor.kernel import open_pidfd, peek_exit
from outlast.supervisor.outputs import MAX_FILES, Item, Place
from outlast.supervisor.tree import plain

_READ_BYTES = 1 << 20
_HASH_THREADS = 4
_NAMED = 20  # problems of one kind that are told one by one
_FOREIGN_NAMED = 1000  # files of before that the manifest names
MAX_COLLECTED = 200_000  # each costs 1 kB here while it is collected, and a file in the store
_TOO_MANY = (
    f"more than {MAX_COLLECTED:,} files were written there; pack them into an archive, or write "
    "them elsewhere"
)

Runner = Callable[[Tuple[str, ...]], int]  # starts a check and returns its pid


class Problem(NamedTuple):
    """As in run.events.OutputProblem."""

    path: str
    problem: str
    message: str
    is_fatal: bool


class Collected(NamedTuple):
    """All that was found."""

    entries: Tuple[Entry, ...]
    foreign: Tuple[str, ...]
    problems: Tuple[Problem, ...]  # the most telling first


class Abandoned(Exception):
    """The collecting was abandoned."""


class Collector:
    """Collects once; `abandon` may be called from another thread."""

    def __init__(
        self,
        places: List[Place],
        before: Inventory,
        working: str,
        run_folder: str,
        run_check: Optional[Runner],
        check_s: float,
    ) -> None:
        """`run_check` None: checks are left out; each may take `check_s` seconds."""
        self._places = places
        self._run_folder = run_folder
        self._before = before
        self._working = working
        self._run_check = run_check
        self._check_s = check_s
        self._is_abandoned = False
        self._checking = 0
        self._made: Dict[str, Tuple[Item, Place]] = {}
        self._doubles: Dict[str, str] = {}  # uploads under the name of an output -> that name
        self._foreign: Set[str] = set()
        self._met = 0
        self._problems: List[Problem] = []
        self._counts: Dict[Tuple[str, bool], int] = {}  # of problems, by kind
        self._declared = {plain(place.name) for place in places if place.output is not None}
        self._faulty: Set[str] = set()  # declared outputs with a problem

    def abandon(self) -> None:
        """Make `collect` raise Abandoned soon."""
        self._is_abandoned = True
        if self._checking:
            _kill_group(self._checking)

    def collect(self) -> Collected:
        """Look, check, hash. Raises Abandoned."""
        for place in self._places:
            self._walk(place)
        for item, place in self._made.values():
            self._check_whole(item, place)
        for place in self._places:
            if place.output is not None and place.output.check:
                self._check(place.name, place.output)
        entries = self._hash_all()
        self._tell_how_many_more()
        problems = sorted(self._problems, key=lambda problem: not problem.is_fatal)
        entries = self._once(entries)
        return Collected(entries, tuple(sorted(self._foreign)), tuple(problems))

    def _walk(self, place: Place) -> None:
        made = foreign = surprising = 0
        is_odd = False
        first = ""
        for item in self._items(place):
            self._pause()
            self._met += 1
            if item.signature is None:
                is_itself = place.output is not None and item.name == place.name
                is_odd = is_odd or is_itself
                self._tell(item.name, "unreadable", item.oddity, is_itself)
            elif self._before.holds(item.signature):
                foreign += 1
                if self._note_foreign(item.name, place):
                    surprising += 1
                    first = min(first or plain(item.name), plain(item.name))
            else:
                made += 1
                self._add(item, place)
            if len(self._made) > MAX_COLLECTED or self._met > MAX_COLLECTED + MAX_FILES:
                self._give_up(place)
                return
        if place.output is not None and place.output.is_required and not made and not is_odd:
            self._miss(place, foreign)
        elif surprising:
            self._tell_foreign(first, surprising)

    def _items(self, place: Place) -> Iterator[Item]:
        refusal = self._before.refused.get(place.path)
        if refusal:
            return iter((Item(place.name, place.path, None, refusal),))
        root = self._before.roots.get(place.path, place.path)
        return outputs.walk(place, root, self._working, self._run_folder)

    def _note_foreign(self, name: str, place: Place) -> bool:
        """Is it a surprise that it was there?"""
        if len(self._foreign) < _FOREIGN_NAMED:
            self._foreign.add(plain(name))
        return not outputs.is_expected(name, place)

    def _give_up(self, place: Place) -> None:
        self._made = {name: made for name, made in self._made.items() if made[1] is not place}
        self._tell(place.name or UPLOADS, "too_many", _TOO_MANY, True)

    def _add(self, item: Item, place: Place) -> None:
        name = item.name
        if place.origin == "upload" and name in self._made:
            self._doubles[f"{UPLOADS}/{name}"] = name
            name = f"{UPLOADS}/{name}"
        self._made.setdefault(name, (item._replace(name=name), place))

    def _miss(self, place: Place, foreign: int) -> None:
        if foreign:
            message = (
                "it was there before the run started and is unchanged: not written by this run"
            )
            self._tell(place.name, "foreign", message, True)
        elif os.path.lexists(place.path):
            self._tell(place.name, "missing", "the declared folder holds no file", True)
        else:
            message = f"it was declared, but not produced: {plain(place.path)} doesn't exist"
            self._tell(place.name, "missing", message + _meant(place.path), True)

    def _tell_foreign(self, first: str, count: int) -> None:
        others = f" (and {count - 1} more)" if count > 1 else ""
        message = f"was there before the run and is unchanged{others}: not counted as produced"
        self._tell(first, "foreign", message, False)

    def _check_whole(self, item: Item, place: Place) -> None:
        self._pause()
        try:
            fd = outputs.open_item(item)
            try:
                damage = whole.damage(fd, item.path)
            finally:
                os.close(fd)
        except OSError:
            return  # the hashing meets the same and tells it
        if damage:
            self._tell(item.name, "truncated", damage, True)

    def _check(self, name: str, output: Output) -> None:
        if self._run_check is None or plain(name) in self._faulty:
            return
        self._pause()
        words = " ".join(output.check)
        try:
            pid = self._run_check(output.check)
        except CannotStart as error:
            reason = error.message.partition(" on the PATH")[0]  # which may be very long
            self._tell(name, "check_failed", f"its check can't be started: {reason}", True)
            return
        said = self._wait_for_check(pid)
        if said:
            self._tell(name, "check_failed", f"its check {said}: {words}", True)

    def _wait_for_check(self, pid: int) -> str:
        """How the check failed; "" when it didn't. Nothing of it is left then."""
        self._checking = pid
        if self._is_abandoned:
            _kill_group(pid)
        fd = open_pidfd(pid)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(int(self._check_s * 1000)):
                _kill_group(pid)
                poll.poll()
                return f"took longer than {self._check_s:g} s"
            ended = peek_exit(pid)
            assert ended is not None, "its pidfd says that it ended"
            if ended.code == 0:
                return ""
            return (
                f"was ended by signal {ended.signal}"
                if ended.code is None
                else f"ended with exit code {ended.code}"
            )
        finally:
            os.close(fd)
            _kill_group(pid)  # before it is reaped, so that the number is still its own
            self._checking = 0
            os.waitpid(pid, 0)
            self._pause()

    def _hash_all(self) -> Tuple[Entry, ...]:
        if not self._made:
            return ()
        import hashlib  # these two cost 4 MB and 5 ms: only for runs with outputs
        import threading

        waiting = list(self._made.values())
        entries: List[Entry] = []
        failures: List[BaseException] = []
        taking = threading.Lock()

        def work() -> None:
            try:
                while True:
                    with taking:
                        if not waiting:
                            return
                        item, place = waiting.pop()
                    self._hash(item, place, hashlib.sha256(), entries)
            except BaseException as error:
                failures.append(error)

        count = min(_HASH_THREADS, os.cpu_count() or 1, len(waiting))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count - 1)]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return tuple(entries)

    def _once(self, entries: Tuple[Entry, ...]) -> Tuple[Entry, ...]:
        """Without uploads that are the output of the same name, byte for byte."""
        if not self._doubles:
            return entries
        digests = {entry.path: entry.sha256 for entry in entries}
        return tuple(
            entry
            for entry in entries
            if digests.get(self._doubles.get(entry.path, "")) != entry.sha256
        )

    def _hash(self, item: Item, place: Place, hasher: Any, entries: List[Entry]) -> None:
        try:
            fd = outputs.open_item(item)
            try:
                data = os.read(fd, _READ_BYTES)
                while data:
                    hasher.update(data)
                    self._pause()
                    data = os.read(fd, _READ_BYTES)
                if not outputs.is_unchanged(fd, item):
                    raise OSError(0, "it changed while it was being collected")
            finally:
                os.close(fd)
        except OSError as error:
            self._tell(item.name, "unreadable", f"can't be collected: {error.strerror}", True)
            return
        assert item.signature is not None, "only files are hashed"
        _, _, size_bytes, mtime_ns, _ = item.signature
        entries.append(
            Entry(item.name, size_bytes, hasher.hexdigest(), mtime_ns, place.origin, item.path)
        )

    def _tell(self, path: str, problem: str, message: str, is_fatal: bool) -> None:
        path = plain(path)
        if path in self._declared:
            self._faulty.add(path)
        kind = (problem, is_fatal)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= _NAMED:
            self._problems.append(Problem(path, problem, plain(message), is_fatal))

    def _tell_how_many_more(self) -> None:
        for (problem, is_fatal), count in self._counts.items():
            if count > _NAMED:
                message = f"{count - _NAMED} more files have the same problem"
                self._problems.append(Problem("…", problem, message, is_fatal))

    def _pause(self) -> None:
        if self._is_abandoned:
            raise Abandoned


def _meant(path: str) -> str:
    """What a declared path may have meant, as "; …"; "" when nobody can tell."""
    folder, name = os.path.split(path)
    try:
        near = sorted(inner for inner in os.listdir(folder) if inner.lower() == name.lower())
    except OSError:
        near = []
    if near:
        return f"; there is {plain(near[0])}, which differs in case"
    if set(name) & set("*?["):
        return "; it is taken as a name, not as a pattern: declare the folder, or each file"
    return ""


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
