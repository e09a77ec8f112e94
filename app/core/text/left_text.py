"""Words for the processes that outlive a run, with the command that ends them."""

from __future__ import annotations

from app.core.text.sanitize import sanitize

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
        *_describe(own, "1 process of this task keeps", "{} processes of this task keep"),
        *_describe(
            others,
            "1 process, which may be of this task, keeps",
            "{} processes, which may be of this task, keep",
        ),
    ]


def _describe(left: Sequence[Mapping[str, Any]], singular: str, plural: str) -> list[str]:
    if not left:
        return []
    what = singular if len(left) == 1 else plural.format(f"{len(left):,}")
    named = ", ".join(f"{item['pid']} ({sanitize(item['name'])})" for item in left[:MAX_NAMED])
    rest = f" and {len(left) - MAX_NAMED:,} more" if len(left) > MAX_NAMED else ""
    pids = " ".join(str(item["pid"]) for item in left[:MAX_NAMED])
    return [f"{what} running: pid {named}{rest}. To end: kill {pids}"]
