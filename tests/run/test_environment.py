"""An environment in a spec is checked before there is a run: field, value, remedy."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.run.environment import Environment, checked
from outlast.run.spec import RunSpec


def test_a_spec_without_an_environment_stays_without() -> None:
    assert checked("environment", {}) == {}
    assert RunSpec.from_dict({"id": "r"}).environment == {}


def test_what_is_as_by_default_is_left_out_and_the_kind_is_always_said() -> None:
    asked = {"name": "", "pip": ["  numpy   ==1.26"], "docker": {"enabled": True}, "version": ""}
    assert checked("environment", asked) == {
        "kind": "pip",
        "pip": ["numpy ==1.26"],
        "docker": {"enabled": True},
    }


def test_a_spec_reads_its_own_environment_back() -> None:
    spec = RunSpec.from_dict({"id": "r", "environment": {"kind": "conda", "conda": ["numpy=1"]}})
    assert RunSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"packages": []}, "packages"),
        ({"kind": "docker"}, "kind"),
        ({"python": "three"}, "python"),
        ({"pip": "numpy"}, "pip"),
        ({"pip": ["numpy", ""]}, "pip[1]"),
        ({"pip": ["-r other.txt"]}, "pip[0]"),
        ({"pip": ["--constraint=c.txt"]}, "pip[0]"),
        ({"pip": ["--install-option x"]}, "pip[0]"),
        ({"pip": ["--no-index now"]}, "pip[0]"),
        ({"pip": ["-e ./mine"]}, "pip[0]"),
        ({"pip": ["../wheels/mine.whl"]}, "pip[0]"),
        ({"pip": ["numpy\n--index-url http://x"]}, "pip[0]"),
        ({"conda": ["numpy"]}, "conda"),
        ({"kind": "conda", "conda": ["--file=/etc/passwd"]}, "conda[0]"),
        ({"kind": "conda", "channels": ["-c"]}, "channels[0]"),
        ({"index_url": "pypi.org"}, "index_url"),
        ({"kind": "existing"}, "interpreter"),
        ({"kind": "existing", "interpreter": "bin/python"}, "interpreter"),
        ({"kind": "existing", "interpreter": "/p", "pip": ["numpy"]}, "pip"),
        ({"interpreter": "/usr/bin/python3"}, "interpreter"),
        ({"variables": {"A=B": "x"}}, "variables"),
        ({"docker": {"x": float("nan")}}, "docker"),
        ({"name": "a b"}, "name"),
    ],
)
def test_what_is_wrong_is_named(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked("environment", asked)
    assert caught.value.facts["field"] == f"environment.{field}"


@pytest.mark.parametrize(
    "asked",
    [
        {"index_url": "https://me:hunter2@pypi.example/simple"},
        {"pip": ["--extra-index-url https://me:hunter2@pypi.example/simple"]},
        {"pip": ["mine @ git+https://ghp_hunter2hunter2hunter2@github.com/a/b"]},
    ],
)
def test_a_password_is_refused_and_not_repeated(asked: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="it holds a password") as caught:
        checked("environment", asked)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.facts)


def test_a_password_may_stand_in_a_variable() -> None:
    line = "--extra-index-url https://me:${TOKEN}@pypi.example/simple"
    assert checked("environment", {"pip": [line]})["pip"] == [line]


def test_what_has_no_part_in_its_contents_has_none_in_its_digest() -> None:
    plain = Environment(pip=("numpy",))
    named = plain._replace(name="a", version="2", variables={"A": "1"}, docker={"x": 1})
    assert plain.digest() == named.digest()
    assert plain.digest() != plain._replace(pip=("numpy==1",)).digest()
    assert plain.digest("3.11") != plain.digest("3.12")
