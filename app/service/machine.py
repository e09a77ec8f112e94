"""Amounts of this machine, which no advice exceeds."""

from __future__ import annotations

from app.core.scheduling.amounts import Amounts
from app.core.scheduling.resources import GPU, make_amounts
from app.service import gpus
from db import host


def read_amounts() -> Amounts:
    """Return the cores, the MiB of memory and, if a driver lists them, the GPUs."""
    devices = gpus.get_devices()
    return make_amounts(*host.read_capacity(), None if devices is None else {GPU: len(devices)})
