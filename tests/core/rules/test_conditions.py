"""Conditions of the general form: what is accepted, what is refused and how, and their words."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core import sla
from app.core.rules import amounts, catalog, presets, rule_plan, words
from app.core.rules.conditions import Conditions, MetricNode, parse_conditions, walk
from app.core.rules.json_schema import make_json_schema
from app.core.rules.rule_plan import Labels, is_matched, make_plan
from app.help import read_topic

DEPTH = {"metric": "queue.depth", "op": ">", "value": 100}
RUN = {"metric": "instance.run_seconds", "op": ">", "value": "1h"}
FIXED = {"deadline": {"reference": {"fixed": "06:00", "tz": "Europe/Berlin", "days": "mon-fri"}}}


def make(scope: str, when: Any, **more: Any) -> dict[str, Any]:
    return {"scope": scope, "when": when, **more}


WORDS = [
    (make("queue", DEPTH, match={"queue": "media"}, **{"for": "1m"}),
     "queue media: queued tasks over 100 for 1m"),
    (make("instance", RUN, match={"template": "enc*"}),
     "every task of template enc*: running over 1h"),
    (make("task", FIXED, match={"task": "etl"}),
     "task etl: no success by 06:00 Europe/Berlin on workdays"),
    (make("instance", {"forecast": {"reference": "queued_at", "offset": "2h", "margin": "5m"}}),
     "every task: success not expected within 2h of the submission, 5m early"),
    (make("task", {**RUN, "stat": "p95", "window": "10m", "value": "30s"}),
     "every task name: p95 of running in 10m over 30s"),
    (make("instance", {"metric": "instance.run_seconds", "op": ">",
                       "baseline": {"stat": "p90", "runs": 10, "factor": 1.5}}),
     "every task: running over 1.5 × the p90 of the last 10 runs"),
    (make("host", {"any": [{"metric": "host.memory_ratio", "op": ">=", "value": "90%"},
                           {"not": {"metric": "host.disk_free_ratio", "op": ">", "value": 0.1}}]},
          escalate={"after": "1h"}, active_time="workdays 08:00-18:00", inhibited_by="power",
          keep_firing_for="5m", on_no_data="alert"),
     "the host: memory of the host at least 90% or not (disk free over 10%), kept for 5m, critical"
     " after 1h, only workdays 08:00–18:00, not while power fires, also without data"),
    (make("instance", {"metric": "instance.attempt", "rate_over": "90m", "op": ">", "value": 1},
          match={"task": ["a*", "b"], "queue": "gpu"}, for_each="rule"),
     "every task a* or b, queue gpu: restarts in 1h30m over 1, one alert"),
    (make("queue", {"all": [{**DEPTH, "rate_over": "5m"},
                            {"metric": "queue.drain_rate", "rate_over": "1m", "op": "<=",
                             "value": 0}]}),
     "every queue: change of queued tasks in 5m over 100 and starts per minute in 1m at most 0"),
    (make("task", {"all": [{"metric": "task.success_ratio", "window": "1d", "op": "<",
                            "value": "90%"},
                           {"metric": "instance.run_seconds", "stat": "count", "window": "1d",
                            "op": ">=", "value": 5}]}),
     "every task name: successes in 1d below 90% and ended runs in 1d at least 5"),
    (make("taskdeck", {"any": [{"metric": "taskdeck.lock_wait_seconds", "op": ">",
                                "value": "250ms"},
                               {"metric": "taskdeck.db_size_mib", "op": ">", "value": "1500M"}]}),
     "Taskdeck: wait for the database over 0.25s or database over 1500M"),
    (make("pool", {"metric": "pool.license.matlab_ratio", "op": ">=", "value": "90%"}),
     "every pool: license.matlab reserved at least 90%"),
    (make("pool", {"metric": "pool.gpu_ratio", "rate_over": "10m", "op": ">", "value": 0.5}),
     "every pool: change of gpu reserved in 10m over 50%"),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "text"), WORDS)
def test_conditions_read_as_one_sentence(conditions: dict[str, Any], text: str):
    assert words.describe_conditions(conditions) == text
    assert sla.describe_conditions(conditions) == text


@pytest.mark.parametrize("conditions", [one for one, _ in WORDS])
def test_valid_conditions_match_the_json_schema_and_stay_as_typed(conditions: dict[str, Any]):
    jsonschema.validate(conditions, make_json_schema())
    assert sla.normalize_conditions(json.loads(json.dumps(conditions))) == conditions


REFUSED = [
    (make("queu", DEPTH), 'conditions.scope: must be instance', "Nearest: queue"),
    (make("queue", {**DEPTH, "metric": "queue.dept"}), "conditions.when.metric", "queue.depth"),
    (make("queue", {"metrc": "queue.depth"}), "conditions.when: needs one of", "Nearest: metric"),
    (make("queue", {"all": [{**DEPTH, "op": "gt"}]}), "conditions.when.all[0].op", "<=, =="),
    (make("queue", {"any": [{**DEPTH, "valu": 1}]}), "conditions.when.any[0]", "Nearest: value"),
    (make("queue", {"any": []}), "conditions.when.any", "at least 1"),
    ({"scope": "queue"}, "conditions: needs when", ""),
    (make("queue", DEPTH, forr="1m"), 'unknown key "forr"', "Nearest: for"),
    (make("queue", DEPTH, **{"for": "1x"}), "conditions.for: must be a duration", "1x"),
    (make("task", {"deadline": {"reference": "queued_a"}}), "when.deadline.reference", "queued_at"),
    (make("host", {"metric": "host.memory_ratio", "op": ">", "value": "9X"}), "when.value", "90%"),
    (make("queue", {"metric": "queue.depth", "op": ">"}), "needs either value or baseline", ""),
    (make("queue", {**DEPTH, "stat": "p95"}), "when.stat: needs a window", ""),
    (make("queue", {**DEPTH, "window": "5m"}), "when.window: needs a stat", ""),
    (make("queue", RUN), "", ""),
    (make("host", DEPTH), "conditions.scope: host has no queue metrics; use scope queue", ""),
    (make("pool", {"metric": "pool.gpu_ratio", "op": ">", "value": 8}), "at most 1", ""),
    (make("pool", {"metric": "pool.gpu", "op": ">", "value": 8}), "unknown metric", "Nearest"),
    (make("pool", {"metric": "pool.cpu_ratio", "op": ">", "value": 1}, match={"task": "a"}),
     "conditions.match.task: pools can be selected only by pool", ""),
    (make("queue", DEPTH, for_each="instance"), "for_each: a queue has no instance", ""),
    (make("queue", DEPTH, active_time="mon-frx 08:00-18:00"), "active_time[0].days", "mon-fri"),
    (make("queue", DEPTH, inhibited_by="a\nb"), "inhibited_by: a name", ""),
    (make("task", {**FIXED, "x": 1}), 'unknown key "x"', ""),
    (make("queue", {"all": [DEPTH] * 60}), "has more than 50 parts", ""),
    (make("queue", {"metric": "queue.depth"}), "conditions.when: needs op", ""),
    (make("queue", {**DEPTH, "value": 10**400}), "when.value: must be a number", ""),
    (make("queue", DEPTH, **{"for": float("nan")}), "conditions.for: must be a duration", "nan"),
    (make("task", {"deadline": {"reference": "queued_at", "offset": -1e300}}), "10 years", ""),
    (make({}, DEPTH), "conditions.scope: must be instance", ""),  # type: ignore[arg-type]
    (make("queue", DEPTH, match=[]), "conditions.match: must be a table", ""),
    (make("queue", DEPTH, match={"queue": []}), "match.queue: must be a name, or a list", ""),
    (make("task", {**FIXED, **RUN}), "metric goes with no other condition", ""),
    (make("host", {"metric": "host.memory_ratio", "op": ">", "value": 90}), "at most 1", "90%"),
    (make("queue", {**RUN, "stat": "p95", "window": "1h", "value": None,
                    "baseline": {"factor": 2}}), "a queue has no baseline", "scope instance"),
    (make("queue", {"metric": "queue.drain_rate", "stat": "max", "window": "1h", "op": "<",
                    "value": 1}), "max does not apply to queue.drain_rate", "only mean"),
    (make("queue", DEPTH, active_time="08:00-12:00 13:00-17:00"), "list several in []", ""),
    (make("queue", DEPTH, active_time={"from": 1080}), "active_time[0].from", "in quotes"),
    (make("queue", DEPTH, match={"queue": "\ud800"}), "match.queue: must be visible text", ""),
    (make("queue", DEPTH, severity="critical"), "severity is a key of the rule", ""),
    (make("queue", DEPTH, **{"for": "999w"}), "conditions.for: must be a duration", "10 years"),
    (make("queue", DEPTH, active_time="mon-fri-sun"), "active_time[0].days", "mon-fri"),
    (make("queue", {**DEPTH, "metric": {"nam": "queue.depth"}}), ".metric: unknown key", ""),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "path", "near"), REFUSED)
def test_wrong_conditions_are_refused_with_path_and_nearest_word(
    conditions: dict[str, Any], path: str, near: str
):
    if not path:
        make_plan(conditions)  # runs of each queue: a finer kind of subject
        return
    with pytest.raises(ValueError) as raised:
        sla.normalize_conditions(conditions)
    assert path in str(raised.value) and near in str(raised.value)


def test_a_deep_condition_is_refused():
    node: dict[str, Any] = DEPTH
    for _ in range(300):
        node = {"not": node}
    with pytest.raises(ValueError, match="nested deeper"):
        parse_conditions(make("queue", node))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(
                        st.sampled_from(["when", "all", "metric", "op", "value", "deadline"])
                        | st.text(), inner)))  # fmt: skip
def test_any_value_is_accepted_or_refused_with_a_sentence(value: Any):
    for conditions in (value, make("queue", value), make("task", {"deadline": value})):
        try:
            make_plan(conditions)
        except ValueError as error:
            assert str(error).startswith("conditions")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_each_preset_makes_valid_conditions(name: str):
    conditions = presets.build_conditions(name)
    assert sla.normalize_conditions(conditions) == conditions
    assert words.describe_conditions(conditions)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="Nearest: queue-length"):
        presets.build_conditions("queue-lenght")
    with pytest.raises(ValueError, match="--value must be a multiple such as 1.5x"):
        presets.build_conditions("slower-than-usual", "often")


@pytest.mark.parametrize(
    ("unit", "typed", "value", "shown"),
    [
        (catalog.SECONDS, "30m", 1800.0, "30m"), (catalog.SECONDS, 90, 90.0, "1m30s"),
        (catalog.SECONDS, "2d", 172800.0, "2d"), (catalog.SECONDS, "1w12h", 648000.0, "7d12h"),
        (catalog.RATIO, "90%", 0.9, "90%"),
        (catalog.RATIO, 0.125, 0.125, "12.5%"), (catalog.MIB, "2G", 2048.0, "2G"),
        (catalog.HOURS, "36h", 36.0, "36h"), (catalog.HOURS, 24, 24.0, "24h"),
        (catalog.COUNT, "100", 100.0, "100"), (catalog.COUNT, -1, -1.0, "-1"),
        (catalog.RATE, 0.5, 0.5, "0.5"),
    ],
)  # fmt: skip
def test_amounts_have_the_unit_of_their_metric(unit: str, typed: Any, value: float, shown: str):
    assert amounts.parse_amount(unit, typed) == value
    assert amounts.format_amount(unit, value) == shown


@pytest.mark.parametrize(
    ("unit", "typed"),
    [(catalog.SECONDS, "64M"), (catalog.SECONDS, True), (catalog.RATIO, "much"),
     (catalog.COUNT, "1e3"), (catalog.COUNT, float("nan")), (catalog.MIB, "5x")],
)  # fmt: skip
def test_an_amount_of_another_unit_is_refused(unit: str, typed: Any):
    with pytest.raises(ValueError, match="must be"):
        amounts.parse_amount(unit, typed)


def test_the_kind_of_subject_follows_from_the_metrics():
    assert make_plan(make("queue", DEPTH)).base == "queue"
    plan = make_plan(make("task", RUN))
    assert (plan.base, plan.group, plan.min_age) == ("instance", "task", 3600.0)
    window = {**RUN, "stat": "p95", "window": "10m"}
    assert make_plan(make("instance", window)).base == "task"
    assert make_plan(make("queue", window)).base == "queue"
    assert make_plan(make("task", FIXED)).base == "task"
    assert make_plan(make("schedule", FIXED)).base == "schedule"
    failed = {"metric": "instance.exit_code", "op": "!=", "value": 0}
    assert make_plan(make("instance", failed)).ended == "ended"


def test_an_instance_younger_than_every_limit_needs_no_evaluation():
    both = {"all": [RUN, {"metric": "instance.queued_seconds", "op": ">", "value": "5m"}]}
    assert make_plan(make("instance", both)).min_age == 3600.0
    either = {"any": [RUN, {"metric": "instance.queued_seconds", "op": ">", "value": "5m"}]}
    assert make_plan(make("instance", either)).min_age == 300.0
    assert make_plan(make("instance", {"not": RUN})).min_age == 0.0


def test_a_subject_must_match_all_patterns():
    match = parse_conditions(
        make("instance", RUN, match={"task": ["a*", "b"], "queue": "gpu", "tags": {"team": "db"}})
    ).match
    good = Labels("abc", None, None, "gpu", "default", {"team": "db", "x": "y"})
    assert is_matched(match, good)
    assert is_matched(match, good._replace(task="b"))
    assert not is_matched(match, good._replace(task="c"))
    assert not is_matched(match, good._replace(queue=None))
    assert not is_matched(match, good._replace(tags={}))
    assert rule_plan.list_exact_names(["a*", "b", "c?"]) == ["b"]


def test_the_help_topic_has_an_example_of_each_form():
    (block,) = re.findall(r"```toml\n(.*?)```", read_topic("sla"), re.DOTALL)
    rules = tomllib.loads(block)["slas"].values()
    general = [rule["conditions"] for rule in rules if "when" in rule["conditions"]]
    plans = [make_plan(sla.normalize_conditions(conditions)) for conditions in general]
    nodes = [node for plan in plans for node in walk(plan.conditions.when)]
    assert {type(node).__name__ for node in nodes} == {
        "AllNode", "AnyNode", "NotNode", "DeadlineNode", "ForecastNode", "MetricNode",
    }  # fmt: skip
    metrics = [node for node in nodes if isinstance(node, MetricNode)]
    for key in ("value", "baseline", "stat", "window", "rate_over"):
        assert any(getattr(node, key) for node in metrics), key
    given = {key for conditions in general for key in conditions}
    assert given == {field.alias or name for name, field in Conditions.model_fields.items()}


def test_the_help_topic_names_every_metric():
    topic = read_topic("sla")
    for name in catalog.METRICS:
        family, _, short = name.partition(".")
        assert f"`{short if family == 'instance' else name}`" in topic, name
