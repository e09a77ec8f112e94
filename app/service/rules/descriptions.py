"""Rules of the general form as sent to clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.rules import rule_plan, words
from db.rows import SlaRow


def describe_rule(row: SlaRow) -> Mapping[str, Any]:
    """Return what clients show of a rule: its words, and no value of a single metric."""
    try:
        sentence = words.describe_conditions(row.conditions)
    except ValueError as error:  # only another program stores such conditions
        sentence = f"cannot be evaluated: {error}"
    return {
        "words": sentence, "limit": None, "metric": None, "unit": None, "now": None,
        "stands": None,
    }  # fmt: skip


def list_exact_names(patterns: Any) -> list[str]:
    """Return the plain names of a match, which must exist."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    return rule_plan.list_exact_names(listed)
