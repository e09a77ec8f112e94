"""NVIDIA's GPUs as NVML tells: name, failure, load and the unrelated process that uses each.

The package is imported by the first read, which only a home with GPUs in a pool makes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from types import ModuleType
from typing import Any

from app.core.scheduling.devices import Device, DeviceMeasures
from app.runtime.gpus.processes import find_unrelated

PROGRAM_XIDS = frozenset({13, 31, 43, 45, 68, 109})
"""XID errors that a program causes, after which the device is sound."""
MAX_EVENTS = 100
MIB = 1 << 20
UNCORRECTED, VOLATILE = 1, 0


class NvmlReader:
    """Reader of all devices. Failures by XID last until the runtime ends."""

    def __init__(self) -> None:
        self._nvml: ModuleType | None = None
        self._events: Any = None
        self._known: dict[int, Device] = {}
        self._xids: dict[str, int] = {}
        self._watched: set[str] = set()

    def read(self, keepers: Collection[int]) -> tuple[Device, ...] | None:
        """Return the devices, or None without NVML; `keepers` are the ancestors of all runs.

        A device that is no longer there stays as failed.
        """
        if self._nvml is None and not self._open():
            return None
        nvml = self._nvml
        assert nvml is not None
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._nvml = None
            return tuple(d._replace(failure=str(error), user=None) for d in self._known.values())
        self._collect_xids(nvml)
        found = [self._read_device(nvml, index, keepers) for index in range(count)]
        self._known |= {device.number: device for device in found}
        gone = [d for index, d in sorted(self._known.items()) if index >= count]
        return (*found, *(d._replace(failure="it is no longer there", user=None) for d in gone))

    def _open(self) -> bool:
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
            if error.value in absent and not self._known:  # type: ignore[attr-defined]
                return False
            raise OSError(f"NVML does not work: {error}") from error
        self._nvml, self._events, self._watched = pynvml, None, set()
        return True

    def _read_device(self, nvml: ModuleType, index: int, keepers: Collection[int]) -> Device:
        device = self._known.get(index, Device(index, "", "GPU"))
        device = device._replace(failure=None, user=None, measures=DeviceMeasures())
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
            device = Device(index, uuid, name, measures=_measure(nvml, handle))
            self._watch_xids(nvml, handle, uuid)
            failure = self._find_failure(nvml, handle, uuid)
            return device._replace(failure=failure, user=_find_user(nvml, handle, keepers))
        except nvml.NVMLError as error:
            return device._replace(failure=str(error))

    def _find_failure(self, nvml: ModuleType, handle: Any, uuid: str) -> str | None:
        modes = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
        if modes and modes[0]:
            return "it is split into MIG instances, which Taskdeck does not give to runs"
        if uuid in self._xids:
            return f"XID error {self._xids[uuid]}"
        errors = _ask(nvml, nvml.nvmlDeviceGetTotalEccErrors, handle, UNCORRECTED, VOLATILE)
        if errors:
            return f"{errors:,} uncorrected memory errors"
        rows = _ask(nvml, nvml.nvmlDeviceGetRemappedRows, handle)
        return "its memory could not be repaired (row remapping)" if rows and rows[3] else None

    def _watch_xids(self, nvml: ModuleType, handle: Any, uuid: str) -> None:
        if uuid in self._watched:
            return
        self._watched.add(uuid)
        if self._events is None:
            self._events = _ask(nvml, nvml.nvmlEventSetCreate)
        if self._events is not None:
            kind = nvml.nvmlEventTypeXidCriticalError
            _ask(nvml, nvml.nvmlDeviceRegisterEvents, handle, kind, self._events)

    def _collect_xids(self, nvml: ModuleType) -> None:
        """Read the XID errors since the last read, without a wait."""
        with suppress(nvml.NVMLError):  # a timeout: there are no more
            for _ in range(MAX_EVENTS if self._events is not None else 0):
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                if event.eventData not in PROGRAM_XIDS:
                    self._xids[nvml.nvmlDeviceGetUUID(event.device)] = int(event.eventData)


def _ask(nvml: ModuleType, call: Callable[..., Any], *args: Any) -> Any:
    """Return the answer of NVML, or None if this device or driver cannot tell."""
    try:
        return call(*args)
    except nvml.NVMLError as error:
        silent = ("NOT_SUPPORTED", "NO_PERMISSION", "FUNCTION_NOT_FOUND", "NO_DATA")
        if error.value in [getattr(nvml, f"NVML_ERROR_{name}") for name in silent]:
            return None
        raise


def _find_user(nvml: ModuleType, handle: Any, keepers: Collection[int]) -> tuple[int, str] | None:
    """Return pid and program of a process that computes on the device and belongs to no run."""
    found = _ask(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    return find_unrelated((process.pid for process in found), keepers)


def _measure(nvml: ModuleType, handle: Any) -> DeviceMeasures:
    rates = _ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    return DeviceMeasures(
        rates and rates.gpu / 100,
        memory and memory.used / MIB,
        memory and memory.total / MIB,
        _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
    )
