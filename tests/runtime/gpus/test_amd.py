"""AMD's GPUs, read from a tree of files like that of the kernel driver."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.scheduling.devices import AMD, Device, DeviceMeasures, list_free
from app.runtime.gpus.amd import AmdReader

UNKNOWN = DeviceMeasures()


def read_devices(reader: AmdReader, *keepers: int) -> list[Device]:
    """Return the devices, of which there must be some."""
    found = reader.read(keepers)
    assert found
    return [*found]


def write_file(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def make_node(sys: Path, number: int, gpu: int, name: str = "gfx90a", location: int = 0) -> None:
    """Write a node of the topology; processors have the GPU 0."""
    node = sys / f"class/kfd/kfd/topology/nodes/{number}"
    write_file(node / "gpu_id", gpu)
    write_file(node / "name", name)
    write_file(node / "properties", f"simd_count 416\nlocation_id {location}\ndomain 1")


def test_a_machine_without_the_driver_has_no_devices(tmp_path: Path):
    assert AmdReader(tmp_path).read(()) is None


def test_devices_are_named_by_index_and_measured(tmp_path: Path):
    make_node(tmp_path, 0, 0, "EPYC")
    make_node(tmp_path, 10, 777)
    make_node(tmp_path, 2, 555, location=0x0308)
    pci = tmp_path / "bus/pci/devices/0001:03:01.0"
    write_file(pci / "product_name", "Instinct MI250")
    write_file(pci / "gpu_busy_percent", 25)
    write_file(pci / "mem_info_vram_used", 3 << 30)
    write_file(pci / "mem_info_vram_total", 64 << 30)
    write_file(pci / "hwmon/hwmon4/temp1_input", 48500)
    one, two = read_devices(AmdReader(tmp_path))
    assert (one.number, one.uuid, one.name, one.maker) == (0, "0", "Instinct MI250", AMD)
    assert one.measures == DeviceMeasures(0.25, 3072, 65536, 48.5)
    assert (two.number, two.name, two.measures) == (1, "gfx90a", UNKNOWN)
    assert list_free((one, two), {"0"}) == ["1"]


def test_a_device_of_an_unrelated_process_is_not_free(tmp_path: Path):
    make_node(tmp_path, 1, 555)
    used = tmp_path / f"class/kfd/kfd/proc/{os.getpid()}/vram_555"
    write_file(used, 4096)
    reader = AmdReader(tmp_path)
    (device,) = read_devices(reader)
    assert device.user and device.user[0] == os.getpid() and not list_free([device], ())
    (device,) = read_devices(reader, os.getpid())
    assert device.user is None
    write_file(used, 0)
    (device,) = read_devices(reader)
    assert device.user is None


def test_a_device_that_is_gone_stays_as_failed(tmp_path: Path):
    make_node(tmp_path, 1, 555)
    reader = AmdReader(tmp_path)
    reader.read(())
    (tmp_path / "class/kfd/kfd/topology/nodes/1/gpu_id").unlink()
    (device,) = read_devices(reader)
    assert device.failure == "it is no longer there"


@pytest.mark.parametrize("content", ["", "x", "9" * 5000])
def test_damaged_files_are_unknown_values(tmp_path: Path, content: str):
    make_node(tmp_path, 1, 555)
    node = tmp_path / "class/kfd/kfd/topology/nodes/1"
    write_file(node / "properties", f"location_id {content}")
    (device,) = read_devices(AmdReader(tmp_path))
    assert device.measures == UNKNOWN
