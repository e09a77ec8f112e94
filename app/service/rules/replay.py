"""Replay of a rule over the past: when it would have fired, from stored tasks and runs.

Only what is stored can be replayed: times, ends and reservations of tasks and runs, fire times and
backups. Values of the host and of running processes are not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from app.core import sla
from app.core.rules import active_time, alert_state, rule_plan
from app.core.rules.alert_state import SubjectState
from app.core.rules.evaluate import Verdict, evaluate
from app.core.rules.rule_plan import RulePlan
from app.core.text.sanitize import sanitize
from app.core.text.units import quote
from app.errors import Refused, Usage
from app.service.context import Call
from app.service.rules.facts.past import Past, PastSubject, list_unstored
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.rules import rule_values
from db.rows import SlaRow

MAX_DAYS = 90.0
"""Days of one replay."""
MAX_EVALUATIONS = 100_000
"""Evaluations of one replay: some two seconds."""
MAX_SPELLS = 1000
"""Alerts that an answer holds."""


class Spell(NamedTuple):
    """A time in which the rule would have fired; `until` is None if it still would."""

    subject: str
    fired_at: float
    until: float | None
    text: str


async def test(call: Call, *, name: str, days: float = 7.0) -> dict[str, Any]:
    """Return when a rule would have fired in the last days, since the first record of the home.

    Return {"name", "words", "since", "until", "alerts": [{"object", "fired_at", "resolved_at",
    "text"}], "count", "is_complete"}.
    """
    if isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 < days <= MAX_DAYS:
        raise Usage("days must be above 0 and at most {max_days:.0f}.", max_days=MAX_DAYS)
    return await call.db.read(_test, name, float(days) * 86400)


def _test(c: Connection, name: str, span: float) -> dict[str, Any]:
    from app.service.definitions import slas

    row = slas.require_rule(c, name)
    plan = rule_plan.make_plan(_get_general_form(c, row))
    if unstored := list_unstored(plan):
        raise Refused(
            "{unstored} cannot be replayed: past values are not stored. The rule itself works.",
            "See its present value: taskdeck sla show {name}",
            unstored=", ".join(unstored),
            name=row.name,
        )
    until = timestamps.utcnow().timestamp()
    first = timestamps.to_unix(rule_values.find_first_record(c))
    since = max(until - span, min(first, until))
    replay = Replay(plan, Past(c, plan, since, until))
    spells = replay.run()
    return {
        "name": row.name,
        "words": sla.describe_conditions(row.conditions),
        "since": timestamps.from_unix(since),
        "until": timestamps.from_unix(until),
        "count": len(spells),
        "is_complete": replay.is_complete,
        "alerts": [_to_dict(spell) for spell in spells[-MAX_SPELLS:]],
    }


def _get_general_form(c: Connection, row: SlaRow) -> dict[str, Any]:
    """Return the conditions of a rule; of a limit of tasks, conditions that mean the same."""
    if sla.is_general(row.conditions):
        return row.conditions
    rule = sla.parse_conditions(row.conditions)
    if rule.metric:
        raise Refused(
            "rule {name} is about {metric}, which cannot be replayed: past values are not"
            " stored. The rule itself works.",
            "See its present value: taskdeck sla show {word}",
            name=sanitize(row.name),
            metric=rule.metric,
            word=quote(row.name),
        )
    match: dict[str, Any] = {key: word for key, word in rule.match.items() if key != "tag"}
    match |= {"tags": rule.match["tag"]} if rule.match.get("tag") else {}
    if pools := [pool.name for pool in reads.list_pools(c) if pool.sla_id == row.id]:
        match["pool"] = pools
    if rule.is_finish_rule:
        when: dict[str, Any] = {"deadline": {"reference": "queued_at", "offset": rule.value}}
    else:
        when = {"metric": "instance.queued_seconds", "op": ">", "value": rule.value}
    return {"scope": "instance", "match": match, "when": when}


def _to_dict(spell: Spell) -> dict[str, Any]:
    return {
        "object": spell.subject,
        "fired_at": timestamps.from_unix(spell.fired_at),
        "resolved_at": None if spell.until is None else timestamps.from_unix(spell.until),
        "text": spell.text,
    }


class Replay:
    """A rule over a past time. `is_complete` is False if only a part was replayed."""

    def __init__(self, plan: RulePlan, past: Past) -> None:
        self._plan, self._past = plan, past
        self._left = MAX_EVALUATIONS
        self.is_complete = past.is_complete

    def run(self) -> list[Spell]:
        """Return the times in which the rule would have fired, by their begin."""
        groups: dict[str, list[PastSubject]] = {}
        for subject in self._past.list_subjects():
            if rule_plan.is_matched(self._plan.match, subject.labels):
                groups.setdefault(self._get_key(subject), []).append(subject)
        spells = [spell for key, found in groups.items() for spell in self._replay(key, found)]
        return sorted(spells, key=lambda spell: spell.fired_at)

    def _get_key(self, subject: PastSubject) -> str:
        group = self._plan.group
        if group == self._plan.base:
            return subject.title
        return "all" if group == "rule" else f"{group} {getattr(subject.labels, group) or ''}"

    def _replay(self, key: str, subjects: Sequence[PastSubject]) -> Iterable[Spell]:
        """Yield the spells of one alert: step at each event, and when a verdict may change."""
        times = [at for subject in subjects for at in self._past.list_times(subject)]
        times = [at for at in times if self._past.since <= at <= self._past.until]
        times += [self._past.since, self._past.until]
        heapify(times)
        state: SubjectState | None = None
        open_spell: Spell | None = None
        last = float("-inf")
        while times:
            now = heappop(times)
            if now <= last:
                continue
            if self._left <= 0:
                self.is_complete = False
                break
            last = now
            verdict, coming = self._judge(subjects, now)
            since = verdict.since if verdict else now
            truth = bool(verdict and verdict.state)
            step = alert_state.advance(state, truth, since, now, self._plan.timing)
            state = step.state
            for at in (*coming, step.next_at):
                if at is not None and now < at <= self._past.until:
                    heappush(times, at)
            if step.change == "fire" and verdict is not None and step.state is not None:
                open_spell = Spell(key, step.state.fired_at or now, None, verdict.text)
            elif step.change == "resolve" and open_spell is not None:
                yield open_spell._replace(until=now)
                open_spell = None
        if open_spell is not None:
            yield open_spell

    def _judge(
        self, subjects: Sequence[PastSubject], now: float
    ) -> tuple[Verdict | None, list[float | None]]:
        """Return the verdict on a group at a past time, and when it may change."""
        coming = [active_time.find_next_change(self._plan.periods, now)]
        if not active_time.is_active(self._plan.periods, now):
            return None, coming
        found: Verdict | None = None
        for subject in subjects:
            if not subject.begin <= now <= subject.end:
                continue
            self._left -= 1
            values = self._past.read_values(subject, now)
            times = self._past.read_times(subject, now)
            verdict = evaluate(self._plan.conditions.when, values, times, now)
            if verdict.state is None and self._plan.conditions.on_no_data == "alert":
                verdict = verdict._replace(state=True)
            coming.append(verdict.next_at)
            if found is None or (verdict.state and not found.state):
                found = verdict
        return found, coming
