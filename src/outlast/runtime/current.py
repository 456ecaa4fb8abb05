"""The run of this process: what a script logs, hands over and says of its end.

A run is the one that a supervisor started this process in, or an interactive one that this process
owns (`start_logging`, `with outlast.run(...)`). In the first, the exit code decides and `complete`
only flushes; the second ends by `complete`, `fail` or `cancel`, or as Failed when its owner dies.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from itertools import count
from typing import Any, BinaryIO, Dict, Iterator, Mapping, Optional, Sequence, Type, Union

from outlast.errors import Invalid, NotFound
from outlast.ids import check_name
from outlast.run import logged
from outlast.run.folder import RunFolder
from outlast.runtime import interactive, models, uploads
from outlast.runtime.recorder import Recorder

LEAST_STEP, GREATEST_STEP = -(2**63), 2**63 - 1

_lock = threading.Lock()
_current: Optional[Run] = None


class Run:
    """One run, seen from inside. Get it by `Run.get_context()` or `start_logging()`."""

    def __init__(self, folder: RunFolder, watcher: Optional[interactive.Watcher] = None) -> None:
        self._folder = folder
        self._watcher = watcher
        self._recorder = Recorder(folder)
        self._steps: Dict[str, Iterator[int]] = {}
        self._is_over = False

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @classmethod
    def get_context(cls, allow_offline: bool = True) -> Run:
        """The run that this process belongs to.

        Outside a run, a new interactive one in the workspace, kept like any other; it is Completed
        when the script ends well and Failed when it ends by an exception. With
        `allow_offline=False`, raises NotFound instead.
        """
        return get_context(allow_offline=allow_offline)

    @property
    def id(self) -> str:
        return self._folder.run_id

    @property
    def folder(self) -> str:
        """The run's folder, with all of its journals."""
        return self._folder.path

    @property
    def is_interactive(self) -> bool:
        """Does this process own the run, so that complete() ends it?"""
        return self._watcher is not None and self._watcher.owner_pid == os.getpid()

    # --- metrics and values ---

    def log(self, name: str, value: Any, description: str = "", step: Optional[int] = None) -> None:
        """Log a number, bool or string under `name`; NumPy scalars and one-element tensors too.

        Without `step`, each name counts by itself from 0. Returns when the record is in the page
        cache: it survives this process. `description` is accepted and not kept. Raises Invalid for
        a list (use log_list), for what isn't a scalar and for a step that isn't a whole number of
        64 bits; nothing was logged then.
        """
        if step is None:
            counter = self._steps.get(name)
            if counter is None:
                check_name("name", name)
                counter = self._steps.setdefault(name, count())
            step = next(counter)
        else:
            if name not in self._steps:
                check_name("name", name)
            if type(step) is not int or not LEAST_STEP <= step <= GREATEST_STEP:
                step = _step(name, step)
            self._steps[name] = count(step + 1)
        if type(value) is float and value - value == 0.0:  # finite: the usual case, unquoted
            text = repr(value)
        else:
            text = _scalar(name, value)
        self._recorder.metric(name, text, step, time.time_ns())

    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        """Log a list of scalars under one name."""
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise Invalid.field(name, value, "log_list takes a list; use log for one value")
        self._note(logged.LIST, n=check_name("name", name), v=[_cell(name, item) for item in value])

    def log_row(self, name: str, description: str = "", **columns: Any) -> None:
        """Add a row of scalars to the table `name`."""
        if not columns:
            raise Invalid.field(name, columns, "give at least one column, as log_row(name, x=1)")
        row = {column: _cell(f"{name}.{column}", cell) for column, cell in columns.items()}
        self._note(logged.ROW, n=check_name("name", name), v=row)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Log a whole table: {column: [values]}, all of one length; one value is a row of it."""
        if not isinstance(value, Mapping):
            raise Invalid.field(name, value, "give a dict of columns, as {'x': [1, 2]}")
        table = {
            str(column): [_cell(f"{name}.{column}", cell) for cell in _listed(cells)]
            for column, cells in value.items()
        }
        if len({len(cells) for cells in table.values()}) > 1:
            lengths = {column: len(cells) for column, cells in table.items()}
            raise Invalid.field(name, lengths, "give columns of equal length")
        self._note(logged.TABLE, n=check_name("name", name), v=table)

    def log_image(
        self,
        name: str,
        path: Optional[str] = None,
        plot: Any = None,
        description: str = "",
        step: Optional[int] = None,
    ) -> None:
        """Keep an image file, or a matplotlib figure (or pyplot itself) as PNG."""
        check_name("name", name)
        if (path is None) == (plot is None):
            raise Invalid.field(name, path, "give either path= (a file) or plot= (a figure)")
        kept = uploads.image_name(self._folder, name, path)
        if path is not None:
            size_bytes = uploads.copy_file(self._folder, kept, path)
        else:
            size_bytes = uploads.save_figure(self._folder, kept, plot)
        self._note(logged.UPLOAD, path=kept, size=size_bytes)
        self._note(logged.IMAGE, n=name, path=kept, s=step)

    # --- tags and properties ---

    def tag(self, name: str, value: Optional[str] = None) -> None:
        """Set a tag; the last value counts."""
        text = None if value is None else str(value)
        self._note(logged.TAG, n=check_name("name", name), v=text)

    def set_property(self, name: str, value: Any) -> None:
        """Set a property, once: a second value for the same name is refused and warned about."""
        self._note(logged.PROPERTY, n=check_name("name", name), v=str(value))

    def set_properties(self, properties: Mapping[str, Any]) -> None:
        """Set several properties."""
        for name, value in properties.items():
            self.set_property(name, value)

    # --- files ---

    @property
    def output_folder(self) -> str:
        """Where files are collected at the run's end; made when asked for."""
        folder = os.environ.get("OUTLAST_OUTPUTS") if not self.is_interactive else None
        folder = folder or self._folder.file("uploads/outputs")
        os.makedirs(folder, exist_ok=True)
        return folder

    def upload_file(self, name: str, path_or_stream: Union[str, os.PathLike, BinaryIO]) -> None:  # type: ignore[type-arg]
        """Keep a copy of a file, or of what a stream still gives, as output `name`.

        It is complete and safe from later changes when this returns. Raises Conflict when there is
        such a name already, Invalid for a name that leaves the outputs, NotFound without the file.
        """
        size_bytes = uploads.copy_file(self._folder, name, path_or_stream)
        self._note(logged.UPLOAD, path=name, size=size_bytes)

    def upload_files(self, names: Sequence[str], paths: Sequence[str]) -> None:
        """Keep several files; `names[i]` for `paths[i]`."""
        if len(names) != len(paths):
            raise Invalid.field("names", len(names), f"give as many names as paths ({len(paths)})")
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: str) -> None:
        """Keep every file below the folder `path` as `name/…`; links are not followed."""
        if not os.path.isdir(path):
            raise NotFound(f"path = {path!r}: no such folder")
        for file in uploads.files_below(path):
            self.upload_file(f"{name}/{os.path.relpath(file, path)}", file)

    def register_model(
        self,
        name: str,
        path: str,
        *,
        tags: Optional[Mapping[str, Any]] = None,
        properties: Optional[Mapping[str, Any]] = None,
        description: str = "",
    ) -> None:
        """Have `path`, a file or folder of this run's stored files, registered as model `name`.

        The wish is on the disk when this returns. The server carries it out exactly once, now or
        when it is there again: an upload at once, an output as soon as it is stored; the version
        is told then (docs/models.md). Raises Invalid for a name or path that can't be; DiskFull
        when the wish waits in memory until there is room.
        """
        record = models.wish(name, tags or {}, properties or {}, description)
        record["path"] = models.stored_name(path, self._folder, is_owner=self.is_interactive)
        record["attempt"] = 1 if self.is_interactive else int(os.environ.get("OUTLAST_ATTEMPT", 1))
        self._note(logged.REGISTER, **record)
        self.flush()

    # --- children ---

    def child_run(self, name: str = "", *, run_id: Optional[str] = None) -> Run:
        """Start an interactive run below this one; end it by its own complete()."""
        child = interactive.begin(
            os.path.dirname(os.path.dirname(self._folder.path)),
            name=name,
            experiment=interactive.experiment_of(self._folder),
            parent=self.id,
            run_id=run_id,
        )
        self._note(logged.CHILD, id=child.folder.run_id)
        return Run(child.folder, child)

    # --- the end ---

    def flush(self) -> None:
        """Return when everything logged so far is on the disk; it then survives a power loss."""
        self._recorder.sync()

    def complete(self) -> None:
        """End an interactive run well. In a submitted one, only flush: its exit code decides."""
        if not self.is_interactive:
            self.flush()
            return
        self._end("complete", "", {})

    def fail(self, error_details: Any = None, error_code: Optional[str] = None) -> None:
        """End the run as Failed: an interactive one now, a submitted one when it is over.

        `error_details` is a message or an exception.
        """
        facts: Dict[str, Any] = {"code": error_code} if error_code else {}
        message = "" if error_details is None else str(error_details)
        if isinstance(error_details, BaseException):
            message = f"{type(error_details).__name__}: {error_details}"
            import traceback

            lines = traceback.format_exception(
                type(error_details), error_details, error_details.__traceback__
            )
            facts["traceback"] = "".join(lines)[-8000:]
        self._end("fail", message, facts)

    def cancel(self) -> None:
        """End the run as Canceled. A submitted run is stopped: this process included."""
        self._end("cancel", "canceled by the script", {})

    def start_logging(self, **_ignored: Any) -> Run:
        """Nothing to do: the run has started. Returns itself."""
        return self

    def _end(self, how: str, message: str, facts: Mapping[str, Any]) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._note(logged.END, how=how, message=message, facts=dict(facts))
        try:
            self._recorder.sync()
        finally:
            if self.is_interactive and self._watcher is not None:
                self._watcher.finish(how, message, facts)
            elif how == "cancel":
                interactive.stop(self._folder, "cancel")
            _forget(self)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], _trace: Any
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.complete()
        elif isinstance(error, KeyboardInterrupt) and self.is_interactive:
            self._end("cancel", "interrupted from the keyboard", {})
        else:
            self.fail(error)

    def _note(self, kind: str, **fields: Any) -> None:
        self._recorder.record({"k": kind, "t": time.time_ns(), **fields})


def _inherited() -> str:
    """The folder of the run that this process was started by, "" without one.

    A session's shell is a run too, but what is started in it by hand logs into a run of its own.
    """
    environ = os.environ
    is_by_hand = environ.get("OUTLAST_SESSION", "") == environ.get("OUTLAST_RUN_ID")
    started_by = "" if is_by_hand else environ.get("OUTLAST_RUN", "")
    return started_by or environ.get("OUTLAST_CONTEXT", "")


def get_context(*, allow_offline: bool = True, offline_id: Optional[str] = None) -> Run:
    """The run that this process belongs to; see Run.get_context.

    `offline_id` (default: a fresh one) is the id of the run that is made outside of one.
    """
    global _current
    with _lock:
        if _current is not None:
            return _current
        inherited = _inherited()
        if inherited and os.path.isdir(inherited):
            _current = Run(RunFolder(inherited))
        elif not allow_offline:
            raise NotFound(
                "this process doesn't belong to a run",
                hint="start it with: outlast run -- python script.py",
            )
        else:
            _current = _begin(
                interactive.default_home(),
                experiment="local",
                name=_script_name(),
                run_id=offline_id,
            )
            _end_with_script(_current)
        atexit.register(_current._recorder.finish)
        return _current


def start_logging(
    experiment: str = "default", name: str = "", *, home: Optional[str] = None, **options: Any
) -> Run:
    """Begin an interactive run that this process owns, and return at once.

    It is Running until complete(), fail() or cancel(). When this process dies without one, the run
    is Failed within a second. `options` may hold `tags` and `outputs` (as in the spec).
    """
    return _begin(home or interactive.default_home(), experiment=experiment, name=name, **options)


def _begin(home: str, **options: Any) -> Run:
    global _current
    watcher = interactive.begin(home, parent=os.environ.get("OUTLAST_RUN_ID"), **options)
    started = Run(watcher.folder, watcher)
    _current = started
    # Workers that this process starts find the run by this.
    os.environ["OUTLAST_CONTEXT"] = watcher.folder.path
    return started


def _forget(ended: Run) -> None:
    global _current
    if os.environ.get("OUTLAST_CONTEXT") == ended.folder:
        del os.environ["OUTLAST_CONTEXT"]
    if _current is ended:
        _current = None


def _end_with_script(local: Run) -> None:
    """A run that get_context() made ends with its script, as the script ends."""
    before = sys.excepthook

    def failed(kind: Type[BaseException], error: BaseException, trace: Any) -> None:
        if local.is_interactive:
            local.fail(error)
        before(kind, error, trace)

    def ended() -> None:
        if local.is_interactive:
            local._end("exit", "", {})

    sys.excepthook = failed
    atexit.register(ended)


def _script_name() -> str:
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return name if name not in ("", "-c", "-m") else "python"


def _scalar(name: str, value: Any) -> str:
    """`value` as the JSON text of a metric record."""
    plain = _plain(name, value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, float):
        if math.isfinite(plain):
            return repr(plain)
        label = "nan" if plain != plain else "inf" if plain > 0 else "-inf"
        return f'null,"x":"{label}"'
    if isinstance(plain, int):
        return str(plain)
    if isinstance(plain, str):
        import json

        return json.dumps(plain)
    raise Invalid.field(name, value, "log takes a number, a bool or a string")


def _step(name: str, step: Any) -> int:
    """A step that came as a NumPy integer, a tensor of one, or a float without a fraction."""
    try:
        whole = int(step)
        if whole == step and LEAST_STEP <= whole <= GREATEST_STEP:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    raise Invalid.field(f"step of {name}", step, "give a whole number of 64 bits")


def _listed(cells: Any) -> Any:
    """The values of a column; a single one is a column of one row."""
    is_one = isinstance(cells, (str, bytes)) or not hasattr(cells, "__iter__")
    return [cells] if is_one or getattr(cells, "ndim", 1) == 0 else cells


def _cell(name: str, value: Any) -> Any:
    """As `_plain`; what JSON can't write as a number is the string "nan", "inf" or "-inf"."""
    plain = _plain(name, value)
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain


def _plain(name: str, value: Any) -> Any:
    """A Python scalar of what may be a NumPy scalar, a tensor of one element, or one already."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (list, tuple, dict, set, range)) or getattr(value, "ndim", 0) != 0:
        raise Invalid.field(name, value, "give one value; use log_list for several")
    try:
        if isinstance(value, int):
            # Beyond 64 bits no store keeps it exactly.
            return int(value) if -(2**63) <= value < 2**63 else float(value)
        if isinstance(value, float) or not hasattr(value, "item"):
            return float(value)
        inner = value.item()
        # NumPy's longdouble gives itself: Python has no number of its precision.
        return float(value) if type(inner) is type(value) else _plain(name, inner)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Invalid.field(name, value, "give a number, a bool or a string")
