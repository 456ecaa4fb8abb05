"""docs/cli.md tells every verb, every option and every exit code there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from outlast.cli import exits
from outlast.cli.main import outlast

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def options(command: click.Command, words: str) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield words, max(parameter.opts, key=len)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from options(found, f"{words} {name}")


@pytest.mark.parametrize(("verb", "option"), list(options(outlast, "outlast")))
def test_every_option_is_on_the_page(verb: str, option: str) -> None:
    assert any(f"{before}{option}{after}" in PAGE for before in "`/" for after in "` /"), verb


@pytest.mark.parametrize(
    "code", sorted({value for name, value in vars(exits).items() if name.isupper()
                    and isinstance(value, int)} - {exits.NOT_STARTED})
)  # fmt: skip
def test_every_exit_code_is_on_the_page(code: int) -> None:
    assert f"\n| {code} | " in PAGE
