"""Question of a choice dialog: its text and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.tui.style import Span

CONFIRM_DELAY = 0.25
"""Seconds during which only the safe answer is accepted, so a key typed ahead cannot confirm."""


class Answer(NamedTuple):
    """Answer of a dialog: its key and its label."""

    key: str
    label: str


class Question(NamedTuple):
    """Content of a choice dialog.

    `safe` is the key of the answer that changes nothing; `column` puts each answer on a line of its
    own.
    """

    title: str
    body: Sequence[Sequence[Span]]
    answers: Sequence[Answer]
    safe: str
    column: bool = False
    confirm_delay: float = CONFIRM_DELAY
    """Seconds during which only the safe answer is accepted; 0 if nothing can be lost."""
    names: Sequence[Sequence[Span]] = ()
    """All affected items, if the body names only some; `l` lists them."""
