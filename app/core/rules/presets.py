"""Presets: one line for each common rule, which becomes conditions of the general form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.core.rules.active_time import DAYS, parse_days
from app.core.schedules.zones import find_nearest_zone, is_zone
from app.core.text.sanitize import find_nearest
from app.core.text.units import quote
from app.translation import tr, tr_noop

Builder = Callable[[str], dict[str, Any]]
"""Function from a limit, as typed, to conditions."""


_WRONG_TIME = tr_noop(
    "--value must be a time such as 06:00 or 06:00 mon-fri Europe/Berlin, not {value}"
)


class Preset(NamedTuple):
    """A preset: its sentence, the default limit and duration, and its conditions."""

    words: str
    value: str
    wait: str
    build: Builder


def _compare(metric: str, op: str, *, scope: str = "", **window: str) -> Builder:
    """Return a builder that compares a metric with the limit, by default in the metric's scope."""

    def build(value: str) -> dict[str, Any]:
        when = {"metric": metric, **window, "op": op, "value": value}
        return {"scope": scope or metric.partition(".")[0], "when": when}

    return build


def _build_deadline(value: str) -> dict[str, Any]:
    return {"scope": "task", "when": {"deadline": {"reference": parse_time(value)}}}


def parse_time(value: str) -> dict[str, str]:
    """Return the reference of `06:00`, `06:00 mon-fri` or `06:00 mon-fri Europe/Berlin`.

    Raise ValueError with the word that is no time, day or zone.
    """
    parts: dict[str, list[str]] = {"fixed": [], "days": [], "tz": []}
    for word in value.split():
        parts[_find_part(word)].append(word)
    if len(parts["fixed"]) != 1 or len(parts["tz"]) > 1:
        raise ValueError(tr(_WRONG_TIME, value=quote(value)))
    return {key: " ".join(words) for key, words in parts.items() if words}


def _find_part(word: str) -> str:
    if word[:1].isdigit():
        return "fixed"
    if "/" in word:
        return "tz"
    if is_zone(word):
        return "tz"
    try:
        parse_days(word)
    except ValueError:
        near = find_nearest(word, DAYS) or find_nearest_zone(word)
        hint = f". Nearest: {near}" if near else ""
        raise ValueError(tr(_WRONG_TIME, value=quote(word)) + hint) from None
    return "days"


def _build_slow(value: str) -> dict[str, Any]:
    baseline = {"stat": "median", "runs": 20, "factor": parse_factor(value)}
    when = {"metric": "instance.run_seconds", "op": ">", "baseline": baseline}
    return {"scope": "instance", "when": when}


def parse_factor(value: str) -> float:
    """Return a multiple such as `1.5x`. Raise ValueError with the option."""
    try:
        return float(value.rstrip("x×"))
    except ValueError:
        raise ValueError(
            tr("--value must be a multiple such as 1.5x, not {value}", value=quote(value))
        ) from None


def build_stuck(value: str) -> dict[str, Any]:
    """Return the condition of a queue that has tasks and starts none for some time."""
    return {
        "all": [
            {"metric": "queue.depth", "op": ">", "value": 0},
            {"metric": "queue.drain_rate", "rate_over": value, "op": "<=", "value": 0},
            {"metric": "queue.oldest_wait_seconds", "op": ">=", "value": value},
        ]
    }


def _build_stuck(value: str) -> dict[str, Any]:
    return {"scope": "queue", "when": build_stuck(value)}


def _build_forecast(value: str) -> dict[str, Any]:
    reference = parse_time(value)
    return {"scope": "task", "when": {"forecast": {"reference": reference, "margin": "0s"}}}


_ROWS = (  # name, limit, duration, conditions, sentence
    (
        "queue-wait",
        "60s",
        "",
        _compare("queue.oldest_wait_seconds", ">"),
        tr_noop("a task waits in a queue for too long"),
    ),
    ("queue-length", "100", "1m", _compare("queue.depth", ">"), tr_noop("a queue is too long")),
    ("queue-stuck", "30m", "", _build_stuck, tr_noop("a queue does not drain")),
    (
        "queue-full",
        "90%",
        "10m",
        _compare("queue.load_ratio", ">="),
        tr_noop("most slots of a queue are in use"),
    ),
    (
        "queue-paused",
        "1h",
        "",
        _compare("queue.paused_seconds", ">"),
        tr_noop("a queue stays paused"),
    ),
    (
        "runs-too-long",
        "1h",
        "",
        _compare("instance.run_seconds", ">"),
        tr_noop("a run takes too long"),
    ),
    (
        "slower-than-usual",
        "1.5x",
        "",
        _build_slow,
        tr_noop("a run takes a multiple of its usual time"),
    ),
    (
        "slow-runs",
        "30s",
        "",
        _compare("instance.run_seconds", ">", scope="task", stat="p95", window="10m"),
        tr_noop("the 95th percentile of run times is too long"),
    ),
    (
        "not-started",
        "5m",
        "",
        _compare("instance.queued_seconds", ">"),
        tr_noop("a task does not start in time"),
    ),
    (
        "no-output",
        "10m",
        "",
        _compare("instance.output_idle_seconds", ">"),
        tr_noop("a run writes nothing"),
    ),
    (
        "restarts",
        "1",
        "",
        _compare("instance.attempt", ">", scope="task", rate_over="5m"),
        tr_noop("a task is restarted too often"),
    ),
    (
        "fails-in-a-row",
        "3",
        "",
        _compare("task.consecutive_failures", ">="),
        tr_noop("a task fails several times in a row"),
    ),
    (
        "not-succeeded",
        "25h",
        "",
        _compare("task.seconds_since_success", ">"),
        tr_noop("a task, or a check-in, has not succeeded for too long"),
    ),
    (
        "succeeds-by",
        "06:00",
        "",
        _build_deadline,
        tr_noop("a task has not succeeded by a time, such as `06:00 mon-fri Europe/Berlin`"),
    ),
    (
        "will-be-late",
        "06:00",
        "",
        _build_forecast,
        tr_noop("a task will probably not succeed by a time"),
    ),
    (
        "schedule-late",
        "25h",
        "",
        _compare("schedule.seconds_since_success", ">"),
        tr_noop("a schedule has not succeeded for too long"),
    ),
    (
        "schedule-missed",
        "0",
        "",
        _compare("schedule.missed", ">"),
        tr_noop("a schedule missed fire times in the last day"),
    ),
    (
        "pool-full",
        "90%",
        "10m",
        _compare("pool.cpu_ratio", ">="),
        tr_noop("most cores of a pool are reserved"),
    ),
    (
        "memory-full",
        "90%",
        "1m",
        _compare("host.memory_ratio", ">"),
        tr_noop("the host is short of memory"),
    ),
    (
        "disk-low",
        "10%",
        "1m",
        _compare("host.disk_free_ratio", "<"),
        tr_noop("the disk of the home is nearly full"),
    ),
    (
        "disk-fills",
        "24h",
        "",
        _compare("host.disk_full_in_hours", "<"),
        tr_noop("the disk of the home will be full soon"),
    ),
    (
        "backup-old",
        "48h",
        "",
        _compare("taskdeck.backup_age_seconds", ">"),
        tr_noop("the newest backup is too old"),
    ),
    (
        "replica-old",
        "5m",
        "",
        _compare("taskdeck.replica_lag_seconds", ">"),
        tr_noop("the replica is too old"),
    ),
)
PRESETS: Mapping[str, Preset] = {
    name: Preset(words, value, wait, build) for name, value, wait, build, words in _ROWS
}
"""All presets by name."""


def build_conditions(
    preset: str, value: str | None = None, wait: str | None = None, match: Any = None
) -> dict[str, Any]:
    """Return the conditions of a preset, with a limit and a duration as typed.

    Raise ValueError with the option that is wrong, and the nearest name.
    """
    if preset not in PRESETS:
        near = find_nearest(preset, PRESETS)
        hint = f". Nearest: {near}" if near else ""
        raise ValueError(f"--preset: unknown preset {quote(preset)}{hint}")
    found = PRESETS[preset]
    built = found.build(value or found.value)
    wait = found.wait if wait is None else wait
    return (
        {"scope": built["scope"]}
        | ({"match": match} if match else {})
        | {"when": built["when"]}
        | ({"for": wait} if wait else {})
    )
