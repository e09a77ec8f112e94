"""The task screen: why it waits, how it runs, or how it ended; and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.tui import taskdoc, whydoc
from app.tui.doc import Doc, Section
from app.tui.facts import ACTIVE, WAITING, Facts, headline, title
from app.tui.footer import Hint
from app.tui.header import Header
from app.tui.known import Known, gather, source_of
from app.tui.logpager import Page, size_and_lines
from app.tui.logview import LogView
from app.tui.screens.log import LogScreen
from app.tui.screens.onetask import OneTask, row_of
from app.tui.screens.page import Line
from app.tui.screens.why import WhyScreen

if TYPE_CHECKING:
    from app.client import Client

_WHY, _LOG, _CANCEL = Hint("w", "why", "w", 5), Hint("l", "log", "l", 1), Hint("x", "cancel", "x", 2)
_COPY = Hint("y", "copy", "y", 6)
_WAITING_HINTS = [_WHY, _CANCEL, Hint("t", "to front", "t", 1), Hint("+ -", "priority", "plus", 4), _COPY]
_RUNNING_HINTS = [_LOG, _CANCEL, Hint("X", "signal", "X", 4), _WHY, _COPY]
_ENDED_HINTS = [
    Hint("↵", "attempt", "enter", 3),
    _LOG,
    Hint("r", "run again", "r", 2),
    _COPY,
    Hint("D", "delete", "D", 5),
]
LEAST_LOG = 3
_PAUSE = {"held": "release", "paused": "continue"}


class TaskScreen(OneTask):
    """One task, by number, uuid or name, live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "leave", "Back", id="page.back", show=False),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._known: Known | None = None
        self._log = ""
        """The runid whose log is open."""

    def body(self) -> Iterable[Widget]:
        yield Line(id="state")
        yield Doc(id="main")
        yield Line(id="log-rule")
        yield LogView(id="tail")
        yield Doc(id="rest")

    def on_mount(self) -> None:
        self._arrange(running=False)
        self.query_one("#main", Doc).focus()

    def heading(self) -> str:
        known = self._known
        return self.look.own(f"Deck › {title(self._facts(known)) if known else self.look.theirs(self._ident)}")

    def hints(self) -> list[Hint]:
        status = self._facts(self._known).status if self._known else ""
        if status in WAITING:
            return [Hint("p", _PAUSE.get(status, "hold"), "p", 3), *_WAITING_HINTS]
        if status in ACTIVE:
            return [Hint("p", _PAUSE.get(status, "pause"), "p", 3), *_RUNNING_HINTS]
        return _ENDED_HINTS if status else []

    def reread(self) -> None:
        self.ask(lambda client: gather(client, self._ident), self._take)

    def _take(self, known: Known) -> None:
        self._known = known
        self.row.item = row_of({**known.task, "status": self._facts(known).status}, self.board)
        self._follow_log(known)
        self.draw()
        self.refresh_chrome()

    def _facts(self, known: Known) -> Facts:
        return Facts(known.task, self.look, self.now, self.app.size.width, known.why, self.board, known.tail)

    # -- drawing --------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw what is known."""
        if (known := self._known) is None:
            return
        facts = self._facts(known)
        running = facts.status in ACTIVE
        main, rest = _running(facts) if running else (_waiting(facts) if facts.status in WAITING else _over(facts), ())
        self.query_one("#state", Line).show(headline(facts))
        self.query_one("#main", Doc).show(main)
        self.query_one("#rest", Doc).show(rest)
        self._arrange(running)
        self._fit()

    def _arrange(self, running: bool) -> None:
        """A running task has its log in the middle; another one page."""
        self.set_class(running, "-running")
        for name in ("#log-rule", "#tail", "#rest"):
            self.query_one(name).display = running
        if not running and self.focused in (self.query_one("#tail"), self.query_one("#rest")):
            self.query_one("#main").focus()

    def _fit(self) -> None:
        """Leave the log at least LEAST_LOG lines, and the rest of a running task what remains, at most half the screen."""
        height = self.app.size.height
        remains = height - self.query_one(Header).size.height - self.query_one("#main", Doc).height - LEAST_LOG - 4
        rest = self.query_one("#rest", Doc)
        rest.styles.max_height = max(0, min(remains, height // 2))

    def _follow_log(self, known: Known) -> None:
        view, run = self.query_one(LogView), known.run
        live = run is not None and run["status"] in ACTIVE
        if run is not None and live and self._log != run["runid"]:
            self._log = run["runid"]
            view.open(source_of(run), live=True)
            view.focus()
        view.live = live

    @on(LogView.Changed)
    def _log_changed(self, message: LogView.Changed) -> None:
        self._draw_rule(message.page)

    @on(LogView.Failed)
    def _log_failed(self, message: LogView.Failed) -> None:
        self.say(f"The log cannot be read: {message.why}", "broken")

    def _draw_rule(self, page: Page) -> None:
        line = self.query_one("#log-rule", Line)
        tail = "following" if page.following else f"{page.below:,} new below, G" if page.below else ""
        focused = self.query_one(LogView).has_focus
        text = self.look.rule(line.size.width, [(2, f"Log  {size_and_lines(page)}")], tail, focused)
        line.show([(text, "title" if focused else "dim")])

    def on_descendant_focus(self) -> None:
        self._draw_rule(self.query_one(LogView).page)

    @on(Doc.Opened)
    def _line_opened(self, message: Doc.Opened) -> None:
        """A line leads to another task, or to an attempt's log."""
        kind, _, what = message.target.partition(":")
        if kind == "task":
            self.deck.open_task(what)
        elif self._known:
            self.app.push_screen(LogScreen(self.client_factory, self._known.task["uuid"], int(what)))

    def action_why(self) -> None:
        """Why; the popover need not lead here again."""
        if self._known:
            self.app.push_screen(WhyScreen(self.client_factory, self._known.task["uuid"]))

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def every_second(self) -> None:
        super().every_second()
        if self.is_current:
            self.draw()


def _waiting(facts: Facts) -> Sequence[Section]:
    return [whydoc.waiting(facts), *taskdoc.relatives(facts), *_attempts(facts), *_rest(facts)]


def _running(facts: Facts) -> tuple[Sequence[Section], Sequence[Section]]:
    return [taskdoc.now(facts)], [taskdoc.attempts(facts), *taskdoc.relatives(facts), *_rest(facts)]


def _over(facts: Facts) -> Sequence[Section]:
    return [taskdoc.ended(facts), *_attempts(facts), *taskdoc.relatives(facts), *_rest(facts)]


def _attempts(facts: Facts) -> Iterable[Section]:
    return [taskdoc.attempts(facts)] if facts.runs else []


def _rest(facts: Facts) -> Iterable[Section]:
    return [taskdoc.definition(facts), *taskdoc.alerts(facts), taskdoc.history(facts)]
