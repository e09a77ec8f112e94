"""Order of the waiting tasks in a pool: its policy, and its ageing.

A policy orders tasks of queues with the same priority. Tasks that somebody moved to the front come
first under each policy. Once the oldest task has waited for the ageing of the pool, it goes before
all of these. The ageing is a long time, so that priorities win and still nothing starves.
"""

from __future__ import annotations

from app.core.text.units import format_duration_setting, parse_duration, quote
from app.translation import tr, tr_noop

FIFO, PRIORITY, SHORTEST = POLICIES = ("fifo", "priority", "shortest")

WAIT_WEIGHT = 10.0
"""Seconds of waiting that weigh as much as one second of expected run time (policy `shortest`).

A task is overtaken only by tasks submitted within ten times its expected run time. So each task
becomes the first one in the end, and gets the reservation.
"""
UNKNOWN_RUN = 86400.0
"""Expected run time in seconds, for the policy `shortest`, of a task without a known run time."""

DEFAULT_AGEING = 7 * 86400.0
"""Seconds of waiting after which the oldest task of a pool goes first, unless set otherwise."""
NEVER = "never"
"""Word for no ageing, which is stored as 0."""

_WORDS = {
    FIFO: tr_noop("first come, first served"),
    PRIORITY: tr_noop("by priority"),
    SHORTEST: tr_noop("shortest first"),
}


def describe_policy(policy: str) -> str:
    """Return the policy in words: `shortest first`."""
    return tr(_WORDS.get(policy, policy))


def check_policy(value: object) -> str | None:
    """Return a policy as it is stored, None for the default, or raise ValueError."""
    if value is None or value == PRIORITY:
        return None
    if isinstance(value, str) and value in POLICIES:
        return value
    raise ValueError(tr("must be priority, fifo or shortest, not {value}", value=quote(str(value))))


def get_ageing(stored: float | None) -> float:
    """Return the seconds of waiting after which the oldest task goes first; 0 is never."""
    return DEFAULT_AGEING if stored is None else stored


def check_ageing(value: object) -> float | None:
    """Return an ageing as it is stored, None for the default, or raise ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(tr("must be a duration such as 3d, or {never}", never=NEVER))
    seconds = parse_ageing(value if isinstance(value, str) else repr(value))
    return None if seconds == DEFAULT_AGEING else seconds


def parse_ageing(text: str) -> float:
    """Parse an ageing such as `3d` and return seconds; `never` is 0."""
    return 0.0 if text.lower() == NEVER else parse_duration(text)


def format_ageing(stored: float | None) -> str:
    """Format an ageing as typed: `7d`, `never`."""
    return format_duration_setting(get_ageing(stored)) if get_ageing(stored) else NEVER


def compute_rank(policy: str, submitted: float, expected: float | None) -> float | None:
    """Return the position of a task under a policy; smaller is earlier, None is by priority.

    `submitted` is in UNIX seconds, `expected` the run time in seconds.
    """
    if policy == PRIORITY:
        return None
    if policy == FIFO:
        return submitted
    return submitted + WAIT_WEIGHT * (UNKNOWN_RUN if expected is None else expected)
