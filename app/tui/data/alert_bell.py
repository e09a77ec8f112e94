"""Bell and terminal title for new critical alerts."""

from __future__ import annotations

from collections.abc import Callable

from app.core.board import AlertEntry, Board


class AlertBell:
    """Memory of the critical alerts that were announced.

    Each alert is announced once, although it may be acknowledged, silenced and fire again. Alerts
    that fire when the deck starts are on the screen and ring no bell. A silenced alert is announced
    when the silence ends, if it still fires.
    """

    def __init__(
        self, announce: Callable[[AlertEntry, int], None], restore_title: Callable[[], None]
    ) -> None:
        """`announce` takes an alert, and the number of others that fired with it."""
        self._announce, self._restore_title = announce, restore_title
        self._known: set[int] | None = None
        self._has_title = False

    def update(self, board: Board) -> None:
        """Announce the new critical alerts of a board, all at once by the first of them."""
        if not board.at:
            return
        firing = [
            alert
            for alert in board.alerts
            if alert.severity == "critical" and alert.status == "firing"
        ]
        new = [alert for alert in firing if self._known is not None and alert.id not in self._known]
        self._known = (self._known or set()) | {alert.id for alert in firing}
        if new:
            self._has_title = True
            self._announce(new[0], len(new) - 1)
        elif self._has_title and not firing:
            self._has_title = False
            self._restore_title()
