"""Evaluation of one rule in one pass: which alerts begin, stay, escalate and end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

from app.core import sla
from app.core.rules import active_time, alert_state
from app.core.rules.alert_state import FIRING, PENDING, SubjectState
from app.core.rules.conditions import AnyNodeType, MetricNode
from app.core.rules.evaluate import SubjectTimes, Verdict, evaluate, make_ref
from app.core.rules.levels import Level, add_verdict
from app.service.rules.evaluation.alert_texts import describe_success, describe_wait
from app.service.rules.evaluation.due_times import MAX_LOOKS, DueList, DueTime
from app.service.rules.evaluation.lateness import LateCheck
from app.service.rules.evaluation.levels import SHORT, WHILE_DOWN, AlertText
from app.service.rules.evaluation.rule_changes import Change, get_finite, make_fingerprint
from app.service.rules.evaluation.unchanged import Rule
from app.service.rules.facts.home_facts import DAY
from app.service.rules.facts.ranking import FEW, find_ranked, list_suspects, rank
from app.service.rules.facts.snapshot import MAX_NAMES, Snapshot
from app.service.rules.facts.subjects import Subject
from app.service.rules.facts.values import SubjectValues
from db import timestamps
from db.queries.rules import alerts, rule_values

INTERVAL = 5.0
"""Seconds between two passes without a change."""
MAX_ALERTS = 500
"""Most live alerts of a rule."""
MAX_JUDGED = 20
"""Firing instances of a rule that are judged in each pass, even if none has changed."""
MAX_YOUNG = 50
"""Oldest instances that are read for the value of a rule that none can break yet."""
NO_TIMES = SubjectTimes()
ALL_SUBJECTS = {
    "instance": "all tasks", "task": "all tasks", "schedule": "all schedules",
    "queue": "all queues", "pool": "all pools",
}  # fmt: skip
"""Object of the only alert of a rule, by its kind of subject."""


class _Group(NamedTuple):
    """Verdict on the subjects of one alert, and the subject that decides.

    `is_explained` is True if the verdict has its whole text.
    """

    verdict: Verdict
    subject: Subject
    many: int = 1
    is_explained: bool = False


class RulePass:
    """Evaluation of one rule in one pass."""

    def __init__(
        self, snapshot: Snapshot, rule: Rule, states: Mapping[str, SubjectState],
        steady: Mapping[str, Subject], firing: set[str],
        gap: bool,
    ) -> None:  # fmt: skip
        self._snapshot, self._rule, self._states, self._gap = snapshot, rule, states, gap
        self._due = DueList()
        self._plan, self._now = rule.plan, snapshot.now
        self._is_inhibited = any(name in firing for name in rule.plan.conditions.inhibited_by)
        self.next_at = math.inf
        """When a verdict may change by itself."""
        self.is_firing, self.has_changes = False, False
        self._steady, self._kept = steady, set[str]()
        self.steady: dict[str, Subject] = {}
        """Instances about which the rule fires until they change, by key."""
        self.is_active = active_time.is_active(rule.plan.periods, snapshot.now)
        self.row, self.now = rule.row, snapshot.now
        self.comparisons = rule.plan.comparisons
        self.levels = [Level(snapshot.now)] * len(self.comparisons)
        self.is_cut = False
        self._known_keys = set[str]()
        self._left_out = set[str]()
        """Keys that break the rule, but have no alert since there are too many."""
        self._subject: Subject | None = None
        self._judged: set[str] = set()
        self.texts: dict[str, AlertText] = {}

    def run(self) -> list[Change]:
        """Return the changes of all subjects of the rule."""
        edge = active_time.find_next_change(self._plan.periods, self._now)
        self._look_again(edge)
        if not self.is_active:
            steps = [self._step(key, None, None) for key in self._states]
            return [change for change in steps if self._is_change(change)]
        groups = self._judge_all()
        self.is_firing = bool(self._kept)
        self.texts = self._describe_firing(groups)
        self._known_keys = self._kept | groups.keys()
        changes = [self._step(key, group, self._states.get(key)) for key, group in groups.items()]
        changes += [
            self._step_gone(key)
            for key in self._states
            if key not in groups
            and key not in self._kept
            and not self._is_retried(key)
            and not self._snapshot.is_unread(key)
        ]
        found = [change for change in changes if self._is_change(change)]
        self.has_changes = bool(found)
        return found

    def _is_retried(self, key: str) -> bool:
        """Return whether the task of a failure alert waits or runs again: the alert stays."""
        if not self._plan.covers_ended:
            return False
        return self._snapshot.has_candidate(key.removeprefix("task:"))

    def _is_change(self, change: Change) -> bool:
        before = self._states.get(change.subject)
        return bool(change.action) or change.state != before

    def _judge_all(self) -> dict[str, _Group]:
        """Return the verdicts that are true, or concern a subject with a state, by alert.

        Steady subjects, which need no verdict, are left out.
        """
        can_be_steady = self._plan.is_steady and self._plan.timing.escalate_after is None
        kept = self._kept
        groups: dict[str, _Group] = {}
        room = MAX_ALERTS - len(self._states)
        for subject in self._list_subjects():
            if self._is_outside(subject):
                continue
            key = self._get_key(subject)
            if self._is_steady(key, subject):
                self.steady[key] = subject
                kept.add(key)
                continue
            verdict = self._judge(subject)
            if verdict.state and can_be_steady:
                self.steady[key] = subject
            self._look_again(verdict.next_at)
            if not verdict.state:
                self._note_due(key, subject, verdict)
                if key not in self._states:
                    continue
            before = groups.get(key)
            if before is None and key not in self._states:
                if room <= 0:
                    self._left_out.add(key)
                    continue
                room -= 1
            groups[key] = _join(before, _Group(verdict, subject))
        return groups

    def _is_steady(self, key: str, subject: Subject) -> bool:
        """Return whether the rule fires about an instance that has not changed since the last pass.

        A few are judged all the same: one of them has the value of the rule.
        """
        if self._steady.get(key) is not subject or len(self.steady) < MAX_JUDGED:
            return False
        state = self._states.get(key)
        return state is not None and state.phase == FIRING and state.clear_since is None

    def _describe_firing(self, groups: Mapping[str, _Group]) -> dict[str, AlertText]:
        """Return the present texts of the alerts that fire, by fingerprint."""
        return {
            make_fingerprint(self.row.id, key): AlertText(
                self._describe(group, self._now), get_finite(group.verdict.value)
            )
            for key, group in groups.items()
            if group.verdict.state and key in self._states and self._states[key].phase == FIRING
        }

    def _note_due(self, key: str, subject: Subject, verdict: Verdict) -> None:
        state = self._states.get(key)
        if verdict.due is not None and (state is None or state.phase != FIRING):
            title = self._get_title(key, subject)
            self._due.add(DueTime(verdict.due + self._plan.timing.wait, key, title))

    def list_due(self) -> Sequence[DueTime]:
        """Return the next due times of the rule."""
        return self._due.times

    def tell_late(self, check: LateCheck) -> list[Change]:
        """Return the alerts about subjects that were late, and done, while no pass judged them."""
        pools = self._snapshot.pools_of_rules.get(self.row.id)
        groups: dict[str, _Group] = {}
        for late in check.find(self._plan, self._rule.since) if self.is_active else ():
            key = self._get_key(late.subject)
            state = self._states.get(key)
            is_known = key in self._known_keys or (state is not None and state.phase == FIRING)
            is_other = pools is not None and late.subject.labels.pool not in pools
            told = check.was_told(make_fingerprint(self.row.id, key), late)
            if is_known or is_other or told or len(groups) >= MAX_ALERTS - len(self._states):
                continue
            verdict = Verdict(True, late.since, text=late.text)
            groups[key] = _join(groups.get(key), _Group(verdict, late.subject, is_explained=True))
        return [self._step(key, group, None) for key, group in groups.items()]

    def describe_left_out(self) -> str:
        """Return what the rule leaves out because there is too much, and what to do, or ""."""
        parts: list[str] = []
        if self._left_out:
            parts.append(f"has {MAX_ALERTS:,} alerts and leaves out {len(self._left_out):,} more")
        names = self._snapshot.count_names(self._plan)
        if names > MAX_NAMES:
            parts.append(f"looks at {MAX_NAMES:,} of {names:,} task names")
        self.is_cut = bool(parts)
        advice = ["narrow its match"] if parts else []
        if queue := self._snapshot.find_full_queue(self._plan):
            most = rule_values.MAX_CANDIDATES
            parts.append(f"looks at only the oldest {most:,} waiting tasks of queue {queue}")
            advice.append("give its tasks a queue of their own")
        return f"{' and '.join(parts)}: {', or '.join(advice)}" if parts else ""

    @property
    def has_unread_young(self) -> bool:
        """True if instances below an age are not judged, and a level needs them."""
        return (
            self._plan.base == "instance"
            and self._plan.min_age > 0
            and any(level.value is None or level.due for level in self.levels)
        )

    def read_young(self) -> None:
        """Read the values of the oldest instances that cannot break the rule yet."""
        matching = self._keep_pools(self._snapshot.list_matching(self._plan))
        young = [
            one for one in matching if one.candidate is not None and one.key not in self._judged
        ]
        for subject in young[:MAX_YOUNG]:
            self._judge(subject)
        reads_all = "waiting" not in self._plan.phases or self._snapshot.has_all_waiting
        is_cut = len(young) > MAX_YOUNG or not reads_all
        self.levels = [
            level._replace(is_below=level.value is None, has_more=is_cut) for level in self.levels
        ]

    def _list_subjects(self) -> Iterable[Subject]:
        return self._keep_pools(self._list_old_enough())

    def _keep_pools(self, subjects: Iterable[Subject]) -> Iterable[Subject]:
        """Return the subjects in the pools that name the rule; all subjects if no pool names it."""
        pools = self._snapshot.pools_of_rules.get(self._rule.row.id)
        if pools is None:
            return subjects
        return (one for one in subjects if one.labels.pool in pools)

    def _list_old_enough(self) -> Iterable[Subject]:
        """Yield the subjects that may break the rule, and those that have a state."""
        subjects = self._snapshot.list_matching(self._plan)
        if len(subjects) > FEW and (node := find_ranked(self._plan)):
            yield from self._list_ranked(node)
            return
        if self._plan.base != "instance" or not self._plan.min_age:
            yield from subjects
            return
        oldest = self._now - self._plan.min_age
        done = 0
        for subject in subjects:
            if subject.candidate is not None and subject.age_start > oldest:
                # All others are younger.
                self._look_again(subject.age_start + self._plan.min_age + 0.001)
                if self._plan.has_due:
                    self._note_young(subjects[done:])
                break
            done += 1
            self._judged.add(subject.key)
            yield subject
        if not self._states and not self._plan.covers_ended:
            return
        rest = subjects[done:]
        if not self._states:  # ended ones come last
            rest = takewhile(lambda one: one.run is not None, reversed(rest))
        for subject in rest:
            if subject.run is not None or self._get_key(subject) in self._states:
                self._judged.add(subject.key)
                yield subject

    def _list_ranked(self, node: MetricNode) -> Iterable[Subject]:
        """Yield the task names near the limit or beyond it, and those that have a state."""
        ranking = rank(self._snapshot, self._plan, make_ref(node))
        self._look_again(ranking.changes_at)
        suspects = list_suspects(ranking, node, self._now - self._rule.since)
        yield from suspects
        known = {subject.key for subject in suspects}
        if self._states.keys() - known:
            matching = {one.key: one for one in self._snapshot.list_matching(self._plan)}
            others = [key for key in self._states if key in matching and key not in known]
            yield from (matching[key] for key in others)

    def _note_young(self, subjects: Sequence[Subject]) -> None:
        """Note when the next of the subjects that cannot break the rule yet are due."""
        for subject in islice(self._keep_pools(subjects), MAX_LOOKS):
            first = subject.age_start + self._plan.min_age + self._plan.timing.wait
            if subject.candidate is None or self._due.is_full_before(first):
                break
            self._judged.add(subject.key)
            self._note_due(self._get_key(subject), subject, self._judge(subject))

    def _judge(self, subject: Subject, explain: bool = False) -> Verdict:
        values = SubjectValues(self._snapshot, subject, self._rule.since)
        plan, when = self._plan, self._plan.conditions.when
        times = values.read_times(plan.has_forecast) if plan.has_times else NO_TIMES
        if plan.has_times and self._runs_again(subject):
            times = times._replace(is_retried=True)
        self._subject = subject
        note = None if explain else self._note
        verdict = evaluate(when, values.read, times, self._now, explain, note)
        if subject.run is not None and timestamps.to_unix(subject.run.end_time or "") < (
            self._rule.since
        ):
            return verdict._replace(state=False)
        if verdict.state is None and plan.ended == "ended" and subject.candidate is not None:
            # The alert of a failure waits for a success: a new attempt has no exit code yet.
            return verdict._replace(is_warming=True)
        if verdict.state is None and not verdict.is_warming:
            return verdict._replace(state=self._plan.conditions.on_no_data == "alert")
        return verdict

    def _runs_again(self, subject: Subject) -> bool:
        """Return whether an instance with a firing alert of its own is in a later attempt."""
        row = subject.candidate
        if self._plan.group != "instance" or row is None:
            return False
        if row.attempts <= (row.runid is not None):
            return False
        state = self._states.get(self._get_key(subject))
        return state is not None and state.phase == FIRING

    def _note(self, node: AnyNodeType, verdict: Verdict) -> None:
        """Add the verdict on a comparison to its level."""
        assert self._subject is not None
        for place, one in enumerate(self.comparisons):
            if one.node is node:
                self.levels[place] = add_verdict(
                    one, self.levels[place], verdict, self._subject.title
                )

    def _is_outside(self, subject: Subject) -> bool:
        """Return True for a task without a schedule, under a rule about schedules."""
        scope = self._plan.conditions.scope
        return self._plan.group == scope == "schedule" and subject.labels.schedule is None

    def _get_key(self, subject: Subject) -> str:
        group = self._plan.group
        if group == self._plan.base:
            return subject.key
        return "rule" if group == "rule" else f"{group}:{getattr(subject.labels, group) or ''}"

    # --- step ------------------------------------------------------------------------------

    def _step(self, key: str, group: _Group | None, before: SubjectState | None) -> Change:
        before = before or self._states.get(key)
        verdict = group.verdict if group else None
        if verdict is not None and verdict.state is None and before and before.phase == FIRING:
            # A window that is not full after a start must not end an alert.
            return Change(self._rule.row, key, before, before.fired_at, "", {})
        step = alert_state.advance(
            before,
            bool(verdict and verdict.state),
            verdict.since if verdict else self._now,
            self._now,
            self._plan.timing,
            self._is_inhibited,
        )
        self._look_again(step.next_at)
        if group and step.next_at and step.state and step.state.phase == PENDING:
            title = self._get_title(key, group.subject)
            self._due.add(DueTime(step.next_at, key, title))
        self.is_firing |= step.state is not None and step.state.phase == FIRING
        alert = self._make_alert(key, group, step) if step.change else {}
        if step.change == "resolve" and group and before and self._plan.group == self._plan.base:
            alert = {"end": describe_success(self._snapshot, self._plan, group.subject, before)}
        return Change(self._rule.row, key, step.state, step.next_at, step.change, alert)

    def _step_gone(self, key: str) -> Change:
        """Return the change of a subject that is not there any more."""
        before = self._states[key]
        if before.phase != FIRING:
            return Change(self._rule.row, key, None, None, "", {})
        action = "expire" if self._is_expired(key, before) else "resolve"
        return Change(self._rule.row, key, None, None, action, {})

    def _is_expired(self, key: str, state: SubjectState) -> bool:
        """Return whether an alert of a failure ends by its age, not by a success."""
        if not self._plan.covers_ended:
            return False
        if self._plan.group == "instance":
            return self._snapshot.is_old_failure(key.removeprefix("task:"))
        is_old = self._now - state.since >= DAY
        return is_old and key not in map(self._get_key, self._snapshot.new_ends)

    def _make_alert(
        self, key: str, group: _Group | None, step: alert_state.Step
    ) -> Mapping[str, Any]:
        row = self._rule.row
        if step.change == "resolve" or group is None or step.state is None:
            return {}
        escalate = self._plan.conditions.escalate
        if step.change == "escalate" and escalate is not None:
            return {"severity": escalate.severity}
        fired_at = step.state.fired_at or self._now
        text = self._describe(group, fired_at)
        subject = group.subject
        is_instance = subject.kind == "instance" and self._plan.group == "instance"
        return {
            "sla_id": row.id, "name": row.name, "severity": sla.get_severity(row.priority),
            "status": "firing",
            "task_id": subject.key.removeprefix("task:") if is_instance else None,
            "object": self._get_title(key, subject), "text": text, "short": text[:SHORT],
            "value": get_finite(group.verdict.value), "limit": get_finite(group.verdict.limit),
            "fired_at": timestamps.from_unix(fired_at), "resolved_at": None,
            "fingerprint": make_fingerprint(row.id, key),
        }  # fmt: skip

    def _describe(self, group: _Group, fired_at: float) -> str:
        is_told = group.is_explained
        text = group.verdict.text if is_told else self._judge(group.subject, explain=True).text
        if group.many > 1:
            text = f"{group.many} of them, first {group.subject.title}: {text}"
        elif group.subject.kind == "instance" and self._plan.group != "instance":
            text = f"{group.subject.title}: {text}"
        text += describe_wait(self._plan)
        if self._gap and fired_at < self._now - INTERVAL:
            text += WHILE_DOWN
        return text

    def _get_title(self, key: str, subject: Subject) -> str:
        if self._plan.group == self._plan.base:
            return subject.title
        if key == "rule":
            return ALL_SUBJECTS.get(self._plan.base, alerts.SYSTEM_OBJECT)
        kind, _, name = key.partition(":")
        if not name:
            return f"no {kind}"
        return name if kind == "task" else f"{kind} {name}"

    def _look_again(self, at: float | None) -> None:
        if at is not None and at > self._now:
            self.next_at = min(self.next_at, at)


def _join(before: _Group | None, one: _Group) -> _Group:
    """Return the verdict of a group: true if any of its subjects is."""
    if before is None:
        return one
    if not one.verdict.state:
        return before
    if not before.verdict.state:
        return one
    earliest = before if before.verdict.since <= one.verdict.since else one
    return earliest._replace(many=before.many + 1)
