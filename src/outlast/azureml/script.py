"""Run a script as `python script.py` would, in this process, with the `azureml` names in place.

It is `__main__`, `sys.argv` and `sys.path[0]` are as it expects them, and whatever ends it (an
exception, `sys.exit`) ends the caller likewise, so the exit code is the script's own.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Sequence

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
    vars(main).update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    exec(compile(source, path, "exec", dont_inherit=True), vars(main))
