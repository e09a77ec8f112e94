"""History charts: starts, ends, waits and runs over an hour, a day or a week.

The runs themselves are counted into rollups once their minutes are over, so nothing is lost while
no runtime is running. An answer counts the last minutes itself.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.core import time_buckets as core
from app.core.text.sanitize import sanitize, truncate
from app.core.time_buckets import METRICS, SPANS, BucketFrame, PeriodFigures
from app.errors import Usage
from app.service.context import Call
from db import timestamps
from db.engine import Connection, Database
from db.queries import reads
from db.queries.history import rollups as store
from db.queries.scheduling.resources import parse_named, read_totals
from db.states import RunStatus

QUARTER, HOUR, WIDE = 15, 60, 120
"""Bucket widths in minutes. Rollups have widths of 1, QUARTER and WIDE."""
MINUTES_KEPT, QUARTERS_KEPT, DAYS_KEPT = 180, 2 * 1440, 30 * 1440
"""Retention of the rollups of each width, in minutes."""
MAX_TAIL = 10
"""Maximum number of minutes that an answer counts itself."""
TIME_BUDGET = 10.0
"""Seconds of counting in one call. A million uncounted runs take several calls."""
MAX_ROWS = 50
"""Maximum number of rows in an answer; the largest are kept."""

Key = tuple[str, str, str]
"""Queue, pool, template."""
Row = dict[str, Any]


# --- counting ---------------------------------------------------------------------------


async def count_minutes(db: Database, budget: float = TIME_BUDGET) -> bool:
    """Count the minutes that are over. Return False if the time budget ran out."""
    until, now = await db.read(store.find_counted_until), _get_minute()
    if until is None:
        return True
    # After a clock jump ahead, nothing would be counted until that time is reached.
    until = min(until, now)
    deadline, begin = time.monotonic() + budget, _find_begin(until, now)
    while begin < now:
        minutes = range(begin, min(now, _find_end(begin, now)))
        found = await db.read(_read_around, minutes)
        rows = await asyncio.to_thread(_build_all_widths, found)
        after = (
            minutes.stop
            if rows[0]
            else min(now, await db.read(store.find_next_run, minutes.stop) or now)
        )
        await db.write(_store, minutes, rows, minutes.stop > now - MINUTES_KEPT, after)
        begin = _find_begin(after, now, recounted_minutes=0)
        if time.monotonic() > deadline and until < begin < now:
            return False
    await db.write(_drop_expired, now)
    return True


def _find_begin(until: int, now: int, recounted_minutes: int = store.RECOUNTED_MINUTES) -> int:
    """Return the minute at which counting continues.

    Minutes too old to be stored are counted by the hour.
    """
    return (
        until - recounted_minutes
        if until - recounted_minutes >= now - MINUTES_KEPT
        else core.find_bucket_start(until, HOUR)
    )


def _find_end(begin: int, now: int) -> int:
    """Return the end of a counting step.

    A step ends with the quarter of an hour, or with the hour if much is left to count.
    """
    step = QUARTER if begin >= now - MINUTES_KEPT else HOUR
    return core.find_bucket_start(begin, step) + step


Parts = tuple[list[store.RunCount], list[store.RunCount]]
Rows = list[store.RollupRow]


def _read_around(c: Connection, minutes: range) -> tuple[Parts, Rows, Rows]:
    """Read the runs of some minutes and the rows that share their wider buckets."""
    quarters, wide = _align_to_buckets(minutes, QUARTER), _align_to_buckets(minutes, WIDE)
    others = [
        *store.read_rollups(c, QUARTER, wide.start, quarters.start),
        *store.read_rollups(c, QUARTER, quarters.stop, wide.stop),
    ]
    rest = [
        *store.read_rollups(c, 1, quarters.start, minutes.start),
        *store.read_rollups(c, 1, minutes.stop, quarters.stop),
    ]
    return _read_parts(c, minutes.start, minutes.stop), rest, others


def _align_to_buckets(minutes: range, width: int) -> range:
    """Return the minutes extended to whole buckets."""
    return range(
        core.find_bucket_start(minutes.start, width),
        core.find_bucket_start(minutes.stop - 1, width) + width,
    )


def _read_parts(c: Connection, begin: int, end: int) -> Parts:
    return store.count_started(c, begin, end), store.count_ended(c, begin, end)


def _build_all_widths(found: tuple[Parts, Rows, Rows]) -> tuple[Rows, Rows, Rows]:
    """Return the rows of each width for the counted minutes."""
    parts, minutes, quarters = found
    fresh = _to_rows(sum_parts(parts))
    wider = _widen([*minutes, *fresh], QUARTER)
    return fresh, wider, _widen([*quarters, *wider], WIDE)


def _widen(rows: Rows, width: int) -> Rows:
    return _to_rows(_merge(rows, lambda row: (core.find_bucket_start(row.at, width), row[1:4])))


def _store(
    c: Connection, minutes: range, rows: tuple[Rows, Rows, Rows], each: bool, after: int
) -> None:
    """Store the rows, those of single minutes only if `each`.

    `after` is the first minute left to count.
    """
    if each:
        store.replace_rollups(c, 1, minutes.start, minutes.stop, rows[0])
    for width, wider in ((QUARTER, rows[1]), (WIDE, rows[2])):
        buckets = _align_to_buckets(minutes, width)
        store.replace_rollups(c, width, buckets.start, buckets.stop, wider)
    store.set_counted_until(c, after)


def _drop_expired(c: Connection, now: int) -> None:
    for width, kept in ((1, MINUTES_KEPT), (QUARTER, QUARTERS_KEPT), (WIDE, DAYS_KEPT)):
        store.delete_rollups(c, width, 0, core.find_bucket_start(now - kept, width))


def sum_parts(parts: Parts) -> dict[tuple[int, Key], PeriodFigures]:
    """Sum runs by minute, queue, pool and template."""
    found: dict[tuple[int, Key], PeriodFigures] = {}
    for part in parts[0]:
        one = found.setdefault((part.at, part[1:4]), PeriodFigures())
        one.started += part.many
        _count_duration(one.waits, part)
    for part in parts[1]:
        one = found.setdefault((part.at, part[1:4]), PeriodFigures())
        one.ended += part.many
        one.failed += (
            part.many if part.status not in (RunStatus.SUCCEEDED, RunStatus.CANCELLED) else 0
        )
        _count_duration(one.runs, part)
    return found


def _count_duration(counted: core.DurationHistogram, part: store.RunCount) -> None:
    if part.took is not None:
        core.merge_counts(counted, {core.compute_step(part.took): part.many})


def _to_rows(found: Mapping[tuple[int, Key], PeriodFigures]) -> Rows:
    return [
        store.RollupRow(
            at,
            *key,
            one.started,
            one.ended,
            one.failed,
            json.dumps(one.waits),
            json.dumps(one.runs),
        )
        for (at, key), one in found.items()
    ]


def _merge(
    rows: Rows, key: Callable[[store.RollupRow], Any], durations: Sequence[str] = store.DURATIONS
) -> dict[Any, PeriodFigures]:
    """Sum rows by a key. Durations not listed are not parsed."""
    found: dict[Any, PeriodFigures] = {}
    each_wait, each_run = (
        _parse_durations(rows, name, name in durations) for name in store.DURATIONS
    )
    for row, waited, ran in zip(rows, each_wait, each_run, strict=True):
        one = found.setdefault(key(row), PeriodFigures())
        one.started += row.started
        one.ended += row.ended
        one.failed += row.failed
        core.merge_counts(one.waits, waited)
        core.merge_counts(one.runs, ran)
    return found


def _parse_durations(rows: Rows, column: str, wanted: bool) -> list[core.DurationHistogram]:
    """Parse the durations of all rows at once."""
    return (
        json.loads(f"[{','.join([getattr(row, column) for row in rows])}]")
        if wanted
        else [{}] * len(rows)
    )


def _get_minute() -> int:
    return int(timestamps.utcnow().timestamp()) // 60


# --- answers ----------------------------------------------------------------------------


async def read_history(
    call: Call,
    *,
    span: str = "day",
    metric: str = "throughput",
    by: str = "all",
    within: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return one metric over a span, grouped by queue, pool, template or resource.

    `within` restricts the rows to one queue, pool or template. Return {at: UNIX seconds of the
    begin of each bucket, step: seconds of a bucket, known: whether each bucket was observed by a
    runtime and counted, since: UNIX seconds of the first observed minute or None, rows: [{name
    (None: all), series: {word: a value or None for each bucket}, total: {word: the figure of the
    span}}], more: number of omitted rows}.

    Durations are percentiles with an error of 5 %. Unknown and undefined values are None.
    """
    _check_arguments(span, metric, by, within or {})
    frame = BucketFrame.from_last_minute(_get_minute(), SPANS[span])
    known, since, found = await call.db.read(_read_metric, frame, metric, by, within or {})
    rows = await asyncio.to_thread(_BUILDERS[metric], found, frame, known)
    first, rest = rows[:1], sorted(rows[1:], key=lambda row: (-row.pop("weight"), row["name"]))
    first[0].pop("weight")
    return {
        "span": span, "metric": metric, "by": by, "within": within or {},
        "step": frame.span.minutes * 60,
        "at": [begin * 60 for begin in frame.bucket_starts], "known": known, "since": since,
        "rows": [*first, *rest[:MAX_ROWS]], "more": max(0, len(rest) - MAX_ROWS),
    }  # fmt: skip


def _check_arguments(span: Any, metric: Any, by: Any, scope: Any) -> None:
    for word, value, known in (("span", span, SPANS), ("metric", metric, METRICS)):
        if not isinstance(value, str) or value not in known:
            raise Usage(
                'there is no {word} "{value}". There are: {known}',
                word=word,
                value=truncate(sanitize(str(value)), 40),
                known=", ".join(known),
            )
    if not isinstance(by, str) or by not in METRICS[metric]:
        raise Usage(
            '{metric} cannot be grouped by "{by}", only by: {known}',
            metric=metric,
            by=truncate(sanitize(str(by)), 40),
            known=", ".join(METRICS[metric]),
        )
    inside = core.get_restrictions(metric)
    if (
        not isinstance(scope, dict)
        or not set(scope) <= set(inside)
        or not all(isinstance(name, str) for name in scope.values())
    ):
        raise Usage(
            "{metric} can be restricted to a name of: {inside}.",
            metric=metric,
            inside=", ".join(inside),
        )


def _read_metric(
    c: Connection, frame: BucketFrame, metric: str, by: str, scope: Mapping[str, str]
) -> tuple[list[bool], int | None, Any]:
    now, sampled = _get_minute(), store.list_sampled_minutes(c, frame.first)
    known, since = frame.find_known_buckets(sampled, now), min(sampled) * 60 if sampled else None
    if metric in ("cpu", "memory"):
        return (
            known,
            since,
            _read_levels(c, store.read_pool_levels, _select_pools(c, scope), frame, by),
        )
    if metric == "resources":
        pools = _select_pools(c, scope)
        rows = store.read_named_levels(c, list(pools), frame.bucket_starts)
        return known, since, (by, pools, read_totals(c), rows)
    if metric == "waiting":
        return (
            known,
            since,
            _read_levels(c, store.read_queue_levels, _select_queues(c, by, scope), frame, by),
        )
    until = _find_uncounted(c, now)
    rows = store.read_rollups(c, frame.span.minutes, frame.first, now + 1, scope, (metric,))
    if until + MAX_TAIL > now:
        rows += _count_tail(c, frame, until, now, scope)
        until = now + 1
    return (
        [seen and begin < until for seen, begin in zip(known, frame.bucket_starts, strict=True)],
        since,
        (by, metric, rows),
    )


def _find_uncounted(c: Connection, now: int) -> int:
    """Return the first minute that is not counted yet.

    Without any run there is nothing to count.
    """
    until = store.find_counted_until(c)
    return now + 1 if until is None else until


def _count_tail(
    c: Connection, frame: BucketFrame, until: int, now: int, scope: Mapping[str, str]
) -> list[store.RollupRow]:
    """Count the minutes that have no rollup yet."""
    rows = _to_rows(sum_parts(_read_parts(c, max(frame.first, until), now + 1)))
    width = frame.span.minutes
    return [
        row._replace(at=core.find_bucket_start(row.at, width))
        for row in rows
        if all(getattr(row, kind) == name for kind, name in scope.items())
    ]


def _select_queues(c: Connection, by: str, scope: Mapping[str, str]) -> dict[str, str]:
    """Return {queue: the name under which it is shown}."""
    rows = [
        row
        for row in reads.list_queues(c)
        if scope.get("queue", row.name) == row.name and scope.get("pool", row.pool) == row.pool
    ]
    return {row.name: row.pool if by == "pool" else row.name for row in rows}


def _select_pools(c: Connection, scope: Mapping[str, str]) -> dict[str, Any]:
    return {row.name: row for row in reads.list_pools(c) if scope.get("pool", row.name) == row.name}


def _read_levels(
    c: Connection,
    read: Callable[..., list[Any]],
    names: Mapping[str, Any],
    frame: BucketFrame,
    by: str,
) -> Any:
    return by, names, read(c, list(names), frame.bucket_starts)


# --- starts and ends --------------------------------------------------------------------


def _build_flow(
    parts: tuple[str, str, list[store.RollupRow]], frame: BucketFrame, known: Sequence[bool]
) -> list[Row]:
    """Return the rows of starts and ends, the total first."""
    by, metric, rows = parts
    places = {begin: at for at, begin in enumerate(frame.bucket_starts)}
    field = {"queue": 1, "pool": 2, "template": 3}.get(by)
    split = _merge(rows, lambda row: (row[field] if field else None, places.get(row.at)), (metric,))
    names: dict[str | None, dict[int, PeriodFigures]] = {None: {}}
    for (name, place), one in split.items():
        if place is not None:
            names.setdefault(name, {})[place] = one
            if name is not None:
                names[None].setdefault(place, PeriodFigures()).add(one)
    return [_build_flow_row(metric, name, buckets, known) for name, buckets in names.items()]


def _build_flow_row(
    metric: str, name: str | None, buckets: Mapping[int, PeriodFigures], known: Sequence[bool]
) -> Row:
    total = PeriodFigures()
    for one in buckets.values():
        total.add(one)
    columns, aggregate = _MEASURES[metric]
    line = [
        (
            aggregate(one)
            if (one := buckets.get(at) or (PeriodFigures() if seen else None))
            else (None,) * 4
        )
        for at, seen in enumerate(known)
    ]
    series = {
        word: [values[at] for values in line] for at, word in enumerate(columns) if word in _DRAWN
    }
    return {
        "name": name,
        "series": series,
        "total": dict(zip(columns, aggregate(total), strict=True)),
        "weight": total.started + total.ended,
    }


Measured = tuple[float | None, ...]


def _measure_counts(one: PeriodFigures) -> Measured:
    return one.started, one.ended, one.failed


def _measure_waits(one: PeriodFigures) -> Measured:
    return sum(one.waits.values()), *core.compute_percentiles(one.waits, (0.5, 0.95, 1.0))


def _measure_runs(one: PeriodFigures) -> Measured:
    return sum(one.runs.values()), *core.compute_percentiles(one.runs, (0.5, 0.95, 1.0))


def _measure_failures(one: PeriodFigures) -> Measured:
    return one.ended, one.failed, one.failed / one.ended if one.ended else None


_MEASURES: dict[str, tuple[tuple[str, ...], Callable[[PeriodFigures], Measured]]] = {
    "throughput": (("started", "ended", "failed"), _measure_counts),
    "waits": (("count", "p50", "p95", "most"), _measure_waits),
    "runs": (("count", "p50", "p95", "most"), _measure_runs),
    "failures": (("ended", "failed", "share"), _measure_failures),
}
_DRAWN = ("started", "ended", "failed", "p50", "p95", "share")
"""Words that also have a series."""


# --- levels -----------------------------------------------------------------------------


def _build_cpu(parts: Any, frame: BucketFrame, known: Sequence[bool]) -> list[Row]:
    return _build_utilisation(parts, frame, ("used_cpu", "measured_cpu", "most_cpu", "total_cpu"))


def _build_memory(found: Any, frame: BucketFrame, known: Sequence[bool]) -> list[Row]:
    return _build_utilisation(
        found, frame, ("used_memory", "measured_memory", "most_memory", "total_memory")
    )


def _build_utilisation(
    found: Any, frame: BucketFrame, columns: tuple[str, str, str, str]
) -> list[Row]:
    by, pools, rows = found
    reserved, measured, most, total = columns
    spread = {
        name: {
            "reserved": _extract_series(rows, name, reserved, frame),
            "measured": _extract_series(rows, name, measured, frame),
        }
        for name in pools
    }
    peaks = {name: max(_extract_values(rows, name, most), default=None) for name in pools}
    return _build_level_rows(
        spread, peaks, {name: getattr(pool, total) for name, pool in pools.items()}, by, "measured"
    )


def _build_resources(found: Any, frame: BucketFrame, known: Sequence[bool]) -> list[Row]:
    """Return the rows of named resources, whose units are added up."""
    by, pools, shared, samples = found
    own = {name: parse_named(pool.resources) for name, pool in pools.items()}
    lines, highs = _spread_named(samples, frame)
    keys = dict.fromkeys([*((pool, name) for pool in own for name in own[pool]), *lines])
    if by != "pool":  # what all pools share is listed before a task has held any
        seen = {name for _, name in keys}
        keys |= dict.fromkeys(("", name) for name in shared if name not in seen)
    groups: dict[str, list[tuple[str, str]]] = {}
    for key in keys:
        groups.setdefault(key[0] if by == "pool" else key[1], []).append(key)
    empty: list[float | None] = [None] * frame.span.buckets
    spread = {
        name: {"reserved": core.sum_columns([lines.get(key, empty) for key in of])}
        for name, of in groups.items()
    }
    peaks = {name: highs.get(of[0]) if len(of) == 1 else None for name, of in groups.items()}
    totals = {
        name: shared[name]
        if by != "pool" and name in shared
        else sum(own[pool].get(resource, shared.get(resource, 0)) for pool, resource in of)
        for name, of in groups.items()
    }
    return _build_level_rows(spread, peaks, totals, by, "reserved")


_NamedLine = dict[tuple[str, str], list[float | None]]
"""Units held in each bucket, by pool and resource."""


def _spread_named(
    samples: Sequence[Any], frame: BucketFrame
) -> tuple[_NamedLine, dict[tuple[str, str], float]]:
    """Return means of each bucket and the peak, by pool and resource."""
    minutes: dict[tuple[str, int], int] = {}
    sums: dict[tuple[str, str], dict[int, float]] = {}
    highs: dict[tuple[str, str], float] = {}
    for row in samples:
        place = row.name, row.bucket
        minutes[place] = minutes.get(place, 0) + row.minutes
        for resource, amount in parse_named(row.held).items():
            key = row.name, resource
            line = sums.setdefault(key, {})
            line[row.bucket] = line.get(row.bucket, 0.0) + amount * row.minutes
            highs[key] = max(highs.get(key, 0.0), amount)
    lines = {
        key: [
            line.get(at, 0.0) / count if (count := minutes.get((key[0], at))) else None
            for at in range(frame.span.buckets)
        ]
        for key, line in sums.items()
    }
    return lines, highs


def _build_waiting(found: Any, frame: BucketFrame, known: Sequence[bool]) -> list[Row]:
    by, names, rows = found
    lines = {
        name: {word: _extract_series(rows, name, word, frame) for word in ("waiting", "running")}
        for name in names
    }
    shown = dict.fromkeys(names.values())
    spread = {
        name: {
            word: core.sum_columns([lines[queue][word] for queue in names if names[queue] == name])
            for word in ("waiting", "running")
        }
        for name in shown
    }
    one = {name: [queue for queue in names if names[queue] == name] for name in shown}
    peaks = {
        name: (
            max(_extract_values(rows, own[0], "most_waiting"), default=None)
            if len(own) == 1
            else None
        )
        for name, own in one.items()
    }
    return _build_level_rows(spread, peaks, None, by, "waiting")


def _extract_series(
    rows: Sequence[Any], name: str, column: str, frame: BucketFrame
) -> list[float | None]:
    line: list[float | None] = [None] * frame.span.buckets
    for row in rows:
        if row.name == name:
            line[row.bucket] = getattr(row, column)
    return line


def _extract_values(rows: Sequence[Any], name: str, column: str) -> list[float]:
    return [
        value for row in rows if row.name == name and (value := getattr(row, column)) is not None
    ]


def _build_level_rows(
    spread: Mapping[str, dict[str, list[float | None]]],
    peaks: Mapping[str, float | None],
    totals: Mapping[str, float] | None,
    by: str,
    heavy: str,
) -> list[Row]:
    """Return the total row, then one row for each name.

    The peak of several names is unknown, as their peaks were not simultaneous.
    """
    words = next(iter(spread.values()), {})
    every = {word: core.sum_columns([line[word] for line in spread.values()]) for word in words}
    single = next(iter(peaks.values())) if len(peaks) == 1 else None
    whole = sum(totals.values()) if totals is not None else None
    rows = [_build_level_row(None, every, single, whole, heavy)]
    if by != "all":
        rows += [
            _build_level_row(
                name, spread[name], peaks[name], totals[name] if totals else None, heavy
            )
            for name in spread
        ]
    return rows


def _build_level_row(
    name: str | None,
    series: dict[str, list[float | None]],
    peak: float | None,
    total: float | None,
    heavy: str,
) -> Row:
    means = {word: core.compute_mean(line) for word, line in series.items()}
    return {
        "name": name,
        "series": series,
        "total": {**means, "most": peak, "of": total},
        "weight": means.get(heavy) or 0.0,
    }


_BUILDERS: dict[str, Callable[[Any, BucketFrame, Sequence[bool]], list[Row]]] = {
    "throughput": _build_flow, "waits": _build_flow, "runs": _build_flow, "failures": _build_flow,
    "cpu": _build_cpu, "memory": _build_memory, "resources": _build_resources,
    "waiting": _build_waiting,
}  # fmt: skip
