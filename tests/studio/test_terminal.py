"""A terminal in a real browser: what it shows, and that it goes on after whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.running import Server, running
from tests.studio.browser import Watched, free_port, launch, watched

WAIT_MS = 15_000
LOGIN_SHELL_MS = 90_000  # whatever the files of its owner do first

# The screen as the page has it: characters, widths, colours, attributes, cursor, modes.
SHOWN = """(terminal) => {
  const buffer = terminal.buffer.active;
  const rows = [];
  for (let y = buffer.baseY; y < buffer.baseY + terminal.rows; y++) {
    const line = buffer.getLine(y);
    const row = [];
    for (let x = 0; x < terminal.cols; x++) {
      const c = line.getCell(x);
      row.push([c.getChars() || ' ', c.getWidth(), c.getFgColorMode(), c.getFgColor(),
        c.getBgColorMode(), c.getBgColor(), c.isBold(), c.isDim(), c.isItalic(),
        c.isUnderline(), c.isInverse()].join(','));
    }
    rows.push(row);
  }
  return {rows, cursor: [buffer.cursorX, buffer.cursorY], type: buffer.type, modes: terminal.modes};
}"""

# The same of a fresh xterm.js that is fed with every byte that the program has printed.
FED = (
    """async ([path]) => {
  const mine = document.querySelector('.box').terminal;
  const bytes = new Uint8Array(await (await fetch(path)).arrayBuffer());
  const other = new mine.constructor({cols: mine.cols, rows: mine.rows, allowProposedApi: true});
  const versions = mine._core.unicodeService._providers;
  other.unicode.register(versions['11']);
  other.unicode.activeVersion = '11';
  await new Promise((done) => other.write(bytes, done));
  const shown = """
    + SHOWN
    + """;
  return [shown(mine), shown(other)];
}"""
)


def screen(page: Page) -> str:
    """The lines of the terminal, with what has been scrolled up."""
    text: str = page.evaluate(
        """() => {
          const terminal = document.querySelector('.box').terminal;
          const buffer = terminal.buffer.active;
          const lines = [];
          for (let y = 0; y < buffer.length; y++) {
            const line = buffer.getLine(y);
            if (line.isWrapped) lines[lines.length - 1] += line.translateToString(true);
            else lines.push(line.translateToString(true));
          }
          return lines.join('\\n').trimEnd();
        }"""
    )
    return text


def wait_for(page: Page, pattern: str, timeout_ms: int = WAIT_MS) -> str:
    """The terminal's lines once they match."""
    page.wait_for_function(
        """([pattern]) => {
          const terminal = document.querySelector('.box')?.terminal;
          if (!terminal) return false;
          const buffer = terminal.buffer.active;
          let text = '';
          for (let y = 0; y < buffer.length; y++) {
            const line = buffer.getLine(y);
            text += (line.isWrapped ? '' : '\\n') + line.translateToString(true);
          }
          return new RegExp(pattern, 'm').test(text);
        }""",
        arg=[pattern],
        timeout=timeout_ms,
    )
    return screen(page)


@contextmanager
def session(server: Server, *command: str, **wishes: Any) -> Iterator[str]:
    """A session of a plain shell, or of this command; closed at the end."""
    wanted = {
        "command": list(command or ("bash", "--norc", "--noprofile")),
        "environ": {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "PS1": "$ ",
                    "LANG": "C.UTF-8", "HOME": "/tmp", "LESSHISTFILE": "-"},
        "folder": "/tmp",
        **wishes,
    }  # fmt: skip
    answer = server.ask("POST", "/api/sessions", wanted)
    assert answer.status == 201, answer
    session_id = str(answer.json["id"])
    try:
        yield session_id
    finally:
        with contextlib.suppress(ConnectionRefusedError):
            server.ask("POST", f"/api/sessions/{session_id}/close", {"force": True})


def opened(person: Watched, session_id: str) -> Page:
    page = person.open(f"/sessions/{session_id}")
    page.locator(".xterm-screen").wait_for()
    return page


def typed(page: Page, text: str) -> None:
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(text)


def test_a_terminal_opens_from_the_list_and_runs_commands(person: Watched, server: Server) -> None:
    person.log_in()
    page = person.open("/sessions")
    page.get_by_role("button", name="New terminal").click()
    page.wait_for_url(re.compile("/sessions/[a-z0-9]+$"))
    session_id = page.url.rpartition("/")[2]
    try:
        typed(page, "echo $((6 * 7)) in $((1 + 1)) places\n")
        wait_for(page, "^42 in 2 places", LOGIN_SHELL_MS)
        overview = person.open("/sessions")
        row = overview.get_by_role("row").filter(has_text="waits for a command")
        expect(row).to_contain_text("studio")
        expect(row.get_by_role("link")).to_have_attribute("href", f"/sessions/{session_id}")
    finally:
        server.ask("POST", f"/api/sessions/{session_id}/close", {})


@pytest.mark.slow
def test_a_terminal_goes_on_by_itself_when_the_server_was_killed(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        running(tmp_path, "--port", str(free_port())) as server,
        session(server) as session_id,
        watched(browser, server) as person,
    ):
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        typed(page, "for i in $(seq 1 150); do echo tick $i; sleep 0.03; done\n")
        wait_for(page, "^tick 20$")
        server.stop(signal.SIGKILL)
        expect(page.get_by_text("What runs in here goes on")).to_be_visible(timeout=WAIT_MS)
        typed(page, "echo typed wh")
        expect(page.get_by_text("13 keys queued")).to_be_visible()
        typed(page, "ile away\n")
        server.start()
        expect(page.get_by_text("What runs in here goes on")).to_have_count(0, timeout=WAIT_MS)
        text = wait_for(page, "^typed while away$")
        ticks = [int(n) for n in re.findall(r"^tick (\d+)", text, re.M)]
        assert ticks == list(range(1, 151))
        assert text.count("\ntyped while away") == 1


def size_of_page(person: Watched, server: Server) -> dict[str, int]:
    """As many columns and rows as a page has: what is opened so is never resized."""
    with session(server) as session_id:
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        size: dict[str, int] = page.evaluate(
            "(({cols, rows}) => ({columns: cols, rows}))(document.querySelector('.box').terminal)"
        )
        page.close()
        return size


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} isn't installed")
    return found


def compared(page: Page, session_id: str) -> list[dict[str, Any]]:
    path = f"/api/runs/{session_id}/journals/output?limit=1073741824"
    shown: list[dict[str, Any]] = page.evaluate(FED, [path])
    return shown


def check_same(page: Page, session_id: str) -> None:
    mine, fed = compared(page, session_id)
    for y, (left, right) in enumerate(zip(mine["rows"], fed["rows"], strict=True)):
        assert left == right, f"row {y}"
    for what in ("cursor", "type", "modes"):
        assert mine[what] == fed[what], what


@pytest.mark.slow
def test_after_a_reload_vim_is_drawn_as_it_was(
    person: Watched, server: Server, tmp_path: Path
) -> None:
    vim = program("vim")
    text = tmp_path / "poem.py"
    text.write_text("".join(f"def f{n}():  # \u4e2d\u6587 \u00e9 line {n}\n" for n in range(200)))
    person.log_in()
    size = size_of_page(person, server)
    command = (vim, "-u", "NONE", "-N", "-c", "set showmode number", str(text))
    with session(server, *command, **size) as session_id:
        page = opened(person, session_id)
        wait_for(page, "f10")
        typed(page, "40Gdd/f99\nonew text")
        wait_for(page, "INSERT")
        page.reload()
        wait_for(page, "INSERT")
        check_same(page, session_id)
        typed(page, "\x1b")
        typed(page, ":q!\n")
        expect(page.get_by_text("ended with exit code 0")).to_be_visible(timeout=WAIT_MS)


@pytest.mark.slow
def test_after_a_reload_htop_is_drawn_as_it_was(person: Watched, server: Server) -> None:
    htop = program("htop")
    person.log_in()
    size = size_of_page(person, server)
    with session(server, htop, "--delay=100", **size) as session_id:
        page = opened(person, session_id)
        wait_for(page, "Load average")
        (main, *_) = server.ask("GET", f"/api/runs/{session_id}/processes").json["processes"]
        os.kill(main["pid"], signal.SIGSTOP)  # so that all look at the same screen
        try:
            page.reload()
            wait_for(page, "Load average")
            check_same(page, session_id)
        finally:
            os.kill(main["pid"], signal.SIGCONT)


def test_wide_characters_colours_and_modes_are_right_after_a_reload(
    person: Watched, server: Server
) -> None:
    with session(server) as session_id:
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        typed(
            page,
            r"printf '\033[?1h\033[?2004h\u4e2d\u6587 \U1F680 e\u0301 "
            r"\033[1;38;5;208;44mcolour\033[0m \033[3;4;7mstyle\033[0m\n'; echo marked"
            "\n",
        )
        wait_for(page, "^marked")
        page.reload()
        wait_for(page, "^marked")
        check_same(page, session_id)
        assert page.evaluate("document.querySelector('.box').terminal.modes.bracketedPasteMode")


DRAWN = """(text) => {
  const spans = [...document.querySelectorAll('.xterm-rows span')];
  const one = spans.find((span) => span.textContent === text);
  return one ? [getComputedStyle(one).color, getComputedStyle(one).backgroundColor] : null;
}"""


def test_without_webgl_the_page_draws_the_same_colours(browser: Browser, server: Server) -> None:
    """A browser on a remote desktop, or with a driver that isn't trusted, has none."""
    plain = launch(browser.browser_type, "--disable-3d-apis", "--disable-software-rasterizer")
    with contextlib.closing(plain), watched(plain, server) as person, session(server) as session_id:
        person.log_in()
        page = opened(person, session_id)
        assert not page.evaluate("!!document.createElement('canvas').getContext('webgl2')")
        wait_for(page, r"^\$")
        typed(page, r"printf '\033[38;2;250;240;20;48;2;1;2;60mtrue\033[0m colour\n'" "\n")
        wait_for(page, "^true colour")
        page.wait_for_function(DRAWN, arg="true")
        assert page.evaluate(DRAWN, "true") == ["rgb(250, 240, 20)", "rgb(1, 2, 60)"]


def test_what_a_program_asked_before_a_reload_is_not_answered_again(
    person: Watched, server: Server
) -> None:
    with session(server) as session_id:
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        # Answered once, and read by the program that asks.
        typed(page, "read -rsdc -p $'\\033[c' answer; echo got ${#answer}\n")
        wait_for(page, r"^got [1-9]")
        # Asked, and nobody reads: a second answer would stand at the prompt.
        for _ in range(2):
            page.reload()
            wait_for(page, "^got")
        typed(page, "echo last word\n")
        text = wait_for(page, "^last word")
        assert re.search(r"^\$ echo last word$", text, re.M), text


ACTING = (
    r"\033]52;c;c3RvbGVu\007",  # clipboard
    r"\033]52;c;?\007",
    r"\033[21t", r"\033[18t", r"\033[14t",  # title and window reports
    r"\033P$qm\033\\",  # settings
    r"\033[>q",  # name and version
)  # fmt: skip


def test_a_program_gets_neither_clipboard_nor_title_nor_settings(
    browser: Browser, server: Server
) -> None:
    with (
        watched(browser, server, permissions=["clipboard-read", "clipboard-write"]) as person,
        session(server) as session_id,
    ):
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        page.evaluate("navigator.clipboard.writeText('mine')")
        for sequence in ACTING:
            typed(page, f"clear; printf '{sequence}'; read -rst 0.3 -n 1 x; echo answer=$x.\n")
            assert "answer=.\n" in wait_for(page, r"^answer=.*\n\$"), sequence
            typed(page, "clear\n")
            page.wait_for_function(
                "() => !document.querySelector('.box').terminal.buffer.active.getLine(0)"
                ".translateToString().includes('answer')"
            )
        assert page.evaluate("navigator.clipboard.readText()") == "mine"


def test_a_second_window_takes_over_and_the_first_is_told(
    browser: Browser, person: Watched, server: Server
) -> None:
    with watched(browser, server) as other, session(server) as session_id:
        person.log_in()
        other.log_in()
        first = opened(person, session_id)
        wait_for(first, r"^\$")
        second = opened(other, session_id)
        expect(first.get_by_text("took over typing")).to_be_visible(timeout=WAIT_MS)
        typed(first, "echo from the first\n")
        typed(second, "echo from the second\n")
        wait_for(first, "^from the second")
        assert "from the first" not in screen(second)
        first.get_by_role("button", name="Take over again").click()
        expect(second.get_by_text("took over typing")).to_be_visible(timeout=WAIT_MS)
        typed(first, "echo first again\n")
        wait_for(second, "^first again")


def test_who_may_only_read_looks_on(browser: Browser, person: Watched, server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "read", "label": "guest"}).json["token"]
    with watched(browser, server) as guest, session(server) as session_id:
        person.log_in()
        driver = opened(person, session_id)
        wait_for(driver, r"^\$")
        guest.log_in(made)
        page = opened(guest, session_id)
        expect(page.get_by_text("Read-only")).to_be_visible(timeout=WAIT_MS)
        typed(page, "echo not allowed\n")
        # What the terminal is asked, the driver's page answers, and nobody else's.
        typed(driver, "printf '\\033[6n'; read -rsdR x; read -rst 1 -n 1 y; echo second=$y.\n")
        wait_for(page, "^second=")
        text = wait_for(driver, "^second=")
        assert "second=.\n" in text
        assert "not allowed" not in text
        expect(page.get_by_role("button", name="Take over")).to_have_count(0)


def test_who_comes_back_to_an_ended_shell_sees_how_it_ended(
    person: Watched, server: Server
) -> None:
    with session(server) as session_id:
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        typed(page, "echo the last words; exit 7\n")
        card = page.get_by_label("How it ended")
        expect(card).to_contain_text("exit code 7", timeout=WAIT_MS)
        page.reload()
        expect(card).to_contain_text("exit code 7", timeout=WAIT_MS)
        expect(card).to_contain_text("the last words")
        card.get_by_role("button", name="Open a new one here").click()
        page.wait_for_url(lambda url: not url.endswith(session_id))
        other = page.url.rpartition("/")[2]
        page.locator(".xterm-screen").wait_for()
        server.ask("POST", f"/api/sessions/{other}/close", {"force": True})


def test_an_unknown_session_is_said_to_be_unknown(person: Watched) -> None:
    person.log_in()
    page = person.open("/sessions/nosuchsession")
    expect(page.get_by_role("alert")).to_contain_text("There is no", timeout=WAIT_MS)


def test_many_lines_are_pasted_after_a_question_and_without_control_characters(
    browser: Browser, server: Server
) -> None:
    with (
        watched(browser, server, permissions=["clipboard-read", "clipboard-write"]) as person,
        session(server, "cat", "-v") as session_id,
    ):
        person.log_in()
        page = opened(person, session_id)
        expect(page.get_by_text("only you")).to_be_visible(timeout=WAIT_MS)
        pasted = json.dumps("one\ntwo\x1b[201~\x03\nthree\n")
        page.evaluate(f"navigator.clipboard.writeText({pasted})")
        page.locator(".xterm-helper-textarea").focus()
        page.keyboard.press("Control+Shift+V")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Paste 4 lines?")
        dialog.get_by_role("button", name="Cancel").click()
        page.locator(".xterm-helper-textarea").focus()
        page.keyboard.press("Control+Shift+V")
        dialog.get_by_role("button", name="Paste").click()
        text = wait_for(page, r"three\n[^]*three")
        assert "^C" not in text
        assert "^[" not in text
        assert "two[201~" in text


def test_history_goes_back_beyond_what_the_terminal_keeps(person: Watched, server: Server) -> None:
    with session(server) as session_id:
        person.log_in()
        page = opened(person, session_id)
        wait_for(page, r"^\$")
        typed(page, "seq 1 60000; echo finished\n")
        wait_for(page, "^finished")
        assert "\n1\n" not in screen(page)
        page.get_by_role("button", name="History").click()
        log = page.get_by_role("log")
        expect(log).to_contain_text("finished")
        page.get_by_label("Find in the log").fill("seq 1 60000")
        button = page.get_by_role("button", name=re.compile("Search the .* before"))
        button.click()
        expect(log.locator(".line.now")).to_contain_text("seq 1 60000", timeout=WAIT_MS)
        page.get_by_role("button", name="Back to the terminal").click()
        typed(page, "echo here again\n")
        wait_for(page, "^here again")


def test_on_a_small_screen_keys_stand_below_the_terminal(browser: Browser, server: Server) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    person = Watched(context, server)
    try:
        with session(server, "cat", "-v") as session_id:
            person.log_in()
            page = opened(person, session_id)
            expect(page.get_by_text("only you")).to_be_visible(timeout=WAIT_MS)
            keys = page.get_by_role("toolbar", name="Keys")
            for key in ("Esc", "Tab", "Up"):
                keys.get_by_role("button", name=key, exact=True).tap()
            keys.get_by_role("button", name="Ctrl").tap()
            typed(page, "g")
            typed(page, "z\n")
            wait_for(page, r"\^\[.*\^\[\[A\^Gz")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        context.close()
    assert person.faults == []
