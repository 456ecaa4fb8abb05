"""The story of one attempt, from the start of its command to its last word.

    preparing  its environment is being built (see `preparing`); most runs have none
    running    the main process lives; of an interactive run, the process that owns it
    leftovers  it ended; other processes of the run live
    outputs    none is left; outputs are read and the verdict is made
    over       end.json is there

Who belongs to the run is told by `tree`; signals are in `stop`, the end in `ending`. A supervisor
that takes over from one that was killed begins in `takeover`; from there on the story is the same.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Dict, List, Optional, Set

import outlast
from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run.verdict import Observed
from outlast.supervisor import command, inventory, kernel, memory, outputs
from outlast.supervisor.assignment import Assignment, Launch
from outlast.supervisor.channel import Channel, Desk, End
from outlast.supervisor.collect import Collector
from outlast.supervisor.complaint import complain
from outlast.supervisor.control import Control
from outlast.supervisor.ending import Ending, Gathered, sync_file
from outlast.supervisor.kernel import Exit
from outlast.supervisor.leftovers import Leftovers
from outlast.supervisor.limits import Limits
from outlast.supervisor.loop import Loop, now_s, wall_ns
from outlast.supervisor.owner import Word, final_word, last_word, word_in
from outlast.supervisor.room import Room
from outlast.supervisor.stop import Ladder
from outlast.supervisor.story import Story
from outlast.supervisor.tree import Tree, described, plain

HEARTBEAT_S = 5.0
_SYNC_S = 1.0
_LOOK_S = 1.0
_FULL_BYTES = 16 << 10  # a full disk: less room than this
# What ends by itself right after the main process (a resource tracker, a `tee`) is no leftover.
_SETTLE_S = 0.3
# SIGCHLD may come by the thousand; the table of processes is read at most this often for it.
_SCAN_PAUSE_S = 0.05


class Supervision:
    """One attempt of one run. The methods below are called by the loop, never two at a time."""

    def __init__(self, assignment: Assignment, channel: Channel, mode: str) -> None:
        self.assignment = assignment
        self.channel = channel
        self.mode = mode
        self.spec = assignment.spec
        self.folder = assignment.folder
        self.attempt = assignment.attempt
        self.loop = Loop()
        self.story = Story(self.folder.file(names.EVENTS), self.loop)
        self.room = Room(self.folder)
        self.tree = Tree(self.folder.path)
        self.limits = Limits(self.spec, self.attempt, self.loop, self.tree, self.reach)
        self.ladder = Ladder(
            self.attempt, self.tree, self.story, self.loop, self.look_for_the_rest,
            hangs_up=channel.hangs_up,
        )  # fmt: skip
        self.ending = Ending(assignment, self.story, self.loop, self._over)
        self.stage = "running"
        self.when_child_ended: Optional[Callable[[], None]] = None  # while preparing
        self.main: Optional[Identity] = None
        self.is_child = False  # is main this process's own child?
        self.seen = Observed()
        self.said: Optional[Word] = None  # the owner's word that it is about to end
        self.facts: Dict[str, Any] = {}
        self.launch: Optional[Launch] = None
        self.environ: Dict[str, str] = {}
        self.working = ""
        self.output_offset = 0
        self.inventory = inventory.nothing()
        self.witness = memory.Witness()
        self._has_to_settle = True  # how main ended isn't on the disk yet
        self._exited: Optional[ev.Exited] = None
        self._is_unbegun = False
        self._ended_s = 0.0
        self._leftovers: Optional[Leftovers] = None
        self._leftover_pids: Set[int] = set()
        self._outline: Any = None
        self._scanned_s = 0.0
        self._logged_bytes: Dict[str, int] = {}
        self.when_over: List[Any] = []  # replies that wait for the end
        self.control: Optional[Control] = None

    # --- alive ---

    def begin(self) -> None:
        """Say who is in charge, and keep saying that this process lives."""
        me = Identity.of(os.getpid())
        assert me is not None, "this process is in /proc"
        host = plain(os.uname().nodename)
        self._beat()
        self.story.tell(
            ev.Supervised(time.time_ns(), self.attempt, self.mode, *me, host, outlast.__version__)
        )

    def _beat(self) -> None:
        self.loop.after("heartbeat", HEARTBEAT_S, self._beat)
        self.room.keep()
        try:
            os.utime(self.folder.file(names.LEASE), follow_symlinks=False)
        except OSError as error:
            complain(f"no heartbeat: {error}")
        if self.main is not None and self.stage == "running":
            self.witness.look(self.main.pid)
        if self.control is not None and self.stage != "over":
            self._listen()

    def listen(self, control: Control) -> None:
        """Take requests from now on, or as soon as the socket can be made."""
        self.channel.serve(Desk(self.loop, self.story.tell, self.reach))
        self.control = control
        self._listen()

    def _listen(self) -> None:
        assert self.control is not None, "set by listen()"
        try:
            self.control.open()
        except OSError as error:  # a full disk has no room for a socket's name either
            complain(f"no control socket yet: {error}")

    def sync_logged(self) -> None:
        """Put what the script has logged since the last time on the disk."""
        self.loop.after("sync", _SYNC_S, self.sync_logged)
        try:
            entries = list(os.scandir(self.folder.path))
        except OSError:  # the folder is gone; the end will tell
            return
        for entry in entries:
            if entry.name.startswith(names.LOGGED_PREFIX):
                size_bytes = entry.stat(follow_symlinks=False).st_size
                start = self._logged_bytes.get(entry.name, 0)
                if start != size_bytes:
                    self._logged_bytes[entry.name] = size_bytes
                    sync_file(entry.path)
                    self._listen_to_owner(entry.name, start)

    def _listen_to_owner(self, journal: str, start: int) -> None:
        """An owner that ended its run before this process could be reached is heard here."""
        if self.main is None or not self.assignment.is_interactive or self.stage != "running":
            return
        if journal.startswith(f"{names.LOGGED_PREFIX}{self.main.pid}-{self.main.start_ticks}-"):
            word = word_in(self.folder.file(journal), start)
            if word is not None and word.how != "exit":
                self.end_owner(word)

    # --- running ---

    def start_command(self, launch: Launch) -> None:
        """Start the command, or tell why it can't be started."""
        self.output_offset = _size(self.folder.file(names.OUTPUT))
        environ = {**self.channel.variables(), **self.environ}
        try:
            if self.spec.distributed.kind:
                from outlast.supervisor import ranked  # few runs have ranks

                launch = ranked.started_by(launch, environ, self.folder, self.attempt)
            if self.spec.inputs or self.spec.deliveries:
                from outlast.supervisor import supplied  # few runs have datasets

                launch = supplied.started_by(launch, environ, self.folder)
            pid = self.channel.start(launch, environ, cgroup_procs=self.limits.make_cgroup())
        except command.CannotStart as error:
            self.fail_to_start(error.reason, error.message, error.exit_code)
            return
        main = Identity.of(pid)
        assert main is not None, "it isn't reaped, so it is in /proc"
        self.run_with(main, is_child=True)

    def fail_to_start(self, reason: str, message: str, exit_code: int) -> None:
        """The command never ran."""
        message = plain(message)
        failed = ev.StartFailed(time.time_ns(), self.attempt, reason, message)
        self.story.tell(failed)
        self.seen = self.seen._replace(start_failure=failed.short, start_reason=reason)
        self.facts.update(exit_code=exit_code, reason=reason)
        if self.stage == "preparing":
            self.end_unbegun()
        else:
            self._finish(is_to_collect=False)

    def end_unbegun(self) -> None:
        """The command never runs; whatever builds its environment still is ended first."""
        self._is_unbegun = True
        self.stage = "leftovers"
        if self.tree.members() and not self.ladder.rung:
            self.stop("environment", 0.0)
        self.look_for_the_rest()

    def run_with(self, main: Identity, *, is_child: bool) -> None:
        """The main process runs: tell it, and set its limits."""
        self.story.tell(
            ev.Started(time.time_ns(), self.attempt, *main, plain(self.working), self.output_offset)
        )
        self.watch_main(main, is_child=is_child)

    def watch_main(self, main: Identity, *, is_child: bool) -> None:
        """Set the limits of a main process that runs already."""
        self.main, self.is_child = main, is_child
        self.room.keep()
        self.witness.look(main.pid)
        self.limits.watch(main)

    def reach(self, limit: str, allowed: float, observed: float) -> None:
        """A limit is reached: say it, and end everything."""
        if self.stage not in ("preparing", "running", "leftovers"):
            return
        self._note_limit(limit, allowed, observed)
        if self.assignment.is_interactive:  # its owner is the user's own process: let it live
            self._finish()
        else:
            self._stop_for_limit()

    def _note_limit(self, limit: str, allowed: float, observed: float) -> None:
        if not self.seen.limit:
            self.seen = self.seen._replace(limit=limit)
            self.facts.update(limit=limit, allowed=allowed, observed=observed)
            self.story.tell(ev.LimitReached(time.time_ns(), self.attempt, limit, allowed, observed))

    def _stop_for_limit(self) -> None:
        # What outgrew its memory grows on during a grace.
        is_memory = self.seen.limit == "memory_bytes"
        self.stop(self.seen.limit, 0.0 if is_memory else self.spec.limits.stop_grace_s)

    def stop(self, reason: str, grace_s: float) -> List[Dict[str, Any]]:
        """Begin to end the run's processes, or go to the next rung; returns those that live."""
        self._note_stop(reason)
        if self.ladder.rung and grace_s > 0:
            return described(self.tree.members())
        self._stop_looking_at_leftovers()
        told = self.ladder.kill() if self.ladder.rung else self.ladder.start(reason, grace_s)
        if self.stage == "leftovers":
            self.look_for_the_rest()
        return told

    def _note_stop(self, reason: str) -> None:
        is_first = not self.seen.stop_reason
        if is_first:
            self.seen = self.seen._replace(stopped_main=self.stage == "running")
        # A cancel counts also when leftovers were being ended already.
        if is_first or reason == "cancel":
            self.seen = self.seen._replace(stop_reason=reason)

    # --- the main process ends ---

    def children_changed(self) -> None:
        """Some child ended: main perhaps, or a process that was orphaned and became ours."""
        if self.is_child and self.main is not None and self._exited is None:
            ended = kernel.peek_exit(self.main.pid)
            if ended is not None:
                self.main_ended(ended)
        if self.when_child_ended is not None:
            self.when_child_ended()
        if self.stage in ("running", "leftovers"):
            self._reap()
        if self.stage == "leftovers":
            self.look_for_the_rest()

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            # Until `exited` is on the disk, main stays unreaped: whoever takes over learns it too.
            # (It may have ended just now, after it was looked at: then SIGCHLD comes again.)
            if found is None or (self._has_to_settle and self._is_main(found.si_pid)):
                return
            os.waitpid(found.si_pid, 0)

    def _is_main(self, pid: int) -> bool:
        return self.is_child and self.main is not None and self.main.pid == pid

    def main_ended(self, ended: Optional[Exit]) -> None:
        """The main process is over; None: nobody can tell how."""
        full_disk = self._full_disk()  # asked first: room may return at any moment
        self.channel.drain()
        known = ended or Exit(None, None, False)
        self.seen = self.seen._replace(
            code=known.code, signal=known.signal, is_exit_known=ended is not None
        )
        self._exited = ev.Exited(
            time.time_ns(), self.attempt, *known, _size(self.folder.file(names.OUTPUT))
        )
        self.story.tell(self._exited)
        self._settle()
        self.look_for_oom()
        if self.seen.code and not self.seen.stopped_main and full_disk:
            # What a full disk ended has no room left to print that it was so.
            message = f"the disk of {plain(full_disk)} was full when the command ended"
            self.story.tell(ev.Warned(time.time_ns(), self.attempt, "disk_full", message))
        self.tell_channel(self._exited)
        self.enter_leftovers()

    def tell_channel(self, exited: ev.Exited) -> None:
        """Tell those who are attached how the main process ended."""
        self.channel.ended(End.of(exited, self.spec.kind, self.seen))

    def _settle(self) -> None:
        if self.story.sync():
            self._has_to_settle = False
            if self.stage in ("running", "leftovers"):
                self._reap()
        else:
            self.loop.after("settle", _LOOK_S, self._settle)

    def look_for_oom(self) -> None:
        """Did the kernel end it for memory? By the run's own limit, or because all was full."""
        seen = self.seen
        if self.limits.has_killed() and not seen.limit:
            self.limits.reach_memory(self._note_limit)
        if self.main is None:  # nobody ever learnt who it was
            return
        if seen.signal == signal.SIGKILL and not seen.stopped_main:
            oom = self.witness.evidence(self.main.pid)
            self.seen = self.seen._replace(oom=oom)
            if oom:
                self.facts["oom"] = oom
        elif seen.code and not seen.stopped_main:
            text = self.witness.others()
            if text:
                message = f"the kernel killed a process for memory while it ran: {text}"
                self.story.tell(ev.Warned(time.time_ns(), self.attempt, "oom", message))

    def _full_disk(self) -> str:
        """Which of the run's folders lies on a full disk; "" if none does."""
        return next((path for path in (self.folder.path, self.working) if _is_full(path)), "")

    # --- leftovers ---

    def enter_leftovers(self) -> None:
        """Wait for everything else that belongs to the run."""
        self.stage = "leftovers"
        self._ended_s = now_s()
        self._scanned_s = 0.0
        if not self.ladder.rung:
            self.loop.after("leftovers", _SETTLE_S, self._look_at_leftovers)
        self.look_for_the_rest()
        if self.seen.limit and not self.ladder.rung and self.stage == "leftovers":
            self._stop_for_limit()

    def look_for_the_rest(self) -> None:
        """Is not one process left? Then go on."""
        if self.stage != "leftovers":
            return
        pause_s = self._scanned_s + _SCAN_PAUSE_S - now_s()
        if pause_s > 0:
            self.loop.after("rest", pause_s, self.look_for_the_rest)
            return
        self._scanned_s = now_s()
        if not self.channel.is_at_rest:
            self.loop.after("rest", _LOOK_S, self.look_for_the_rest)
        elif self.tree.is_empty():
            self._tree_ended()

    def _look_at_leftovers(self) -> None:
        members = self.tree.members()
        if not members:
            self.loop.after("leftovers", _SCAN_PAUSE_S, self._look_at_leftovers)
            self.look_for_the_rest()
            return
        if self._leftovers is None:
            self._leftovers = Leftovers([place.path for place in self._places()])
        look = self._leftovers.look(members)
        limits = self.spec.limits
        # One deadline at once for policies that don't wait.
        is_waiting = self.spec.policy.leftovers == "wait"
        deadline_s = self._ended_s + (limits.leftovers_s if is_waiting else 0.0)
        idle_s = look.idle_since_s + limits.idle_leftovers_s if look.idle_since_s else 0.0
        if look.outline() != self._outline:
            self._outline = look.outline()
            idle_ns = wall_ns(idle_s) if idle_s else 0
            self.story.tell(
                ev.Leftovers(
                    time.time_ns(), self.attempt, look.processes, wall_ns(deadline_s), idle_ns
                )
            )
        self.note_leftovers({int(told["pid"]) for told in look.processes})
        if now_s() >= deadline_s:
            self.stop("leftovers", limits.stop_grace_s)
        elif idle_s and now_s() >= idle_s:
            self.stop("idle_leftovers", limits.stop_grace_s)
        else:
            self._look_again(deadline_s, idle_s)

    def _look_again(self, deadline_s: float, idle_s: float) -> None:
        # Each of these looks before it judges: a process may have begun to work again.
        self.loop.after("leftovers", _LOOK_S, self._look_at_leftovers)
        self.loop.at("leftovers deadline", deadline_s, self._look_at_leftovers)
        if idle_s:
            self.loop.at("idle leftovers", idle_s, self._look_at_leftovers)
        else:
            self.loop.cancel("idle leftovers")

    def note_leftovers(self, pids: Set[int]) -> None:
        """Count these among the processes that outlived main."""
        self._leftover_pids |= pids
        self.seen = self.seen._replace(leftover_count=len(self._leftover_pids))

    def _stop_looking_at_leftovers(self) -> None:
        for timer in ("leftovers", "leftovers deadline", "idle leftovers"):
            self.loop.cancel(timer)

    def _tree_ended(self) -> None:
        if not self._is_unbegun:
            self.story.tell(ev.TreeEnded(time.time_ns(), self.attempt))
        self._finish(is_to_collect=not self._is_unbegun)

    # --- the end ---

    def owner_exited(self, word: Optional[Word], ended: Optional[Exit]) -> None:
        """The owner's process is over, in the way `ended` if the kernel told, after this word."""
        if self.stage != "running":
            return
        if ended is not None:
            self.seen = self.seen._replace(code=ended.code, signal=ended.signal)
            self.story.tell(ev.Exited(time.time_ns(), self.attempt, *ended))
        self.end_owner(final_word(word, ended))

    def end_owner(self, word: Word) -> None:
        """The owner of an interactive run ended it, or died (how = died)."""
        if self.stage != "running":
            return
        self.story.tell(ev.OwnerEnded(time.time_ns(), self.attempt, *word))
        self.hear(word)
        self._finish()

    def hear(self, word: Word) -> None:
        """The script's own word counts in the verdict."""
        self.seen = self.seen._replace(
            owner=word.how, owner_message=word.message, owner_facts=word.facts
        )
        self.facts = {**word.facts, **self.facts}

    def _finish(self, *, is_to_collect: bool = True) -> None:
        """Nothing of the run is left (or it is its owner's): gather, judge, write it down."""
        self.stage = "outputs"
        self._stop_looking_at_leftovers()
        self.ladder.over()
        self.limits.cancel()
        self.loop.cancel("rest")
        if not self.assignment.is_interactive:
            word = last_word(self.folder, self.inventory.logged_bytes)
            if word is not None:
                self.hear(word)
        # What somebody saw on a terminal is no log of this run.
        is_asked = self.spec.kind == "command" and self.spec.policy.on_logged_error != "ignore"
        offset = self.output_offset if is_asked else None
        collector = self._collector() if is_to_collect else None
        self.ending.gather(collector, offset, self._judge)

    def _collector(self) -> Collector:
        is_well = self.seen.code == 0 and not self.seen.stop_reason and not self.seen.limit
        is_checked = is_well or self.seen.owner == "complete"
        return Collector(
            self._places(),
            self.inventory,
            self.working,
            self.folder.path,
            self._run_check if is_checked else None,
            self.spec.limits.storage_s,
        )

    def _run_check(self, words: Any) -> int:
        environ = self.environ or dict(os.environ)
        return command.start(words, environ, self.working, self.folder.file(names.OUTPUT))

    def _places(self) -> List[outputs.Place]:
        return outputs.places(self.spec, self.folder, self.working)

    def _judge(self, found: Gathered) -> None:
        if self.seen.leftover_count:
            self.facts["leftovers"] = self.seen.leftover_count
        self.ending.judge(self.seen, self.facts, found)

    def _over(self) -> None:
        self.stage = "over"
        self.room.give_back()
        for reply in self.when_over:
            reply({"ok": True})
        self.channel.close()
        if self.control is not None:
            self.control.close()
        self.loop.is_over = True


def _is_full(path: str) -> bool:
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _FULL_BYTES or (disk.f_files > 0 and disk.f_favail == 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
