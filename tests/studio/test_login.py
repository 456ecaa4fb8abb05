"""The way into the studio, in a real browser."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.server.running import Server, running, submit
from tests.studio.browser import REBOUND, Watched, watched


def test_a_link_lets_one_browser_in_and_leaves_no_trace_in_it(
    browser: Browser, person: Watched, server: Server
) -> None:
    code = server.ask("POST", "/api/logins", {}).json["code"]
    page = person.open(f"/login#{code}")
    page.wait_for_url("**/runs")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert code not in page.evaluate("JSON.stringify([location.href, history.state])")
    with watched(browser, server) as other:
        again = other.open(f"/login#{code}")
        expect(again.get_by_role("alert")).to_contain_text("has been used already")
        assert other.context.cookies() == []


def outlast(server: Server, *arguments: str) -> str:
    command = [sys.executable, "-m", "outlast", "--home", str(server.home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_the_command_prints_the_link_and_ends_all_sessions(person: Watched, server: Server) -> None:
    link = outlast(server, "studio", "--no-open")
    assert link.startswith(f"http://{server.host}/login#")
    page = person.context.new_page()
    page.goto(link)
    page.wait_for_url("**/runs")
    assert re.fullmatch(r"\d+ sessions? ended", outlast(server, "studio", "--sign-out"))
    page.goto(person.url("/runs"))
    page.wait_for_url("**/login")


def test_scripts_see_neither_cookie_nor_token(person: Watched, server: Server) -> None:
    page = person.log_in()
    (cookie,) = person.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["path"] == "/"
    assert page.evaluate("document.cookie") == ""
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, history.state])")
    assert server.token not in kept + page.content()
    assert cookie["value"] not in kept + page.content()


def test_who_isnt_logged_in_is_led_back_where_they_wanted_to_go(
    person: Watched, server: Server
) -> None:
    run_id = submit(server, "echo", "hello")
    page = person.open(f"/runs/{run_id}")
    page.wait_for_url("**/login")
    page.get_by_label("Or paste that link, or a token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("isn't valid here")
    page.get_by_label("Or paste that link, or a token").fill(server.token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**/runs/{run_id}")
    expect(page.get_by_role("log")).to_contain_text("hello")


def test_logging_out_ends_the_session(person: Watched) -> None:
    page = person.log_in()
    cookies = person.context.cookies()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert person.context.cookies() == []
    # Not only forgotten by the browser: the server takes it no more.
    person.context.add_cookies([{**cookies[0]}])  # type: ignore[typeddict-item]
    page.goto(person.url("/runs"))
    page.wait_for_url("**/login")


def test_logging_out_leaves_no_other_tab_behind(person: Watched, server: Server) -> None:
    run_id = submit(server, "sleep", "600", wait_s=0)
    page = person.log_in()
    other = person.open(f"/runs/{run_id}")
    expect(other.get_by_text("Live", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    other.wait_for_url("**/login", timeout=30_000)
    server.ask("POST", f"/api/runs/{run_id}/cancel", {})


def test_a_token_that_may_only_read_changes_nothing(browser: Browser, server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "read", "label": "guest"}).json["token"]
    run_id = submit(server, "true")
    with watched(browser, server) as guest:
        guest.log_in(made)
        page = guest.open(f"/runs/{run_id}")
        expect(page.get_by_text("Why?")).to_be_visible()
        expect(page.get_by_role("button", name="Run again")).to_have_count(0)
        status = page.evaluate(
            "fetch('/api/shutdown', {method: 'POST', headers: {'Outlast-Studio': '1'}})"
            ".then(answer => answer.status)"
        )
        assert status == 403


@pytest.fixture
def evil(tmp_path: Path) -> object:
    """Another program on this machine that serves a page; its port is another origin."""
    (tmp_path / "index.html").write_text("<!doctype html><title>evil</title>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}/"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_a_page_of_another_origin_reaches_nothing(
    browser: Browser, server: Server, evil: str
) -> None:
    context = browser.new_context()  # its refusals are told in the console: that's the point
    try:
        person = Watched(context, server)
        person.log_in()
        page = context.new_page()
        page.goto(evil)
        # The cookie goes along: another port is the same site. The origin isn't the same.
        reached = page.evaluate(
            """async (base) => {
              const tries = {};
              const asked = (name, path, init) =>
                fetch(base + path, {credentials: 'include', ...init})
                  .then((answer) => answer.text())
                  .then((text) => (tries[name] = text), () => (tries[name] = null));
              await asked('read', '/api/runs', {});
              await asked('simple post', '/api/shutdown', {method: 'POST'});
              const headers = {'Outlast-Studio': '1'};
              await asked('header', '/api/shutdown', {method: 'POST', headers});
              const socket = (path) => new Promise((done) => {
                const one = new WebSocket(base.replace('http', 'ws') + path);
                one.onopen = () => done('open');
                one.onerror = () => done(null);
              });
              tries.live = await socket('/api/live');
              tries.terminal = await socket('/api/sessions/abcdefghjk/terminal');
              return tries;
            }""",
            f"http://{server.host}",
        )
        assert reached == dict.fromkeys(("read", "simple post", "header", "live", "terminal"), None)
        assert server.ask("GET", "/api/health").status == 200
    finally:
        context.close()


def test_a_name_that_suddenly_points_here_reaches_nothing(browser: Browser, server: Server) -> None:
    base = f"{REBOUND}:{server.port}"
    context = browser.new_context()
    try:
        page = context.new_page()
        shown = page.goto(f"http://{base}/runs")
        assert shown is not None
        assert shown.status == 400
        # The page that came from the name's owner, while it still pointed there.
        page.route("**/theirs", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        page.goto(f"http://{base}/theirs")
        # To the browser all of this is one origin: only the name in Host tells.
        reached = page.evaluate(
            """async (base) => {
              const asked = (path) => 
                fetch(path).then((answer) => answer.status, () => null);
              const socket = (path) => new Promise((done) => {
                const one = new WebSocket('ws://' + base + path);
                one.onopen = () => done('open');
                one.onerror = () => done(null);
              });
              return [
                await asked('/api/health'), await asked('/api/version'), await asked('/login'),
                await socket('/api/live'), await socket('/api/sessions/abcdefghjk/terminal'),
              ];
            }""",
            base,
        )
        # A newer browser doesn't even ask: from a public page to a local address.
        assert set(reached) <= {400, None}
    finally:
        context.close()


def test_without_its_pages_the_server_says_how_to_build_them(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from starlette.datastructures import Headers

    from outlast.server.studio import Studio

    answer = Studio(str(tmp_path)).page(Headers({}))
    assert answer.status_code == 404
    assert b"scripts/studio" in bytes(answer.body)
    assert Studio(str(tmp_path)).public_paths == frozenset()


def test_files_are_kept_for_ever_and_the_page_is_asked_for(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    page = server.ask("GET", "/login", token=None, headers={"Accept-Encoding": "br, gzip"})
    assert page.status == 200
    assert page.headers["cache-control"] == "no-cache"
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    for part in (
        "default-src 'self'", "script-src 'self'", "object-src 'none'", "base-uri 'none'",
        "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    ):  # fmt: skip
        assert part in page.headers["content-security-policy"]
    plain = server.ask("GET", "/login", token=None).body.decode()
    path = plain.partition('src="')[2].partition('"')[0]
    sizes = {}
    for encoding in ("", "gzip", "br"):
        asset = server.ask("GET", path, token=None, headers={"Accept-Encoding": encoding})
        assert asset.status == 200
        assert asset.headers.get("content-encoding", "") == encoding
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-type"].startswith("text/javascript")
        assert asset.headers["x-content-type-options"] == "nosniff"
        sizes[encoding] = len(asset.body)
    assert sizes["br"] < sizes["gzip"] < sizes[""]
    for path in (
        "/assets/nothing.js",
        "/assets/../index.html",
        "/assets/",
        "/index.html",
        "/stamp",
    ):
        assert server.ask("GET", path, token=None).status == 401
    with running(tmp_path) as other:  # a deep link of who isn't logged in: the page, and a 401
        deep = other.ask("GET", "/runs", token=None, headers={"Accept": "text/html"})
        assert deep.status == 401
        assert b"<!doctype html>" in deep.body
