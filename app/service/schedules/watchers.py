"""Rules and alerts that are left when a schedule is removed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from app.core.rules.rule_plan import is_any_match
from app.core.text.sanitize import sanitize, truncate
from app.service.rules.evaluation.rule_changes import make_fingerprint
from app.service.rules.facts.snapshot import get_task_name
from app.translation import tr
from db.engine import Connection
from db.queries import definitions, schedules
from db.queries.rules import alerts
from db.rows import ScheduleRow

MAX_LISTED = 5
"""Rules and alerts that are listed."""
_MAX_NAME = 60
"""Longest shown name, in cells."""


def describe_left(c: Connection, row: ScheduleRow) -> list[str]:
    """Return notes on rules that name a removed schedule or its tasks, and on open alerts."""
    rules = [rule for rule in definitions.list_slas(c) if rule.enabled]
    name = get_task_name(row)
    is_shared = any(get_task_name(other) == name for other in schedules.list_all(c))
    watching = [
        rule for rule in rules if _names(rule.conditions.get("match") or {}, row.name, name)
    ]
    if is_shared:
        watching = [rule for rule in watching if (rule.conditions["match"]).get("schedule")]
    notes = [
        tr(
            "rule {rule} still names this schedule. To remove the rule: taskdeck sla rm {name}",
            rule=_show(rule.name),
            name=sanitize(shlex.quote(rule.name)),
        )
        for rule in watching[:MAX_LISTED]
    ]
    if is_shared:
        return notes
    found = alerts.map_live(c, [make_fingerprint(rule.id, f"name:{name}") for rule in rules])
    return notes + [
        tr(
            "alert {id} {rule} is about its tasks, which stay; to remove them: taskdeck rm"
            " --name {name}",
            id=alert.id,
            rule=_show(alert.name),
            name=sanitize(shlex.quote(name)),
        )
        for alert in [*found.values()][:MAX_LISTED]
    ]


def _show(name: str) -> str:
    return truncate(sanitize(name), _MAX_NAME)


def _names(match: Mapping[str, Any], schedule: str, task: str) -> bool:
    """Return whether a match selects the schedule or its tasks by their names."""
    given = {"schedule": schedule, "task": task}
    globs = {key: match[key] for key in given if match.get(key)}
    return bool(globs) and all(
        is_any_match(given[key], [one] if isinstance(one, str) else one)
        for key, one in globs.items()
    )
