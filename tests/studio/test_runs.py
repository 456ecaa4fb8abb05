"""The list of runs and the page of one, in a real browser."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.server.running import Server, running, submit, wait_over
from tests.studio.browser import Watched, free_port, watched


def test_the_list_changes_by_itself(person: Watched, server: Server, tmp_path: Path) -> None:
    page = person.log_in()
    go = tmp_path / "go"
    script = f"until [ -e {go} ]; do sleep 0.05; done"
    run_id = submit(server, "sh", "-c", script, name="appears by itself", wait_s=0)
    row = page.get_by_role("row").filter(has_text="appears by itself")
    expect(row).to_contain_text("Running")
    go.touch()
    expect(row).to_contain_text("Completed")
    wait_over(server, run_id)


def test_a_filter_is_kept_in_the_address_and_a_wrong_one_explained(
    person: Watched, server: Server
) -> None:
    submit(server, "true", name="one that fits", tags={"team": "a"})
    submit(server, "true", name="one that doesn't", tags={"team": "b"})
    page = person.log_in()
    page.keyboard.press("/")
    page.keyboard.type("tags.team = 'a'")
    page.keyboard.press("Enter")
    expect(page.get_by_text("one that fits")).to_be_visible()
    expect(page.get_by_text("one that doesn't")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("one that fits")).to_be_visible()
    expect(page.get_by_text("one that doesn't")).to_have_count(0)
    field = page.get_by_label("Condition")
    field.fill("tags.team =")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()


def test_keys_move_through_the_list_and_open_a_run(person: Watched, server: Server) -> None:
    submit(server, "true", name="older")
    newest = submit(server, "true", name="newest")
    page = person.log_in()
    expect(page.get_by_text("newest")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{newest}")


def test_a_failed_run_says_why(person: Watched, server: Server) -> None:
    run_id = submit(server, "sh", "-c", "echo the last words; exit 3")
    person.log_in()
    page = person.open(f"/runs/{run_id}")
    expect(page.get_by_label("Why", exact=True)).to_contain_text("exit code 3")
    expect(page.get_by_label("Why", exact=True)).to_contain_text("the last words")
    expect(page.get_by_role("log")).to_contain_text("the last words")


def test_a_shell_is_opened_where_a_run_is(person: Watched, server: Server) -> None:
    run_id = submit(server, "sh", "-c", "exit 3")
    person.log_in()
    page = person.open(f"/runs/{run_id}")
    page.get_by_role("button", name="Open a shell").click()
    page.wait_for_url("**/sessions/*")
    session = page.url.rpartition("/")[2]
    assert server.ask("GET", f"/api/sessions/{session}").json["entered"] == run_id
    server.ask("POST", f"/api/sessions/{session}/close", {"force": True})


def test_the_log_follows_a_job_over_a_killed_server(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, "--port", str(port)) as server:
        go = tmp_path / "go"
        script = (
            f"for i in 1 2 3 4; do until [ -e {go}$i ]; do sleep 0.05; done; echo line $i; done"
        )
        run_id = submit(server, "sh", "-c", script, wait_s=0)
        with watched(browser, server) as person:
            person.log_in()
            page = person.open(f"/runs/{run_id}")
            log = page.get_by_role("log")
            Path(f"{go}1").touch()
            expect(log).to_contain_text("line 1")
            server.stop(signal.SIGKILL)
            expect(page.get_by_role("status").first).to_contain_text("Offline")
            Path(f"{go}2").touch()
            server.start()
            expect(log).to_contain_text("line 2")
            expect(page.get_by_role("status").first).to_contain_text("Live")
            Path(f"{go}3").touch()
            Path(f"{go}4").touch()
            expect(log).to_contain_text("line 4")
            expect(page.get_by_text("Completed").first).to_be_visible()
            text = log.inner_text()
            assert re.findall(r"line (\d)", text) == ["1", "2", "3", "4"]


def test_a_long_log_is_read_to_its_beginning_and_searched(person: Watched, server: Server) -> None:
    run_id = submit(server, "sh", "-c", "seq 100000 200000; echo needle; seq 300000 310000")
    person.log_in()
    page = person.open(f"/runs/{run_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("310000")
    assert log.locator(".line").count() < 200  # only what is in sight is in the page
    page.get_by_label("Find in the log").fill("needle")
    page.get_by_label("Find in the log").press("Enter")
    expect(log.locator(".line.now")).to_have_text("needle")
    page.get_by_label("Find in the log").fill("100007")
    page.get_by_role("button", name=re.compile("Search the .* before")).click()
    expect(log.locator(".line.now")).to_have_text("100007")


def test_progress_bars_and_colours_are_shown_and_sequences_are_not(
    person: Watched, server: Server
) -> None:
    script = r"printf '10%%\r20%%\r100%%\n\033[31mred\033[0m \033]52;c;aGk=\007\033[2Jend\n'"
    run_id = submit(server, "sh", "-c", script)
    person.log_in()
    page = person.open(f"/runs/{run_id}")
    lines = page.get_by_role("log").locator(".line")
    expect(lines).to_have_text(["100%", "red end"])
    assert page.locator(".line span", has_text="red").first.evaluate("e => e.style.color") == (
        "var(--t1)"
    )


def test_metrics_stand_beside_the_log(person: Watched, server: Server, tmp_path: Path) -> None:
    script, go = tmp_path / "train.py", tmp_path / "go"
    script.write_text(
        "import os, time, outlast\nrun = outlast.Run.get_context()\n"
        "for step in range(5):\n"
        "    run.log('rate', 3)\n"
        "    run.log('loss', 1 / (step + 1) if step != 1 else float('nan'))\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
        "run.log('loss', 0.125)\n"
    )
    run_id = submit(server, sys.executable, str(script), wait_s=0)
    person.log_in()
    page = person.open(f"/runs/{run_id}")
    metrics = page.get_by_label("Metrics")
    row = metrics.get_by_role("row").filter(has_text="loss")
    expect(row).to_contain_text("0.2")
    curve = metrics.get_by_role("img")
    expect(curve).to_have_accessible_name(re.compile("^loss: 5 points, step 0 to 4, .*last 0.2$"))
    expect(curve.locator("circle")).to_have_count(1)  # the first, cut off from the rest by a nan
    expect(curve.locator("polyline")).to_have_attribute("points", re.compile(r"^\S+ \S+ \S+$"))
    go.touch()
    expect(curve).to_have_accessible_name(re.compile("^loss: 6 points, .*last 0.125$"))
    four = re.compile(r"^\S+ \S+ \S+ \S+$")
    expect(curve.locator("polyline")).to_have_attribute("points", four)
    curve.hover(position={"x": 300, "y": 60})
    expect(metrics.locator("figcaption")).to_contain_text(re.compile("at step [0-9]"))
    metrics.get_by_role("button", name="rate").press("Enter")
    expect(curve).to_have_accessible_name(re.compile("^rate: 5 points"))
    expect(curve.locator("polyline")).to_have_count(1)
    wait_over(server, run_id)


PAYLOADS = (
    "<img src=x onerror=window.hit=1>",
    "<script>window.hit=1</script>",
    '"><svg onload=window.hit=1>',
    "javascript:window.hit=1",
    "{@html '<b>'}{{constructor.constructor('window.hit=1')()}}",
    "</title><script>window.hit=1</script>",
)


def test_what_runs_are_called_and_print_is_text_on_every_page(
    person: Watched, server: Server
) -> None:
    ids = [
        submit(
            server, "sh", "-c", "cat; exit 1", payload, name=payload, experiment=payload[:60],
            tags={"note": payload, payload[:40]: payload},
        )
        for payload in PAYLOADS
    ]  # fmt: skip
    echoing = submit(server, "printf", "%s\n", *PAYLOADS, name="prints them")
    page = person.log_in()
    expect(page.get_by_role("link", name=PAYLOADS[0])).to_be_visible()
    assert page.evaluate("window.hit") is None
    for run_id in (*ids, echoing):
        page.goto(person.url(f"/runs/{run_id}"))
        expect(page.get_by_label("Why", exact=True)).to_be_visible()
        assert page.evaluate("window.hit") is None
        assert page.locator("#studio img, #studio script").count() == 0
    lines = page.get_by_role("log").locator(".line")
    expect(lines).to_have_text(list(PAYLOADS))


def test_an_injected_script_would_not_run(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    try:
        page = Watched(context, server).log_in()
        refused = page.evaluate(
            """() => {
              const tries = {};
              try {
                document.body.innerHTML = '<b>';
                tries.markup = 'done';
              } catch { tries.markup = 'refused'; }
              const script = document.createElement('script');
              try {
                script.textContent = 'window.hit = 1';
                document.body.append(script);
              } catch {}
              tries.inline = window.hit ? 'done' : 'refused';
              return tries;
            }"""
        )
        assert refused == {"markup": "refused", "inline": "refused"}
    finally:
        context.close()


def test_light_and_dark_follow_the_system_and_the_choice(browser: Browser, server: Server) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with watched(browser, server, color_scheme="dark") as person:
        page = person.log_in()
        dark = page.evaluate(ground)
        page.emulate_media(color_scheme="light")
        page.wait_for_function("dark => %s !== dark" % ground, arg=dark)  # noqa: UP031
        page.get_by_role("button", name="Theme").click()  # light
        page.get_by_role("button", name="Theme").click()  # dark
        assert page.evaluate(ground) == dark
        page.reload()
        assert page.evaluate(ground) == dark
