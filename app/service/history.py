"""History: what began, ended, waited and ran over an hour, a day or a week, and how it is kept count of.

Counting reads minutes that are over from the runs themselves, so nothing is lost while no runtime is up: what ended meanwhile is
counted when the next one comes. What the answers say of the last minutes is counted when asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from app.core import time_buckets as core
from app.core.text.sanitize import clean, cut
from app.core.time_buckets import METRICS, SPANS, Figures, Frame
from app.errors import Usage
from app.service.context import Call
from db import timestamps
from db.engine import Database
from db.queries import reads
from db.queries import rollups as store
from db.states import Run

QUARTER, HOUR, WIDE = 15, 60, 120
"""Minutes; the rows are of one, of QUARTER and of WIDE, as spans show them."""
MINUTES_KEPT, QUARTERS_KEPT, DAYS_KEPT = 180, 2 * 1440, 30 * 1440
"""Minutes for which the rows of each width are kept."""
TAIL = 10
"""Minutes at most that an answer counts itself; with more to count, counting is behind and will come to it."""
BUDGET = 10.0
"""Seconds of counting in one go: a million runs that nobody counted yet take some of them."""
ROWS = 50
"""Rows in an answer: the greatest."""

Key = tuple[str, str, str]
"""Queue, pool, template."""
Row = dict[str, Any]


# --- counting -----------------------------------------------------------------------------------------------------------------------


async def count(db: Database, budget: float = BUDGET) -> bool:
    """Count the minutes that are over; False when the time was up before all were."""
    until, now = await db.read(store.counted_until), _minute()
    if until is None:
        return True
    until = min(until, now)  # else nothing would be counted, where the clock was ahead for a while, until it is there again
    over, begin = time.monotonic() + budget, _first(until, now)
    while begin < now:
        minutes = range(begin, min(now, _end(begin, now)))
        found = await db.read(_around, minutes)
        rows = await asyncio.to_thread(_rows_of, found)
        after = minutes.stop if rows[0] else min(now, await db.read(store.next_run, minutes.stop) or now)
        await db.write(_keep, minutes, rows, minutes.stop > now - MINUTES_KEPT, after)
        begin = _first(after, now, again=0)
        if time.monotonic() > over and until < begin < now:
            return False
    await db.write(_forget, now)
    return True


def _first(until: int, now: int, again: int = store.AGAIN) -> int:
    """Where to go on. Minutes that are too old to be kept are counted by whole hours, which need none of them."""
    return until - again if until - again >= now - MINUTES_KEPT else core.begin_of(until, HOUR)


def _end(begin: int, now: int) -> int:
    """Where a step ends: with the quarter of an hour, or with the hour while there is much to count."""
    step = QUARTER if begin >= now - MINUTES_KEPT else HOUR
    return core.begin_of(begin, step) + step


Parts = tuple[list[store.Part], list[store.Part]]
Rows = list[store.Kept]


def _around(c: Connection, minutes: range) -> tuple[Parts, Rows, Rows]:
    """The runs of some minutes, and the rows that make up the wider ones together with them."""
    quarters, wide = _buckets(minutes, QUARTER), _buckets(minutes, WIDE)
    others = [*store.kept(c, QUARTER, wide.start, quarters.start), *store.kept(c, QUARTER, quarters.stop, wide.stop)]
    rest = [*store.kept(c, 1, quarters.start, minutes.start), *store.kept(c, 1, minutes.stop, quarters.stop)]
    return _parts(c, minutes.start, minutes.stop), rest, others


def _buckets(minutes: range, width: int) -> range:
    """The minutes of the buckets of some minutes."""
    return range(core.begin_of(minutes.start, width), core.begin_of(minutes.stop - 1, width) + width)


def _parts(c: Connection, begin: int, end: int) -> Parts:
    return store.began(c, begin, end), store.ended(c, begin, end)


def _rows_of(found: tuple[Parts, Rows, Rows]) -> tuple[Rows, Rows, Rows]:
    """The rows of each width that these minutes make."""
    parts, minutes, quarters = found
    fresh = _rows(figures(parts))
    wider = _widened([*minutes, *fresh], QUARTER)
    return fresh, wider, _widened([*quarters, *wider], WIDE)


def _widened(rows: Rows, width: int) -> Rows:
    return _rows(_merged(rows, lambda row: (core.begin_of(row.at, width), row[1:4])))


def _keep(c: Connection, minutes: range, rows: tuple[Rows, Rows, Rows], each: bool, after: int) -> None:
    """Store them, each minute only where that is wanted; `after` is the first minute that is left to count."""
    if each:
        store.keep(c, 1, minutes.start, minutes.stop, rows[0])
    for width, wider in ((QUARTER, rows[1]), (WIDE, rows[2])):
        buckets = _buckets(minutes, width)
        store.keep(c, width, buckets.start, buckets.stop, wider)
    store.count_until(c, after)


def _forget(c: Connection, now: int) -> None:
    for width, kept in ((1, MINUTES_KEPT), (QUARTER, QUARTERS_KEPT), (WIDE, DAYS_KEPT)):
        store.drop(c, width, 0, core.begin_of(now - kept, width))


def figures(parts: Parts) -> dict[tuple[int, Key], Figures]:
    """What was read of the runs, by minute and whose they are."""
    found: dict[tuple[int, Key], Figures] = {}
    for part in parts[0]:
        one = found.setdefault((part.at, part[1:4]), Figures())
        one.started += part.many
        _count(one.waits, part)
    for part in parts[1]:
        one = found.setdefault((part.at, part[1:4]), Figures())
        one.ended += part.many
        one.failed += part.many if part.status not in (Run.SUCCEEDED, Run.CANCELLED) else 0
        _count(one.runs, part)
    return found


def _count(counted: core.Counted, part: store.Part) -> None:
    if part.took is not None:
        core.count_in(counted, {core.step(part.took): part.many})


def _rows(found: Mapping[tuple[int, Key], Figures]) -> Rows:
    return [
        store.Kept(at, *key, one.started, one.ended, one.failed, json.dumps(one.waits), json.dumps(one.runs))
        for (at, key), one in found.items()
    ]


def _merged(rows: Rows, key: Callable[[store.Kept], Any], durations: Sequence[str] = store.DURATIONS) -> dict[Any, Figures]:
    """Rows counted together by a key; durations that are not wanted are not read."""
    found: dict[Any, Figures] = {}
    each_wait, each_run = (_read_all(rows, name, name in durations) for name in store.DURATIONS)
    for row, waited, ran in zip(rows, each_wait, each_run, strict=True):
        one = found.setdefault(key(row), Figures())
        one.started += row.started
        one.ended += row.ended
        one.failed += row.failed
        core.count_in(one.waits, waited)
        core.count_in(one.runs, ran)
    return found


def _read_all(rows: Rows, column: str, wanted: bool) -> list[core.Counted]:
    """The durations of all rows, read in one go."""
    return json.loads(f"[{','.join([getattr(row, column) for row in rows])}]") if wanted else [{}] * len(rows)


def _minute() -> int:
    return int(timestamps.utcnow().timestamp()) // 60


# --- answering ----------------------------------------------------------------------------------------------------------------------


async def history(
    call: Call, *, span: str = "day", metric: str = "throughput", by: str = "all", within: dict[str, str] | None = None
) -> dict[str, Any]:
    """One metric over a span, told apart by queue, pool or template; `within` shows those of one queue, pool or template only.

    {at: UNIX seconds at which each bucket begins, step: its seconds, known: whether a runtime saw it and it is counted, since: UNIX
    seconds of the first minute of the span that a runtime saw (None: of none), rows: [{name (None: all), series: {word: a value or
    None for each bucket}, total: {word: one figure of the span}}], more: rows left out}. Durations are percentiles right to 5 %; None
    is what is not known, or of nothing.
    """
    _check(span, metric, by, within or {})
    frame = Frame.ending(_minute(), SPANS[span])
    known, since, found = await call.db.read(_read, frame, metric, by, within or {})
    rows = await asyncio.to_thread(_LOOKS[metric], found, frame, known)
    first, rest = rows[:1], sorted(rows[1:], key=lambda row: (-row.pop("weight"), row["name"]))
    first[0].pop("weight")
    return {
        "span": span, "metric": metric, "by": by, "within": within or {}, "step": frame.span.minutes * 60,
        "at": [begin * 60 for begin in frame.begins], "known": known, "since": since,
        "rows": [*first, *rest[:ROWS]], "more": max(0, len(rest) - ROWS),
    }  # fmt: skip


def _check(span: Any, metric: Any, by: Any, within: Any) -> None:
    for word, value, known in (("span", span, SPANS), ("metric", metric, METRICS)):
        if not isinstance(value, str) or value not in known:
            raise Usage(f'there is no {word} "{cut(clean(str(value)), 40)}". There are: {", ".join(known)}')
    if not isinstance(by, str) or by not in METRICS[metric]:
        raise Usage(f'{metric} is not known by "{cut(clean(str(by)), 40)}", but by: {", ".join(METRICS[metric])}')
    inside = core.within(metric)
    if not isinstance(within, dict) or not set(within) <= set(inside) or not all(isinstance(name, str) for name in within.values()):
        raise Usage(f"{metric} is known within: {', '.join(inside)}, each by its name.")


def _read(c: Connection, frame: Frame, metric: str, by: str, within: Mapping[str, str]) -> tuple[list[bool], int | None, Any]:
    now, sampled = _minute(), store.sampled(c, frame.first)
    known, since = frame.known(sampled, now), min(sampled) * 60 if sampled else None
    if metric in ("cpu", "memory"):
        return known, since, _levels(c, store.pool_levels, _pools(c, within), frame, by)
    if metric == "waiting":
        return known, since, _levels(c, store.queue_levels, _queues(c, by, within), frame, by)
    until = _counted(c, now)
    rows = store.kept(c, frame.span.minutes, frame.first, now + 1, within, (metric,))
    if until + TAIL > now:
        rows += _tail(c, frame, until, now, within)
        until = now + 1
    return [seen and begin < until for seen, begin in zip(known, frame.begins, strict=True)], since, (by, metric, rows)


def _counted(c: Connection, now: int) -> int:
    """The first minute that is not counted; without any run there is nothing to count."""
    until = store.counted_until(c)
    return now + 1 if until is None else until


def _tail(c: Connection, frame: Frame, until: int, now: int, within: Mapping[str, str]) -> list[store.Kept]:
    """The minutes that are not counted yet."""
    rows = _rows(figures(_parts(c, max(frame.first, until), now + 1)))
    width = frame.span.minutes
    return [
        row._replace(at=core.begin_of(row.at, width))
        for row in rows
        if all(getattr(row, kind) == name for kind, name in within.items())
    ]


def _queues(c: Connection, by: str, within: Mapping[str, str]) -> dict[str, str]:
    """{queue: the name it is shown under}."""
    rows = [row for row in reads.queues(c) if within.get("queue", row.name) == row.name and within.get("pool", row.pool) == row.pool]
    return {row.name: row.pool if by == "pool" else row.name for row in rows}


def _pools(c: Connection, within: Mapping[str, str]) -> dict[str, Any]:
    """{pool: its row}."""
    return {row.name: row for row in reads.pools(c) if within.get("pool", row.name) == row.name}


def _levels(c: Connection, read: Callable[..., list[Any]], names: Mapping[str, Any], frame: Frame, by: str) -> Any:
    return by, names, read(c, list(names), frame.begins)


# --- what began and ended -----------------------------------------------------------------------------------------------------------


def _flow(found: tuple[str, str, list[store.Kept]], frame: Frame, known: Sequence[bool]) -> list[Row]:
    """The rows of what began and ended, all first."""
    by, metric, kept = found
    places = {begin: at for at, begin in enumerate(frame.begins)}
    field = {"queue": 1, "pool": 2, "template": 3}.get(by)
    split = _merged(kept, lambda row: (row[field] if field else None, places.get(row.at)), (metric,))
    names: dict[str | None, dict[int, Figures]] = {None: {}}
    for (name, place), one in split.items():
        if place is not None:
            names.setdefault(name, {})[place] = one
            if name is not None:
                names[None].setdefault(place, Figures()).add(one)
    return [_flow_row(metric, name, buckets, known) for name, buckets in names.items()]


def _flow_row(metric: str, name: str | None, buckets: Mapping[int, Figures], known: Sequence[bool]) -> Row:
    total = Figures()
    for one in buckets.values():
        total.add(one)
    words, measure = _MEASURES[metric]
    line = [measure(one) if (one := buckets.get(at) or (Figures() if seen else None)) else (None,) * 4 for at, seen in enumerate(known)]
    series = {word: [values[at] for values in line] for at, word in enumerate(words) if word in _DRAWN}
    return {"name": name, "series": series, "total": dict(zip(words, measure(total), strict=True)), "weight": total.started + total.ended}


Measured = tuple[float | None, ...]


def _counts(one: Figures) -> Measured:
    return one.started, one.ended, one.failed


def _waits(one: Figures) -> Measured:
    return sum(one.waits.values()), *core.percentiles(one.waits, (0.5, 0.95, 1.0))


def _runs(one: Figures) -> Measured:
    return sum(one.runs.values()), *core.percentiles(one.runs, (0.5, 0.95, 1.0))


def _failures(one: Figures) -> Measured:
    return one.ended, one.failed, one.failed / one.ended if one.ended else None


_MEASURES: dict[str, tuple[tuple[str, ...], Callable[[Figures], Measured]]] = {
    "throughput": (("started", "ended", "failed"), _counts),
    "waits": (("count", "p50", "p95", "most"), _waits),
    "runs": (("count", "p50", "p95", "most"), _runs),
    "failures": (("ended", "failed", "share"), _failures),
}
_DRAWN = ("started", "ended", "failed", "p50", "p95", "share")
"""What is also told of each bucket."""


# --- levels -------------------------------------------------------------------------------------------------------------------------


def _cpu(found: Any, frame: Frame, known: Sequence[bool]) -> list[Row]:
    return _utilisation(found, frame, ("used_cpu", "measured_cpu", "most_cpu", "total_cpu"))


def _memory(found: Any, frame: Frame, known: Sequence[bool]) -> list[Row]:
    return _utilisation(found, frame, ("used_memory", "measured_memory", "most_memory", "total_memory"))


def _utilisation(found: Any, frame: Frame, columns: tuple[str, str, str, str]) -> list[Row]:
    by, pools, rows = found
    reserved, measured, most, total = columns
    spread = {name: {"reserved": _line(rows, name, reserved, frame), "measured": _line(rows, name, measured, frame)} for name in pools}
    peaks = {name: max(_values(rows, name, most), default=None) for name in pools}
    return _level_rows(spread, peaks, {name: getattr(pool, total) for name, pool in pools.items()}, by, "measured")


def _waiting(found: Any, frame: Frame, known: Sequence[bool]) -> list[Row]:
    by, names, rows = found
    lines = {name: {word: _line(rows, name, word, frame) for word in ("waiting", "running")} for name in names}
    shown = dict.fromkeys(names.values())
    spread = {
        name: {word: core.added([lines[queue][word] for queue in names if names[queue] == name]) for word in ("waiting", "running")}
        for name in shown
    }
    one = {name: [queue for queue in names if names[queue] == name] for name in shown}
    peaks = {name: max(_values(rows, own[0], "most_waiting"), default=None) if len(own) == 1 else None for name, own in one.items()}
    return _level_rows(spread, peaks, None, by, "waiting")


def _line(rows: Sequence[Any], name: str, column: str, frame: Frame) -> list[float | None]:
    line: list[float | None] = [None] * frame.span.buckets
    for row in rows:
        if row.name == name:
            line[row.bucket] = getattr(row, column)
    return line


def _values(rows: Sequence[Any], name: str, column: str) -> list[float]:
    return [value for row in rows if row.name == name and (value := getattr(row, column)) is not None]


def _level_rows(
    spread: Mapping[str, dict[str, list[float | None]]],
    peaks: Mapping[str, float | None],
    totals: Mapping[str, float] | None,
    by: str,
    heavy: str,
) -> list[Row]:
    """All, then each by its name. A peak of several together is not known: theirs were not at one moment."""
    words = next(iter(spread.values()), {})
    every = {word: core.added([line[word] for line in spread.values()]) for word in words}
    single = next(iter(peaks.values())) if len(peaks) == 1 else None
    whole = sum(totals.values()) if totals is not None else None
    rows = [_level_row(None, every, single, whole, heavy)]
    if by != "all":
        rows += [_level_row(name, spread[name], peaks[name], totals[name] if totals else None, heavy) for name in spread]
    return rows


def _level_row(name: str | None, series: dict[str, list[float | None]], peak: float | None, of: float | None, heavy: str) -> Row:
    means = {word: core.mean(line) for word, line in series.items()}
    return {"name": name, "series": series, "total": {**means, "most": peak, "of": of}, "weight": means.get(heavy) or 0.0}


_LOOKS: dict[str, Callable[[Any, Frame, Sequence[bool]], list[Row]]] = {
    "throughput": _flow, "waits": _flow, "runs": _flow, "failures": _flow, "cpu": _cpu, "memory": _memory, "waiting": _waiting,
}  # fmt: skip


