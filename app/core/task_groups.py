"""Names of groups, indexes of arrays, variables of a run of a group, and progress of a group."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.core.text.joining import join_colon
from app.translation import tr
from db.states import ENDED, FAILED, SKIPPED, WAITING, TaskStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"g([1-9][0-9]{0,17})")
_SIMILAR = re.compile(r"[gG]#?[0-9]*")
MAX_TASKS = 100_000
"""Maximum number of tasks of a group, whose tasks are sent in one message."""
MAX_INDEX = 2**31 - 1
_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?")


def parse_group(word: str) -> int | None:
    """Return the number of a group named like `g12`, or None."""
    found = _NAME.fullmatch(word.strip())
    return int(found[1]) if found else None


def is_similar(word: str) -> bool:
    """Return True for a word that somebody may have meant as a group: `G12`, `g#12`, `g`."""
    return _SIMILAR.fullmatch(word.strip()) is not None


def format_group(number: int) -> str:
    """Return the name of a group: `g12`."""
    return f"g{number}"


def format_member(index: int | None, sweep: Mapping[str, str] | None) -> str:
    """Return the difference of a task from others of its group: `lr=0.1 bs=32`, `[7]` or ""."""
    if sweep:
        return " ".join(f"{name}={value}" for name, value in sweep.items())
    return "" if index is None else f"[{index}]"


def make_variables(
    number: int | None, index: int | None, sweep: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the environment variables of a run of a group, also if a damage took the group."""
    found = {f"TASKDECK_PARAM_{name}": value for name, value in (sweep or {}).items()}
    if number is not None:
        found["TASKDECK_GROUP"] = format_group(number)
    if index is not None:
        found["TASKDECK_ARRAY_INDEX"] = str(index)
    return found


def parse_array(text: str) -> tuple[list[int], int | None]:
    """Return the indexes of `1-100`, `1,3,7` or `0-10:2`, in ascending order, each once.

    The second result is the number that may run at once, as in `1-100%8`. Raise ValueError with
    a part of a sentence.
    """
    listed, percent, most = text.partition("%")
    if percent and not (most.isascii() and most.isdigit() and 0 < int(most[:9]) == int(most)):
        raise ValueError(
            tr('must have the tasks that run at once after %, not "{most}"', most=most[:40])
        )
    found: set[int] = set()
    for part in listed.split(","):
        indexes = _parse_part(part.strip())
        if len(indexes) <= MAX_TASKS:
            found.update(indexes)
        if max(len(found), len(indexes)) > MAX_TASKS:
            raise ValueError(tr("has more than {max_tasks:,} indexes", max_tasks=MAX_TASKS))
    return sorted(found), int(most) if percent else None


def _parse_part(part: str) -> range:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise ValueError(tr('must be such as 1-100, 1,3,7 or 0-10:2, not "{part}"', part=part[:40]))
    low, high = int(match[1]), int(match[2] or match[1])
    step = int(match[3] or 1)
    if high < low or step < 1 or high > MAX_INDEX:
        wrong = tr("ends before it begins") if high < low else tr("has a step of 0")
        wrong = wrong if high <= MAX_INDEX else tr("is too large")
        raise ValueError(join_colon(wrong, f'"{part[:40]}"'))
    return range(low, high + 1, step)


RATE_WINDOW = 600.0
"""Seconds over which the rate of a group is measured."""
_STATUS_ORDER = (
    TaskStatus.RUNNING, TaskStatus.RETRYING, TaskStatus.QUEUED, TaskStatus.SCHEDULED,
    TaskStatus.BLOCKED, TaskStatus.HELD,
)  # fmt: skip


class GroupProgress(NamedTuple):
    """Progress of a group: numbers of tasks, and one status for all.

    `rate` is in ends per minute, `eta` in seconds from now; None while they are unknown.
    """

    total: int
    ended: int
    failed: int
    running: int
    waiting: int
    status: str
    rate: float | None
    eta: float | None


def measure_progress(counts: Mapping[str, int], ended_lately: int, age: float) -> GroupProgress:
    """Return the progress of a group from its tasks by status.

    Skipped tasks, counted apart, do not make it cancelled unless all are. `ended_lately` counts
    the ends of the last `RATE_WINDOW` seconds; the group is `age` seconds old.
    """
    ended, failed, waiting = (
        sum(counts.get(status, 0) for status in statuses)
        for statuses in (ENDED | {SKIPPED}, FAILED, WAITING)
    )
    running = counts.get(TaskStatus.RUNNING, 0)
    left = running + waiting
    minutes = max(1.0, min(RATE_WINDOW, age)) / 60.0
    rate = ended_lately / minutes if left and ended_lately else None
    eta = left / rate * 60.0 if rate and running else None
    status = next((status for status in _STATUS_ORDER if counts.get(status)), None)
    if status is None:
        status = (
            TaskStatus.FAILED
            if failed
            else TaskStatus.CANCELLED
            if counts.get(TaskStatus.CANCELLED) or counts.get(SKIPPED) == ended > 0
            else TaskStatus.SUCCEEDED
        )
    return GroupProgress(left + ended, ended, failed, running, waiting, status.value, rate, eta)
