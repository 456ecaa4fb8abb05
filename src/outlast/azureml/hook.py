"""The import hook: `azureml` and what is below it are served from `outlast.azureml`.

A served module holds no code: a name is looked up in `names` when it is first asked for, so
`import azureml.core` costs next to nothing. A really installed azureml-core is never hidden unless
OUTLAST_AZUREML=outlast says so; with OUTLAST_AZUREML=installed it is used. In a job, whose search
path begins with the kit, `stand_in` decides by the same rule, and without a choice the installed
one is used: a job must not fail for having it.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, List, Optional, Sequence

from outlast.azureml.names import MODULES, load, why_absent
from outlast.errors import Conflict, Invalid

CHOICE = "OUTLAST_AZUREML"
SERVED = "azureml"
PATH = "PYTHONPATH"
_HERE = os.path.dirname(os.path.abspath(__file__))
# What a script starts finds a stand-in here; a process of multiprocessing doesn't inherit the hook.
CHILDREN = os.path.join(_HERE, "children")
_PREFIX = __name__.rpartition(".")[0]


# What asks a server; the kit, in an environment without Outlast, has only the run's side.
_OUTSIDE = ("outlast.sdk", "outlast.sweeps")


class _Finder(MetaPathFinder):
    """Finds the modules of the table, as `azureml.core` and as `outlast.azureml.core`."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Any = None
    ) -> Optional[ModuleSpec]:
        if fullname in _OUTSIDE and PathFinder.find_spec(fullname, path) is None:
            raise _bare()
        name = _served_name(fullname)
        if name is None:
            return None
        if name not in MODULES:
            if fullname.startswith(_PREFIX):
                return None
            raise ModuleNotFoundError(
                f"Outlast serves no module {name!r}: {why_absent(name)}",
                name=fullname,
            )
        return ModuleSpec(fullname, _Loader(name), is_package=True)


class _Loader(Loader):
    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name, shown = self._name, module.__name__
        exported = list(MODULES[name])

        def find(attribute: str) -> Any:
            if attribute in MODULES[name]:
                found = load(name, attribute)
            elif f"{name}.{attribute}" in MODULES:
                return import_module(f"{shown}.{attribute}")
            else:
                raise AttributeError(f"module {shown!r} has no attribute {attribute!r}")
            setattr(module, attribute, found)
            return found

        def listed() -> List[str]:
            return sorted({*module.__dict__, *exported})

        vars(module).update(__getattr__=find, __dir__=listed, __all__=exported)
        module.__doc__ = f"{name}, served by Outlast."


_FINDER = _Finder()


def install() -> None:
    """Serve `azureml` from now on, also in processes that this one starts; twice is once.

    Raises Conflict when azureml-core is installed, or imported already, and OUTLAST_AZUREML makes
    no choice; Invalid for a choice that doesn't exist. Nothing has changed then.
    """
    if _FINDER in sys.meta_path or getattr(sys.modules.get(SERVED), "is_stand_in", False):
        return  # a stand-in that is being imported decides by itself
    chosen, place = _choice(), installed_in(sys.path)
    if chosen == "installed":
        return
    if place and not chosen:
        raise Conflict(
            f"azureml-core is installed here ({place}), and Outlast doesn't hide it unasked",
            hint=f"{CHOICE}=outlast for Outlast's, {CHOICE}=installed for that one",
        )
    loaded = sys.modules.get(SERVED)
    if loaded is not None and not _is_ours(loaded):
        raise Conflict(
            "another azureml was imported before Outlast's",
            hint="import outlast.azureml in the first line, in a fresh interpreter",
        )
    sys.meta_path.insert(0, _FINDER)
    if CHILDREN not in sys.path:  # after the script's own folder
        sys.path.insert(1, CHILDREN)
        inherited = os.environ.get(PATH)
        os.environ[PATH] = f"{inherited}{os.pathsep}{CHILDREN}" if inherited else CHILDREN


def uninstall() -> None:
    """Serve it no more and forget the modules; classes that were imported stay usable."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    if CHILDREN in sys.path:
        sys.path.remove(CHILDREN)
        rest = [part for part in os.environ.get(PATH, "").split(os.pathsep) if part != CHILDREN]
        os.environ[PATH] = os.pathsep.join(rest)
        if not os.environ[PATH]:
            del os.environ[PATH]
    for name, module in list(sys.modules.items()):
        if _is_ours(module):
            del sys.modules[name]


def stand_in(kit: str) -> None:
    """Put the right `azureml` in the place of the stand-in in `kit`, which is being imported."""
    elsewhere = [entry for entry in sys.path if not _stands_in(entry or ".", kit)]
    if installed_in(elsewhere) and _choice() != "outlast":
        spec = PathFinder.find_spec(SERVED, elsewhere)
    else:
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
        spec = _FINDER.find_spec(SERVED)
    assert spec is not None, "it was found a moment ago"
    module = module_from_spec(spec)
    sys.modules[SERVED] = module
    if spec.loader is not None:  # without: a namespace package
        spec.loader.exec_module(module)


def _stands_in(entry: str, kit: str) -> bool:
    """Is `azureml` in this folder only a stand-in?"""
    if os.path.abspath(entry) in (kit, CHILDREN):
        return True
    folder = os.path.join(entry, SERVED)
    return os.path.isfile(os.path.join(folder, "__init__.py")) and not installed_in([entry])


def installed_in(path: Sequence[str]) -> str:
    """The folder of a really installed azureml-core on this search path, "" without one."""
    for entry in path:
        folder = os.path.join(entry or ".", SERVED)
        if os.path.isfile(os.path.join(folder, "core", "__init__.py")):
            return folder
    return ""


def _bare() -> Exception:
    from outlast.azureml.exceptions import RunEnvironmentException

    return RunEnvironmentException(
        "this needs Outlast's server, and this environment has no Outlast: pip install outlast "
        "in it. Run.get_context(), logging and uploading work without"
    )


def _choice() -> str:
    chosen = os.environ.get(CHOICE, "")
    if chosen not in ("", "outlast", "installed"):
        raise Invalid.field(CHOICE, chosen, "use outlast or installed")
    return chosen


def _served_name(fullname: str) -> Optional[str]:
    if fullname == SERVED or fullname.startswith(SERVED + "."):
        return fullname
    if fullname.startswith(_PREFIX + "."):
        below = fullname[len(_PREFIX) + 1 :]
        if not os.path.isfile(os.path.join(_HERE, below.split(".")[0] + ".py")):
            return f"{SERVED}.{below}"
    return None


def _is_ours(module: ModuleType) -> bool:
    return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)
