"""What this machine has to give out: its cores, as far as this process may use them, and its memory."""

from __future__ import annotations

import os
from typing import NamedTuple

import psutil


class Machine(NamedTuple):
    """Cores, and MiB of memory."""

    cpu: float
    memory: float


def here() -> Machine:
    """This one."""
    return Machine(float(len(os.sched_getaffinity(0))), float(round(psutil.virtual_memory().total / 2**20)))
