"""Try many values of a command's parameters, and find the best."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli import follow, reach
from outlast.cli.options import AskingCommand, Duration, asking, request
from outlast.errors import Invalid

SPACES = (
    "choice", "randint", "uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal",
    "lognormal", "qlognormal",
)  # fmt: skip
POLICIES = ("bandit", "median_stopping", "truncation")


@click.command(cls=AskingCommand, context_settings={"allow_interspersed_args": False})
@asking
@click.option(
    "--metric", required=True, metavar="NAME", help="What its trials log, and what is compared."
)
@click.option(
    "--goal",
    type=click.Choice(["minimize", "maximize"]),
    default="minimize",
    help="Which value is the best [minimize].",
)
@click.option(
    "--sampling", type=click.Choice(["random", "grid", "bayesian"]), default="random",
    help="How values are chosen [random].",
)  # fmt: skip
@click.option("--max-trials", type=int, metavar="N", help="So many trials [20; of a grid, all].")
@click.option(
    "--at-once", type=int, metavar="N", help="So many of them together [as slots are free]."
)
@click.option("--max-duration", type=Duration(), help="For the whole sweep [7d].")
@click.option("--stop", metavar="POLICY", help="End bad trials early, as bandit(slack_factor=0.2).")
@click.option("--seed", type=int, metavar="N", help="Makes random values repeatable.")
@click.option("--in-place", is_flag=True, help="Run in the folder itself, not on a snapshot.")
@click.option("--follow", "is_followed", is_flag=True, help="Show its output until it is over.")
@click.option("--wait", "is_awaited", is_flag=True, help="Wait until it is over.")
@click.argument("command_", metavar="-- COMMAND...", nargs=-1, required=True)
def command(
    command_: tuple[str, ...], is_followed: bool, is_awaited: bool, max_trials: int | None,
    at_once: int | None, max_duration: float | None, stop: str | None, in_place: bool, **asked: Any,
) -> int:  # fmt: skip
    """Try many values in COMMAND, where {NAME} stands for --param NAME=choice(1, 2).

    \b
    outlast sweep --param 'lr=loguniform(-7, -1)' --metric loss \\
        -- python train.py --lr {lr}

    A value is choice(16, 32), uniform(0, 1), loguniform(-7, -2) or the like. Prints the id.
    """
    from outlast import sweeps
    from outlast.cli.called import made
    from outlast.sweeps.plan import MAX_DURATION_S

    if asked["after"]:
        raise Invalid.field("--after", asked["after"][0], "a sweep begins at once; leave it out")
    wanted = request(asked)
    spaces = {
        name: made(f"--param {name}", text, sweeps, SPACES)
        for name, text in wanted.pop("parameters").items()
    }
    handle = sweeps.sweep(
        list(command_), spaces, metric=asked["metric"], goal=asked["goal"],
        sampling=asked["sampling"], max_trials=max_trials, max_at_once=at_once,
        max_duration_s=max_duration or MAX_DURATION_S,
        stopping=made("--stop", stop, sweeps, POLICIES) if stop else None,
        seed=asked["seed"], in_place=in_place, workspace=reach.workspace(), **wanted,
    )  # fmt: skip
    click.echo(handle.id)
    if is_followed:
        return follow.to_the_end(handle)
    return follow.until_over(handle) if is_awaited else 0
