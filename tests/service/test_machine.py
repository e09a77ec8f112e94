"""Tests of the amounts of the machine."""

from __future__ import annotations

import pytest

from app.core.scheduling.devices import Device
from app.service import gpus, machine
from db import host


@pytest.mark.parametrize(
    ("look", "known"),
    [
        (None, {}),
        (gpus.DeviceLook(0.0, None), {}),
        (gpus.DeviceLook(0.0, (Device(0, "0", ""), Device(1, "1", ""))), {"gpu": 2}),
    ],
)
def test_gpus_are_known_only_if_a_driver_lists_them(
    monkeypatch: pytest.MonkeyPatch, look: gpus.DeviceLook | None, known: dict[str, int]
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(4, 64))
    monkeypatch.setattr(gpus, "_last", look)

    assert machine.read_amounts() == {"cpu": 4, "memory": 64, **known}
