"""Limits and bookings as the dispatch plan takes them, and the tags of tasks that they concern."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

from app.core.scheduling.bookings import Booking, BookingKey
from app.core.scheduling.limits import (
    RUNNING,
    BoundKey,
    LimitBudget,
    LimitKey,
    Limits,
    format_subject,
    list_subjects,
    make_group_subject,
)
from app.core.scheduling.plan import Amounts
from app.core.scheduling.resources import CPU, MEMORY, make_amounts
from app.core.task_groups import parse_group
from db import timestamps
from db.engine import Connection
from db.queries.scheduling import limits as queries
from db.queries.scheduling.limits import Exclusion
from db.queries.scheduling.resources import BookingRow, LimitRow, parse_named

EMPTY: Mapping[int, int] = MappingProxyType({})


def to_amounts(row: LimitRow) -> Amounts:
    """Return the amounts of a limit: those that are set."""
    found = {RUNNING: row.running, CPU: row.cpu, MEMORY: row.memory}
    return {n: float(most) for n, most in found.items() if most is not None} | dict(
        parse_named(row.resources)
    )


def to_limits(rows: Mapping[str, LimitRow], groups: Mapping[int, int] = EMPTY) -> Limits:
    """Return limits by name; `groups` has the most running tasks of groups."""
    of_groups = {make_group_subject(n): {RUNNING: float(most)} for n, most in groups.items()}
    return {name: to_amounts(row) for name, row in rows.items()} | of_groups


class TagBounds(NamedTuple):
    """Limits of tags and groups, and the tags that have bookings."""

    limits: Limits
    booked: frozenset[str]

    def find_subjects(self, tags: str, group: int | None) -> tuple[str, ...]:
        """Return the tags and the group of a task that limits bound or bookings are for.

        The tags are JSON.
        """
        found = list_subjects(self.limits, _parse_tags(tags), self.booked)
        subject = make_group_subject(group) if group else ""
        return (*found, subject) if subject in self.limits else found


def make_bounds(limits: Limits, bookings: Sequence[Booking]) -> TagBounds | None:
    """Return the limits and the booked tags, or None without any."""
    booked = frozenset(one.tag for one in bookings)
    return TagBounds(limits, booked) if limits or booked else None


def list_booked(row: BookingRow) -> Amounts:
    """Return the amounts of a booking."""
    found = make_amounts(row.cpu or 0.0, row.memory or 0.0, parse_named(row.resources))
    return {name: amount for name, amount in found.items() if amount}


def to_bookings(rows: Sequence[BookingRow], now: float) -> tuple[Booking, ...]:
    """Return bookings as the plan takes them; `now` is in UNIX seconds."""
    return tuple(
        Booking(
            row.name,
            row.pool,
            row.tag,
            list_booked(row),
            timestamps.to_unix(row.begins_at) - now,
            timestamps.to_unix(row.ends_at) - now,
        )
        for row in rows
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _parse_tags(text: str) -> Mapping[str, str]:
    return json.loads(text)


def map_subjects(
    c: Connection, bounds: TagBounds | None, uuids: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return {uuid: the tags and the group of a task that limits bound or bookings are for}."""
    if bounds is None:
        return {}
    return {uuid: bounds.find_subjects(*pair) for uuid, pair in queries.map_tags(c, uuids).items()}


def list_exclusions(budget: LimitBudget, pool: str) -> list[Exclusion]:
    """Return the tasks of a pool that limits and bookings stop.

    The budget is what a line leaves.
    """
    stopped = {*budget.firsts, *budget.list_exhausted()}
    limited = (_to_exclusion(budget, key) for key in stopped if not isinstance(key, BookingKey))
    return sorted([*list_booking_exclusions(budget, pool), *limited], key=_get_order)


def _get_order(one: Exclusion) -> tuple[Any, ...]:
    """Return a sort key, so that kept lines find the same exclusions in the same order."""
    return one.group or 0, one.tags, one.without, one.resource or "", one.above


def list_booking_exclusions(
    budget: LimitBudget, pool: str, stopping: Collection[BoundKey] = ()
) -> list[Exclusion]:
    """Return the tasks of a pool that bookings stop; `stopping` have stopped a task of the line."""
    if not budget.beside:
        return []
    return [
        one
        for key in {*stopping, *budget.firsts, *budget.list_exhausted()}
        if isinstance(key, BookingKey) and key.pool in (None, pool)
        for one in _list_excluded_by_booking(budget, key)
    ]


def _list_excluded_by_booking(budget: LimitBudget, key: BookingKey) -> list[Exclusion]:
    """Return the tasks for which a booking leaves too little, and those behind a stopped one."""
    bound, free = budget.get_bound(key), max(0.0, budget.get_free(key))
    lacking = Exclusion((), tuple(sorted(bound.tags)), key.resource, free, bound.begins_in)
    wait = budget.find_wait(key)
    if wait is None:
        return [lacking]
    starts_in = wait.starts_in if wait.starts_in < inf else 0.0
    spare = max(0.0, wait.spare.get((key.pool, key.resource), 0.0))
    longer = max(bound.begins_in, starts_in)
    return [lacking, lacking._replace(above=spare, longer_than=longer)]


def _to_exclusion(budget: LimitBudget, key: LimitKey) -> Exclusion:
    above = 0.0 if key in budget.firsts else max(0.0, budget.get_free(key))
    return make_exclusion(key)._replace(above=above)


def make_exclusion(key: LimitKey) -> Exclusion:
    """Return the tasks that take of an amount of a limit."""
    resource = None if key.resource == RUNNING else key.resource
    if (group := parse_group(format_subject(key.subject))) is not None:
        return Exclusion((), (), resource, 0.0, group=group)
    return Exclusion((key.subject,), (), resource, 0.0)
