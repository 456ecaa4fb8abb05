"""Recorded evidence, one scene a rule; `python -m tests.why.scenes` writes tests/vectors/why.

Each scene is a story told in events; its state is what `run.state` makes of them. Write the vectors
again after changing a scene or the shape of Evidence, and read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from outlast.run import events as ev
from outlast.run.spec import (
    Distributed,
    Limits,
    Output,
    Policy,
    Resources,
    RunSpec,
    Source,
    Terminal,
)
from outlast.run.state import replay
from outlast.why.building import Building
from outlast.why.evidence import Evidence, Wish
from outlast.why.explain import explain
from outlast.why.place import Amounts, Nodes, QueuePlace
from outlast.why.processes import ProcessSeen
from outlast.why.ranks import RanksSeen
from outlast.why.story import Told
from outlast.why.surroundings import LastMetric, Stray
from outlast.why.sweeping import SweepSeen

VECTORS = Path(__file__).parent.parent / "vectors" / "why"
S = 1_000_000_000
T0 = 1_795_269_600 * S  # 2026-11-21 14:00:00 UTC
BOOT = "0f5f2c1e-77aa-4c0e-9d52-4d3a3b1c9e10"
SPEC = RunSpec(
    "7k3m9qxw2a",
    command=("python", "-u", "train.py"),
    source=Source("in_place", "/home/ada/digits"),
    created_ns=T0,
)
DIGITS = "environment digits"
LINES = b"epoch 1 loss 0.91\nepoch 2 loss 0.63\n"
SERVE = {"pid": 4712, "command": "python serve.py", "cpu_s": 0.4, "is_busy": False, "writes": []}
EVALUATE = {
    "pid": 4711,
    "command": "python evaluate.py",
    "cpu_s": 12.3,
    "is_busy": True,
    "writes": ["outputs/evaluation.json"],
}
MAIN = ProcessSeen(
    4700, 4690, "python -u train.py", "R", 41.5, 98.0, 1_200_000.0, 340_000_000, "", (), True
)


def at(seconds: float) -> int:
    return T0 + int(seconds * S)


def scene(
    events: Iterable[ev.Event],
    *,
    now_s: float,
    spec: RunSpec = SPEC,
    tail: bytes = b"",
    **more: Any,
) -> Evidence:
    """Evidence at `now_s` after the start of the story."""
    told, offsets = [], {"events": 0, "decisions": 0}
    for event in events:
        journal = "decisions" if isinstance(event, ev.DECISIONS) else "events"
        told.append(Told(event, journal, offsets[journal]))
        offsets[journal] += len(json.dumps(ev.to_record(event)))
    state = replay(spec, [item.event for item in told])
    made = Evidence(
        at(now_s), spec, state, tuple(told), len(tail), tail, boot_id=BOOT,
        free_disk_bytes=80_000_000_000,
    )  # fmt: skip
    return replace(made, **more)


def queued(attempt: int = 1, t: float = 0.1) -> list[ev.Event]:
    return [ev.Created(at(0)), ev.Queued(at(t), attempt)]


def dispatched(attempt: int = 1, t: float = 0.2, gpus: tuple[int, ...] = ()) -> list[ev.Event]:
    return [ev.Dispatched(at(t), attempt, "local", 1.0, 0, gpus)]


def started(attempt: int = 1, t: float = 0.3, gpus: tuple[int, ...] = ()) -> list[ev.Event]:
    return [
        *dispatched(attempt, t - 0.1, gpus),
        ev.Launched(at(t - 0.05), attempt, 4690, 1000, BOOT),
        ev.Supervised(at(t - 0.02), attempt, "command", 4690, 1000, BOOT, "lab1", "0.1.0"),
        ev.Started(at(t), attempt, 4700, 1010, BOOT, "/home/ada/digits", 0),
    ]


def running(gpus: tuple[int, ...] = ()) -> list[ev.Event]:
    return [*queued(), *started(gpus=gpus)]


def exited(t: float, code: int | None = 0, signal: int | None = None, **more: Any) -> ev.Event:
    return ev.Exited(at(t), 1, code, signal, cpu_s=11.2, max_rss_bytes=412_000_000, **more)


def ended(
    t: float, outcome: str, cause: str = "", message: str = "", manifest: str = "", **facts: Any
) -> list[ev.Event]:
    return [
        ev.TreeEnded(at(t - 0.05), 1),
        ev.Ended(at(t), 1, outcome, cause, message, facts, manifest),
    ]


def failed(code: int = 1, t: float = 12.6) -> list[ev.Event]:
    message = f"the command ended with exit code {code}"
    return [*running(), exited(t - 0.1, code), *ended(t, "failed", "exit_code", message)]


def completed(t: float = 12.6, extra: Iterable[ev.Event] = ()) -> list[ev.Event]:
    return [
        *running(), exited(t - 0.3), *extra, *ended(t - 0.1, "completed", manifest="ab" * 32),
        ev.Committed(at(t), 1, "ab" * 32, 3, 1_234_567),
    ]  # fmt: skip


def traceback(exception: str, place: str = "train.py", line: int = 42) -> bytes:
    return (
        LINES + b"Traceback (most recent call last):\n"
        b'  File "/home/ada/digits/%b", line %d, in main\n    step(batch)\n'
        b'  File "/usr/lib/python3.11/site-packages/torch/nn.py", line 9, in step\n    raise\n'
        b"%b\n" % (place.encode(), line, exception.encode())
    )


def with_leftovers(t: float = 12.5, **more: Any) -> list[ev.Event]:
    event = ev.Leftovers(at(t + 0.1), 1, (EVALUATE, SERVE), more.get("deadline_ns", at(t + 300)), 0)
    return [*running(), exited(t), event]


def limits(**values: Any) -> RunSpec:
    return SPEC._replace(limits=Limits(**values))


def declared(*paths: str) -> RunSpec:
    return SPEC._replace(outputs=tuple(Output(path) for path in paths))


OOM = {"source": "cgroup", "text": "1 killed in /lab"}
ASKED = ev.CancelRequested(at(30), "ada", "the loss explodes")
TERMED = ev.Stopping(at(30.1), 1, "cancel", "TERM", (EVALUATE, SERVE), at(40.1))
KILLED = ev.Stopping(at(40.1), 1, "cancel", "KILL", (SERVE,), 0)
SLEEPING = (
    ProcessSeen(
        4700, 4690, "python -u train.py", "S", 41.5, 0.0, 0.0, 340_000_000,
        "waits for the network or a socket", (), True,
    ),
)  # fmt: skip
STACK = """Process 4700: python -u train.py
Python v3.11.7 (/usr/bin/python3.11)

Thread 4700 (idle): "MainThread"
    recv (socket.py:706)
    fetch (data.py:31)
    <module> (train.py:12)
Thread 4702 (idle): "pin memory"
    wait (threading.py:327)
"""
WAITS = QueuePlace(
    wants=Amounts(1, 0, 2),
    free=Amounts(6, 32_000_000_000, 1),
    totals=Amounts(8, 64_000_000_000, 4),
    holders=(("4bq8zt1c0d", Amounts(1, 0, 3)),),
)


def scenes() -> dict[str, Evidence]:
    """Every scene by the rule that it is made for."""
    return {
        **_waiting(), **_environments(), **_inputs(),
        **_working(), **_finalizing(), **_failing(), **_outputs(), **_over(),
        **_sessions(),
    }  # fmt: skip


def _waiting() -> dict[str, Evidence]:
    gpus = SPEC._replace(resources=Resources(1, 0, 2))
    after = SPEC._replace(after=("4bq8zt1c0d", "9d2c7v5h1e"))
    retry = SPEC._replace(policy=Policy(max_attempts=3, retry_on=("failed",)))
    again = [*failed(3), ev.Retrying(at(12.7), 2, at(72.7), "the command ended with exit code 3")]
    upstream = (("4bq8zt1c0d", "Running"), ("9d2c7v5h1e", "Queued"))
    too_much = WAITS._replace(wants=Amounts(1, 0, 8))
    return {
        "waiting_for_slots": scene(queued(), now_s=200, spec=gpus, queue=WAITS),
        "waiting_for_node": scene(
            queued(), now_s=200, spec=SPEC._replace(target="cpu-cluster"),
            queue=QueuePlace(
                wants=Amounts(1), free=Amounts(6), totals=Amounts(8),
                nodes=Nodes("cpu-cluster", 1, 2, 2, ("a1b2c3d4e5", "b2c3d4e5f6")),
            ),
        ),
        "waiting_for_node.deleted": scene(
            queued(), now_s=200, spec=SPEC._replace(target="cpu-cluster"),
            queue=QueuePlace(
                wants=Amounts(1), free=Amounts(6), totals=Amounts(8),
                nodes=Nodes("cpu-cluster", 1, 0, -1),
            ),
        ),
        "waiting_for_slots.turn": scene(
            queued(), now_s=200, spec=gpus, queue=WAITS._replace(ahead=("4bq8zt1c0d",))
        ),
        "waiting_for_slots.never": scene(queued(), now_s=200, spec=gpus, queue=too_much),
        "waiting_for_slots.unseen": scene(queued(), now_s=200),
        "waiting_for_upstream": scene(
            queued(), now_s=200, spec=after, queue=QueuePlace(upstream=upstream)
        ),
        "waiting_for_retry": scene(
            [*again, ev.Queued(at(12.8), 2)], now_s=52.7, spec=retry,
            queue=QueuePlace(not_before_ns=at(72.7)),
        ),
        "preparing": scene([*queued(), *dispatched(gpus=(0, 1))], now_s=3.2),
        "starting": scene([*queued(), *started()[:3]], now_s=0.5),
    }  # fmt: skip


def _environments() -> dict[str, Evidence]:
    spec = SPEC._replace(
        environment={"kind": "pip", "name": "digits", "python": "3.8", "pip": ["scikit-learn"]}
    )
    begun = [
        *queued(),
        *started()[:3],
        ev.Preparing(at(0.4), 1, 4695, 1005, BOOT, DIGITS, at(3600)),
    ]
    reason = "uv can't resolve its packages: Because skikit-learn was not found"
    replaced = "Python 3.8 was asked for, but isn't on this machine; Python 3.11.7 is used instead"
    log = Building("installing", "", at(2), "Downloading scipy (35.0MiB)", 812, at(9))
    failed = [
        *begun, ev.StartFailed(at(5), 1, "environment", reason),
        *ended(5.2, "failed", "environment", reason),
    ]  # fmt: skip
    return {
        "building_environment": scene(begun, now_s=12.4, spec=spec, build=log),
        "building_environment.waiting": scene(
            begun, now_s=12.4, spec=spec, build=Building("waiting", "4bq8zt1c0d", at(1))
        ),
        "environment_failed": scene(
            failed, now_s=60, spec=spec, build=Building("failed", "", at(5), f"failed: {reason}")
        ),
        "environment_differs": scene(
            [*begun, ev.Prepared(at(3), 1, "ab" * 16, "/home/ada/.outlast/environments/abab"),
             ev.Warned(at(3.1), 1, "python_replaced", replaced), *started()[3:]],
            now_s=200, spec=spec, processes=(MAIN,), tail=LINES, last_output_ns=at(198),
        ),
    }  # fmt: skip


def _inputs() -> dict[str, Evidence]:
    files = {"kind": "file", "sources": ["/data/digits"]}
    given = {"digits": {"definition": files, "dataset": "digits", "version": 3}}
    spec = RunSpec.from_dict({**SPEC.to_dict(), "inputs": given})
    said = "there is no such file or folder on this machine"
    return {
        "input_missing": scene(
            failed(t=1), now_s=60, spec=spec,
            tail=f"outlast: input 'digits': /data/digits: {said}\n".encode(),
        ),
        "input_changed": scene(
            running(), now_s=200, spec=spec, processes=(MAIN,), tail=LINES, last_output_ns=at(198),
            changed_inputs=("digits (digits:3)",),
        ),
    }  # fmt: skip


def _working() -> dict[str, Evidence]:
    quiet = SPEC._replace(command=("python", "train.py"))
    seen: dict[str, Any] = {"processes": (MAIN,), "tail": LINES, "last_output_ns": at(198)}
    lost = [
        *running(),
        ev.Orphaned(at(60), 1, ({"pid": 4700, "command": "python -u train.py"},)),
    ]
    sweep = SPEC._replace(kind="sweep", resources=Resources(0, 0, 0))
    trials = SweepSeen(20, 3, 1, 1, 4, "loss", 0.12, 2, "7k3m9qxw2a_2", "", at(197), 1836)
    return {
        "sweep": scene(running(), now_s=200, spec=sweep, sweep=trials),
        "running_normally": scene(
            running(), now_s=200, last_metric=LastMetric("loss", 0.1234567, 120, at(196)), **seen
        ),
        "silent": scene(
            running(), now_s=800, tail=LINES, last_output_ns=at(77), processes=SLEEPING,
            python_stacks=((4700, STACK),),
        ),
        "outputs_so_far": scene(
            running(), now_s=200, **seen,
            written=(Stray("outputs/model.pt", 48_300, at(120), "outputs"),),
        ),
        "stopped": scene(
            running(), now_s=200, processes=(MAIN._replace(state="T", cpu_percent=0.0),)
        ),
        "python_buffered": scene(running(), now_s=200, spec=quiet, processes=(MAIN,)),
        "supervisor_killed": scene(lost, now_s=200, **seen),
        "nan_metric": scene(
            running(), now_s=200, last_metric=LastMetric("loss", float("nan"), 120, at(196)), **seen
        ),
        "disk_low": scene(running(), now_s=200, **{**seen, "free_disk_bytes": 312_000_000}),
        "unread": scene(running(), now_s=200, **seen, unread=("its output can't be read: denied",)),
        "cancel_requested": scene(
            [*running(), ASKED, TERMED], now_s=33,
            processes=(ProcessSeen(4712, 1, "python serve.py", "S", 0.4, 0.0, 0.0, 22_000_000),),
        ),
        "not_responding": scene(
            [*running(), ev.Silent(at(100), 1, at(80), at(1000))], now_s=115, heartbeat_ns=at(80),
            supervisor=ProcessSeen(4690, 1, "python outlast/supervisor", "T"),
        ),
    }  # fmt: skip


def _finalizing() -> dict[str, Evidence]:
    done = [*running(), exited(12.5), *ended(12.7, "completed", manifest="ab" * 32)]
    full = ev.CommitFailed(
        at(13), 1, "disk_full", "the disk is full where outputs are stored", at(15), at(3613)
    )
    gone = ev.StorageGaveUp(at(3613), 1, "the disk was full where outputs are stored")
    return {
        "orphan_process": scene(
            with_leftovers(), now_s=112.5, tail=LINES,
            processes=(
                ProcessSeen(
                    4711, 1, "python evaluate.py", "R", 12.3, 98.0, 1_200_000.0, 340_000_000, "",
                    ("/home/ada/digits/outputs/evaluation.json",),
                ),
            ),
        ),
        "orphan_process.told": scene(with_leftovers(), now_s=112.5),
        "collecting_outputs": scene(
            [*running(), exited(12.5), ev.TreeEnded(at(12.6), 1)], now_s=14.6
        ),
        "storing_outputs": scene(done, now_s=14.7),
        "storage_unavailable": scene([*done, full], now_s=13.5, free_disk_bytes=0),
        "storage_unavailable.given_up": scene([*done, full, gone], now_s=3700),
    }  # fmt: skip


def _failing() -> dict[str, Evidence]:
    memory = ev.LimitReached(at(12.3), 1, "memory_bytes", 4e9, 4.2e9)
    late = ev.LimitReached(at(20.3), 1, "max_run_duration_s", 20, 20)
    termed = ev.Stopping(at(20.3), 1, "max_run_duration_s", "TERM", (SERVE,), at(30.3))
    died = [*queued(), *started()]
    return {
        "exit_code": scene(failed(3), now_s=20, tail=LINES),
        "rank_failed": scene(
            failed(3), now_s=20, spec=SPEC._replace(distributed=Distributed(2, 2, "torch")),
            tail=b"[rank 0] epoch 1\n[rank 1] no such shard\n[rank 0] waiting for rank 1\n",
            ranks=RanksSeen(4, 1, 3),
        ),
        "exit_code.shell": scene(failed(137), now_s=20, tail=b"train.sh: line 3: 4711 Killed\n"),
        "python_exception": scene(
            failed(), now_s=20, tail=traceback("ValueError: the batch is empty")
        ),
        "missing_module": scene(
            failed(), now_s=20, tail=traceback("ModuleNotFoundError: No module named 'sklearn'")
        ),
        "missing_file": scene(
            failed(), now_s=20,
            tail=traceback(
                "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'"
            ),
        ),
        "disk_full": scene(
            failed(), now_s=20, tail=traceback("OSError: [Errno 28] No space left on device"),
            free_disk_bytes=12_000_000,
        ),
        "cuda_out_of_memory": scene(
            [*running((1,)), exited(12.5, 1), *ended(12.6, "failed", "exit_code", "exit code 1")],
            now_s=20,
            tail=traceback(
                "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"
            ),
        ),
        "address_in_use": scene(
            failed(), now_s=20,
            tail=b"ERROR: [Errno 98] error while attempting to bind on address "
            b"('127.0.0.1', 8265): address already in use\n",
        ),
        "out_of_memory": scene(
            [*running(), exited(12.5, None, 9),
             *ended(12.6, "failed", "memory", "out of memory", oom=OOM)],
            now_s=20, tail=LINES,
        ),
        "out_of_memory.limit": scene(
            [*running(), memory, exited(12.5, None, 9), *ended(12.6, "failed", "memory", "limit")],
            now_s=20,
        ),
        "out_of_memory.python": scene(failed(), now_s=20, tail=traceback("MemoryError")),
        "out_of_memory.elsewhere": scene(
            [*running(), exited(12.4, 137),
             ev.Warned(at(12.5), 1, "oom", "the kernel killed a process for memory: 4711 (cc1)"),
             *ended(12.6, "failed", "exit_code", "exit code 137")],
            now_s=20,
        ),
        "killed_by_signal": scene(
            [*running(), exited(12.5, None, 11, has_core=True),
             *ended(12.6, "failed", "signal", "it was ended by SIGSEGV")],
            now_s=20, tail=LINES,
        ),
        "time_limit": scene(
            [*running(), late, termed, exited(20.5, None, 15),
             *ended(20.6, "failed", "time_limit", "it reached its time limit")],
            now_s=30, spec=limits(max_run_duration_s=20), tail=LINES,
        ),
        "start_failed": scene(
            [*queued(), *started()[:3],
             ev.StartFailed(at(0.4), 1, "no_command", "there is no command 'pyhton'"),
             ev.Ended(at(0.5), 1, "failed", "start_failed", "there is no command 'pyhton'")],
            now_s=20, spec=SPEC._replace(command=("pyhton", "train.py")),
            near_commands=("python", "python3"),
        ),
        "launch_failed": scene(
            [*queued(), *dispatched(), ev.LaunchFailed(at(0.4), 1, "no process could be made")],
            now_s=20,
        ),
        "lost": scene(
            [*died, ev.Lost(at(400), 1, "rebooted", "the machine was rebooted")], now_s=500,
            boot_id="9a7d1f00-1111-4222-8333-444455556666", heartbeat_ns=at(100),
            last_output_ns=at(98), tail=LINES,
        ),
        "lost.gone": scene(
            [*died, ev.Lost(at(400), 1, "process_gone", "no process of it is left")], now_s=500
        ),
        "owner_died": scene(_interactive("died", "", pid=5000), now_s=40,
            last_metric=LastMetric("loss", 0.5, 3, at(20))),
        "failed_by_script": scene(_interactive("fail", "accuracy below 0.9"), now_s=40),
        "leftovers_refused": scene(
            [*with_leftovers(), *ended(40, "failed", "leftovers", "2 processes outlived it")],
            now_s=50, spec=SPEC._replace(policy=Policy(leftovers="fail")),
        ),
    }  # fmt: skip


def _interactive(how: str, message: str, **facts: Any) -> list[ev.Event]:
    cause = {"died": "owner_died", "fail": "failed_by_script"}[how]
    return [
        ev.Created(at(0), "interactive"),
        ev.Supervised(at(0.1), 1, "watch", 4690, 1000, BOOT, "lab1", "0.1.0"),
        ev.OwnerEnded(at(30), 1, how, message, facts),
        ev.Ended(at(30.1), 1, "failed", cause, message or "its owner died without complete()"),
    ]


def _outputs() -> dict[str, Evidence]:
    def judged(problem: str, message: str, cause: str) -> list[ev.Event]:
        trouble = ev.OutputProblem(at(12.5), 1, "out.txt", problem, message, True)
        return [
            *running(), exited(12.4), trouble,
            *ended(12.6, "failed", cause, f"output out.txt: {message}"),
        ]  # fmt: skip

    stray = Stray("output/model.pt", 1_200_000, at(12), "outputs/")
    return {
        "output_missing": scene(
            judged("missing", "it was not produced", "output_missing"), now_s=20,
            spec=declared("out.txt"), tail=LINES,
        ),
        "output_foreign": scene(
            judged("foreign", "it was there before the run", "output_foreign"), now_s=20,
            spec=declared("out.txt"),
        ),
        "output_damaged": scene(
            judged("truncated", "the end of the zip archive is missing", "output_damaged"),
            now_s=20, spec=declared("out.txt"),
        ),
        "output_outside": scene(completed(), now_s=20, strays=(stray,)),
    }  # fmt: skip


def _over() -> dict[str, Evidence]:
    retry = SPEC._replace(policy=Policy(max_attempts=3, retry_on=("failed",)))
    again = ev.Retrying(at(12.7), 2, at(13.7), "the command ended with exit code 3")
    last = "ERROR:root:registering the model failed"
    errors = {"found": 2, "first_offset": 0, "last_offset": 36, "last_line": last}
    logged = ev.Warned(at(12.45), 1, "logged_errors", "2 errors", {"logged_errors": errors})
    background = ev.Leftovers(at(12.4), 1, (EVALUATE, SERVE), at(300), 0)
    idle = ev.Stopping(at(42.3), 1, "idle_leftovers", "TERM", (SERVE,), at(52.3))
    waited = [exited(12.3), background, *ended(60, "completed")]
    forced = [exited(12.3), background, idle, *ended(43, "completed")]
    back = ev.Warned(at(12.35), 1, "manifest_slow", "hashing took 40 s")
    lost = ev.Lost(at(20), 1, "process_gone", "no process of it is left")
    found = [exited(12.3), *ended(12.4, "completed")]
    return {
        "completed": scene(completed(extra=(background,)), now_s=20, tail=LINES),
        "leftovers_awaited": scene([*running(), *waited], now_s=70),
        "leftovers_ended": scene([*running(), *forced], now_s=70),
        "logged_errors": scene(
            completed(extra=(logged,)), now_s=20,
            tail=LINES + last.encode(),
        ),
        "warned": scene(completed(extra=(back,)), now_s=20),
        "corrected": scene([*running(), lost, *found], now_s=30),
        "retried": scene(
            [*failed(3), again, ev.Queued(at(12.8), 2), *started(2, 14)], now_s=30, spec=retry,
            processes=(MAIN,), tail=LINES, last_output_ns=at(29),
        ),
        "upstream_failed": scene(
            [*queued(), ev.UpstreamFailed(at(5), "4bq8zt1c0d", "Failed")], now_s=20,
            spec=SPEC._replace(after=("4bq8zt1c0d",)),
        ),
        "canceled": scene(
            [*running(), ASKED, TERMED, exited(30.5, None, 15), KILLED,
             *ended(40.2, "canceled", "canceled", "canceled")],
            now_s=60,
        ),
        "output_trimmed": replace(
            scene(failed(), now_s=20), output_size=3_000_000_000, output_first=2_000_000_000
        ),
        "left_out": scene(
            failed(), now_s=20,
            spec=SPEC._replace(
                source=Source("snapshot", "/home/ada/digits", "ab" * 32,
                              (".env (may hold secrets)", "data/ (ignored by .gitignore)"))
            ),
        ),
        "registration": scene(
            completed(extra=[
                ev.Warned(at(12.5), 1, "not_registered",
                          "model 'digits' was not registered: 'outputs/net.pt' isn't "
                          "among the run's stored files; upload it")
            ]),
            now_s=20,
        ),
        "registration.waiting": scene(
            running(), now_s=20, tail=LINES, last_output_ns=at(19), processes=(MAIN,),
            registrations=(Wish("digits", "outputs/net.pt", at(8)),),
        ),
        "clock_jumped": scene(
            [*running(), exited(-3588), ev.TreeEnded(at(-3588), 1)], now_s=-3580
        ),
    }  # fmt: skip


def _sessions() -> dict[str, Evidence]:
    shell = SPEC._replace(
        kind="session", command=("/bin/bash", "-i"), source=None, terminal=Terminal(idle_s=3600.0)
    )
    said = b"$ make\r\nmake: *** No targets.  Stop.\r\n$ exit\r\n"
    bash = ProcessSeen(
        4700, 4690, "/bin/bash -i", "S", 0.2, 0.0, 0.0, 5_000_000, "waits for a key", (), True
    )
    told = {"pid": 4700, "command": "/bin/bash -i"}
    stays = {"pid": 4711, "command": "sleep 600"}
    opened = [ev.Created(at(0), "session"), *running()[1:]]
    tunnel = [ev.Created(at(0), "tunnel"), *running()[1:]]
    close = ev.CancelRequested(at(30), "ada", "closed")
    hung_up = [
        ev.Stopping(at(30.1), 1, "cancel", "HUP", (told, stays), at(31.1)),
        ev.Stopping(at(31.1), 1, "cancel", "TERM", (stays,), at(40.1)),
        ev.Stopping(at(40.1), 1, "cancel", "KILL", (stays,), 0),
    ]
    idle = ev.LimitReached(at(3700), 1, "idle_s", 3600.0, 3600.2)
    idle_stop = ev.Stopping(at(3700), 1, "idle_s", "HUP", (told,), at(3701))
    orphaned = ev.Orphaned(at(50), 1, (told,))
    return {
        "session_open": scene(
            opened, now_s=90, spec=shell, processes=(bash,), tail=said, last_output_ns=at(60)
        ),
        "session_open.tunnel": scene(
            tunnel, now_s=90, spec=shell._replace(kind="tunnel", terminal=None)
        ),
        "completed.session": scene(
            [*opened, exited(12.3, 3), *ended(12.4, "completed")], now_s=7200, spec=shell,
            tail=said,
        ),
        "closed": scene(
            [*opened, close, hung_up[0], exited(30.2, None, 1), *hung_up[1:],
             *ended(40.2, "canceled", "closed", "closed")],
            now_s=60, spec=shell, tail=said,
        ),
        "idle": scene(
            [*opened, idle, idle_stop, exited(3700.1, None, 1),
             *ended(3700.2, "canceled", "idle", "closed: nobody used it")],
            now_s=4000, spec=shell, tail=said,
        ),
        "hangup": scene(
            [*opened, orphaned, exited(50.1, None, 1),
             *ended(50.2, "failed", "hangup", "both of its supervisors were killed")],
            now_s=60, spec=shell, tail=said,
        ),
    }  # fmt: skip


def fired(evidence: Evidence) -> list[str]:
    """The names of the rules that speak, in their order."""
    return [finding.rule for finding in explain(evidence).findings]


def main() -> None:
    VECTORS.mkdir(parents=True, exist_ok=True)
    for old in VECTORS.glob("*.json"):
        old.unlink()
    for name, evidence in scenes().items():
        data = {"fires": fired(evidence), "evidence": evidence.to_dict()}
        (VECTORS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
