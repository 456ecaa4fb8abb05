"""`azureml.core.resource_configuration`: what a model would like to be served with.

Kept with the model; Outlast serves none.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional


class ResourceConfiguration:
    """CPUs, memory and GPUs of one replica."""

    def __init__(
        self, cpu: Optional[float] = None, memory_in_gb: Optional[float] = None,
        gpu: Optional[int] = None,
    ) -> None:  # fmt: skip
        self.cpu = cpu
        self.memory_in_gb = memory_in_gb
        self.gpu = gpu

    def serialize(self) -> Dict[str, Any]:
        """As JSON values."""
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}

    @staticmethod
    def deserialize(payload_obj: Optional[Mapping[str, Any]]) -> Optional[ResourceConfiguration]:
        """What serialize() told; None of nothing."""
        if not payload_obj:
            return None
        return ResourceConfiguration(
            payload_obj.get("cpu"), payload_obj.get("memoryInGB"), payload_obj.get("gpu")
        )
