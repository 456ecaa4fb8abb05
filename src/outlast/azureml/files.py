"""The calls of a Run about its files: handed over, listed, fetched.

A file is named as the run's manifest names it, as `outputs/model.pkl`. What the run prints is the
file `user_logs/std_log.txt`, as in Azure ML.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any, Callable, Dict, List, Optional, Sequence

from outlast.azureml.exceptions import UserErrorException, translated
from outlast.azureml.source import RunSource
from outlast.run.folder import MANIFEST, UPLOADS
from outlast.runtime.uploads import files_below

STD_LOG = "user_logs/std_log.txt"
SHELL = ("bash", "-c")  # what a command line that needs one is given to


class OutputFolder:
    """A folder of what a run put out, as `run.get_output_data("outputs")`; an input of another."""

    def __init__(self, run: FileCalls, folder: str) -> None:
        self.run = run
        self.folder = folder.strip("/")

    def __repr__(self) -> str:
        return f"<{self.folder}/ of run {self.run.id}>"

    @property
    def files(self) -> List[str]:
        """The names of its files. Raises UserErrorException when the run has none there."""
        names = self.run.get_file_names()
        found = [name for name in names if name.startswith(self.folder + "/")]
        if not found:
            there = sorted({name.split("/")[0] for name in names}) or ["nothing"]
            raise UserErrorException(
                f"run {self.run.id} put out no folder {self.folder!r}; it has {', '.join(there)}"
            )
        return found

    def _place(self) -> str:
        """Where it lies on this machine: in the working folder of the run that made it."""
        folder, names = self.run._folder(), set(self.files)
        if folder is not None:
            with open(folder.file(MANIFEST), encoding="utf-8") as file:
                entries = json.load(file)["files"]
            for entry in entries:
                if entry["path"] in names:
                    return str(entry["source"])[: -len(entry["path"][len(self.folder) :])]
        raise UserErrorException(f"{self!r} isn't on this machine; download it, and give its path")

    def download(self, local_path: str = ".", overwrite: bool = True) -> int:
        """Fetch its files to local_path/FOLDER/…; returns their number."""
        names = self.files
        for name in names:
            self.run.download_file(name, os.path.join(local_path, name))
        return len(names)


def zipped(fetch: Callable[[str], Any], target: str) -> None:
    """What `fetch` brings into a folder, as the ZIP file `target`: whole, or not there."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix=".fetch-") as place:
        files = os.path.join(place, "files")
        os.mkdir(files)
        fetch(files)
        os.replace(shutil.make_archive(os.path.join(place, "made"), "zip", files), target)


class FileCalls(RunSource):
    """Uploads go through the run's own folder, downloads through the server."""

    def upload_file(
        self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None
    ) -> None:
        """Keep a copy of the file as `name`, at once. A name that exists is an error."""
        with translated():
            self._writer().upload_file(name, path_or_stream)

    def upload_files(
        self, names: Sequence[str], paths: Sequence[str], return_artifacts: bool = False,
        timeout_seconds: Optional[float] = None, datastore_name: Optional[str] = None,
    ) -> Optional[Dict[str, Any]]:  # fmt: skip
        """Keep several files, names[i] for paths[i]."""
        with translated():
            self._writer().upload_files(names, paths)
        return dict(zip(names, paths)) if return_artifacts else None

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Keep every file below the folder as `name/…`."""
        with translated():
            self._writer().upload_folder(name, path)

    def get_file_names(self) -> List[str]:
        """The names of the run's files: what was handed over so far, after its end all of them."""
        folder = self._folder()
        if folder is None or self._is_over():
            handle = self._handle()
            names = [str(entry["path"]) for entry in handle.outputs]
            is_job = handle.fetch()["kind"] == "command"
        else:
            root = folder.file(UPLOADS)
            names = [os.path.relpath(path, root) for path in files_below(root)]
            names = [name for name in names if ".part-" not in name]
            is_job = os.path.exists(folder.file("output"))
        return sorted([*names, STD_LOG] if is_job else names)

    def download_file(self, name: str, output_file_path: Optional[str] = None) -> None:
        """Fetch one file, to its own name here or to `output_file_path` (a file or folder).

        Raises UserErrorException when the run has no such file; nothing is written then.
        """
        target = os.path.abspath(output_file_path or os.path.basename(name))
        if os.path.isdir(target) or (output_file_path or "").endswith("/"):
            target = os.path.join(target, os.path.basename(name))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Beside the target, so that the last step is a rename: never half a file.
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix=".fetch-") as place:
            os.replace(self._fetched(name, place), target)

    def _fetched(self, name: str, place: str) -> str:
        fetched = os.path.join(place, "file")
        folder = self._folder()
        if name == STD_LOG:
            with open(fetched, "wb") as file:
                for piece in self._handle().output_so_far():
                    file.write(piece.data)
            return fetched
        if name not in self.get_file_names():
            raise UserErrorException(f"run {self.id} has no file {name!r}; see get_file_names()")
        if folder is not None and not self._is_over():
            shutil.copyfile(os.path.join(folder.file(UPLOADS), name), fetched)
            return fetched
        with translated():
            self._handle().download(place, prefix=name)
        return os.path.join(place, name)

    def download_files(
        self, prefix: Optional[str] = None, output_directory: Optional[str] = None,
        output_paths: Optional[Sequence[str]] = None, batch_size: int = 100,
        append_prefix: bool = True, timeout_seconds: Optional[float] = None,
    ) -> None:  # fmt: skip
        """Fetch every file whose name begins with `prefix`, keeping their folders.

        `output_paths` names each target instead; without `append_prefix` the prefix is left out.
        """
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            raise UserErrorException(
                f"output_paths: give {len(names)}, one for each file, not {len(output_paths)}"
            )
        for index, name in enumerate(names):
            short = name if append_prefix else name[len(prefix or "") :].lstrip("/")
            place = output_paths[index] if output_paths is not None else short
            self.download_file(name, os.path.join(output_directory or ".", place))

    def get_all_logs(self, destination: Optional[str] = None) -> List[str]:
        """Fetch what the run printed to the folder `destination`; returns the paths."""
        target = os.path.join(destination or tempfile.mkdtemp(), STD_LOG)
        self.download_file(STD_LOG, target)
        return [target]

    def get_output_data(self, name: str) -> OutputFolder:
        """That folder of the run's outputs: fetch it, or give it to another run as an input."""
        return OutputFolder(self, name)
