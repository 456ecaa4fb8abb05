"""Environments are built once, whole or not at all, and found again without a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import outlast
from outlast.environments import cache as caches
from outlast.environments import uv
from outlast.environments.build import Build
from outlast.environments.cache import Cache
from outlast.environments.environment import Place
from outlast.environments.log import Log
from outlast.errors import EnvironmentFailed, Invalid
from outlast.run.environment import Environment
from tests.environments import packages

MAIN = str(Path(outlast.__file__).parent / "environments" / "__main__.py")

pytestmark = pytest.mark.slow


class House:
    """A workspace's environments, and builds in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.wheels = home / "wheels"
        self.environ = packages.environ(home)
        self.cache = Cache(str(home))
        self.steps: list[tuple[str, str]] = []
        self.log_path = home / "log"
        self.programs: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for program in self.programs:
            program.kill()
            program.communicate()

    def wanted(self, *lines: str, **more: object) -> Environment:
        return Environment.of(packages.definition(self.wheels, *lines, **more))

    def build(self, wanted: Environment, *, is_fresh: bool = False) -> Place:
        with self.logged() as log:
            tell = lambda step, about: self.steps.append((step, about))  # noqa: E731
            build = Build(self.cache, self.environ, log, tell, who="me")
            return build.make(wanted, is_fresh=is_fresh)

    @contextmanager
    def logged(self) -> Iterator[Log]:
        with self.log_path.open("wb") as file:
            yield Log(file.fileno())

    def find(self, wanted: Environment) -> Place | None:
        return self.cache.find(wanted, uv.clean(self.environ))

    def remains(self) -> list[str]:
        """What lies in the folder beside environments that are whole."""
        known = {".locks", ".resolved", *self.cache.keys()}
        return sorted(
            path.name for path in Path(self.cache.folder).iterdir() if path.name not in known
        )

    def builder(self, run: str, wanted: dict[str, Any]) -> subprocess.Popen[bytes]:
        """The program that a supervisor starts, for a run of this environment."""
        folder = self.home / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spec.json").write_text(json.dumps({"id": run, "environment": wanted}))
        program = subprocess.Popen(
            [sys.executable, "-I", "-S", MAIN, str(folder), "--attempt", "1"],
            env=self.environ, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.programs.append(program)
        return program

    def standing(self, run: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            (self.home / "runs" / run / "environment.json").read_text()
        )
        return told


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    packages.wheel(made.wheels, "tiny", "1.0")
    packages.wheel(made.wheels, "tiny", "2.0")
    packages.wheel(made.wheels, "other", "1.0", requires=("tiny<2",))
    yield made
    made.close()


def said_by(place: Place, code: str) -> str:
    command = [place.python, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_holds_what_was_asked_for_compiled_and_movable(house: House) -> None:
    place = house.build(house.wanted("other", name="digits"))
    assert said_by(place, "import tiny, other; print(tiny.version)") == "1.0"
    assert said_by(place, "import sys; print(sys.prefix)") == place.prefix
    assert place.variables == {"VIRTUAL_ENV": place.prefix}
    installed = next(Path(place.prefix).glob("lib/*/site-packages/tiny"))
    assert (installed / "__init__.py").stat().st_nlink > 1  # shared with uv's own store
    assert list(installed.glob("__pycache__/*.pyc"))
    # Its scripts start with the interpreter that lies beside them, not where it was made.
    script = (Path(place.prefix) / "bin" / "tiny-tool").read_text()
    assert caches.BUILDING not in script
    facts = house.cache.facts(place.key)
    assert facts is not None
    assert "tiny==1.0" in facts["lock"]
    assert "--hash=sha256:" in facts["lock"]
    assert "Installed 2 packages" in (Path(place.prefix) / "build.log").read_text()
    assert house.remains() == []


def test_the_same_again_is_found_and_nothing_is_started(house: House) -> None:
    first = house.build(house.wanted("tiny", name="a"))
    house.environ["PATH"] = ""
    again = house.build(house.wanted("tiny", name="b", variables={"X": "1"}))
    assert again == first
    assert "+ " not in house.log_path.read_text()


def test_two_ways_to_say_the_same_are_one_environment(house: House) -> None:
    assert house.build(house.wanted("tiny<2")).key == house.build(house.wanted("tiny==1.0")).key
    assert len(house.cache.keys()) == 1


def test_a_newer_version_is_taken_only_when_asked_for(house: House) -> None:
    wanted = house.wanted("tiny")
    old = house.build(wanted)
    packages.wheel(house.wheels, "tiny", "3.0")
    assert house.build(wanted) == old
    fresh = house.build(wanted, is_fresh=True)
    assert said_by(fresh, "import tiny; print(tiny.version)") == "3.0"
    assert house.find(wanted) == fresh


def test_what_cannot_be_resolved_is_told_in_uvs_words_and_leaves_nothing(house: House) -> None:
    with pytest.raises(EnvironmentFailed, match="nosuchthing was not found"):
        house.build(house.wanted("tiny", "nosuchthing"))
    assert house.cache.keys() == []
    assert house.remains() == []


def test_a_changed_local_package_is_another_environment(house: House) -> None:
    lines = (str(packages.wheel(house.home / "mine", "mine", "1.0")),)
    before = house.build(house.wanted(*lines))
    path = packages.wheel(house.home / "mine", "mine", "1.0", requires=("tiny",))
    os.utime(path, ns=(1, 1))
    after = house.build(house.wanted(*lines))
    assert before.key != after.key


def test_of_two_builds_at_once_one_waits_and_says_for_whom(house: House) -> None:
    slow = packages.Slow(house.home / "slow")
    wanted = packages.definition(house.wheels, slow.line)
    first = house.builder("run1", wanted)
    slow.await_build()
    second = house.builder("run2", wanted)
    assert second.stdout is not None
    assert second.stdout.readline() == b"waits: run run1 builds the same environment\n"
    assert house.standing("run2")["step"] == "waiting"
    assert house.standing("run2")["about"] == "run1"
    slow.release()
    assert first.wait(30) == 0
    assert second.wait(30) == 0
    assert b"+ " not in second.stdout.read()  # it found what the first had built
    assert house.standing("run1")["place"] == house.standing("run2")["place"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_build_leaves_no_environment_and_the_next_one_builds_it(
    house: House, number: signal.Signals
) -> None:
    slow = packages.Slow(house.home / "slow")
    wanted = packages.definition(house.wheels, slow.line)
    first = house.builder("run1", wanted)
    slow.await_build()
    first.send_signal(number)
    first.wait(30)
    slow.release()
    assert house.cache.keys() == []
    assert house.find(Environment.of(wanted)) is None
    second = house.builder("run2", wanted)
    assert second.wait(30) == 0
    assert house.remains() == []
    assert len(house.cache.keys()) == 1


def test_after_a_power_cut_an_environment_with_lost_bytes_counts_as_none(house: House) -> None:
    wanted = house.wanted("tiny")
    place = house.build(wanted)
    facts = house.cache.facts(place.key)
    assert facts is not None
    marker = str(Path(place.prefix) / caches.MARKER)
    caches.write(marker, {**facts, "boot_id": "before"})
    assert house.find(wanted) == place  # whole: asked once, and noted
    caches.write(marker, {**facts, "boot_id": "before"})
    module = next(Path(place.prefix).glob("lib/*/site-packages/tiny/__init__.py"))
    module.unlink()
    module.write_bytes(b"")
    assert house.find(wanted) is None
    assert said_by(house.build(wanted), "import tiny; print(tiny.version)") == "2.0"


def test_a_python_that_cannot_be_had_is_replaced_and_that_is_said(house: House) -> None:
    place = house.build(house.wanted("tiny", python="3.2"))
    assert place.notes[0][0] == "python_replaced"
    assert "Python 3.2 was asked for" in place.notes[0][1]
    assert house.find(house.wanted("tiny", python="3.2")) == place  # said again at each use


def test_conda_packages_come_from_pypi_where_there_is_no_conda(house: House) -> None:
    data = packages.definition(house.wheels, "other", kind="conda")
    place = house.build(Environment.of({**data, "conda": ["tiny=1", "cudatoolkit=11.3"]}))
    assert said_by(place, "import tiny; print(tiny.version)") == "1.0"
    assert place.notes == (
        (
            "conda_mapped",
            "conda isn't on this machine: 1 package was taken from PyPI; left out, since PyPI has "
            "no such: cudatoolkit",
        ),
    )


STAND_IN = """#!/bin/sh
# Makes what micromamba would make, and writes down how it was called.
echo "$@" >> "$0.called"
prefix=$4
mkdir -p "$prefix/conda-meta" && echo '{}' > "$prefix/conda-meta/python-3.11-0.json"
exec PYTHON -m venv --without-pip "$prefix"
"""


def test_conda_makes_the_environment_where_it_is_there(house: House) -> None:
    programs = house.home / "bin"
    programs.mkdir()
    maker = programs / "micromamba"
    maker.write_text(STAND_IN.replace("PYTHON", sys.executable))
    maker.chmod(0o755)
    house.environ["PATH"] = f"{programs}:/usr/bin:/bin"
    wanted = Environment.of(
        {
            **packages.definition(house.wheels, "tiny"),
            "kind": "conda", "python": "3.11", "conda": ["ffmpeg"], "channels": ["conda-forge"],
        }
    )  # fmt: skip
    place = house.build(wanted)
    called = Path(f"{maker}.called").read_text().split()
    assert called[:4] == ["create", "--yes", "--prefix", place.prefix]
    assert called[4:] == [
        "--override-channels",
        "--channel",
        "conda-forge",
        "python=3.11",
        "ffmpeg",
    ]
    assert place.variables == {"CONDA_PREFIX": place.prefix}
    assert place.notes == ()
    assert said_by(place, "import tiny; print(tiny.version)") == "2.0"
    assert house.find(wanted) == place


def test_an_interpreter_that_is_not_there_is_refused_by_name(house: House) -> None:
    wanted = Environment.of({"kind": "existing", "interpreter": "/nowhere/bin/python"})
    with pytest.raises(Invalid, match=r"environment\.interpreter = '/nowhere/bin/python'"):
        house.find(wanted)


def test_prune_keeps_what_is_used_and_what_was_used_lately(house: House) -> None:
    old, new, used = (house.build(house.wanted(line)) for line in ("tiny<2", "tiny", "other"))
    for place in (old, used):
        os.utime(str(Path(place.prefix) / caches.MARKER), (1, 1))
    counted = house.cache.prune({used.key}, older_than_s=7200, is_dry_run=True)
    assert counted.keys == [old.key]
    assert house.cache.prune({used.key}, older_than_s=7200) == counted
    assert sorted(house.cache.keys()) == sorted((new.key, used.key))
    assert house.remains() == []
