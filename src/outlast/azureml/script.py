"""Run a script as `python script.py` would, in this process, with the `azureml` names in place.

It is `__main__`, `sys.argv` and `sys.path[0]` are as it expects them, and whatever ends it (an
exception, `sys.exit`) ends the caller likewise, so the exit code is the script's own.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType, TracebackType
from typing import Optional, Sequence, Type

from outlast.azureml import hook


def run_script(path: str, arguments: Sequence[str]) -> None:
    """Run it to its end. Raises OSError without the file, Conflict and Invalid as `install`.

    The first entry of the search path must be the one that Python made for the caller.
    """
    hook.install()
    with open(path, "rb") as file:
        source = file.read()
    sys.argv = [path, *arguments]
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = ModuleType("__main__")
    file_path = os.path.abspath(path)
    vars(main).update(__file__=file_path, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    _begin_tracebacks_in(file_path)
    exec(compile(source, file_path, "exec", dont_inherit=True), vars(main))


def _begin_tracebacks_in(path: str) -> None:
    """What stood on the stack before the script is nothing that its author knows."""
    show = sys.excepthook

    def show_own(
        kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]
    ) -> None:
        while trace is not None and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next
        show(kind, error.with_traceback(trace), trace)

    sys.excepthook = show_own
