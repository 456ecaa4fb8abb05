"""Each `outlast …` that README and docs show is one that the command line takes.

Its words are parsed as the verb would parse them; nothing is run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from outlast.cli.main import outlast

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What stands for a value that the reader has.
VALUES = {"…": "x", "...": "x", "N": "1", "OFFSET": "0"}


def shown(page: Path) -> Iterator[str]:
    """Every command line on the page: lines of a code block, and `outlast …` within the text."""
    is_block = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            is_block = not is_block
        elif is_block or line.startswith("    "):
            found = re.match(r"\s*(?:\$ )?(?:\./x )?(outlast( .*)?)$", line)
            if found:
                yield re.split(r"\s{2,}|\s#|\s[|&>]", found[1])[0]
        else:
            yield from re.findall(r"`(?:\./x )?(outlast [^`]*)`", line)


LINES = sorted(
    {(page.name, line.strip()) for page in PAGES for line in shown(page)}
    - {("README.md", "outlast …")}
)


def test_there_are_commands_in_the_docs() -> None:
    assert len(LINES) > 40


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_that_is_shown_can_be_typed(page: str, line: str) -> None:
    words = [VALUES.get(word, word) for word in shlex.split(line.replace("[", "").replace("]", ""))]
    if words[1:] and words[1].isupper():  # `outlast VERB --help`
        words[1] = "ls"
    _parse(outlast, words[1:], page)


def _parse(command: click.Command, words: list[str], page: str) -> None:
    """Fails for what the command line wouldn't take; a verb that is only named is no order."""
    if not words or "--help" in words:
        return
    if isinstance(command, click.Group) and not words[0].startswith("-"):
        name, inner, rest = command.resolve_command(click.Context(command), words)
        assert inner is not None, f"{page}: there is no verb {name}"
        _parse(inner, rest, page)
        return
    try:
        context = command.make_context(command.name, list(words))
    except click.exceptions.Exit:  # --version
        return
    except click.UsageError as error:
        pytest.fail(f"{page}: {error.format_message()}")
    if isinstance(command, click.Group):
        _parse(command, context.args, page)
