"""A signal that Outlast did not send ended the command: which, what it usually means, and its
last words.
"""

from __future__ import annotations

import signal

from outlast.run import events as ev
from outlast.run.state import FAILED
from outlast.run.verdict import signal_name
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.wording import ending_fact, last_words

RANK = 30
ANSWERS = True
MEANINGS = {
    signal.SIGKILL: "somebody or something killed it at once; the kernel names no sender, and there"
    " is no sign of the out-of-memory killer",
    signal.SIGTERM: "another program or person asked it to end",
    signal.SIGHUP: "its terminal or session was closed",
    signal.SIGINT: "it was interrupted, as by Ctrl-C",
    signal.SIGSEGV: "it touched memory that isn't its own: a bug in native code",
    signal.SIGBUS: "it read beyond the end of a mapped file, or shared memory (/dev/shm) was full",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGILL: "an instruction that this CPU doesn't know: perhaps built for another one",
    signal.SIGABRT: "it gave up by itself: a failed assertion in native code",
    signal.SIGXCPU: "it used up a CPU time limit (ulimit -t)",
    signal.SIGXFSZ: "it hit a file size limit (ulimit -f)",
    signal.SIGPIPE: "it wrote to a pipe that nobody reads any more",
}


def rule(evidence: Evidence) -> Finding | None:
    state = evidence.state
    if state.status != FAILED or state.cause != "signal":
        return None
    exited = evidence.last(ev.Exited)
    core = "; it left a core dump" if exited and exited.event.has_core else ""
    meaning = next((text for number, text in MEANINGS.items() if number == state.exit_signal), "")
    name = "a signal" if state.exit_signal is None else signal_name(state.exit_signal)
    return Finding(
        rule="killed_by_signal",
        claim=f"The command was ended by {name}, which Outlast did not send"
        f"{f': {meaning}' if meaning else ''}{core}.",
        evidence=(*ending_fact(evidence), *last_words(evidence)),
        since_ns=state.ended_ns,
        command=f"outlast retry {evidence.id}",
        severity="problem",
    )
