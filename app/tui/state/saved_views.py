"""Saved views of the list of all tasks: a filter, an order and columns by a name. Some are there from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.core.text.sanitize import valid_name
from app.tui.state.preferences import Memory

LETTERS = "abcefghijklmoprtuvwxyz"
"""The letters of views; what the dialog has for itself is not among them."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """What `V` brings back; no columns: those that are shown."""

    name: str
    words: str
    order: str = "number"
    down: bool = True
    columns: tuple[str, ...] = ()


OURS = (
    SavedView("failed, the latest first", "status:failed,timed-out,lost", "ended"),
    SavedView("running, longest first", "status:active", "started", down=False),
    SavedView("waiting, oldest first", "status:waiting", down=False),
)


def saved(memory: Memory) -> list[SavedView]:
    """Ours, then those that were saved here."""
    return [*OURS, *_theirs(memory)]


def _theirs(memory: Memory) -> list[SavedView]:
    return _read(memory.latest("views", []))


def _read(stored: list[Any]) -> list[SavedView]:
    return [view for found in stored if (view := _view(found)) is not None]


def _view(found: Any) -> SavedView | None:
    try:
        columns = tuple(map(str, found["columns"]))
        return SavedView(str(found["name"]), str(found["words"]), str(found["order"]), bool(found["down"]), columns)
    except (KeyError, TypeError):
        return None


def lettered(views: Sequence[SavedView]) -> list[tuple[str, SavedView]]:
    """Each view with the letter it is taken by, as many as there are letters."""
    return list(zip(LETTERS, views, strict=False))


def save(memory: Memory, view: SavedView) -> None:
    """Keep a view, in place of one of the same name."""
    memory.change("views", [], lambda stored: [*_without(stored, view.name), asdict(view)])


def forget(memory: Memory, name: str) -> bool:
    """Let go of a saved view; False when there was none."""
    before = _theirs(memory)
    memory.change("views", [], lambda stored: _without(stored, name))
    return any(view.name == name for view in before)


def _without(stored: list[Any], name: str) -> list[dict[str, Any]]:
    return [asdict(view) for view in _read(stored) if view.name != name]


def name_fault(name: str) -> str:
    """What is wrong with a name for a view."""
    if any(view.name == name for view in OURS):
        return f"{name} is there from the start."
    wrong = valid_name(name)
    return f"A name {wrong}" if wrong else ""
