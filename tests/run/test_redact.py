"""What is kept and shown of a command line holds no secret, and stays readable."""

from __future__ import annotations

import pytest

from outlast.run import redact

PROGRAM = "/home/ada/environments/9f86d081884c7d659a2feaa0c55ad015/bin/python"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["a", "--password", "two words"], ["a", "--password", "***"]),
        (["a", "--lr", "0.1", "--api-key=k"], ["a", "--lr", "0.1", "--api-key=***"]),
        (["a", "AUTH_TOKEN=two words"], ["a", "AUTH_TOKEN=***"]),
        (["sh", "-c", "a --password x1 --lr 1"], ["sh", "-c", "a --password *** --lr 1"]),
        (["sh", "-c", "export API_KEY='k'; a"], ["sh", "-c", "export API_KEY='***'; a"]),
        (["sh", "-c", "a --token=$T | b"], ["sh", "-c", "a --token=$T | b"]),
        (["sh", "-c", "curl https://u:p@h/x"], ["sh", "-c", "curl https://***@h/x"]),
        (["python", "-c", "token = get()\nx = 1"], ["python", "-c", "token = get()\nx = 1"]),
        (["a", "hf_abcdefghijklmnopqrstuv"], ["a", "***"]),
        ([PROGRAM, "a", PROGRAM], [PROGRAM, "a", "***"]),
        (["/hf_abcdefghijklmnopqrstuv"], ["/***"]),
        (["echo", "one two"], ["echo", "one two"]),
    ],
)
def test_a_command_line(given: list[str], shown: list[str]) -> None:
    assert redact.command(given) == shown
