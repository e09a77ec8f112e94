"""Check-ins: a program outside of Taskdeck reports its success.

The operation log has none of them: a job that reports each minute would hide what people did, and
there is nothing to undo. `ls` returns the latest check-in of each name.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from app.core.rules import rule_plan
from app.core.rules.rule_plan import Labels, RulePlan
from app.core.text.sanitize import find_name_error, find_nearest, sanitize
from app.errors import Usage
from app.service.context import Call
from db.engine import Connection
from db.queries import checkins, definitions

MAX_NOTE_LENGTH = 500
"""Characters of a note."""
_METRIC = "task.seconds_since_success"


async def check_in(call: Call, *, name: str, note: str | None = None) -> dict[str, Any]:
    """Store that a program succeeded now.

    A rule on `task.seconds_since_success` of that name fires when no check-in follows in time.
    Return {"name", "at", "by", "note", "rules": those that look at the name}.
    """
    if wrong := find_name_error(name) if isinstance(name, str) else "must be text":
        raise Usage(f"name {wrong}. Nothing was stored.")
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE_LENGTH):
        raise Usage(f"note must be text of at most {MAX_NOTE_LENGTH} characters.")
    at = await call.db.write(checkins.store_checkin, name, call.by, note)
    plans = await call.db.read(_map_plans)
    rules = _find_rules(plans, name)
    if not rules:
        call.note(_explain_unwatched(name, plans.values()))
    return {"name": name, "at": at, "by": call.by, "note": note, "rules": rules}


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return the latest check-in of each name, by name, each as `check_in` does."""

    def read(c: Connection) -> list[dict[str, Any]]:
        rows = checkins.list_checkins(c)
        plans = _map_plans(c) if rows else {}
        return [row._asdict() | {"rules": _find_rules(plans, row.name)} for row in rows]

    return await call.db.read(read)


def _find_rules(plans: Mapping[str, RulePlan], name: str) -> list[str]:
    return [
        rule for rule, plan in plans.items() if rule_plan.is_matched(plan.match, Labels(task=name))
    ]


def _map_plans(c: Connection) -> dict[str, RulePlan]:
    """Return {rule: its plan} of the enabled rules that look at successes of a name."""
    found: dict[str, RulePlan] = {}
    for row in definitions.list_slas(c):
        if row.enabled and row.conditions.get("scope") == "task":
            try:
                plan = rule_plan.make_plan(row.conditions)
            except ValueError:  # only another program stores such conditions
                continue
            if plan.base == "task" and (plan.has_times or any(
                ref.metric == _METRIC for ref in plan.refs
            )):  # fmt: skip
                found[row.name] = plan
    return found


def _explain_unwatched(name: str, plans: Iterable[RulePlan]) -> str:
    """Explain that no rule watches a name, and how to make a rule."""
    names = [one for plan in plans for one in rule_plan.list_exact_names(plan.match.task)]
    near = find_nearest(name, names)
    hint = f" Nearest name of a rule: {sanitize(near)}." if near else ""
    word = sanitize(shlex.quote(name))
    return (
        f"no rule watches {sanitize(name)}.{hint} To make one:"
        f" taskdeck sla create {word} --preset not-succeeded --value 25h --task {word}"
    )
