"""GPU devices of runs: which ones a run gets, and the variables that tell its program.

A device is named by its index on this machine, or by its UUID.
"""

from __future__ import annotations

import re
from itertools import count
from typing import NamedTuple

from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


AMD, NVIDIA = "amd", "nvidia"


class DeviceMeasures(NamedTuple):
    """Load of a GPU: share of time in use, memory in MiB, temperature in °C; None is unknown."""

    use: float | None = None
    used_memory: float | None = None
    total_memory: float | None = None
    temperature: float | None = None


class Device(NamedTuple):
    """A GPU of this machine as its driver tells. AMD's are named by index: `uuid` is `number`."""

    number: int
    uuid: str
    name: str
    failure: str | None = None
    user: tuple[int, str] | None = None
    """Pid and program of an unrelated process that computes on the device."""
    maker: str = NVIDIA
    measures: DeviceMeasures = DeviceMeasures()

    @property
    def names(self) -> set[str]:
        """Names by which a run may hold it."""
        return {str(self.number), self.uuid}

    def describe_trouble(self) -> str | None:
        """Return why no run gets the device, or None."""
        if self.failure:
            return tr(
                "GPU {number} is drained: {failure}", number=self.number, failure=self.failure
            )
        if self.user:
            pid, program = self.user
            return tr(
                "GPU {number} is used by {program} (pid {pid}), which is no task",
                number=self.number,
                program=program,
                pid=pid,
            )
        return None


def list_withheld(devices: Iterable[Device], held: Collection[str]) -> list[str]:
    """Return why devices that no run holds are not given."""
    free = [device for device in devices if not device.names.intersection(held)]
    return [text for device in free if (text := device.describe_trouble())]


def list_free(devices: Iterable[Device], held: Collection[str]) -> list[str]:
    """Return the UUIDs of the devices that a run may get."""
    return [
        device.uuid
        for device in devices
        if not device.names.intersection(held) and device.describe_trouble() is None
    ]


VARIABLE = "TASKDECK_DEVICES"
"""Variable of a run with its devices, by which a runtime knows them again."""
MAX_DEVICES = 1024
_INDEX = re.compile(r"[0-9]{1,6}", re.ASCII)
_UUID = re.compile(r"(GPU|MIG)-[0-9a-fA-F-]{8,60}", re.ASCII)
_SHORT = 12
"""Characters of a UUID that people see: `GPU-5f2c81d0`."""


def assign_devices(
    wanted: Iterable[int], held: Collection[str], known: Sequence[str] | None = None
) -> list[tuple[str, ...]]:
    """Return the devices of each run that wants a number of them, lowest first.

    No device in `held` is given. `known` holds the devices that may be given, in order; without it
    they are the indices from 0. A run for which too few are left gets none.
    """
    free = [name for name in known if name not in held] if known is not None else None
    indices = (name for n in count() if (name := str(n)) not in held)
    found: list[tuple[str, ...]] = []
    for amount in wanted:
        if free is None:
            found.append(tuple(next(indices) for _ in range(amount)))
        elif amount > len(free):
            found.append(())
        else:
            found.append(tuple(free[:amount]))
            del free[:amount]
    return found


def make_variables(devices: Sequence[str], maker: str = NVIDIA) -> dict[str, str]:
    """Return the variables of a run with these devices; without any they hide all GPUs.

    A run gets one variable: AMD's libraries count the devices of CUDA_VISIBLE_DEVICES among
    those of ROCR_VISIBLE_DEVICES.
    """
    listed = ",".join(devices)
    variable = "ROCR_VISIBLE_DEVICES" if maker == AMD else "CUDA_VISIBLE_DEVICES"
    if not devices:
        return {variable: ""}
    has_order = maker == NVIDIA and devices[0].isdigit()
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if has_order else {}
    return {variable: listed, VARIABLE: listed} | order


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the devices in the variable of a run, which its program may have changed.

    Raise ValueError if the text is no list of devices.
    """
    names = text.split(",")
    if len(names) > MAX_DEVICES or not all(
        _INDEX.fullmatch(n) or _UUID.fullmatch(n) for n in names
    ):
        raise ValueError(tr("no list of devices"))
    return tuple(dict.fromkeys(names))


def format_devices(devices: Iterable[str]) -> str:
    """Format devices for people: `0,1`, or the beginnings of UUIDs."""
    return ",".join(name[:_SHORT] for name in devices)
