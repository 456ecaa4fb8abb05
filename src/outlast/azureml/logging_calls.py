"""The calls of a Run that log: metrics, tables, images and the four JSON charts."""

from __future__ import annotations

import json
import time
from io import BytesIO
from typing import Any, Mapping, Optional, Union

from outlast.azureml import metrics
from outlast.azureml.exceptions import UserErrorException, of, translated
from outlast.azureml.source import RunSource
from outlast.errors import OutlastError


class LoggingCalls(RunSource):
    """Translated onto the run of `outlast.runtime`, which writes it down and never waits."""

    def log(self, name: str, value: Any, description: str = "", step: Optional[int] = None) -> None:
        """Log one value; logged again under its name, it becomes a series.

        Raises UserErrorException for a list (use log_list) and for what is no scalar.
        """
        try:
            (self._logger or self._writer()).log(name, value, description, step)
        except OutlastError as error:
            raise of(error) from error

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        """Log a list of values under one name."""
        with translated():
            self._writer().log_list(name, value, description)

    def log_row(self, name: str, description: Optional[str] = None, **kwargs: Any) -> None:
        """Add a row to the table `name`; its columns are the keywords."""
        with translated():
            self._writer().log_row(name, description or "", **kwargs)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Log a table: {column: [values]}, all of one length."""
        with translated():
            self._writer().log_table(name, value, description)

    def log_image(
        self, name: str, path: Optional[str] = None, plot: Any = None, description: str = ""
    ) -> None:
        """Keep an image file, or a matplotlib figure as PNG."""
        with translated():
            self._writer().log_image(name, path, plot, description)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Keep an accuracy table: a dict, or JSON, as Azure ML's schema says."""
        self._log_chart(name, value, "accuracy_table")

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Keep a confusion matrix: a dict, or JSON, as Azure ML's schema says."""
        self._log_chart(name, value, "confusion_matrix")

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Keep predictions: a dict, or JSON, as Azure ML's schema says."""
        self._log_chart(name, value, "predictions")

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Keep residuals: a dict, or JSON, as Azure ML's schema says."""
        self._log_chart(name, value, "residuals")

    def _log_chart(self, name: str, value: Union[str, Mapping[str, Any]], kind: str) -> None:
        """As a JSON file among the run's files, whose address is the metric's value."""
        try:
            table = json.loads(value) if isinstance(value, str) else dict(value)
            text = json.dumps(table)
        except (TypeError, ValueError) as error:
            raise UserErrorException(
                f"{name}: log_{kind} takes a dict of JSON values, or JSON text ({error})"
            ) from None
        path = f"{kind}/{name}_{time.time_ns()}.json"
        with translated():
            writer = self._writer()
            writer.upload_file(path, BytesIO(text.encode()))
            writer.log(name, metrics.address(writer.id, path))
