"""The entry: what it loads, how it helps, and how it says that something is wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import __version__
from outlast.cli.main import COMMANDS, main
from tests.cli.terminal import COMMAND, Piped
from tests.sdk.place import Place

# What nobody pays for who only lists runs.
SLOW = {
    "rich", "numpy", "pandas", "sqlalchemy", "asyncio", "fastapi", "msgspec", "logging",
    "argparse", "dataclasses", "subprocess", "tempfile", "difflib", "csv", "matplotlib",
}  # fmt: skip


def loaded_by(place: Place, *arguments: str) -> set[str]:
    code = (
        "import sys\nfrom outlast.__main__ import main\n"
        f"sys.argv = ['outlast', *{arguments!r}]\nmain()\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"OUTLAST_HOME": str(place.home), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return set(done.stderr.split())


def test_a_version_costs_next_to_nothing(place: Place) -> None:
    assert (
        len(loaded_by(place, "--version") - bare()) <= 30
    )  # `typing`, which the package itself needs


@pytest.mark.parametrize("arguments", [("--help",), ("ls", "--help")])
def test_help_loads_few_modules(place: Place, arguments: tuple[str, ...]) -> None:
    loaded = loaded_by(place, *arguments)
    assert not loaded & SLOW
    assert len(loaded - bare()) <= 110


def test_a_list_loads_no_more_than_click_http_and_json_need(place: Place) -> None:
    loaded = loaded_by(place, "ls", "--json")
    assert not loaded & (SLOW - {"dataclasses"})  # h11 is made of them
    own = {name for name in loaded if name.startswith("outlast")}
    assert len(own) <= 35
    # click and h11 alone are 92 beyond a bare interpreter, with json.
    assert len(loaded - bare() - own) <= 100


def bare() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_both_ways_of_calling_it_say_the_version(cli: Piped) -> None:
    script = Path(sys.executable).with_name("outlast")
    called = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert called.stdout == cli("--version").out == f"outlast {__version__}\n"


def test_help_names_every_verb_with_its_first_line(cli: Piped) -> None:
    done = cli("--help")
    assert done.code == 0
    for path in COMMANDS.glob("[a-z]*.py"):
        first = path.read_text().split("\n")[0].strip('"').rstrip(".")
        assert f"  {path.stem.replace('_', '-')} " in done.out
        assert " ".join(first.split()) in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize(
    "verb", sorted(path.stem.replace("_", "-") for path in COMMANDS.glob("[a-z]*.py"))
)
def test_every_verb_has_help_within_80_columns(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: outlast {verb}")
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lss"], 2, "error: No such command 'lss'. Did you mean 'ls'?\n  try: outlast --help\n"),
        (["ls", "--nope"], 2, None),
        (["run"], 2, "error: Missing argument '-- COMMAND...'.\n  try: outlast run --help\n"),
        (["run", "--max-time", "soon", "--", "true"], 2,
         "error: Invalid value for '--max-time': 'soon': give seconds, or a duration like "
         '"90s", "2h30m" or "3d"\n  try: outlast run --help\n'),
        (["run", "--memory", "x", "--", "true"], 2,
         "error: Invalid value for '--memory': 'x': give bytes, or a size like \"500MB\", "
         '"1.5GB" or "2GiB"\n  try: outlast run --help\n'),
        (["run", "--tag", "x", "--", "true"], 2,
         "error: Invalid value for '--tag': 'x': give NAME=VALUE\n  try: outlast run --help\n"),
        (["run", "--check", "true", "--", "true"], 2,
         "error: --check CMD belongs after the --output PATH that it checks\n"
         "  try: outlast run --help\n"),
        (["run", "--cpus", "9999", "--", "true"], 2, None),
        (["why", "zzzz"], 5, "error: there is no run 'zzzz'\n  try: outlast ls\n"),
        (["ls", "--where", "metrics.loss <"], 2, None),
        (["ls", "--status", "Done"], 2, None),
        (["rm", "-y", "zzzz"], 5, None),
        (["metrics", "zzzz"], 5, None),
        (["run", "--cwd", "/no/such", "--", "true"], 2,
         "error: folder = '/no/such': there is no such folder\n"),
    ],
)  # fmt: skip
def test_a_mistake_is_two_lines_and_never_a_traceback(
    cli: Piped, arguments: list[str], code: int, message: str | None
) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.err
    if message is not None:
        assert done.err == message


def test_an_unknown_setting_in_the_environment_is_named(cli: Piped) -> None:
    done = cli("ls", OUTLAST_PROT="1")
    assert done.code == 2
    assert "OUTLAST_PROT" in done.err
    assert "OUTLAST_PORT" in done.err


def test_a_disk_that_refuses_is_told_in_one_line(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli("run", "--", "sh", "-c", "mkdir outputs; echo 1 > outputs/a").code == 0
    done = cli("outputs", "download", "@last", str(tmp_path / "file" / "x"))
    assert done.code == 1
    assert done.err == f"error: {tmp_path / 'file' / 'x'}: Not a directory\n"


def test_debug_shows_where_an_error_came_from(cli: Piped) -> None:
    assert "Traceback" in cli("why", "zzzz", OUTLAST_DEBUG="1").err


def test_a_closed_pipe_is_quiet(cli: Piped) -> None:
    with cli.popen("--help") as client:
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdout.close()
        assert client.stderr.read() == b""
        assert client.wait(20) == 141


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_changes_nothing(cli: Piped, closed: str) -> None:
    line = f"exec {shlex.join(COMMAND)} run -- sh -c 'exit 3' {closed}"
    done = subprocess.run(["sh", "-c", line], env=cli.environ, capture_output=True, timeout=40)
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr


def test_a_full_disk_behind_stdout_is_told_in_one_line_and_the_run_goes_on(cli: Piped) -> None:
    line = f"exec {shlex.join(COMMAND)} run -- sh -c 'echo x; exit 3' >/dev/full"
    done = subprocess.run(["sh", "-c", line], env=cli.environ, capture_output=True, timeout=40)
    told, error = done.stderr.decode().splitlines()
    assert told.endswith("goes on")
    assert error == "error: stdout: No space left on device"
    assert done.returncode == 1
    assert cli("wait", "@last").code == 3


def test_a_folder_that_is_gone_is_named(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = f"cd gone && rmdir ../gone && exec {shlex.join(COMMAND)} run -- true"
    done = subprocess.run(["sh", "-c", line], env=cli.environ, capture_output=True, timeout=40)
    assert done.returncode == 1
    assert done.stderr == (
        b"error: the current folder was deleted: No such file or directory\n  try: cd ..\n"
    )


def test_another_workspace_may_be_named(cli: Piped, tmp_path: Path) -> None:
    done = cli("--home", str(tmp_path / "other"), "status", OUTLAST_URL="http://127.0.0.1:9")
    assert done.code == 69
    assert str(tmp_path / "other") in done.out
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_complete(cli: Piped, shell: str) -> None:
    script = cli("completion", shell)
    assert script.code == 0
    assert "_OUTLAST_COMPLETE" in script.out
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=script.out.encode(), capture_output=True)
        assert checked.returncode == 0
    words = {"COMP_WORDS": "outlast su", "COMP_CWORD": "1"}
    if shell == "fish":
        words["COMP_CWORD"] = "su"
    answer = cli(_OUTLAST_COMPLETE=f"{shell}_complete", **words)
    assert "submit" in answer.out
    assert "status" not in answer.out
