"""A tabular dataset as a pandas DataFrame: its files read one by one, its steps done in order.

Rows come in the order of files, columns in the order of the first file. Values are what the options
say; without types they are inferred. pandas (and pyarrow for Parquet) are imported when asked.
"""

from __future__ import annotations

import datetime
import io
import json
import random
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from outlast.data import content
from outlast.data.extras import extra
from outlast.data.files import Found, found
from outlast.errors import Invalid, NotFound, Unreachable
from outlast.run.dataset import Definition

# As "2026-01-31", with a time or without: what a date looks like in a file of text.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_PLACE = re.compile(r"\{(\w+)(?::([^}]*))?\}")
_DATE_PARTS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
PATH_COLUMN = "Path"
ENCODINGS = {"utf8": "utf-8", "utf8bom": "utf-8-sig", "iso88591": "latin-1"}
_SAMPLED_ROWS = 200


def frame(definition: Definition) -> Any:
    """All of it as a DataFrame. Raises NotFound, Unreachable, or Invalid for what can't be read."""
    pandas = extra("pandas", "a table")
    files = found(definition)
    parts: List[Any] = []
    for index, file in enumerate(files):
        part = _read(pandas, definition, file, parts[0].columns if parts else None, index)
        parts.append(_with_path(pandas, part, definition.options, file))
    if not parts:
        raise NotFound("the dataset has no file")
    table = parts[0] if len(parts) == 1 else pandas.concat(parts, ignore_index=True)
    table = _typed(pandas, table, definition)
    return done(pandas, table, definition.steps)


def _read(pandas: Any, definition: Definition, file: Found, columns: Any, index: int) -> Any:
    source = _source(file)
    try:
        if definition.format == "parquet":
            extra("pyarrow", "Parquet")
            return pandas.read_parquet(source)
        if definition.format == "json_lines":
            return _json_lines(pandas, source, definition.options)
        return _delimited(pandas, source, definition, columns, index)
    except (NotFound, Unreachable, Invalid):
        raise
    except Exception as error:  # pandas and pyarrow raise errors of many kinds
        raise Invalid(f"{file.path} can't be read as {definition.format}: {error}") from None


def _source(file: Found) -> Any:
    if file.is_local:
        with open(file.path, "rb"):  # for its error, which names the file
            return file.path
    return io.BytesIO(b"".join(content.pieces(file)))


def _delimited(pandas: Any, source: Any, definition: Definition, columns: Any, index: int) -> Any:
    options = definition.options
    header = options.get("header", "all_same")
    has_header = header in ("all_same", "combine") or (header == "first" and index == 0)
    encoding = options.get("encoding", "utf8")
    is_empty_text = options.get("empty_as_string", False)
    texts: List[Any] = [n for n, kind in _types(definition).items() if kind["type"] == "string"]
    if not has_header:
        places = [_position(name, columns) for name in texts]
        texts = [place for place in places if place >= 0]
    is_inferred = options.get("infer_column_types", True)
    try:
        table = pandas.read_csv(
            source,
            sep=options.get("separator", ",") or ",",
            header=0 if has_header else None,
            encoding=ENCODINGS.get(encoding, encoding),
            dtype=({name: "str" for name in texts} or None) if is_inferred else "str",
            keep_default_na=not is_empty_text,
            skipinitialspace=True,
            low_memory=False,
        )
    except pandas.errors.EmptyDataError:
        table = pandas.DataFrame()
    if not has_header:
        if columns is not None and len(columns) == len(table.columns):
            table.columns = columns
        else:
            table.columns = [f"Column{number + 1}" for number in range(len(table.columns))]
    return _with_dates(pandas, table, definition) if is_inferred else table


def _position(name: str, columns: Any) -> int:
    """Where a column of a file without a header is, counted from 0; -1 where that isn't known."""
    if columns is not None:
        return list(columns).index(name) if name in columns else -1
    number = name[len("Column") :] if name.startswith("Column") else ""
    return int(number) - 1 if number.isdigit() else -1


def _json_lines(pandas: Any, source: Any, options: Mapping[str, Any]) -> Any:
    """One object a line. Raises ValueError for a line that is none, unless those are dropped."""
    encoding = options.get("encoding", "utf8")
    is_strict = options.get("invalid_lines", "error") == "error"
    if isinstance(source, str):
        with open(source, "rb") as file:
            data = file.read()
    else:
        data = source.read()
    rows = []
    for number, line in enumerate(data.decode(ENCODINGS.get(encoding, encoding)).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif is_strict:
            raise ValueError(f"line {number} holds no JSON object")
    return pandas.DataFrame(rows)


def _with_dates(pandas: Any, table: Any, definition: Definition) -> Any:
    """Columns of text in which everything is a date become dates."""
    typed = _types(definition)
    for name in table.columns:
        column = table[name]
        if name in typed or not _is_text(pandas, column):
            continue
        sample = column.dropna().head(_SAMPLED_ROWS)
        if len(sample) and all(_DATE.fullmatch(str(value)) for value in sample):
            try:
                table[name] = pandas.to_datetime(column, format="ISO8601")
            except (ValueError, TypeError):  # one of the others isn't a date: it stays text
                continue
    return table


def _is_text(pandas: Any, column: Any) -> bool:
    kinds = pandas.api.types
    return bool(kinds.is_object_dtype(column) or kinds.is_string_dtype(column))


def _types(definition: Definition) -> Dict[str, Dict[str, Any]]:
    given = definition.options.get("column_types", {})
    return {
        name: kind if isinstance(kind, dict) else {"type": kind} for name, kind in given.items()
    }


def _typed(pandas: Any, table: Any, definition: Definition) -> Any:
    """Columns as the types that were asked for; a value that can't be becomes a missing one."""
    for name, kind in _types(definition).items():
        if name not in table.columns:
            raise Invalid.field("column_types", name, f"the columns are {_named(table)}")
        column, wanted = table[name], kind["type"]
        if wanted == "string":
            table[name] = column.map(lambda value: value if pandas.isna(value) else str(value))
        elif wanted == "float":
            mark = kind.get("decimal_mark", ".")
            if mark != ".":
                column = column.map(lambda value: str(value).replace(mark, "."))  # noqa: B023
            table[name] = pandas.to_numeric(column, errors="coerce").astype("float64")
        elif wanted == "long":
            numbers = pandas.to_numeric(column, errors="coerce")
            table[name] = numbers.astype("float64" if numbers.isna().any() else "int64")
        elif wanted == "bool":
            words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
            table[name] = column.map(lambda value: words.get(str(value).strip().lower()))  # noqa: B023
        elif wanted == "datetime":
            table[name] = _dates(pandas, column, kind.get("formats"))
        elif wanted != "stream":
            raise Invalid.field("column_types", wanted, "use string, long, float, bool or datetime")
    return table


def _dates(pandas: Any, column: Any, formats: Optional[Sequence[str]]) -> Any:
    read = None
    for form in formats or (None,):
        pattern = {"format": form} if form else {"format": "mixed"}
        dates = pandas.to_datetime(column, errors="coerce", **pattern)
        read = dates if read is None else read.fillna(dates)
    return read


def _with_path(pandas: Any, table: Any, options: Mapping[str, Any], file: Found) -> Any:
    """Columns that the file's path tells: the parts that a partition format names, the path."""
    form = options.get("partition_format", "")
    told = partition(form, file.path) if form else {}
    for at, (name, value) in enumerate(told.items()):
        table.insert(at, name, pandas.to_datetime(value) if not isinstance(value, str) else value)
    if options.get("include_path"):
        table.insert(0, PATH_COLUMN, "/" + file.name.lstrip("/"))
    return table


def partition(form: str, path: str) -> Dict[str, Any]:
    """What the end of the path says: {name} is a text, {name:yyyy/MM/dd} a datetime.

    Raises Invalid for a path that doesn't fit.
    """
    text, at = "", 0
    dated: Dict[str, str] = {}
    for place in _PLACE.finditer(form):
        text += _glob_text(form[at : place.start()])
        name, pattern = place.group(1), place.group(2)
        if pattern:
            dated[name] = _strptime(pattern)
            text += f"(?P<{name}>{_digits(pattern)})"
        else:
            text += f"(?P<{name}>[^/]+)"
        at = place.end()
    text += _glob_text(form[at:])
    fit = re.search(text.lstrip("/") + "$", path)
    if fit is None:
        raise Invalid.field("partition_format", form, f"{path} doesn't fit it")
    values: Dict[str, Any] = {}
    for name, value in fit.groupdict().items():
        read = datetime.datetime.strptime
        values[name] = read(value, dated[name]) if name in dated else value
    return values


def _glob_text(text: str) -> str:
    return re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


def _strptime(pattern: str) -> str:
    for word, code in _DATE_PARTS.items():
        pattern = pattern.replace(word, code)
    return pattern


def _digits(pattern: str) -> str:
    text = re.escape(pattern)
    for word in _DATE_PARTS:
        text = text.replace(word, rf"\d{{{len(word)}}}")
    return text


# --- steps ---


def done(pandas: Any, table: Any, steps: Sequence[Mapping[str, Any]]) -> Any:
    """What the steps make of a table. Raises Invalid for a column that isn't there."""
    stamps: Mapping[str, Any] = {}
    for step in steps:
        do = step["do"]
        if do == "keep":
            table = table[_there(table, step["columns"])]
        elif do == "drop":
            table = table.drop(columns=_there(table, step["columns"]))
        elif do == "take":
            table = table.head(step["count"])
        elif do == "skip":
            table = table.iloc[step["count"] :]
        elif do in ("sample", "split"):
            table = _drawn(table, step)
        elif do == "where":
            table = table[evaluated(table, step["test"])]
        elif do == "stamps":
            stamps = step
        elif do == "time":
            table = _of_time(pandas, table, step, stamps)
    return table.reset_index(drop=True)


def _there(table: Any, columns: Sequence[str]) -> List[str]:
    for name in columns:
        if name not in table.columns:
            raise Invalid.field("columns", name, f"the columns are {_named(table)}")
    return list(columns)


def _named(table: Any) -> str:
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def _drawn(table: Any, step: Mapping[str, Any]) -> Any:
    """Each row by a draw of its own: the same seed gives the same rows, and the rest the others."""
    draw = random.Random(int(step.get("seed") or 0))
    share = step["fraction"] if step["do"] == "split" else step["probability"]
    wanted = [(draw.random() < share) != bool(step.get("is_rest")) for _ in range(len(table))]
    return table[wanted]


def _of_time(pandas: Any, table: Any, step: Mapping[str, Any], stamps: Mapping[str, Any]) -> Any:
    name = stamps.get("timestamp") or stamps.get("partition")
    if not name:
        raise Invalid.field("timestamp", name, "name it first, by with_timestamp_columns")
    _there(table, [name])
    times = pandas.to_datetime(table[name])
    after, before, is_boundary = (
        step.get("after"),
        step.get("before"),
        step.get("is_boundary", True),
    )
    if after is not None:
        limit = _moment(pandas, after, times)
        keep = times >= limit if is_boundary else times > limit
        table, times = table[keep], times[keep]
    if before is not None:
        limit = _moment(pandas, before, times)
        table = table[times <= limit if is_boundary else times < limit]
    return table


def _moment(pandas: Any, text: str, times: Any) -> Any:
    """A moment that the times can be compared with: both with a zone, or none."""
    moment = pandas.Timestamp(text)
    zone = getattr(times.dt, "tz", None)
    if zone is None:
        return moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo else moment
    return moment.tz_convert(zone) if moment.tzinfo else moment.tz_localize("UTC").tz_convert(zone)


_TESTS: Dict[str, Any] = {
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "and": lambda a, b: a & b, "or": lambda a, b: a | b,
}  # fmt: skip


def evaluated(table: Any, test: Any) -> Any:
    """A test as ["<", ["column", "age"], 3], with "and", "or" and "not" between tests."""
    if not isinstance(test, list) or not test:
        return test
    if test[0] == "column" and len(test) == 2:
        return table[_there(table, [test[1]])[0]]
    if test[0] == "not" and len(test) == 2:
        return ~evaluated(table, test[1])
    if test[0] in ("is_null", "starts_with", "ends_with", "contains"):
        return _text_test(table, test)
    if test[0] not in _TESTS or len(test) != 3:
        raise Invalid.field("test", test, f"use one of: column, not, {', '.join(_TESTS)}")
    return _TESTS[test[0]](evaluated(table, test[1]), evaluated(table, test[2]))


def _text_test(table: Any, test: List[Any]) -> Any:
    column = evaluated(table, test[1])
    if test[0] == "is_null":
        return column.isna()
    texts = column.astype("str").str
    if test[0] == "contains":
        return texts.contains(str(test[2]), regex=False)
    return texts.startswith(test[2]) if test[0] == "starts_with" else texts.endswith(test[2])


def partition_names(form: str) -> List[str]:
    """The names in a partition format."""
    return [place.group(1) for place in _PLACE.finditer(form)]
