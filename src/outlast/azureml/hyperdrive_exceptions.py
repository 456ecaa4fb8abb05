"""`azureml.train.hyperdrive.exceptions`."""

from __future__ import annotations

from typing import Any

from outlast.azureml.exceptions import AzureMLException


class HyperDriveException(AzureMLException):
    """What every exception of sweeps is."""

    _error_code = "HyperDriveException"

    def __init__(self, exception_message: str, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)

    @property
    def error_code(self) -> str:
        return self._error_code


class HyperDriveConfigException(HyperDriveException):
    """What was asked for can't be."""


class HyperDriveScenarioNotSupportedException(HyperDriveConfigException):
    """It can't be done with a sweep."""


class HyperDriveNotImplementedException(HyperDriveScenarioNotSupportedException):
    """It can't be done with a sweep, nor in Azure ML."""


class HyperDriveServiceException(HyperDriveException):
    """The server refused."""


class HyperDriveRehydrateException(HyperDriveException):
    """A sweep of another origin can't be read back."""
