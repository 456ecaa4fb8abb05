"""The sentences that a person reads, compared whole; and an answer to whatever may happen."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.run import events as ev
from outlast.run.spec import Output, Policy
from outlast.run.state import STATUSES, InvalidTransition, RunState, initial, step
from outlast.run.verdict import CAUSES
from outlast.why.evidence import Evidence
from outlast.why.explain import explain
from outlast.why.finding import Explanation
from outlast.why.story import Told
from tests.why.scenes import SPEC, T0, S, at, failed, scene, scenes, traceback

HEADLINES = {
    "waiting_for_slots": "Waiting for 3 m 20 s: it waits for 2 GPUs (1 of 4 free).",
    "waiting_for_slots.never": "Waiting for 3 m 20 s: it asks for 8 GPUs, but this machine has "
    "4 GPUs in all: it can never start here.",
    "waiting_for_upstream": "Waiting for 3 m 20 s: it waits for 2 runs to be Completed first: "
    "4bq8zt1c0d (Running) and 9d2c7v5h1e (Queued).",
    "waiting_for_retry": "Waiting for 39.9 s: attempt 1 of 3 failed: the command ended with "
    "exit code 3.",
    "running_normally": "Running for 3 m 20 s: it works: 1 process at 98 % CPU and 1.2 MB/s, last "
    "output 2 s ago, last metric loss = 0.123457 (step 120) 4 s ago.",
    "silent": "Running for 13 m 20 s: it is silent: no output and no metric for 12 m 3 s, and its "
    "process uses no CPU now.",
    "orphan_process": "Not finished yet: the command ended at 14:00:12 with exit code 0, but "
    "1 background process that it started is still running.",
    "storage_unavailable": "Not finished yet: its work is done, but its outputs can't be stored: "
    "the disk is full where outputs are stored.",
    "cancel_requested": "Being canceled: ada asked for it to be stopped 3 s ago (the loss "
    "explodes); 1 process of it is still running.",
    "not_responding": "Not responding: its supervisor gave its last sign of life 35 s ago (one is "
    "due every 5 s): its process 4690 is stopped by a signal or a debugger.",
    "exit_code": "Failed after 12.3 s: the command ended with exit code 3.",
    "python_exception": "Failed after 12.3 s: Python raised ValueError: the batch is empty "
    "(train.py:42, in main). The command ended with exit code 1.",
    "missing_module": "Failed after 12.3 s: the Python module sklearn is missing in the "
    "environment that ran the command (python). The command ended with exit code 1.",
    "out_of_memory": "Failed after 12.3 s: it ran out of memory: the kernel's out-of-memory (OOM) "
    "killer ended it when it held 412 MB.",
    "time_limit": "Failed after 20.3 s: it reached its time limit of 20 s (max_run_duration_s) at "
    "14:00:20 and was stopped.",
    "start_failed": "Failed: the command could not be started: there is no command 'pyhton'; did "
    "you mean python or python3?",
    "lost": "Failed after 6 m 40 s: the machine was rebooted while it ran, so how it would have "
    "ended can't be known.",
    "output_missing": "Failed after 12.3 s: the declared output out.txt is missing: the command "
    "ended with exit code 0, but did not write it.",
    "output_foreign": "Failed after 12.3 s: out.txt was there before the run and was not written "
    "by this run, so it doesn't count as produced.",
    "completed": "Completed in 12.3 s: exit code 0, 3 outputs stored (1.2 MB), "
    "2 background processes awaited.",
    "logged_errors": "Completed in 12.3 s: exit code 0, 3 outputs stored (1.2 MB). "
    "1 warning below.",
    "upstream_failed": "Canceled: it never started: run 4bq8zt1c0d had to be Completed first, but "
    "is Failed.",
    "canceled": "Canceled after 39.9 s: ada canceled it at 14:00:30 (the loss explodes); 1 process "
    "did not obey TERM and needed KILL; nothing of it was running 10.2 s later.",
}
NEXT = {
    "orphan_process": "Waited for until 14:05:12, 3 m 20 s from now (the limit for leftovers is "
    "5 m); what still runs then gets TERM, and KILL 10 s later. After that its outputs are stored "
    "and it is Completed, with a warning.",
    "waiting_for_retry": "Attempt 2 of 3 is put in line at 14:01:12, in 20 s; the delay doubles "
    "each time.",
    "storage_unavailable": "It is tried again at 14:00:15, in 1.5 s, and given up at 15:00:13; the "
    "files stay where they are.",
    "cancel_requested": "TERM was sent; what doesn't obey gets KILL at 14:00:40, in 7.1 s.",
    "not_responding": "With the next sign it goes on (it was Running); without one it is Failed as "
    "lost at 14:16:40, in 14 m 45 s.",
    "logged_errors": "The policy on_logged_error = warn makes that a warning, not a failure.",
}
COMMANDS = {
    "orphan_process": "kill 4711",
    "stopped": "kill -CONT 4700",
    "missing_module": "python -m pip install scikit-learn",
    "storage_unavailable.given_up": "outlast outputs push 7k3m9qxw2a",
    "cancel_requested": "outlast cancel --force 7k3m9qxw2a",
    "lost": "outlast retry 7k3m9qxw2a",
    "address_in_use": "ss -ltnp 'sport = :8265'",
}
ALL = scenes()


@pytest.mark.parametrize("name", HEADLINES)
def test_the_headline_says_it_in_one_sentence(name: str) -> None:
    assert explain(ALL[name]).headline == HEADLINES[name]


@pytest.mark.parametrize("name", NEXT)
def test_what_happens_next_and_until_when_is_said(name: str) -> None:
    assert explain(ALL[name]).findings[0].next == NEXT[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_that_changes_it_is_said(name: str) -> None:
    assert explain(ALL[name]).findings[0].command == COMMANDS[name]


def said(found: Explanation) -> str:
    """Every text that a person gets to read of it."""
    texts = [found.headline]
    for finding in found.findings:
        facts = [fact.text for fact in finding.evidence]
        texts += [finding.claim, *facts, finding.next, finding.command]
    return "\n".join(texts)


def test_a_leftover_is_shown_with_what_it_does() -> None:
    (fact,) = explain(ALL["orphan_process"]).findings[0].evidence
    assert fact.text == (
        "process 4711 (python evaluate.py): 98 % CPU, 12.3 s of CPU so far, reads and writes "
        "1.2 MB/s, 340 MB of memory, holds /home/ada/digits/outputs/evaluation.json open for "
        "writing"
    )


def test_a_check_that_runs_is_told_with_the_time_that_it_may_take() -> None:
    spec = SPEC._replace(outputs=(Output("model.pt", check=("sleep", "9")),))
    (finding, *_) = explain(replace(ALL["collecting_outputs"], spec=spec)).findings
    assert finding.next.startswith("A check that takes longer than 1 h is ended, and the run is F")


def test_a_script_that_asks_is_told_that_nobody_answers() -> None:
    asking = scene(failed(1), now_s=20, tail=traceback("EOFError: EOF when reading a line"))
    assert "A run's stdin is empty" in explain(asking).findings[0].claim


def test_a_silent_run_shows_where_each_python_thread_stands() -> None:
    texts = [fact.text for fact in explain(ALL["silent"]).findings[0].evidence]
    assert texts[1:] == [
        "process 4700, MainThread: is in recv (socket.py:706), called from fetch (data.py:31)",
        "process 4700, pin memory: is in wait (threading.py:327)",
    ]


def test_a_finding_leads_to_the_byte_in_the_output() -> None:
    evidence = ALL["python_exception"]
    fact = explain(evidence).findings[0].evidence[0]
    assert fact.journal == "output"
    assert evidence.output_tail[fact.offset :].startswith(b"Traceback (most recent call last):")


def test_what_a_hostile_job_printed_moves_no_cursor() -> None:
    evil = b"\x1b[2J\x1b]0;pwned\x07ERROR: \x9b31mboom\xff\x00\x1b[1A\n"
    base = ALL["exit_code"]
    text = said(explain(replace(base, output_tail=evil, output_size=len(evil))))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "boom" in text


def test_a_path_with_shell_signs_is_quoted_in_the_command() -> None:
    tail = b"cat: $(reboot): No such file or directory\n"
    finding = explain(replace(ALL["exit_code"], output_tail=tail)).findings[0]
    assert finding.rule == "missing_file"
    assert "$(reboot)" not in finding.command or "'" in finding.command


def test_an_unknown_module_is_not_advised_to_be_installed() -> None:
    """Whoever owns that name on a package index would run code on the user's machine."""
    tail = ALL["missing_module"].output_tail.replace(b"sklearn", b"my_trainer")
    finding = explain(replace(ALL["missing_module"], output_tail=tail)).findings[0]
    assert finding.rule == "missing_module"
    assert "pip install" not in finding.command


@pytest.mark.parametrize("status", STATUSES)
def test_there_is_an_answer_for_every_status_without_any_story(status: str) -> None:
    state = RunState(
        status=status, since_ns=at(1), cause="canceled" if status == "Canceled" else ""
    )
    assert explain(Evidence(at(9), SPEC, state)).headline.endswith(".")


@pytest.mark.parametrize("cause", CAUSES)
def test_there_is_an_answer_for_every_cause(cause: str) -> None:
    state = RunState(status="Failed", cause=cause, since_ns=at(1), ended_ns=at(1))
    found = explain(Evidence(at(9), SPEC, state))
    assert len(found.headline) > len("Failed: .")
    assert found.findings or cause == "canceled"


# --- whatever may happen ---

TEXT = st.text(max_size=20)
TIMES = st.integers(0, 4000).map(lambda s: T0 + s * S)
PROCESSES = st.lists(
    st.fixed_dictionaries(
        {"pid": st.integers(1, 9)}, optional={"command": TEXT, "cpu_s": st.floats(0, 9)}
    ),
    max_size=3,
).map(tuple)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "t_ns": TIMES,
    "attempt": st.integers(1, 2),
    "processes": PROCESSES,
    "facts": st.dictionaries(TEXT, st.one_of(TEXT, st.integers())),
    "gpus": st.lists(st.integers(0, 3), max_size=2).map(tuple),
    "kind": st.sampled_from(["command", "interactive"]),
    "mode": st.sampled_from(["command", "watch", "adopt", "resume"]),
    "signal": st.sampled_from(["TERM", "KILL"]),
    "code": st.one_of(st.none(), st.integers(0, 255)),
    "outcome": st.sampled_from(["completed", "failed", "canceled"]),
    "cause": st.sampled_from(["", *CAUSES]),
    "evidence": st.sampled_from(["process_gone", "rebooted", "folder_gone", "silent_too_long"]),
    "problem": st.sampled_from(["missing", "foreign", "truncated", "check_failed"]),
    "how": st.sampled_from(["complete", "fail", "cancel", "died"]),
    "reason": st.sampled_from(["cancel", "leftovers", "idle_leftovers", "max_run_duration_s", "x"]),
    "limit": st.sampled_from(["max_run_duration_s", "memory_bytes"]),
    "manifest": st.sampled_from(["", "ab" * 32]),
}


def _events(kind: type[Any]) -> st.SearchStrategy[Any]:
    fields: dict[str, Any] = {}
    for name, note in kind.__annotations__.items():
        plain = {"int": st.integers(0, 10**9), "float": st.floats(0, 1e9), "bool": st.booleans()}
        text = str(getattr(note, "__forward_arg__", note))
        fields[name] = TIMES if name.endswith("_ns") else VALUES.get(name)
        if fields[name] is None or (kind is ev.Exited and name == "signal"):
            fields[name] = plain.get(text, st.none() if "Optional" in text else TEXT)
        if kind is ev.Exited and name == "signal":
            fields[name] = st.one_of(st.none(), st.integers(1, 64))
    return st.builds(kind, **fields)


STORIES = st.lists(
    st.one_of(*(_events(kind) for kind in (*ev.DECISIONS, *ev.NODE_EVENTS))), max_size=25
)
# Most random stories go nowhere: begin where a run really is.
BEGINNINGS = st.sampled_from(
    [(), *(tuple(told.event for told in evidence.story) for evidence in ALL.values())]
)
POLICIES = st.sampled_from([Policy(), Policy(max_attempts=3, retry_on=("lost", "failed"))])


@settings(max_examples=150, deadline=None)
@given(BEGINNINGS, STORIES, POLICIES, st.binary(max_size=200), TIMES)
def test_explain_answers_whatever_the_story(
    beginning: tuple[Any, ...], story: list[Any], policy: Policy, tail: bytes, now_ns: int
) -> None:
    spec = SPEC._replace(policy=policy)
    state, told = initial(spec), []
    for number, event in enumerate((*beginning, *story)):
        with suppress(InvalidTransition):
            state, _ = step(state, event)
            told.append(Told(event, "events", number))
    evidence = Evidence(
        now_ns, spec, state, tuple(told), len(tail), tail, last_output_ns=T0, boot_id="b"
    )
    found = explain(evidence)
    assert found.headline
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", said(found))
    assert explain(Evidence.from_dict(evidence.to_dict())) == found


def test_the_attempts_before_do_not_speak_for_this_one() -> None:
    evidence = ALL["retried"]
    assert evidence.last(ev.Exited) is None
    assert "exit_code" not in [finding.rule for finding in explain(evidence).findings]


def test_a_wait_that_is_over_is_not_told_as_future() -> None:
    late = scene([told.event for told in ALL["orphan_process.told"].story], now_s=900)
    assert "0 s from now" in explain(late).findings[0].next


def test_a_secret_in_a_leftovers_command_line_is_starred_out() -> None:
    told = {"pid": 7, "command": "python push.py --token hf_abcdefghijklmnopqrstuvwx", "cpu_s": 1}
    story = [item.event for item in ALL["orphan_process.told"].story]
    secret = scene([*story[:-1], ev.Leftovers(at(13), 1, (told,), at(300), 0)], now_s=20)
    text = said(explain(secret))
    assert "push.py" in text
    assert "hf_abc" not in text


def test_an_out_of_memory_kill_of_somebody_elses_process_is_only_a_warning() -> None:
    """Seen on a busy machine: the kernel's log named another run's process."""
    story = [item.event for item in ALL["out_of_memory.elsewhere"].story]
    other = [e._replace(code=3) if isinstance(e, ev.Exited) else e for e in story]
    rules = [finding.rule for finding in explain(scene(other, now_s=20)).findings]
    assert rules == ["exit_code", "warned"]


@pytest.mark.parametrize("problem", ["foreign", "truncated"])
def test_a_canceled_run_says_first_that_it_was_canceled(problem: str) -> None:
    *story, tree_ended, last = [told.event for told in ALL["canceled"].story]
    aside = ev.OutputProblem(at(40.1), 1, "old.txt", problem, "it is", False)
    found = explain(scene([*story, tree_ended, aside, last], now_s=60))
    assert found.headline == HEADLINES["canceled"]
    assert found.findings[0].rule == "canceled"
    assert any(finding.rule.startswith("output_") for finding in found.findings)


def test_a_long_search_path_stands_in_the_evidence_not_in_the_headline() -> None:
    failed = ev.StartFailed(at(1), 1, "no_command", "there is no command 'x' on the PATH: /a:/b")
    state = RunState(status="Failed", cause="start_failed", message=failed.message)
    found = explain(Evidence(at(2), SPEC, state, (Told(failed, "events", 0),)))
    assert found.headline == "Failed: the command could not be started: there is no command 'x'."
    assert "/a:/b" in found.findings[0].evidence[0].text
