"""Rules of the general form as sent to clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.rules import actions, levels, rule_plan, words
from app.service.context import RuntimeHandle
from db.rows import SlaRow


def describe_rule(row: SlaRow, live: RuntimeHandle | None) -> Mapping[str, Any]:
    """Return what clients show of a rule: its words, its actions and its level.

    `level` is None without a runtime, and for a rule that compares no single metric; see
    `app.core.rules.levels.describe_level`.
    """
    try:
        sentence = words.describe_conditions(row.conditions)
    except ValueError as error:  # only another program stores such conditions
        sentence = f"cannot be evaluated: {error}"
    level = live.get_level(row.id) if live and row.enabled else None
    return {
        "words": sentence, "does": describe_actions(row), "limit": None, "metric": None,
        "unit": None, "now": None, "stands": None,
        "level": levels.describe_level(row.conditions, level) if level else None,
    }  # fmt: skip


def describe_actions(row: SlaRow) -> list[str]:
    """Return the actions of a rule in words."""
    return [actions.describe_action(one) for one in actions.list_actions(row.actions)]


def list_trail(row: SlaRow, live: RuntimeHandle | None) -> list[tuple[float, float | None]]:
    """Return the values of a rule in the last hour as (UNIX time, value), oldest first."""
    return [(level.at, level.value) for level in live.list_trail(row.id)] if live else []


def list_exact_names(patterns: Any) -> list[str]:
    """Return the plain names of a match, which must exist."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    return rule_plan.list_exact_names(listed)
