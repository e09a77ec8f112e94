"""Hints about names that nothing has so far, in rules, silences and schedules.

A rule may come before its first task, so such a name is stored; most often it is mistyped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from app.core import sla
from app.core.rules import catalog, rule_plan
from app.core.scheduling.resources import CPU, MEMORY
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.translation import tr
from db.engine import Connection
from db.queries import definitions, reads, schedules
from db.queries.rules import alerts, checkins
from db.queries.scheduling import resources
from db.queries.tasks import known_names
from db.rows import ScheduleRow

MAX_SHOWN = 60
"""Longest shown name, in cells."""


def describe_rule_hints(
    c: Connection, conditions: Mapping[str, Any], planned: Mapping[str, ScheduleRow] | None = None
) -> list[str]:
    """Return hints about unknown names in the match of a rule of either form.

    `planned` are schedules that are stored at the same time.
    """
    match = conditions.get("match") or {}
    words = {kind: _to_list(match.get(kind)) for kind in ("task", "schedule", "pool")}
    tags = match.get("tags") or match.get("tag") or {}
    words["tag"] = [f"{key}={value}" for key, value in tags.items()]
    return describe_hints(c, words, planned) + _describe_resources(c, conditions)


def _describe_resources(c: Connection, conditions: Mapping[str, Any]) -> list[str]:
    """Return hints about metrics of named resources that no pool has."""
    if not sla.is_general(conditions):
        return []
    named = {
        name
        for ref in rule_plan.make_plan(conditions).refs
        if (name := catalog.find_resource(ref.metric)) and name not in (CPU, MEMORY)
    }
    if not named:
        return []
    known = {*resources.read_totals(c)}
    for pool in reads.list_pools(c):
        known.update(resources.parse_named(pool.resources))
    return [
        tr("no pool has {name} so far.", name=truncate(sanitize(name), MAX_SHOWN))
        + _format_nearest(name, [*sorted(known), CPU, MEMORY])
        for name in sorted(named - known)
    ]


def describe_hints(
    c: Connection,
    match: Mapping[str, Sequence[str]],
    planned: Mapping[str, ScheduleRow] | None = None,
) -> list[str]:
    """Return hints about unknown plain names of {kind: names or globs}."""
    hints: list[str] = []
    for kind, globs in match.items():
        for name in rule_plan.list_exact_names(globs):
            hint = _describe(c, kind, name, planned or {})
            hints += [hint] if hint else []
    return hints


def _to_list(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _describe(
    c: Connection, kind: str, name: str, planned: Mapping[str, ScheduleRow]
) -> str | None:
    shown = truncate(sanitize(name), MAX_SHOWN)
    if kind == "task":
        if known_names.has_task_name(c, name):
            return None
        text, known = (
            tr("no task has had the name {shown} so far.", shown=shown),
            _list_task_names(c, planned),
        )
    elif kind == "tag":
        text, known = (
            tr("no recent task has the tag {shown}.", shown=shown),
            known_names.list_recent_tags(c),
        )
    elif kind in _LISTED:
        word = "rule or open alert" if kind == "rule" else kind
        text, known = (
            tr("there is no {word} {shown} so far.", word=word, shown=shown),
            [*_LISTED[kind](c)],
        )
        known += planned if kind == "schedule" else ()
    else:
        return None
    return None if name in known else text + _format_nearest(name, known)


def _list_task_names(c: Connection, planned: Mapping[str, ScheduleRow]) -> list[str]:
    """Return names of tasks: of the latest ones, of schedules, and of check-ins."""
    rows = [*schedules.list_all(c), *planned.values()]
    names = [row.task.get("name") or row.name for row in rows]
    names += [row.name for row in checkins.list_checkins(c)]
    names += definitions.list_template_names(c)
    return [*names, *known_names.list_recent_names(c)]


def _format_nearest(name: str, known: Collection[str]) -> str:
    near = find_nearest(name, known)
    return f" Nearest: {sanitize(near)}" if near else ""


_LISTED: Mapping[str, Callable[[Connection], Iterable[str]]] = {
    "rule": lambda c: [*(row.name for row in definitions.list_slas(c)), *alerts.list_open_names(c)],
    "template": definitions.list_template_names,
    "schedule": schedules.list_names,
    "queue": lambda c: [row.name for row in reads.list_queues(c)],
    "pool": lambda c: [row.name for row in reads.list_pools(c)],
}


def describe_program_hint(row: ScheduleRow) -> str | None:
    """Return a hint if the program of a schedule does not exist or cannot be executed now."""
    argv = row.task.get("argv")
    if not argv:
        return None
    env = {**(row.context.get("env") or {}), **row.task.get("env", {})}
    cwd = row.task.get("cwd") or row.context.get("cwd") or "/"
    return describe_missing_program(argv[0], cwd, env)


def describe_missing_program(word: str, cwd: str, env: Mapping[str, str]) -> str | None:
    """Return a hint if a word starts no program in a directory with these variables."""
    if is_program(word, cwd, env.get("PATH", os.defpath)):
        return None
    shown = truncate(sanitize(word), MAX_SHOWN)
    where = tr(" from {cwd}", cwd=sanitize(cwd)) if "/" in word and not os.path.isabs(word) else ""
    if "/" in word and os.path.lexists(os.path.join(cwd, word)):
        return tr("{shown}{where} is no executable file so far.", shown=shown, where=where)
    return tr("there is no program {shown}{where} so far.", shown=shown, where=where)


def is_program(word: str, cwd: str, path: str | None = None) -> bool:
    """Return True if a word starts a program in a directory, with this PATH."""
    named = os.path.join(cwd, word) if "/" in word else word
    return shutil.which(named, path=path) is not None
