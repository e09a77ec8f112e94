"""Text about the age of a replica, and about what would be missing if the home were lost now."""

from __future__ import annotations

from app.core.text import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def format_age_and_missed(replica: Mapping[str, Any]) -> str:
    """Return `28s old, misses 23 new tasks and 5 ends`, from the status of a replica."""
    if replica["lag"] is None:
        return "not copied yet"
    missed = replica.get("missed")
    return f"{units.format_age(replica['lag'])} old" + (
        f", misses {_format_missed(missed)}" if missed is not None else ""
    )


def _format_missed(missed: Mapping[str, Any]) -> str:
    parts = [
        f"{_format_count(missed[name], missed['most'])} {one if missed[name] == 1 else many}"
        for name, one, many in (("tasks", "new task", "new tasks"), ("ends", "end", "ends"))
        if missed[name]
    ]
    return " and ".join(parts) or "nothing"


def _format_count(count: int, most: int) -> str:
    return f"more than {most:,}" if count > most else f"{count:,}"
