"""Subjects that were late, and done, while no pass judged the rules.

No alert could fire about them. They follow from stored tasks and runs, so nothing is written for
them in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import NamedTuple

from app.core.rules import active_time
from app.core.rules.conditions import (
    AllNode,
    AnyNode,
    AnyNodeType,
    Deadline,
    DeadlineNode,
    ForecastNode,
    Match,
    MetricNode,
    list_parts,
)
from app.core.rules.evaluate import (
    MetricRef,
    Reading,
    SubjectTimes,
    Values,
    evaluate,
    format_date,
    format_moment,
)
from app.core.rules.rule_plan import RulePlan, is_any_match, is_matched, list_exact_names
from app.service.rules.facts.snapshot import Snapshot
from app.service.rules.facts.subjects import Subject
from app.service.rules.facts.values import SubjectValues
from db import timestamps
from db.engine import Connection
from db.queries.history import samples
from db.queries.rules import alerts, rule_values
from db.queries.rules.rule_values import CandidateRow, RunRow

TOLERANCE = 0.01
"""Seconds after its due time in which a subject is still in time, since times are floats."""


class Late(NamedTuple):
    """A subject that was done after its due time. `since` is when the condition became true."""

    subject: Subject
    since: float
    due: float
    text: str


class PastMoment(NamedTuple):
    """A waiting or active instance just before its run began or ended, as a pass would see it."""

    subject: Subject
    phase: str
    at: float
    run: RunRow
    snapshot: Snapshot


class Success(NamedTuple):
    """UNIX times of a success: its submission, or fire time, and its end."""

    submitted: float
    ended: float


def find_last_alive(c: Connection, now: float) -> float:
    """Return a UNIX time at which a runtime was up, within a minute or two of its end."""
    minute = samples.find_last_before(c, timestamps.from_unix(now))
    try:
        return timestamps.to_unix(minute) if minute else 0.0
    except ValueError:  # damaged
        return 0.0


class LateCheck:
    """Runs and successes since a UNIX time at which the rules were judged."""

    def __init__(self, snapshot: Snapshot, since: float) -> None:
        self._snapshot, self._since = snapshot, since
        self._before: dict[str, Success | None] = {}
        self._done: dict[tuple[str, str], Sequence[Subject]] = {}

    def find(self, plan: RulePlan, rule_since: float) -> Iterator[Late]:
        """Yield the subjects that were late under a rule, and are done."""
        if not plan.has_due:
            return
        found = self._find_instances if plan.base == "instance" else self._find_named
        for late in found(plan, replace_forecasts(plan.conditions.when), rule_since):
            if late.due > max(self._since, rule_since):
                yield late

    def was_told(self, fingerprint: str, late: Late) -> bool:
        """Return whether an alert told the lateness before the runtime ended."""
        return self._told.get(fingerprint, 0.0) >= late.due - 1

    @cached_property
    def _told(self) -> Mapping[str, float]:
        rows = alerts.list_fired_of_resolved(self._snapshot.c, timestamps.from_unix(self._since))
        return {fingerprint: timestamps.to_unix(fired_at) for fingerprint, fired_at in rows}

    # --- instances -------------------------------------------------------------------------

    @cached_property
    def _runs(self) -> Sequence[RunRow]:
        c, since = self._snapshot.c, timestamps.from_unix(self._since)
        found = [*rule_values.list_started_since(c, since), *rule_values.list_ended_since(c, since)]
        return [*{run.runid: run for run in found}.values()]

    @cached_property
    def _fires(self) -> Mapping[str, tuple[str, str]]:
        uuids = [run.task_id for run in self._runs]
        return rule_values.map_fire_times(self._snapshot.c, uuids) if uuids else {}

    @cached_property
    def _moments(self) -> Sequence[PastMoment]:
        """Return the moments, the oldest instances first."""
        found: list[PastMoment] = []
        for run in self._runs:
            subject = self._snapshot.make_ended(run, self._fires.get(run.task_id))
            if run.start_time and run.attempt == 1:
                found.append(self._make_moment(subject, run, "waiting", run.start_time))
            if run.start_time and run.end_time and run.status != "cancelled":
                found.append(self._make_moment(subject, run, "active", run.end_time))
        return sorted(found, key=_get_age, reverse=True)

    @cached_property
    def _moments_by_task(self) -> Mapping[str, Sequence[PastMoment]]:
        return _group(self._moments, lambda one: one.subject.name)

    @cached_property
    def _moments_by_queue(self) -> Mapping[str, Sequence[PastMoment]]:
        return _group(self._moments, lambda one: one.subject.labels.queue or "")

    def _list_moments(self, match: Match) -> Sequence[PastMoment]:
        """Return the moments of the tasks or queues that a rule names, the oldest first."""
        globs = match.queue if match.task is None else match.task
        if globs is None:
            return self._moments
        moments = self._moments_by_queue if match.task is None else self._moments_by_task
        exact = list_exact_names(globs)
        names = (
            [name for name in dict.fromkeys(exact) if name in moments]
            if len(exact) == len(globs)
            else [name for name in moments if is_any_match(name, globs)]
        )
        found = [one for name in names for one in moments[name]]
        return sorted(found, key=_get_age, reverse=True) if len(names) > 1 else found

    def _make_moment(self, subject: Subject, run: RunRow, phase: str, time: str) -> PastMoment:
        is_active = phase == "active"
        row = CandidateRow(
            run.task_id, run.number, run.name, run.template, run.queue, run.tags,
            "running" if is_active else "queued", run.created_at, run.not_before, None,
            run.attempt if is_active else run.attempt - 1, run.runid if is_active else None,
            run.pool, run.start_time if is_active else None,
        )  # fmt: skip
        past, at = copy(self._snapshot), timestamps.to_unix(time)
        past.now, past.levels = at, {}
        begin = timestamps.to_unix(min(run.created_at, subject.fire_time or run.created_at))
        return PastMoment(
            subject._replace(candidate=row, run=None, age_start=begin), phase, at, run, past
        )

    def _find_instances(
        self, plan: RulePlan, when: AnyNodeType, rule_since: float
    ) -> Iterator[Late]:
        least = plan.min_age + plan.timing.wait
        for one in self._list_moments(plan.match):
            subject = one.subject
            if _get_age(one) < least - TOLERANCE:
                break  # all others are younger
            is_too_young = one.at < max(self._since, subject.age_start + least)
            if one.phase not in plan.phases or is_too_young:
                continue
            # A deadline is about the success; a failure has an alert of its own.
            if not plan.refs and (one.phase == "waiting" or one.run.status != "succeeded"):
                continue
            if not is_matched(plan.match, subject.labels):
                continue
            values = SubjectValues(one.snapshot, subject, rule_since)
            word = "ended" if one.phase == "active" else "started"
            times = values.read_times(False)
            yield from _judge(plan, when, values.read, times, subject, one.at, word)

    # --- names and schedules ---------------------------------------------------------------

    @cached_property
    def _successes(self) -> Mapping[tuple[str, str], Sequence[Success]]:
        """Return {(kind, name): successes since the time, the earliest first}."""
        found: dict[tuple[str, str], list[Success]] = {}
        for run in sorted(self._runs, key=lambda run: run.end_time or ""):
            if run.status != "succeeded" or run.end_time is None:
                continue
            ended = timestamps.to_unix(run.end_time)
            if ended < self._since:
                continue
            fire = self._fires.get(run.task_id)
            one = Success(timestamps.to_unix(fire[1] if fire else run.created_at), ended)
            found.setdefault(("task", run.name), []).append(one)
            if fire:
                found.setdefault(("schedule", fire[0]), []).append(one)
        return found

    def _find_before(self, subject: Subject) -> Success | None:
        """Return the last success or check-in of a name or schedule before the time."""
        c, since, snapshot = self._snapshot.c, timestamps.from_unix(self._since), self._snapshot
        if subject.kind == "schedule":
            row = rule_values.find_schedule_success(c, subject.name, since)
            return Success(*map(timestamps.to_unix, row)) if row else None
        row = rule_values.find_success_before(c, subject.name, since)
        found = [Success(*map(timestamps.to_unix, row))] if row else []
        if subject.name in snapshot.checkins:
            found.append(Success(*[snapshot.checkins[subject.name]] * 2))
        return max(found, key=lambda one: one.ended, default=None)

    def _find_named(self, plan: RulePlan, when: AnyNodeType, rule_since: float) -> Iterator[Late]:
        if plan.base not in ("task", "schedule") or not self._successes:
            return
        least = _find_least_gap(plan)
        for subject in self._list_done(plan):
            successes = self._successes[subject.kind, subject.name]
            if subject.key not in self._before:
                self._before[subject.key] = self._find_before(subject)
            before = self._before[subject.key]
            find_start = self._snapshot.make_start_finder(subject) if plan.has_times else None
            for one in successes:
                last = before.ended if before else rule_since
                if one.ended - last < least:  # most of them
                    before = one
                    continue
                times = SubjectTimes(
                    success_submitted=before.submitted if before else None,
                    known_since=rule_since, find_start=find_start,
                )  # fmt: skip
                read = _make_reader(one.ended - last)
                yield from _judge(plan, when, read, times, subject, one.ended, "succeeded")
                before = one

    def _list_done(self, plan: RulePlan) -> Sequence[Subject]:
        """Return the names or schedules of a rule that succeeded, once for each match."""
        key = (plan.base, plan.match_key)
        if key not in self._done:
            matching = self._snapshot.list_matching(plan)
            self._done[key] = [one for one in matching if (one.kind, one.name) in self._successes]
        return self._done[key]


def _group(
    moments: Iterable[PastMoment], get_name: Callable[[PastMoment], str]
) -> Mapping[str, Sequence[PastMoment]]:
    found: dict[str, list[PastMoment]] = {}
    for one in moments:
        found.setdefault(get_name(one), []).append(one)
    return found


def _get_age(one: PastMoment) -> float:
    return one.at - one.subject.age_start


def _find_least_gap(plan: RulePlan) -> float:
    """Return the seconds between two successes below which no name breaks the rule."""
    limits = [one.node.value for one in plan.comparisons if isinstance(one.node, MetricNode)]
    if plan.has_times or not limits:
        return 0.0
    return min(limit or 0.0 for limit in limits)


def _make_reader(seconds: float) -> Values:
    """Return a reader of the seconds since a success, the only metric of a name with due times."""

    def read(ref: MetricRef) -> Reading:
        return Reading(max(0.0, seconds))

    return read


def _judge(
    plan: RulePlan, when: AnyNodeType, values: Values, times: SubjectTimes, subject: Subject,
    at: float, word: str,
) -> Iterator[Late]:  # fmt: skip
    """Yield how a subject was late just before a time at which it was done."""
    verdict = evaluate(when, values, times, at, explain=False)
    due = verdict.since + plan.timing.wait
    if verdict.state and due + TOLERANCE < at and is_applied_between(plan, due, at):
        text = f"was due {format_date(due)}, {word} {format_moment(at)}"
        yield Late(subject, verdict.since, due, text)


def is_applied_between(plan: RulePlan, since: float, until: float) -> bool:
    """Return whether any moment between two times is in the active time of a rule."""
    if active_time.is_active(plan.periods, since):
        return True
    edge = active_time.find_next_change(plan.periods, since)
    return edge is not None and edge < until


def replace_forecasts(node: AnyNodeType) -> AnyNodeType:
    """Return a condition with the deadlines of its forecasts: the ends are known now."""
    if isinstance(node, ForecastNode):
        form = node.forecast
        deadline = Deadline.model_construct(reference=form.reference, offset=form.offset)
        return DeadlineNode.model_construct(deadline=deadline)
    if isinstance(node, AllNode):
        return AllNode.model_construct(all=[replace_forecasts(one) for one in list_parts(node)])
    if isinstance(node, AnyNode):
        return AnyNode.model_construct(any=[replace_forecasts(one) for one in list_parts(node)])
    return node
