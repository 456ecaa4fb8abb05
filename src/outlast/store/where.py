"""The small language of --where: `metrics.loss < 0.1 and tags.team = "vision"`.

    condition  one of: comparison, `not` condition, condition `and` condition, condition `or`
               condition, `(` condition `)`; `and` binds more than `or`
    comparison FIELD OP VALUE, with OP one of = != < <= > >= ~ (contains, whatever the case);
               FIELD `in` (VALUE, …), FIELD `not in` (VALUE, …); or just metrics.NAME, tags.NAME or
               params.NAME, which is true when the run has it
    VALUE      a number, "text" or 'text' (with \\" inside), or a word such as Failed

A metric is compared by its last value. A run that doesn't have a value never fits a comparison
with it, not even `!=`. Only text in, a tree out; `to_sql` turns the tree into bound SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from outlast.errors import Invalid
from outlast.run.state import STATUSES
from outlast.store.schema import TEXT_CHARS, run_values, runs

TEXTS = ("id", "name", "experiment", "kind", "status", "stage", "cause", "message", "parent")
NUMBERS = ("attempt", "duration_s")
TIMES = ("created", "queued", "started", "ended")
SHELVES = ("metrics", "tags", "params")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~", "in", "not in")
MAX_CHARS = 4000
MAX_DEPTH = 40

_ALLOWED = ", ".join((*TEXTS, *NUMBERS, *TIMES, *(f"{shelf}.NAME" for shelf in SHELVES)))
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.:/-]))
    | (?P<op><=|>=|!=|==|=|<|>|~)
    | (?P<mark>[(),])
    | (?P<word>(?:metrics|tags|params)\.(?:"[^"]+"|'[^']+'|[^\s()=<>!~,"']+)|[\w.:/@+-]+)
    )""",
    re.VERBOSE,
)


class Compare(NamedTuple):
    """One comparison; `op` "has" asks only whether the value is there."""

    field: str
    op: str
    value: Any = None


class Not(NamedTuple):
    condition: Any


class All(NamedTuple):
    """Every one of these."""

    conditions: tuple[Any, ...]


class Any_(NamedTuple):
    """At least one of these."""

    conditions: tuple[Any, ...]


Condition = Compare | Not | All | Any_


class _Token(NamedTuple):
    kind: str  # text | number | op | mark | word | end
    text: str
    column: int  # counts from 1


def parse(text: str) -> Condition:
    """The tree of `text`. Raises Invalid, which names the column and what may stand there."""
    if len(text) > MAX_CHARS:
        raise Invalid.field("where", text, f"use at most {MAX_CHARS} characters")
    if _UNFIT.search(text):
        raise Invalid.field("where", text, "remove NUL characters and lone surrogates")
    return _Parser(text).whole()


def to_sql(condition: Condition, now_ns: int) -> ColumnElement[bool]:
    """The condition on `runs`; every value is bound, none is spliced in."""
    if isinstance(condition, Not):
        return sa.not_(to_sql(condition.condition, now_ns))
    if isinstance(condition, All):
        return sa.and_(*(to_sql(part, now_ns) for part in condition.conditions))
    if isinstance(condition, Any_):
        return sa.or_(*(to_sql(part, now_ns) for part in condition.conditions))
    shelf, _, _ = condition.field.partition(".")
    if shelf in SHELVES:
        return _value_sql(condition)
    if condition.field in TEXTS:
        return _compared(runs.c[condition.field], condition.op, condition.value)
    if condition.field in TIMES:
        column = runs.c[f"{condition.field}_ns"]
        return sa.and_(column > 0, _compared(column, condition.op, condition.value))
    if condition.field == "duration_s":
        running_ns = sa.case((runs.c.started_ns > 0, sa.literal(now_ns) - runs.c.started_ns))
        duration_s = sa.func.coalesce(runs.c.duration_ns, running_ns) / 1e9
        return sa.func.coalesce(_compared(duration_s, condition.op, condition.value), sa.false())
    return _compared(runs.c[condition.field], condition.op, condition.value)


def _value_sql(condition: Compare) -> ColumnElement[bool]:
    """A lookup in the narrow rows, by the index on (name, value)."""
    rows = sa.select(run_values.c.run).where(run_values.c.name == condition.field)
    if condition.op != "has":
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        if condition.op == "~" or any(isinstance(value, str) for value in values):
            column: ColumnElement[Any] = run_values.c.text
            values = tuple(_as_text(value)[:TEXT_CHARS] for value in values)
        else:
            column = run_values.c.number
        value = values if isinstance(condition.value, tuple) else values[0]
        rows = rows.where(column.is_not(None), _compared(column, condition.op, value))
    return runs.c.key.in_(rows)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.17g}"


def _compared(column: ColumnElement[Any], op: str, value: Any) -> ColumnElement[bool]:
    if op == "~":
        return sa.func.lower(column).contains(str(value).lower(), autoescape=True)
    comparisons: dict[str, Callable[[], ColumnElement[bool]]] = {
        "=": lambda: column == value,
        "!=": lambda: column != value,
        "<": lambda: column < value,
        "<=": lambda: column <= value,
        ">": lambda: column > value,
        ">=": lambda: column >= value,
        "in": lambda: column.in_(value),
        "not in": lambda: column.not_in(value),
    }
    return comparisons[op]()


class _Parser:
    """Recursive descent: a method for each line of the language."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read_tokens()
        self._at = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._either()
        if self._next.kind != "end":
            raise self._error("and, or, or the end")
        return condition

    def _read_tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                column = at + 1 + len(self._text[at:]) - len(self._text[at:].lstrip())
                raise _error_at(self._text, column, "a field, an operator, a value or a bracket")
            kind = match.lastgroup
            tokens.append(_Token(kind, match.group(kind), match.start(kind) + 1))
            at = match.end()
        return [*tokens, _Token("end", "", end + 1)]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _is_word(self, *words: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() in words

    def _is_mark(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.text == mark

    def _error(self, expected: str, token: _Token | None = None) -> Invalid:
        return _error_at(self._text, (token or self._next).column, expected)

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._is_word("or"):
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._is_word("and"):
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} levels of brackets and nots")
        condition: Condition
        if self._is_word("not"):
            self._take()
            condition = Not(self._one())
        elif self._is_mark("("):
            self._take()
            condition = self._either()
            if not self._is_mark(")"):
                raise self._error("and, or, or a closing bracket")
            self._take()
        else:
            condition = self._comparison()
        self._depth -= 1
        return condition

    def _comparison(self) -> Compare:
        field = self._field()
        if self._next.kind == "op":
            op_token = self._take()
            op = "=" if op_token.text == "==" else op_token.text
            return Compare(field, op, self._value(field, op))
        if self._is_word("in") or (self._is_word("not") and self._follows("in")):
            op = "in" if self._take().text.lower() == "in" else "not in"
            if op == "not in":
                self._take()
            return Compare(field, op, self._values(field, op))
        if "." in field:
            return Compare(field, "has")
        raise self._error(f"one of {' '.join(OPERATORS)}")

    def _follows(self, word: str) -> bool:
        after = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return after.kind == "word" and after.text.lower() == word

    def _field(self) -> str:
        token = self._next
        if token.kind != "word":
            raise self._error(f"a field: {_ALLOWED}")
        self._take()
        shelf, dot, name = token.text.partition(".")
        if dot and shelf in SHELVES and name:
            is_quoted = name[0] in "\"'"
            return f"{shelf}.{name[1:-1] if is_quoted else name}"
        if token.text in (*TEXTS, *NUMBERS, *TIMES):
            return token.text
        near = get_close_matches(token.text, (*TEXTS, *NUMBERS, *TIMES), 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise self._error(f"a field{meant}: {_ALLOWED}", token)

    def _values(self, field: str, op: str) -> tuple[Any, ...]:
        if not self._is_mark("("):
            raise self._error("( and values")
        self._take()
        values = [self._value(field, op)]
        while self._is_mark(","):
            self._take()
            values.append(self._value(field, op))
        if not self._is_mark(")"):
            raise self._error("a comma or )")
        self._take()
        return tuple(values)

    def _value(self, field: str, op: str) -> Any:
        token = self._next
        if token.kind not in ("text", "number", "word"):
            raise self._error("a number, a text in quotes, or a word")
        self._take()
        text = token.text
        if token.kind == "text":
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        return self._checked(field, op, token, text)

    def _checked(self, field: str, op: str, token: _Token, text: str) -> Any:
        """The value in the type of its field."""
        is_number = token.kind == "number"
        shelf = field.partition(".")[0]
        if field in TIMES:
            return self._time_ns(token, text)
        if field in NUMBERS or shelf == "metrics":
            if op == "~":
                raise self._error(f"a text field before ~ ({field} is a number)", token)
            if not is_number:
                raise self._error(f"a number ({field} is one)", token)
            return float(text)
        if field == "status" and op != "~":
            by_lower = {status.lower(): status for status in STATUSES}
            if text.lower() not in by_lower:
                raise self._error(f"a status: {', '.join(STATUSES)}", token)
            return by_lower[text.lower()]
        return float(text) if is_number and shelf in SHELVES else text

    def _time_ns(self, token: _Token, text: str) -> int:
        try:
            return int(datetime.fromisoformat(text).timestamp() * 1e9)
        except (ValueError, OverflowError):
            expected = 'a time as "2026-11-21" or "2026-11-21T14:30:00+01:00" (local if no zone)'
            raise self._error(expected, token) from None


def _error_at(text: str, column: int, expected: str) -> Invalid:
    found = text[column - 1 : column + 19].strip()
    seen = f"found {found!r}" if found else "it ends there"
    return Invalid(
        f"where = {text!r}: at column {column} {seen}, expected {expected}",
        hint="an example: --where 'metrics.loss < 0.1 and tags.team = \"vision\"'",
        field="where",
        column=column,
        remedy=f"expected {expected}",
    )
