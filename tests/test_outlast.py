"""The package's face: its names stand for the same however they are come by."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Folders of the package, and what is imported before the name is asked for.
BEFORE = ("outlast.run.spec", "outlast.runtime", "outlast.sdk.submit", "outlast.azureml")


@pytest.mark.parametrize("before", BEFORE)
def test_run_is_the_function_whatever_was_imported(before: str) -> None:
    script = (
        f"import outlast, {before}\n"
        "from outlast import run\n"
        "assert callable(run) and outlast.run is run\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_each_name_stays_what_it_was_first() -> None:
    script = (
        "import outlast\n"
        "first = {name: getattr(outlast, name) for name in outlast.__all__}\n"
        "again = {name: getattr(outlast, name) for name in outlast.__all__}\n"
        "assert first == again\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
