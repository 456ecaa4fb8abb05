"""Secrets are starred out before anything is written down.

A name that sounds like a secret, a value with a known prefix, or a long random-looking value after
`--option` or `NAME=` counts as one. The real values only ever stand in launch.json (0600), which
goes when the run is over.
"""

from __future__ import annotations

import math
import re
from typing import Dict, List, Mapping, Optional, Sequence

STARS = "***"

# Names of variables whose values may be shown and kept: an allow-list (SAFETY 23).
SHOWN_VARIABLES = frozenset(
    (
        "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL",
        "LD_LIBRARY_PATH", "LOGNAME", "MKL_NUM_THREADS", "NODE_RANK", "OMP_NUM_THREADS", "PATH",
        "PWD", "PYTHONHASHSEED", "PYTHONPATH", "PYTHONUNBUFFERED", "RANK", "SHELL", "TERM",
        "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "WORLD_SIZE",
    )
)  # fmt: skip

_NAME = re.compile(
    r"(?i)(?:^|[_\-.])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|auth|"
    r"private[_-]?key|credentials?|sas|conn(?:ection)?[_-]?str(?:ing)?|account[_-]?key|cookie|bearer|pat)(?:$|[_\-.])"
)
_VALUE = re.compile(
    r"(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}|"
    r"hf_[A-Za-z0-9]{20,}|sk-[\w-]{16,}|xox[abposr]-[\w-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|"
    r"AIza[\w-]{30,}|ya29\.[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|SG\.[\w-]{16,}\.[\w-]{16,}|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|dapi[a-f0-9]{32}|dckr_pat_[\w-]{20,}|rk_live_\w{16,}|"
    r"(?:AccountKey|SharedAccessSignature|sig)=[\w%+/=-]{16,}"
)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_ASSIGNED = re.compile(r"^(--?)?([A-Za-z][\w.-]*)=(.+)$", re.S)
_SPACE = re.compile(r"(\s+)")
# Not `$TOKEN`, `os.environ[...]` or `get_token()`: those are where a secret comes from.
_LITERAL = re.compile(r"['\"]?[^\s$(\['\"-][^\s$(\[]*$")
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{24,}")


def is_secret_name(name: str) -> bool:
    """Does this name of a variable, option or field sound like a secret?"""
    return bool(_NAME.search(name))


def looks_secret(value: str) -> bool:
    """Does this value look like a credential, whatever its name?"""
    return bool(_VALUE.search(value)) or (bool(_RANDOM.fullmatch(value)) and _bits(value) > 4.0)


def _bits(value: str) -> float:
    """Shannon entropy per character: random base64 of 32 characters has 4.4, a path 3.5."""
    counts = [value.count(char) / len(value) for char in set(value)]
    has_mix = any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
    return -sum(share * math.log2(share) for share in counts) if has_mix else 0.0


def text(value: str) -> str:
    """Any text, with known credentials and the user part of URLs starred out."""
    return _USERINFO.sub(STARS + "@", _VALUE.sub(STARS, value))


def command(arguments: Sequence[str]) -> List[str]:
    """A command line as it may be shown and kept."""
    shown: List[str] = []
    is_next_secret = False
    for index, argument in enumerate(arguments):
        if is_next_secret and not argument.startswith("-"):
            shown.append(STARS)
            is_next_secret = False
            continue
        is_next_secret = (
            argument.startswith("-") and "=" not in argument and is_secret_name(argument)
        )
        assigned = _ASSIGNED.match(argument)
        if assigned and (is_secret_name(assigned[2]) or looks_secret(assigned[3])):
            shown.append(f"{assigned[1] or ''}{assigned[2]}={STARS}")
        # The first word is a program; its path may hold a digest, as an environment's does.
        elif looks_secret(argument) and (index or not argument.startswith("/")):
            shown.append(text(argument) if _SPACE.search(argument) else STARS)
        else:
            shown.append(text(argument))
    return [_script(argument) if _SPACE.search(argument) else argument for argument in shown]


def _script(argument: str) -> str:
    """An argument that is a command line itself, as of `sh -c`: its words, one by one."""
    shown = ""
    is_next_secret = False
    for word in _SPACE.split(argument):
        assigned = _ASSIGNED.match(word)
        is_here = assigned is not None and is_secret_name(assigned[2])
        value = assigned[3] if assigned is not None and is_here else word
        if (is_here or is_next_secret) and _LITERAL.match(value):
            bare = value.strip("'\";)")
            word = word[: len(word) - len(value)] + value.replace(bare, STARS)
        if word.strip():
            is_next_secret = word.startswith("-") and "=" not in word and is_secret_name(word)
        shown += word
    return shown


def variables(environ: Mapping[str, str]) -> Dict[str, Optional[str]]:
    """Variables as they may be kept: None (set, not shown) for all but the allow-list."""
    return {
        name: text(value) if name in SHOWN_VARIABLES and not looks_secret(value) else None
        for name, value in environ.items()
    }
