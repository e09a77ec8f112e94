"""Undo stack: the changes of this deck that `u` undoes, latest first."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.actions.tasks import Request

MAX_UNDO = 50
"""Maximum length of the undo stack."""


class UndoStack:
    """Messages of changes, and the requests that undo them."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, tuple[Request, ...]]] = []
        """Latest last: the sanitized message and the requests."""
        self.is_hidden = False
        """True if something irreversible was done after the latest entry."""

    @property
    def can_undo(self) -> bool:
        return bool(self.entries)

    @property
    def next_text(self) -> str:
        """Message of the entry that `u` undoes next; empty if there is none."""
        return self.entries[-1][0] if self.entries else ""

    def push(self, text: str, requests: Sequence[Request]) -> None:
        """Push an entry. `text` is sanitized."""
        self.entries = [*self.entries, (text, tuple(requests))][-MAX_UNDO:]
        self.is_hidden = False

    def pop(self) -> tuple[str, tuple[Request, ...]]:
        """Remove and return the latest entry."""
        return self.entries.pop()

    def mark_irreversible(self) -> None:
        """Record an irreversible change.

        The next `u` first announces which older change it would undo.
        """
        self.is_hidden = bool(self.entries)
