"""AMD's GPUs as the kernel driver tells: name, load and the unrelated process that uses each.

The order is that of the driver's topology, which ROCR_VISIBLE_DEVICES counts in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from app.core.scheduling.devices import AMD, Device, DeviceMeasures
from app.runtime.gpus.processes import find_unrelated

MIB = 1 << 20


class AmdReader:
    """Reader of all devices. A device that is no longer there stays as failed."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._kfd, self._pci = sys / "class/kfd/kfd", sys / "bus/pci/devices"
        self._known: dict[int, Device] = {}

    def read(self, keepers: Collection[int]) -> tuple[Device, ...] | None:
        """Return the devices, or None without any; `keepers` are the ancestors of all runs."""
        found = [self._read_device(i, node, keepers) for i, node in enumerate(self._list_nodes())]
        self._known |= {device.number: device for device in found}
        if not self._known:
            return None
        gone = [d for index, d in sorted(self._known.items()) if index >= len(found)]
        return (*found, *(d._replace(failure="it is no longer there", user=None) for d in gone))

    def _list_nodes(self) -> Iterator[Path]:
        """Yield the nodes of the topology that are GPUs and may be read."""
        nodes = [*(self._kfd / "topology/nodes").glob("[0-9]*")]
        for node in sorted(nodes, key=lambda path: int(path.name)):
            if _read_number(node / "gpu_id"):
                yield node

    def _read_device(self, index: int, node: Path, keepers: Collection[int]) -> Device:
        pci = self._pci / _read_address(node)
        name = _read_text(pci / "product_name") or _read_text(node / "name") or "AMD GPU"
        user = find_unrelated(self._list_pids(_read_text(node / "gpu_id")), keepers)
        return Device(index, str(index), name, None, user, AMD, _measure(pci))

    def _list_pids(self, gpu: str) -> Iterator[int]:
        """Yield the processes that hold memory of a GPU."""
        for used in (self._kfd / "proc").glob(f"[0-9]*/vram_{gpu}"):
            if _read_number(used):
                yield int(used.parent.name)


def _read_address(node: Path) -> str:
    """Return the PCI address of a node, such as `0000:03:00.0`."""
    lines = (line.split() for line in _read_text(node / "properties").splitlines())
    facts = {words[0]: words[1] for words in lines if len(words) == 2}
    with suppress(ValueError):
        domain, place = int(facts.get("domain", 0)), int(facts.get("location_id", 0))
        return f"{domain:04x}:{place >> 8 & 255:02x}:{place >> 3 & 31:02x}.{place & 7}"
    return "none"


def _measure(pci: Path) -> DeviceMeasures:
    use, used, total = (
        _read_number(pci / name)
        for name in ("gpu_busy_percent", "mem_info_vram_used", "mem_info_vram_total")
    )
    heat = next(map(_read_number, sorted(pci.glob("hwmon/hwmon*/temp1_input"))), None)
    return DeviceMeasures(
        None if use is None else use / 100,
        None if used is None else used / MIB,
        None if total is None else total / MIB,
        None if heat is None else heat / 1000,
    )


def _read_number(path: Path) -> int | None:
    try:
        return int(_read_text(path))
    except ValueError:
        return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
