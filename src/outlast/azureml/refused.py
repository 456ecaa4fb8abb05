"""What only Azure has: asking for it raises one clear error, importing it doesn't.

A script may import such a name and never use it; that goes through. Using it, in any way but as
the second argument of isinstance, tells which class it is, why not, and the nearest thing.
"""

from __future__ import annotations

from typing import Any, NoReturn

from outlast.azureml.exceptions import RefusedException


class Refused:
    """Stands where a class of Azure's would."""

    def __init__(self, name: str, why: str, nearest: str) -> None:
        self.__name__ = name
        self._why = why
        self._nearest = nearest

    def __repr__(self) -> str:
        return f"<{self.__name__}: not served by Outlast>"

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        raise self._error()

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # asked for by copy, inspect and the like
            raise AttributeError(attribute)
        raise self._error()

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def _error(self) -> RefusedException:
        return RefusedException(f"{self.__name__}: {self._why}. {self._nearest}")
