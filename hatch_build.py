"""Wheels and source archives carry the studio's built pages; editable installs don't build them.

With STUDIO_BUILD=skip nothing is built, and the server says so on its first page.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StudioHook(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Builds the pages before they are packed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node as a package, where the machine has none and the pages aren't built yet."""
        studio = self._studio()
        if studio is None or studio.is_built() or studio.npm():
            return []
        return [studio.NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises where the pages can't be built: a package without them would be half of it."""
        if version == "editable":
            return
        studio = self._studio()
        if studio is None:
            return
        try:
            studio.build()
        except studio.CannotBuild as error:
            hint = "STUDIO_BUILD=skip builds without the studio"
            raise RuntimeError(f"the studio's pages: {error}\n{hint}") from None

    def _studio(self) -> ModuleType | None:
        path = Path(self.root) / "studio" / "build.py"
        if os.environ.get("STUDIO_BUILD") == "skip" or not path.exists():
            return None
        spec = importlib.util.spec_from_file_location("outlast_studio_build", path)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"{path} can't be read")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
