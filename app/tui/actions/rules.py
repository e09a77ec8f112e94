"""Alert and rule commands: rows in, requests with undo out."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.board import AlertEntry
from app.core.rules import silence_matchers
from app.translation import tr, tr_n, tr_noop
from app.tui.actions.confirmations import limit_lines, list_hidden_lines
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NotApplicableError, Request, acknowledge_alerts
from app.tui.data.list_rows import AlertName, RuleRow, SilenceRow
from app.tui.style import Look

RulesByName = Mapping[str, RuleRow]
Silenceable = RuleRow | AlertName
"""What one key silences: the alerts of a rule, or of a name without a rule."""
SILENCE_ENDS = {"h": "1h", "f": "5h", "t": "tomorrow 08:00", "d": "1d", "w": "7d", "m": "30d"}
_SILENCE_LABELS = {
    "h": tr_noop("for an hour"),
    "f": tr_noop("for 5 hours"),
    "t": tr_noop("until tomorrow 08:00"),
    "d": tr_noop("for a day"),
    "w": tr_noop("for a week"),
    "m": tr_noop("for 30 days"),
}
"""Letters only: a digit typed before the dialog opens would open a screen."""
MAX_NAMED = 4
_FILTERS = {"template": "template", "queue": "queue", "task": "name"}
"""Filters of the task list by what a rule matches."""


def acknowledge_rows(rows: Sequence[Any]) -> list[Request]:
    """Acknowledge firing alerts; for a rule, all its firing ones."""
    firing = [row for row in rows if isinstance(row, AlertEntry) and row.status == "firing"]
    named = [row for row in rows if isinstance(row, RuleRow) and row.firing and row.until is None]
    ids: list[str | int] = [row.id for row in firing]
    requests = (
        [acknowledge_alerts(ids, ", ".join(dict.fromkeys(row.sla for row in firing)))]
        if firing
        else []
    )
    requests += [acknowledge_alerts([row.name], row.name) for row in named]
    if not requests:
        raise NotApplicableError(tr("Only a firing alert can be acknowledged (a)."))
    return requests


def find_rules(rows: Sequence[Any], rules: RulesByName) -> list[RuleRow]:
    """Return the rules of rows or of their alerts, once each.

    Raise NotApplicableError if a row has none.
    """
    found: dict[str, RuleRow] = {}
    for row in rows:
        if isinstance(row, SilenceRow) and not row.rule:
            raise NotApplicableError(tr("A silence has no rule: s changes its end, D ends it."))
        name = _get_rule_name(row)
        if name not in rules:
            raise NotApplicableError(
                tr("The rule {name} was deleted. Press a to acknowledge the alert.", name=name)
                if getattr(row, "uuid", None)
                else tr("{name} is about Taskdeck itself and has no rule.", name=name)
            )
        found[name] = rules[name]
    if not found:
        raise NotApplicableError(tr("No rule is under the cursor. Press n to create a rule."))
    return list(found.values())


def find_silenceable(rows: Sequence[Any], rules: RulesByName) -> list[Silenceable]:
    """Return what the rows of alerts and rules can silence, once each.

    Raise NotApplicableError if there is nothing.
    """
    unruled = [row for row in rows if isinstance(row, AlertEntry) and row.sla not in rules]
    rest = [row for row in rows if row not in unruled]
    found: list[Silenceable] = [*(find_rules(rest, rules) if rest or not unruled else ())]
    return [*found, *dict.fromkeys(map(name_alert, unruled))]


def name_alert(alert: AlertEntry) -> AlertName:
    """Return the name of an alert without a rule, with the state of that alert."""
    return AlertName(
        alert.sla, int(alert.status == "firing"), int(alert.status == "acknowledged"), alert.until
    )


def _get_rule_name(row: Any) -> str:
    if isinstance(row, SilenceRow):
        return row.rule
    return row.name if isinstance(row, RuleRow) else row.sla


def list_silences(rows: Sequence[Any]) -> list[SilenceRow]:
    """Return the rows if all are silences, else none."""
    found = [row for row in rows if isinstance(row, SilenceRow)]
    return found if len(found) == len(rows) else []


def ask_silence(rules: Sequence[Silenceable], look: Look) -> Question:
    """Build the dialog that asks how long to silence alerts."""
    names = ", ".join(
        look.cut(look.sanitize(rule.name), 24, "middle") for rule in rules[:MAX_NAMED]
    )
    more = tr(" and {more} more", more=len(rules) - MAX_NAMED) if len(rules) > MAX_NAMED else ""
    count = sum(rule.firing + rule.acknowledged for rule in rules)
    one = len(rules) == 1
    if all(isinstance(rule, RuleRow) for rule in rules):
        whose = tr("this rule") if one else tr("these rules")
    else:
        whose = tr("this name") if one else tr("these names")
    which = (
        tr("{count:,} open now and all later ones, critical ones too.", count=count)
        if count
        else tr("all later ones, critical ones too.")
    )
    body = [
        [(tr("Silence {names}{more}?", names=names, more=more), "bold")],
        [(tr("All alerts of {whose} are silenced until then,", whose=whose), "")],
        [(which, "")],
    ]
    answers = [
        Answer(key, tr(words)) for key, words in _SILENCE_LABELS.items() if key != "m" or not one
    ]
    answers += [Answer("o", tr("until another time, or with a reason"))] if one else []
    if any(rule.until is not None for rule in rules):
        answers.append(
            Answer("e", tr("end the silence now") if one else tr("end the silences now"))
        )
    return Question(
        tr("Silence"),
        body,
        [*answers, Answer("n", tr("keep"))],
        safe="n",
        column=True,
        confirm_delay=0.0,
    )


def silence_rules(rules: Sequence[Silenceable], until: str, reason: str = "") -> list[Request]:
    """Silence rules, and alerts without one, until a time."""
    more = {"reason": reason} if reason else {}
    return [
        Request(
            "alert.silence",
            {**_refer(rule), "until": until, **more},
            tr("Silenced {until}:", until=_format_until(until)),
            (_make_silence_undo(rule),),
            rule.name,
        )
        for rule in rules
    ]


def _format_until(until: str) -> str:
    words = {span: tr(_SILENCE_LABELS[key]) for key, span in SILENCE_ENDS.items()}
    is_span = until[-1:].isalpha() and until[:1].isdigit() and until.isalnum()
    return words.get(
        until, tr("for {until}", until=until) if is_span else tr("until {until}", until=until)
    )


def _refer(rule: Silenceable) -> dict[str, Any]:
    return {"sla": rule.name} if isinstance(rule, RuleRow) else {"ids": [rule.name]}


def _make_silence_undo(rule: Silenceable) -> Request:
    """Return the request that restores the current silence.

    The operation in the answer undoes the silence of a name without a rule.
    """
    if isinstance(rule, AlertName):
        return Request("alert.unsilence", _refer(rule), tr("Silence ended:"), object=rule.name)
    old_silence = rule.facts.get("silence")
    if not old_silence:
        return Request(
            "alert.unsilence", {"sla": rule.name}, tr("Silence ended:"), object=rule.name
        )
    args = {"sla": rule.name, "until": old_silence["until"], "reason": old_silence["reason"]}
    return Request("alert.silence", args, tr("Silence restored:"), object=rule.name)


def unsilence_rules(rules: Sequence[Silenceable]) -> list[Request]:
    """End the silence of rules, and of alerts without one."""
    quiet = [rule for rule in rules if rule.until is not None]
    return [
        Request(
            "alert.unsilence",
            _refer(rule),
            tr("Silence ended:"),
            (_make_silence_undo(rule),),
            rule.name,
        )
        for rule in quiet
    ]


def ask_end(silences: Sequence[SilenceRow], look: Look) -> Question:
    """Build the dialog that asks for another end of silences."""
    named = [look.cut(look.sanitize(row.words), 60) for row in silences[:MAX_NAMED]]
    more = len(silences) - MAX_NAMED
    body = [
        [
            (
                tr("This silence lasts from now")
                if len(silences) == 1
                else tr("These silences last from now"),
                "",
            )
        ],
        *([(f"  {words}", "bold")] for words in named),
        *([[(tr("  and {more} more", more=more), "")]] if more > 0 else []),
    ]
    answers = [Answer(key, tr(words)) for key, words in _SILENCE_LABELS.items()]
    answers += [Answer("e", tr("end now")), Answer("n", tr("keep"))]
    return Question(tr("Silence"), body, answers, safe="n", column=True, confirm_delay=0.0)


def extend_silences(silences: Sequence[SilenceRow], until: str) -> list[Request]:
    """Give silences another end."""
    return [
        Request(
            "alert.silence",
            _make_silence_args(row) | {"until": until},
            tr("Silenced {until}:", until=_format_until(until)),
            (_make_restore(row),),
            row.words,
        )
        for row in silences
    ]


def end_silences(silences: Sequence[SilenceRow]) -> list[Request]:
    """End silences now."""
    return [
        Request(
            "alert.unsilence",
            {"ids": [row.id]},
            tr("Silence ended:"),
            (_make_restore(row),),
            row.words,
        )
        for row in silences
    ]


def _make_silence_args(row: SilenceRow) -> dict[str, Any]:
    what: dict[str, Any] = {"sla": row.rule} if row.rule else {"match": dict(row.matchers)}
    return what | ({"reason": row.reason} if row.reason else {})


def _make_restore(row: SilenceRow) -> Request:
    args = _make_silence_args(row) | {"until": row.facts["until"]}
    return Request("alert.silence", args, tr("Silence restored:"), object=row.words)


def silence_matching(match: Mapping[str, str], until: str, reason: str = "") -> list[Request]:
    """Silence the alerts that match, given as one glob for each key."""
    matchers = {key: [glob] for key, glob in match.items()}
    words = silence_matchers.describe_matchers(matchers)
    more = {"reason": reason} if reason else {}
    args = {"match": matchers, "until": until, **more}
    # undone by the operation in the answer, since the id is not known yet
    undo = (Request("alert.unsilence", {"ids": []}, tr("Silence ended:"), object=words),)
    return [
        Request(
            "alert.silence", args, tr("Silenced {until}:", until=_format_until(until)), undo, words
        )
    ]


def suggest_match(row: Any, labels: Mapping[str, str]) -> dict[str, str]:
    """Return globs for a new silence of a row: its rule, and the narrowest of its names."""
    if isinstance(row, SilenceRow) and not row.rule:
        return {key: globs[0] for key, globs in row.matchers.items()}
    if row is None:
        return {}
    narrow = next((key for key in ("task", "schedule", "queue", "pool") if labels.get(key)), "")
    names = {"rule": _get_rule_name(row)} | ({narrow: labels[narrow]} if narrow else {})
    return {key: glob.escape(name) for key, name in names.items()}


def toggle_rules(rules: Sequence[RuleRow]) -> list[Request]:
    """Turn rules off; turn them on if all are off."""
    requests = []
    for rule in [rule for rule in rules if rule.enabled] or rules:
        on, off = ({"name": rule.name, "enabled": enabled} for enabled in (True, False))
        result_texts = {True: tr("On again:"), False: tr("Turned off:")}
        undo_request = Request(
            "sla.set", on if rule.enabled else off, result_texts[rule.enabled], object=rule.name
        )
        requests.append(
            Request(
                "sla.set",
                off if rule.enabled else on,
                result_texts[not rule.enabled],
                (undo_request,),
                rule.name,
            )
        )
    return requests


def confirm_delete_rules(rules: Sequence[RuleRow], look: Look) -> Question:
    """Build the confirmation for deleting rules."""
    count = sum(rule.firing + rule.acknowledged for rule in rules)
    names = [
        [(f"  {look.cut(look.sanitize(f'{rule.name}: {rule.words}'), 60)}", "")] for rule in rules
    ]
    closes = tr_n(count, "{n:,} open alert closes. ", "{n:,} open alerts close. ") if count else ""
    one = len(rules) == 1
    question = tr("Delete this rule?") if one else tr("Delete {count} rules?", count=len(rules))
    undo = (
        tr("u restores the rule; p only turns the rule off.")
        if one
        else tr("u restores the rules; p only turns the rules off.")
    )
    body = [[(question, "")], *limit_lines(names, look), [], [(f"{closes}{undo}", "")]]
    answers = [
        Answer("y", tr("delete it") if one else tr("delete {count:,}", count=len(rules))),
        Answer("n", tr("keep it") if one else tr("keep them")),
    ]
    return Question(tr("Delete"), body, answers, safe="n", names=list_hidden_lines(names))


def delete_rules(rules: Sequence[RuleRow]) -> list[Request]:
    """Delete rules; undo creates them again."""
    return [
        Request(
            "sla.rm", {"name": rule.name}, tr("Deleted rule"), _make_delete_undo(rule), rule.name
        )
        for rule in rules
    ]


def _make_delete_undo(rule: RuleRow) -> tuple[Request, ...]:
    conditions = rule.facts["conditions"]
    args = {"name": rule.name, "conditions": conditions}
    if "preset" in conditions:
        args = {
            "name": rule.name,
            "preset": conditions["preset"],
            "value": conditions["value"],
            **(conditions.get("match") or {}),
        }
    args |= {"metric": conditions["metric"]} if conditions.get("metric") else {}
    args |= {"actions": rule.facts["actions"]} if rule.facts.get("actions") else {}
    made = Request(
        "sla.create", {**args, "severity": rule.severity}, tr("Restored rule"), object=rule.name
    )
    off = Request(
        "sla.set", {"name": rule.name, "enabled": False}, tr("and turned off:"), object=rule.name
    )
    return (made,) if rule.enabled else (made, off)


def make_task_filter(row: Any, rules: RulesByName) -> str:
    """Return the filter for the tasks of a rule.

    Raise NotApplicableError for a rule that is not about tasks, or whose tasks no filter selects.
    """
    facts = rules[row.name].facts
    conditions = facts.get("conditions") or {}
    scope, match = conditions.get("scope"), conditions.get("match") or {}
    if facts.get("metric") or scope in ("host", "taskdeck"):
        about = tr("the host") if scope == "host" else tr("Taskdeck itself")
        raise NotApplicableError(
            tr("{name} is about {about}, not about tasks.", name=row.name, about=about)
        )
    if scope == "pool" or match.get("pool") or match.get("schedule"):
        raise NotApplicableError(
            tr("{name} is about a pool or schedule; 5 filters tasks.", name=row.name)
        )
    words = [
        f"{name}:{_join_patterns(row.name, match[key], name)}"
        for key, name in _FILTERS.items()
        if match.get(key)
    ]
    tags = _list_tags(match.get("tag") or match.get("tags") or {})
    return " ".join([*words, *(f"tag:{_quote_word(tag)}" for tag in tags)])


def make_alert_filter(alert: AlertEntry, rules: RulesByName) -> str:
    """Return the filter for the tasks that an alert is about: those of a name, or of a queue.

    Raise NotApplicableError for an alert that is not about tasks.
    """
    if alert.sla not in rules:
        raise NotApplicableError(
            tr("The alert {sla} is about no task: {why}.", sla=alert.sla, why=alert.why)
        )
    group = get_alert_group(rules[alert.sla])
    if group not in _FILTERS:
        return make_task_filter(rules[alert.sla], rules)
    name = alert.object.removeprefix(f"{group} ") if group != "task" else alert.object
    return f"{_FILTERS[group]}:{_join_patterns(alert.sla, name, _FILTERS[group])}"


def get_alert_group(rule: RuleRow) -> str:
    """Return what makes one alert of a rule: `task`, `queue`, …; "" for a rule of a preset."""
    conditions = rule.facts.get("conditions") or {}
    return conditions.get("for_each") or conditions.get("scope") or ""


def _join_patterns(rule: str, found: Any, name: str) -> str:
    """Return patterns as a value of a filter: a name takes one, others several with commas."""
    listed = [found] if isinstance(found, str) else [str(one) for one in found]
    if any("[" in one for one in listed) or (name == "name" and len(listed) > 1):
        raise NotApplicableError(
            tr("{rule} selects tasks as no filter can; 5 filters tasks.", rule=rule)
        )
    return ",".join(map(_quote_word, listed))


def _list_tags(found: Any) -> list[str]:
    """Return tags as `key=value`; conditions keep them as typed: a table, a text, or a list."""
    if isinstance(found, Mapping):
        return [f"{key}={value}" for key, value in found.items()]
    return [found] if isinstance(found, str) else [tag for one in found for tag in _list_tags(one)]


def _quote_word(word: str) -> str:
    return f'"{word}"' if " " in word else word


def format_row(row: Any) -> str:
    """Return a row as one line of text to copy, unsanitized."""
    if isinstance(row, RuleRow):
        return f"{row.name}: {row.words} ({row.severity})"
    if isinstance(row, SilenceRow):
        return f"{row.id}: {row.words}"
    return f"{row.severity} {row.sla}: {row.object}, {row.why}"
