"""GPUs of this machine as the runtime last saw them, and their choice for the runs that start.

A process has at most one runtime, so the last look is kept once. Without one, as in commands that
read without a runtime, GPUs are plain numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from app.core.scheduling import devices as rules
from app.core.scheduling.devices import NVIDIA, Device, assign_devices, list_free
from app.core.scheduling.plan import DispatchView, QueuedTask, Withheld
from app.core.scheduling.resources import GPU
from db.engine import Connection
from db.queries.scheduling import dispatch, resources
from db.rows import PoolRow

FRESH = 1.0
"""Seconds for which a look at the GPUs holds for a claim."""


class DeviceLook(NamedTuple):
    """The GPUs at a monotonic time; None if no driver lists any."""

    at: float
    devices: tuple[Device, ...] | None


_last: DeviceLook | None = None


def set_look(look: DeviceLook | None) -> None:
    """Keep the last look at the GPUs; None if nothing looks at them."""
    global _last
    _last = look


def get_devices() -> tuple[Device, ...] | None:
    """Return the GPUs of the machine, or None if they are not known."""
    return _last.devices if _last else None


def get_maker() -> str:
    """Return the maker of the GPUs: `amd` or `nvidia`."""
    return found[0].maker if (found := get_devices()) else NVIDIA


def list_withheld(held: Iterable[str | None]) -> tuple[Withheld, ...]:
    """Return the GPUs that nothing gets now; `held` are the devices of the active runs."""
    if not (found := get_devices()):
        return ()
    names = {name for text in held for name in resources.parse_devices(text)}
    return tuple(Withheld(GPU, text) for text in rules.list_withheld(found, names))


def read_devices(
    c: Connection, pools: Iterable[PoolRow], shared: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the GPUs with their holders; nothing in a home without GPUs in a pool."""
    named = [shared, *(resources.parse_named(pool.resources) for pool in pools)]
    if not (total := sum(amounts.get(GPU, 0) for amounts in named)):
        return []
    holders = {
        name: run.number
        for run in dispatch.list_active(c)
        for name in resources.parse_devices(run.devices)
    }
    return list_devices(holders, total)


def list_devices(holders: Mapping[str, int], total: int) -> list[dict[str, Any]]:
    """Return the GPUs as sent to clients: `run` is the number of the task, `trouble` in words.

    Without a driver they are the indices of `total` devices, and those that runs hold.
    """
    indices = {*range(total), *(int(name) for name in holders if name.isdigit())}
    found = get_devices() or tuple(Device(number, str(number), "") for number in sorted(indices))
    return [
        {
            **device._asdict(),
            "measures": device.measures._asdict(),
            "run": next((holders[name] for name in device.names & holders.keys()), None),
            "trouble": device.describe_trouble(),
        }
        for device in found
    ]


class DeviceChoice(NamedTuple):
    """{uuid: GPUs of its run} in a home with GPUs, and the tasks that must wait.

    `is_stale` asks for a new look at the GPUs.
    """

    devices: Mapping[str, Sequence[str]]
    lacking: frozenset[str] = frozenset()
    is_stale: bool = False


def choose_devices(
    c: Connection, view: DispatchView, starts: Sequence[QueuedTask], *, has_nvml: bool
) -> DeviceChoice:
    """Choose the GPUs of the tasks that start. All pools share the devices of the machine."""
    if outer := view.list_outer_queues():  # the devices of their runs are on other hosts
        starts = [task for task in starts if task.queue not in outer]
    if not view.shared.get(GPU) and not any(pool.totals.get(GPU) for pool in view.pools):
        return DeviceChoice({})
    wanted = {task.uuid: int(task.needs.get(GPU, 0)) for task in starts}
    if not any(wanted.values()):
        return DeviceChoice(dict.fromkeys(wanted, ()))
    look = _last
    if has_nvml and (look is None or monotonic() - look.at > FRESH):
        waits = frozenset(uuid for uuid, amount in wanted.items() if amount)
        return DeviceChoice(dict.fromkeys(wanted.keys() - waits, ()), waits, True)
    held = resources.list_held_devices(c)
    if look and look.devices is not None:
        known = list_free(look.devices, held)
    else:
        # An index may be the device of a UUID that a run got while NVML still answered.
        known = None if all(name.isdigit() for name in held) else []
    found = dict(zip(wanted, assign_devices(wanted.values(), held, known), strict=True))
    lacking = frozenset(uuid for uuid, amount in wanted.items() if len(found[uuid]) < amount)
    return DeviceChoice({uuid: found[uuid] for uuid in wanted if uuid not in lacking}, lacking)
