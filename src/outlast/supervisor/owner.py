"""The script's own word: complete, fail, cancel or exit, as its journals keep it.

A script writes its word into its journal before it tells the supervisor, so the word holds even
when the supervisor could not be reached. Journals hold millions of metrics: they are searched as
bytes, and only lines that may be an end record are understood.
"exit" is the word of a script that reached its end and never said how: its exit code then decides.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from outlast.errors import Corrupt, Invalid
from outlast.journal.line import pack, unpack
from outlast.run import logged
from outlast.run.folder import LOGGED_PREFIX, RunFolder
from outlast.run.verdict import signal_name
from outlast.supervisor.kernel import Exit
from outlast.supervisor.tree import plain

# The gravest word counts when several processes of a script ended the run.
_GRAVITY = ("exit", "complete", "cancel", "fail")
_WINDOW_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 16 << 20
_LONGEST_MESSAGE_CHARS = 10_000
_LONGEST_FACTS_CHARS = 256 << 10
_SIGN = b'"end"'


class Word(NamedTuple):
    """How the script said that it ended."""

    how: str  # complete | fail | cancel | exit
    message: str = ""
    facts: Mapping[str, Any] = {}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Optional[Word]:
        """The word of a request or an end record; None when it is none."""
        how, facts = record.get("how"), record.get("facts")
        if how not in _GRAVITY:
            return None
        message = plain(str(record.get("message") or ""))[:_LONGEST_MESSAGE_CHARS]
        return cls(str(how), message, _bounded(facts) if isinstance(facts, dict) else {})


def _bounded(facts: Dict[str, Any]) -> Dict[str, Any]:
    """The facts, if an event has room for them and can hold them."""
    if not facts:
        return facts
    try:
        pack(facts)
    except Invalid as error:
        return {"facts_left_out": plain(error.message)}
    if len(json.dumps(facts)) > _LONGEST_FACTS_CHARS:
        return {"facts_left_out": f"more than {_LONGEST_FACTS_CHARS} characters"}
    return facts


def last_word(folder: RunFolder, before_bytes: Mapping[str, int]) -> Optional[Word]:
    """The gravest word in the run's journals, `before_bytes` of each left out; None without one."""
    found: Optional[Word] = None
    for name in names_in(folder):
        if name.startswith(LOGGED_PREFIX) and not name.endswith(".first"):
            found = _graver(found, word_in(folder.file(name), before_bytes.get(name, 0)))
    return found


def word_in(journal: str, start: int) -> Optional[Word]:
    """The gravest word in one journal from the offset `start` on; None without one."""
    found: Optional[Word] = None
    for record in _end_records(journal, start):
        found = _graver(found, Word.of(record))
    return found


def _graver(one: Optional[Word], other: Optional[Word]) -> Optional[Word]:
    if one is None or other is None:
        return other or one
    return other if _GRAVITY.index(other.how) >= _GRAVITY.index(one.how) else one


def final_word(word: Optional[Word], ended: Optional[Exit]) -> Word:
    """What a dead owner's word, or its silence, means; `ended` None: nobody can tell how."""
    if word is None:
        return Word("died", f"its owner {_manner(ended)} without complete()")
    if word.how == "exit" and ended is None:
        return word._replace(how="complete")  # before Linux 6.15 its word is all there is
    return word


def _manner(ended: Optional[Exit]) -> str:
    if ended is None:
        return "died"
    if ended.signal is not None:
        return f"was ended by {signal_name(ended.signal)}"
    return f"ended with exit code {ended.code}"


def names_in(folder: RunFolder) -> List[str]:
    """The names in the run's folder; none when somebody has removed it."""
    try:
        return sorted(os.listdir(folder.path))
    except FileNotFoundError:
        return []


def _end_records(path: str, start: int) -> Iterator[Dict[str, Any]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # not a journal of a script
        return
    try:
        rest = b""
        while True:
            window = os.pread(fd, _WINDOW_BYTES, start)
            if not window:
                return
            start += len(window)
            lines, newline, rest = (rest + window).rpartition(b"\n")
            if len(rest) > _LONGEST_LINE_BYTES:
                rest = b""
            if newline and _SIGN in lines:
                yield from _among(lines)
    except OSError:  # a folder, or a disk that fails: nothing that can be believed
        return
    finally:
        os.close(fd)


def _among(lines: bytes) -> Iterator[Dict[str, Any]]:
    for line in lines.split(b"\n"):
        if _SIGN in line:
            try:
                record = unpack(line)
            except Corrupt:
                continue
            if record.get("k") == logged.END:
                yield record
