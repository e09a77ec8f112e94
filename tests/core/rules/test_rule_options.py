from typing import Any

import pytest

from app.core.rules.rule_options import RuleOptions, build_conditions, change_conditions

KEPT = {"match": {"queue": "gpu"}, "for": "2m", "escalate": {"after": "1h"}}


def build(preset: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    return build_conditions(RuleOptions(preset, value, **more))


@pytest.mark.parametrize(
    ("preset", "options", "expected"),
    [
        ("queue-wait", RuleOptions("queue-wait", "5s"), ("queue-wait", "5s")),
        ("queue-wait", RuleOptions(value="5s"), ("queue-wait", "5s")),
        ("queue-wait", RuleOptions("queue-length", "7"), ("queue-length", "7")),
        ("queue-stuck", RuleOptions(value="5m"), ("queue-stuck", "5m")),
        ("queue-stuck", RuleOptions("queue-stuck"), ("queue-stuck", "30m")),
        ("slower-than-usual", RuleOptions(value="3x"), ("slower-than-usual", "3x")),
    ],
)
def test_a_change_of_the_limit_keeps_all_else(
    preset: str, options: RuleOptions, expected: tuple[str, str]
) -> None:
    made = build(*expected)
    keep = {key: made[key] for key in ("scope", "when")} | KEPT

    assert change_conditions(build(preset) | KEPT, options) == keep


@pytest.mark.parametrize(
    ("preset", "value", "said"),
    [
        ("fails-in-a-row", "0", "a whole number from 1"),
        ("fails-in-a-row", "1.5", "a whole number from 1"),
        ("queue-length", "-1", "a whole number from 0"),
        ("restarts", "0.5", "a whole number from 0"),
        ("slower-than-usual", "0.5x", "a multiple above 1, such as 1.5x"),
        ("slower-than-usual", "1", "a multiple above 1"),
        ("slower-than-usual", "nan", "a multiple above 1"),
    ],
)
def test_a_limit_without_sense_is_refused(preset: str, value: str, said: str) -> None:
    for old in ({}, build(preset)):
        with pytest.raises(ValueError, match=f"^--value must be {said}"):
            change_conditions(old, RuleOptions(preset, value))
    with pytest.raises(ValueError, match=said):
        change_conditions(build(preset), RuleOptions(value=value))


@pytest.mark.parametrize(("preset", "value"), [("schedule-missed", "0"), ("fails-in-a-row", "1")])
def test_the_smallest_counts_are_taken(preset: str, value: str) -> None:
    assert build(preset, value)["when"]["value"] == value


@pytest.mark.parametrize("options", [RuleOptions(value="5m"), RuleOptions(tz="UTC"), RuleOptions()])
def test_options_without_a_preset_make_no_rule(options: RuleOptions) -> None:
    with pytest.raises(ValueError, match="a new rule needs --preset"):
        build_conditions(options)


def test_a_message_of_two_parts_keeps_their_order() -> None:
    several = {"scope": "instance", "when": {"all": [{"metric": "instance.attempt"}]}}

    with pytest.raises(ValueError, match="^the conditions have no single limit .*; give them"):
        change_conditions(several, RuleOptions(value="5m"))


def test_a_preset_without_a_value_keeps_the_limit() -> None:
    old = build("queue-wait", "30m")

    assert change_conditions(old, RuleOptions("queue-wait")) == old


def test_a_filter_changes_alone_and_an_empty_one_goes() -> None:
    old = build("queue-wait", match={"queue": "gpu"})

    assert change_conditions(old, RuleOptions(match={"queue": "b"}))["match"] == {"queue": "b"}
    assert "match" not in change_conditions(old, RuleOptions(match={"queue": ""}))


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        ("06:00", {"fixed": "06:00"}),
        ("06:00 mon-fri", {"fixed": "06:00", "days": "mon-fri"}),
        ("Europe/Berlin 06:00 sat sun",
         {"fixed": "06:00", "days": "sat sun", "tz": "Europe/Berlin"}),
        ("06:00 UTC", {"fixed": "06:00", "tz": "UTC"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("preset", "kind"), [("succeeds-by", "deadline"), ("will-be-late", "forecast")]
)
def test_a_time_has_days_and_a_zone(
    preset: str, kind: str, value: str, reference: dict[str, str]
) -> None:
    assert build(preset, value)["when"][kind]["reference"] == reference


def test_days_and_zone_stay_when_the_time_changes() -> None:
    old = build("succeeds-by", "06:00 mon-fri", tz="Europe/Berlin")
    changed = {"fixed": "07:00", "days": "mon-fri", "tz": "Europe/Berlin"}

    found = change_conditions(old, RuleOptions(value="07:00"))
    assert found["when"]["deadline"]["reference"] == changed
    found = change_conditions(old, RuleOptions("will-be-late", "07:00"))
    assert found["when"]["forecast"]["reference"] == changed
    found = change_conditions(old, RuleOptions(tz=""))
    assert "tz" not in found["when"]["deadline"]["reference"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RuleOptions("queue-wait", "abc"),
         '--value must be a duration such as 30m, not "abc"'),
        (RuleOptions("queue-stuck", "abc"),
         "^--value must be a duration such as 30s, 10m or 1h30m, not .abc.$"),
        (RuleOptions("succeeds-by", "25:00"), "--value must be a time of day such as 06:00, not"),
        (RuleOptions("succeeds-by", "06:00 Berlin x"), '--value must be a time such as 06:00 or'),
        (RuleOptions("succeeds-by", "06:00 Berln"), "Nearest: Europe/Berlin"),
        (RuleOptions("succeeds-by", tz="Berlin"), "the zone must be .* .nearest: Europe/Berlin"),
        (RuleOptions("queue-wait", tz="UTC"), "--tz goes with a time of day"),
        (RuleOptions("queue-wait", wait="soon"), "--for must be a duration"),
        (RuleOptions("disk-low", match={"queue": "gpu"}),
         "--queue: the host cannot be selected by name"),
        (RuleOptions("queue-wait", match={"task": "encode"}),
         "--task: queues can be selected only by queue or pool"),
    ],
)  # fmt: skip
def test_a_fault_names_the_option(options: RuleOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_conditions(options)


def test_a_rule_with_several_limits_has_no_value() -> None:
    parts = [build(name)["when"] for name in ("queue-wait", "queue-length")]
    old = {"scope": "queue", "when": {"any": parts}}

    with pytest.raises(ValueError, match="no single limit"):
        change_conditions(old, RuleOptions(value="5"))
