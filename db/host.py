"""Capacity of the host: the cores this process may use, and the memory."""

from __future__ import annotations

import os
from typing import NamedTuple

import psutil


class HostCapacity(NamedTuple):
    """Cores and MiB of memory of a host."""

    cpu: float
    memory: float


def read_capacity() -> HostCapacity:
    """Return the capacity of this host."""
    return HostCapacity(
        float(len(os.sched_getaffinity(0))), float(round(psutil.virtual_memory().total / 2**20))
    )


def read_boot_id() -> str:
    """Return the id of this boot of the machine, or "" if the kernel tells none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
