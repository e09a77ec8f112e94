"""Health check of a home in cluster mode: the resource agent must be on this host."""

from __future__ import annotations

import os

from app import cluster
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_command
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def is_passive(home: str) -> bool:
    """Return True on the host of a cluster that does not have the home."""
    return cluster.is_enabled() and not cluster.has_home(home)


def check_cluster(home: str) -> Iterator[Finding]:
    """Check that Pacemaker finds the agent; nothing without cluster mode."""
    if not cluster.is_enabled():
        return
    path = cluster.get_agent_path()
    if os.access(path, os.X_OK):
        where = "the home is not on this host; " if is_passive(home) else ""
        yield Finding(
            "cluster", tr("{where}Pacemaker runs it with {path}", where=where, path=sanitize(path))
        )
    else:
        text = tr(
            "config.toml says cluster = true, but there is no agent in {path}", path=sanitize(path)
        )
        command = f"sudo {make_command(home, 'service install --pacemaker')}"
        yield Finding("cluster", text, "broken", command)
