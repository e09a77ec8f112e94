"""Where one can go in the deck: its panes, and the screens on top of it, each imported when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.app import App

from app.core.board import QueueLine
from app.tui.screens.deck import DeckScreen

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.app import TaskdeckApp
    from app.tui.screens.palette import Command


class Places(App[int]):
    """An app that finds its way."""

    client_factory: Callable[[], Client]

    def say(self, text: str, style: str = "") -> None:
        """Put a safe text into the message line for a while."""
        raise NotImplementedError

    @property
    def deck(self) -> DeckScreen | None:
        """The deck screen, below whatever stands on it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, DeckScreen)), None)

    def action_place(self, pane: int) -> None:
        """Go to the deck, and to one of its panes."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if self.deck:
            self.deck.go_to(pane)

    def open_task(self, ident: str) -> None:
        """The screen of a task, by uuid or number."""
        from app.tui.screens.task import TaskScreen

        self.push_screen(TaskScreen(self.client_factory, ident))

    def open_log(self, ident: str) -> None:
        """The log of a task."""
        from app.tui.screens.log import LogScreen

        self.push_screen(LogScreen(self.client_factory, ident))

    def open_why(self, ident: str) -> None:
        """Why it waits; it may lead to the task."""
        from app.tui.screens.why import WhyScreen

        self.push_screen(WhyScreen(self.client_factory, ident), lambda uuid: self.open_task(uuid) if uuid else None)

    def open_form(self) -> None:
        """The form for a new task."""
        from app.tui.screens.submit import SubmitScreen

        self.push_screen(SubmitScreen(self.client_factory), self._submitted)

    def _submitted(self, number: int | None) -> None:
        if number is not None:
            self.say(f"Submitted #{number}.")

    def show_queue(self, queue: QueueLine) -> None:
        """The work of one queue, on the deck."""
        self.action_place(3)
        if self.deck:
            self.deck.filter_queue(queue)

    def action_show_keys(self) -> None:
        """Every key that works here."""
        from app.tui.screens.help import HelpScreen, bindings_of

        self.push_screen(HelpScreen(bindings_of(self.screen.active_bindings)))

    def action_palette(self) -> None:
        """Every command by its name."""
        from app.tui.commands import commands_of
        from app.tui.screens.palette import PaletteScreen

        self.push_screen(PaletteScreen(commands_of(cast("TaskdeckApp", self)), self.open_task), _run)


def _run(command: Command | None) -> None:
    if command:
        command.run()
