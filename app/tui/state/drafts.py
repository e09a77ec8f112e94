"""Drafts: texts typed into forms and not sent, kept as long as the deck runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Drafts:
    """Drafts by form. Each form defines its own values."""

    submissions: Mapping[str, Any] = field(default_factory=dict)
    """Drafts of the submit form that were not submitted, latest last."""
    submitted: dict[str, Any] = field(default_factory=dict)
    """Last submitted draft by template, or by kind of command."""
    last_submitted: Any = None
    edits: dict[str, Any] = field(default_factory=dict)
    """Text of edit forms."""
    definitions: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Unsaved definitions by kind and name."""
