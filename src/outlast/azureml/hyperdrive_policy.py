"""`azureml.train.hyperdrive`: policies that end bad runs early, as those of outlast.sweeps."""

from __future__ import annotations

from typing import Any, Dict, Optional

from outlast.azureml.hyperdrive_exceptions import HyperDriveConfigException


class EarlyTerminationPolicy:
    """What every policy is."""

    POLICY_NAME = ""
    _native = "none"

    def __init__(self, evaluation_interval: int = 1, delay_evaluation: int = 0) -> None:
        """Looked at at every so many values of the metric, after so many at first."""
        _check("evaluation_interval", evaluation_interval, 1)
        _check("delay_evaluation", delay_evaluation, 0)
        self._evaluation_interval = evaluation_interval
        self._delay_evaluation = delay_evaluation

    @property
    def evaluation_interval(self) -> int:
        """At every so many values of the metric."""
        return self._evaluation_interval

    @property
    def delay_evaluation(self) -> int:
        """Not before so many."""
        return self._delay_evaluation

    def to_json(self) -> Dict[str, Any]:
        """As plain JSON values."""
        return {"name": self.POLICY_NAME, "properties": self._properties()}

    def _properties(self) -> Dict[str, Any]:
        return {
            "evaluation_interval": self.evaluation_interval,
            "delay_evaluation": self.delay_evaluation,
        }

    def _stopping(self) -> Dict[str, Any]:
        """The policy of outlast.sweeps."""
        return {
            "kind": self._native,
            "interval": self.evaluation_interval,
            "delay": self.delay_evaluation,
        }


class BanditPolicy(EarlyTerminationPolicy):
    """Ends runs that are further than the slack from the best one."""

    POLICY_NAME = "Bandit"
    _native = "bandit"

    def __init__(
        self, evaluation_interval: int = 1, slack_factor: Optional[float] = None,
        slack_amount: Optional[float] = None, delay_evaluation: int = 0,
    ) -> None:  # fmt: skip
        """Raises HyperDriveConfigException unless exactly one slack is given."""
        super().__init__(evaluation_interval, delay_evaluation)
        if (slack_factor is None) == (slack_amount is None):
            raise HyperDriveConfigException("give either slack_factor or slack_amount")
        self._slack_factor = slack_factor
        self._slack_amount = slack_amount

    @property
    def slack_factor(self) -> Optional[float]:
        """How far from the best, as a ratio."""
        return self._slack_factor

    @property
    def slack_amount(self) -> Optional[float]:
        """How far from the best, as an amount."""
        return self._slack_amount

    def _slack(self) -> Dict[str, Any]:
        if self._slack_factor is not None:
            return {"slack_factor": self._slack_factor}
        return {"slack_amount": self._slack_amount}

    def _properties(self) -> Dict[str, Any]:
        return {**super()._properties(), **self._slack()}

    def _stopping(self) -> Dict[str, Any]:
        return {**super()._stopping(), **self._slack()}


class MedianStoppingPolicy(EarlyTerminationPolicy):
    """Ends runs whose best is worse than the median of all averages."""

    POLICY_NAME = "MedianStopping"
    _native = "median"


class TruncationSelectionPolicy(EarlyTerminationPolicy):
    """Ends the worst so many of a hundred."""

    POLICY_NAME = "TruncationSelection"
    _native = "truncation"

    def __init__(
        self, truncation_percentage: int, evaluation_interval: int = 1, delay_evaluation: int = 0
    ) -> None:
        super().__init__(evaluation_interval, delay_evaluation)
        _check("truncation_percentage", truncation_percentage, 1)
        self._truncation_percentage = truncation_percentage

    @property
    def truncation_percentage(self) -> int:
        """Of a hundred runs, so many are ended."""
        return self._truncation_percentage

    def _properties(self) -> Dict[str, Any]:
        return {**super()._properties(), "truncation_percentage": self.truncation_percentage}

    def _stopping(self) -> Dict[str, Any]:
        return {**super()._stopping(), "percentage": self.truncation_percentage}


class NoTerminationPolicy(EarlyTerminationPolicy):
    """Ends none."""

    POLICY_NAME = "Default"

    def __init__(self) -> None:
        super().__init__()

    def _properties(self) -> Dict[str, Any]:
        return {}


def _check(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise HyperDriveConfigException(f"{name} = {value!r}: give a whole number, {least} or more")
