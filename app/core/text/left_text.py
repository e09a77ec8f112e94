"""Words for the processes that outlive a run, with the command that ends them."""

from __future__ import annotations

from app.core.text.sanitize import sanitize
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

MAX_NAMED = 8
"""Maximum number of processes named."""


def describe_left(left: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for the processes of the task, and one for those that may be its own.

    `left` is the field of that name in the answer of the verb `show`.
    """
    own = [one for one in left if one["certain"]]
    others = [one for one in left if not one["certain"]]
    return [
        tr_n(
            len(own),
            "1 process of this task keeps running: pid {processes}. To end: kill {pids}",
            "{n:,} processes of this task keep running: pid {processes}. To end: kill {pids}",
            **_list_processes(own),
        )
    ] * bool(own) + [
        tr_n(
            len(others),
            "1 process, which may be of this task, keeps running: pid {processes}."
            " To end: kill {pids}",
            "{n:,} processes, which may be of this task, keep running: pid {processes}."
            " To end: kill {pids}",
            **_list_processes(others),
        )
    ] * bool(others)


def _list_processes(left: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    named = ", ".join(f"{item['pid']} ({sanitize(item['name'])})" for item in left[:MAX_NAMED])
    if len(left) > MAX_NAMED:
        named = tr("{named} and {more:,} more", named=named, more=len(left) - MAX_NAMED)
    return {"processes": named, "pids": " ".join(str(item["pid"]) for item in left[:MAX_NAMED])}
