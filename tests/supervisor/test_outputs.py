"""What a run made, what it didn't, and what is not whole."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import subprocess
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.run import events as ev
from outlast.run.folder import RunFolder
from outlast.run.manifest import Manifest
from outlast.run.spec import RunSpec
from outlast.supervisor import collect, inventory, outputs, whole
from tests.supervisor.conftest import PYTHON, Run


def problems(run: Run) -> list[tuple[str, str, bool]]:
    return [(p.path, p.problem, p.is_fatal) for p in run.of(ev.OutputProblem)]


def files(run: Run) -> dict[str, str]:
    return {entry["path"]: entry["origin"] for entry in run.manifest["files"]}


def test_outputs_are_hashed_into_a_manifest(run: Run) -> None:
    ended = run.shell(
        "mkdir -p outputs/deep; printf abc >outputs/deep/a; printf d >outputs/b"
    ).ended()
    manifest = Manifest.from_json((run.path / "manifest.json").read_bytes())
    assert ended.manifest == manifest.digest()
    assert [entry.path for entry in manifest.entries] == ["outputs/b", "outputs/deep/a"]
    first = manifest.entries[1]
    assert first.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert (first.size_bytes, first.origin) == (3, "outputs")
    assert first.source == str(run.working / "outputs/deep/a")


def test_many_files_are_hashed_right(run: Run) -> None:
    run.python(
        "import os; os.mkdir('outputs'); os.chdir('outputs')\n"
        "for i in range(300): open(f'{i}', 'w').write(str(i))"
    )
    run.ended()
    for entry in run.manifest["files"]:
        name = Path(entry["path"]).name
        assert entry["sha256"] == hashlib.sha256(name.encode()).hexdigest()
    assert len(run.manifest["files"]) == 300


def test_outputs_of_a_failed_run_are_collected_too(run: Run) -> None:
    ended = run.shell("mkdir outputs; echo x >outputs/checkpoint; exit 1").ended()
    assert ended.cause == "exit_code"
    assert list(files(run)) == ["outputs/checkpoint"]
    assert ended.manifest


def test_declared_outputs_and_uploads_keep_their_names(run: Run, tmp_path: Path) -> None:
    away = tmp_path / "away" / "model.bin"
    away.parent.mkdir()
    run.outputs("out.txt", str(away), "sub/../result")
    run.shell(f"echo 1 >out.txt; echo 2 >{away}; mkdir result; echo 3 >result/x; "
              'mkdir "$OUTLAST_RUN/uploads"; echo 4 >"$OUTLAST_RUN/uploads/fig"')  # fmt: skip
    assert run.ended().outcome == "completed"
    assert files(run) == {
        "out.txt": "declared",
        str(away).lstrip("/"): "declared",
        "result/x": "declared",
        "fig": "upload",
    }


def test_a_missing_declared_output_fails_the_run(run: Run) -> None:
    ended = run.outputs("out.txt").shell("exit 0").ended()
    assert (ended.outcome, ended.cause) == ("failed", "output_missing")
    assert "out.txt" in ended.message
    assert problems(run) == [("out.txt", "missing", True)]


@pytest.mark.parametrize(
    ("declared", "hint"),
    [
        ("Model.pt", "; there is model.pt, which differs in case"),
        ("m*.pt", "; it is taken as a"),
    ],
)
def test_a_missing_output_is_told_what_may_be_meant(run: Run, declared: str, hint: str) -> None:
    run.outputs(declared).shell("echo >model.pt").ended()
    (problem,) = run.of(ev.OutputProblem)
    assert hint in problem.message


def test_an_output_that_may_be_missing_may(run: Run) -> None:
    run.outputs({"path": "out.txt", "is_required": False})
    assert run.shell("exit 0").ended().outcome == "completed"
    assert problems(run) == []


def test_an_output_that_was_there_before_never_counts(run: Run) -> None:
    (run.working / "out.txt").write_text("old")
    ended = run.outputs("out.txt").shell("cat out.txt >/dev/null").ended()
    assert (ended.outcome, ended.cause) == ("failed", "output_foreign")
    assert problems(run) == [("out.txt", "foreign", True)]


def test_an_output_that_was_written_anew_counts(run: Run) -> None:
    (run.working / "out.txt").write_text("old")
    assert run.outputs("out.txt").shell("echo new >out.txt").ended().outcome == "completed"


def test_old_files_beside_new_ones_are_named_and_left_out(run: Run) -> None:
    (run.working / "outputs").mkdir()
    for name in ("old1", "old2"):
        (run.working / "outputs" / name).write_text("old")
    ended = run.shell("echo new >outputs/new").ended()
    assert ended.outcome == "completed"
    assert list(files(run)) == ["outputs/new"]
    assert run.manifest["foreign"] == ["outputs/old1", "outputs/old2"]
    assert problems(run) == [("outputs/old1", "foreign", False)]
    assert "1 more" in run.of(ev.OutputProblem)[0].message


def test_what_was_handed_over_surprises_nobody(run: Run) -> None:
    for name in ("output/given", "outputs/given/deep", "outputs/old"):
        (run.working / name).parent.mkdir(parents=True, exist_ok=True)
        (run.working / name).write_text("old")
    run.spec["parameters"] = {
        "inputs": {
            "one": {"run": "first", "folder": "output"},
            "two": {"run": "first", "folder": "outputs/given"},
            "three": {"path": "/elsewhere"},
        }
    }
    run.spec["outputs"] = [{"path": "output", "is_required": False}]
    assert run.shell("echo new >outputs/new").ended().outcome == "completed"
    assert list(files(run)) == ["outputs/new"]
    assert run.manifest["foreign"] == ["output/given", "outputs/given/deep", "outputs/old"]
    assert problems(run) == [("outputs/old", "foreign", False)]


def test_an_upload_of_an_output_is_that_output(run: Run) -> None:
    run.shell(
        "mkdir -p outputs $OUTLAST_RUN/uploads/outputs; for n in same other; do "
        "echo $n >outputs/$n; echo same >$OUTLAST_RUN/uploads/outputs/$n; done"
    ).ended()
    assert files(run) == {
        "outputs/same": "outputs", "outputs/other": "outputs", "uploads/outputs/other": "upload",
    }  # fmt: skip


def test_foreign_files_stay_foreign_after_a_takeover(run: Run) -> None:
    (run.working / "out.txt").write_text("old")
    run.outputs("out.txt").shell("while [ ! -e gate ]; do sleep 0.02; done")
    run.wait(ev.Started)
    os.kill(run.supervisor, 9)
    run.wait(ev.Supervised, count=2)
    (run.working / "gate").touch()
    assert run.ended().cause == "output_foreign"


def test_a_truncated_output_fails_the_run_and_is_named(run: Run) -> None:
    script = """
import os, zipfile
os.mkdir('outputs')
with zipfile.ZipFile('outputs/model.npz', 'w') as archive:
    archive.writestr('a.npy', 'x' * 1000)
os.truncate('outputs/model.npz', 500)
"""
    ended = run.python(script).ended()
    assert (ended.outcome, ended.cause) == ("failed", "output_damaged")
    assert "outputs/model.npz" in ended.message
    assert "truncated" in ended.message


def test_a_check_that_fails_fails_the_run(run: Run) -> None:
    run.outputs({"path": "out.txt", "check": ["grep", "-q", "good", "out.txt"]})
    ended = run.shell("echo bad >out.txt").ended()
    assert (ended.outcome, ended.cause) == ("failed", "output_damaged")
    assert "exit code 1" in ended.message


def test_a_check_that_passes(run: Run) -> None:
    run.outputs({"path": "out.txt", "check": ["sh", "-c", "echo checking; grep good out.txt"]})
    assert run.shell("echo good >out.txt").ended().outcome == "completed"
    assert run.output == "checking\ngood\n"


def test_a_check_leaves_nothing_behind_and_can_be_cut_short(run: Run) -> None:
    run.limits(storage_s=0.5)
    run.outputs({"path": "a", "check": ["sh", "-c", "sleep 600 & sleep 600"]})
    ended = run.shell("echo x >a").ended()
    assert "took longer than 0.5 s" in ended.message
    assert run.members() == []


def test_a_check_that_doesnt_exist_is_told(run: Run) -> None:
    run.outputs({"path": "a", "check": ["no-such-check"]})
    assert "no-such-check" in run.shell("echo x >a").ended().message


def test_a_cancel_while_outputs_are_read_is_heard(run: Run) -> None:
    run.outputs({"path": "a", "check": ["sh", "-c", "echo checking; exec sleep 600"]})
    run.shell("echo x >a")
    run.wait_output("checking")
    assert run.ask(op="status")["stage"] == "outputs"
    run.ask(op="stop")
    ended = run.ended(timeout_s=5)
    assert ended.outcome == "canceled"
    assert run.wait(ev.Exited).code == 0


@pytest.fixture
def deep(run: Run) -> Iterator[Run]:
    """A run whose outputs pytest's own clean-up couldn't descend."""
    yield run
    subprocess.run(["rm", "-rf", str(run.working / "outputs")], check=True)


def test_a_hostile_tree_neither_hangs_nor_escapes(deep: Run, tmp_path: Path) -> None:
    run = deep
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    script = f"""
import os, socket
os.mkdir('outputs'); os.chdir('outputs')
os.mkfifo('fifo')
os.symlink({str(secret)!r}, 'folder'); os.symlink({str(secret / "key")!r}, 'file')
os.symlink('/dev/zero', 'zero'); os.symlink('nowhere', 'broken'); os.symlink('loop', 'loop')
socket.socket(socket.AF_UNIX).bind('sock')
open('good', 'w').write('x'); os.symlink('good', 'latest')
open(b'n\\xffame', 'w').write('y')
open('line\\nbreak', 'w').write('z')
for _ in range(3000):
    os.mkdir('d'); os.chdir('d')
"""
    ended = run.python(script).ended()
    assert ended.outcome == "completed"
    assert {entry["path"] for entry in run.manifest["files"]} == {
        "outputs/good", "outputs/latest", "outputs/n\udcffame", "outputs/line\nbreak",
    }  # fmt: skip
    told = {path: fatal for path, problem, fatal in problems(run) if problem == "unreadable"}
    for name in ("fifo", "folder", "file", "zero", "broken", "loop", "sock"):
        assert told[f"outputs/{name}"] is False
    assert any(len(path) > 100 for path in told)
    assert run.log == ""


def test_outputs_that_become_a_link_lead_nowhere(run: Run) -> None:
    ended = run.outputs("out.txt").shell("ln -s /etc outputs; ln -s /etc/passwd out.txt").ended()
    assert ended.outcome == "failed"
    assert ("out.txt", "unreadable", True) in problems(run)
    assert not (run.path / "manifest.json").exists()


def test_outputs_that_were_a_link_before_are_the_users_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (run.working / "outputs").symlink_to(tmp_path / "scratch")
    assert run.shell("echo 1 >outputs/a").ended().outcome == "completed"
    assert list(files(run)) == ["outputs/a"]


@pytest.mark.parametrize("output", ["/", "/proc", "/proc/self", "../runs", ".."])
def test_an_output_that_holds_the_workspace_or_has_no_end_is_refused(run: Run, output: str) -> None:
    run.outputs(output)
    ended = run.shell("touch ran").ended(timeout_s=5)
    assert (ended.outcome, ended.cause) == ("failed", "start_failed")
    assert "name the folder that the run writes" in ended.message
    assert not (run.working / "ran").exists()


def test_outputs_that_become_a_link_to_everything_are_refused(run: Run) -> None:
    (run.working / "outputs").symlink_to("/")
    assert "holds the workspace" in run.shell("exit 0").ended(timeout_s=5).message


def test_a_declared_folder_that_becomes_a_link_to_the_workspace_is_refused(run: Run) -> None:
    ended = run.outputs("made").shell(f"ln -s {run.path.parent} made").ended(timeout_s=5)
    assert (ended.outcome, ended.cause) == ("failed", "output_damaged")
    assert problems(run) == [("made", "unreadable", True)]


def test_outputs_within_outputs_are_each_judged_and_stored_once(run: Run) -> None:
    run.outputs("outputs", "outputs/deep", "outputs/deep/a", "outputs/deep/b")
    ended = run.shell("mkdir -p outputs/deep; echo x >outputs/deep/a").ended()
    assert ended.cause == "output_missing"
    assert files(run) == {"outputs/deep/a": "declared"}
    assert problems(run) == [("outputs/deep/b", "missing", True)]


def test_a_thousand_problems_are_told_in_a_few(run: Run) -> None:
    run.outputs(*[f"f{n}" for n in range(1000)])
    run.shell("exit 0").ended()
    told = problems(run)
    assert len(told) == 21
    assert run.of(ev.OutputProblem)[-1].message == "980 more files have the same problem"


def test_more_new_files_than_can_be_kept_are_named_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "MAX_COLLECTED", 10)
    (tmp_path / "many").mkdir()
    for n in range(12):
        (tmp_path / "many" / f"f{n}").touch()
    (tmp_path / "one").touch()
    found = collected(tmp_path, "many", "one")
    assert [entry.path for entry in found.entries] == ["one"]
    assert [(p.path, p.problem, p.is_fatal) for p in found.problems] == [("many", "too_many", True)]


def test_more_old_files_than_can_be_remembered_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "MAX_FILES", 3)
    (tmp_path / "many").mkdir()
    for n in range(4):
        (tmp_path / "many" / f"f{n}").touch()
    before = inventory.take(made_places(tmp_path, "many"), folder_of(tmp_path))
    assert "files are there already" in before.refusal()
    assert str(tmp_path / "many") in before.refusal()


def test_an_inventory_is_read_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for n in range(1000):
        (tmp_path / "many" / f"f{n}").write_text(str(n))
    places = made_places(tmp_path, "many")
    folder = folder_of(tmp_path)
    inventory.save(folder, 2, inventory.take(places, folder))
    assert inventory.load(folder, 1) is None
    before = inventory.load(folder, 2)
    assert before is not None
    assert len(before.files) == 1000
    (tmp_path / "many" / "f7").write_text("anew")
    held = {
        item.name: before.holds(item.signature)
        for item in outputs.walk(places[0], places[0].path, str(tmp_path), folder.path)
        if item.signature is not None
    }
    assert len(held) == 1000
    assert [name for name, is_held in held.items() if not is_held] == ["many/f7"]


def test_an_inventory_that_was_cut_is_none(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    folder = folder_of(tmp_path)
    inventory.save(folder, 1, inventory.take(made_places(tmp_path, "old"), folder))
    whole_bytes = Path(folder.file(inventory.INVENTORY)).read_bytes()
    for size in range(len(whole_bytes)):
        Path(folder.file(inventory.INVENTORY)).write_bytes(whole_bytes[:size])
        assert inventory.load(folder, 1) is None


def test_an_inventory_of_many_files_costs_few_bytes_each(tmp_path: Path) -> None:
    held = inventory.Signatures()
    tracemalloc.start()
    try:
        for n in range(100_000):
            held.add(outputs.Signature(1, n, 2 * n, 3 * n, 4 * n))
        assert outputs.Signature(1, 7, 14, 21, 28) in held
        assert outputs.Signature(1, 7, 14, 21, 29) not in held
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def folder_of(home: Path) -> RunFolder:
    folder = home / "home" / "runs" / "run1"
    folder.mkdir(parents=True, exist_ok=True)
    return RunFolder(str(folder))


def made_places(working: Path, *names: str) -> list[outputs.Place]:
    spec = RunSpec.from_dict({"id": "run1", "outputs": list(names)})
    return outputs.places(spec, folder_of(working), str(working))


def collected(working: Path, *names: str) -> collect.Collected:
    folder = folder_of(working)
    places = made_places(working, *names)
    before = inventory.nothing()
    return collect.Collector(places, before, str(working), folder.path, None, 1.0).collect()


def test_an_unreadable_output_is_told(run: Run) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    ended = run.shell("mkdir outputs; echo x >outputs/a; chmod 0 outputs/a").ended()
    assert ended.outcome == "failed"


# --- whole ---


def damage(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return whole.damage(fd, path.name)
    finally:
        os.close(fd)


def samples(folder: Path) -> list[Path]:
    """A small whole file of every format."""
    np = pytest.importorskip("numpy")
    made = []

    def keep(name: str, data: bytes) -> None:
        (folder / name).write_bytes(data)
        made.append(folder / name)

    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("one", "x" * 100)
        archive.writestr("two", "y" * 100)
    made.append(folder / "a.zip")
    (folder / "a.pt").write_bytes((folder / "a.zip").read_bytes())
    made.append(folder / "a.pt")
    np.savez(folder / "a.npz", x=np.arange(50), y=np.ones((3, 3)))
    np.save(folder / "a.npy", np.arange(100, dtype="f4").reshape(10, 10))
    np.save(folder / "b.npy", np.array(["text", "more"]))
    made += [folder / "a.npz", folder / "a.npy", folder / "b.npy"]
    keep("a.parquet", b"PAR1" + b"data" * 10 + b"footer" + struct.pack("<I", 6) + b"PAR1")
    keep("a.json.gz", gzip.compress(b'{"a": 1}' * 100))
    keep("b.gz", gzip.compress(b"one") + gzip.compress(b"two") + b"\0" * 512)
    keep("a.json", b'{"a": [1, 2, {"b": "text"}]}\n')
    keep("a.png", b"\x89PNG\r\n\x1a\n" + b"x" * 50 + b"\0\0\0\0IEND\xaeB`\x82")
    eof = 200
    superblock = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + b"\0" * 8
    superblock += struct.pack("<QQQ", 0, 2**64 - 1, eof)
    keep("a.h5", superblock.ljust(eof, b"\0"))
    superblock = b"\x89HDF\r\n\x1a\n" + bytes([3, 8, 8, 0]) + struct.pack("<QQQ", 0, 2**64 - 1, eof)
    keep("b.hdf5", superblock.ljust(eof, b"\0"))
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"__metadata__":{"a":"b"}}'
    keep("a.safetensors", struct.pack("<Q", len(header)) + header + b"\0" * 16)
    return made


def test_whole_files_pass(tmp_path: Path) -> None:
    for path in samples(tmp_path):
        assert damage(path) == "", path.name


def test_a_file_cut_anywhere_is_found(tmp_path: Path) -> None:
    for path in samples(tmp_path):
        data = path.read_bytes()
        padding = len(data) - len(data.rstrip(b"\0\n")) if path.suffix in (".gz", ".json") else 0
        for size in range(0, len(data) - padding, 3):
            if path.name == "b.gz" and size == len(gzip.compress(b"one")):
                continue  # cut between two members: whole by all that it tells
            path.write_bytes(data[:size])
            if path.suffix == ".pt" and size < 2:
                continue  # nothing says yet that it is an archive
            assert damage(path), f"{path.name} cut at {size} of {len(data)} passes"


def test_a_torch_file_as_torch_writes_it_passes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a": 1}, tmp_path / "a.pt")
    assert damage(tmp_path / "a.pt") == ""


def test_what_isnt_known_passes(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"")
    assert damage(tmp_path / "a.xyz") == ""


def test_rubbish_never_raises(tmp_path: Path) -> None:
    for path in samples(tmp_path):
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
            damage(path)


def test_a_gzip_bomb_costs_bounded_memory(tmp_path: Path) -> None:
    script = f"""
import gzip, os, sys
sys.path.insert(0, {str(Path(whole.__file__).parents[2])!r})
from outlast.supervisor import whole
with gzip.open('a.gz', 'wb', compresslevel=1) as file:
    for _ in range(600):
        file.write(bytes(1 << 20))
fd = os.open('a.gz', os.O_RDONLY)
assert whole.damage(fd, 'a.gz') == ''
peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]
assert int(peak) < 60_000, peak
"""
    assert (
        os.spawnve(
            os.P_WAIT,
            PYTHON,
            [PYTHON, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{script}"],
            {},
        )
        == 0
    )
