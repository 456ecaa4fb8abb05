"""What a notebook shows of a run, kept up to date by one thread that follows it.

`look` says it once, without a thread. Nothing is polled and no log is read whole: the thread waits
for news, reads the end of the log, and of each metric that changed as many points as are drawn.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from outlast.errors import NotFound, OutlastError, Refused
from outlast.printable import printable
from outlast.run.folder import OUTPUT, TRIALS
from outlast.run.state import TERMINAL
from outlast.sdk.handle import RunHandle
from outlast.sdk.live import Live
from outlast.sweeps.asking import Sweep
from outlast.units import duration

LOG_BYTES = 16 << 10
LOG_LINES = 200
METRICS = 12  # more are in the studio
POINTS = 200  # of each
TRIALS_SHOWN = 100
INTERVAL_S = 0.25  # between two changes of the page
WAIT_S = 5.0

View = dict[str, Any]  # facts, series, log, trials: plain JSON values


class Watched:
    """One run, followed until it is over or nobody looks any more."""

    def __init__(self, run: RunHandle, on_change: Callable[[View], None]) -> None:
        """`on_change` gets the parts that changed, in the thread that follows."""
        self._run = run
        self._tell = on_change
        self._is_left = threading.Event()
        self._tail = Tail()
        self._changed: set[str] = set()  # metrics
        self._view: View = {}
        self._thread = threading.Thread(target=self._follow, name=f"outlast-{run.id}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def leave(self) -> None:
        """Nobody looks any more; the thread ends with the next news, in WAIT_S at most."""
        self._is_left.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing more will change; True when that came within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _follow(self) -> None:
        live = Live(self._run.connection)
        try:
            self._follow_by(live)
        except OutlastError as error:  # the page says so; there is nobody who could catch it
            self._put(problem=error.message)
        finally:
            live.close()
            self._run.connection.close()  # this thread's line alone

    def _follow_by(self, live: Live) -> None:
        row = self._run.fetch()
        start = max(0, self._run.output_size() - LOG_BYTES)
        self._tail.offset = start
        is_sweep = row["kind"] == "sweep"
        run = {"run": self._run.id}
        live.follow({**run, "state": True}, {**run, "metrics": True})
        live.follow({**run, "journal": OUTPUT, "from": start})
        if is_sweep:
            live.follow({**run, "journal": TRIALS, "from": 0})
        self._put(facts=facts_of(self._run), log=self._tail.text, series=[], problem="")
        is_at_end = False
        while not self._is_left.is_set():
            began_s = time.monotonic()
            messages = live.receive(WAIT_S)
            for message in messages:
                is_at_end |= self._hear(message)
            self._refresh(is_sweep=is_sweep and bool(messages))
            if is_at_end and self._view["facts"]["status"] in TERMINAL:
                return
            # What comes in the meantime is shown together.
            self._is_left.wait(max(0.0, INTERVAL_S - (time.monotonic() - began_s)))

    def _hear(self, message: dict[str, Any]) -> bool:
        """Take one message; is it the last that the run prints?"""
        if "error" in message:
            raise NotFound(str(message["error"].get("message", "the run is gone")))
        if message.get("journal") == OUTPUT:
            self._tail.add(message.get("data", b""))
            return bool(message.get("end"))
        if "metrics" in message:
            known = {one["name"]: one for one in self._view.get("series", ())}
            for summary in message["metrics"][:METRICS]:
                if known.get(summary["name"], {}).get("n") != summary["n"]:
                    self._changed.add(summary["name"])
        if "state" in message:
            self._put(facts=facts_of(self._run))
        return False

    def _refresh(self, *, is_sweep: bool) -> None:
        if self._changed:
            known = {one["name"]: one for one in self._view["series"]}
            summaries = {one["name"]: one for one in self._run.series()[:METRICS]}
            for name in self._changed & set(summaries):
                known[name] = series_of(self._run, summaries[name])
            self._changed.clear()
            self._put(series=[known[name] for name in summaries if name in known])
        self._put(log=self._tail.text)
        if is_sweep:
            self._put(trials=trials_of(self._run))

    def _put(self, **parts: Any) -> None:
        news = {key: value for key, value in parts.items() if self._view.get(key) != value}
        if news:
            self._view.update(news)
            self._tell(news)


class Tail:
    """The last lines of a log, as text that is safe to show."""

    def __init__(self) -> None:
        self.offset = 0  # where it begins
        self._data = b""

    def add(self, data: bytes) -> None:
        kept = (self._data + data)[-LOG_BYTES:]
        self.offset += len(self._data) + len(data) - len(kept)
        self._data = kept

    @property
    def text(self) -> str:
        """Whole lines, unless it is one long line."""
        data = self._data
        if self.offset and b"\n" in data:
            data = data[data.index(b"\n") + 1 :]
        lines = data.decode("utf-8", "replace").split("\n")
        # A progress bar is the last that it has drawn.
        shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines[-LOG_LINES:]]
        return "\n".join(printable(line) for line in shown)


def look(run: RunHandle) -> View:
    """All that is shown, as it is now. Raises what asking the server raises."""
    tail = Tail()
    tail.offset = max(0, run.output_size() - LOG_BYTES)
    for piece in run.output_so_far(tail.offset):
        tail.add(piece.data)
    facts = facts_of(run)
    view: View = {
        "facts": facts,
        "series": [series_of(run, summary) for summary in run.series()[:METRICS]],
        "log": tail.text,
        "problem": "",
    }
    return {**view, "trials": trials_of(run)} if facts["kind"] == "sweep" else view


def facts_of(run: RunHandle) -> View:
    """What stands above everything else."""
    row = run.fetch()
    is_over = row["status"] in TERMINAL
    return {
        "id": row["id"],
        "name": printable(row["name"] or ""),
        "experiment": printable(row["experiment"] or ""),
        "kind": row["kind"],
        "status": row["status"],
        "is_over": is_over,
        "message": printable(row["message"] or ""),
        "command": printable(row["command"] or ""),
        "started_ms": row["started_ns"] // 1_000_000,
        "ended_ms": row["ended_ns"] // 1_000_000,
        "url": f"{run.connection.address.url}/runs/{row['id']}",
    }


def series_of(run: RunHandle, summary: dict[str, Any]) -> View:
    """One metric with the points that are drawn; what isn't finite is left out of the curve."""
    try:
        view = run.view(summary["name"], points=POINTS)
    except Refused:
        raise
    except NotFound:  # deleted this very moment
        view = {"steps": [], "values": []}
    points = [
        [step, value]
        for step, value in zip(view["steps"], view["values"], strict=True)
        if math.isfinite(value)
    ]
    last = summary["last"]
    return {
        "name": summary["name"],
        "n": summary["n"],
        "last": str(last) if isinstance(last, float) and not math.isfinite(last) else last,
        "points": points,
    }


def trials_of(run: RunHandle) -> list[View]:
    """The newest trials of a sweep, the best one marked."""
    told = Sweep(run.connection, run.id).told()
    best = told.best
    newest = sorted(told.trials.items())[-TRIALS_SHOWN:]
    return [
        {
            "number": number,
            "id": trial.id,
            "parameters": {name: str(value) for name, value in trial.parameters.items()},
            "status": trial.status or "at work",
            "value": trial.value,
            "is_best": best is not None and best.number == number,
        }
        for number, trial in newest
    ]


def as_text(view: View) -> str:
    """The same for where no page can be shown."""
    facts = view["facts"]
    lines = [f"Run {facts['id']} of {facts['experiment']}: {facts['status']}"]
    if facts["started_ms"]:
        end_ms = facts["ended_ms"] or time.time() * 1000
        lines[0] += f", {duration(max(0.0, (end_ms - facts['started_ms']) / 1000))}"
    if facts["message"]:
        lines.append(facts["message"])
    lines += [f"  {one['name']} = {one['last']}" for one in view["series"]]
    for trial in view.get("trials", ()):
        values = " ".join(f"{name}={value}" for name, value in trial["parameters"].items())
        mark = " (best)" if trial["is_best"] else ""
        lines.append(f"  trial {trial['number']}: {values}: {trial['status']}{mark}")
    return "\n".join([*lines, facts["url"]])
