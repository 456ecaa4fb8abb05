"""The scheduler: runs come in, are started, watched, stopped, stored and finished.

Everything that happens to a run is an event in its folder; `Scribe` reads it, and what `step` then
asks for is carried out here (`_carry`), or found again at the next start (`pending`). This file
only ties the parts together; each rule stands in its own: `queue`, `dispatch`, `lease`, `adopt`,
`stopping`, `finish`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from outlast.artifacts.blobs import Blobs
from outlast.config import Settings
from outlast.errors import Conflict, Corrupt, Invalid, NotFound, OutlastError
from outlast.executors import kit
from outlast.executors.executor import Executor
from outlast.executors.local import LocalExecutor
from outlast.ids import check_run_id
from outlast.run import state as runs
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.run.state import RunState
from outlast.scheduler import adopt, decisions, launching, machine
from outlast.scheduler.changes import Changes
from outlast.scheduler.dispatch import Dispatch
from outlast.scheduler.finish import Storing
from outlast.scheduler.intake import Intake
from outlast.scheduler.launching import Launch
from outlast.scheduler.notices import Notices
from outlast.scheduler.pending import Accept, Begin, Pending, Watch, pending
from outlast.scheduler.queue import Facts, Queue
from outlast.scheduler.registering import Registering
from outlast.scheduler.retention import Retention
from outlast.scheduler.scribe import News, Scribe, now_ns
from outlast.scheduler.slots import Held, Slots, Totals
from outlast.scheduler.stopping import Stopping
from outlast.scheduler.supervisors import Supervisors
from outlast.store import compute, deletion
from outlast.store import runs as store_runs
from outlast.store.compute import Target
from outlast.store.database import Database

_log = logging.getLogger(__name__)

THREADS = 8  # for preparing, launching, looking and stopping
STORING_THREADS = 2
RETRY_S = 1.0
HOUSE_KEEPING_S = 60.0
PRINTING = ("command", "interactive", "sweep")  # of these the output is kept within its quota here
Result = TypeVar("Result")


class Scheduler:
    """The one scheduler of a workspace. Its methods are for the loop that `start` ran on."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        blobs: Blobs,
        *,
        executors: Mapping[str, Executor] | None = None,
        printed: Callable[[RunFolder], None] | None = None,
    ) -> None:
        """`executors` by name; by default the local one on a freshly staged kit.

        `printed` is called for each session that prints, every second at most, and at the start.
        """
        self._settings = settings
        self._database = database
        self._blobs = blobs
        self._runs_folder = os.path.abspath(settings.runs_folder)
        self._executors: dict[str, Executor] = dict(executors or {})
        self._pool = ThreadPoolExecutor(THREADS, "outlast-work")
        self._storing_pool = ThreadPoolExecutor(STORING_THREADS, "outlast-store")
        self._slots = Slots(machine.totals(settings))
        self._specs: dict[str, RunSpec] = {}  # of runs that are not settled
        self._states: dict[str, RunState] = {}
        self._known: set[str] = set()  # taken up, or being taken up
        self._tasks: set[asyncio.Task[None]] = set()
        self.has_taken_up = asyncio.Event()  # each run that was there at the start has been read
        self.changes = Changes()
        self._printed = printed
        self._queue = Queue(self._slots)
        self._retention = Retention(settings.output_quota_bytes)

    # --- life ---

    async def start(self) -> None:
        """Begin to look after the workspace; runs that are there are taken up in the background.

        Raises Unreachable when the workspace can't be written.
        """
        await self.in_pool(lambda: os.makedirs(self._runs_folder, mode=0o700, exist_ok=True))
        self._kit_folder = await self.in_pool(lambda: kit.stage(self._settings.home))
        self._executors.setdefault("local", LocalExecutor(self._kit_folder))
        self._scribe = Scribe(self._database, self._runs_folder, self._on_news, self._on_missing)
        self._stopping = Stopping(self._pool)
        self._supervisors = Supervisors(self._scribe, self._database, self)
        stores = (self._scribe, self._database, self._blobs, self._storing_pool, self.folder)
        self._registering = Registering(*stores)
        self._storing = Storing(*stores, self._registering.carry_out)
        self._dispatch = Dispatch(
            self._queue,
            self._scribe,
            self._executors,
            self._blobs,
            self._pool,
            self._kit_folder,
            self._supervisors.watch,
        )
        self._intake = Intake(
            self._runs_folder,
            self._settings.home,
            self._database,
            self._blobs,
            self._executors,
            self._slots,
        )
        # Before the first look: what comes during it must be noticed.
        self._notices = Notices(self._runs_folder, self)
        self.spawn(self._take_up_all())
        self.spawn(self._supervisors.leases.run())
        self.spawn(self._keep_house())
        self.spawn(self._retention.run(self._printing, self.in_pool))

    async def stop(self) -> None:
        """Stop looking after the workspace; runs go on."""
        self._notices.close()
        await self._dispatch.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stopping.close()
        await self._storing.close()
        await self._registering.close()
        self._supervisors.leases.close()
        await self._scribe.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._storing_pool.shutdown(wait=True, cancel_futures=True)

    # --- what the doors ask for ---

    async def submit(
        self, spec: RunSpec | Mapping[str, Any], launch: Launch | Mapping[str, Any]
    ) -> RunSpec:
        """Take a run in; it is on the disk and in the index when this returns.

        Raises Invalid (naming the field), Conflict (the id is taken), DiskFull or Unreachable;
        there is no such run then.
        """
        checked = await self.in_pool(lambda: self._intake.check(spec, launch))
        is_known = checked.spec.id in self._known
        self._known.add(checked.spec.id)
        try:
            await self.in_pool(lambda: self._intake.write(checked))
        except BaseException:
            if not is_known:
                self._known.discard(checked.spec.id)
            raise
        self._notices.watch(checked.spec.id)
        await self._scribe.read(checked.spec.id)
        return checked.spec

    async def cancel(
        self, run_id: str, *, by: str = "", reason: str = "", force: bool = False
    ) -> RunState:
        """Ask for the run to be stopped; one that is over stays as it is. Raises NotFound.

        `force` leaves out grace, and kills also what an unreachable supervisor can't.
        """
        state = await self._scribe.decide(
            run_id, decisions.cancel(now_ns(), by, reason), is_synced=True
        )
        if force and not state.is_over and not state.outcome:
            executor = self.executor_of(run_id)
            self._stopping.begin(self.folder(run_id), executor, "cancel", force=True)
        return state

    async def retry(
        self,
        run_id: str,
        launch: Launch | Mapping[str, Any] | None = None,
        *,
        new_id: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> RunSpec:
        """Submit the same again as a new run, whose `retry_of` names this one.

        `new_id` names it (default: a fresh id): asked for again under the same id, the answer is
        the same run. Without `launch` the command is the one that was kept, in `environ` or,
        without it, in the variables that were kept. Raises NotFound, or Conflict when secrets were
        starred out and are not in `environ`: they were not kept, so it must be submitted again.
        """
        spec = await self._spec(run_id)
        known = await self._repeat(run_id, new_id)
        if known is not None:
            return known
        again, kept = await self.in_pool(lambda: self._intake.again(spec, new_id, environ))
        try:
            return await self.submit(again, launch if launch is not None else kept())
        except Conflict:
            known = await self._repeat(run_id, new_id)  # the same request came a moment earlier
            if known is None:
                raise
            return known

    async def _repeat(self, run_id: str, new_id: str) -> RunSpec | None:
        """The run of this id, if it repeats that one."""
        # Its folder is asked first: it may have come this very moment.
        if not new_id or not await self.meet(new_id):
            return None
        known = await self._spec(new_id)
        return known if known.retry_of == run_id else None

    async def delete(self, run_id: str) -> None:
        """Remove a run that is over: its folder, then its rows. Raises NotFound, Conflict."""
        state = await self.state(run_id)
        if state is None:
            raise NotFound(f"there is no run {run_id}", hint="outlast ls")
        if not state.is_over:
            raise Conflict(
                f"run {run_id} is {state.status}: only a run that is over can be deleted",
                hint=f"outlast cancel {run_id}",
            )
        self._notices.forget(run_id)
        folder = self.folder(run_id)
        await self.in_pool(lambda: self._delete(folder))
        self._known.discard(run_id)
        self._forget(run_id)
        self._scribe.forget(run_id)
        self.changes.forget(run_id)

    async def push_outputs(self, run_id: str) -> RunState:
        """Store the run's outputs now. Raises what keeps them from being stored."""
        state = await self._scribe.read(run_id)
        if not state.outcome and not state.is_over:
            raise Conflict(f"run {run_id} is {state.status}: its outputs are not complete yet")
        if not state.is_committed:
            await self._storing.push(run_id)
        return await self._scribe.read(run_id)

    async def state(self, run_id: str) -> RunState | None:
        """The run's state; None when there is no such run."""
        if run_id in self._states:
            return self._states[run_id]

        def read() -> RunState | None:
            with self._database.read() as connection:
                try:
                    return store_runs.state_of(connection, run_id)[1]
                except NotFound:
                    return None

        return await self.in_pool(read)

    async def catch_up(self, run_id: str = "") -> None:
        """Read what one run, or each, has written up to now: who asks next is told of it."""
        self._notices.look_now()
        await asyncio.sleep(0)  # what has just appeared takes its place among the others
        await self._scribe.catch_up(run_id)

    async def meet(self, run_id: str) -> bool:
        """Is there such a run after all? A script's own may have come this very moment."""
        try:
            folder = self.folder(check_run_id(run_id))
            if not await self.in_pool(lambda: os.path.isdir(folder.path)):
                return False
            await self._scribe.read(run_id)
        except (NotFound, Invalid, Corrupt):
            return False
        return True

    def queue_view(self) -> dict[str, Any]:
        """Slots and queue as plain JSON values, for /api/status."""
        now = now_ns()
        waiting = []
        for entry in self._queue:
            facts = self._queue.explain(entry.run_id, now)
            waits_for = facts.waits_for if facts is not None else ""
            waiting.append({"id": entry.run_id, "since_ns": entry.since_ns, "waits_for": waits_for})
        slots = {"total": self._slots.totals._asdict(), "free": self._slots.free._asdict()}
        return {"slots": slots, "queue": waiting}

    def set_target(self, target: Target) -> None:
        """There is this compute target now, with so many nodes."""
        self._queue.pools.set(target.name, target.nodes)
        self._dispatch.pump()

    def drop_target(self, name: str) -> None:
        """There is no such compute target any more."""
        self._queue.pools.drop(name)

    def runs_of_target(self, name: str) -> tuple[list[str], list[str]]:
        """Ids of the runs that are on a target, and of those that wait for it."""
        alive = (run_id for run_id, state in self._states.items() if not state.is_over)
        on = [run_id for run_id in alive if self._specs[run_id].target == name]
        waiting = [run_id for run_id in on if run_id in self._queue]
        return [run_id for run_id in on if run_id not in self._queue], waiting

    def busy_nodes(self, target: str) -> int:
        """How many nodes of a target runs hold."""
        nodes = self._queue.pools.nodes(target, 1)
        return nodes.busy if nodes is not None else 0

    @property
    def totals(self) -> Totals:
        """What this machine has to give to runs."""
        return self._slots.totals

    def queue_facts(self, run_id: str) -> Facts | None:
        """What a waiting run waits for; None when it doesn't wait."""
        return self._queue.explain(run_id, now_ns())

    # --- what the folders tell ---

    def on_appeared(self, run_id: str) -> None:
        """A folder came: of an interactive run, if it isn't one of ours."""
        if run_id not in self._known:
            self._known.add(run_id)
            self.spawn(self._take_up(run_id))

    def on_changed(self, run_id: str) -> None:
        """There is something to read."""
        self._scribe.look(run_id)

    def on_socket(self, run_id: str) -> None:
        """A supervisor listens: it may be told to stop now."""
        self._stopping.hurry(run_id)

    def on_printed(self, run_id: str) -> None:
        """A session prints, whether or not anybody looks on."""
        if self._printed is not None:
            self._printed(self.folder(run_id))

    def _on_news(self, news: News) -> None:
        state, before = news.state, self._states.get(news.run_id)
        self._specs[news.run_id], self._states[news.run_id] = news.spec, state
        for instruction in news.instructions:
            self._carry(news.run_id, instruction)
        if news.registers:
            self._registering.asked(news.run_id)
        self._supervisors.follow(news.run_id, state)
        if state.outcome:
            self._stopping.forget(news.run_id)
        if before != state or news.moved:
            self.changes.note(news.run_id)
        if state.is_over and not news.more:
            self._forget(news.run_id)
            self._scribe.forget(news.run_id)

    def _on_missing(self, run_id: str) -> None:
        """The scribe found no folder where a run was."""
        state = self._states.get(run_id)
        if state is not None and not state.is_over:
            self._supervisors.examine(run_id)

    def _forget(self, run_id: str) -> None:
        self._specs.pop(run_id, None)
        self._states.pop(run_id, None)

    # --- what is to be done ---

    def _carry(self, run_id: str, deed: Pending) -> None:
        """Carry out one instruction. Doing it twice is harmless."""
        spec, state = self._specs[run_id], self._states[run_id]
        if isinstance(deed, runs.Enqueue):
            self.spawn(self._enqueue(run_id))
        elif isinstance(deed, Accept):
            choice = decisions.queue(now_ns(), deed.attempt)
            self.spawn(self._scribe.insist(run_id, choice))
        elif isinstance(deed, Begin):
            self._dispatch.again(self.folder(run_id), spec, state)
        elif isinstance(deed, Watch):
            self._supervisors.examine(run_id)
        elif isinstance(deed, runs.Stop):
            self._stop(run_id, state, deed.reason)
        elif isinstance(deed, runs.Commit):
            self._storing.begin(run_id)
        elif isinstance(deed, runs.Retry):
            self.spawn(self._scribe.insist(run_id, decisions.retry(now_ns(), deed)))
        elif isinstance(deed, runs.Release):
            self._dispatch.release(run_id)
        else:
            self.spawn(self._finish(run_id, state.kind, deed.status))

    def _stop(self, run_id: str, state: RunState, reason: str) -> None:
        if state.outcome:  # it failed and would have been tried again: there is nobody to tell
            self.spawn(self._scribe.insist(run_id, decisions.end_canceled(now_ns())))
        else:
            self._stopping.begin(self.folder(run_id), self.executor_of(run_id), reason)

    async def _enqueue(self, run_id: str) -> None:
        spec = self._specs.get(run_id)
        upstream: dict[str, str] = {}
        for needed in spec.after if spec is not None else ():
            found = await self.state(needed)
            upstream[needed] = found.status if found is not None else "deleted"
        # Looked at again: it took a while.
        state = self._states.get(run_id)
        if spec is None or state is None or state.status != runs.QUEUED:
            return
        for needed, status in upstream.items():
            if status == "deleted" or (status in runs.TERMINAL and status != runs.COMPLETED):
                choice = decisions.fail_for_upstream(now_ns(), needed, status)
                await self._scribe.insist(run_id, choice)
                return
        waits_for = frozenset(n for n, status in upstream.items() if status != runs.COMPLETED)
        self._dispatch.enqueue(self.folder(run_id), spec, state, waits_for)

    async def _finish(self, run_id: str, kind: str, status: str) -> None:
        """The run is over: nothing private stays, and those who waited for it are told."""
        self._stopping.forget(run_id)
        self._notices.forget(run_id)
        self._dispatch.release(run_id)
        for waiting in self._queue.dependents(run_id):
            if status != runs.COMPLETED:
                choice = decisions.fail_for_upstream(now_ns(), run_id, status)
                self.spawn(self._scribe.insist(waiting, choice))
        if status == runs.COMPLETED:
            self._queue.settle(run_id)
            self._dispatch.pump()
        if kind == "sweep":
            await self._cancel_below(run_id)
        self._supervisors.forget(run_id)
        self._scribe.look(run_id)  # a last time: nothing more is noticed from now on
        folder = self.folder(run_id)
        await self.in_pool(lambda: launching.drop_launch(folder))
        self._registering.ended(run_id)
        if kind in PRINTING:
            await self.in_pool(lambda: self._retention.keep(folder, is_over=True))

    async def _cancel_below(self, run_id: str) -> None:
        """Trials never outlive their sweep, whatever became of the program that led it."""

        def read() -> list[str]:
            with self._database.read() as connection:
                return store_runs.unfinished_below(connection, run_id)

        for trial in await self._insist(read):
            choice = decisions.cancel(now_ns(), "", "its sweep is over")
            self.spawn(self._scribe.insist(trial, choice))

    # --- taking up what is there ---

    async def _take_up_all(self) -> None:
        """Everything that an earlier server has left; only then may runs start."""
        settled, names = await self._insist(self._find_all)
        fresh = [run_id for run_id in names if run_id not in self._known]
        self._known.update(settled, fresh)
        await asyncio.gather(*(self._take_up(run_id) for run_id in fresh))
        self.has_taken_up.set()
        for target in await self._insist(self._read_targets):
            self.set_target(target)
        self._dispatch.open()
        for run_id in await self._insist(self._registering.waiting):
            self._registering.asked(run_id)
        await self._insist(self._sweep_kits)

    def _find_all(self) -> tuple[list[str], list[str]]:
        """In a thread: finish what was half deleted; return all runs, and those to take up."""
        for folder in launching.unfinished_deletions(self._runs_folder):
            self._delete(folder)
        deletion.purge(self._database)
        all_names = os.listdir(self._runs_folder)
        names, missing = adopt.unfinished(self._database, self._runs_folder)
        for run_id in missing:
            adopt.restore_folder(self._database, self.folder(run_id))
        return all_names, names + missing

    async def _take_up(self, run_id: str) -> None:
        """Read a run's folder and do what its state waits for."""
        self._notices.watch(run_id)
        try:
            state = await self._read_first(run_id)
        except (NotFound, Invalid, Corrupt) as error:
            _log.warning("not a run, left alone folder=%s: %s", run_id, error)
            self._notices.forget(run_id)
            self._known.discard(run_id)
            return
        if run_id not in self._specs:  # over, and forgotten again
            self._specs[run_id] = await self._spec(run_id)
            self._states[run_id] = state
        has_turn = state.kind == "command" and bool(state.slots)
        if has_turn and not state.outcome and state.status in runs.ACTIVE:
            spec = self._specs[run_id]
            held, nodes = Held.from_state(state.slots), spec.distributed.nodes
            self._queue.at_work(run_id, spec.experiment, held, spec.target, nodes)
        if state.kind == "session" and not state.is_over:
            self.on_printed(run_id)
        for deed in pending(state):
            self._carry(run_id, deed)

    async def _read_first(self, run_id: str) -> RunState:
        while True:
            try:
                return await self._scribe.read(run_id)
            except (NotFound, Invalid, Corrupt):
                raise
            except (OutlastError, OSError) as error:
                _log.warning("a run can't be read, will retry run=%s: %s", run_id, error)
            await asyncio.sleep(RETRY_S)

    async def _insist(self, work: Callable[[], Result]) -> Result:
        """Do what must be done, however long disk or database refuse it."""
        while True:
            try:
                return await self.in_pool(work)
            except (OutlastError, OSError) as error:
                _log.warning("starting up is held up, will retry: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _keep_house(self) -> None:
        """Now and then do again what each run waits for, in case a notice or a deed was lost."""
        while True:
            await asyncio.sleep(HOUSE_KEEPING_S)
            self.reap()
            for run_id, state in list(self._states.items()):
                self._scribe.look(run_id)
                for deed in pending(state):
                    self._carry(run_id, deed)

    def _read_targets(self) -> list[Target]:
        with self._database.read() as connection:
            return compute.every(connection)

    def _sweep_kits(self) -> None:
        # Also when ours isn't the present one: an upgrade may have begun.
        kits = [self._kit_folder, *launching.kits_in_use(self._runs_folder)]
        kit.sweep(self._settings.home, kits)

    # --- small things ---

    def _printing(self) -> list[RunFolder]:
        return [self.folder(i) for i, state in self._states.items() if state.kind in PRINTING]

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(os.path.join(self._runs_folder, run_id))

    def executor_of(self, run_id: str) -> Executor:
        """The executor that the run's spec names; the local one for interactive runs."""
        spec = self._specs.get(run_id)
        name = spec.executor if spec is not None else "local"
        return self._executors.get(name) or self._executors["local"]

    def state_now(self, run_id: str) -> RunState | None:
        """The last known state of a run that isn't settled."""
        return self._states.get(run_id)

    def on_supervisor(self, run_id: str) -> None:
        """Somebody supervises the run (again): a stop that is asked for is asked of them."""
        state = self._states.get(run_id)
        if state is not None and state.cancel_ns and not state.is_over and not state.outcome:
            self._stopping.begin(self.folder(run_id), self.executor_of(run_id), "cancel")

    def reap(self) -> None:
        for executor in self._executors.values():
            executor.reap()

    async def _spec(self, run_id: str) -> RunSpec:
        known = self._specs.get(run_id)
        if known is not None:
            return known

        def read() -> RunSpec:
            with self._database.read() as connection:
                return store_runs.spec_of(connection, run_id)

        return await self.in_pool(read)

    def _delete(self, folder: RunFolder) -> None:
        launching.hide_folder(folder)
        with contextlib.suppress(NotFound):  # a killed server had got this far
            deletion.delete(self._database, folder.run_id)
        launching.remove_hidden(folder)

    async def in_pool(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of the scheduler broke off", exc_info=task.exception())
