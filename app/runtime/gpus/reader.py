"""Reader of the GPUs of this machine: NVIDIA's, or else AMD's."""

from __future__ import annotations

from collections.abc import Collection

from app.core.scheduling.devices import Device
from app.runtime.gpus.amd import AmdReader
from app.runtime.gpus.nvml import NvmlReader


class GpuReader:
    """Reader of all devices. On a machine with GPUs of both makers AMD's are not used."""

    def __init__(self) -> None:
        self._nvidia, self._amd = NvmlReader(), AmdReader()

    def read(self, keepers: Collection[int]) -> tuple[Device, ...] | None:
        """Return the devices, or None without a driver; `keepers` are the ancestors of all runs."""
        found = self._nvidia.read(keepers)
        return self._amd.read(keepers) if found is None else found
