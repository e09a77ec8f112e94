"""The JSON Schema of conditions accepts what a rule accepts, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema

from app.core.rules.json_schema import make_json_schema
from app.core.rules.rule_plan import make_plan

RULES: list[dict[str, Any]] = [
    {"scope": "queue", "match": {"queue": ["gpu-*", "media"]}, "for": "1m30s",
     "when": {"metric": "queue.depth", "op": ">", "value": 100}, "inhibited_by": "disk-full"},
    {"scope": "instance", "match": {"tags": {"team": "db"}}, "for_each": "task",
     "when": {"metric": "instance.run_seconds", "op": ">", "baseline": {"factor": 1.5}}},
    {"scope": "task", "when": {"metric": {"name": "instance.rss_mib", "stat": "p95",
                                          "window": "10m"}, "op": ">", "value": "4G"}},
    {"scope": "task", "when": {"metric": "task.success_ratio", "window": "1h", "stat": "avg",
                               "op": "<", "value": "90%"}, "on_no_data": "alert"},
    {"scope": "host", "active_time": ["mon-fri 08:00-18:00", {"days": "weekend", "tz": "UTC"}],
     "when": {"any": [{"metric": "host.disk_full_in_hours", "op": "<", "value": "24h"},
                      {"not": {"metric": "host.memory_ratio", "rate_over": 60, "op": "<",
                               "value": 0.5}}]}},
    {"scope": "schedule", "escalate": {"after": "1h", "severity": "critical"},
     "when": {"deadline": {"reference": {"fixed": "06:00", "days": ["Mon", "fri"]},
                           "offset": "-5m"}}},
    {"scope": "instance", "keep_firing_for": 30,
     "when": {"forecast": {"reference": "queued_at", "offset": "2h", "margin": "10m"}}},
]  # fmt: skip
WRONG: list[Any] = [
    None, True, -1, 2, 1e300, "", "x", "90%", "1h30m", "-5m", "30M", "512M", "06:00",
    "25:00", "mon-fri", "p95", "count", ">", "≥", "queue.depth", "task.success_ratio", "rule", [],
    {}, ["a"], [""], {"factor": 2}, {"metric": "queue.depth", "op": "=", "value": "7"},
]  # fmt: skip
KEYS = ("stat", "window", "rate_over", "baseline", "value", "metric", "all", "for", "tz", "colour")
ONLY_ON_CREATION = (
    "has no baseline", "has no queue metrics", "time zone", "to match", "for_each: a",
    "covers many runs", "at most 1,",
)  # fmt: skip
"""Parts of the messages about what no schema can say."""


def change_at_random(rule: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return a rule with one value replaced, added or removed."""
    rule = deepcopy(rule)
    parent, key = chance.choice([*list_places(rule)])
    kind = chance.random()
    if kind < 0.2:
        del parent[key]
    elif kind < 0.4 and isinstance(parent, dict):
        parent[chance.choice(KEYS)] = chance.choice(WRONG)
    else:
        parent[key] = chance.choice(WRONG)
    return rule


def list_places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = [*value] if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from list_places(value[key])


def find_refusal(rule: dict[str, Any]) -> str:
    try:
        make_plan(rule)
    except ValueError as error:
        return str(error)
    return ""


def test_the_schema_accepts_what_a_rule_accepts():
    chance, counts = random.Random(7), [0, 0]
    validator = jsonschema.Draft202012Validator(make_json_schema())
    for rule in RULES:
        assert not [*validator.iter_errors(rule)] and not find_refusal(rule)
    for _ in range(100):
        rule = change_at_random(chance.choice(RULES), chance)
        refusal = find_refusal(rule)
        if not any(part in refusal for part in ONLY_ON_CREATION):
            assert validator.is_valid(rule) is not bool(refusal), (rule, refusal)
            counts[bool(refusal)] += 1
    assert min(counts) > 10
