"""Text about the age of a replica, and about what would be missing if the home were lost now."""

from __future__ import annotations

from app.core.text import units
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def format_age_and_missed(replica: Mapping[str, Any]) -> str:
    """Return `28s old, misses 23 new tasks and 5 ends`, from the status of a replica."""
    if replica["lag"] is None:
        return tr("not copied yet")
    age = tr("{age} old", age=units.format_age(replica["lag"]))
    missed = replica.get("missed")
    if missed is None:
        return age
    return tr("{age}, misses {missed}", age=age, missed=_format_missed(missed))


def _format_missed(missed: Mapping[str, Any]) -> str:
    most, parts = missed["most"], list[str]()
    if tasks := missed["tasks"]:
        count = _format_count(tasks, most)
        parts.append(tr_n(tasks, "{count} new task", "{count} new tasks", count=count))
    if ends := missed["ends"]:
        parts.append(tr_n(ends, "{count} end", "{count} ends", count=_format_count(ends, most)))
    if not parts:
        return tr("nothing")
    from app.core.text.joining import join_and  # `status` imports this module

    return join_and(parts)


def _format_count(count: int, most: int) -> str:
    return tr("more than {most:,}", most=most) if count > most else f"{count:,}"
