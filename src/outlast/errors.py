"""What can go wrong, by what the caller can do about it.

Each class's docstring is its default message; fields carry facts; `hint` is the next command.
No other module defines an exception that a user may see. Standard library only.
"""

from __future__ import annotations

from typing import Any, Optional


class OutlastError(Exception):
    """Something went wrong in Outlast."""

    hint: Optional[str] = None

    def __init__(self, message: str = "", *, hint: Optional[str] = None, **facts: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().split("\n")[0])
        self.facts = facts
        if hint is not None:
            self.hint = hint

    @property
    def message(self) -> str:
        return str(self.args[0])


class JournalError(OutlastError):
    """A journal can't be read or written."""


class Trimmed(JournalError):
    """The journal no longer holds this offset: retention has punched it out."""

    def __init__(self, *, asked: int, first: int) -> None:
        super().__init__(
            f"offset {asked} was trimmed away; the journal now begins at {first}",
            asked=asked,
            first=first,
        )
        self.asked = asked
        self.first = first


class Corrupt(JournalError):
    """A record's checksum doesn't match its bytes."""


class Sealed(JournalError):
    """The journal is closed for writing."""


class DiskFull(JournalError):
    """No room left: nothing was written, and the writer stays usable."""


class NotFound(OutlastError):
    """There is no such thing in this workspace."""


class Conflict(OutlastError):
    """This contradicts what is already there."""


class Refused(OutlastError):
    """The token is missing, wrong, or doesn't allow this."""


class Unreachable(OutlastError):
    """The server can't be reached; trying again is safe."""


class RunFailed(OutlastError):
    """The run that was awaited ended Failed or Canceled; its facts are `status` and `cause`."""


class EnvironmentFailed(OutlastError):
    """The environment can't be built."""


class Invalid(OutlastError):
    """A value isn't allowed."""

    @classmethod
    def field(
        cls, field: str, value: object, remedy: str, *, hint: Optional[str] = None
    ) -> Invalid:
        """The usual form: which field, which value, and what would be right."""
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        return cls(f"{field} = {shown}: {remedy}", hint=hint, field=field, remedy=remedy)
