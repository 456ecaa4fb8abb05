"""`outlast demo`: two real runs, what they wait for and why, and where to look next."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import click

import outlast
from outlast.cli import follow, plot, show
from outlast.errors import Invalid
from outlast.sdk import RunHandle, submit

SCRIPTS = Path(outlast.__file__).parent / "demo"
WIDTHS = (4, 32)


def demonstrate() -> int:
    """Run it; 0 when both runs are Completed."""
    _require("sklearn", "matplotlib")
    click.echo("Training two classifiers on 1,797 real scans of digits, one after the other:\n")
    runs = [_submit(hidden) for hidden in WIDTHS]
    for handle in runs:
        click.echo(f"  {handle.id}  hidden = {handle.fetch()['spec']['parameters']['hidden']}")
    for handle, hidden in zip(runs, WIDTHS, strict=True):
        click.secho(f"\n── hidden = {hidden}: its output, live ──\n", bold=True)
        _follow_until_waiting(handle)
    click.secho("\n── compared (outlast compare) ──\n", bold=True)
    _compare(runs)
    return 0 if all(handle.status == "Completed" for handle in runs) else 1


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise Invalid(
            f"the demo needs {' and '.join(missing)}, which this Python lacks",
            hint="pip install 'outlast[demo]'",
        )


def _submit(hidden: int) -> RunHandle:
    return submit(
        [sys.executable, "train.py", "--hidden", str(hidden)],
        experiment="demo",
        name=f"digits-{hidden}",
        folder=SCRIPTS,
        parameters={"hidden": hidden},
        outputs=["outputs/evaluation.json"],
    )


def _follow_until_waiting(handle: RunHandle) -> None:
    """Show the output; when only the background evaluation is left, ask why it isn't over."""
    has_asked = False
    stripped = follow.Shown(is_raw=False)
    for piece in handle.follow_output():
        stripped.write(piece.data)
        if not has_asked and handle.fetch()["stage"] == "leftovers":
            has_asked = True
            click.secho(f"\n$ outlast why {handle.id}", bold=True)
            click.echo(show.explanation(handle.why()) + "\n")
    stripped.close()
    handle.wait(raise_on_error=False)
    click.secho(f"\n$ outlast why {handle.id}", bold=True)
    click.echo(show.explanation(handle.why()))


def _compare(runs: list[RunHandle]) -> None:
    facts = [handle.fetch() for handle in runs]
    rows = [_row(of) for of in facts]
    click.echo(show.table(["RUN", "HIDDEN", "ACCURACY", "LOSS", "STATUS", "LASTED"], rows))
    series = runs[-1].view("accuracy", points=400)
    click.echo("\n" + plot.curve("accuracy", series["steps"], series["values"]))
    last = runs[-1].id
    click.echo(
        f"""
What to look at next:
  outlast ls                         these runs
  outlast show {last}            all that is known of one
  outlast outputs ls {last}      the model, the evaluation, the confusion matrix
  outlast metrics {last} --plot  its curves
  outlast run -- python your.py      your own script, supervised"""
    )


def _row(facts: dict[str, Any]) -> list[str]:
    last = {series["name"]: show.number(series["last"]) for series in facts["series"]}
    hidden = str(facts["spec"]["parameters"]["hidden"])
    status = show.status(facts)
    return [facts["id"], hidden, last["accuracy"], last["loss"], status, show.lasted(facts)]
