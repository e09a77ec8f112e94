"""Queries on silences: of one rule, or of the alerts that matchers select.

Matchers are compared when alerts are read, so a silence covers later alerts too. A rule has at
most one silence of its own, and there is one silence of the same matchers. An expired silence has
no effect.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, text, update

from db import schema, timestamps
from db.queries.value_lists import is_any_of

Matchers = Mapping[str, Sequence[str]]
"""Name globs by what they match: an alert has one of the names of each.

Those of `tag` are `NAME=VALUE`: for each name, the alert has a tag that one of its globs selects.
"""
_S = schema.silences.c


class Silence(NamedTuple):
    """A silence until a time, of the rule `sla_id` or of the alerts that `matchers` select."""

    id: int
    sla_id: int | None
    matchers: Matchers | None
    by: str
    reason: str | None
    until: str
    created_at: str


class AlertLabels(NamedTuple):
    """Names and tags of an alert that matchers compare; `tag` has `NAME=VALUE` texts."""

    rule: str
    severity: str
    task: str | None = None
    template: str | None = None
    schedule: str | None = None
    queue: str | None = None
    pool: str | None = None
    tag: tuple[str, ...] = ()


_PLACES = {key: place for place, key in enumerate(AlertLabels._fields)}


class CompiledMatcher(NamedTuple):
    """The place of a name in the labels of an alert, -1 if unknown, and the pattern it needs."""

    place: int
    pattern: re.Pattern[str]


class LabelledAlert(NamedTuple):
    """An alert with its rule and its names."""

    id: int
    sla_id: int | None
    labels: AlertLabels


def list_active(c: Connection) -> list[Silence]:
    """Return the active silences, the longest first."""
    found = select(*(_S[name] for name in Silence._fields)).where(_S.until > timestamps.now())
    return [Silence._make(row) for row in c.execute(found.order_by(_S.until.desc(), _S.id))]


def find(c: Connection, number: int) -> Silence | None:
    """Return an active silence, by id."""
    return next((one for one in list_active(c) if one.id == number), None)


def find_matching(c: Connection, matchers: Matchers) -> Silence | None:
    """Return the active silence of the same matchers."""
    return next((one for one in list_active(c) if one.matchers == matchers), None)


def map_own(c: Connection) -> dict[int, Silence]:
    """Return {rule id: silence of that rule alone}."""
    return {one.sla_id: one for one in list_active(c) if one.sla_id is not None}


def map_covering(c: Connection) -> dict[int, Silence]:
    """Return {rule id: longest silence of all its alerts}."""
    found: dict[int, Silence] = {}
    names: Sequence[Any] | None = None
    for silence in list_active(c):
        if silence.sla_id is not None:
            found.setdefault(silence.sla_id, silence)
        elif silence.matchers and silence.matchers.keys() == {"rule"}:
            if names is None:
                names = c.execute(select(schema.slas.c.id, schema.slas.c.name)).all()
            for rule, name in names:
                if is_matched(silence.matchers, AlertLabels(name, "")):
                    found.setdefault(rule, silence)
    return found


def find_silenced(c: Connection, alert_ids: Collection[int] | None = None) -> dict[int, Silence]:
    """Return {alert id: its longest silence} of these alerts, else of all open ones."""
    active = list_active(c)
    if not active:
        return {}
    rules = [one.sla_id for one in active if one.sla_id is not None]
    asked = rules if len(rules) == len(active) else None
    found: dict[int, Silence] = {}
    alike: dict[Any, Silence | None] = {}  # many alerts have the same rule and names
    covers = [(one, make_selector(one)) for one in active]
    for alert in list_labelled(c, alert_ids, asked):
        if alert[1:] not in alike:
            alike[alert[1:]] = next((one for one, has in covers if has(alert)), None)
        if (silence := alike[alert[1:]]) is not None:
            found[alert.id] = silence
    return found


def count_covered(c: Connection, silences: Iterable[Silence]) -> Counter[int]:
    """Count the open alerts that each silence covers."""
    covers = [(one, make_selector(one)) for one in silences]
    alerts = list_labelled(c) if covers else []
    return Counter(one.id for alert in alerts for one, has in covers if has(alert))


def make_selector(silence: Silence) -> Callable[[LabelledAlert], bool]:
    """Return the function that tells whether a silence covers an alert.

    The globs of a silence are compiled once, since it meets many alerts.
    """
    matchers = silence.matchers
    if matchers is None:
        return lambda alert: alert.sla_id == silence.sla_id
    parts = compile_matchers(matchers)
    return lambda alert: _is_selected(parts, alert.labels)


def is_matched(matchers: Matchers, labels: AlertLabels) -> bool:
    """Return whether an alert has a name for each matcher that one of its globs selects."""
    return _is_selected(compile_matchers(matchers), labels)


def compile_matchers(matchers: Matchers) -> Sequence[CompiledMatcher]:
    """Return the place in the labels and the pattern of each matcher, and of each tag name."""
    found: list[CompiledMatcher] = []
    for key, globs in matchers.items():
        place = _PLACES.get(key, -1)
        if key != "tag":
            found.append(CompiledMatcher(place, _compile(globs)))
            continue
        by_name: dict[str, list[str]] = {}
        for glob in globs:
            by_name.setdefault(glob.partition("=")[0], []).append(glob)
        found += [CompiledMatcher(place, _compile(of_name)) for of_name in by_name.values()]
    return found


def _compile(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))


def _is_selected(parts: Sequence[CompiledMatcher], labels: AlertLabels) -> bool:
    for place, pattern in parts:
        if place < 0:
            return False
        name = labels[place]
        if isinstance(name, tuple):
            if not any(map(pattern.match, name)):
                return False
        elif name is None or pattern.match(name) is None:
            return False
    return bool(parts)  # matchers that could not be read select nothing


# --- names of alerts --------------------------------------------------------------------

_LABELLED = (
    "SELECT a.id, a.sla_id, a.name, a.severity, t.name, t.template, (SELECT f.schedule FROM fires f"
    " WHERE f.task_id = t.uuid LIMIT 1), t.queue, q.pool, t.tags, CASE WHEN a.task_id IS NULL THEN"
    " substr(a.fingerprint, instr(a.fingerprint, '/') + 1) END FROM alerts a LEFT JOIN tasks t ON"
    " t.uuid = a.task_id LEFT JOIN queues q ON q.name = t.queue WHERE "
)
"""Alerts with the names of their task, and their subject if they have none."""
_LATEST_TASKS = (
    "SELECT t.name, t.template, t.queue, t.tags FROM json_each(?) n CROSS JOIN tasks t ON t.rowid ="
    " (SELECT l.rowid FROM tasks l WHERE l.name = n.value ORDER BY l.rowid DESC LIMIT 1)"
)


def list_labelled(
    c: Connection, alert_ids: Collection[int] | None = None, rules: Collection[int] | None = None
) -> list[LabelledAlert]:
    """Return these alerts, else all open ones, with their names; only those of `rules` if given."""
    where = ["a.status <> 'resolved'"]
    if alert_ids is not None:
        where = ["a.id IN (SELECT value FROM json_each(:ids))"]
    if rules is not None:
        where.append("+a.sla_id IN (SELECT value FROM json_each(:rules))")
    given = {"ids": json.dumps(list(alert_ids or ())), "rules": json.dumps(list(rules or ()))}
    used = {name: value for name, value in given.items() if f":{name}" in " ".join(where)}
    rows = c.exec_driver_sql(_LABELLED + " AND ".join(where), used).all()
    subjects = _map_subjects(c, {row[-1] for row in rows if row[-1]})
    return [
        LabelledAlert(row[0], row[1], subjects[row[-1]]._replace(rule=row[2], severity=row[3]))
        if row[-1]
        else LabelledAlert(row[0], row[1], AlertLabels(*row[2:-2], tag=_read_tags(row[-2])))
        for row in rows
    ]


def _map_subjects(c: Connection, subjects: Collection[str]) -> dict[str, AlertLabels]:
    """Return the names of subjects of rules, such as `queue:media`, without rule and severity."""
    if not subjects:
        return {}
    parts = {subject: subject.partition(":")[::2] for subject in subjects}
    tasks = _map_latest_tasks(c, [name for kind, name in parts.values() if kind in _TASK_KINDS])
    schedules = _map_schedules(c, [name for kind, name in parts.values() if kind == "schedule"])
    q = schema.queues.c
    pools = {name: pool for name, pool in c.execute(select(q.name, q.pool))}
    found = {}
    for subject, (kind, name) in parts.items():
        if kind in _TASK_KINDS:
            labels = tasks.get(name, AlertLabels("", "", name))
        elif kind == "schedule":
            labels = schedules.get(name, AlertLabels("", "", schedule=name))
        elif kind in ("template", "queue", "pool"):
            labels = AlertLabels("", "")._replace(**{kind: name})
        else:
            labels = AlertLabels("", "")
        pool = pools.get(labels.queue) if labels.queue else labels.pool
        found[subject] = labels._replace(pool=pool)
    return found


_TASK_KINDS = ("name", "task")
"""Kinds of subjects that are a name of tasks."""


def _map_latest_tasks(c: Connection, names: Sequence[str]) -> dict[str, AlertLabels]:
    """Return the template and queue of the latest task of each name."""
    rows = c.exec_driver_sql(_LATEST_TASKS, (json.dumps(names),)) if names else ()
    return {
        row[0]: AlertLabels("", "", row[0], row[1], queue=row[2], tag=_read_tags(row[3]))
        for row in rows
    }


def _map_schedules(c: Connection, names: Sequence[str]) -> dict[str, AlertLabels]:
    """Return the task, template and queue of schedules."""
    s = schema.schedules.c
    rows = c.execute(select(s.name, s.task).where(s.name.in_(names))) if names else ()
    return {
        name: AlertLabels(
            "", "", task.get("name") or name, task.get("template"), name,
            task.get("queue") or "default", tag=_format_tags(task.get("tags")),
        )
        for name, task in rows
    }  # fmt: skip


@lru_cache(maxsize=1000)
def _read_tags(text: str | None) -> tuple[str, ...]:
    """Return stored tags as `NAME=VALUE` texts; many tasks have the same."""
    return _format_tags(json.loads(text)) if text and text != "{}" else ()


def _format_tags(tags: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in (tags or {}).items())


# --- changes ----------------------------------------------------------------------------


def put(c: Connection, matchers: Matchers, until: str, by: str, reason: str | None) -> int:
    """Silence what matchers select until a time; return the id of the silence.

    The silence of the same matchers gets the new end.
    """
    old = find_matching(c, matchers)
    values = {"until": until, "by": by, "reason": reason}
    if old is not None:
        c.execute(update(schema.silences).where(_S.id == old.id).values(**values, **_touch()))
        _move_waiting(c, [old.until], timestamps.now())
        return old.id
    row = {"matchers": {key: list(globs) for key, globs in matchers.items()}, **values}
    made = schema.silences.insert().values(**row, created_at=timestamps.now(), **_touch())
    return c.execute(made.returning(_S.id)).scalar_one()


def remove(c: Connection, silence: Silence) -> None:
    """End a silence. What waited for its end is sent now, unless another silence covers it.

    The row stays until retention removes it, so that no later silence has the same id.
    """
    ended = {"until": timestamps.now()} | _touch()
    c.execute(update(schema.silences).where(_S.id == silence.id).values(**ended))
    _move_waiting(c, [silence.until], timestamps.now())


def silence_rule(c: Connection, sla_id: int, until: str, by: str, reason: str | None) -> None:
    """Silence a rule until a time, replacing its current silence."""
    silence = map_own(c).get(sla_id)
    _delete_of_rule(c, sla_id)
    if silence:
        _move_waiting(c, [silence.until], until, [sla_id])
    row = {"sla_id": sla_id, "by": by, "reason": reason, "until": until}
    c.execute(schema.silences.insert().values(**row, created_at=timestamps.now(), **_touch()))


def unsilence_rule(c: Connection, sla_id: int) -> None:
    """Remove the silence of a rule. What waited for its end is sent now."""
    if silence := map_own(c).get(sla_id):
        _move_waiting(c, [silence.until], timestamps.now(), [sla_id])
    _delete_of_rule(c, sla_id)


def release_rules(c: Connection, sla_ids: Collection[int]) -> None:
    """Look again at the messages of these rules that wait: other silences may cover them now."""
    active = list_active(c) if sla_ids else []
    ends = {one.until for one in active if one.matchers is not None}
    if ends:
        _move_waiting(c, ends, timestamps.now(), sla_ids)


def release_alerts(c: Connection, alert_ids: Collection[int]) -> None:
    """Look again at what waits for the end of a silence, since these alerts changed."""
    a = schema.alerts.c
    found = select(a.sla_id).where(is_any_of(a.id, alert_ids), a.sla_id.is_not(None)).distinct()
    release_rules(c, list(c.scalars(found)))


def _delete_of_rule(c: Connection, sla_id: int) -> None:
    c.execute(schema.silences.delete().where(_S.sla_id == sla_id))


def _move_waiting(
    c: Connection, ends: Collection[str], to: str, sla_ids: Collection[int] | None = None
) -> None:
    """Move the messages that wait for the ends of silences; if due too early, they are put off."""
    d = schema.deliveries.c
    rules = "+sla_id IN (SELECT value FROM json_each(:rules))"
    of_rules = [] if sla_ids is None else [text(rules).bindparams(rules=json.dumps([*sla_ids]))]
    c.execute(
        update(schema.deliveries)
        .where(is_any_of(d.next_at, ends), d.next_at.is_not(None), text("+attempts = 0"), *of_rules)
        .values(next_at=to, due_at=to, **_touch())
    )


def _touch() -> dict[str, str]:
    return {"updated_at": timestamps.now()}
