"""Taking a run in: check all that can be checked, then write its folder. Blocks.

Whatever is wrong is said here, before there is a run; what is written here survives any crash.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from outlast.artifacts import snapshot
from outlast.artifacts.blobs import Blobs
from outlast.environments import existing
from outlast.errors import Conflict, Invalid, NotFound
from outlast.executors.executor import Executor
from outlast.ids import new_run_id
from outlast.run import redact
from outlast.run.environment import Environment
from outlast.run.folder import WORK, RunFolder
from outlast.run.spec import Resources, RunSpec, Source
from outlast.scheduler import launching, pools
from outlast.scheduler.launching import Launch
from outlast.scheduler.slots import Slots
from outlast.store import compute, schema
from outlast.store.compute import Target
from outlast.store.database import Database
from outlast.supervisor import outputs


class Checked(NamedTuple):
    """A request that may become a run."""

    spec: RunSpec
    launch: Launch


class Intake:
    """The entrance of one workspace."""

    def __init__(
        self,
        runs_folder: str,
        home: str,
        database: Database,
        blobs: Blobs,
        executors: Mapping[str, Executor],
        slots: Slots,
    ) -> None:
        self._runs_folder = runs_folder
        self._home = home
        self._database = database
        self._blobs = blobs
        self._executors = executors
        self._slots = slots

    def check(
        self, asked: RunSpec | Mapping[str, Any], launch: Launch | Mapping[str, Any]
    ) -> Checked:
        """Raises Invalid, naming the field, or Conflict. Only a snapshot's blobs are written."""
        values = asked.to_dict() if isinstance(asked, RunSpec) else dict(asked)
        values.setdefault("id", new_run_id())
        spec = RunSpec.from_dict(values)
        checked = launch if isinstance(launch, Launch) else Launch.from_dict(launch)
        _check_kind(spec)
        spec = self._placed(spec)
        if spec.executor not in self._executors:
            known = ", ".join(sorted(self._executors))
            raise Invalid.field("executor", spec.executor, f"use one of: {known}")
        self._slots.check(spec.resources)
        _check_environment(spec)
        self._check_outputs(spec, checked)
        self._check_ids(spec)
        spec = spec._replace(
            command=tuple(redact.command(checked.command)),
            source=self._source(spec.source, checked),
            created_ns=time.time_ns(),
        )
        return Checked(spec, checked)

    def write(self, checked: Checked) -> None:
        """Make the run: on the disk when this returns. Raises Conflict, DiskFull, Unreachable."""
        launching.make_folder(
            self._runs_folder, checked.spec, checked.launch, checked.spec.created_ns
        )

    def again(
        self, spec: RunSpec, new_id: str, environ: Mapping[str, str] | None
    ) -> tuple[RunSpec, Callable[[], Launch]]:
        """The spec of a new run that repeats this one, and how to get the launch that was kept.

        `new_id` "": a fresh one. The launch runs in `environ`, by default in the variables that
        were kept. The second raises Conflict when something secret would be missing.
        """
        fresh = spec._replace(
            id=new_id or new_run_id(),
            retry_of=spec.id,
            created_ns=0,
            kind="command",
            after=(),
            # Of a target that may have changed since: they are worked out anew.
            resources=Resources() if spec.target else spec.resources,
        )
        return fresh, lambda: _kept(spec, environ)

    def _placed(self, spec: RunSpec) -> RunSpec:
        """The spec with what its nodes hold of this machine, where it is for a compute target."""
        if spec.target in ("", compute.LOCAL):
            return spec._replace(target="")
        if spec.kind == "sweep":
            raise Invalid.field("target", spec.target, "name the target of its trials instead")
        try:
            with self._database.read() as connection:
                target = compute.get(connection, spec.target)
        except NotFound as error:
            raise Invalid.field("target", spec.target, error.message) from None
        if spec.kind == "session":
            _check_place(target)
            return spec
        if spec.resources not in (Resources(), Resources(0.0)):
            remedy = f"a run on {target.name} has its nodes' shares; leave resources out"
            raise Invalid.field("resources", tuple(spec.resources), remedy)
        nodes = spec.distributed.nodes
        if nodes > target.max_nodes:
            remedy = f"{target.name} has at most {target.max_nodes}"
            raise Invalid.field("distributed.nodes", nodes, remedy)
        node = pools.cut(target.node, target.max_nodes, self._slots.totals).node
        return spec._replace(resources=pools.wanted(node, nodes, self._slots.totals))

    def _check_outputs(self, spec: RunSpec, launch: Launch) -> None:
        """What the supervisor would refuse later is refused now; and one thing has one name."""
        folder = os.path.join(self._runs_folder, spec.id)
        is_snapshot = spec.source is not None and spec.source.kind == "snapshot"
        work = os.path.join(folder, WORK) if is_snapshot else launch.folder
        named: dict[str, int] = {}
        for index, output in enumerate(spec.outputs):
            real = os.path.realpath(os.path.join(work, output.path))
            remedy = outputs.unfit(real, folder)
            if os.path.commonpath((real, os.path.realpath(self._blobs.folder))) == real:
                remedy = remedy or f"{real} holds the store of all outputs"
            if real in named:
                remedy = f"outputs[{named[real]}] is the same; declare it once"
            if remedy:
                raise Invalid.field(f"outputs[{index}]", output.path, remedy)
            named[real] = index
        _check_names(spec, RunFolder(folder), work)

    def _check_ids(self, spec: RunSpec) -> None:
        runs = schema.runs.c
        with self._database.read() as connection:
            query = sa.select(runs.id).where(runs.id.in_([spec.id, *spec.after]))
            known = set(connection.execute(query).scalars())
        if spec.id in known:
            raise Conflict(
                f"id = {spec.id!r}: there is such a run already", hint="choose another id"
            )
        for index, needed in enumerate(spec.after):
            if needed not in known:
                raise Invalid.field(f"after[{index}]", needed, "there is no such run")

    def _source(self, source: Source | None, launch: Launch) -> Source:
        if source is None:
            return Source("in_place", launch.folder)
        if source.kind == "in_place" or source.digest:
            return source
        taken = snapshot.take(source.folder, self._blobs, home=self._home)
        return source._replace(digest=taken.digest, left_out=snapshot.told(taken.left_out))


def _check_names(spec: RunSpec, folder: RunFolder, work: str) -> None:
    """Two files under one name in the manifest: only one of them would be kept.

    A path above the working folder loses its "../", an absolute one its "/".
    """
    declared = outputs.places(spec, folder, work)[: len(spec.outputs)]
    paths = {outputs.OUTPUTS: os.path.join(work, outputs.OUTPUTS)}
    for place in declared:
        paths.setdefault(place.name, place.path)
    for index, place in enumerate(declared):
        parts = place.name.split("/") if place.name else []
        for depth in range(len(parts) + 1):
            above = paths.get("/".join(parts[:depth]))
            if above is None or place.path == os.path.join(above, *parts[depth:]):
                continue
            remedy = f"its name would be {place.name}, which belongs to {above}; rename one"
            raise Invalid.field(f"outputs[{index}]", spec.outputs[index].path, remedy)


def _check_place(target: Target) -> None:
    """May a session be opened on it? Raises Invalid or Conflict."""
    if target.kind != compute.INSTANCE:
        remedy = "terminals are opened on an instance; this is a pool for runs"
        raise Invalid.field("target", target.name, remedy)
    if target.is_stopped:
        raise Conflict(f"{target.name} is stopped", hint=f"outlast compute start {target.name}")


def _check_environment(spec: RunSpec) -> None:
    """What can be known before a run is made; whether its packages exist, only a build tells."""
    if not spec.environment:
        return
    if spec.kind != "command":
        remedy = "only a command runs in an environment of its own; leave it out"
        raise Invalid.field("environment", dict(spec.environment), remedy)
    wanted = Environment.of(spec.environment)
    if wanted.kind == "existing":
        existing.place(wanted)


def _check_kind(spec: RunSpec) -> None:
    if spec.kind == "interactive":
        raise Invalid.field("kind", spec.kind, "only its own script can begin such a run")
    if spec.kind == "command":
        return
    if spec.kind == "sweep":
        if any(spec.resources):
            remedy = "a sweep takes no slots, its trials do"
            raise Invalid.field("resources", spec.resources, remedy)
        return
    if spec.kind == "session" and spec.terminal is None:
        raise Invalid.field("terminal", None, "a session needs columns and rows")
    # Whoever opens one sits before it: it never waits, so it can set nothing aside.
    if any(spec.resources) or spec.after:
        field, value = ("after", spec.after) if spec.after else ("resources", spec.resources)
        raise Invalid.field(field, value, f"a {spec.kind} starts at once and takes no slots")


def _kept(spec: RunSpec, environ: Mapping[str, str] | None) -> Launch:
    """The launch as far as it was kept: the command as shown, and the variables that were."""
    environ = _plain_environ() if environ is None else environ
    if spec.kind == "interactive":
        raise Conflict(f"run {spec.id} was interactive: only its script can begin it again")
    if spec.kind != "command":
        hint = "outlast sweep" if spec.kind == "sweep" else "outlast shell"
        raise Conflict(f"{spec.id} is a {spec.kind}: it isn't repeated", hint=hint)
    asked = {**spec.environment.get("variables", {}), **spec.variables}
    hidden = [name for name, value in asked.items() if value is None and name not in environ]
    starred = [word for word in spec.command if redact.STARS in word]
    if starred or hidden:
        what = f"the variable {hidden[0]}" if hidden else f"the argument {starred[0]!r}"
        raise Conflict(
            f"run {spec.id} can't be repeated from what was kept: {what} was secret and is gone",
            hint=f"export {hidden[0]}=...  and retry" if hidden else "submit it again, in full",
        )
    environ = {**environ, **{k: v for k, v in spec.variables.items() if v is not None}}
    folder = spec.source.folder if spec.source is not None else "/"
    return Launch(spec.command, environ, folder)


def _plain_environ() -> dict[str, str]:
    """The server's own environment, as far as it is nobody's secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in redact.SHOWN_VARIABLES and not redact.looks_secret(value)
    }
