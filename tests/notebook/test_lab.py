"""RunDetails in a real JupyterLab: what a person sees while a run goes on, and when it is over."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.notebook.jupyter import Lab, lab, write_notebook
from tests.sdk.place import Place
from tests.studio.browser import launch, program

SEEN_MS = 60_000.0
TRAIN = """
import os, time
import outlast
run = outlast.get_context()
for step in range(5):
    run.log("loss", 1.0 / (step + 1), step=step)
    print(f"epoch {step} <b>bold</b>", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.05)
run.log("loss", 0.125, step=5)
print("the last line")
"""
CELL = """
import outlast.azureml
from azureml.core import Experiment, ScriptRunConfig, Workspace
from azureml.widgets import RunDetails

run = Experiment(Workspace.from_config(), "digits").submit(ScriptRunConfig(".", "train.py"))
RunDetails(run).show()
run.wait_for_completion()  # the kernel is busy: the view is live all the same
"""


@pytest.fixture
def opened(place: Place, tmp_path: Path) -> Iterator[Lab]:
    if program() is None:
        pytest.skip("no browser: install Debian's package chromium")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    settings = {"OUTLAST_HOME": str(place.home), "OUTLAST_PORT": "0", "GO": str(tmp_path / "go")}
    with lab(tmp_path / "lab", {**kept, **settings, "PATH": path}) as found:
        yield found


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        made = browser.new_page(viewport={"width": 1280, "height": 900})
        made.set_default_timeout(SEEN_MS)
        yield made
        browser.close()


def run_first_cell(page: Page) -> None:
    """An idle kernel may still let what it is told first fall: tell it again."""
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    for _ in range(5):
        page.locator(".jp-CodeCell").first.click()
        page.keyboard.press("Shift+Enter")
        try:
            expect(prompt).to_have_text(re.compile(r"\[(\*|\d+)\]"), timeout=5_000)
            return
        except AssertionError:
            continue
    raise AssertionError("the first cell doesn't run")


@pytest.mark.slow
def test_a_run_is_seen_live_until_it_is_over(
    place: Place, opened: Lab, page: Page, tmp_path: Path
) -> None:
    (opened.folder / "train.py").write_text(TRAIN)
    write_notebook(opened.folder / "live.ipynb", CELL)
    page.goto(opened.page("live.ipynb"))
    page.locator(".jp-CodeCell").first.click()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for()
    run_first_cell(page)

    status = page.locator(".outlast-status")
    log = page.locator(".outlast-log")
    try:
        expect(status).to_have_text("Running", timeout=SEEN_MS)
    except AssertionError:
        why = place.workspace.run("@last").why()
        pytest.fail(f"{page.locator('.outlast-run').inner_text()}\n{why}")
    expect(log).to_contain_text("epoch 4 <b>bold</b>", timeout=SEEN_MS)  # as text, not as markup
    chart = page.locator(".outlast-chart[data-metric=loss]")
    expect(chart.locator("b")).to_have_text("0.2", timeout=SEEN_MS)
    assert len((chart.locator("polyline").get_attribute("points") or "").split()) == 5
    assert page.locator(".outlast-run b", has_text="bold").count() == 0

    (tmp_path / "go").touch()
    expect(status).to_have_text("Completed", timeout=SEEN_MS)
    expect(log).to_contain_text("the last line", timeout=SEEN_MS)
    expect(chart.locator("b")).to_have_text("0.125", timeout=SEEN_MS)
    link = page.locator(".outlast-run header a").get_attribute("href")
    assert link is not None
    assert "/runs/" in link
