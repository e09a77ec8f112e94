"""Evaluation of a condition over the values of one subject."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from app.core.rules import amounts, catalog, deadlines
from app.core.rules.conditions import (
    AllNode,
    AnyNode,
    AnyNodeType,
    Baseline,
    Deadline,
    DeadlineNode,
    FixedReference,
    ForecastDeadline,
    ForecastNode,
    MetricNode,
    NotNode,
)
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.scheduling.forecasts.expected_end import ExpectedEnd
from app.translation import tr

STRICTLY_LATER = 0.001
"""Seconds after which a growing value is above a limit that it has reached."""


class MetricRef(NamedTuple):
    """A metric as a condition uses it: now, over a window, or as a baseline of past runs."""

    metric: str
    stat: str = ""
    window: float = 0.0
    rate_over: float = 0.0
    runs: int = 0

    @property
    def is_windowed(self) -> bool:
        return self.window > 0 or self.rate_over > 0

    @property
    def unit(self) -> str:
        return catalog.COUNT if self.stat == "count" else catalog.METRICS[self.metric].unit


class Reading(NamedTuple):
    """A value of a metric, None if there is none.

    `changes_at` is the UNIX time at which the value changes by itself. `is_warming` is True while
    a window is not full yet, as after a start. `is_still` is True for an age that does not grow
    now, as of an empty queue. `lack` says what a missing value needs: `2 of 3 past runs`.
    """

    value: float | None
    changes_at: float | None = None
    is_warming: bool = False
    is_still: bool = False
    lack: str = ""


class SubjectTimes(NamedTuple):
    """UNIX times of a subject for deadlines.

    `success_submitted` is the latest submission that succeeded, `success_by` its task.
    `known_since` is when the rule began to apply: earlier due times do not count. `failed_at` is
    when an instance failed with no attempt left; `is_retried` is True while an instance with an
    alert runs again. For a name, `failed_at` is of the latest failure, and `failed_submitted` is
    when its task was submitted. `find_start` returns from when submissions count for a fixed due
    time, None if none counts; without it, they count from the day before.
    """

    queued_at: float | None = None
    started_at: float | None = None
    scheduled_at: float | None = None
    success_submitted: float | None = None
    expected_end: ExpectedEnd | None = None
    known_since: float = 0.0
    failed_at: float | None = None
    is_retried: bool = False
    failed_submitted: float | None = None
    success_by: str = ""
    find_start: Callable[[float], float | None] | None = None


Values = Callable[[MetricRef], Reading]


class Target(NamedTuple):
    """Due time of a subject, in UNIX time.

    `since` is the time from which it counts: its reference, or the first submission that meets it.
    `has_failed` is True if the subject failed before, and has not succeeded since. `met_by` is the
    task that met it.
    """

    at: float
    since: float
    is_met: bool = False
    expected: ExpectedEnd | None = None
    has_failed: bool = False
    met_by: str = ""


class Verdict(NamedTuple):
    """Result for one subject: true, false, or None without data.

    `since` is when a true verdict became true, `next_at` when the verdict may change by itself.
    `due` is when a false verdict becomes true unless the subject is done before; None if the time
    is not known. `lack` says what a verdict without data needs.
    """

    state: bool | None
    since: float
    value: float | None = None
    limit: float | None = None
    text: str = ""
    next_at: float | None = None
    is_warming: bool = False
    due: float | None = None
    target: Target | None = None
    lack: str = ""


Note = Callable[[AnyNodeType, Verdict], None]
"""Function that receives the verdict on each comparison."""
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": lambda a, b: math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9),
    "!=": lambda a, b: not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9),
}


def make_ref(node: MetricNode) -> MetricRef:
    """Return the reference to the metric of a node."""
    return MetricRef(node.metric, node.stat or "", node.window or 0.0, node.rate_over or 0.0)


def make_baseline_ref(metric: str, baseline: Baseline) -> MetricRef:
    """Return the reference to the past runs that a baseline compares with."""
    return MetricRef(metric, baseline.stat, runs=baseline.runs)


def evaluate(
    node: AnyNodeType, values: Values, times: SubjectTimes, now: float, explain: bool = True,
    note: Note | None = None,
) -> Verdict:  # fmt: skip
    """Return the verdict on a subject at a UNIX time.

    Without `explain` a comparison has no text, which takes half of the time.
    """
    if isinstance(node, (MetricNode, DeadlineNode, ForecastNode)):
        verdict = (
            _judge_metric(node, values, now, explain)
            if isinstance(node, MetricNode)
            else _judge_time(node, times, now)
        )
        if note is not None:
            note(node, verdict)
        return verdict
    if isinstance(node, NotNode):
        found = evaluate(node.not_, values, times, now, explain, note)
        state = None if found.state is None else not found.state
        return found._replace(state=state, since=now, due=None)
    parts = [evaluate(part, values, times, now, explain, note) for part in _list_parts(node)]
    return _join_all(parts, now) if isinstance(node, AllNode) else _join_any(parts, now)


def _list_parts(node: AllNode | AnyNode) -> Sequence[AnyNodeType]:
    return node.all if isinstance(node, AllNode) else node.any


def _join_all(parts: Sequence[Verdict], now: float) -> Verdict:
    state = (
        False
        if any(part.state is False for part in parts)
        else None
        if any(part.state is None for part in parts)
        else True
    )
    text = " and ".join(dict.fromkeys(part.text for part in parts if part.text))
    since = max((part.since for part in parts), default=now)
    due = parts[0].due if len(parts) == 1 else None
    return parts[0]._replace(state=state, since=since, text=text, due=due, **_join_times(parts))


def _join_any(parts: Sequence[Verdict], now: float) -> Verdict:
    true = [part for part in parts if part.state]
    if true:
        since = min(part.since for part in true)
        text = " and ".join(dict.fromkeys(part.text for part in true if part.text))
        return true[0]._replace(since=since, text=text, **_join_times(parts))
    state = None if any(part.state is None for part in parts) else False
    due = min((part.due for part in parts if part.due is not None), default=None)
    return parts[0]._replace(state=state, since=now, due=due, **_join_times(parts))


def _join_times(parts: Sequence[Verdict]) -> dict[str, float | bool | None]:
    coming = [part.next_at for part in parts if part.next_at is not None]
    warming = any(part.is_warming for part in parts if part.state is None)
    return {"next_at": min(coming, default=None), "is_warming": warming}


def _judge_metric(node: MetricNode, values: Values, now: float, explain: bool) -> Verdict:
    ref = make_ref(node)
    reading = values(ref)
    limit, basis = _find_limit(node, values)
    if reading.value is None or limit is None:
        lacking = describe_ref(ref) if reading.value is None else f"baseline of {describe_ref(ref)}"
        lack = reading.lack or basis
        text = f"{lacking}: no data" + (f", {lack}" if lack else "")
        verdict = Verdict(None, now, None, limit, text, reading.changes_at, reading.is_warming)
        return verdict._replace(lack=lack)
    value = reading.value
    state = _COMPARE[node.op](value, limit)
    is_age = catalog.METRICS[node.metric].grows and not ref.is_windowed
    grows = is_age and not reading.is_still
    crossing = now - (value - limit)
    since = min(now, crossing) if grows and state and node.op in (">", ">=") else now
    text = ""
    if explain:
        shown = _format(ref, limit) if basis else amounts.format_amount(ref.unit, limit)
        text = f"{format_ref(ref, value)} ({describe_limit(node.op)} {shown}{basis})"
    return Verdict(
        state,
        since,
        value,
        limit,
        text,
        _find_next(node.op, crossing if grows else None, reading.changes_at, now),
        due=crossing if grows and crossing > now and _has_due(node) else None,
    )


def _has_due(node: MetricNode) -> bool:
    return node.op in (">", ">=") and node.metric in catalog.DUE_METRICS


def _find_limit(node: MetricNode, values: Values) -> tuple[float | None, str]:
    """Return the limit, and a note if it comes from past runs, or lacks them."""
    if node.baseline is None:
        return node.value, ""
    found = values(make_baseline_ref(node.metric, node.baseline))
    if found.value is None:
        return None, found.lack
    base = node.baseline
    return (
        found.value * base.factor,
        f": {base.factor:g} × {base.stat} of the last {base.runs} runs",
    )


def _find_next(
    op: str, crossing: float | None, changes_at: float | None, now: float
) -> float | None:
    coming = [changes_at] if changes_at is not None and changes_at > now else []
    if crossing is not None:
        coming += [at for at in (crossing, crossing + STRICTLY_LATER) if at > now]
    return min(coming, default=None)


def describe_limit(op: str) -> str:
    """Return the word before a limit: `limit`, for a lower one `at least`."""
    return {
        ">": "limit", ">=": "limit", "<": "at least", "<=": "more than", "==": "is", "!=": "not",
    }[op]  # fmt: skip


def _judge_time(node: DeadlineNode | ForecastNode, times: SubjectTimes, now: float) -> Verdict:
    form: Deadline = node.deadline if isinstance(node, DeadlineNode) else node.forecast
    margin = form.margin if isinstance(form, ForecastDeadline) else 0.0
    if isinstance(form.reference, FixedReference):
        return _judge_fixed(form, form.reference, times, now, margin)
    reference = {
        "queued_at": times.queued_at,
        "started_at": times.started_at,
        "scheduled_at": times.scheduled_at,
    }[form.reference]
    if times.failed_at is not None or times.is_retried:
        due = None if reference is None else Target(
            reference + form.offset, reference, has_failed=True
        )  # fmt: skip
        return _judge_failure(due, times, now)
    if reference is None:
        return Verdict(False, now, text=f"no {form.reference} yet")
    due = reference + form.offset
    if isinstance(form, ForecastDeadline):
        return _judge_expected_end(Target(due, reference), margin, times, now)
    return _make_due_verdict(Target(due, reference), now >= due, now)


def _judge_failure(target: Target | None, times: SubjectTimes, now: float) -> Verdict:
    """Return true: what failed meets no deadline, until a retry or a later task succeeds."""
    failed_at = times.failed_at
    since = now if failed_at is None else failed_at
    text = "failed, retried" if failed_at is None else f"failed {format_moment(failed_at)}"
    if target is None:
        return Verdict(True, since, text=text)
    due = target.at
    if due <= since:
        text = f"no success by {format_date(due)}" + (f", {text}" if failed_at else "")
    else:
        text += f", due {format_date(due)}"
    return Verdict(True, min(due, since), max(0.0, now - due), 0.0, text, target=target)


def _judge_fixed(
    form: Deadline, reference: FixedReference, times: SubjectTimes, now: float, margin: float
) -> Verdict:
    zone = get_zone(reference.tz or get_local_zone_name())
    fixed = deadlines.FixedTime(reference.fixed, reference.days, zone)
    coming = deadlines.find_next_due(fixed, form.offset, now)
    last = _limit(deadlines.find_last_due(fixed, form.offset, now), times)
    next_at = coming.due if coming else None
    coming = _limit(coming, times)
    if last is not None and last.due >= times.known_since and not _is_met(last, times):
        late = Target(last.due, last.since, has_failed=_has_failed(last, times))
        verdict = (
            _judge_failure(late, times, now)
            if late.has_failed
            else _make_due_verdict(late, True, now)
        )
        return verdict._replace(next_at=next_at)
    if coming is None:
        return Verdict(False, now, text="on time")
    is_met = _is_met(coming, times)
    target = Target(coming.due, coming.since, is_met, met_by=times.success_by if is_met else "")
    is_new = times.failed_at is not None and times.failed_at >= times.known_since
    if is_new and not target.is_met and _has_failed(coming, times):
        failed = _judge_failure(target._replace(has_failed=True), times, now)
        return failed._replace(next_at=next_at)
    if isinstance(form, ForecastDeadline) and not target.is_met:
        return _judge_expected_end(target, margin, times, now)
    due = None if target.is_met else target.at
    return Verdict(False, now, text="on time", next_at=next_at, due=due, target=target)


def _limit(found: deadlines.FixedDue | None, times: SubjectTimes) -> deadlines.FixedDue | None:
    """Return a due time with the submissions that count for a schedule; None if none counts."""
    if found is None or times.find_start is None:
        return found
    since = times.find_start(found.due)
    return None if since is None else found._replace(since=since)


def _is_met(found: deadlines.FixedDue, times: SubjectTimes) -> bool:
    return times.success_submitted is not None and times.success_submitted >= found.since


def _has_failed(found: deadlines.FixedDue, times: SubjectTimes) -> bool:
    """Return whether the latest failure is of a task that could have met a due time."""
    return times.failed_submitted is not None and times.failed_submitted >= found.since


def _make_due_verdict(target: Target, is_late: bool, now: float) -> Verdict:
    due = target.at
    text = f"no success by {format_date(due)}"
    since = min(due, now)
    later = None if is_late else due
    return Verdict(is_late, since, now - due, 0.0, text, later, due=later, target=target)


def _judge_expected_end(target: Target, margin: float, times: SubjectTimes, now: float) -> Verdict:
    """Return true once the probable end is late; an open task ends now at the earliest."""
    due, end = target.at, times.expected_end
    latest = due - margin
    next_at = _get_if_later(latest, now)
    target = target._replace(expected=end)
    if end is None:
        text = f"no forecast, due {format_date(due)}"
        state = True if now > latest else None
        return Verdict(
            state, min(now, latest), now - latest, 0.0, text, next_at, due=due, target=target
        )
    probable = max(now, end.probable)
    text = f"{_describe_expected_end(end)}, due {format_date(due)}"
    late_by = probable - latest
    return Verdict(late_by > 0, now, late_by, 0.0, text, next_at, due=due, target=target)


def _get_if_later(at: float, now: float) -> float | None:
    """Return the moment just after a time, None if the moment has passed."""
    return at + STRICTLY_LATER if at + STRICTLY_LATER > now else None


def _describe_expected_end(end: ExpectedEnd) -> str:
    first, last = format_moment(end.first), format_moment(end.last) if end.last < math.inf else ""
    if not last:
        return f"not expected to end before {first}"
    if round(end.last - end.first) < 60:
        return f"expected to end {first}"
    return f"expected to end {first}–{last}, probably {format_moment(end.probable)}"


def format_moment(at: float) -> str:
    """Format a UNIX time as local day and time: `Mon 06:00`."""
    wall = datetime.fromtimestamp(at, UTC).astimezone()
    return wall.strftime("%a %H:%M" if wall.second == 0 else "%a %H:%M:%S")


def format_date(at: float) -> str:
    """Format a UNIX time for a text that is kept: `Mon 30 Nov 06:00`."""
    wall = datetime.fromtimestamp(at, UTC).astimezone()
    clock = "%H:%M" if wall.second == 0 else "%H:%M:%S"
    return wall.strftime(f"%a {wall.day} %b {clock}")


def describe_ref(ref: MetricRef) -> str:
    """Return a metric in words: `p95 of running in 10m`."""
    words = tr(catalog.METRICS[ref.metric].words)
    if ref.runs or not ref.is_windowed:
        return words
    span = amounts.format_seconds(ref.window or ref.rate_over)
    if ref.metric in catalog.WINDOW_METRICS:
        return tr("{metric} in {span}", metric=words, span=span)
    is_run_metric = ref.metric.startswith("instance.")
    if ref.rate_over:
        if is_run_metric:
            return tr("restarts in {span}", span=span)
        return tr("change of {metric} in {span}", metric=words, span=span)
    if ref.stat == "count" and is_run_metric:
        return tr("ended runs in {span}", span=span)
    return tr("{stat} of {metric} in {span}", stat=ref.stat, metric=words, span=span)


def format_ref(ref: MetricRef, value: float) -> str:
    """Return a metric and its value in words: `queued tasks 143`."""
    return say_ref(ref, _format(ref, value))


def say_ref(ref: MetricRef, value: str) -> str:
    """Return a metric with a value, or a comparison, as words: `failed 3 times in a row`."""
    sentence = catalog.METRICS[ref.metric].sentence
    if not sentence or ref.is_windowed:
        return f"{describe_ref(ref)} {value}"
    return tr(sentence).format(value).replace(" 1 times ", " 1 time ")


def _format(ref: MetricRef, value: float) -> str:
    return amounts.format_value(ref.unit, value)
