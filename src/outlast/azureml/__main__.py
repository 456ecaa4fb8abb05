"""`python -m outlast.azureml script.py [arguments]`: the script, with the `azureml` names."""

from __future__ import annotations

import os
import sys

from outlast.azureml.script import run_script


def main() -> None:
    """As `python script.py` would: its exit code, and 2 when there is no such file."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m outlast.azureml script.py [arguments]")
    path = sys.argv[1]
    if not os.path.isfile(path):
        print(f"outlast: script = {path!r}: no such file", file=sys.stderr)
        raise SystemExit(2)
    run_script(path, sys.argv[2:])


if __name__ == "__main__":
    main()
