"""What may be asked of a supervisor, and what it answers.

    {"op": "status"}                                      see `status`
    {"op": "stop", "reason": "cancel", "grace_s": 10, "force": false}
                                                          {"ok": true, "processes": [...]}
    {"op": "finish", "how": "complete", "message": "", "facts": {}}
                                                          {"ok": true} once `ended` is on the disk;
                                                          how = exit: at once, the end comes with
                                                          the owner's own
    {"op": "attach", "role": "driver", "key": "32 hex", "epoch": null, "who": "", "columns", "rows"}
                                                          see `attached` (terminals), `stream`

`grace_s` and `force` may be left out. A second stop changes nothing, unless it has `force`: then
KILL follows at once. What can't be done is answered {"error": text}.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from outlast.run import events as ev
from outlast.supervisor.control import Asker, Reply
from outlast.supervisor.owner import Word
from outlast.supervisor.status import status
from outlast.supervisor.supervision import Supervision

_LONGEST_GRACE_S = 24 * 3600.0


def answer(supervision: Supervision, request: Dict[str, Any], asker: Asker) -> None:
    """Do what is asked; the reply comes now, or when it is done."""
    reply = asker.reply
    operation = request.get("op")
    if operation == "status":
        reply(_status(supervision))
    elif operation == "stop":
        reply(_stop(supervision, request))
    elif operation == "finish":
        _finish(supervision, request, reply)
    elif operation == "attach":
        supervision.channel.attach(request, asker)
    else:
        known = "status, stop, finish, attach"
        reply({"error": f"op = {str(operation)[:100]!r}: use one of: {known}"})


def _status(supervision: Supervision) -> Dict[str, Any]:
    told = status(
        supervision.mode,
        supervision.attempt,
        supervision.main,
        supervision.stage,
        supervision.ladder.rung,
        supervision.tree.members(),
        supervision.loop,
    )
    return {**told, **supervision.channel.status(supervision.main)}


def _stop(supervision: Supervision, request: Dict[str, Any]) -> Dict[str, Any]:
    if request.get("reason", "cancel") != "cancel":
        return {"error": 'reason: only "cancel" may be asked for'}
    grace_s = _grace_s(request, supervision.spec.limits.stop_grace_s)
    if grace_s is None:
        return {"error": f"grace_s: give seconds from 0 to {_LONGEST_GRACE_S:.0f}"}
    return {"ok": True, "processes": _cancel(supervision, grace_s)}


def _grace_s(request: Dict[str, Any], default_s: float) -> Optional[float]:
    if request.get("force") is True:
        return 0.0
    grace_s = request.get("grace_s", default_s)
    is_number = isinstance(grace_s, (int, float)) and not isinstance(grace_s, bool)
    return float(grace_s) if is_number and 0 <= grace_s <= _LONGEST_GRACE_S else None


def _cancel(supervision: Supervision, grace_s: float) -> List[Dict[str, Any]]:
    if supervision.stage in ("preparing", "running", "leftovers"):
        if not supervision.assignment.is_interactive:
            return supervision.stop("cancel", grace_s)
        # Its owner is the user's own process, a notebook perhaps: the run ends, the owner doesn't.
        supervision.end_owner(Word("cancel", "canceled from outside"))
    elif supervision.stage == "outputs" and not supervision.seen.stop_reason:
        supervision.seen = supervision.seen._replace(stop_reason="cancel")
        supervision.story.tell(
            ev.Stopping(time.time_ns(), supervision.attempt, "cancel", "TERM", (), 0)
        )
        supervision.ending.abandon()
    return []


def _finish(supervision: Supervision, request: Dict[str, Any], reply: Reply) -> None:
    word = Word.of(request)
    if not supervision.assignment.is_interactive:
        reply({"error": "only an interactive run is finished; this one ends with its command"})
    elif word is None:
        reply({"error": "how: use one of: complete, fail, cancel, exit"})
    elif word.how == "exit":
        supervision.said = word
        reply({"ok": True})
    else:
        supervision.when_over.append(reply)
        supervision.end_owner(word)
