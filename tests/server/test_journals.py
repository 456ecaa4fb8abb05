"""Journals over HTTP: followed from an offset to the end, and mirrored from elsewhere."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from pathlib import Path

import pytest

from outlast.journal.line import pack
from outlast.run.folder import SPEC
from outlast.run.spec import RunSpec
from tests.server.running import Answer, Server, running, submit

pytestmark = pytest.mark.each_database


def follow(server: Server, run_id: str, start: int = 0, limit: int = 1 << 20) -> bytes:
    """Every byte from an offset on, as a client follows."""
    pieces = []
    while True:
        query = f"from={start}&wait=20&limit={limit}"
        answer = server.ask("GET", f"/api/runs/{run_id}/output?{query}")
        assert answer.status == 200, answer
        assert int(answer.headers["outlast-from"]) == start
        assert int(answer.headers["outlast-next"]) == start + len(answer.body)
        pieces.append(answer.body)
        start += len(answer.body)
        if answer.headers.get("outlast-end") == "1":
            return b"".join(pieces)


@pytest.fixture(scope="module")
def done(server: Server) -> str:
    return submit(server, "sh", "-c", r"printf 'a\nb\n\377\000c'")


def test_the_output_is_followed_live_to_its_end(server: Server) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done"
    run_id = submit(server, "sh", "-c", script, wait_s=0)
    assert follow(server, run_id) == b"".join(b"line %d\n" % n for n in range(1, 6))


def test_every_byte_is_there_whatever_it_is(server: Server, done: str) -> None:
    for limit in (1, 2, 3, 1000):
        assert follow(server, done, limit=limit) == b"a\nb\n\xff\x00c"
    assert follow(server, done, start=2) == b"b\n\xff\x00c"
    answer = server.ask("GET", f"/api/runs/{done}/output?from=7")
    assert (answer.body, answer.headers["outlast-end"]) == (b"", "1")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_an_offset_beyond_the_end_is_told(server: Server, done: str) -> None:
    answer = server.ask("GET", f"/api/runs/{done}/output?from=8")
    assert (answer.status, answer.json["error"]["expected"]) == (416, 7)


def test_waiting_ends_when_the_time_is_up(server: Server) -> None:
    run_id = submit(server, "sleep", "30", wait_s=0)
    begin = time.monotonic()
    answer = server.ask("GET", f"/api/runs/{run_id}/output?wait=0.3")
    assert 0.25 < time.monotonic() - begin < 3
    assert (answer.body, answer.headers.get("outlast-end")) == (b"", None)
    server.ask("POST", f"/api/runs/{run_id}/cancel", {"force": True})


def test_a_waiting_reader_is_woken_at_once(server: Server, tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    run_id = submit(server, "sh", "-c", f"read x < {fifo}; echo now; sleep 20", wait_s=0)
    found: list[tuple[float, Answer]] = []

    def read() -> None:
        answer = server.ask("GET", f"/api/runs/{run_id}/output?wait=20")
        found.append((time.monotonic(), answer))

    reader = threading.Thread(target=read)
    reader.start()
    with fifo.open("w") as file:
        time.sleep(0.3)  # until the reader waits
        begin = time.monotonic()
        file.write("go\n")
    reader.join(10)
    at, answer = found[0]
    assert answer.body == b"now\n"
    assert at - begin < 0.5
    server.ask("POST", f"/api/runs/{run_id}/cancel", {"force": True})


def test_a_long_stretch_comes_in_one_answer(server: Server) -> None:
    run_id = submit(server, "sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x")
    answer = server.ask("GET", f"/api/runs/{run_id}/output?limit=10000000")
    assert answer.body == b"x" * 5_000_000
    assert answer.headers["outlast-next"] == "5000000"
    answer = server.ask("GET", f"/api/runs/{run_id}/output?from=1000&limit=3000000")
    assert len(answer.body) == 3_000_000
    assert follow(server, run_id, limit=1 << 30) == b"x" * 5_000_000
    head = server.ask("HEAD", f"/api/runs/{run_id}/output?limit=10000000")
    assert (head.status, head.body) == (200, b"")


def test_only_journals_are_shown(server: Server, done: str) -> None:
    for name in ("events", "decisions", "output"):
        assert server.ask("GET", f"/api/runs/{done}/journals/{name}").status == 200
    for name in ("launch.json", "spec.json", "lease", "control.sock", "logged.", "logged.a%2fb",
                 "end.json", "supervisor.log", "work", "logged.x%0a", "events.first"):  # fmt: skip
        assert server.ask("GET", f"/api/runs/{done}/journals/{name}").status == 404, name
    assert server.ask("GET", "/api/runs/nosuchrun0/journals/events").status == 404
    assert server.ask("GET", "/api/runs/nosuchrun0/output").status == 404


def test_a_link_that_a_job_planted_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    run_id = submit(server, "true")
    folder = server.home / "runs" / run_id
    (folder / "logged.link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "logged.fifo")
    (folder / "logged.folder").mkdir()
    for name in ("logged.link", "logged.fifo", "logged.folder"):
        answer = server.ask("GET", f"/api/runs/{run_id}/journals/{name}")
        assert answer.status == 404, name
        assert b"canary" not in answer.body
        assert str(server.home).encode() not in answer.body


# --- mirrors ---


@pytest.fixture
def mirrored(server: Server) -> str:
    return made_elsewhere(server)


def made_elsewhere(server: Server) -> str:
    """A run that is written elsewhere: the server has its spec, nothing of it runs here."""
    run_id = f"mirror{time.time_ns() % 10**9}"
    spec = RunSpec(id=run_id, kind="interactive", created_ns=time.time_ns())
    making = server.home / f"{run_id}.making"
    making.mkdir()
    (making / SPEC).write_text(json.dumps(spec.to_dict()))
    making.rename(server.home / "runs" / run_id)
    deadline = time.monotonic() + 10
    while server.ask("GET", f"/api/runs/{run_id}").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run_id


def put(server: Server, run_id: str, at: int, batch: bytes, name: str = "logged.a",
        **headers: str) -> Answer:  # fmt: skip
    sent = {"Content-Type": "application/octet-stream",
            "Outlast-Crc32": f"{zlib.crc32(batch):08x}", **headers}  # fmt: skip
    return server.ask("PUT", f"/api/runs/{run_id}/journals/{name}?at={at}", batch, sent)


def point(step: int) -> bytes:
    return pack({"k": "m", "n": "loss", "v": step / 7, "s": step, "t": 1_700_000_000_000 + step})


def test_a_batch_sent_twice_is_there_once(server: Server, mirrored: str) -> None:
    first, second = (b"".join(map(point, range(a, a + 10))) for a in (0, 10))
    assert put(server, mirrored, 0, first).json == {"next": len(first)}
    assert put(server, mirrored, 0, first).json == {"next": len(first)}
    assert put(server, mirrored, 0, first + second).json == {"next": len(first + second)}
    assert put(server, mirrored, len(first), second).json == {"next": len(first + second)}
    held = server.ask("GET", f"/api/runs/{mirrored}/journals/logged.a").body
    assert held == first + second
    deadline = time.monotonic() + 10
    while True:
        found = server.ask("GET", f"/api/runs/{mirrored}/series?name=loss&points=all")
        if found.status == 200 and found.json["n"] == 20:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert found.json["steps"] == list(range(20))
    assert found.json["values"] == [step / 7 for step in range(20)]


def test_a_gap_is_refused_with_the_expected_offset(server: Server, mirrored: str) -> None:
    batch = point(1)
    answer = put(server, mirrored, 100, batch)
    assert (answer.status, answer.json["error"]["expected"]) == (409, 0)
    assert put(server, mirrored, 0, batch).status == 200
    answer = put(server, mirrored, len(batch) + 1, batch)
    assert (answer.status, answer.json["error"]["expected"]) == (409, len(batch))


def test_other_bytes_at_the_same_place_are_refused(server: Server, mirrored: str) -> None:
    assert put(server, mirrored, 0, point(1)).status == 200
    answer = put(server, mirrored, 0, point(2))
    assert (answer.status, answer.code) == (409, "conflict")
    assert server.ask("GET", f"/api/runs/{mirrored}/journals/logged.a").body == point(1)


def test_bytes_that_were_changed_on_the_way_are_not_kept(server: Server, mirrored: str) -> None:
    answer = put(server, mirrored, 0, point(1), **{"Outlast-Crc32": "00000000"})
    assert (answer.status, answer.code) == (400, "checksum")
    assert server.ask("GET", f"/api/runs/{mirrored}/journals/logged.a").body == b""


def test_half_a_line_is_refused_in_a_journal_of_records(server: Server, mirrored: str) -> None:
    assert put(server, mirrored, 0, point(1)[:-1]).status == 400
    assert put(server, mirrored, 0, b"half a line", name="output").status == 200


def test_what_may_not_be_mirrored(server: Server, mirrored: str, done: str) -> None:
    assert put(server, mirrored, 0, point(1), name="decisions").status == 409
    assert put(server, mirrored, 0, point(1), name="launch.json").status == 404
    assert put(server, done, 0, point(1)).status == 409
    assert put(server, done, 0, b"x", name="output").status == 409
    assert put(server, "nosuchrun0", 0, point(1)).status == 404
    assert put(server, mirrored, 0, point(1), **{"Content-Type": "text/plain"}).status == 415
    assert put(server, mirrored, -1, point(1)).status == 400


def test_a_mirror_that_is_a_link_is_refused(server: Server, mirrored: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    (server.home / "runs" / mirrored / "logged.a").symlink_to(target)
    assert put(server, mirrored, 0, point(1)).status == 409
    assert target.read_text() == ""


def test_a_batch_above_the_limit_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, "--max-batch-bytes", "1000") as server:
        answer = put(server, "nosuchrun0", 0, b"x" * 2000)
        assert answer.status in (404, 413)


def test_four_senders_of_one_journal_leave_it_whole(server: Server, mirrored: str) -> None:
    batches = [b"".join(map(point, range(a, a + 50))) for a in range(0, 500, 50)]
    offsets = [sum(map(len, batches[:n])) for n in range(len(batches) + 1)]

    def send() -> None:
        number = 0
        while number < len(batches):
            answer = put(server, mirrored, offsets[number], batches[number])
            assert answer.status == 200, answer
            number += 1

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (server.home / "runs" / mirrored / "logged.a").read_bytes() == b"".join(batches)


def test_a_mirror_is_bounded_in_pace_and_size(tmp_path: Path) -> None:
    with running(tmp_path, "--max-records-per-s", "10", "--max-journal-bytes", "20000") as server:
        run_id = made_elsewhere(server)
        batch = b"".join(point(step) for step in range(150))
        assert put(server, run_id, 0, batch).status == 200
        answer = put(server, run_id, len(batch), point(150))
        assert (answer.status, answer.code) == (429, "too_fast")
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert "max_records_per_s = 10" in answer.body.decode()
        answer = put(server, run_id, 0, b"x" * 20_001, "output")
        assert (answer.status, answer.code) == (413, "journal_full")
        assert put(server, run_id, 0, b"x" * 20_000, "output").status == 200
