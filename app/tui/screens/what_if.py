"""What-if screen: change amounts of pools and queues, and see waits and ends before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget

from app.core.board import Board
from app.translation import tr
from app.tui.actions import what_if as actions
from app.tui.actions.what_if import Amount, Cancelled, list_amounts
from app.tui.pages.what_if import TASK, build_amounts, build_forecast
from app.tui.screens.base_page import PageScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.text_prompt import TextPromptScreen
from app.tui.widgets.document import DocumentView
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.header import WIDE_CELLS

if TYPE_CHECKING:
    from app.client import Client

REFRESH_SECONDS = 5.0
"""Seconds between two forecasts while only the board changes; one may take a second."""
AMOUNT_CELLS = 44
"""Width of the amounts beside the forecast."""


class WhatIfScreen(PageScreen):
    """Amounts that a person supposes, and their forecast, which changes nothing until `a`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "step(1)", "One more", id="what-if.more"),
        Binding("minus", "step(-1)", "One less", id="what-if.less"),
        Binding("r", "reset", "Back to the present amount", id="what-if.reset"),
        Binding("R", "reset_all", "Suppose nothing", id="what-if.reset-all"),
        Binding("a", "apply", "Make the changes", id="what-if.apply"),
        Binding("tab,shift+tab", "other", "Amounts or forecast", id="what-if.other"),
        Binding("q,escape", "leave", "Back", id="page.back"),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo"),
    ]
    DEFAULT_CSS = f"""
    WhatIfScreen {{
        #sides {{ height: 1fr; width: 1fr; layout: vertical; }}
        #amounts {{ height: auto; max-height: 45%; width: 1fr; }}
        #forecast {{ height: 1fr; width: 1fr; }}
        &.-wide #sides {{ layout: horizontal; }}
        &.-wide #amounts {{ height: 1fr; max-height: 100%; width: {AMOUNT_CELLS}; }}
    }}
    """

    def __init__(
        self, client_factory: Callable[[], Client], rows: Sequence[Cancelled] = ()
    ) -> None:
        """Create the screen; `rows` are supposed to be cancelled."""
        super().__init__(client_factory)
        self._rows = list(rows)
        self._supposed: dict[str, float] = {}
        self._found: Mapping[str, Any] | None = None
        self._asked: tuple[Any, ...] | None = None
        """Changes of the reading in progress, or of the last one."""

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="sides"):
            yield DocumentView(id="amounts")
            yield DocumentView(id="forecast")

    def on_mount(self) -> None:
        self._draw()
        self.query_one("#amounts", DocumentView).focus()

    def make_heading(self) -> str:
        return self.look.adapt_text(f"{self.opened_from} › {tr('What if')}")

    def list_hints(self) -> list[KeyHint]:
        hints = [KeyHint("+ -", "more, less", "plus", 1), KeyHint("↵", "type", "enter", 3)]
        if self._is_supposing:
            hints += [KeyHint("a", "apply", "a", 2), KeyHint("r", "reset", "r", 4)]
        return [*hints, KeyHint("tab", "forecast", "tab", 5)]

    @property
    def _is_supposing(self) -> bool:
        return bool(self._supposed or self._rows)

    @property
    def _amounts(self) -> list[Amount]:
        return list_amounts(self.board or Board())

    # Forecast

    @property
    def reread_interval(self) -> float:
        return REFRESH_SECONDS

    def reread(self) -> None:
        if self._reading_since is None:
            self._asked = self._make_question()
            settings, cancel = self._asked
            args = {"settings": list(settings), "cancel": list(cancel)}
            self.read(lambda client: client.call("forecast", args), self._show)

    def _make_question(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        settings = actions.list_settings(self._amounts, self._supposed)
        return tuple(settings), tuple(map(actions.format_cancelled, self._rows))

    def _show(self, found: Mapping[str, Any]) -> None:
        self._found = found
        self._draw()

    def _finish_read(
        self, then: Callable[[Any], None], found: Any, error: Exception | None
    ) -> None:
        super()._finish_read(then, found, error)
        if self._asked != self._make_question():
            self.reread()
        else:
            self._draw()

    def _change(self) -> None:
        """Show what is supposed now, and forecast it."""
        self._draw()
        self.refresh_chrome()
        self.reread()

    def refresh_chrome(self) -> None:
        super().refresh_chrome()
        self._draw()

    def _draw(self) -> None:
        width = self.app.size.width
        is_wide = width >= WIDE_CELLS
        left = AMOUNT_CELLS if is_wide else width
        right = width - AMOUNT_CELLS if is_wide else width
        is_old = self._asked != self._make_question() or self._reading_since is not None
        for view in self.query("#amounts").results(DocumentView):
            view.show(build_amounts(self._amounts, self._supposed, self._rows, left, self.look))
        for view in self.query("#forecast").results(DocumentView):
            view.show(build_forecast(self._found, is_old, right, self.look))

    # Keys

    @property
    def _target(self) -> str:
        return self.query_one("#amounts", DocumentView).cursor

    def _find_amount(self) -> Amount | None:
        return next((one for one in self._amounts if one.key == self._target), None)

    def _suppose(self, amount: Amount, value: float) -> None:
        if value == amount.value:
            self._supposed.pop(amount.key, None)
        else:
            self._supposed[amount.key] = value
        self._change()

    def action_step(self, by: int) -> None:
        if amount := self._find_amount():
            value = self._supposed.get(amount.key, amount.value)
            self._suppose(amount, actions.step_amount(amount, value, by))
        else:
            self.show_message(tr("That is no amount."), stays=False)

    @on(DocumentView.Opened)
    def _handle_open(self, event: DocumentView.Opened) -> None:
        """Ask for an amount; a task is not cancelled any more."""
        event.stop()
        if event.target.startswith(TASK):
            self._drop_task(event.target)
            return
        amount = self._find_amount()
        if amount is None:
            return
        value = self._supposed.get(amount.key, amount.value)
        self.app.push_screen(
            TextPromptScreen(
                self.look.sanitize(f"{amount.owner}: {tr(amount.name)}"),
                tr("Now {amount}.", amount=actions.format_amount(amount.name, amount.value)),
                actions.format_amount(amount.name, value),
                lambda text: actions.find_fault(amount.name, text),
            ),
            lambda text: self._take_typed(amount, text),
        )

    def _take_typed(self, amount: Amount, text: str | None) -> None:
        if text is not None:
            self._suppose(amount, actions.parse_amount(amount.name, text))

    def _drop_task(self, target: str) -> None:
        self._rows = [row for row in self._rows if TASK + row.key != target]
        self._change()

    def action_reset(self) -> None:
        if self._target.startswith(TASK):
            self._drop_task(self._target)
        elif amount := self._find_amount():
            self._suppose(amount, amount.value)

    def action_reset_all(self) -> None:
        self._supposed.clear()
        self._rows.clear()
        self._change()

    def action_other(self) -> None:
        here, there = self.query("#amounts").first(), self.query("#forecast").first()
        (there if here.has_focus else here).focus()

    def action_apply(self) -> None:
        """Ask, then make the changes as the keys for them would."""
        if self.deck.refuse_changes():
            return
        if not self._is_supposing:
            self.show_message(tr("Nothing is supposed yet: + and - change an amount."), stays=False)
        elif self._found is None or self._asked != self._make_question():
            self.show_message(tr("Simulating; press the key again."), stays=False)
        else:
            steps = self._found["steps"]
            self.app.push_screen(
                ChoiceScreen(actions.confirm_apply(steps, self.look)),
                lambda letter: self._send(steps) if letter == "y" else None,
            )

    def _send(self, steps: Sequence[Mapping[str, Any]]) -> None:
        self.deck.requests.send(actions.make_requests(steps, self._amounts, self._rows))
        self.action_reset_all()
