"""The command `outlast`, also as `python -m outlast`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; `--version` alone is answered before anything is imported for it."""
    if sys.argv[1:] == ["--version"]:
        from outlast import __version__

        print(f"outlast {__version__}")
        return 0
    import gc

    from outlast.cli.main import main as run

    try:
        return run()
    finally:
        gc.freeze()  # else Python looks at every object once more before it ends: 10 ms


if __name__ == "__main__":
    sys.exit(main())
