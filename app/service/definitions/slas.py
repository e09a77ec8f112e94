"""SLA rules: verbs for users."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from app.core import sla
from app.core.rules import actions as rule_actions
from app.core.rules import rule_options
from app.core.rules.rule_options import RuleOptions
from app.core.text.sanitize import find_name_error, sanitize, truncate
from app.errors import Conflict, Refused, Usage
from app.service import name_hints, sla_evaluation, sla_metrics
from app.service.context import Call, RuntimeHandle
from app.service.notifications import describe_delivery, require_channels, require_usable
from app.service.rules import descriptions as general_rules
from app.service.rules import zone_hints
from app.service.rules.evaluation import trails
from app.service.tasks import lookup
from app.translation import tr
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.rules import alerts, deliveries, rule_states, silences, sla_cursor
from db.rows import SlaRow

DAY = timedelta(days=1)
MAX_COUNTED = 1000
"""Alerts of all rules that are examined for those of the last day: the latest ones."""
MAX_RUNS = 12
"""Latest results shown with a rule."""
_PRESET_MATCH = ("task", "template", "schedule", "queue", "pool")
_HELP = "See: taskdeck help sla"
_ONLY_PRESETS = "goes only with a rule of `taskdeck sla presets`"
MAX_DELIVERIES = 5
"""Latest deliveries shown with a rule."""


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return all SLA rules with their state, most severe first."""
    await sla_evaluation.evaluate_for_reader(call)
    return await call.db.read(lambda c: add_state(c, definitions.list_slas(c), call.live))


async def show(call: Call, *, name: str) -> dict[str, Any]:
    """Return one SLA rule with its state and its latest deliveries."""
    await sla_evaluation.evaluate_for_reader(call)

    def read(c: Connection) -> dict[str, Any]:
        row = require_rule(c, name)
        return {
            **add_state(c, [row], call.live)[0], "due": find_due(c, row),
            "deliveries": list_deliveries(c, row),
        }  # fmt: skip

    return await call.db.read(read)


def find_due(c: Connection, row: SlaRow) -> dict[str, Any] | None:
    """Return when a rule fires next, unless its subject is done before.

    The keys are `at`, `object` (empty if unknown) and `more`, the later ones that are stored.
    """
    if not row.enabled:
        return None
    if sla.is_general(row.conditions):
        found = rule_states.map_next_due(c).get(row.id)
        return found._asdict() if found else None
    rule, now = sla.parse_conditions(row.conditions), timestamps.utcnow().timestamp()
    scope = sla_cursor.build_scope(c, row.id, rule.match)
    at = None if rule.metric else sla_evaluation.find_next_due(c, row, rule, scope, now)
    if at is None or at <= now:
        return None
    return {"at": timestamps.from_unix(at), "object": "", "more": 0}


def list_deliveries(c: Connection, row: SlaRow) -> list[dict[str, Any]]:
    """Return the latest deliveries of a rule, newest first."""
    found = deliveries.list_of_rule(c, row.id, MAX_DELIVERIES)
    return [describe_delivery(one) for one in found]


async def read_history(call: Call, *, name: str) -> dict[str, Any]:
    """Return the recent results of a rule.

    The keys are "name", "limit", the state of its metric, "due" (see `find_due`), "runs" (see
    `list_runs`), "was" (see `list_high_spells`) and "deliveries". A rule of the general form has
    its "levels", a "trail" of (UNIX time, value), and in "begins" why the trail is short (see
    `trails.Trail`).
    """

    def read(c: Connection) -> dict[str, Any]:
        row = require_rule(c, name)
        if sla.is_general(row.conditions):
            trail = trails.read_trail(c, row, call.live)
            return {
                "name": name, **general_rules.describe_rule(row, call.live), "runs": [],
                "trail": trail.points, "begins": trail.begins, "due": find_due(c, row),
                "was": list_high_spells(c, row), "deliveries": list_deliveries(c, row),
            }  # fmt: skip
        rule = sla.parse_conditions(row.conditions)
        return {
            "name": name,
            "limit": rule.value,
            **sla_metrics.describe_state(c, rule),
            "due": find_due(c, row),
            "runs": list_runs(c, rule, rule.match),
            "was": list_high_spells(c, row),
            "deliveries": list_deliveries(c, row),
        }

    return await call.db.read(read)


def add_state(
    c: Connection, rows: Sequence[SlaRow], live: RuntimeHandle | None = None
) -> list[dict[str, Any]]:
    """Return SLA rules as sent to clients.

    Added to the columns are `severity`, `words` (the rule as a sentence), `does` (its actions in
    words), `limit` in its `unit`, the state of its metric, `levels` (of the general form, see
    `describe_levels`), `open` ({status: alerts}), `silence` ({"until", "by", "reason"} or None) and
    `state` (off, silenced, firing, acknowledged, ok, or no data). `late` and `last_late` cover
    resolved alerts of the last day, at most a thousand of all rules together.
    """
    counts, covering = alerts.count_by_rule(c), silences.map_covering(c)
    resolved = alerts.map_resolved(
        c, timestamps.format_time(timestamps.utcnow() - DAY), MAX_COUNTED
    )
    return [
        _add_state(
            c,
            row,
            counts.get(row.id, {}),
            covering.get(row.id),
            resolved.get(row.id, (0, None)),
            live,
        )
        for row in rows
    ]


def _add_state(
    c: Connection,
    row: SlaRow,
    counts: dict[str, int],
    silence: silences.Silence | None,
    resolved: tuple[int, str | None],
    live: RuntimeHandle | None,
) -> dict[str, Any]:
    quiet = (
        {"until": silence.until, "by": silence.by, "reason": silence.reason} if silence else None
    )
    if sla.is_general(row.conditions):
        about = general_rules.describe_rule(row, live)
        levels = about["levels"]
        has_no_data = live is None or (
            bool(levels)
            and all(level["value"] is None and not level["is_below"] for level in levels)
        )
        return {
            **row._asdict(), **about, "open": counts, "silence": quiet,
            "state": _find_general_state(row, counts, silence, has_no_data),
            "severity": sla.get_severity(row.priority), "late": resolved[0],
            "last_late": resolved[1],
        }  # fmt: skip
    rule = sla.parse_conditions(row.conditions)
    metric = sla_metrics.describe_state(c, rule)
    return {
        **row._asdict(),
        "severity": sla.get_severity(row.priority),
        "words": sla.describe_rule(rule),
        "does": general_rules.describe_actions(row),
        "limit": rule.value,
        **metric,
        "state": _find_state(c, row, rule, counts, silence, metric["now"]),
        "open": counts,
        "silence": quiet,
        "late": resolved[0],
        "last_late": resolved[1],
    }


def _find_general_state(
    row: SlaRow, counts: Mapping[str, int], silence: silences.Silence | None, has_no_data: bool
) -> str:
    if not row.enabled or silence:
        return "silenced" if row.enabled else "off"
    return next((word for word in ("firing", "acknowledged", *counts) if counts.get(word)),
                "no data" if has_no_data else "ok")  # fmt: skip


def _find_state(
    c: Connection, row: SlaRow, rule: sla.SlaRule, counts: Mapping[str, int],
    silence: silences.Silence | None, figure: float | None,
) -> str:  # fmt: skip
    """Return the state in one word; `no data` without a value or a recent task to judge."""
    if not row.enabled:
        return "off"
    if silence:
        return "silenced"
    if counts:
        return next(word for word in ("firing", "acknowledged", *counts) if counts.get(word))
    if rule.metric:
        return "no data" if figure is None else "ok"
    scope = sla_cursor.build_scope(c, row.id, rule.match)
    return "ok" if alerts.has_recent_task(c, scope, rule.match) else "no data"


def match_similar(c: Connection, task: sla_cursor.SlaTask) -> dict[str, str]:
    """Return a match for similar tasks: same template, else same name."""
    row = reads.list_by_uuid(c, [task.uuid])
    return {"template": row[0].template} if row and row[0].template else {"task": task.name}


def list_runs(c: Connection, rule: sla.SlaRule, match: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of the last dozen tasks under a rule, oldest first.

    Each is {"number", "name", "status", "at": when the task met the rule or failed, "value":
    seconds needed, "late"}. A rule about a metric has none. `match` selects the tasks as in
    `alerts.list_recent_tasks`.
    """
    if rule.metric:
        return []
    found = [
        (task, sla.judge_task(rule, sla_evaluation.to_facts(task), 0.0))
        for task in alerts.list_recent_tasks(c, match)
    ]
    done = [
        {"number": task.number, "name": task.name, "status": task.status,
        "at": task.ended_at if verdict.done is None else timestamps.from_unix(verdict.done),
         "value": verdict.took, "late": verdict.late}
        for task, verdict in found
        if verdict.done is not None or sla_evaluation.is_broken_by(rule, task)
    ]  # fmt: skip
    return sorted(done[:MAX_RUNS], key=lambda run: run["at"])


def list_high_spells(c: Connection, row: SlaRow) -> list[dict[str, str]]:
    """Return when a rule's metric was too high in the last day.

    Return at most a dozen {"since", "until"}, oldest first; none for a rule about tasks.
    """
    if not sla_metrics.is_metric(row) and not sla.is_general(row.conditions):
        return []
    found = alerts.list_intervals(
        c, row.id, timestamps.format_time(timestamps.utcnow() - DAY), MAX_COUNTED
    )[:MAX_RUNS]
    return [{"since": since, "until": until} for since, until in reversed(found)]


async def create(
    call: Call, *, name: str, preset: str = "", value: Any = None, metric: str | None = None,
    template: str | None = None,
    queue: str | None = None, task: str | None = None, tag: Any = None,
    schedule: str | None = None, pool: str | None = None, wait: Any = None, tz: str | None = None,
    severity: str = "warning",
    conditions: Any = None, notify: Sequence[str] = (), actions: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Create an SLA rule from a preset, or from `conditions` of either form.

    `metric` belongs to `stays-below`; `schedule`, `pool`, `wait` and `tz` to presets of conditions.
    `notify` names the channels that are told of firing and resolved alerts; `actions` replace
    that. Raise Conflict if the name exists.
    """
    require_channels(call, notify, "Nothing was changed.")
    if wrong := find_name_error(name):
        raise Usage("name {wrong}. Nothing was changed.", wrong=wrong)
    match = {"template": template, "queue": queue, "task": task, "tag": tag}
    more = {"schedule": schedule, "pool": pool, "wait": wait, "tz": tz}
    given = {"preset": preset or None, "value": value, **match, **more}
    if conditions is not None:
        _refuse_options(given, tr("goes without --conditions, which hold everything"))
        values = _make_general_columns(conditions, severity)
    elif preset in sla.PRESETS:
        _refuse_options(more, _ONLY_PRESETS)
        values = _make_columns(
            preset, value, metric, {key: word for key, word in match.items() if word}, severity
        )
    else:
        values = _make_general_columns(_change_conditions({}, _read_options(given)), severity)
    values["actions"] = (
        rule_actions.set_channels({}, notify) if actions is None else _normalize_actions(actions)
    )

    def create(c: Connection) -> None:
        if definitions.find_sla(c, name) is not None:
            raise Conflict(
                "there is a rule {name} already. Nothing was changed.",
                "Change it: taskdeck sla set {word}",
                name=sanitize(name),
                word=sanitize(shlex.quote(name)),
            )
        check_match(
            values["conditions"],
            definitions.list_template_names(c),
            [row.name for row in reads.list_queues(c)],
        )
        check_actions(c, values["actions"])
        definitions.create(c, schema.slas, name, values, call.by)

    require_usable(call, values["actions"], "Nothing was changed.")
    await call.db.write(create)
    await zone_hints.note_zone(call, name, values["conditions"])
    await _note_unknown_names(call, values["conditions"])
    return await show(call, name=name)


async def _note_unknown_names(call: Call, conditions: Mapping[str, Any]) -> None:
    for hint in await call.db.read(name_hints.describe_rule_hints, conditions):
        call.note(hint)


def _normalize_actions(given: Any) -> Any:
    try:
        return rule_actions.normalize_actions(given)
    except ValueError as error:
        raise Usage("{error}. Nothing was changed.", error=error) from None


async def set_(
    call: Call, *, name: str, preset: str | None = None, value: Any = None,
    metric: str | None = None, template: str | None = None,
    queue: str | None = None, task: str | None = None, tag: Any = None,
    schedule: str | None = None, pool: str | None = None, wait: Any = None, tz: str | None = None,
    severity: str | None = None,
    enabled: bool | None = None, conditions: Any = None, notify: Sequence[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Change an SLA rule. None keeps a value, an empty text removes a match condition.

    `notify` replaces the channels; an empty text among them removes them. Other actions stay.

    A changed condition, or a change of `enabled`, closes the rule's alerts and evaluates all tasks
    again. A rule that changes from tasks to a metric loses its match conditions, and in the other
    direction its metric.
    """
    match = {"template": template, "queue": queue, "task": task, "tag": tag}
    asked = {"preset": preset, "value": value, "metric": metric}
    more = {"schedule": schedule, "pool": pool, "wait": wait, "tz": tz}
    given = {**asked, **match, **more}
    changes = (*given.values(), severity, enabled, conditions, notify)
    if all(word is None for word in changes):
        raise Usage(
            "nothing to set. Options: --value, --finishes-within, --queue, --severity, --notify,"
            " --off, …"
        )

    channels = None if notify is None else [one for one in notify if one]
    require_channels(call, channels or (), "Nothing was changed.")

    def plan(c: Connection) -> tuple[SlaRow, dict[str, Any]]:
        row = require_rule(c, name)
        is_general = sla.is_general(row.conditions)
        if conditions is None and (preset in sla.PRESETS or not (preset or is_general)):
            _refuse_options(more, _ONLY_PRESETS)
            _require_limit(row, preset)
            values = _merge_changes(row, asked, match, severity, enabled)
        else:
            values = _merge_general(row, given, conditions, severity, enabled)
        if channels is not None:
            values["actions"] = rule_actions.set_channels(row.actions, channels)
        _check_change(c, row, values["conditions"])
        return row, values

    def change(c: Connection) -> None:
        row, values = plan(c)
        changed = definitions.update(c, schema.slas, name, values, call.by)
        severity = sla.get_severity(values["priority"])
        alerts.update_alerts_of_changed_rule(c, row.id, changed, severity)

    row, values = await call.db.read(plan)
    if channels and await call.db.read(lambda c: alerts.count_by_rule(c).get(row.id)):
        call.note(
            tr(
                "alerts of {name} that fire already are not sent; later ones are.",
                name=sanitize(name),
            )
        )
    await prepare_many_alerts(
        call, row.id, definitions.find_difference(row._asdict(), values), values["priority"]
    )
    await call.db.write(change)
    if values["conditions"] != row.conditions:
        await zone_hints.note_zone(call, name, values["conditions"])
    if values["conditions"].get("match") != row.conditions.get("match"):
        await _note_unknown_names(call, values["conditions"])
    return await show(call, name=name)


def _check_change(c: Connection, row: SlaRow, conditions: dict[str, Any]) -> None:
    """Raise Problem if a pool cannot use the changed rule, or the rule names what is unknown."""
    if definitions.count_sla_users(c, row.id)["pool"]:
        check_pool(row.name, conditions)
    if conditions != row.conditions:
        queues = [queue.name for queue in reads.list_queues(c)]
        check_match(conditions, definitions.list_template_names(c), queues)


async def prepare_many_alerts(
    call: Call, sla_id: int, changed: Collection[str], priority: int
) -> None:
    """Update most alerts of a rule in short transactions, before the one that changes the rule.

    `changed` are the columns that will change.
    """
    if {"conditions", "enabled"} & {*changed}:
        await _change_many_alerts(call, sla_id, alerts.resolve_some)
    elif "priority" in changed:
        severity = sla.get_severity(priority)
        await _change_many_alerts(
            call, sla_id, partial(alerts.set_some_severities, severity=severity)
        )


async def _change_many_alerts(
    call: Call, sla_id: int, *steps: Callable[[Connection, int], bool]
) -> None:
    if await call.db.read(alerts.has_many, sla_id):
        for change_some in steps:
            while await call.db.write_quietly(change_some, sla_id):
                pass


def _merge_changes(
    row: SlaRow,
    changes: Mapping[str, Any],
    match: Mapping[str, Any],
    severity: str | None,
    enabled: bool | None,
) -> dict[str, Any]:
    """Return the columns of a rule with these changes.

    `changes` holds the preset, value and metric.
    """
    if not (enabled is None or isinstance(enabled, bool)):
        raise Usage("enabled must be true or false. Nothing was changed.")
    set_words = {key: word for key, word in changes.items() if word is not None}
    old_conditions = row.conditions
    if (
        set_words.get("preset", old_conditions["preset"]) == sla.STAYS_BELOW
    ) != sla_metrics.is_metric(row):
        old_conditions = {"preset": old_conditions["preset"], "value": old_conditions["value"]}
    new_conditions = {**old_conditions, **set_words}
    matched = {
        **old_conditions.get("match", {}),
        **{key: word for key, word in match.items() if word is not None},
    }
    values = _make_columns(
        new_conditions["preset"],
        new_conditions["value"],
        new_conditions.get("metric"),
        {key: word for key, word in matched.items() if word},
        sla.get_severity(row.priority) if severity is None else severity,
    )
    return {"conditions": values["conditions"],
    "priority": values["priority"] if severity is not None else row.priority,
            "enabled": row.enabled if enabled is None else enabled}  # fmt: skip


def _merge_general(
    row: SlaRow,
    words: Mapping[str, Any],
    conditions: Any,
    severity: str | None,
    enabled: bool | None,
) -> dict[str, Any]:
    """Return the columns of a rule with conditions of the general form."""
    if conditions is not None:
        _refuse_options(words, tr("goes without --conditions, which hold everything"))
    elif any(word is not None for word in words.values()):
        conditions = _change_conditions(_to_general(row), _read_options(words))
    if not (enabled is None or isinstance(enabled, bool)):
        raise Usage("enabled must be true or false. Nothing was changed.")
    values = _make_general_columns(
        row.conditions if conditions is None else conditions,
        sla.get_severity(row.priority) if severity is None else severity,
    )
    return {
        "conditions": values["conditions"],
        "priority": values["priority"] if severity is not None else row.priority,
        "enabled": row.enabled if enabled is None else enabled,
    }


def _read_options(words: Mapping[str, Any]) -> RuleOptions:
    """Return the options of a preset among the arguments of a verb."""
    match = {key: word for key in _PRESET_MATCH if (word := words.get(key)) is not None}
    if words.get("tag") is not None:
        match["tags"] = words["tag"]
    return RuleOptions(words["preset"], words["value"], words["wait"], words["tz"], match)


def _change_conditions(old: Mapping[str, Any], options: RuleOptions) -> dict[str, Any]:
    try:
        return rule_options.change_conditions(old, options)
    except ValueError as error:
        hint = "List: taskdeck sla presets" if "--preset" in str(error) else ""
        raise Usage(f"{error}. Nothing was changed.", hint) from None


def _to_general(row: SlaRow) -> dict[str, Any]:
    """Return conditions of the general form; for another form only the match."""
    if sla.is_general(row.conditions):
        return row.conditions
    match = dict(row.conditions.get("match", {}))
    tags = {"tags": match.pop("tag")} if "tag" in match else {}
    return {"match": {**match, **tags}}


def _refuse_options(words: Mapping[str, Any], why: str) -> None:
    """Raise Usage for the first option that was given."""
    for key, word in words.items():
        if word:
            option = "--for" if key == "wait" else f"--{key}"
            by_pool = key == "pool" and why == _ONLY_PRESETS
            hint = "For a pool: taskdeck pool set POOL --sla RULE" if by_pool else _HELP
            raise Usage(f"{option} {why}. Nothing was changed.", hint)


def _require_limit(row: SlaRow, preset: str | None) -> None:
    """Raise Usage if a rule of the general form is to become one of another kind."""
    if sla.is_general(row.conditions):
        raise Usage(
            "rule {name} is not one of --{preset}: --value changes its limit. Nothing was changed.",
            "Create a rule of that kind: taskdeck sla create NAME --{preset} …",
            name=sanitize(row.name),
            preset=preset,
        )


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete an SLA rule that is not in use.

    Open alerts are closed, all alerts keep the rule's name, and its silence is deleted.
    """

    def check(c: Connection) -> int:
        row = require_rule(c, name)
        users = definitions.count_sla_users(c, row.id) | {"silence": 0}
        lookup.require_unused(c, "rule", name, users)
        return row.id

    def remove(c: Connection) -> None:
        alerts.detach_rule(c, check(c))
        definitions.remove(c, schema.slas, name, call.by)

    sla_id = await call.db.read(check)
    await _change_many_alerts(call, sla_id, alerts.resolve_some, alerts.detach_some)
    await call.db.write(remove)
    return {"name": name}


def require_rule(c: Connection, name: str) -> SlaRow:
    """Return the rule of that name. Raise NotFound with the nearest name."""
    found = {row.name: row for row in definitions.list_slas(c)}
    if name not in found:
        raise lookup.make_unknown_name("sla", name, list(found))
    return found[name]


def check_match(
    conditions: dict[str, Any], templates: Sequence[str], queues: Sequence[str]
) -> None:
    """Raise NotFound if a match condition names an unknown template or queue.

    A rule with a misspelt name would never fire.
    """
    match = conditions.get("match", {})
    for kind, names in (("template", templates), ("queue", queues)):
        if sla.is_general(conditions):
            asked = general_rules.list_exact_names(match.get(kind))
        else:
            asked = [match[kind]] if kind in match else []
        for name in asked:
            if name not in names:
                if kind == "queue":
                    raise lookup.make_unknown_queue(name, list(names))
                raise lookup.make_unknown_name(kind, name, list(names))


def check_actions(
    c: Connection, actions: Any, templates: Sequence[str] = (), queues: Sequence[str] = ()
) -> None:
    """Raise NotFound if an action names an unknown template or queue.

    `templates` and `queues` are those that are stored at the same time.
    """
    for action in rule_actions.list_actions(actions):
        task = action.get("submit") or {}
        if template := task.get("template"):
            known = [*definitions.list_template_names(c), *templates]
            if template not in known:
                raise lookup.make_unknown_name("template", template, known)
        for queue in (task.get("queue"), action.get("pause_queue"), action.get("resume_queue")):
            known = [*(row.name for row in reads.list_queues(c)), *queues] if queue else []
            if queue and queue not in known:
                raise lookup.make_unknown_queue(queue, known)


def check_pool(name: str, conditions: Mapping[str, Any]) -> None:
    """Raise Refused if a pool refers to a rule about a metric."""
    if sla.is_general(conditions) and conditions.get("scope") in ("host", "taskdeck"):
        raise Refused(
            "rule {name} is about {scope}, not about queues or tasks: no pool can use it.",
            name=sanitize(name),
            scope=conditions["scope"],
        )
    if metric := conditions.get("metric"):
        raise Refused(
            "rule {name} is about {metric} of Taskdeck itself, not about tasks: no pool can"
            " use it.",
            name=sanitize(name),
            metric=metric,
        )


def _make_general_columns(conditions: Any, severity: str) -> dict[str, Any]:
    _check_severity(severity)
    try:
        checked = sla.normalize_conditions(conditions)
    except ValueError as error:
        raise Usage(
            "{error}. Nothing was changed.", "See: taskdeck sla schema", error=error
        ) from None
    priority = sla.SEVERITIES[severity]
    return {"conditions": checked, "actions": {}, "priority": priority, "enabled": True}


def _check_severity(severity: Any) -> None:
    if not isinstance(severity, str) or severity not in sla.SEVERITIES:
        raise Usage(
            'severity must be critical, warning or info, not "{severity}".',
            severity=truncate(sanitize(str(severity)), 40),
        )


def _make_columns(
    preset: str, value: Any, metric: str | None, match: dict[str, Any], severity: str
) -> dict[str, Any]:
    _check_severity(severity)
    try:
        conditions = sla.normalize_conditions(
            {"preset": preset, "value": value, "match": match}
            | ({"metric": metric} if metric else {})
        )
    except ValueError as error:
        raise Usage(
            "{error}. Nothing was changed.", error=str(error).removeprefix("conditions: ")
        ) from None
    return {
        "conditions": conditions,
        "actions": {},
        "priority": sla.SEVERITIES[severity],
        "enabled": True,
    }
