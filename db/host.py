"""What this machine has to give out: its cores, as far as this process may use them, and its memory."""

from __future__ import annotations

import os
from typing import NamedTuple

import psutil


class HostCapacity(NamedTuple):
    """Cores, and MiB of memory."""

    cpu: float
    memory: float


def read_capacity() -> HostCapacity:
    """This one."""
    return HostCapacity(float(len(os.sched_getaffinity(0))), float(round(psutil.virtual_memory().total / 2**20)))
