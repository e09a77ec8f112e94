"""Limits as the dispatch plan takes them, and the tags of tasks and runs that they bound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from app.core.scheduling.limits import (
    RUNNING,
    LimitBudget,
    LimitKey,
    Limits,
    format_subject,
    list_subjects,
    make_group_subject,
)
from app.core.scheduling.plan import ActiveRun, Amounts, QueuedTask
from app.core.scheduling.resources import CPU, MEMORY
from app.core.task_groups import parse_group
from db.engine import Connection
from db.queries import limits as queries
from db.queries.limits import Exclusion
from db.queries.resources import LimitRow, parse_named

EMPTY: Mapping[int, int] = MappingProxyType({})
MAX_READS = 4
"""Reads of a queue beyond the tasks that limits stop, each with what the last one found."""


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


def find_subjects(limits: Limits, row: Any) -> tuple[str, ...]:
    """Return the tags of a task or run that limits bound, and its group; its tags are JSON."""
    return _list_subjects(limits, row.tags, row.group_number) if limits else ()


def _list_subjects(limits: Limits, tags: str, group: int | None) -> tuple[str, ...]:
    found = list_subjects(limits, _parse_tags(tags))
    subject = make_group_subject(group) if group else ""
    return (*found, subject) if subject in limits else found


@lru_cache(maxsize=4096)
def _parse_tags(text: str) -> Mapping[str, str]:
    return json.loads(text)


def map_subjects(c: Connection, limits: Limits, uuids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return {uuid: the tags of a task that limits bound, and its group}."""
    found = queries.map_tags(c, uuids) if limits else {}
    return {uuid: _list_subjects(limits, *pair) for uuid, pair in found.items()}


def find_exclusions(
    limits: Limits, runs: Sequence[ActiveRun], line: Sequence[QueuedTask]
) -> tuple[list[Exclusion], int]:
    """Return which further tasks limits stop if the tasks of a line start, and how many may."""
    budget, stopped = LimitBudget(limits, runs), set[LimitKey]()
    startable = 0
    for task in line:
        lacking = budget.find_lacking(task)
        if lacking:
            budget.add_first(task, lacking)
            stopped.update(lacking)
        else:
            budget.occupy(task)
            startable += 1
    stopped.update(budget.list_exhausted())
    return [_to_exclusion(budget, key) for key in sorted(stopped)], startable


def _to_exclusion(budget: LimitBudget, key: LimitKey) -> Exclusion:
    if (group := parse_group(format_subject(key.subject))) is not None:
        return Exclusion("", "", None, 0.0, group)
    name, _, value = key.subject.partition("=")
    above = 0.0 if key in budget.firsts else max(0.0, budget.get_free(key))
    return Exclusion(name, value, None if key.resource == RUNNING else key.resource, above)
