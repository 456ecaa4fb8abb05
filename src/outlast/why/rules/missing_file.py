"""A file or folder that the command wanted to open is missing, and from where it was looked for."""

from __future__ import annotations

import os
import re
import shlex

from outlast.run.state import FAILED
from outlast.why.evidence import Evidence
from outlast.why.finding import Fact, Finding
from outlast.why.wording import ending_fact, traceback_fact

RANK = 12
ANSWERS = True
_PYTHON = re.compile(r"No such file or directory: '([^']+)'")
_SCRIPT = re.compile(r"can't open file '([^']+)': \[Errno 2\]")
_TOOL = re.compile(
    r"^[\w./-]+: (?:line \d+: )?(?:cannot (?:access|open|stat) )?'?([^':]+)'?: No such file"
)


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause in ("start_failed", "output_missing"):
        return None
    path, facts = _missing(evidence)
    if not path:
        return None
    folder = evidence.folder
    where = "" if os.path.isabs(path) or not folder else f", looked for from {folder}"
    return Finding(
        rule="missing_file",
        claim=f"The file or folder {path} is missing{where}.",
        evidence=(*facts, *ending_fact(evidence)),
        since_ns=state.ended_ns,
        command=f"ls {shlex.quote(os.path.join(folder, os.path.dirname(path)) or '.')}",
        severity="problem",
    )


def _missing(evidence: Evidence) -> tuple[str, tuple[Fact, ...]]:
    found = evidence.traceback
    if found is not None:
        named = _PYTHON.search(found.message)
        is_it = named and found.name in ("FileNotFoundError", "OSError")
        return (named[1], traceback_fact(evidence)) if named and is_it else ("", ())
    for line in reversed(evidence.lines[-5:]):
        named = _SCRIPT.search(line.text) or _TOOL.search(line.text)
        if named:
            return named[1].strip(), (Fact(line.text, "output", line.offset),)
    return "", ()
