"""How a browser gets in, as its requests look: codes, sessions in cookies, and their end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from outlast.server.auth import Principal
from outlast.server.errors import HttpError
from outlast.server.logins import CODE_S, MAX_CODES, Codes
from tests.server.running import Answer, Server, running

STUDIO = {"Outlast-Studio": "1"}


def code(server: Server, token: str = "") -> str:
    answer = server.ask("POST", "/api/logins", {}, token=token)
    assert answer.status == 201
    return str(answer.json["code"])


def log_in(server: Server, **shown: str) -> Answer:
    return server.ask("POST", "/api/login", shown, token=None)


def session(answer: Answer) -> dict[str, str]:
    assert answer.status == 201, answer
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def with_cookie(
    server: Server, cookie: dict[str, str], method: str = "GET", path: str = "/api/me",
    body: object = None, **headers: str,
) -> Answer:  # fmt: skip
    return server.ask(method, path, body, headers={**cookie, **headers}, token=None)


def test_a_code_lets_in_once(server: Server) -> None:
    made = code(server)
    first = log_in(server, code=made)
    assert with_cookie(server, session(first)).json == {
        "name": "studio of workspace",
        "scope": "admin",
    }
    again = log_in(server, code=made)
    assert again.status == 401
    assert "set-cookie" not in again.headers


def test_a_code_is_good_for_a_minute() -> None:
    now = [0.0]
    codes = Codes(clock=lambda: now[0])
    early, late = (codes.make(Principal("me", "admin")) for _ in range(2))
    now[0] = CODE_S - 1
    assert codes.take(early) == Principal("me", "admin")
    now[0] = CODE_S
    assert codes.take(late) is None
    for _ in range(MAX_CODES):
        codes.make(Principal("me", "admin"))
    with pytest.raises(HttpError):
        codes.make(Principal("me", "admin"))


def test_the_cookie_is_for_this_server_alone_and_for_no_script(server: Server) -> None:
    answer = log_in(server, token=server.token)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert name.startswith("outlast_")
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)
    assert "secure" not in flags  # else no browser would keep it over plain HTTP
    assert server.token not in answer.headers["set-cookie"]


def test_behind_a_proxy_that_speaks_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    with running(tmp_path, "--allowed-hosts", "studio.example") as server:
        headers = {"Host": "studio.example", "Origin": "https://studio.example"}
        answer = server.ask("POST", "/api/login", {"token": server.token}, headers, token=None)
        assert answer.status == 201
        assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_a_cookie_alone_changes_nothing(server: Server, method: str) -> None:
    cookie = session(log_in(server, code=code(server)))
    for path in ("/api/runs", "/api/tickets", "/api/runs/abcdefghjk", "/api/shutdown"):
        answer = with_cookie(server, cookie, method, path, {} if method != "DELETE" else None)
        assert (answer.status, answer.code) == (403, "no_studio_header")
    assert server.ask("GET", "/api/health").status == 200


def test_with_the_studios_header_a_session_may_what_its_token_may(server: Server) -> None:
    reader = server.ask("POST", "/api/tokens", {"scope": "read", "label": "reader"}).json["token"]
    cookie = session(log_in(server, code=code(server, reader)))
    assert with_cookie(server, cookie, "POST", "/api/tickets", {}, **STUDIO).status == 201
    refused = with_cookie(server, cookie, "POST", "/api/shutdown", {}, **STUDIO)
    assert (refused.status, refused.code) == (403, "refused")


@pytest.mark.parametrize("path", ["/api/live", "/api/sessions/abcdefghjk/terminal"])
def test_a_cookie_opens_no_websocket(server: Server, path: str) -> None:
    cookie = session(log_in(server, code=code(server)))
    url = f"ws://{server.host}{path}"
    headers = {**cookie, **STUDIO, "Origin": f"http://{server.host}"}
    with pytest.raises((InvalidStatus, ConnectionClosed), match="401"):
        first_answer(url, headers)


def first_answer(url: str, headers: dict[str, str]) -> str | bytes:
    with connect(url, additional_headers=headers) as client:
        client.send("{}")
        return client.recv(timeout=5)


def test_a_session_is_no_bearer_and_a_token_no_session(server: Server) -> None:
    cookie = session(log_in(server, code=code(server)))["Cookie"]
    name, _, secret = cookie.partition("=")
    assert server.ask("GET", "/api/me", token=secret).status == 401
    other = server.ask("POST", "/api/tokens", {"scope": "admin", "label": "x"}).json["token"]
    for token in (server.token, other):
        assert with_cookie(server, {"Cookie": f"{name}={token}"}).status == 401
        assert log_in(server, code=token).status == 401
    assert log_in(server, token=secret).status == 401


def test_a_session_ends_by_itself_with_its_token_or_all_at_once(server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "admin", "label": "laptop"}).json["token"]
    mine, laptops, third = (
        session(log_in(server, code=code(server, token))) for token in ("", made, "")
    )
    assert with_cookie(server, mine, "POST", "/api/logout", {}, **STUDIO).status == 204
    assert with_cookie(server, mine).status == 401
    listed = server.ask("GET", "/api/tokens").json["tokens"]
    fingerprint = next(t["fingerprint"] for t in listed if t["label"] == "laptop")
    assert server.ask("DELETE", f"/api/tokens/{fingerprint}").status == 204
    assert with_cookie(server, laptops).status == 401
    assert with_cookie(server, third).status == 200
    assert server.ask("POST", "/api/logins/end", {}).json["ended"] >= 1
    assert with_cookie(server, third).status == 401


def test_a_session_outlives_a_killed_server(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        cookie = session(log_in(server, code=code(server)))
        server.stop(9)
        server.start()
        assert with_cookie(server, cookie).status == 200


def test_a_token_of_a_run_opens_no_studio(server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "run:abcdefghjk", "label": "job"}).json
    assert log_in(server, token=made["token"]).status == 403
    assert server.ask("POST", "/api/logins", {}, token=made["token"]).status == 403


def test_wrong_codes_and_foreign_pages_are_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert log_in(server).status == 400
        assert log_in(server, code="a", token="b").status == 400
        foreign = {"Origin": "http://evil.example"}
        body = {"token": server.token}
        answer = server.ask("POST", "/api/login", body, foreign, token=None)
        assert (answer.status, answer.code) == (403, "foreign_origin")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = server.ask("POST", "/api/login", b"token=x", form, token=None)
        assert answer.status == 415
        statuses = [log_in(server, code=f"wrong{n}").status for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert log_in(server, code=code(server)).status == 201


def test_neither_code_nor_session_is_in_the_log(tmp_path: Path) -> None:
    with running(tmp_path, "--log-level", "debug") as server:
        made = code(server)
        answer = log_in(server, code=made)
        secret = session(answer)["Cookie"].partition("=")[2]
        with_cookie(server, session(answer))
        begin = time.monotonic()
        while "/api/me" not in server.log.read_text() and time.monotonic() - begin < 5:
            time.sleep(0.01)
        text = server.log.read_text()
        assert made not in text
        assert secret not in text
