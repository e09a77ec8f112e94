"""Limits that the kernel can enforce, by the cgroup of the keeper as the runtime last saw it.

A process has at most one runtime, so this module keeps one value. Without a runtime nothing
starts, and nothing is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.scheduling.enforcement import CPU_LIMIT, Lack, list_enforced
from app.translation import tr

RETRY = 30.0
"""Seconds for which nothing more is tried in a cgroup in which a run could not start."""
CURE = "taskdeck doctor"

_cgroups: Mapping[str, Any] | None = None
_failure: tuple[str, float] | None = None


def set_cgroups(found: Mapping[str, Any] | None) -> None:
    """Keep the keeper's cgroups: root, controllers and why there are none; None if unknown."""
    global _cgroups, _failure
    _cgroups, _failure = found, None


def note_failure(why: str) -> None:
    """Keep why a run could not start in a cgroup of its own."""
    global _failure
    _failure = why, time.monotonic()


def is_cpu_shared() -> bool:
    """Return True if the cgroups of runs share the CPU by weight, wanted or not."""
    return _cgroups is not None and CPU_LIMIT in _cgroups.get("controllers", ())


def find_lack(names: Sequence[str]) -> Lack | None:
    """Return what is missing to enforce limits, or None."""
    if _cgroups is None or not names:
        return None
    missing = [name for name in names if name not in _cgroups.get("controllers", ())]
    if missing:
        lacking = tr(
            "{state} has no controller {missing}", state=_cgroups.get("root"), missing=missing[0]
        )
        return Lack(_cgroups.get("why", tr("the keeper is of an earlier version")) or lacking, CURE)
    if _failure is not None and time.monotonic() < _failure[1] + RETRY:
        return Lack(_failure[0], CURE)
    return None


def find_trouble(stored: str | None) -> str | None:
    """Return why runs may not start in a pool with these limits, with the cure, or None."""
    lack = find_lack(list_enforced(stored))
    return lack and tr(
        "the kernel cannot enforce its limits: {why} ({cure})", why=lack.why, cure=lack.cure
    )
