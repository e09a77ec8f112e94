"""Keys on an alert: what `enter`, `l` and `w` open, also if the alert is not about one task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.core.board import AlertEntry, Board, QueueEntry
from app.translation import tr
from app.tui.actions import queues_pools
from app.tui.actions import rules as action_rules
from app.tui.actions.tasks import NotApplicableError
from app.tui.data.call_queue import VerbClient
from app.tui.deck_app import StatusScreen
from app.tui.rows.rules import make_rule_row

Answer = Mapping[str, Any]


class AlertSubjects(StatusScreen):
    """Base of screens that list alerts."""

    def read_then_open(
        self, work: Callable[[VerbClient], Any], opens: Callable[[Any, Exception | None], None]
    ) -> None:
        """Read the data of a screen, then open the screen with `opens`.

        Keys typed meanwhile are kept for that screen.
        """

        def have(found: Any, error: Exception | None) -> None:
            if is_expected.is_set():  # the wait timed out
                return
            is_expected.set()
            opens(found, error)
            if self.app.screen is self:
                self.deck.discard_typeahead()

        is_expected = self.deck.expect_screen()
        self.deck.read_queue.submit_work(
            work, lambda found, error: self.call_later(have, found, error)
        )

    def open_alert(self, alert: AlertEntry, key: str = "enter") -> None:
        """Open what an alert is about: a task, tasks, or a schedule; `l` its log, `w` its reasons.

        An alert about a name is about the tasks of the name, and about the schedule if none exists.
        """
        if alert.uuid:
            self._open_task(alert.uuid, key)
        else:
            self.read_then_open(
                lambda client: client.call("alert.show", {"id": alert.id}),
                partial(self._open_answer, alert, key),
            )

    def _open_task(self, uuid: str, key: str) -> None:
        deck = self.deck
        {"enter": deck.open_task, "l": deck.open_log, "w": deck.open_why}[key](uuid)

    def _open_answer(
        self, alert: AlertEntry, key: str, found: Answer | None, error: Exception | None
    ) -> None:
        if found is None:
            self.deck.show_message(self.look.sanitize(str(error)), "warn")
            return
        if self.app.screen is not self:
            return
        try:
            self._open_subject(alert, key, found)
        except NotApplicableError as unfit:
            self.deck.show_message(self.look.sanitize(str(unfit)), "warn")

    def _open_subject(self, alert: AlertEntry, key: str, found: Answer) -> None:
        rule = make_rule_row(found["rule"]) if found.get("rule") else None
        rules = {rule.name: rule} if rule else {}
        group, about = action_rules.get_alert_group(rule) if rule else "", found.get("about") or {}
        if key != "enter" and about.get("task"):
            self._open_task(about["task"], key)
        elif about.get("schedule") and (group == "schedule" or not about.get("task")):
            if key == "l":
                raise NotApplicableError(
                    tr("{object} has not run: no log. enter shows when.", object=alert.object)
                )
            self.deck.open_schedule(about["schedule"])
        elif key == "w" and group == "queue":
            self._explain_queue(alert.object.removeprefix("queue "))
        elif key != "enter":
            raise NotApplicableError(
                tr("{object}: no task to show. enter lists its tasks.", object=alert.object)
            )
        elif group == "task" and "task" in about and about["task"] is None:
            raise NotApplicableError(
                tr("No task and no schedule has the name {object}.", object=alert.object)
            )
        else:
            self.deck.open_tasks(action_rules.make_alert_filter(alert, rules), returns=True)

    def _explain_queue(self, name: str) -> None:
        """Explain the first waiting task of a queue; if none waits, list the tasks."""
        board = self.deck.board or Board()
        queue = next((row for row in board.queues if row.name == name), None)
        if queue is None:
            raise NotApplicableError(tr("The queue {name} is gone.", name=name))
        if first := queues_pools.find_first_queued([name], board):
            self.deck.open_why(first.uuid)
        else:
            self.read_then_open(
                lambda client: client.call("queue.line", {"names": [name]}),
                partial(self._show_line, queue),
            )

    def _show_line(self, queue: QueueEntry, found: Answer | None, error: Exception | None) -> None:
        if found is None:
            self.deck.show_message(self.look.sanitize(str(error)), "warn")
        elif found["first"]:
            self.deck.open_why(found["first"])
        else:
            self.deck.show_message(queues_pools.describe_idle(queue, found["waiting"], self.look))
