"""The exceptions of `azureml.exceptions`, and how errors of Outlast become them."""

from __future__ import annotations

import json
import traceback
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from outlast.errors import Conflict, Invalid, NotFound, OutlastError


class AzureMLException(Exception):
    """What every exception here is."""

    _error_code = "SystemError"

    def __init__(
        self,
        exception_message: str = "",
        inner_exception: Optional[BaseException] = None,
        target: Any = None,
        details: Any = None,
        message_format: Optional[str] = None,
        message_parameters: Optional[Dict[str, Any]] = None,
        reference_code: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(exception_message)
        self._exception_message = exception_message
        self._inner_exception = inner_exception

    def __str__(self) -> str:
        cause = self._inner_exception
        is_told = cause is None or str(cause) in self.message
        inner = "" if is_told else f"\n\tInnerException {cause!r}"
        return f"{type(self).__name__}:\n\tMessage: {self.message}{inner}"

    @property
    def message(self) -> str:
        return self._exception_message

    @message.setter
    def message(self, value: str) -> None:
        self._exception_message = value

    @property
    def inner_exception(self) -> Optional[BaseException]:
        return self._inner_exception

    def print_stacktrace(self) -> None:
        """Print where it was raised, and where what caused it was."""
        traceback.print_exception(type(self), self, self.__traceback__)


class UserErrorException(AzureMLException):
    """What was asked for can't be."""

    _error_code = "UserError"


class AuthenticationException(UserErrorException):
    pass


class ActivityFailedException(AzureMLException):
    """A run that was awaited is Failed."""

    def __init__(self, error_details: Any = "", **kwargs: Any) -> None:
        details = error_details if isinstance(error_details, str) else json.dumps(error_details)
        super().__init__(f"Activity Failed:\n{details}", **kwargs)


class ComputeTargetException(AzureMLException):
    pass


class DatasetTimestampMissingError(AzureMLException):
    def __init__(self, error_details: Any = "", **kwargs: Any) -> None:
        super().__init__(str(error_details), **kwargs)


class DiscoveryUrlNotFoundException(AzureMLException):
    def __init__(self, discovery_key: str = "", **kwargs: Any) -> None:
        super().__init__(f"no such service: {discovery_key}", **kwargs)


class ExperimentExecutionException(AzureMLException):
    pass


class ParallelRunException(AzureMLException):
    def __init__(
        self,
        exception_message: str = "",
        code: Any = None,
        delay_seconds: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(exception_message, **kwargs)
        self.code = code
        self.delay_seconds = delay_seconds


class ProjectSystemException(AzureMLException):
    pass


class RunConfigurationException(AzureMLException):
    pass


class RunEnvironmentException(AzureMLException):
    def __init__(self, exception_message: str = "this process has no run", **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)


class SnapshotException(AzureMLException):
    pass


class ServiceException(AzureMLException):
    """There is no such thing in the workspace, or its server can't be reached."""


class TrainingException(AzureMLException):
    pass


class WebserviceException(AzureMLException):
    def __init__(
        self,
        exception_message: str = "",
        status_code: Any = None,
        logger: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(exception_message, **kwargs)
        self.status_code = status_code


class ModelNotFoundException(WebserviceException):
    """Scripts await it under either name."""

    def __init__(self, exception_message: str = "", logger: Any = None, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)


class ModelPathNotFoundException(ModelNotFoundException):
    pass


class WorkspaceException(AzureMLException):
    def __init__(
        self, exception_message: str = "", found_multiple: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(exception_message, **kwargs)
        self.found_multiple = found_multiple


class WorkspacePrivateEndpointException(WorkspaceException):
    pass


class RefusedException(UserErrorException, ComputeTargetException, WebserviceException):
    """What only Azure has: caught where a script looks whether such a thing is there."""


@contextmanager
def translated() -> Iterator[None]:
    """Errors of Outlast as scripts expect them; the message and the hint stay."""
    try:
        yield
    except OutlastError as error:
        raise of(error) from error


def of(error: OutlastError) -> AzureMLException:
    """The exception that a script for Azure ML expects for this error."""
    message = error.message + (f"\n\tTry: {error.hint}" if error.hint else "")
    is_users = isinstance(error, (Invalid, Conflict))
    kind = UserErrorException if is_users else ServiceException
    if isinstance(error, NotFound) and error.message.startswith("path = "):
        kind = UserErrorException
    return kind(message, inner_exception=error)
