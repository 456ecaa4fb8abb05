"""Models over HTTP: contents first, then versions; every wrong order and name is refused."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from outlast.store import audit
from outlast.store.database import Database
from tests.server.running import Answer, Server, submit

pytestmark = pytest.mark.each_database

WEIGHTS = b"weights" * 1000
BYTES = {"Content-Type": "application/octet-stream"}


def sha_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def put(
    server: Server, content: bytes, at: int = 0, size: int | None = None, **more: Any
) -> Answer:
    sha = more.get("sha") or sha_of(content)
    size = len(content) if size is None else size
    return server.ask("PUT", f"/api/blobs/{sha}?size={size}&at={at}", content, BYTES)


def register(server: Server, name: str, content: bytes = WEIGHTS, **more: Any) -> Answer:
    assert put(server, content).json["is_stored"]
    files = [["model.pkl", len(content), sha_of(content)]]
    return server.ask("POST", "/api/models", {"name": name, "files": files, **more})


def test_a_model_is_registered_listed_and_fetched(server: Server) -> None:
    made = register(server, "digits", tags={"team": "a"}, description="first")
    assert made.status == 201, made
    assert (made.json["version"], made.json["size_bytes"], made.json["run"]) == (1, 7000, "")
    assert register(server, "digits").json["version"] == 2
    listed = server.ask("GET", "/api/models").json["models"]
    assert [(row["name"], row["version"], row["versions"]) for row in listed] == [("digits", 2, 2)]
    versions = server.ask("GET", "/api/models/digits/versions?limit=1").json
    assert ([row["version"] for row in versions["versions"]], versions["next"]) == ([2], 2)
    versions = server.ask("GET", "/api/models/digits/versions?limit=1&before=2").json
    assert [row["tags"] for row in versions["versions"]] == [{"team": "a"}]
    one = server.ask("GET", "/api/models/digits/versions/1").json
    assert one["files"] == [{"path": "model.pkl", "size_bytes": 7000, "sha256": sha_of(WEIGHTS)}]
    file = server.ask("GET", "/api/models/digits/versions/latest/files/model.pkl")
    assert file.body == WEIGHTS
    assert file.headers["content-disposition"].startswith("attachment")
    part = {"Range": "bytes=7-13"}
    file = server.ask("GET", "/api/models/digits/versions/1/files/model.pkl", headers=part)
    assert (file.status, file.body) == (206, b"weights")


def test_a_repeated_request_is_the_same_version(server: Server) -> None:
    first = register(server, "repeated", request="abc")
    assert register(server, "repeated", request="abc").json == first.json
    assert register(server, "repeated", request="def").json["version"] == 2


def test_contents_come_in_pieces_in_any_repetition(server: Server) -> None:
    content, sha = b"0123456789", sha_of(b"0123456789")
    assert server.ask("POST", "/api/blobs/missing", {"sha256s": [sha]}).json == {"missing": [sha]}
    assert put(server, b"0123", size=10, sha=sha).json == {"size_bytes": 4, "is_stored": False}
    gap = put(server, b"89", at=8, size=10, sha=sha)
    assert (gap.status, gap.json["error"]["expected"]) == (409, 4)
    assert put(server, b"23456", at=2, size=10, sha=sha).json["size_bytes"] == 7
    assert put(server, b"789", at=7, size=10, sha=sha).json == {"size_bytes": 10, "is_stored": True}
    assert put(server, content).json["is_stored"]
    assert server.ask("POST", "/api/blobs/missing", {"sha256s": [sha]}).json == {"missing": []}


def test_contents_that_are_not_what_they_promise_are_dropped(server: Server) -> None:
    sha = sha_of(b"promised")
    assert put(server, b"sent", sha=sha).status == 409
    assert server.ask("POST", "/api/blobs/missing", {"sha256s": [sha]}).json["missing"] == [sha]
    assert put(server, b"promised", size=3).status == 400
    assert put(server, b"x", sha="../../etc").status in (400, 404)
    assert put(server, b"promised").json["is_stored"]
    assert put(server, b"").json["is_stored"]


def test_a_version_needs_its_contents_stored(server: Server) -> None:
    files = [["a", 3, "0" * 64]]
    answer = server.ask("POST", "/api/models", {"name": "early", "files": files})
    assert (answer.status, answer.code) == (409, "conflict")
    files = [["a", 8, sha_of(WEIGHTS)]]
    register(server, "size")
    assert server.ask("POST", "/api/models", {"name": "early", "files": files}).status == 409
    assert server.ask("GET", "/api/models/early/versions").status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "../up"},
        {"name": "a", "files": [["../a", 7000, sha_of(WEIGHTS)]]},
        {"name": "a", "files": [["a", 7000, "xyz"]]},
        {"name": "a", "files": []},
        {"name": "a", "files": [], "run": "x", "path": "a", "unknown": 1},
        {"name": "a", "tags": {"": "x"}},
    ],
)
def test_what_cannot_be_a_model_is_refused(server: Server, body: dict[str, Any]) -> None:
    assert put(server, WEIGHTS).json["is_stored"]
    body = {"files": [["a", 7000, sha_of(WEIGHTS)]], **body}
    assert server.ask("POST", "/api/models", body).status == 400


def test_aliases_tags_and_deletion(server: Server) -> None:
    for _ in range(2):
        register(server, "staged")
    path = "/api/models/staged"
    named = server.ask("PUT", f"{path}/aliases/production", {"version": "1"})
    assert named.json["aliases"] == ["production"]
    server.ask("PUT", f"{path}/aliases/production", {"version": "latest"})
    assert server.ask("GET", f"{path}/versions/production").json["model"]["version"] == 2
    changed = server.ask(
        "PATCH", f"{path}/versions/2", {"tags": {"a": "1"}, "description": "text"}
    ).json
    assert (changed["tags"], changed["description"]) == ({"a": "1"}, "text")
    assert server.ask("DELETE", f"{path}/versions/production").status == 400
    assert server.ask("DELETE", f"{path}/versions/2").status == 204
    for gone in ("versions/2", "versions/production", "versions/2/files/model.pkl"):
        assert server.ask("GET", f"{path}/{gone}").status == 404
    assert server.ask("DELETE", f"{path}/versions/2").status == 404
    assert server.ask("DELETE", f"{path}/aliases/production").status == 404
    assert register(server, "staged").json["version"] == 3


def test_a_run_that_is_over_gives_its_stored_outputs(server: Server, tmp_path: Path) -> None:
    told = submit(server, "sh", "-c", f"mkdir -p {tmp_path}/m; printf 1 > {tmp_path}/m/a",
                  outputs=[{"path": str(tmp_path / "m")}])  # fmt: skip
    path = str(tmp_path / "m").lstrip("/")
    body = {"name": "trained", "run": told, "path": path}
    made = server.ask("POST", "/api/models", body).json
    assert (made["run"], made["attempt"], made["path"]) == (told, 1, path)
    digest = server.ask("GET", f"/api/runs/{told}/outputs").json["digest"]
    assert made["manifest"] == digest
    one = server.ask("GET", "/api/models/trained/versions/1").json
    assert [file["path"] for file in one["files"]] == ["m/a"]
    made_by = server.ask("GET", f"/api/models?run={told}").json["models"]
    assert [row["name"] for row in made_by] == ["trained"]
    assert server.ask("POST", "/api/models", {**body, "path": "other"}).status == 404
    assert server.ask("DELETE", f"/api/runs/{told}").status == 204
    assert server.ask("GET", "/api/models/trained/versions/1/files/m/a").body == b"1"


def test_who_only_looks_changes_nothing(server: Server) -> None:
    register(server, "watched")
    asked = {"scope": "read", "label": "eyes"}
    token = server.ask("POST", "/api/tokens", asked).json["token"]
    assert server.ask("GET", "/api/models/watched/versions/1", token=token).status == 200
    for method, path in (
        ("POST", "/api/models"),
        ("PUT", f"/api/blobs/{'0' * 64}?size=1"),
        ("DELETE", "/api/models/watched/versions/1"),
        ("PUT", "/api/models/watched/aliases/a"),
    ):
        assert server.ask(method, path, {}, token=token).status == 403


def test_acts_are_in_the_audit_trail_and_pieces_are_not(
    server: Server, module_database: str
) -> None:
    register(server, "audited")
    server.ask("PUT", "/api/models/audited/aliases/production", {"version": "1"})
    server.ask("DELETE", "/api/models/audited/versions/1")
    expected = {
        ("register model", "audited:1"),
        ("PUT /api/models/{name}/aliases/{alias}", "audited/production"),
        ("DELETE /api/models/{name}/versions/{version}", "audited/1"),
    }
    told: set[tuple[str, str]] = set()
    database = Database.open(module_database or f"sqlite:///{server.home}/outlast.db")
    deadline = time.monotonic() + 10  # the trail is written a little later than the answer
    while not expected <= told and time.monotonic() < deadline:
        with database.read() as connection:
            told = {(act.action, act.target) for act in audit.acts(connection, limit=1000)}
    database.close()
    assert expected <= told
    assert not any("blobs" in action for action, _ in told)
