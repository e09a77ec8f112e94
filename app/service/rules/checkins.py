"""Check-ins: a program outside of Taskdeck reports its success.

The operation log has only those that a person typed in a terminal: a job that reports each minute
would hide what people did. `ls` returns the latest check-in of each name.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from app.core.rules import rule_plan
from app.core.rules.rule_plan import Labels, RulePlan
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import NotFound, Usage
from app.service.context import Call
from app.translation import tr
from db.engine import Connection
from db.queries import definitions
from db.queries.history import operations
from db.queries.rules import checkins

MAX_NOTE_LENGTH = 500
"""Characters of a note."""
_METRIC = "task.seconds_since_success"


async def check_in(call: Call, *, name: str, note: str | None = None) -> dict[str, Any]:
    """Store that a program succeeded now.

    A rule on `task.seconds_since_success` of that name fires when no check-in follows in time.
    Return {"name", "at", "by", "note", "rules": those that look at the name}.
    """
    if wrong := find_name_error(name) if isinstance(name, str) else tr("must be text"):
        raise Usage("name {wrong}. Nothing was stored.", wrong=wrong)
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE_LENGTH):
        raise Usage(
            "note must be text of at most {max_note_length} characters.",
            max_note_length=MAX_NOTE_LENGTH,
        )
    known, at = await call.db.write(_store, name, call.by, note)
    plans = await call.db.read(_map_plans)
    rules = _find_rules(plans, name)
    if known is not None and name not in _list_names(plans.values()):
        near = find_nearest(name, known)
        nearest = f" Nearest: {sanitize(near)}." if near else ""
        call.note(tr("{name} is a new name.{nearest}", name=sanitize(name), nearest=nearest))
    if not rules:
        call.note(_explain_unwatched(name, plans.values()))
    return {"name": name, "at": at, "by": call.by, "note": note, "rules": rules}


def _store(c: Connection, name: str, by: str, note: str | None) -> tuple[list[str] | None, str]:
    """Store a check-in. Return the other names if the name is new, else None, and the time."""
    names = [row.name for row in checkins.list_checkins(c)]
    at = checkins.store_checkin(c, name, by, note)
    if isinstance(by, operations.Actor) and by.origin is not None:
        operations.record(c, by, "checkin", f"name {name}", None, {"at": at})
    return None if name in names else names, at


async def forget(call: Call, *, name: str) -> dict[str, Any]:
    """Delete the check-in of a name. Raise NotFound if the name has none."""

    def delete(c: Connection) -> None:
        found = {row.name: row for row in checkins.list_checkins(c)}
        if name not in found:
            near = find_nearest(name, found)
            raise NotFound(
                f'no check-in of "{truncate(sanitize(name), 60)}".'
                + (f" Nearest: {sanitize(near)}." if near else ""),
                "List: taskdeck sla checkins",
            )
        checkins.delete_checkin(c, name)
        operations.record(c, call.by, "forget checkin", f"name {name}", found[name]._asdict())

    await call.db.write(delete)
    return {"name": name}


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


def _list_names(plans: Iterable[RulePlan]) -> list[str]:
    """Return the plain names in the match of rules."""
    return [one for plan in plans for one in rule_plan.list_exact_names(plan.match.task)]


def _explain_unwatched(name: str, plans: Iterable[RulePlan]) -> str:
    """Explain that no rule watches a name, and how to make a rule."""
    near = find_nearest(name, _list_names(plans))
    hint = tr(" Nearest name of a rule: {near}.", near=sanitize(near)) if near else ""
    word = sanitize(shlex.quote(name))
    return tr(
        "no rule watches {name}.{advice} To make one: taskdeck sla create {word} --preset"
        " not-succeeded --value 25h --task {word}",
        name=sanitize(name),
        advice=hint,
        word=word,
    )
