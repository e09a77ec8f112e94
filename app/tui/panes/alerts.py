"""Alerts pane (4): SLA alerts in the order of the board, what nobody has seen first."""

from __future__ import annotations

from typing import Any

from app.core.board import MAX_ALERTS, Board
from app.translation import tr
from app.tui.rows.alerts import ALERT_SECTION, OVER, describe_hidden, is_over_now
from app.tui.widgets.table import NO_MATCH, Table

_FIRST_RULE = "taskdeck sla create encode-on-time --template encode --finishes-within 45m"


class AlertsPane(Table):
    """Alerts that fire, are acknowledged, or were resolved a moment ago.

    Without the focus the pane shows the first alerts, wherever its cursor is.
    """

    def __init__(self) -> None:
        super().__init__((ALERT_SECTION,), id="alerts")
        self.ignores_filter = False
        """True while a filter hides tasks; alerts are never hidden by the filter of tasks."""
        self.announced = ""
        """Key of the last alert that rang the bell, until the pane is opened."""
        self.views[0].tail = lambda view: describe_hidden(view, self.look)
        self.views[0].tail_first = True

    @property
    def keeps_cursor_visible(self) -> bool:
        return self.has_focus

    def is_moved_away(self, before: Any, after: Any) -> bool:
        return is_over_now(before, after)

    def go_to_announced(self) -> None:
        """Put the cursor on the alert that rang the bell, the first time."""
        key, self.announced = self.announced, ""
        if key:
            self.go_to_row(key)

    def watch_has_focus(self, has_focus: bool) -> None:
        """Scroll to the top when the focus leaves."""
        if not has_focus:
            self.views[0].offset = 0
        super().watch_has_focus(has_focus)

    def show_board(self, board: Board) -> None:
        view = self.views[0]
        count = sum(alert.status not in OVER for alert in board.alerts)
        view.title = (
            tr("4 SLA alerts {count}", count=f"{count}{'+' if count >= MAX_ALERTS else ''}")
            if board.at
            else tr("4 SLA alerts")
        ) + (tr(", not filtered") if self.ignores_filter and self.keep is None else "")
        view.empty = [[("  " + self._format_empty_text(board.rules), "dim")]] if board.at else ()
        self.show({"alerts": board.alerts})

    def _format_empty_text(self, rules: int) -> str:
        if self.keep is not None:
            return tr(NO_MATCH)
        if rules or self.moment is not None:
            return tr("No alerts.")
        first = tr("No rules yet: n creates a rule")
        return (
            tr("{first}; 7 shows all alerts.", first=first)
            if self.is_narrow
            else tr("{first}, or  {first_rule}", first=first, first_rule=_FIRST_RULE)
        )
