"""Decision which fire times of a schedule are submitted, and which are recorded as missed.

A fire time is late if the runtime was down, or the database could not be written. The newest one
counts as on time for `ON_TIME` seconds, whatever the rule for missed ones says.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from app.core.schedules.recurrence import Recurrence, find_next
from app.core.schedules.zones import get_zone

RUN_ONCE, RUN_ALL, SKIP = "run-once", "run-all", "skip"
MISSED_RULES = (RUN_ONCE, RUN_ALL, SKIP)
OVERLAP_RULES = ("skip", "queue")
ON_TIME = timedelta(seconds=60)
MAX_CATCH_UP = 100
"""Missed fire times that `run-all` submits at most: the newest ones."""


class FireRules(NamedTuple):
    """Times at which a schedule may fire, and what happens to missed ones.

    `delay` is the jitter of this schedule. `excluded` are local dates without a fire.
    """

    recurrence: Recurrence
    missed: str = RUN_ONCE
    missed_within: timedelta | None = None
    delay: timedelta = timedelta()
    until: datetime | None = None
    excluded: Collection[date] = ()


class FirePlan(NamedTuple):
    """Fire times to submit and to record as missed, oldest first, and the next one.

    `missed` holds the newest ones; `has_more` says that earlier ones were missed too.
    """

    submit: tuple[datetime, ...]
    missed: tuple[datetime, ...]
    has_more: bool
    next_fire: datetime | None


def compute_jitter(name: str, most: float) -> timedelta:
    """Return the delay of a schedule: whole seconds below `most`, the same each time."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return timedelta(seconds=int(share * most))


def iterate_fires(rules: FireRules, after: datetime) -> Iterator[datetime]:
    """Yield the fire times strictly after `after`, without excluded dates and those after the end.

    Excluded days are skipped whole. A schedule that finds no other day in 10,000 ends.
    """
    zone, skipped = get_zone(rules.recurrence.zone), 0
    at = find_next(rules.recurrence, after)
    while at is not None and (rules.until is None or at <= rules.until) and skipped < 10_000:
        day = at.astimezone(zone).date()
        if day in rules.excluded:
            skipped += 1
            midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
            at = find_next(rules.recurrence, max(at, midnight - timedelta(seconds=1)))
        else:
            yield at
            at = find_next(rules.recurrence, at)


def find_next_fire(rules: FireRules, after: datetime) -> datetime | None:
    """Return the first fire time strictly after `after`, or None."""
    return next(iterate_fires(rules, after), None)


def find_latest(rules: FireRules, after: datetime, last: datetime) -> datetime | None:
    """Return the last fire time after `after` and not after `last`, or None."""
    end = min(last, rules.until or last)
    return next(iter(_list_latest(rules, after, end, 1)), None) if end > after else None


def plan_fires(rules: FireRules, next_fire: datetime, now: datetime) -> FirePlan:
    """Decide about the fire times from `next_fire` to `now`, less the jitter."""
    last = now - rules.delay
    until = min(last, rules.until or last)  # a search from later on would go through them all
    due = _list_latest(rules, next_fire - timedelta(seconds=1), until, MAX_CATCH_UP + 1)
    following = find_next_fire(rules, last)
    if not due:
        return FirePlan((), (), False, following)
    has_more = len(due) > MAX_CATCH_UP
    due = due[-MAX_CATCH_UP:]
    newest = due[-1]
    is_on_time = last - newest <= ON_TIME
    if rules.missed == RUN_ALL:
        chosen = due
    else:
        chosen = due[-1:] if is_on_time or rules.missed == RUN_ONCE else []
    if rules.missed_within is not None:
        oldest = last - max(rules.missed_within, ON_TIME)
        chosen = [at for at in chosen if at >= oldest]
    return FirePlan(tuple(chosen), tuple(at for at in due if at not in chosen), has_more, following)


def _list_latest(rules: FireRules, after: datetime, last: datetime, most: int) -> list[datetime]:
    """Return the newest `most` fire times after `after` and not after `last`, oldest first.

    The search goes back in steps of doubled length, because a schedule may have missed millions.
    """
    span = timedelta(minutes=1)
    while True:
        begin = max(after, last - span)
        found: deque[datetime] = deque(maxlen=most)
        for at in iterate_fires(rules, begin):
            if at > last:
                break
            found.append(at)
        if len(found) == most or begin <= after:
            return list(found)
        span *= 2
