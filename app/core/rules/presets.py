"""Presets: one line for each common rule, which becomes conditions of the general form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.core.text.sanitize import find_nearest
from app.core.text.units import quote


class Preset(NamedTuple):
    """A preset: its sentence, the default limit and duration, and its conditions.

    `build` takes the limit as typed.
    """

    words: str
    value: str
    wait: str
    build: Callable[[str], dict[str, Any]]


def _compare(scope: str, metric: str, op: str, **more: Any) -> Callable[[str], dict[str, Any]]:
    def build(value: str) -> dict[str, Any]:
        return {"scope": scope, "when": {"metric": metric, **more, "op": op, "value": value}}

    return build


def _build_deadline(value: str) -> dict[str, Any]:
    clock, _, days = value.partition(" ")
    reference = {"fixed": clock} | ({"days": days} if days else {})
    return {"scope": "task", "when": {"deadline": {"reference": reference}}}


def _build_slow(value: str) -> dict[str, Any]:
    baseline = {"stat": "median", "runs": 20, "factor": float(value.rstrip("x×"))}
    when = {"metric": "instance.run_seconds", "op": ">", "baseline": baseline}
    return {"scope": "instance", "when": when}


def _build_stuck(value: str) -> dict[str, Any]:
    parts = [
        {"metric": "queue.depth", "op": ">", "value": 0},
        {"metric": "queue.drain_rate", "rate_over": value, "op": "<=", "value": 0},
        {"metric": "queue.oldest_wait_seconds", "op": ">=", "value": value},
    ]
    return {"scope": "queue", "when": {"all": parts}}


def _build_forecast(value: str) -> dict[str, Any]:
    reference = {"fixed": value}
    return {"scope": "task", "when": {"forecast": {"reference": reference, "margin": "0s"}}}


PRESETS: Mapping[str, Preset] = {
    "queue-wait": Preset(
        "a task waits in a queue for too long", "60s", "",
        _compare("queue", "queue.oldest_wait_seconds", ">"),
    ),
    "queue-length": Preset(
        "a queue is too long", "100", "1m", _compare("queue", "queue.depth", ">")
    ),
    "queue-stuck": Preset("a queue does not drain", "30m", "", _build_stuck),
    "queue-full": Preset(
        "most slots of a queue are in use", "90%", "10m",
        _compare("queue", "queue.load_ratio", ">="),
    ),
    "queue-paused": Preset(
        "a queue stays paused", "1h", "", _compare("queue", "queue.paused_seconds", ">")
    ),
    "runs-too-long": Preset(
        "a run takes too long", "1h", "", _compare("instance", "instance.run_seconds", ">")
    ),
    "slower-than-usual": Preset(
        "a run takes a multiple of its usual time", "1.5x", "", _build_slow
    ),
    "slow-runs": Preset(
        "the 95th percentile of run times is too long", "30s", "",
        _compare("task", "instance.run_seconds", ">", stat="p95", window="10m"),
    ),
    "not-started": Preset(
        "a task does not start in time", "5m", "",
        _compare("instance", "instance.queued_seconds", ">"),
    ),
    "no-output": Preset(
        "a run writes nothing", "10m", "",
        _compare("instance", "instance.output_idle_seconds", ">"),
    ),
    "restarts": Preset(
        "a task is restarted too often", "1", "",
        _compare("task", "instance.attempt", ">", rate_over="5m"),
    ),
    "fails-in-a-row": Preset(
        "a task fails several times in a row", "3", "",
        _compare("task", "task.consecutive_failures", ">="),
    ),
    "not-succeeded": Preset(
        "a task, or a check-in, has not succeeded for too long", "25h", "",
        _compare("task", "task.seconds_since_success", ">"),
    ),
    "succeeds-by": Preset(
        "a task has not succeeded by a time, such as `06:00 mon-fri`", "06:00", "", _build_deadline
    ),
    "will-be-late": Preset(
        "a task will probably not succeed by a time", "06:00", "", _build_forecast
    ),
    "schedule-late": Preset(
        "a schedule has not succeeded for too long", "25h", "",
        _compare("schedule", "schedule.seconds_since_success", ">"),
    ),
    "schedule-missed": Preset(
        "a schedule missed fire times in the last day", "0", "",
        _compare("schedule", "schedule.missed", ">"),
    ),
    "pool-full": Preset(
        "most cores of a pool are reserved", "90%", "10m", _compare("pool", "pool.cpu_ratio", ">=")
    ),
    "memory-full": Preset(
        "the host is short of memory", "90%", "1m", _compare("host", "host.memory_ratio", ">")
    ),
    "disk-low": Preset(
        "the disk of the home is nearly full", "10%", "1m",
        _compare("host", "host.disk_free_ratio", "<"),
    ),
    "disk-fills": Preset(
        "the disk of the home will be full soon", "24h", "",
        _compare("host", "host.disk_full_in_hours", "<"),
    ),
    "backup-old": Preset(
        "the newest backup is too old", "48h", "",
        _compare("taskdeck", "taskdeck.backup_age_seconds", ">"),
    ),
    "replica-old": Preset(
        "the replica is too old", "5m", "",
        _compare("taskdeck", "taskdeck.replica_lag_seconds", ">"),
    ),
}  # fmt: skip
"""All presets by name."""


def build_conditions(
    preset: str, value: str | None = None, wait: str | None = None, match: Any = None
) -> dict[str, Any]:
    """Return the conditions of a preset, with a limit and a duration as typed.

    Raise ValueError with the nearest name.
    """
    if preset not in PRESETS:
        near = find_nearest(preset, PRESETS)
        hint = f". Nearest: {near}" if near else ". List: taskdeck sla presets"
        raise ValueError(f"preset: unknown preset {quote(preset)}{hint}")
    found = PRESETS[preset]
    try:
        built = found.build(value or found.value)
    except ValueError:
        raise ValueError(f"value: must be such as {found.value}, not {quote(str(value))}") from None
    wait = found.wait if wait is None else wait
    return (
        {"scope": built["scope"]}
        | ({"match": match} if match else {})
        | {"when": built["when"]}
        | ({"for": wait} if wait else {})
    )
