"""Internal metrics for SLA rules: units, limits and wording.

Values are floats in seconds, counts or bytes. Commands import this module, so its imports are few.
"""

from __future__ import annotations

from app.core.text import units
from app.translation import tr, tr_noop

SECONDS, COUNT, BYTES = "seconds", "count", "bytes"

METRICS = {
    "replica-lag": (SECONDS, tr_noop("replica {} old"), tr_noop("no replica")),
    "backup-age": (SECONDS, tr_noop("backup {} old"), tr_noop("no backup")),
    "slow-queries": (COUNT, tr_noop("slow statements in an hour: {}"), tr_noop("not known")),
    "lock-wait": (SECONDS, tr_noop("longest wait for the lock {}"), tr_noop("not known")),
    "wal-size": (BYTES, tr_noop("the database's log {}"), tr_noop("not known")),
}
"""Metrics by name: unit, phrase for a value, phrase for a missing value."""
AGE_METRICS = ("replica-lag", "backup-age")
"""Metrics that grow by one second per second until they are reset."""
MAX_COUNT = 1_000_000_000
"""Largest count."""
MIB = 2**20


def get_unit(metric: str) -> str:
    """Return the unit of a metric: `seconds`, `count` or `bytes`."""
    return METRICS[metric][0]


def parse_limit(metric: str, text: str) -> float:
    """Parse a limit such as `5m`, `20` or `64M`.

    Raise ValueError with the rest of a sentence.
    """
    word = text.strip()
    limit = _PARSERS[get_unit(metric)](metric, word)
    if limit <= 0:
        raise ValueError(f"must be above 0, not {units.quote(text)}")
    return limit


def format_figure(metric: str, figure: float, exact: bool = False) -> str:
    """Format a value: `7m`, `250ms`, `20`, `64M`; `7m12s` if `exact`."""
    if get_unit(metric) == SECONDS:
        return _format_seconds(figure, exact, exact or metric not in AGE_METRICS)
    text = units.format_bytes(figure) if get_unit(metric) == BYTES else units.format_count(figure)
    return text.replace(".0", "") if exact else text


def describe_figure(metric: str, figure: float | None, exact: bool = False) -> str:
    """Format a value as a phrase: `replica 7m old`, `no replica`."""
    _, template, if_unknown = METRICS[metric]
    if figure is None:
        return tr(if_unknown)
    return tr(template).format(format_figure(metric, figure, exact))


def _parse_seconds(metric: str, word: str) -> float:
    # `64M` would be read as 64 minutes, and `5m` as 5 MiB.
    if word[-1:] in ("K", "M", "G", "T", "B"):
        raise ValueError(f"must be a duration such as 5m for {metric}, not {units.quote(word)}")
    return units.parse_duration(word)


def _parse_bytes(metric: str, word: str) -> float:
    if word[-1:] == "m":
        raise ValueError(f"must be a size such as 64M for {metric}, not {units.quote(word)}")
    return units.parse_size(word) * MIB


def _parse_count(metric: str, word: str) -> float:
    try:
        return float(units.parse_int(word, -MAX_COUNT, MAX_COUNT))
    except ValueError:
        raise ValueError(
            f"must be a count such as 20 for {metric}, at most {MAX_COUNT:,}, "
            f"not {units.quote(word)}"
        ) from None


def _format_seconds(seconds: float, exact: bool, fine: bool) -> str:
    if fine and 0 < seconds < 1:
        return units.format_latency(seconds)
    return (
        units.format_duration_setting(seconds)
        if exact or fine and seconds < 10
        else units.format_age(seconds)
    )


_PARSERS = {SECONDS: _parse_seconds, COUNT: _parse_count, BYTES: _parse_bytes}
