"""One rank of a distributed run failed, and the others were ended because of it: which rank, how it
ended, and its own last words.
"""

from __future__ import annotations

from outlast.run.state import FAILED
from outlast.run.verdict import signal_name
from outlast.why.evidence import Evidence
from outlast.why.finding import Finding
from outlast.why.ranks import RanksSeen
from outlast.why.wording import ending_fact, last_words

RANK = 25
ANSWERS = True
CAUSES = ("exit_code", "signal", "logged_error")


def rule(evidence: Evidence) -> Finding | None:
    ranks, state = evidence.ranks, evidence.state
    if ranks is None or ranks.failed < 0 or state.status != FAILED or state.cause not in CAUSES:
        return None
    others = "; the others were ended because of it" if ranks.number > 1 else ""
    return Finding(
        rule="rank_failed",
        claim=f"Rank {ranks.failed} of {ranks.number} {_how(ranks)}{others}.",
        evidence=(*ending_fact(evidence), *last_words(evidence)),
        since_ns=state.ended_ns,
        command=f"outlast logs {evidence.id}",
        severity="problem",
    )


def _how(ranks: RanksSeen) -> str:
    if ranks.message:
        return f"couldn't be started ({ranks.message.rstrip('.')})"
    if ranks.signal:
        return f"was ended by {signal_name(ranks.signal)}"
    return f"ended with exit code {ranks.exit_code}"
