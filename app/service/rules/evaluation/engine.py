"""One pass of the rules of the general form: read, decide in memory, write what changed.

A pass reads a snapshot on a reader's connection, and writes only changes. A pass without changes
writes nothing. An alert of a rule is live under its fingerprint, the rule and the subject.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.core import sla
from app.core.rules import rule_plan
from app.core.rules.alert_state import FIRING, SubjectState
from app.core.rules.evaluate import MetricRef
from app.core.rules.rule_plan import RulePlan
from app.core.text.sanitize import sanitize
from app.service.rules.evaluation import unchanged
from app.service.rules.evaluation.alert_texts import add_reasons, describe_steady
from app.service.rules.evaluation.due_times import DueTime, find_due_changes, group_due_times
from app.service.rules.evaluation.lateness import LateCheck, find_last_alive
from app.service.rules.evaluation.levels import LOOKS, AlertText, LevelLog, make_level_key
from app.service.rules.evaluation.rule_changes import Change, apply_changes, make_fingerprint
from app.service.rules.evaluation.rule_pass import INTERVAL, RulePass
from app.service.rules.evaluation.unchanged import Reads, Result, Rule
from app.service.rules.facts.probes import Probes
from app.service.rules.facts.snapshot import Snapshot
from app.service.rules.facts.subjects import Memory, Subject
from app.service.rules.facts.values import read_level
from app.translation import run_in_english
from db import timestamps
from db.engine import Connection, Database
from db.queries import definitions
from db.queries.rules import rule_states, rule_values
from db.queries.rules.rule_states import DueChange, RuleStateRow
from db.rows import SlaRow

log = logging.getLogger(__name__)

PLANS_AT_ONCE = 200
"""Rules that a pass parses, in some 40 ms; the others follow in the next passes."""
BATCH_SIZE = 200
"""Changes of one transaction."""
GAP = 60.0
"""Seconds between two passes after which alerts say "while down": no runtime judged the rules."""


class Outcome(NamedTuple):
    """Changes that a pass found, and the UNIX time by which the next pass must run.

    `is_complete` is False if the next pass goes on with what this one left.
    """

    changes: Sequence[Change]
    next_at: float
    due_changes: Sequence[DueChange] = ()
    is_complete: bool = True


class _Pass:
    """Data and findings of one pass."""

    def __init__(
        self, snapshot: Snapshot, states: Mapping[int, Mapping[str, SubjectState]],
        dues: Mapping[int, Mapping[str, DueTime]], firing: set[str], gap: bool,
    ) -> None:  # fmt: skip
        self.snapshot, self.states, self.dues = snapshot, states, dues
        self.firing, self.gap = firing, gap
        self.changes: list[Change] = []
        self.due_changes: list[DueChange] = []
        self.judges: list[RulePass] = []
        self.texts: dict[str, AlertText] = {}
        self.next_at = math.inf
        self.looks = LOOKS

    def add(
        self, judge: RulePass, changes: Sequence[Change], due_changes: Sequence[DueChange]
    ) -> None:
        """Add what a rule found."""
        self.judges.append(judge)
        self.changes += changes
        self.due_changes += due_changes
        self._add(judge.row.name, judge.texts, judge.next_at, judge.is_firing)

    def add_result(self, rule: Rule, result: Result) -> None:
        """Add what a rule found in an earlier pass, since it would find the same now."""
        self._add(rule.row.name, result.texts, result.next_at, result.is_firing)

    def _add(
        self, name: str, texts: Mapping[str, AlertText], next_at: float, is_firing: bool
    ) -> None:
        self.texts |= texts
        self.next_at = min(self.next_at, next_at)
        if is_firing:
            self.firing.add(name)


class RuleEngine:
    """Evaluates the rules of one home. One pass runs at a time."""

    def __init__(self, db: Database, probes: Probes) -> None:
        self.db, self.memory = db, Memory(probes)
        self.next_at = 0.0
        self._lock = asyncio.Lock()
        self._last_pass: float | None = None
        self._late_since: float | None = None
        """Time since which subjects may have been late, and done, without a pass, or None."""
        self._is_starting = False
        """True after a pass that left rules or names to the next ones."""
        self._marks: Any = None
        self._rules: list[Rule] = []
        self._rules_version: Any = None
        self._plans: dict[int, tuple[str, RulePlan | None]] = {}
        self._steady: dict[int, dict[str, Subject]] = {}
        self._results: dict[int, Result] = {}
        self._plans_left = 0
        self._names: dict[int, str] = {}
        """{rule id: name} of the enabled rules of the general form."""
        self._states: dict[RuleStateRow, SubjectState] = {}
        self.levels = LevelLog()
        self.broken: dict[str, str] = {}
        """{rule: why it cannot be evaluated}, which only another program can cause."""

    async def run_if_due(self) -> Outcome | None:
        """Run a pass after a change, at a due time, and every five seconds."""
        async with self._lock:
            return await self._run_if_due()

    async def _run_if_due(self) -> Outcome | None:
        now = timestamps.utcnow().timestamp()
        marks = await self.db.read(rule_values.read_change_marks)
        is_back = self._last_pass is not None and now < self._last_pass
        if marks == self._marks and now < self.next_at and not is_back:
            return None
        self._marks = marks
        return await self.run()

    async def run(self) -> Outcome:
        """Run a pass now."""
        now = timestamps.utcnow().timestamp()
        outcome = await self.db.read(lambda c: run_in_english(self.decide, c, now))
        for at in range(0, len(outcome.changes), BATCH_SIZE):
            await self.db.write(apply_changes, outcome.changes[at : at + BATCH_SIZE], now)
        for at in range(0, len(outcome.due_changes), BATCH_SIZE):
            part = outcome.due_changes[at : at + BATCH_SIZE]
            await self.db.write(rule_states.change_due_times, part)
        self._last_pass = now
        if outcome.is_complete:
            self._late_since = None
        self.next_at = outcome.next_at
        return outcome

    def find_alert_text(self, fingerprint: str) -> AlertText | None:
        """Return why an alert fires now, None if it does not.

        Passes describe only the alerts that they judge. The texts of steady ones are made here.
        """
        if found := self.levels.texts.get(fingerprint):
            return found
        rule, _, key = fingerprint.partition("/")
        subject = self._steady.get(int(rule) if rule.isdigit() else 0, {}).get(key)
        if subject is None:
            return None
        _, plan = self._plans.get(int(rule), ("", None))
        return describe_steady(plan, subject, timestamps.utcnow().timestamp()) if plan else None

    # --- decide ----------------------------------------------------------------------------

    def decide(self, c: Connection, now: float) -> Outcome:
        """Return the changes of a pass at a UNIX time."""
        rules = self.list_rules(c)
        if not rules:
            return Outcome((), now + INTERVAL)
        states = self._read_states(c)
        known = [
            subject.removeprefix("task:")
            for found in states.values()
            for subject in found
            if subject.startswith("task:")
        ]
        dues = group_due_times(rule_states.list_due_times(c))
        plans = [rule.plan for rule in rules]
        snapshot = Snapshot(c, now, self.memory, plans, known)
        self._fill_rings(snapshot, rules)
        firing = {
            self._names[sla_id]
            for sla_id, found in states.items()
            if sla_id in self._names and any(one.phase == FIRING for one in found.values())
        }
        gap = self._is_starting or self._last_pass is None or now - self._last_pass > GAP
        if self._late_since is None and (gap or now > self.next_at + INTERVAL):
            known_at = self._last_pass
            self._late_since = find_last_alive(c, now) if known_at is None else known_at
        self.levels.keep_only([make_level_key(rule.row) for rule in rules])
        can_leave_out = not gap and self._late_since is None
        run = _Pass(snapshot, states, dues, firing, gap)
        in_turn = self._prepare_results(run, rules, can_leave_out)
        for rule in sorted(rules, key=lambda one: len(one.plan.conditions.inhibited_by)):
            reads = self._list_reads(run, rule)
            result = self._results.get(rule.row.id)
            holds = reads is not None and result is not None and result.is_valid(reads, now)
            if result is not None and holds and rule.row.id not in in_turn:
                run.add_result(rule, result)
            else:
                self._judge(run, rule, reads)
        is_complete = snapshot.is_complete and self._rules_version is not None
        self._is_starting = gap and not is_complete
        next_at, found = min(run.next_at, now + INTERVAL), run.changes
        if not is_complete:
            next_at = now
        elif self._late_since is not None:
            found = _add_late(found, run.judges, LateCheck(snapshot, self._late_since))
        self.levels.texts = run.texts
        found = add_reasons(c, found)
        return Outcome(found, max(now + 0.001, next_at), run.due_changes, is_complete)

    def _prepare_results(self, run: _Pass, rules: Sequence[Rule], can_leave_out: bool) -> set[int]:
        """Forget results that must not be used; return the ids of rules that are judged anyway."""
        is_small = len(rules) <= unchanged.IN_TURN
        if is_small or not can_leave_out:
            self._results.clear()
        if not is_small:
            run.snapshot.note_sources()
        return unchanged.list_in_turn(self._results)

    def _list_reads(self, run: _Pass, rule: Rule) -> Reads | None:
        """Return all that a rule reads except the time; None if a value may change at any time."""
        if rule.sources is None:
            return None
        key, names = rule.row.id, rule.plan.conditions.inhibited_by
        numbers = self.memory.versions.list_numbers(rule.sources)
        is_inhibited = any(name in run.firing for name in names)
        states, due = run.states.get(key, {}), run.dues.get(key, {})
        return Reads(rule.row.updated_at, numbers, is_inhibited, states, due)

    def _judge(self, run: _Pass, rule: Rule, reads: Reads | None) -> None:
        """Judge a rule, and keep the result if nothing changes."""
        row, key = rule.row, rule.row.id
        due, steady = run.dues.get(key, {}), self._steady.get(key, {})
        judge = RulePass(run.snapshot, rule, run.states.get(key, {}), steady, run.firing, run.gap)
        changes = judge.run()
        due_changes = [*find_due_changes(key, row.updated_at, due, judge.list_due())]
        run.add(judge, changes, due_changes)
        self._steady[key] = judge.steady
        run.looks -= self._note_levels(judge, run.looks > 0)
        text = judge.describe_left_out()
        begins = self.levels.note_left_out(make_level_key(row), text)
        if begins and judge.is_cut:
            log.warning("sla %s %s", sanitize(row.name), text)
        self._results.pop(key, None)
        if reads is not None and not changes and not due_changes:
            # `find_alert_text` makes the texts of steady subjects.
            steady_prints = {make_fingerprint(key, one) for one in judge.steady}
            texts = {name: one for name, one in judge.texts.items() if name not in steady_prints}
            self._results[key] = Result(judge.now, judge.next_at, reads, texts, judge.is_firing)

    def _read_states(self, c: Connection) -> dict[int, dict[str, SubjectState]]:
        """Return {rule id: {subject: its state}}; a row is parsed once."""
        rows = rule_states.list_states(c)
        self._states = {row: self._states.get(row) or _parse_state(row) for row in rows}
        found: dict[int, dict[str, SubjectState]] = {}
        for row, state in self._states.items():
            found.setdefault(row.sla_id, {})[row.subject] = state
        return found

    def _note_levels(self, judge: RulePass, may_look: bool) -> int:
        """Keep the values of a rule; return 1 if subjects were read only for them."""
        key = make_level_key(judge.row)
        if not judge.is_active:
            self.levels.drop(key)
            return 0
        lacks = judge.has_unread_young
        if lacks:
            if not (may_look and (judge.has_changes or self.levels.is_due(key, judge.now))):
                return 0
            judge.read_young()
        self.levels.add(key, judge.levels, judge.comparisons)
        return int(lacks)

    def list_rules(self, c: Connection) -> list[Rule]:
        """Return the enabled rules of the general form; a pass parses `PLANS_AT_ONCE` at most."""
        version = rule_states.read_rules_version(c)
        if version == self._rules_version:
            return self._rules
        found: list[Rule] = []
        self._names.clear()
        self._plans_left = PLANS_AT_ONCE
        for row in definitions.list_slas(c):
            if row.enabled and sla.is_general(row.conditions):
                self._names[row.id] = row.name
                plan = self._get_plan(row)
                if plan is not None:
                    since = timestamps.to_unix(row.updated_at)
                    found.append(Rule(row, plan, since, unchanged.list_sources(plan)))
        self._rules = found
        self.memory.versions.watched = {source for rule in found for source in rule.sources or ()}
        self._rules_version = version if self._plans_left > 0 else None
        return found

    def _get_plan(self, row: SlaRow) -> RulePlan | None:
        version, plan = self._plans.get(row.id, ("", None))
        if version != row.updated_at:
            self._plans_left -= 1
            if self._plans_left < 0:
                return None
            try:
                plan = rule_plan.make_plan(row.conditions)
                self.broken.pop(row.name, None)
            except ValueError as error:
                log.error("sla %s cannot be evaluated: %s", row.name, error)
                plan, self.broken[row.name] = None, str(error)
            self._plans[row.id] = (row.updated_at, plan)
            self._steady.pop(row.id, None)
        return plan

    def _fill_rings(self, snapshot: Snapshot, rules: Sequence[Rule]) -> None:
        """Add the values that windows of the rules need."""
        spans: dict[str, float] = {}
        for ref in {ref for rule in rules for ref in rule.plan.refs}:
            if ref.metric == "host.disk_full_in_hours":
                spans["host.disk_free"] = 3600.0
            elif ref.is_windowed and ref.metric.split(".")[0] in (
                "queue", "pool", "host", "taskdeck"
            ):  # fmt: skip
                spans[ref.metric] = max(spans.get(ref.metric, 0.0), ref.window, ref.rate_over)
        for metric, span in spans.items():
            for subject in _list_ring_subjects(snapshot, metric):
                value = _read_ring_value(snapshot, metric, subject)
                self.memory.rings.add(metric, subject, snapshot.now, value, span)


def _list_ring_subjects(snapshot: Snapshot, metric: str) -> Iterable[str]:
    family = metric.partition(".")[0]
    return {"queue": snapshot.queues, "pool": snapshot.pools}.get(family, (family,))


def _read_ring_value(snapshot: Snapshot, metric: str, subject: str) -> float | None:
    if metric == "host.disk_free":
        return snapshot.host.get("disk_free")
    return read_level(snapshot, MetricRef(metric), subject, snapshot.now).value


def _parse_state(row: RuleStateRow) -> SubjectState:
    return SubjectState(
        row.status,
        timestamps.to_unix(row.since),
        timestamps.to_unix(row.fired_at) if row.fired_at else None,
        timestamps.to_unix(row.clear_since) if row.clear_since else None,
        bool(row.escalated),
    )


def _add_late(
    found: Sequence[Change], judges: Sequence[RulePass], check: LateCheck
) -> list[Change]:
    """Return the changes with those about late subjects, which have no other change."""
    late = [change for judge in judges for change in judge.tell_late(check)]
    keys = {(change.rule.id, change.subject) for change in late}
    return [one for one in found if (one.rule.id, one.subject) not in keys] + late
