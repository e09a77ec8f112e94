"""Schedule actions: what keys do to the schedule under the cursor, or to the marked ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.translation import tr
from app.tui.actions import schedules as action_schedules
from app.tui.actions.question import Question
from app.tui.actions.tasks import NotApplicableError, Request
from app.tui.data.schedule_rows import ScheduleEntry
from app.tui.screens.base_page import PageScreen
from app.tui.screens.definitions.schedule_form import ScheduleForm
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.widgets.footer import KeyHint


class ScheduleActions(PageScreen):
    """Base of screens with actions on schedules."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit the schedule", id="schedule.edit"),
        Binding("p", "pause", "Pause, or resume from now on", id="schedule.pause"),
        Binding("r", "run", "Run now, whatever its rules say", id="schedule.run"),
        Binding("s", "skip", "Skip the next fire time", id="schedule.skip"),
        Binding("x,D", "remove", "Remove the schedule; its tasks stay", id="schedule.remove"),
    ]

    def list_schedules(self) -> list[ScheduleEntry]:
        """Return the schedules that a key applies to."""
        raise NotImplementedError

    def finish_action(self) -> None:
        """Handle a request that was sent, as by clearing the marks."""

    def list_schedule_hints(self, row: ScheduleEntry) -> list[KeyHint]:
        """Return the hints of the keys that apply to a schedule."""
        turn = KeyHint("p", "resume" if row.state == "paused" else "pause", "p", 5)
        return [
            KeyHint("e", "edit", "e", 3),
            *([turn] if row.state != "ended" else []),
            KeyHint("r", "run", "r", 6),
            *([KeyHint("s", "skip", "s", 6)] if row.next_at is not None else []),
            KeyHint("x", "remove", "x", 10),
        ]

    def _get_rows(self) -> list[ScheduleEntry]:
        """Return the schedules. Raise NotApplicableError if nothing may be changed."""
        if refusal := self.deck.refusal or self.unread_notice:
            raise NotApplicableError(refusal)
        return self.list_schedules()

    def _perform(self, make: Callable[[], Sequence[Request]]) -> None:
        try:
            self.deck.requests.send(make())
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
        else:
            self.finish_action()

    def _ask(
        self,
        make: Callable[[Sequence[ScheduleEntry]], Question | None],
        verb: Callable[[Sequence[ScheduleEntry]], list[Request]],
    ) -> None:
        """Perform `verb`, after the answer to the question of `make` if there is one."""
        try:
            rows = self._get_rows()
            question = make(rows)
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
            return
        if question is None:
            self._perform(lambda: verb(rows))
        else:
            self.app.push_screen(
                ChoiceScreen(question),
                lambda key: self._perform(lambda: verb(rows)) if key else None,
            )

    def action_pause(self) -> None:
        self._perform(lambda: action_schedules.toggle_schedules(self._get_rows()))

    def action_run(self) -> None:
        self._ask(
            lambda rows: action_schedules.confirm_run(rows, self.look),
            action_schedules.run_schedules,
        )

    def action_skip(self) -> None:
        self._perform(lambda: action_schedules.skip_next(self._get_rows(), self.now))

    def action_remove(self) -> None:
        self._ask(
            lambda rows: action_schedules.confirm_remove(rows, self.look),
            action_schedules.remove_schedules,
        )

    def action_edit(self) -> None:
        try:
            rows = action_schedules.require_rows(self._get_rows())
            if len(rows) > 1:
                raise NotApplicableError(
                    tr("e edits one schedule; {count:,} are marked.", count=len(rows))
                )
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
        else:
            self.app.push_screen(ScheduleForm(self.client_factory, rows[0].name))
