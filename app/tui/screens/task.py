"""The task screen: why it waits, how it runs, or how it ended; and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import on
from textual.widget import Widget

from app.tui import taskdoc, whydoc
from app.tui.doc import Doc, Section
from app.tui.facts import ACTIVE, WAITING, Facts, headline, title
from app.tui.log import FileSource, LogLines, Source, TextSource
from app.tui.loglayout import LineCells
from app.tui.logpager import Page, size_and_lines
from app.tui.logview import LogView
from app.tui.screens.page import Line, PageScreen

if TYPE_CHECKING:
    from app.client import Client

TAIL = 4
"""Lines of the log that are shown of a run that ended."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the runtime answered: the task, why it waits, the run whose log is shown, and its last lines when it is over."""

    task: Mapping[str, Any]
    why: Mapping[str, Any]
    run: Mapping[str, Any] | None = None
    tail: tuple[str, ...] = ()


def gather(client: Client, ident: str) -> Known:
    """Ask all about one task. Raises Problem when there is none."""
    task = client.call("show", {"id": ident})
    if task["status"] in WAITING:
        answers = client.call("why", {"ids": [task["uuid"]]})
        return Known(task, next(iter(answers), {}))
    runs = client.call("log", {"id": task["uuid"], "attempt": None})["runs"]
    run = runs[-1] if runs else None
    ended = run is not None and run["status"] not in ACTIVE
    return Known(task, {}, run, last_lines(run) if run and ended else ())


def source_of(run: Mapping[str, Any]) -> Source:
    """The log's file, or what the database holds of it."""
    try:
        return FileSource(run["path"])
    except (OSError, TypeError, ValueError):
        return TextSource(run["logs"] or "")


def last_lines(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The end of a run's log: the last lines that are not blank, without colours."""
    source = source_of(run)
    try:
        lines, found = LogLines(source), list[str]()
        at: int | None = lines.last() if lines.size else None
        while at is not None and len(found) < TAIL:
            text = LineCells(lines.bytes_of(at)).window(0, 400).text.rstrip()
            found += [text] if text else []
            at = lines.before(at)
        return tuple(reversed(found))
    finally:
        source.close()


class TaskScreen(PageScreen):
    """One task, by number, uuid or name, live."""

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

    def reread(self) -> None:
        self.ask(lambda client: gather(client, self._ident), self._take)

    def _take(self, known: Known) -> None:
        self._known = known
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

    def _arrange(self, running: bool) -> None:
        """A running task has its log in the middle; another one page."""
        self.set_class(running, "-running")
        for name in ("#log-rule", "#tail", "#rest"):
            self.query_one(name).display = running

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
