"""Users' scripts sleep for seconds to play a training; here they sleep a hundredth of that.

Nothing else of them is different: the same files, run by the same interpreter. Packages that they
ask for are made on the spot, since tests have no network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.environments import packages

HASTE = 100
# Imported by every Python at its start; a job has the variable from whoever submits it.
HOLD = "HELD_UNTIL"  # a path: a script with this variable begins when it is there
SITE = f"""
import os, time
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(seconds / {HASTE})
while "{HOLD}" in os.environ and not os.path.exists(os.environ["{HOLD}"]):
    _sleep(0.02)
"""
SLEEP = "#!/bin/sh\nexec /bin/sleep 0.$1\n"  # of two digits: hundredths


def variables(folder: Path, *names: str) -> dict[str, str]:
    """For the environment of a script; environments may have the packages `names`."""
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(SITE)
    (folder / "bin").mkdir()
    (folder / "bin" / "sleep").write_text(SLEEP)
    (folder / "bin" / "sleep").chmod(0o755)
    for name in names:
        packages.wheel(folder / "wheels", name.replace("-", "_"))
    environ = packages.environ(folder)
    path = f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return {
        **environ,
        "PATH": path,
        "PYTHONPATH": str(folder / "site"),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder / "wheels"),
    }
