"""Rules of the general form as sent to clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.rules import actions, levels, rule_plan, words
from app.service.context import RuntimeHandle
from app.translation import tr
from db import timestamps
from db.rows import SlaRow


def describe_rule(row: SlaRow, live: RuntimeHandle | None) -> Mapping[str, Any]:
    """Return what clients show of a rule: its words, its actions and its level.

    `levels` is empty without a runtime; see `app.core.rules.levels.describe_levels`. `left_out`
    tells what the rule leaves out because there is too much, and what to do, or is empty.
    """
    try:
        sentence = words.describe_conditions(row.conditions)
    except ValueError as error:  # only another program stores such conditions
        sentence = tr("cannot be evaluated: {error}", error=error)
    found = live.list_levels(row) if live and row.enabled else ()
    now = timestamps.utcnow().timestamp()
    return {
        "words": sentence, "does": describe_actions(row), "limit": None, "metric": None,
        "unit": None, "now": None, "stands": None,
        "levels": levels.describe_levels(row.conditions, found, now),
        "left_out": live.get_left_out(row) if live and row.enabled else "",
    }  # fmt: skip


def describe_actions(row: SlaRow) -> list[str]:
    """Return the actions of a rule in words."""
    return [actions.describe_action(one) for one in actions.list_actions(row.actions)]


def list_exact_names(patterns: Any) -> list[str]:
    """Return the plain names of a match, which must exist."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    return rule_plan.list_exact_names(listed)
