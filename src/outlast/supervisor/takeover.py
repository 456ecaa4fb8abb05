"""Begin, or go on where a supervisor that was killed had got to.

What happened is read from `events`; what still lives is found by descent and by environment. The
command is never started a second time. How a main process ended is learnt as its parent, from the
kernel by a pidfd, or not at all: then the run is lost, and nobody invents a success.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Dict, List, Optional, Set

from outlast import process
from outlast.errors import Invalid
from outlast.process import Identity, Stat
from outlast.run import events as ev
from outlast.supervisor import inventory, kernel, outputs
from outlast.supervisor.assignment import job_environ, read_launch
from outlast.supervisor.command import NOT_EXECUTABLE
from outlast.supervisor.kernel import Exit
from outlast.supervisor.owner import Word, final_word, last_word
from outlast.supervisor.story import Past
from outlast.supervisor.supervision import Supervision
from outlast.supervisor.tree import described


def begin(supervision: Supervision, past: Past) -> None:
    """Start the command, watch the owner, or take over what an earlier supervisor began."""
    if past.ended is not None:
        supervision.ending.end_again(past.ended)
        return
    supervision.begin()
    try:
        _read_launch(supervision)
    except Invalid as error:
        if not past.is_supervised and not supervision.assignment.is_interactive:
            supervision.fail_to_start("no_launch", error.message, NOT_EXECUTABLE)
            return
    if supervision.assignment.is_interactive:
        _watch(supervision, past)
    elif _is_preparing(supervision, past):
        _prepare(supervision, past)
    elif past.is_supervised or supervision.mode != "command":
        _take_over(supervision, past)
    else:
        _start(supervision)


def _read_launch(supervision: Supervision) -> None:
    assignment = supervision.assignment
    source = assignment.spec.source
    supervision.working = source.folder if source else "/"
    if not assignment.is_interactive:
        launch = read_launch(assignment.folder, assignment.attempt)
        supervision.launch = launch
        supervision.environ = job_environ(assignment, launch)
        supervision.working = launch.folder
        if launch.environment or launch.prepare:
            _enter(supervision)


def _enter(supervision: Supervision) -> None:
    """The command, and whatever else is started for it, runs in its environment, once that is
    there."""
    from outlast.supervisor import preparing  # nothing for others to pay

    launch = supervision.launch
    assert launch is not None, "read before"
    place = preparing.place_of(launch, supervision.folder, supervision.attempt)
    if place is not None:
        supervision.launch, supervision.environ = preparing.inside(
            launch, supervision.environ, supervision.spec, place
        )


def _is_preparing(supervision: Supervision, past: Past) -> bool:
    """Is its environment to be built, or being built? Then the command hasn't begun."""
    if supervision.launch is None or not supervision.launch.prepare:
        return False
    return not (past.is_prepared or past.started or past.exited or past.start_failed)


def _prepare(supervision: Supervision, past: Past) -> None:
    from outlast.supervisor.preparing import Preparation

    def ready() -> None:
        _enter(supervision)
        _start(supervision)

    assert supervision.launch is not None, "asked before"
    reason = _stop_reason(past)
    supervision.seen = supervision.seen._replace(limit=past.limit, stop_reason=reason)
    if past.stoppings:
        last = past.stoppings[-1]
        grace_s = supervision.spec.limits.stop_grace_s
        supervision.ladder.resume(last.reason, last.signal, last.next_ns, grace_s)
    Preparation(supervision, supervision.launch, ready).begin(past)


def _start(supervision: Supervision) -> None:
    launch = supervision.launch
    assert launch is not None, "read before"
    supervision.stage = "running"
    if launch.environment or launch.prepare:
        from outlast.supervisor.preparing import tell_notes

        tell_notes(supervision, launch)
    _take_inventory(supervision)
    refusal = supervision.inventory.refusal()
    if refusal:
        supervision.fail_to_start("outputs", f"outputs: {refusal}", NOT_EXECUTABLE)
        return
    supervision.start_command(launch)


def _take_inventory(supervision: Supervision) -> None:
    places = outputs.places(supervision.spec, supervision.folder, supervision.working)
    owner_since_ns = supervision.spec.created_ns if supervision.assignment.is_interactive else None
    supervision.inventory = inventory.take(
        places, supervision.folder, owner_since_ns=owner_since_ns
    )
    try:
        inventory.save(supervision.folder, supervision.attempt, supervision.inventory)
    except OSError as error:
        message = f"what was in the outputs before can't be kept: {error.strerror}"
        supervision.story.tell(ev.Warned(time.time_ns(), supervision.attempt, "inventory", message))


# --- interactive runs ---


def _watch(supervision: Supervision, past: Past) -> None:
    """Watch the process that owns the run, until it ends the run or dies."""
    owner = _owner(supervision, past)
    if past.started is None:
        _take_inventory(supervision)
        if owner is not None:
            supervision.run_with(owner, is_child=False)
    else:
        _load_inventory(supervision)
        if owner is not None:
            supervision.watch_main(owner, is_child=False)
    if past.exited is not None:
        _recall_exit(supervision, past.exited)
    if past.owner is not None:
        word = Word(past.owner.how, past.owner.message, past.owner.facts)
        supervision.end_owner(word)
    elif past.exited is not None:
        ended = Exit(past.exited.code, past.exited.signal, past.exited.has_core)
        supervision.end_owner(final_word(_word(supervision), ended))
    elif not _watch_owner(supervision, owner):
        supervision.owner_exited(_word(supervision), None)


def _watch_owner(supervision: Supervision, owner: Optional[Identity]) -> bool:
    """False when the owner is gone and nobody can tell how."""
    fd = supervision.assignment.owner_fd
    if fd > 2:
        _when_ended(supervision, fd, lambda fd: _owner_ended(supervision, fd))
        return True
    return owner is not None and _watch_death(
        supervision, owner, lambda fd: _owner_ended(supervision, fd)
    )


def _owner(supervision: Supervision, past: Past) -> Optional[Identity]:
    if past.started is not None:
        return Identity(past.started.pid, past.started.start_ticks, past.started.boot_id)
    if supervision.assignment.owner is None:
        return None
    return Identity(*supervision.assignment.owner, process.boot_id())


def _owner_ended(supervision: Supervision, fd: int) -> None:
    if supervision.stage == "running":
        supervision.owner_exited(_word(supervision), _ended(supervision, fd))


def _word(supervision: Supervision) -> Optional[Word]:
    written = last_word(supervision.folder, supervision.inventory.logged_bytes)
    return written or supervision.said


# --- runs with a command ---


def _take_over(supervision: Supervision, past: Past) -> None:
    _load_inventory(supervision)
    supervision.seen = supervision.seen._replace(
        limit=past.limit,
        stop_reason=_stop_reason(past),
        stopped_main=past.stopped_main,
        problems=tuple(past.problems),
        is_hung_up=supervision.mode != "resume" and supervision.channel.is_held,
    )
    if past.limit:
        supervision.facts["limit"] = past.limit
    supervision.note_leftovers(past.leftover_pids)
    if past.start_failed is not None and past.started is None:
        failed = past.start_failed
        supervision.fail_to_start(failed.reason, failed.message, NOT_EXECUTABLE)
        return
    if past.started is not None:
        supervision.output_offset = past.started.output_offset
        supervision.working = past.started.folder
    main = _main(supervision, past)
    if past.exited is not None:
        _go_on_after_exit(supervision, past.exited, main)
    elif main is None:
        _orphaned(supervision, past)
        supervision.main_ended(None)
    else:
        _go_on_running(supervision, past, main)
    if past.stoppings and supervision.stage in ("running", "leftovers"):
        last = past.stoppings[-1]
        grace_s = supervision.spec.limits.stop_grace_s
        supervision.ladder.resume(last.reason, last.signal, last.next_ns, grace_s)
    if supervision.stage == "leftovers" and not supervision.is_child:
        Strangers(supervision).watch()


def _stop_reason(past: Past) -> str:
    reasons = [stopping.reason for stopping in past.stoppings]
    return "cancel" if "cancel" in reasons else (reasons[0] if reasons else "")


def _load_inventory(supervision: Supervision) -> None:
    loaded = inventory.load(supervision.folder, supervision.attempt)
    if loaded is not None:
        supervision.inventory = loaded


def _main(supervision: Supervision, past: Past) -> Optional[Identity]:
    """Who the main process is: as told, or the oldest process that the kernel handed over."""
    if past.started is not None:
        return Identity(past.started.pid, past.started.start_ticks, past.started.boot_id)
    mine = [stat for stat in process.all_stats().values() if stat.parent == os.getpid()]
    if not mine:
        return None
    # The command is the first that a supervisor starts; this one died before it could tell it.
    oldest = min(mine, key=lambda stat: (stat.start_ticks, stat.pid))
    main = Identity(oldest.pid, oldest.start_ticks, process.boot_id())
    supervision.run_with(main, is_child=True)
    past.started = ev.Started(time.time_ns(), past.attempt, *main, supervision.working, 0)
    return main


def _go_on_after_exit(
    supervision: Supervision, exited: ev.Exited, main: Optional[Identity]
) -> None:
    supervision.main = main
    _recall_exit(supervision, exited)
    supervision.look_for_oom()
    supervision.tell_channel(exited)
    supervision.enter_leftovers()


def _recall_exit(supervision: Supervision, exited: ev.Exited) -> None:
    supervision.seen = supervision.seen._replace(
        code=exited.code,
        signal=exited.signal,
        is_exit_known=exited.code is not None or exited.signal is not None,
    )


def _go_on_running(supervision: Supervision, past: Past, main: Identity) -> None:
    try:
        kernel.peek_exit(main.pid)
        supervision.watch_main(main, is_child=True)
        supervision.limits.rejoin_cgroup(main.pid)
        supervision.children_changed()
        return
    except ChildProcessError:
        _orphaned(supervision, past)
    supervision.watch_main(main, is_child=False)
    supervision.limits.rejoin_cgroup(main.pid)
    if not _watch_death(supervision, main, lambda fd: _stranger_ended(supervision, fd)):
        supervision.main_ended(None)


def _orphaned(supervision: Supervision, past: Past) -> None:
    if not past.is_orphaned:
        told = tuple(described(supervision.tree.members()))
        supervision.story.tell(ev.Orphaned(time.time_ns(), supervision.attempt, told))


def _stranger_ended(supervision: Supervision, fd: int) -> None:
    """Main ended, which isn't our child: the kernel may tell how all the same."""
    supervision.main_ended(_ended(supervision, fd))
    if supervision.stage == "leftovers":
        Strangers(supervision).watch()


# --- processes that aren't children ---


def _ended(supervision: Supervision, fd: int) -> Optional[Exit]:
    assert supervision.main is not None, "it is what ended"
    status = kernel.status_of_stranger(supervision.main.pid, fd)
    return None if status is None else kernel.exit_of(status)


def _watch_death(supervision: Supervision, who: Identity, died: Callable[[int], None]) -> bool:
    """Call `died` with the pidfd when the process ends; False when it is gone already."""
    try:
        fd = kernel.open_pidfd(who.pid)
    except OSError:
        return False
    stat = process.read_stat(who.pid)
    is_who = stat is not None and stat.start_ticks == who.start_ticks
    if not is_who or who.boot_id != process.boot_id():
        os.close(fd)
        return False
    _when_ended(supervision, fd, died)
    return True


def _when_ended(supervision: Supervision, fd: int, died: Callable[[int], None]) -> None:
    def ended() -> None:
        supervision.loop.forget(fd)
        died(fd)
        os.close(fd)

    supervision.loop.watch(fd, ended)


class Strangers:
    """Watches the run's processes that aren't children of this one: no SIGCHLD tells their end."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._watched: Dict[int, int] = {}  # pid -> start time

    def watch(self) -> None:
        """Watch all that are there, and at each end look for those that came since."""
        supervision = self._supervision
        if supervision.stage != "leftovers":
            return
        members: List[Stat] = supervision.tree.members()
        alive: Set[int] = {stat.pid for stat in members}
        for pid in set(self._watched) - alive:
            del self._watched[pid]
        for stat in members:
            if self._watched.get(stat.pid) != stat.start_ticks:
                self._watched[stat.pid] = stat.start_ticks
                who = Identity(stat.pid, stat.start_ticks, process.boot_id())
                if not _watch_death(supervision, who, lambda _: self.watch()):
                    supervision.loop.after("strangers", 0.05, self.watch)
        if not members:
            supervision.loop.after("strangers", 0.05, self.watch)
            supervision.look_for_the_rest()
