"""The form of a rule: how late is too late, for which tasks, how bad that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.tui.edits import NEW_RULE, RULE
from app.tui.editsource import Source
from app.tui.screens.edit import EditScreen

if TYPE_CHECKING:
    from app.client import Client


def rule_screen(client_factory: Callable[[], Client], name: str | None = None) -> EditScreen:
    """The form for a rule by its name, or for a new one."""
    return EditScreen(client_factory, Source(NEW_RULE) if name is None else Source(RULE, (name,)))
