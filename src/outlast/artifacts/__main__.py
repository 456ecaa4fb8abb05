"""What would a snapshot hold? `python -m outlast.artifacts [FOLDER]` lists it and takes nothing."""

from __future__ import annotations

import argparse
import sys

from outlast.artifacts.snapshot import plan
from outlast.errors import OutlastError
from outlast.printable import printable


def main(arguments: list[str] | None = None) -> int:
    """Print each file that would be taken, and each that wouldn't, with the reason."""
    parser = argparse.ArgumentParser(prog="python -m outlast.artifacts", description=__doc__)
    parser.add_argument("folder", nargs="?", default=".")
    folder: str = parser.parse_args(arguments).folder
    try:
        planned = plan(folder)
    except OutlastError as error:
        print(printable(error.message), file=sys.stderr)
        return 2
    for found in planned.files:
        print(f"taken     {found.stat.st_size:>12,}  {one_line(found.path)}")
    for left in planned.left_out:
        print(f"left out  {'':>12}  {one_line(left.path)}   ({one_line(left.reason)})")
    print(f"{len(planned.files):,} files, {planned.size_bytes:,} bytes")
    return 0


def one_line(name: str) -> str:
    """A file's name, whatever is in it, on one line."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


if __name__ == "__main__":
    sys.exit(main())
