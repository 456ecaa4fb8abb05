"""Which files of a source folder don't belong in its snapshot, and why.

Three kinds of reason: what is never taken (secrets, version control, environments, caches), what
the ignore files say (`.amlignore`, else `.gitignore`, also in folders below), and where Outlast
itself writes (`outputs/`, `logs/`). Names only, except for `pyvenv.cfg` and the ignore files
themselves; see snapshot.py for sizes and kinds of files.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from outlast.artifacts.inside import open_beneath
from outlast.errors import Invalid, NotFound

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

AML_IGNORE = ".amlignore"
GIT_IGNORE = ".gitignore"
MAX_IGNORE_FILE_BYTES = 1 << 20

# Folders and files that hold keys, tokens and passwords, whatever an ignore file says.
SECRETS = (
    ".env*",
    "*.env",
    ".netrc",
    "_netrc",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    ".aws",
    ".azure",
    ".ssh",
    ".gnupg",
    ".kube",
    ".docker",
    ".dockercfg",
    ".boto",
    ".s3cfg",
    ".pypirc",
    ".npmrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".databrickscfg",
    ".vault-token",
    ".git-credentials",
    ".kaggle",
    "kaggle.json",
    "kubeconfig",
    "*.kubeconfig",
    "client_secret*.json",
    "service[-_]account*.json",
    "application_default_credentials.json",
    "*.tfstate",
    "*.tfstate.*",
)
# The same for what only two names together tell.
SECRET_PATHS = (".config/gcloud", ".config/gh", ".huggingface/token", ".streamlit/secrets.toml")
VERSION_CONTROL = (".git", ".hg", ".svn", ".bzr")
CACHES = (
    "__pycache__",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".tox",
    ".nox",
)
WRITTEN_BY_RUNS = ("outputs", "logs")  # in the root only
SECRET = "may hold secrets"
OWN_FOLDER = "Outlast's own folder"
_WRITTEN = {name: f"runs write their {name} here" for name in WRITTEN_BY_RUNS}
# Nobody expects these in a snapshot.
OF_COURSE = frozenset(("version control", "cache", OWN_FOLDER, *_WRITTEN.values()))
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    # Case doesn't matter: an ID_RSA copied from another system is as secret.
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)


_SECRETS = _any_of(SECRETS)
# Keys of SSH: its own names with any ending, other names only without one: id_map.py is a module.
_SSH_KEY = re.compile(r"id_((rsa|dsa|ecdsa|ed25519|xmss).*|[^.]*)", re.IGNORECASE)


def never(names: tuple[str, ...], *, is_folder: bool) -> str | None:
    """Why this is never part of a snapshot, or None."""
    name = names[-1]
    if _SECRETS.fullmatch(name) or (_SSH_KEY.fullmatch(name) and not is_folder):
        return SECRET
    if "/".join(names[-2:]).lower() in SECRET_PATHS:
        return SECRET
    if name.lower() in VERSION_CONTROL:
        return "version control"
    if name in CACHES:
        return "cache"
    if len(names) == 1 and is_folder and name in WRITTEN_BY_RUNS:
        return _WRITTEN[name]
    return None


def is_environment(folder: int) -> bool:
    """Is this open folder a Python environment (venv or conda)?"""
    return any(os.access(mark, os.F_OK, dir_fd=folder) for mark in ENVIRONMENT_MARKS)


class IgnoreRules:
    """The ignore files of one tree, read as the walk comes to their folders."""

    def __init__(self, root: int) -> None:
        # One kind for the whole tree, as in Azure ML: an .amlignore replaces the .gitignore.
        self.file_name = AML_IGNORE if os.access(AML_IGNORE, os.F_OK, dir_fd=root) else GIT_IGNORE
        self._specs: dict[tuple[str, ...], GitIgnoreSpec] = {}

    def enter(self, names: tuple[str, ...], folder: int) -> None:
        """Read this folder's ignore file, if it has one. Raises Invalid for one that is wrong."""
        try:
            fd = open_beneath(folder, (self.file_name,))
        except NotFound:
            return
        where = "/".join((*names, self.file_name))
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(MAX_IGNORE_FILE_BYTES + 1)
        if len(text) > MAX_IGNORE_FILE_BYTES:
            raise Invalid.field("ignore file", where, "keep it under 1 MB")
        self._specs[names] = _compiled(text.splitlines(), where)

    def reason(self, names: tuple[str, ...], *, is_folder: bool) -> str | None:
        """Why an ignore file leaves this out, or None. The nearest file that says anything wins."""
        if not self._specs:
            return None
        for depth in range(len(names) - 1, -1, -1):
            spec = self._specs.get(names[:depth])
            if spec is None:
                continue
            verdict = spec.check_file("/".join(names[depth:]) + ("/" if is_folder else ""))
            if verdict.include is not None and verdict.index is not None:
                where = "/".join((*names[:depth], self.file_name))
                return f"ignored by {where}" if verdict.include else None
        return None


def _compiled(lines: list[str], where: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # 24 ms that only trees with an ignore file pay

    for number, line in enumerate(lines, start=1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError as error:
            raise Invalid.field(
                "ignore file", f"{where}:{number}: {line}", f"correct this pattern: {error}"
            ) from None
    return GitIgnoreSpec.from_lines(lines)
