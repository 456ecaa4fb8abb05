"""What a definition, an input and a delivery may be; everything else names its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.run import dataset
from outlast.run.dataset import Definition, Source, of_paths
from outlast.run.spec import RunSpec

TABLE: dict[str, Any] = {
    "kind": "tabular",
    "sources": [{"path": "/data/x.csv"}, {"path": "a/*.csv", "datastore": "d", "root": "/store"}],
    "format": "delimited",
    "options": {"separator": ";", "header": "none"},
    "steps": [{"do": "keep", "columns": ["a"]}, {"do": "take", "count": 3}],
}


def test_a_definition_is_json_and_back() -> None:
    made = Definition.from_dict(TABLE)
    assert Definition.from_dict(json.loads(made.text())) == made
    assert made.id == Definition.from_dict(made.to_dict()).id
    assert made.id != made.then("take", count=2).id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "stream"}, "definition.kind"),
        ({"sources": []}, "definition.sources"),
        ({"sources": "x.csv"}, "definition.sources"),
        ({"sources": ["x.csv"]}, r"definition.sources\[0\].path"),
        ({"sources": ["/a/../b"]}, r"definition.sources\[0\].path"),
        ({"sources": ["/a\0b"]}, r"definition.sources\[0\].path"),
        ({"sources": [{"path": "/x", "root": "/store"}]}, r"definition.sources\[0\].path"),
        ({"sources": [{"path": "../x", "root": "/store"}]}, r"definition.sources\[0\].path"),
        ({"sources": [{"path": "x", "root": "store"}]}, r"definition.sources\[0\].root"),
        ({"sources": ["/x"] * 1001}, "definition.sources"),
        ({"format": "xml"}, "definition.format"),
        ({"options": {"nothing": 1}}, "definition.options.nothing"),
        ({"options": {"header": "some"}}, "definition.options.header"),
        ({"options": {"separator": 1}}, "definition.options.separator"),
        ({"steps": [{"do": "eval"}]}, r"definition.steps\[0\]"),
        ({"steps": [{"do": "take", "count": -1}]}, r"definition.steps\[0\].count"),
        ({"steps": [{"do": "take", "count": True}]}, r"definition.steps\[0\].count"),
        ({"steps": [{"do": "sample", "probability": 2}]}, r"definition.steps\[0\].probability"),
        ({"steps": [{"do": "keep", "columns": []}]}, r"definition.steps\[0\].columns"),
        ({"extra": 1}, "definition.extra"),
    ],
)
def test_what_is_wrong_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=field):
        Definition.from_dict({**TABLE, **change})


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "local://x", "memory://x", "github://a:b@/x", "ssh://h/x",
        "sftp://h/x", "ftp://h/x", "zip://x::https://h/y", "simplecache::https://h/x",
        "https://user:secret@h/x", "https:///x", "https://h/x#part", "gopher://h/x", "data://x",
    ],
)  # fmt: skip
def test_addresses_that_are_never_kept(url: str) -> None:
    for source in (url, {"path": "x", "root": url}):
        with pytest.raises(Invalid) as caught:
            Definition.from_dict({"kind": "file", "sources": [source]})
        assert "secret" not in caught.value.message


@pytest.mark.parametrize("url", ["https://h/x.csv?a=b", "s3://bucket/a/*.csv", "abfss://c@a/x"])
def test_addresses_that_are(url: str) -> None:
    assert of_paths(url).sources == (Source(url),)


def test_deep_and_large_definitions_are_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    test = {"do": "where", "test": deep}
    with pytest.raises(Invalid):
        Definition.from_dict({**TABLE, "steps": [test]})
    with pytest.raises(Invalid, match="larger"):
        Definition.from_dict({**TABLE, "options": {"separator": "x" * (2 << 20)}})


def test_inputs_and_deliveries_of_a_spec() -> None:
    given = {"data": {"definition": TABLE, "mode": "direct"}}
    made = {"made": {"folder": "out", "root": "/store", "target": "a/b", "register": {"name": "m"}}}
    spec = RunSpec.from_dict({"id": "a", "inputs": given, "deliveries": made})
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("inputs", [], "inputs"),
        ("inputs", {"a b": {"definition": TABLE}}, "name"),
        ("inputs", {"x": {"definition": TABLE, "mode": "mount"}}, "read by the job"),
        ("inputs", {"x": {}}, "inputs.x.definition"),
        ("inputs", {"x": {"definition": TABLE, "mode": "eval"}}, "inputs.x.mode"),
        ("deliveries", {"x": {"folder": "../a", "root": "/s", "target": "t"}}, "x.folder"),
        ("deliveries", {"x": {"folder": "a", "root": "/s", "target": "/t"}}, "x.target"),
        ("deliveries", {"x": {"folder": "a", "root": "s3://b", "target": "t"}}, "this machine"),
        (
            "deliveries",
            {"x": {"folder": "a", "root": "/s", "target": "t", "register": {"name": "a/b"}}},
            "name",
        ),
    ],
)
def test_what_no_run_can_have(field: str, value: Any, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        RunSpec.from_dict({"id": "a", field: value})


def test_in_words() -> None:
    assert dataset.described(of_paths(["/a", "/b", "/c", "/d"])) == "/a, /b, /c and 1 more"
    assert dataset.described(Definition.from_dict(TABLE)) == "/data/x.csv, d:a/*.csv"
