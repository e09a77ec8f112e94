"""Health check of a home in cluster mode: the resource agent must be on this host."""

from __future__ import annotations

import os

from app import cluster
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def check_cluster(home: str) -> Iterator[Finding]:
    """Check that Pacemaker finds the agent; nothing without cluster mode."""
    if not cluster.is_enabled():
        return
    path = cluster.get_agent_path()
    if os.access(path, os.X_OK):
        yield Finding("cluster", f"Pacemaker runs this home with {sanitize(path)}")
    else:
        text = f"config.toml says cluster = true, but there is no agent in {sanitize(path)}"
        command = f"sudo {make_command(home, 'service install --pacemaker')}"
        yield Finding("cluster", text, "broken", command)
