"""python -I outlast/runtime/inputs.py FOLDER -- COMMAND…

Brings the inputs of the run in FOLDER, makes the folders that are delivered at its end, and becomes
the command (the same process). Words and variables of the command may name them: `${{inputs.NAME}}`
and `${{outputs.NAME}}`; the variables NAME and AZUREML_DATAREFERENCE_NAME hold the same. An input
that can't be brought fails the run, and the command is never started.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any, Dict, List, Mapping, Tuple

if __name__ == "__main__":  # as a program of the kit; -I leaves its own folder out of the path
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from outlast.data import bring
from outlast.data.bring import Brought
from outlast.errors import OutlastError
from outlast.run import logged
from outlast.run.folder import SPEC, RunFolder
from outlast.runtime.recorder import Recorder

FAILED, UNUSABLE = 1, 2
CODE = "input"  # of the script's word that it failed
_PLACE = re.compile(r"\$\{\{ *(inputs|outputs)\.(\w+) *\}\}")
PROPERTY = "input."


def main(arguments: List[str]) -> int:
    """Bring them; returns only when the command can't be started."""
    if len(arguments) < 3 or arguments[1] != "--":
        print(f"usage: {(__doc__ or '').splitlines()[0]}", file=sys.stderr)
        return UNUSABLE
    folder, words = RunFolder(arguments[0]), arguments[2:]
    work = os.getcwd()
    try:
        with open(folder.file(SPEC), encoding="utf-8") as file:
            spec = json.load(file)
        brought = bring.bring(folder, spec["inputs"], work, lambda text: None)
        _note(folder, brought)
        places = _places(spec, brought, work)
    except (OutlastError, OSError, KeyError) as error:
        return _failed(folder, error)
    for one in brought:
        if one.has_changed:
            print(f"outlast: input {one.name}{bring.changed_words(one)}", flush=True)
    words = [_filled(word, places) for word in words]
    environ = variables(os.environ, places)
    # Unbuffered output of this process must not come after the command's.
    sys.stdout.flush()
    try:
        os.execvpe(words[0], words, environ)
    except OSError as error:
        print(f"outlast: {words[0]} can't be started: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


def _places(
    spec: Mapping[str, Any], brought: List[Brought], work: str
) -> Dict[Tuple[str, str], str]:
    """What `inputs.NAME` and `outputs.NAME` stand for: a path, or the id of what isn't brought."""
    places = {("inputs", one.name): one.path or one.id for one in brought}
    for name, given in spec["deliveries"].items():
        place = os.path.join(work, given["folder"])
        os.makedirs(place, exist_ok=True)
        places["outputs", name] = place
    return places


def _filled(word: str, places: Mapping[Tuple[str, str], str]) -> str:
    return _PLACE.sub(lambda found: places.get((found[1], found[2]), found[0]), word)


def variables(environ: Mapping[str, str], places: Mapping[Tuple[str, str], str]) -> Dict[str, str]:
    """The command's variables; none that is there is replaced by a place."""
    filled = {name: _filled(value, places) for name, value in environ.items()}
    for (_, name), place in places.items():
        filled.setdefault(name, place)
        filled.setdefault("AZUREML_DATAREFERENCE_" + name, place)
    return filled


def _note(folder: RunFolder, brought: List[Brought]) -> None:
    """What was read, among the run's properties: its lineage."""
    recorder = Recorder(folder)
    for one in brought:
        what = f"{one.dataset}:{one.version}" if one.dataset else one.run and f"run {one.run}"
        text = " ".join(filter(None, (what, f"sha256:{one.digest}", _changed(one))))
        recorder.record(
            {"k": logged.PROPERTY, "t": time.time_ns(), "n": PROPERTY + one.name, "v": text}
        )
    recorder.sync()


def _changed(one: Brought) -> str:
    return "(changed since it was registered)" if one.has_changed else ""


def _failed(folder: RunFolder, error: Exception) -> int:
    message = (
        error.message if isinstance(error, OutlastError) else f"{type(error).__name__}: {error}"
    )
    hint = getattr(error, "hint", None)
    print(f"outlast: {message}" + (f"\n  try: {hint}" if hint else ""), file=sys.stderr)
    recorder = Recorder(folder)
    said = {"how": "fail", "message": message, "facts": {"code": CODE}}
    recorder.record({"k": logged.END, "t": time.time_ns(), **said})
    recorder.sync()
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
