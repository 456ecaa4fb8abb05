"""Tables in files: what is read, how it is typed, and what the steps leave."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from outlast.data import extras, table
from outlast.data.table import frame, partition
from outlast.errors import Invalid, NotFound
from outlast.run.dataset import Definition, of_paths

pandas: Any = pytest.importorskip("pandas")


def tabular(path: Path | str, form: str = "delimited", **options: Any) -> Definition:
    return of_paths(path, "tabular", format=form, options=options)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


@pytest.fixture
def people(tmp_path: Path) -> Definition:
    text = "name,age,day\n" + "".join(f"p{n},{n},2020-01-{n + 1:02}\n" for n in range(20))
    return tabular(write(tmp_path / "people.csv", text))


def test_quoted_fields_hold_separators_quotes_and_new_lines(tmp_path: Path) -> None:
    text = 'id,said\n1,"one, two"\n2,"a ""word"""\n3,"two\nlines"\n'
    read = frame(tabular(write(tmp_path / "x.csv", text)))
    assert list(read["said"]) == ["one, two", 'a "word"', "two\nlines"]
    assert list(read["id"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("all_same", [("1",), ("2",)], ["n"]),
        ("first", [("1",), ("n",), ("2",)], ["n"]),
        ("none", [("n",), ("1",), ("n",), ("2",)], ["Column1"]),
    ],
)
def test_headers_are_where_they_were_said_to_be(
    tmp_path: Path, header: str, rows: list[tuple[str]], columns: list[str]
) -> None:
    write(tmp_path / "a.csv", "n\n1\n")
    write(tmp_path / "b.csv", "n\n2\n")
    read = frame(tabular(tmp_path, header=header, infer_column_types=False))
    assert list(read.columns) == columns
    assert [tuple(row) for row in read.astype(str).to_numpy()] == rows


def test_separator_encoding_and_empty_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "a;b\nñ;\n", "latin-1")
    read = frame(tabular(path, separator=";", encoding="latin1"))
    assert read["a"][0] == "ñ"
    assert pandas.isna(read["b"][0])
    kept = frame(tabular(path, separator=";", encoding="latin1", empty_as_string=True))
    assert kept["b"][0] == ""


def test_a_column_of_dates_becomes_dates_and_others_do_not(tmp_path: Path) -> None:
    text = "day,moment,code,mixed\n2020-01-02,2020-01-02T03:04:05,2020-1,2020-01-01\n"
    read = frame(tabular(write(tmp_path / "x.csv", text + "2020-01-03,2020-01-03,x,no date\n")))
    kinds = {name: str(kind)[:10] for name, kind in read.dtypes.items()}
    assert kinds["day"] == kinds["moment"] == "datetime64"
    assert kinds["code"] != "datetime64"
    assert kinds["mixed"] != "datetime64"


def test_types_that_are_asked_for(tmp_path: Path) -> None:
    text = 'zip,price,when,flag,n\n00123,"1,5",31/12/2020,yes,7\n00124,x,bad,no,\n'
    types = {
        "zip": "string", "price": {"type": "float", "decimal_mark": ","}, "n": "long",
        "when": {"type": "datetime", "formats": ["%d/%m/%Y"]}, "flag": "bool",
    }  # fmt: skip
    read = frame(tabular(write(tmp_path / "x.csv", text), column_types=types))
    assert list(read["zip"]) == ["00123", "00124"]
    assert read["price"][0] == 1.5
    assert pandas.isna(read["price"][1])
    assert read["when"][0] == pandas.Timestamp(2020, 12, 31)
    assert pandas.isna(read["when"][1])
    assert list(read["flag"]) == [True, False]
    with pytest.raises(Invalid, match="the columns are zip"):
        frame(tabular(tmp_path / "x.csv", column_types={"nothing": "string"}))


def test_parquet_and_its_columns(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for number in (1, 2):
        data = pandas.DataFrame({"n": [number], "t": [pandas.Timestamp(2020, 1, number)]})
        data.to_parquet(tmp_path / f"{number}.parquet")
    read = frame(tabular(tmp_path, "parquet").then("keep", columns=["n"]))
    assert read.to_dict("list") == {"n": [1, 2]}


def test_json_lines_and_those_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '{"a": 1, "b": "x"}\nnot json\n{"a": 2}\n')
    with pytest.raises(Invalid, match="can't be read as json_lines"):
        frame(tabular(path, "json_lines"))
    read = frame(tabular(path, "json_lines", invalid_lines="drop"))
    assert list(read["a"]) == [1, 2]


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = write(tmp_path / "x.parquet", "no parquet")
    with pytest.raises(Invalid, match=r"x\.parquet can't be read as parquet"):
        frame(tabular(path, "parquet"))


def test_columns_from_the_path(tmp_path: Path) -> None:
    write(tmp_path / "rome" / "2020" / "02" / "x.csv", "n\n1\n")
    read = frame(
        tabular(tmp_path, partition_format="/{city}/{day:yyyy/MM}/x.csv", include_path=True)
    )
    assert list(read.columns) == ["Path", "city", "day", "n"]
    assert read["city"][0] == "rome"
    assert read["day"][0] == pandas.Timestamp(2020, 2, 1)
    assert read["Path"][0] == "/rome/2020/02/x.csv"
    assert partition("{a}/*/x.csv", "/q/w/e/x.csv") == {"a": "w"}
    assert partition("{t:yyyyMMdd}.csv", "/q/20200102.csv") == {"t": datetime.datetime(2020, 1, 2)}
    with pytest.raises(Invalid, match="doesn't fit"):
        partition("{t:yyyy}.csv", "/q/x.csv")


def test_rows_are_chosen_in_the_order_that_was_asked(people: Definition) -> None:
    assert list(frame(people.then("skip", count=2).then("take", count=2))["age"]) == [2, 3]
    assert list(frame(people.then("take", count=3).then("skip", count=2))["age"]) == [2]
    assert list(frame(people.then("drop", columns=["day", "name"])).columns) == ["age"]
    with pytest.raises(Invalid, match="the columns are name, age, day"):
        frame(people.then("keep", columns=["nothing"]))


def test_a_split_has_every_row_once_and_the_same_seed_the_same_rows(people: Definition) -> None:
    first, rest = (
        list(frame(people.then("split", fraction=0.7, seed=3, is_rest=is_rest))["age"])
        for is_rest in (False, True)
    )
    assert sorted(first + rest) == list(range(20))
    assert first
    assert rest
    again = frame(people.then("split", fraction=0.7, seed=3, is_rest=False))
    assert list(again["age"]) == first
    other = frame(people.then("split", fraction=0.7, seed=4, is_rest=False))
    assert list(other["age"]) != first


def test_tests_of_columns(people: Definition) -> None:
    age = ["column", "age"]
    test: list[Any] = ["and", [">", age, 3], ["or", ["<", age, 6], ["==", age, 19]]]
    assert list(frame(people.then("where", test=test))["age"]) == [4, 5, 19]
    named = people.then("where", test=["starts_with", ["column", "name"], "p1"])
    assert len(frame(named)) == 11
    assert len(frame(people.then("where", test=["not", [">", age, 3]]))) == 4
    with pytest.raises(Invalid, match="use one of"):
        frame(people.then("where", test=["__import__", "os"]))


def test_rows_of_a_time(people: Definition) -> None:
    stamped = people.then("stamps", timestamp="day", partition=None)
    since = stamped.then("time", after="2020-01-05T00:00:00", before=None, is_boundary=True)
    assert frame(since)["age"][0] == 4
    until = since.then("time", after=None, before="2020-01-06T00:00:00+00:00", is_boundary=False)
    assert list(frame(until)["age"]) == [4]
    with pytest.raises(Invalid, match="with_timestamp_columns"):
        frame(people.then("time", after="2020-01-01", before=None, is_boundary=True))


def test_a_missing_package_is_named_with_the_remedy(
    people: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(Invalid, match="a table needs pandas") as caught:
        frame(people)
    assert "pip install" in (caught.value.hint or "")


def test_a_table_without_files_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        frame(tabular(tmp_path / "nothing.csv"))


def test_names_of_a_partition_format() -> None:
    assert table.partition_names("/{city}/{day:yyyy/MM}/x.csv") == ["city", "day"]
