"""Base of screens about one task, with the deck's actions on that task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.board import Board, EndedEntry, NextEntry, RunningEntry
from app.core.times import to_unix_or_none
from app.translation import tr
from app.tui.actions.tasks import TaskRow
from app.tui.logviewer.widget import LogView
from app.tui.screens.base_page import PageScreen
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.state.row_changes import RowChanges
from app.tui.widgets.modal import is_visible_under_modal
from db.states import ACTIVE, WAITING


class SingleRow:
    """Stand-in for the table: one row without marks that never moves."""

    jumped_at = float("-inf")

    def __init__(self) -> None:
        self.item: TaskRow | None = None
        self.marks: set[str] = set()

    def list_selected(self) -> list[TaskRow]:
        return [self.item] if self.item else []

    def list_marked(self) -> list[TaskRow]:
        return []


# Textual styles a screen by the name of its first base only, so the page comes first.
class SingleTaskScreen(PageScreen, TaskActions):
    """Screen about one task.

    The subclass sets `row.item` from its reading.
    """

    SINGLE_SUBJECT = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changes = RowChanges()
        self.row = SingleRow()

    @property
    def table(self) -> SingleRow:
        return self.row

    def select_submitted(self, uuid: str, number: int) -> None:
        """Open the page of a new task: no list is shown here."""
        self.deck.open_task(uuid)

    def mark_viewed(self, row: TaskRow) -> None:
        """Mark an ended task as seen."""
        if isinstance(row, EndedEntry):
            self.deck.mark_viewed(row)

    def handle_missing(self, text: str) -> None:
        """Close the screen: the task was deleted or never existed."""
        if self.app.screen is self:
            row = self.row.item
            self.dismiss(None)
            self.deck.show_message(
                tr("#{number} was deleted.", number=row.number)
                if row
                else self.look.sanitize(text),
                "" if row else "warn",
            )

    def on_screen_suspend(self) -> None:
        self._watch_logs(is_visible_under_modal(self))

    def on_screen_resume(self) -> None:
        self._watch_logs(True)

    def wake(self) -> None:
        self._watch_logs(True)

    def _watch_logs(self, on: bool) -> None:
        """Watch logs for growth only while the screen is visible."""
        for view in self.query(LogView):
            view.set_growth_checks(on)

    def handle_board_change(self) -> None:
        if self.board:
            self.changes.record_board(self.board, self.deck.ticks())
        super().handle_board_change()


def make_task_row(task: Mapping[str, Any], board: Board | None) -> TaskRow:
    """Return the board's row of a task, or one made from the answer of `show` or `log`."""
    uuid = str(task.get("uuid") or task["number"])
    status = task["status"]
    common: Any = {
        "uuid": uuid,
        "number": task["number"],
        "name": task["name"],
        "queue": task.get("queue", ""),
    }
    common |= {"status": status, "priority": task.get("priority") or 0}
    if status in WAITING:
        return NextEntry(
            **common,
            since=to_unix_or_none(task.get("created_at")) or 0.0,
            why="",
            why_short="",
            front=task.get("front") or 0,
        )
    if status in ACTIVE:
        return _find_on_board(board, task["number"]) or _make_running_row(common, task)
    return EndedEntry(
        **common,
        ended_at=to_unix_or_none(task.get("ended_at")) or 0.0,
        how=task.get("reason") or "",
    )


def _find_on_board(board: Board | None, number: int) -> RunningEntry | None:
    return next((line for line in board.running if line.number == number), None) if board else None


def _make_running_row(common: Mapping[str, Any], task: Mapping[str, Any]) -> RunningEntry:
    started = to_unix_or_none(task.get("started_at"))
    requests: Any = {
        "timeout": task.get("timeout"),
        "cpu": task.get("cpu") or 0.0,
        "memory": task.get("memory") or 0.0,
    }
    return RunningEntry(
        **common,
        **requests,
        runid="",
        attempt=task.get("attempts") or 1,
        started_at=started,
        left=None,
    )
