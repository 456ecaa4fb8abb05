"""Train two real models through Outlast and show what happened."""

from __future__ import annotations

import click


@click.command()
def command() -> int:
    """Train two classifiers on scikit-learn's digits, and show what Outlast says of them."""
    from outlast.cli.demonstration import demonstrate

    return demonstrate()
