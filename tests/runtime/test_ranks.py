"""A run with ranks: who each is, what they print, and how they end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.run import events as ev
from outlast.run.spec import Distributed
from outlast.runtime.ranks import words
from outlast.runtime.ranks.lines import MAX_LINE_BYTES, Lines
from outlast.runtime.ranks.starting import free_ports
from tests.supervisor.conftest import PYTHON, Run

TELL = (
    "import os, json; "
    "print(json.dumps({k: v for k, v in os.environ.items() if 'RANK' in k or 'WORLD' in k "
    "or k.startswith(('MASTER', 'NODE', 'TF_'))}))"
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.close()


def distributed(run: Run, script: str, **asked: Any) -> Run:
    run.spec["distributed"] = asked
    return run.start([PYTHON, "-u", "-c", script])


def told(run: Run) -> dict[int, Any]:
    """What each rank printed as JSON, by rank."""
    found = {}
    for line in run.output.splitlines():
        name, _, text = line.partition("] ")
        found[int(name.removeprefix("[rank "))] = json.loads(text)
    return found


def facts(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.path.joinpath("ranks.json").read_text())
    return found


def test_each_rank_is_told_who_it_is_and_where_they_meet(run: Run) -> None:
    assert distributed(run, TELL, nodes=2, processes_per_node=2).ended().outcome == "completed"
    found = told(run)
    assert sorted(found) == [0, 1, 2, 3]
    for number, seen in found.items():
        assert seen["RANK"] == str(number)
        assert (seen["NODE_RANK"], seen["LOCAL_RANK"]) == (str(number // 2), str(number % 2))
        assert (seen["WORLD_SIZE"], seen["LOCAL_WORLD_SIZE"], seen["NODE_COUNT"]) == ("4", "2", "2")
        assert "OMPI_COMM_WORLD_RANK" not in seen
        assert "TF_CONFIG" not in seen
    meeting = {(seen["MASTER_ADDR"], seen["MASTER_PORT"]) for seen in found.values()}
    assert len(meeting) == 1


def test_ranks_of_mpi_know_themselves_by_open_mpis_names_too(run: Run) -> None:
    distributed(run, TELL, nodes=1, processes_per_node=2, kind="mpi").ended()
    for number, seen in told(run).items():
        assert seen["OMPI_COMM_WORLD_RANK"] == seen["RANK"] == str(number)
        assert seen["OMPI_COMM_WORLD_SIZE"] == "2"
        assert seen["OMPI_COMM_WORLD_LOCAL_RANK"] == str(number)


def test_ranks_of_tensorflow_get_one_cluster_and_servers_end_with_the_workers(run: Run) -> None:
    script = (
        f"{TELL}\nimport signal, time\n"
        "if '\"ps\", \"index\"' in os.environ['TF_CONFIG']:\n"
        "    open('serves', 'w').close(); signal.pause()\n"
        "while not os.path.exists('serves'): time.sleep(0.01)"
    )
    distributed(run, script, nodes=2, kind="tensorflow", parameter_servers=1)
    assert run.ended().outcome == "completed"
    found = {number: json.loads(seen["TF_CONFIG"]) for number, seen in told(run).items()}
    tasks = [found[number]["task"] for number in range(3)]
    assert [(task["type"], task["index"]) for task in tasks] == [
        ("worker", 0), ("worker", 1), ("ps", 0),
    ]  # fmt: skip
    cluster = found[0]["cluster"]
    assert (len(cluster["worker"]), len(cluster["ps"])) == (2, 1)
    assert all(other["cluster"] == cluster for other in found.values())


def test_the_first_rank_that_fails_ends_all_and_the_run_ends_as_it_did(run: Run) -> None:
    script = (
        "import os, sys, signal\n"
        "print('here')\n"
        "sys.exit(7) if os.environ['RANK'] == '1' else signal.pause()"
    )
    ended = distributed(run, script, processes_per_node=3).ended()
    assert (ended.outcome, ended.cause) == ("failed", "exit_code")
    assert run.wait(ev.Exited).code == 7
    assert facts(run)["failed"] == {"rank": 1, "exit_code": 7, "signal": None, "message": ""}


def test_a_rank_that_a_signal_ended_ends_the_run_by_that_signal(run: Run) -> None:
    script = (
        "import os, signal\n"
        "os.kill(os.getpid(), 9) if os.environ['RANK'] == '0' else signal.pause()"
    )
    ended = distributed(run, script, processes_per_node=2).ended()
    assert (ended.outcome, ended.cause) == ("failed", "signal")
    assert run.wait(ev.Exited).signal == signal.SIGKILL
    assert facts(run)["failed"]["signal"] == 9


def test_one_that_ignores_term_is_killed_after_the_grace(run: Run) -> None:
    script = (
        "import os, sys, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(os.environ['RANK'], 'w').close()\n"
        "while not (os.path.exists('0') and os.path.exists('1')): pass\n"
        "sys.exit(3) if os.environ['RANK'] == '1' else signal.pause()"
    )
    run.limits(stop_grace_s=0.2)
    distributed(run, script, processes_per_node=2).ended()
    assert run.wait(ev.Exited).code == 3


def test_cancel_ends_every_rank(run: Run) -> None:
    script = "import os, signal; open('r' + os.environ['RANK'], 'w').close(); signal.pause()"
    distributed(run, script, nodes=2)
    run.wait(ev.Started)
    run.ask(op="stop", reason="cancel")
    assert run.ended().outcome == "canceled"
    assert run.of(ev.Ended)[0].outcome == "canceled"


def test_what_ranks_print_is_whole_lines_each_with_its_rank(run: Run) -> None:
    script = (
        "import os, sys\n"
        "for n in range(2000): sys.stdout.write(f'line {n} of {os.environ[\"RANK\"]}\\n')\n"
        "sys.stdout.write('no end')"
    )
    distributed(run, script, processes_per_node=2).ended()
    lines = run.output.splitlines()
    for rank in "01":
        own = [line for line in lines if line.startswith(f"[rank {rank}] ")]
        assert own[:-1] == [f"[rank {rank}] line {n} of {rank}" for n in range(2000)]
        assert own[-1] == f"[rank {rank}] no end"


def test_a_single_rank_writes_to_the_output_itself(run: Run) -> None:
    distributed(run, "print('plain')", kind="mpi").ended()
    assert run.output == "plain\n"


def test_a_command_that_isnt_there_is_said_before_any_rank_starts(run: Run) -> None:
    run.spec["distributed"] = {"nodes": 2}
    run.start(["no-such-program"])
    assert run.wait(ev.StartFailed).reason == "no_command"
    assert not run.path.joinpath("ranks.json").exists()


def test_every_rank_logs_into_the_one_run(run: Run) -> None:
    import outlast

    kit = str(Path(outlast.__file__).parent.parent)
    script = (
        "import os\nfrom outlast import Run\nRun.get_context().log('rank', int(os.environ['RANK']))"
    )
    run.spec["distributed"] = {"nodes": 1, "processes_per_node": 3}
    assert run.start([PYTHON, "-c", script], kit=kit).ended().outcome == "completed"
    assert len(list(run.path.glob("logged.*"))) == 3


def test_a_full_disk_costs_no_cpu_and_the_ranks_can_still_be_ended(run: Run) -> None:
    import outlast

    run.spec["distributed"] = {"processes_per_node": 2}
    run.spec["limits"] = {"stop_grace_s": 0.2}
    run.write(["sh", "-c", "while echo full; do :; done"])
    program = Path(outlast.__file__).parent / "runtime" / "ranks" / "__main__.py"
    command = [PYTHON, "-I", "-S", str(program), str(run.path), "--attempt", "1", "--"]
    with Path("/dev/full").open("w") as full:
        started = subprocess.Popen(
            [*command, "sh", "-c", "while echo full; do :; done"], stdout=full, stderr=full
        )
    while not run.path.joinpath("ranks.json").exists():
        assert started.poll() is None
        time.sleep(0.01)
    before_s = sum(cpu_of(started.pid))
    time.sleep(1.0)  # a second in which it should have nothing to do
    assert sum(cpu_of(started.pid)) - before_s < 0.5
    started.terminate()
    assert started.wait(20) == -signal.SIGTERM


def cpu_of(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


# --- the pure parts ---


def test_gpus_are_shared_out_between_the_nodes() -> None:
    asked = Distributed(nodes=2, processes_per_node=1, kind="torch")
    environ = {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}
    seen = [
        words.variables(rank, asked, [20000], environ)["CUDA_VISIBLE_DEVICES"]
        for rank in words.ranks(asked)
    ]
    assert seen == ["4,5", "6,7"]


def test_a_line_is_held_until_it_is_whole() -> None:
    lines = Lines()
    assert lines.take(0, b"a") == b""
    assert lines.take(1, b"other\n") == b"[rank 1] other\n"
    assert lines.take(0, b"b\nc") == b"[rank 0] ab\n"
    assert lines.rest(0) == b"[rank 0] c\n"
    assert lines.rest(0) == b""


def test_a_progress_bar_is_shown_as_it_comes_and_a_split_line_end_is_one() -> None:
    lines = Lines()
    assert lines.take(0, b"10%\r") == b"[rank 0] 10%\r"
    assert lines.take(0, b"20%\r\ndone\r") == b"[rank 0] 20%\r\n[rank 0] done\r"
    assert lines.take(0, b"\nnext\n") == b"[rank 0] next\n"


def test_a_line_without_an_end_doesnt_fill_the_memory() -> None:
    lines = Lines()
    given = lines.take(0, b"x" * (MAX_LINE_BYTES - 1)) + lines.take(0, b"yz")
    assert given.endswith(b"\n")
    assert lines.rest(0) == b""


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(20_000 <= port < 32_000 for port in ports)
