"""Levels: the present values of a rule beside its limits, one for each comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from app.core.json_types import is_object
from app.core.rules import amounts, catalog
from app.core.rules.conditions import (
    AnyNodeType,
    DeadlineNode,
    ForecastNode,
    MetricNode,
    NotNode,
    list_parts,
    parse_conditions,
)
from app.core.rules.evaluate import (
    Target,
    Verdict,
    describe_limit,
    describe_ref,
    format_moment,
    make_ref,
    say_ref,
)
from app.core.scheduling.forecasts.expected_end import ExpectedEnd
from app.core.text import units
from app.core.text.joining import append_clause, join_clauses, join_commas
from app.translation import tr

MAX_LEVELS = 6
"""Comparisons of a rule that have a level."""
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
MET, MISSED, OPEN = range(3)
"""Ranks of deadlines: the next one that is open comes before those that are over."""


class Comparison(NamedTuple):
    """A comparison of a condition. `op` is the opposite one below a `not`."""

    node: MetricNode | DeadlineNode | ForecastNode
    op: str


class Level(NamedTuple):
    """Value of the subject that is nearest to making a comparison true, at a UNIX time.

    `value` is None without data; `limit` may come from past runs. `is_below` is True if the value
    is not known, but nothing reaches the limit.

    A deadline has the `due` of its subject, and a value in seconds after it. `open` and `missed`
    count deadlines; `has_more` is True if further open ones are not counted. `lack` says what a
    missing value needs.
    """

    at: float
    value: float | None = None
    limit: float | None = None
    subject: str = ""
    is_below: bool = False
    due: Target | None = None
    rank: int = -1
    open: int = 0
    missed: int = 0
    has_more: bool = False
    lack: str = ""


def list_comparisons(when: AnyNodeType) -> list[Comparison]:
    """Return the first comparisons of a condition, in the order of the text."""
    return [*_walk(when, False)][:MAX_LEVELS]


def _walk(node: AnyNodeType, is_negated: bool) -> list[Comparison]:
    if isinstance(node, MetricNode):
        return [Comparison(node, _OPPOSITE[node.op] if is_negated else node.op)]
    if isinstance(node, (DeadlineNode, ForecastNode)):
        return [Comparison(node, ">")]
    below = is_negated is not isinstance(node, NotNode)
    return [found for part in list_parts(node) for found in _walk(part, below)]


def find_charted(comparisons: Sequence[Comparison]) -> int | None:
    """Return the place of the comparison whose values a chart shows: the first with a metric."""
    places = range(len(comparisons))
    return next((at for at in places if isinstance(comparisons[at].node, MetricNode)), None)


def add_verdict(comparison: Comparison, level: Level, verdict: Verdict, subject: str) -> Level:
    """Return the level with one more subject, which becomes its subject if its value is worse."""
    if not isinstance(comparison.node, MetricNode):
        return _add_due(comparison, level, verdict, subject)
    value, limit = verdict.value, verdict.limit
    if value is None or limit is None:
        return level._replace(lack=verdict.lack) if verdict.lack else level
    if level.value is not None and not is_worse(comparison.op, value, level.value, limit):
        return level
    return level._replace(value=value, limit=limit, subject=subject)


def _add_due(comparison: Comparison, level: Level, verdict: Verdict, subject: str) -> Level:
    due = verdict.target
    if due is None:
        return level
    rank = MET if due.is_met else MISSED if verdict.state else OPEN
    counted = level._replace(
        open=level.open + (rank == OPEN), missed=level.missed + (rank == MISSED)
    )
    is_forecast = isinstance(comparison.node, ForecastNode)
    value = verdict.value if is_forecast and verdict.value is not None else level.at - due.at
    # A forecast shows the task that is expected last, a deadline the one that is due next.
    order = (rank != MET, value) if is_forecast else (rank, value)
    known = (
        (level.rank != MET, level.value or 0.0) if is_forecast else (level.rank, level.value or 0.0)
    )
    if level.due is not None and order <= known:
        return counted
    return counted._replace(value=value, limit=0.0, subject=subject, due=due, rank=rank)


def is_worse(op: str, one: float, other: float, limit: float) -> bool:
    """Return whether one value is nearer to breaking a rule, or breaks it more, than another."""
    if op in (">", ">="):
        return one > other
    if op in ("<", "<="):
        return one < other
    return abs(one - limit) < abs(other - limit) if op == "==" else other == limit != one


def describe_levels(
    conditions: object, levels: Sequence[Level], now: float
) -> list[dict[str, Any]]:
    """Return the levels of a rule as sent to clients, one for each comparison.

    The keys are `value`, `limit`, `op`, `unit`, `metric` in words, `object`, `text`, such as
    `queued tasks 143, limit 100, queue media`, and `brief`, such as `143 / 100`. `value` is None
    without data; `is_below` is True if nothing reaches the limit although no value is known. A
    deadline has `due`, `open` and `missed`, and a forecast its range as `expected`; times are UNIX
    times.
    """
    try:
        comparisons = list_comparisons(parse_conditions(conditions).when)
    except ValueError:  # only another program stores such conditions
        return []
    pairs = zip(comparisons, levels, strict=False)
    return [_describe(one, level, now) for one, level in pairs]


def _describe(comparison: Comparison, level: Level, now: float) -> dict[str, Any]:
    if isinstance(comparison.node, MetricNode):
        return _describe_metric(comparison.node, comparison.op, level)
    due = level.due
    expected = due.expected if due else None
    is_forecast = isinstance(comparison.node, ForecastNode)
    return {
        "value": level.value, "limit": level.limit, "op": ">", "unit": catalog.SECONDS,
        "metric": tr("expected end") if is_forecast else tr("deadline"), "object": level.subject,
        "is_below": level.value is None, "text": _describe_due(level, now, is_forecast),
        "brief": _format_due(level, now), "due": due.at if due else None,
        "since": due.since if due else None,
        "expected": expected and [at if at < math.inf else None for at in expected],
        "open": level.open, "missed": level.missed,
    }  # fmt: skip


def _describe_metric(node: MetricNode, op: str, level: Level) -> dict[str, Any]:
    ref = make_ref(node)
    limit = node.value if level.limit is None else level.limit
    value, words = level.value, describe_ref(ref)
    bound = "" if limit is None else amounts.format_amount(ref.unit, limit)
    shown = "" if value is None else amounts.format_value(ref.unit, value)
    about = level.subject if level.subject not in ("the host", "host", "taskdeck") else ""
    if value is None:
        shown = tr("none reached") if level.is_below else ""
    said = f"{words} {shown}" if value is None else say_ref(ref, shown)
    parts = [said, bound and tr("limit {limit}", limit=bound), about]
    text = tr("{metric}: no data", metric=words) + (f" ({level.lack})" if level.lack else "")
    if shown:
        text = join_commas(filter(None, parts))
    brief = "" if value is None else f"{shown} / {bound}" if bound else shown
    return {
        "value": value, "limit": limit, "op": op, "unit": ref.unit, "metric": words,
        "object": level.subject, "is_below": value is None and level.is_below, "text": text,
        "brief": brief,
    }  # fmt: skip


def _describe_due(level: Level, now: float, is_forecast: bool) -> str:
    """Return the deadline of a level in words: `#7 etl due in 12m, 06:00; 3 open, 1 missed`."""
    due, who = level.due, level.subject
    if due is None:
        return tr("nothing due")
    at = _format_minute(due.at, now)
    if level.rank == MET:
        if due.met_by:
            return tr("{who}: met by {task}, next due {at}", who=who, task=due.met_by, at=at)
        return tr("{who}: met, next due {at}", who=who, at=at)
    if is_forecast:
        end = _describe_end(due.expected, now) if due.expected else tr("has no forecast")
        end = tr("failed") if due.has_failed else end
        total = level.open + level.missed
        count = (
            tr("{missed:,} of {total:,} late", missed=level.missed, total=total)
            if level.missed
            else tr("{count} open", count=f"{total:,}")
        )
        return tr("{who} {end}, due {at}; {count}", who=who, end=end, at=at, count=count)
    many = f"{level.open:,}{'+' if level.has_more else ''}"
    counts = [tr("{count} open", count=many)] if level.open else []
    counts += [tr("{missed:,} missed", missed=level.missed)] if level.missed else []
    when = _format_time_to(due.at, now, level.rank)
    when = join_commas([tr("failed"), when]) if due.has_failed else when
    count = join_commas(counts) if counts else ""
    return join_clauses([append_clause(f"{who} {when}", at), count])


def _format_time_to(at: float, now: float, rank: int) -> str:
    if rank == OPEN or at > now:
        return tr("due in {age}", age=units.format_age(at - now))
    return tr("{age} late", age=units.format_age(now - at))


def _format_due(level: Level, now: float) -> str:
    """Return the deadline of a level in one or two words: `in 12m`, `5m late`, `06:10 / 06:00`."""
    due = level.due
    if due is None or level.rank == MET:
        return tr("met") if due else ""
    if due.has_failed and due.at > now:
        return tr("failed")
    if due.expected:
        probable, at = due.expected.probable, due.at
        return " / ".join(_format_minute(one, now)[-5:] for one in (probable, at))
    if level.rank == OPEN or due.at > now:
        return tr("in {time}", time=units.format_age(due.at - now))
    return _format_time_to(due.at, now, level.rank)


def _describe_end(end: ExpectedEnd, now: float) -> str:
    """Return a range to the minute: `ends 05:40–06:30, probably 06:10`."""
    first, probable = _format_minute(end.first, now), _format_minute(end.probable, now)
    if not math.isfinite(end.last):
        return tr("ends after {time}", time=first)
    last, day = _format_minute(end.last, now), first[:-5]
    if first == last:
        return tr("ends {time}", time=first)
    return tr(
        "ends {first}–{last}, probably {probable}",
        first=first,
        last=last.removeprefix(day),
        probable=probable.removeprefix(day),
    )


def _format_minute(at: float, now: float) -> str:
    """Format a UNIX time as `06:00`, on another day as `Mon 06:00`."""
    today = format_moment(now)[:4] if abs(at - now) < 86400 else " "
    return format_moment(at // 60 * 60).removeprefix(today)


def describe_brief(conditions: object, value: float | None, limit: float | None) -> str | None:
    """Return the value of an alert and its limit: `143 > 100`, `3 (limit 3)`.

    Return None without a single metric.
    """
    when = conditions.get("when") if is_object(conditions) else None
    name = str(when.get("metric")) if is_object(when) else ""
    if not is_object(when) or name not in catalog.METRICS or value is None or limit is None:
        return None
    unit = catalog.COUNT if when.get("stat") == "count" else catalog.METRICS[name].unit
    shown = amounts.format_value(unit, value), amounts.format_amount(unit, limit)
    op = str(when.get("op"))
    if op not in (">", "<"):  # `3 >= 3` is hard to read
        return f"{shown[0]} ({describe_limit(op)} {shown[1]})"
    return f"{shown[0]} {op} {shown[1]}"
