"""Presets in the form for a new rule."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.rules.presets import PRESETS
from app.core.rules.rule_plan import make_plan
from app.tui.forms import edit_model, rule_model
from app.tui.forms.edit_model import NEW_RULE, EditSheet
from app.tui.forms.edit_preview import get_hint, preview_edit
from tests.tui.fake_home import BOARD


def make_sheet(preset: str, **texts: str) -> EditSheet:
    return EditSheet(NEW_RULE, (), {"name": "a", "preset": preset, **texts})


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_rule_from_its_defaults(preset: str):
    sheet = make_sheet(preset)
    assert sheet.find_faults() == []
    (request,) = edit_model.build_save_requests(sheet)
    assert request.verb == "sla.create"
    make_plan(request.args["conditions"])
    assert get_hint(sheet, "value", None) == f"empty: {PRESETS[preset].value}"


def test_a_preset_keeps_limit_duration_and_matches():
    texts = {"value": "200", "wait": "2m", "queue": "media", "severity": "critical"}
    sheet = make_sheet("queue-length", **texts)
    (request,) = edit_model.build_save_requests(sheet)
    assert request.args == {
        "name": "a",
        "severity": "critical",
        "conditions": {
            "scope": "queue",
            "match": {"queue": "media"},
            "when": {"metric": "queue.depth", "op": ">", "value": "200"},
            "for": "2m",
        },
    }
    assert edit_model.build_commands(sheet) == [
        ["taskdeck", "sla", "create", "a", "--preset", "queue-length", "--value", "200",
         "--for", "2m", "--queue", "media", "--severity", "critical"]
    ]  # fmt: skip
    assert preview_edit(sheet, BOARD) == ["Queue media: queued tasks over 200 for 2m."]
    assert get_hint(sheet, "wait", None) == "empty: 1m"


@pytest.mark.parametrize("preset", ["queue-length", "finishes-within"])
def test_a_channel_is_sent_with_the_rule(preset: str):
    sheet = make_sheet(preset, value="200", channel="ops")
    (request,) = edit_model.build_save_requests(sheet)
    assert request.args["notify"] == ["ops"] and "channel" not in request.args
    (command,) = edit_model.build_commands(sheet)
    assert command[-2:] == ["--notify", "ops"]


def test_a_tag_narrows_a_preset_down():
    sheet = make_sheet("runs-too-long", tag="team=ml")
    assert rule_model.build(sheet)["match"] == {"tags": {"team": "ml"}}


@pytest.mark.parametrize(
    ("preset", "texts", "fault"),
    [
        ("queue-length", {"value": "many"}, "Limit must be a number such as 100, not"),
        ("succeeds-by", {"value": "25:99"}, "Limit must be a time of day"),
        ("pool-full", {"queue": "gpu"}, "queue: pools can be selected only by pool."),
        ("queue-length", {"wait": "soon"}, "For must be a duration"),
        ("finishes-within", {"value": "1h", "wait": "1m"}, "For must be empty"),
        ("finishes-within", {}, "Limit is required."),
    ],
)
def test_a_fault_of_a_preset_is_named(preset: str, texts: dict[str, Any], fault: str):
    found = make_sheet(preset, **texts).find_faults()
    assert any(fault in one for one in found), found
    assert len(found) == 1
