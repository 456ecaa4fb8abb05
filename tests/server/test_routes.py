"""The routes on real runs: rows, outputs, tokens of each scope, and the OpenAPI document."""

from __future__ import annotations

import hashlib
import math
import struct
import sys
import time
from pathlib import Path

import pytest

from outlast.server.app import routes
from outlast.server.auth import MAY
from outlast.server.files import ranged
from outlast.server.route import Route
from tests.server.running import Server, submit, wait_over
from tests.server.test_auth import HTTP_ROUTES, path_of

pytestmark = pytest.mark.each_database

ROW = {
    "id", "name", "experiment", "kind", "status", "stage", "cause", "message", "warnings",
    "created_ns", "queued_ns", "started_ns", "ended_ns", "attempt", "command", "tags", "metrics",
    "exit_code", "created_by", "parent",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with an output, HTML among them, on a snapshot."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "train.sh").write_text(
        "mkdir -p outputs/deep; printf '<script>alert(1)</script>' > outputs/page.html;"
        "printf 0123456789 > outputs/deep/data.bin; echo trained\n"
    )
    body = {
        "spec": {
            "experiment": "digits", "name": "first", "tags": {"team": "a"}, "parameters": {"lr": 1},
            "source": {"kind": "snapshot", "folder": str(folder)},
        },
        "launch": {"command": ["sh", "train.sh"], "environ": {"PATH": "/usr/bin:/bin"},
                   "folder": str(folder)},
    }  # fmt: skip
    answer = server.ask("POST", "/api/runs", body)
    assert answer.status == 201, answer
    assert wait_over(server, answer.json["id"]) == "Completed"
    return str(answer.json["id"])


def test_a_row_holds_what_the_architecture_says(server: Server, trained: str) -> None:
    page = server.ask("GET", "/api/runs?experiment=digits").json
    assert [row["id"] for row in page["runs"]] == [trained]
    assert set(page["runs"][0]) >= ROW
    full = server.ask("GET", f"/api/runs/{trained}").json
    assert set(full) >= ROW | {"spec", "state", "series", "properties", "children"}
    assert full["spec"]["parameters"] == {"lr": 1}
    for ref in (trained, trained[:6], "first", "%40last"):
        found = server.ask("GET", f"/api/resolve?ref={ref}")
        assert found.status == 200, ref
    assert server.ask("GET", f"/api/resolve?ref={trained[:6]}").json == {"id": trained}
    names = {
        e["name"]: e["runs"] for e in server.ask("GET", "/api/experiments").json["experiments"]
    }
    assert names["digits"] == 1


def test_outputs_come_as_attachments_in_a_sandbox(server: Server, trained: str) -> None:
    manifest = server.ask("GET", f"/api/runs/{trained}/outputs").json
    files = {entry["path"]: entry for entry in manifest["files"]}
    assert set(files) == {"outputs/page.html", "outputs/deep/data.bin"}
    page = server.ask("GET", f"/api/runs/{trained}/outputs/outputs/page.html")
    assert page.body == b"<script>alert(1)</script>"
    assert hashlib.sha256(page.body).hexdigest() == files["outputs/page.html"]["sha256"]
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment")
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert server.ask("GET", f"/api/runs/{trained}/verify").json == {
        "is_whole": True, "files": 2, "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [("bytes=0-3", 206, b"0123"), ("bytes=4-", 206, b"456789"), ("bytes=-2", 206, b"89"),
     ("bytes=0-99", 206, b"0123456789"), ("bytes=10-", 416, None), ("bytes=5-4", 416, None),
     ("bytes=0-0,2-3", 200, b"0123456789"), ("bytes=" + "0-1," * 9 + "0-1", 416, None),
     ("lines=1-2", 200, b"0123456789"), ("bytes=a-b", 200, b"0123456789"), ("x", 200, None)],
)  # fmt: skip
def test_ranges(server: Server, trained: str, header: str, status: int, body: bytes | None) -> None:
    path = f"/api/runs/{trained}/outputs/outputs/deep/data.bin"
    answer = server.ask("GET", path, headers={"Range": header})
    assert answer.status == status
    assert body is None or answer.body == body


def test_a_range_names_its_place() -> None:
    assert ranged("", 10) is None
    assert ranged("bytes=2-5", 10) == (2, 6)
    assert ranged("bytes=-100", 10) == (0, 10)


def test_an_output_is_found_by_its_name_alone(server: Server, trained: str) -> None:
    wrong = (
        "outputs/none", "page.html", "outputs", "outputs/", "outputs/deep/../page.html",
        "outputs%2Fpage.html", "%2e%2e/outputs/page.html", "outputs//page.html",
    )  # fmt: skip
    for name in wrong:
        answer = server.ask("GET", f"/api/runs/{trained}/outputs/{name}")
        assert answer.status == 404, name


def test_a_damaged_blob_is_told(server: Server) -> None:
    run_id = submit(
        server, "sh", "-c", "echo unique-$$ > made.txt",
        source={"kind": "snapshot", "folder": str(make_empty(server.home.parent / "empty"))},
        outputs=["made.txt"],
    )  # fmt: skip
    entry = server.ask("GET", f"/api/runs/{run_id}/outputs").json["files"][0]
    found = next(path for path in (server.home / "blobs").rglob("*") if path.is_file()
                 and hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"])  # fmt: skip
    found.chmod(0o600)
    found.write_bytes(b"tampered")
    answer = server.ask("GET", f"/api/runs/{run_id}/verify").json
    assert answer["is_whole"] is False
    assert answer["problems"][0]["path"] == "made.txt"


def make_empty(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "README").write_text("x")
    return folder


def test_a_run_is_changed_retried_and_deleted(server: Server) -> None:
    run_id = submit(server, "true", name=f"n{time.time_ns()}")
    row = server.ask("PATCH", f"/api/runs/{run_id}", {"tags": {"a": "1", "b": None}}).json
    assert row["tags"] == {"a": "1", "b": None}
    assert row["command"] == "true"
    row = server.ask("PATCH", f"/api/runs/{run_id}", {"removed_tags": ["a"], "name": "z"}).json
    assert (row["tags"], row["name"]) == ({"b": None}, "z")
    again = server.ask("POST", f"/api/runs/{run_id}/retry", {})
    assert again.status == 201, again
    assert again.json["id"] != run_id
    chosen = f"again-{run_id}"
    for _ in range(2):
        told = server.ask("POST", f"/api/runs/{run_id}/retry", {"id": chosen})
        assert (told.status, told.json["id"]) == (201, chosen)
    assert server.ask("DELETE", f"/api/runs/{run_id}").status == 204
    assert server.ask("GET", f"/api/runs/{run_id}").status == 404
    assert server.ask("DELETE", f"/api/runs/{run_id}").status == 404


def test_a_running_run_is_canceled_and_not_deleted(server: Server) -> None:
    run_id = submit(server, "sleep", "60", wait_s=0)
    answer = server.ask("DELETE", f"/api/runs/{run_id}")
    assert (answer.status, answer.code) == (409, "conflict")
    row = server.ask("POST", f"/api/runs/{run_id}/cancel", {"reason": "enough", "force": True})
    assert row.status == 200
    assert wait_over(server, run_id) == "Canceled"


def test_why_and_processes_tell_of_a_running_run(server: Server) -> None:
    run_id = submit(server, "sleep", "61", wait_s=0)
    deadline = time.monotonic() + 10
    while True:
        processes = server.ask("GET", f"/api/runs/{run_id}/processes").json["processes"]
        if any("sleep 61" in process["command"] for process in processes):
            break
        assert time.monotonic() < deadline
    why = server.ask("GET", f"/api/runs/{run_id}/why").json
    assert why["headline"]
    assert all(set(f) >= {"rule", "claim", "evidence", "severity"} for f in why["findings"])
    server.ask("POST", f"/api/runs/{run_id}/cancel", {"force": True})


@pytest.mark.parametrize(
    ("spec", "launch", "field"),
    [
        ({"nmae": "x"}, {"command": ["ls"], "folder": "/"}, "nmae"),
        ({}, {"command": "ls"}, "command"),
        ({}, {"command": ["ls"], "folder": "relative"}, "folder"),
        ({"limits": {"max_run_duration_s": -1}}, {"command": ["ls"], "folder": "/"}, "duration"),
        ({"id": "../x"}, {"command": ["ls"], "folder": "/"}, "id"),
        ({"name": "a\u202eb"}, {"command": ["ls"], "folder": "/"}, "name"),
        ({"resources": {"cpus": 1e6}}, {"command": ["ls"], "folder": "/"}, "cpus"),
        ({"after": ["nosuchrun0"]}, {"command": ["ls"], "folder": "/"}, "after"),
    ],
)  # fmt: skip
def test_a_wrong_submission_names_the_field(
    server: Server, spec: dict[str, object], launch: dict[str, object], field: str
) -> None:
    answer = server.ask("POST", "/api/runs", {"spec": spec, "launch": launch})
    assert (answer.status, answer.code) == (400, "invalid")
    assert field in answer.json["error"]["message"] + answer.json["error"]["field"]


def test_a_series_in_json_and_binary(server: Server) -> None:
    script = (
        "import outlast; run = outlast.get_context()\n"
        "for step, value in enumerate([1.5, float('nan'), float('-inf'), 4.0]):\n"
        "    run.log('loss', value, step=step)"
    )
    run_id = submit(server, sys.executable, "-c", script)
    path = f"/api/runs/{run_id}/series?name=loss"
    answer = server.ask("GET", path).json
    assert (answer["steps"], answer["values"]) == ([0, 1, 2, 3], [1.5, "nan", "-inf", 4.0])
    binary = server.ask("GET", f"{path}&points=all&format=binary").body
    assert struct.unpack_from("<4sQ4q", binary) == (b"OLS1", 4, 0, 1, 2, 3)
    values = struct.unpack_from("<4d", binary, 12 + 64)
    assert (values[0], math.isnan(values[1]), values[2], values[3]) == (1.5, True, -math.inf, 4.0)
    summary = server.ask("GET", f"/api/runs/{run_id}/metrics").json["series"][0]
    assert (summary["name"], summary["n"], summary["last"]) == ("loss", 4, 4.0)
    assert server.ask("GET", f"/api/runs/{run_id}/series?name=nothing").status == 404
    for wrong in ("points=1", "points=x", "format=xml", "first_step=x"):
        assert server.ask("GET", f"{path}&{wrong}").status == 400, wrong


# --- scopes ---


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    made = {}
    for scope in ("admin", "read", "run:otherrun000"):
        body = {"scope": scope, "label": scope.partition(":")[0]}
        made[scope.partition(":")[0]] = server.ask("POST", "/api/tokens", body).json["token"]
    return made


@pytest.mark.parametrize("scope", ["admin", "read", "run"])
@pytest.mark.parametrize("route", HTTP_ROUTES, ids=lambda route: route.name)
def test_each_scope_may_do_what_is_declared_and_no_more(
    server: Server, tokens: dict[str, str], route: Route, scope: str
) -> None:
    if route.name == "POST /api/shutdown" and scope == "admin":
        return
    answer = server.ask(route.method, path_of(route), token=tokens[scope])
    if route.permission == "public":
        assert answer.status in (200, 400, 404)  # let in; what is missing is the login's code
    elif route.permission not in MAY[scope]:
        assert answer.status == 403
    elif scope == "run":  # its own run is another one
        assert answer.status == (404 if "{id}" in route.path else 403)
    else:
        assert answer.status not in (401, 403)


def test_a_revoked_or_expired_token_is_refused(server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "read", "label": "gone"}).json["token"]
    assert server.ask("GET", "/api/runs", token=made).status == 200
    print_ = hashlib.sha256(made.encode()).hexdigest()
    assert server.ask("DELETE", f"/api/tokens/{print_[:12]}").status == 204
    assert server.ask("GET", "/api/runs", token=made).status == 401
    body = {"scope": "read", "label": "short", "expires_s": 0.2}
    made = server.ask("POST", "/api/tokens", body).json["token"]
    time.sleep(0.3)
    assert server.ask("GET", "/api/runs", token=made).status == 401
    listed = server.ask("GET", "/api/tokens")
    assert made.encode() not in listed.body


# --- the document ---


def test_the_document_names_every_route_and_its_permission(server: Server) -> None:
    document = server.ask("GET", "/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    named = {(method.upper(), path) for path, ops in document["paths"].items() for method in ops}
    assert named == {(r.method, r.path.replace("*}", "}")) for r in HTTP_ROUTES if not r.is_page}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert "Permission: " in operation["description"]


def test_every_route_is_told_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for route in routes():
        if route.is_page:
            assert f"`{route.path}`" in page
            continue
        method = "WS" if route.method == "WEBSOCKET" else route.method
        assert f"{method} `{route.path.replace('*}', '}')}`" in page, route.name
