"""Saved views of the list of all tasks: a filter, an order and columns by a name. Some are there from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.core.text.sanitize import find_name_error
from app.tui.state.preferences import Preferences

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


PREDEFINED = (
    SavedView("failed, the latest first", "status:failed,timed-out,lost", "ended"),
    SavedView("running, longest first", "status:active", "started", down=False),
    SavedView("waiting, oldest first", "status:waiting", down=False),
)


def list_views(memory: Preferences) -> list[SavedView]:
    """Ours, then those that were saved here."""
    return [*PREDEFINED, *_read_saved(memory)]


def _read_saved(memory: Preferences) -> list[SavedView]:
    return _parse_views(memory.get_latest("views", []))


def _parse_views(stored: list[Any]) -> list[SavedView]:
    return [view for found in stored if (view := _parse_view(found)) is not None]


def _parse_view(found: Any) -> SavedView | None:
    try:
        columns = tuple(map(str, found["columns"]))
        return SavedView(str(found["name"]), str(found["words"]), str(found["order"]), bool(found["down"]), columns)
    except (KeyError, TypeError):
        return None


def assign_letters(views: Sequence[SavedView]) -> list[tuple[str, SavedView]]:
    """Each view with the letter it is taken by, as many as there are letters."""
    return list(zip(LETTERS, views, strict=False))


def save_view(memory: Preferences, view: SavedView) -> None:
    """Keep a view, in place of one of the same name."""
    memory.update("views", [], lambda stored: [*_remove_view(stored, view.name), asdict(view)])


def delete_view(memory: Preferences, name: str) -> bool:
    """Let go of a saved view; False when there was none."""
    before = _read_saved(memory)
    memory.update("views", [], lambda stored: _remove_view(stored, name))
    return any(view.name == name for view in before)


def _remove_view(stored: list[Any], name: str) -> list[dict[str, Any]]:
    return [asdict(view) for view in _parse_views(stored) if view.name != name]


def check_view_name(name: str) -> str:
    """What is wrong with a name for a view."""
    if any(view.name == name for view in PREDEFINED):
        return f"{name} is there from the start."
    wrong = find_name_error(name)
    return f"A name {wrong}" if wrong else ""
