"""`outlast demo`: two real runs, what they wait for and why, and where to look next.

Every line that it shows of a run comes from the run or from the verb that it names.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import click

import outlast
from outlast.cli import exits, plot, reach, show
from outlast.cli.commands.compare import comparison
from outlast.errors import Invalid
from outlast.run.state import TERMINAL
from outlast.sdk.handle import RunHandle
from outlast.sdk.shown import Shown
from outlast.sdk.submit import submit

SCRIPTS = Path(outlast.__file__).parent / "demo"
WIDTHS = (4, 32)
NEXT = """
What to look at next:
  outlast ls                         these runs, and all others
  outlast show {last}            all that is known of one
  outlast outputs ls {last}      its model, evaluation and confusion matrix
  outlast metrics {last} --plot  its curves
  outlast run -- python your.py      your own script, supervised
The scripts of this demo: {scripts}"""


def demonstrate() -> int:
    """Run it; 0 when both runs are Completed. Ctrl-C ends the show, not the runs."""
    _require("sklearn", "matplotlib")
    click.echo(
        "Two small neural networks learn to read 1,797 scanned digits, as two runs. They run"
    )
    click.echo("side by side where the machine has room for both; else the second one waits:\n")
    runs = [_submit(hidden) for hidden in WIDTHS]
    for handle, hidden in zip(runs, WIDTHS, strict=True):
        click.echo(f"  {handle.id}  --hidden {hidden}")
    try:
        for handle in runs:
            _follow(handle)
    except KeyboardInterrupt:
        show.say("the runs go on; see them by: outlast ls")
        return exits.INTERRUPTED
    _heading(f"outlast compare {runs[0].id} {runs[1].id}")
    click.echo(comparison([handle.fetch() for handle in runs]))
    _heading(f"outlast metrics {runs[1].id} accuracy --plot")
    _plot(runs[1], "accuracy")
    click.echo(NEXT.format(last=runs[1].id, scripts=SCRIPTS))
    if shutil.which("outlast") is None:
        click.echo(f"`outlast` isn't on the PATH here: it is {os.path.abspath(sys.argv[0])}")
    return exits.OK if all(handle.status == "Completed" for handle in runs) else exits.FAILED


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise Invalid(
            f"the demo needs {' and '.join(missing)}, which this Python lacks",
            hint="pip install 'outlast[demo]'",
        )


def _heading(text: str) -> None:
    click.echo("\n" + show.bold(f"$ {text}"))


def _submit(hidden: int) -> RunHandle:
    return submit(
        [sys.executable, "train.py", "--hidden", str(hidden)],
        experiment="demo",
        name=f"digits-{hidden}",
        folder=SCRIPTS,
        parameters={"hidden": hidden},
        outputs=["outputs/model.pkl", "outputs/evaluation.json"],
        workspace=reach.workspace(),
    )


def _follow(handle: RunHandle) -> None:
    """Show the output; while only the background evaluation is left, ask why it isn't over."""
    has_asked = handle.status in TERMINAL
    _heading(f"outlast logs {handle.id}" if has_asked else f"outlast logs -f {handle.id}")
    shown = Shown(sys.stdout)
    for piece in handle.follow_output():
        shown.write(piece.data)
        if not has_asked and shown.is_at_line_start and handle.state()[1]["stage"] == "leftovers":
            has_asked = True
            _heading(f"outlast why {handle.id}   (from another terminal, meanwhile)")
            click.echo(show.explanation(handle.why()) + "\n")
            click.echo(show.bold(f"$ outlast logs -f {handle.id}   (goes on)"))
    shown.close()
    _heading(f"outlast why {handle.id}")
    click.echo(show.explanation(handle.why()))


def _plot(handle: RunHandle, name: str) -> None:
    series = handle.view(name, points=4 * show.width())
    values = series["values"]
    click.echo(plot.curve(name, series["steps"], values, len(values), values[-1]))
