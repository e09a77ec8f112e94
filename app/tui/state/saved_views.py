"""Saved views of the task list: named filter, order and columns. Some are predefined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.core.text.sanitize import find_name_error
from app.translation import tr
from app.tui.state.preferences import Preferences

LETTERS = "abcefghijklmoprtuvwxyz"
"""Letters for views, without those the dialog uses itself."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A view that `V` restores. Empty `columns` keep the current ones."""

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
    """Return the predefined views, then the saved ones."""
    return [*PREDEFINED, *_read_saved(memory)]


def _read_saved(memory: Preferences) -> list[SavedView]:
    return _parse_views(memory.get_latest("views", []))


def _parse_views(stored: list[Any]) -> list[SavedView]:
    return [view for found in stored if (view := _parse_view(found)) is not None]


def _parse_view(found: Any) -> SavedView | None:
    try:
        columns = tuple(map(str, found["columns"]))
        return SavedView(
            str(found["name"]),
            str(found["words"]),
            str(found["order"]),
            bool(found["down"]),
            columns,
        )
    except (KeyError, TypeError):
        return None


def assign_letters(views: Sequence[SavedView]) -> list[tuple[str, SavedView]]:
    """Return the views with their letters, as many as there are letters."""
    return list(zip(LETTERS, views, strict=False))


def save_view(memory: Preferences, view: SavedView) -> None:
    """Save a view, replacing one of the same name."""
    memory.update("views", [], lambda stored: [*_remove_view(stored, view.name), asdict(view)])


def delete_view(memory: Preferences, name: str) -> bool:
    """Delete a saved view; return False if there was none."""
    before = _read_saved(memory)
    memory.update("views", [], lambda stored: _remove_view(stored, name))
    return any(view.name == name for view in before)


def _remove_view(stored: list[Any], name: str) -> list[dict[str, Any]]:
    return [asdict(view) for view in _parse_views(stored) if view.name != name]


def check_view_name(name: str) -> str:
    """Return the error of a view name, or ""."""
    if any(view.name == name for view in PREDEFINED):
        return tr("{name} is a predefined view.", name=name)
    wrong = find_name_error(name)
    return tr("A name {wrong}", wrong=wrong) if wrong else ""
