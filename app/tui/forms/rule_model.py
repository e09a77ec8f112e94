"""Presets of rules in the form for a new rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.core.rules.presets import PRESETS
from app.translation import tr

if TYPE_CHECKING:
    from app.tui.forms.edit_model import EditSheet

MATCH = ("template", "queue", "task", "pool", "schedule")
"""Fields that narrow a rule down by name."""
ONLY_PRESETS = ("wait", "pool", "schedule")
"""Fields that belong to presets of conditions only."""


def list_choices() -> tuple[tuple[str, str], ...]:
    """Return the presets with their names and words; the list is typed into by the names."""
    words = {name: tr(preset.words) for name, preset in PRESETS.items()}
    brief = {name: re.split(", such|，如", text)[0] for name, text in words.items()}
    return tuple((name, f"{name}: {text}") for name, text in brief.items())


def is_preset(sheet: EditSheet) -> bool:
    """Return whether the form makes a rule of conditions."""
    return sheet.get_text(sheet.find_field("preset")) in PRESETS


def check_value(preset: str, word: str) -> str:
    """Check the limit of a preset and return it as typed."""
    try:
        _build(preset, word)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("value ")) from None
    return word


def build(sheet: EditSheet) -> dict[str, Any]:
    """Return the conditions of the form. Raise ValueError with the field that is wrong."""
    texts = {name: sheet.get_text(sheet.find_field(name)) for name in ("preset", "value", "wait")}
    match: dict[str, Any] = {
        name: text for name in MATCH if (text := sheet.get_text(sheet.find_field(name)))
    }
    tag = sheet.find_field("tag")
    if sheet.get_text(tag):
        match["tags"] = sheet.parse_value(tag)
    return _build(texts["preset"], texts["value"] or None, texts["wait"] or None, match)


def _build(
    preset: str, value: str | None, wait: str | None = None, match: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    from app.core.rules import rule_options  # 60 ms of pydantic, only with the first preset

    options = rule_options.RuleOptions(preset, value, wait, match=match or {})
    try:
        return rule_options.build_conditions(options)
    except ValueError as error:
        raise ValueError(str(error).replace("--", "")) from None


def find_faults(sheet: EditSheet) -> list[str]:
    """Return what is wrong with the fields together."""
    if is_preset(sheet):
        try:
            build(sheet)
        except ValueError as error:
            text = str(error)
            return (
                []
                if any(map(sheet.find_fault, sheet.fields))
                else [tr("Not yet: {fault}.", fault=text)]
            )
        return []
    extra = [
        sheet.find_field(name) for name in ONLY_PRESETS if sheet.get_text(sheet.find_field(name))
    ]
    found = [
        tr("{label} must be empty: it belongs to other rules.", label=one.shown_label)
        for one in extra
    ]
    value = sheet.find_field("value")
    return (
        found
        if sheet.get_text(value)
        else [tr("{label} is required.", label=value.shown_label), *found]
    )


def describe(sheet: EditSheet) -> str:
    """Return the rule of a valid form as a sentence."""
    from app.core.rules import words

    return words.describe_conditions(build(sheet))


def get_hint(sheet: EditSheet, name: str) -> str:
    """Return the default beside an empty field of a preset."""
    preset = PRESETS[sheet.get_text(sheet.find_field("preset"))]
    usual = preset.value if name == "value" else preset.wait or tr("at once")
    return tr("empty: {usual}", usual=usual)


def to_verb_args(sheet: EditSheet, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `sla.create`."""
    severity = changes.get("severity") or "warning"
    told = {"notify": [channel]} if (channel := changes.get("channel")) else {}
    return {"name": changes["name"], "conditions": build(sheet), "severity": severity, **told}


def list_options(sheet: EditSheet) -> list[str]:
    """Return the options of `taskdeck sla create` for the preset, its limit and duration."""
    texts = {name: sheet.get_text(sheet.find_field(name)) for name in ("preset", "value", "wait")}
    pairs = (("--preset", "preset"), ("--value", "value"), ("--for", "wait"))
    return [word for option, name in pairs if texts[name] for word in (option, texts[name])]
