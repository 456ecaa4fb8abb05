"""`azureml.data.dataset_type_definitions` and `dataset_error_handling`: small words of datasets."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import Any, Iterator, Optional

from outlast.azureml.exceptions import UserErrorException, translated
from outlast.errors import NotFound


class PromoteHeadersBehavior(Enum):
    """Which files of a table begin with a header."""

    NO_HEADERS = 0
    ONLY_FIRST_FILE_HAS_HEADERS = 1
    COMBINE_ALL_FILES_HEADERS = 2
    ALL_FILES_HAVE_SAME_HEADERS = 3


class SkipLinesBehavior(Enum):
    """Of which files lines are skipped."""

    NO_ROWS = 0
    FROM_FIRST_FILE_ONLY = 1
    FROM_ALL_FILES = 2


class FileEncoding(Enum):
    """How text is written in files."""

    UTF8 = 0
    ISO88591 = 1
    LATIN1 = 2
    ASCII = 3
    UTF16 = 4
    UTF32 = 5
    UTF8BOM = 6
    WINDOWS1252 = 7


class HistogramCompareMethod(Enum):
    """How two histograms are compared."""

    WASSERSTEIN = 0
    ENERGY = 1


class DatasetValidationError(UserErrorException):
    """A dataset's data aren't there, or can't be read as it says."""

    def __init__(self, message: str, exception: Optional[BaseException] = None) -> None:
        super().__init__(message, inner_exception=exception)
        self.validation_error_code = "ValidationError"
        self.error_code = "UserError"
        self.compliant_message = message


class DatasetExecutionError(DatasetValidationError):
    """Reading a dataset failed."""


@contextmanager
def named() -> Iterator[None]:
    """As `translated`; a dataset, datastore or file that isn't there is the user's error."""
    with translated():
        try:
            yield
        except NotFound as error:
            raise UserErrorException(error.message, inner_exception=error) from error


_HEADERS = {
    PromoteHeadersBehavior.NO_HEADERS: "none",
    PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS: "first",
    PromoteHeadersBehavior.COMBINE_ALL_FILES_HEADERS: "combine",
    PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS: "all_same",
}
_ENCODINGS = {"windows1252": "cp1252"}


def header_word(header: Any) -> str:
    """As a definition keeps it: also of True and False."""
    if isinstance(header, bool):
        return "all_same" if header else "none"
    if header in _HEADERS:
        return _HEADERS[header]
    raise UserErrorException(f"header = {header!r}: give True, False or a PromoteHeadersBehavior")


def text_of(encoding: Any) -> str:
    """An encoding's name, of itself or a FileEncoding."""
    name = encoding.name.lower() if isinstance(encoding, FileEncoding) else str(encoding)
    return _ENCODINGS.get(name, name)
