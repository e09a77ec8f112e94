"""Health check of the limits that the kernel enforces, and of what that needs."""

from __future__ import annotations

import os

from app.core.text.sanitize import sanitize
from app.health import systemd
from app.health.finding import Finding, make_command, make_restart_command, quote_word
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHECK = "enforce"


def check_enforcement(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check that pools can enforce their limits; tell how, if none does."""
    pools = (status or {}).get("pools") or ()
    enforcing = [pool for pool in pools if pool.get("enforce")]
    for pool in enforcing:
        name, trouble = sanitize(pool["name"]), pool.get("trouble")
        if trouble:
            text = tr(
                "pool {name} starts nothing: {trouble}",
                name=name,
                trouble=sanitize(trouble.partition(" (")[0]),
            )
            yield Finding(CHECK, text, "broken", _find_cure(home))
        else:
            limits = " and ".join(pool["enforce"])
            yield Finding(
                CHECK,
                tr("the kernel enforces {limits} of runs in pool {name}", limits=limits, name=name),
            )
    if not enforcing:
        yield Finding(CHECK, tr("no pool enforces limits; {way}", way=_describe_way()))


def _has_scopes() -> bool:
    """Return True if systemd gives the keeper of this user a scope."""
    return systemd.is_booted() and (os.geteuid() == 0 or systemd.has_linger(systemd.get_user()))


def _describe_way() -> str:
    """Return how pools get limits that the kernel enforces."""
    if _has_scopes():
        return "to change that: taskdeck pool set POOL --enforce memory,cpu"
    if systemd.is_booted():
        return tr(
            "before one can: sudo loginctl enable-linger {user}",
            user=quote_word(systemd.get_user()),
        )
    return "without systemd that needs cgroup = in config.toml (taskdeck help resources)"


def _find_cure(home: str) -> str:
    """Return the command that gives the next keeper a cgroup."""
    return make_restart_command(home) if _has_scopes() else make_command(home, "help resources")
