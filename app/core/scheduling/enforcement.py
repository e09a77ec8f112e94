"""Limits of runs that the kernel enforces, as a pool chooses them.

Without such a choice, requests of tasks are reservations, and a program may take more.
"""

from __future__ import annotations

from typing import NamedTuple

from app.core.json_types import is_array
from app.core.scheduling.resources import CPU, MEMORY
from app.core.text.units import quote
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEMORY_LIMIT, CPU_LIMIT = ENFORCEABLE = ("memory", "cpu")
NONE = "none"
"""Word for no limit, which is stored as null."""
LEAST_CORES = 0.01
"""Cores that count for a run that asked for none."""
_FORM = tr_noop("must be memory, cpu or both, such as memory,cpu, or none")


class Lack(NamedTuple):
    """Reason why the kernel cannot enforce limits, and the command or setting that helps."""

    why: str
    cure: str = ""


def normalize_enforce(value: object) -> str | None:
    """Return the stored form of a text or a list: `memory,cpu`, or None. Raise ValueError."""
    if value is None or value in (NONE, ""):
        return None
    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    if not is_array(words):
        raise ValueError(_FORM)
    for word in words:
        if word not in ENFORCEABLE:
            raise ValueError(tr("{form}, not {word}", form=tr(_FORM), word=quote(str(word))))
    return ",".join(name for name in ENFORCEABLE if name in words) or None


def parse_enforce(text: str) -> str:
    """Return typed limits: `memory,cpu`, `none`. Raise ValueError."""
    return normalize_enforce(text) or NONE


def list_enforced(stored: str | None) -> list[str]:
    """Return what a pool lets the kernel enforce."""
    return stored.split(",") if stored else []


def format_enforce(enforced: Sequence[str] | None) -> str:
    """Format the limits as typed: `memory,cpu`, `none`."""
    return ",".join(enforced or ()) or NONE


def make_limits(
    stored: str | None, needs: Mapping[str, float], shares_cpu: bool
) -> dict[str, float | None] | None:
    """Return the KiB and cores to enforce for a run with these needs, None in other pools.

    A run that asked for no memory has no limit of memory. Where cgroups share the CPU by weight,
    each run is weighed by its cores: the kernel would take it for one core otherwise.
    """
    if not stored:
        return None
    enforced, memory = list_enforced(stored), needs.get(MEMORY, 0)
    cores = max(needs.get(CPU, 0), LEAST_CORES)
    return {
        MEMORY_LIMIT: max(1, round(memory * 1024)) if MEMORY_LIMIT in enforced and memory else None,
        CPU_LIMIT: cores if shares_cpu or CPU_LIMIT in enforced else None,
    }
