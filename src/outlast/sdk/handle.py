"""A run from outside: wait for it, read it, stop it, ask why.

Everything live is followed by offset, so output is shown exactly once, also over a restart of the
server. Ctrl-C while waiting leaves the run running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from outlast.errors import RunFailed, Trimmed
from outlast.ids import new_run_id
from outlast.run.state import TERMINAL
from outlast.sdk import caller
from outlast.sdk.series import decode, number
from outlast.sdk.shown import Shown
from outlast.transport.connection import FOLLOW_PATIENCE_S, Connection, Piece, in_path

if TYPE_CHECKING:
    from pathlib import Path

    from outlast.run.dataset import Input

# A long poll; the server answers sooner when something changes.
WAIT_S = 30.0
MAX_PIECE_BYTES = 1 << 20


class RunHandle:
    """One run of a workspace."""

    def __init__(self, connection: Connection, id: str, row: dict[str, Any] | None = None) -> None:
        self.connection = connection
        self.id = id
        self._row = row
        self._path = f"/api/runs/{in_path(id)}"

    def __repr__(self) -> str:
        return f"RunHandle({self.id!r})"

    def fetch(self) -> dict[str, Any]:
        """All facts of the run: its row, spec, state, series, properties and children."""
        facts: dict[str, Any] = self._get("")
        self._row = facts
        return facts

    @property
    def status(self) -> str:
        """The status now, as "Running"; asks the server unless the run is known to be over."""
        if self._row is None or self._row["status"] not in TERMINAL:
            self.fetch()
        assert self._row is not None
        return str(self._row["status"])

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    def wait(
        self,
        *,
        show_output: bool = False,
        raise_on_error: bool = True,
        to: BinaryIO | None = None,
    ) -> str:
        """Wait until the run is truly over: processes ended, outputs stored. Return its status.

        With `show_output`, what it prints is shown on stdout, without what a terminal would obey;
        with `to`, every byte is written there once. Raises RunFailed for Failed and Canceled unless
        `raise_on_error` is false. Ctrl-C leaves the run running and says how to come back.
        """
        try:
            if show_output:
                self._show(to)
            status = self._wait_over()
        except KeyboardInterrupt:
            print(
                f"\nThe run goes on. Come back with: outlast logs -f {self.id}   "
                f"(stop it with: outlast cancel {self.id})",
                file=sys.stderr,
            )
            raise
        if raise_on_error and status != "Completed":
            row = self.fetch()
            raise RunFailed(
                f"run {self.id} is {status}: {row['message'] or row['cause']}",
                hint=f"outlast why {self.id}",
                status=status,
                cause=row["cause"],
            )
        return status

    def _show(self, to: BinaryIO | None) -> None:
        if to is not None:
            for piece in self.follow_output():
                to.write(piece.data)
                to.flush()
            return
        shown = Shown(sys.stdout)
        for piece in self.follow_output():
            shown.write(piece.data)
        shown.close()

    def _wait_over(self) -> str:
        for _state in self.states():
            pass
        return str(self.fetch()["status"])

    def states(self) -> Iterator[dict[str, Any]]:
        """The state now, then each time it is another, until the run is over; see run.state."""
        version: int | None = None
        while True:
            found, state = self.state(version, wait_s=WAIT_S)
            if found != version:
                yield state
            if state["status"] in TERMINAL:
                return
            version = found

    def state(
        self, version: int | None = None, *, wait_s: float = 0.0
    ) -> tuple[int, dict[str, Any]]:
        """The version and the state: as soon as that isn't `version`, else after `wait_s`."""
        seconds = wait_s if version is not None else 0.0
        answer = self._get(
            "/state", version=version, wait=f"{seconds:g}", patience_s=FOLLOW_PATIENCE_S
        )
        return answer["version"], answer["state"]

    def watch(self, on_change: Callable[[dict[str, Any]], None]) -> None:
        """Call `on_change(state)` with each of `states`."""
        for state in self.states():
            on_change(state)

    def follow_output(
        self,
        start: int = 0,
        *,
        on_trimmed: Callable[[Trimmed], None] | None = None,
        wait_s: float = WAIT_S,
        journal: str = "output",
    ) -> Iterator[Piece]:
        """Every byte that the run prints, from offset `start` on, until its end.

        `journal` "environment": how its environment was built, instead.

        A piece without bytes says that nothing came for `wait_s`. Raises Trimmed when retention has
        taken away what comes next; with `on_trimmed` that is called, and the rest follows.
        """
        while True:
            try:
                for piece in self.connection.follow(self._journal(journal), start, wait_s=wait_s):
                    yield piece
                    start = piece.next
                return
            except Trimmed as error:
                if on_trimmed is None:
                    raise
                on_trimmed(error)
                start = error.first

    def output_so_far(
        self,
        start: int = 0,
        *,
        end: int | None = None,
        on_trimmed: Callable[[Trimmed], None] | None = None,
        journal: str = "output",
    ) -> Iterator[Piece]:
        """What the run has printed by now, from `start` to `end`; raises as follow_output."""
        while end is None or start < end:
            limit = MAX_PIECE_BYTES if end is None else min(MAX_PIECE_BYTES, end - start)
            try:
                piece = self.connection.piece(self._journal(journal), start, limit_bytes=limit)
            except Trimmed as error:
                if on_trimmed is None:
                    raise
                on_trimmed(error)
                start = error.first
                continue
            if not piece.data:
                return
            yield piece
            start = piece.next

    def output_size(self, journal: str = "output") -> int:
        """How many bytes the run has printed by now."""
        return self.connection.piece(self._journal(journal), 0, limit_bytes=1).size_bytes

    def _journal(self, name: str) -> str:
        return f"{self._path}/output" if name == "output" else f"{self._path}/journals/{name}"

    def logs(self, *, follow: bool = False, start: int = 0) -> Iterator[str]:
        """The output as text lines; with `follow`, until the run is over.

        Bytes that aren't UTF-8 are shown as U+FFFD. A last line without newline is yielded too.
        """
        pieces = self.follow_output(start) if follow else self.output_so_far(start)
        rest = b""
        for piece in pieces:
            *lines, rest = (rest + piece.data).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace") + "\n"
        if rest:
            yield rest.decode("utf-8", "replace")

    def metrics(self, name: str | None = None, *, as_pandas: bool = False) -> Any:
        """Metrics: {name: last value}; of one name, its whole series; as pandas on request.

        A series is {"name", "steps": [...], "times_ns": [...], "values": [...]}, sorted by step.
        With `as_pandas`, a DataFrame: of one series its points (step, time, value), else one column
        a metric, by step, the last value of a step that has several. Needs pandas.
        """
        if name is not None:
            return _frame(self._columns(name)) if as_pandas else self.view(name, points=None)
        summaries = self.series()
        if not as_pandas:
            return {summary["name"]: summary["last"] for summary in summaries}
        import pandas as pd

        columns = {
            summary["name"]: _frame(self._columns(summary["name"]))
            .groupby("step")["value"]
            .agg(lambda values: values.iloc[-1])
            for summary in summaries
        }
        return pd.DataFrame(columns)

    def series(self) -> list[dict[str, Any]]:
        """A summary of each metric: name, n, first_step, last_step, min, max, last, last_t_ns.

        min and max are of the finite values, None where there is none.
        """
        summaries: list[dict[str, Any]] = self._get("/metrics")["series"]
        return [{**summary, "last": number(summary["last"])} for summary in summaries]

    def view(self, name: str, *, points: int | None = 2000) -> dict[str, Any]:
        """At most `points` points of one metric (None = all), so chosen that no extreme is lost."""
        columns = self._columns(name, points)
        return {"name": name, **{key: column.tolist() for key, column in columns.items()}}

    def _columns(self, name: str, points: int | None = None) -> dict[str, Any]:
        wanted = "all" if points is None else max(16, points)
        path = f"{self._path}/series"
        return decode(self.connection.get_bytes(path, name=name, points=wanted, format="binary"))

    def values(self) -> list[dict[str, Any]]:
        """What was logged beside numbers (lists, rows, tables, images, strings), as it came.

        Each with kind, name, step, value and t_ns.
        """
        answer: list[dict[str, Any]] = self._get("/values")["values"]
        return answer

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags now."""
        answer: dict[str, str | None] = self.fetch()["tags"]
        return answer

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The stored files: path, size_bytes, sha256; [] before they are stored."""
        answer: list[dict[str, Any]] = self._get("/outputs")["files"]
        return answer

    def download(
        self,
        target: str | Path,
        *,
        prefix: str = "",
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Path]:
        """Fetch the stored files whose path begins with `prefix` to the folder `target`.

        Each is checked against its sha256. Raises Conflict for a file that exists (unless
        `overwrite`); files fetched before that stay.
        """
        from pathlib import Path

        from outlast.artifacts.download import download

        wanted = [entry for entry in self.outputs if entry["path"].startswith(prefix)]
        return download(wanted, self._open, Path(target), overwrite=overwrite, progress=progress)

    @property
    def snapshot(self) -> list[dict[str, Any]]:
        """The files that it works on: path, size_bytes, sha256, mode. Raises NotFound when none."""
        found: list[dict[str, Any]] = self._get("/snapshot")["files"]
        return found

    def download_snapshot(self, target: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Fetch the files that it works on to the folder `target`, as download does; links too.

        Raises NotFound for a run without a snapshot, and Invalid for a link that leads out.
        """
        from outlast.sdk.code import fetch

        return fetch(self.snapshot, self._open_code, target, overwrite=overwrite)

    def as_input(self, path: str = "outputs", mode: str = "mount", to: str = "") -> Input:
        """A file or folder that this run puts out, as an input of another; see submit.

        It is taken from what is stored, whatever became of the run's own folder. `mode` is "mount"
        or "download"; with `to` it also lies in the other run's working folder under that name.
        Raises Invalid for a path that can't be one.
        """
        from outlast.run.dataset import Definition, Input, Source, below

        source = Source("/" + below("path", path.strip("/")))
        return Input(Definition("file", (source,)), mode, path=to, run=self.id)

    def _open(self, path: str, offset: int, kind: str = "outputs") -> Iterator[bytes]:
        where = "/".join(in_path(part) for part in path.split("/"))
        return self.connection.download(f"{self._path}/{kind}/{where}", offset)

    def _open_code(self, path: str, offset: int) -> Iterator[bytes]:
        return self._open(path, offset, "snapshot")

    def cancel(self, reason: str = "", *, force: bool = False) -> None:
        """Ask for the run to be stopped: TERM, then KILL after its grace. Returns at once."""
        self._post("/cancel", reason=reason, force=force)

    def retry(self, *, id: str | None = None) -> RunHandle:
        """A new run of the same spec, in this process's environment.

        `id` (default: a fresh one) names it; asked for again under the same id, it is the same run.
        """
        environ = caller.environ(os.environ)
        row = self._post("/retry", id=id or new_run_id(), environ=environ)
        return RunHandle(self.connection, row["id"], row)

    def delete(self) -> None:
        """Delete the run for good; it must be over, else Conflict."""
        self.connection.delete(self._path)

    def verify(self) -> list[dict[str, Any]]:
        """Hash every stored file again: those that differ, with the problem."""
        answer: list[dict[str, Any]] = self._get("/verify")["problems"]
        return answer

    def push_outputs(self) -> None:
        """Store outputs again that could not be stored in time."""
        self._post("/outputs/push")

    def why(self) -> dict[str, Any]:
        """Why it is as it is: a headline and findings with their evidence."""
        answer: dict[str, Any] = self._get("/why")
        return answer

    def processes(self) -> list[dict[str, Any]]:
        """The live processes of the run."""
        answer: list[dict[str, Any]] = self._get("/processes")["processes"]
        return answer

    def tag(self, name: str, value: str | None = None) -> None:
        """Set a tag."""
        self.connection.patch(self._path, {"tags": {name: value}})

    def _get(self, path: str, **query: Any) -> Any:
        return self.connection.get(self._path + path, **query)

    def _post(self, path: str, **body: Any) -> Any:
        return self.connection.post(self._path + path, body, repeat=True)  # twice is as once


def _frame(columns: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    return pd.DataFrame(
        {
            "step": np.asarray(columns["steps"]),
            "time": pd.to_datetime(np.asarray(columns["times_ns"])),
            "value": np.asarray(columns["values"]),
        }
    )
