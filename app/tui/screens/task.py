"""The task screen: why it waits and what could help, how it runs, or how it ended; and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.tui.actions import right_size
from app.tui.data.task_snapshot import Known, gather, source_of
from app.tui.logviewer.pager import Page, size_and_lines
from app.tui.logviewer.widget import LogView
from app.tui.pages import task, timeline, why
from app.tui.pages import task as page_task
from app.tui.pages.task_facts import Facts, headline, title
from app.tui.screens.base_page import Line
from app.tui.screens.base_task import OneTask, row_of
from app.tui.screens.dialogs.choice import Answer, Question
from app.tui.screens.log import LogScreen
from app.tui.state.row_changes import FRESH
from app.tui.style import Look
from app.tui.widgets.document import Doc, Section
from app.tui.widgets.footer import Hint
from app.tui.widgets.header import Header
from app.tui.widgets.modal import in_sight
from db.states import ACTIVE, WAITING

if TYPE_CHECKING:
    from app.client import Client

_WHY, _LOG, _CANCEL = Hint("w", "why", "w", 5), Hint("l", "log", "l", 1), Hint("x", "cancel", "x", 2)
_COPY, _FIT, _EDIT = Hint("y", "copy", "y", 6), Hint("m", "as used", "m", 5), Hint("e", "edit", "e", 7)
_WAITING_HINTS = [_CANCEL, Hint("t", "to front", "t", 1), Hint("+ -", "priority", "plus", 4), _EDIT]
_RUNNING_HINTS = [_LOG, _CANCEL, Hint("X", "signal", "X", 4), _WHY, _EDIT]
_ENDED_HINTS = [_LOG, Hint("r", "run again", "r", 2), Hint("R", "edit and run", "R", 8), _COPY, Hint("D", "delete", "D", 5)]
_OPENS = {"cure": "do it", "task": "open", "attempt": "attempt", "template": "template"}
LEAST_LOG = 3
_PAUSE = {"held": "release", "paused": "continue"}


class TaskScreen(OneTask):
    """One task, by number, uuid or name, live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "leave", "Back", id="page.back", show=False),
        Binding("m", "fit", "Ask for what was used: p95 + 20%", id="task.fit"),
        Binding("M", "fit_template", "The template's defaults from what was used", id="task.fit-template"),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._known: Known | None = None
        self._asked: float | None = None
        """When what is known was so, in UNIX seconds."""
        self._log = ""
        """The runid whose log is open."""
        self._led_at = float("-inf")
        """When the cursor came to its line without a key, as the lines were drawn; on the clock `ticks`."""

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
        return self.look.own(f"{self.opened_from} › {title(self._facts(known)) if known else self.look.theirs(self._ident)}")

    def hints(self) -> list[Hint]:
        if self._known is None:
            return []
        status = self._facts(self._known).status
        fits = [_FIT] if right_size.changes(self._known.task, self._known.about["fit"]) else []
        if status in WAITING:
            return [*self._opening(), Hint("p", _PAUSE.get(status, "hold"), "p", 3), *_WAITING_HINTS, *fits, _COPY]
        if status in ACTIVE:
            return [*self._opening(), Hint("p", _PAUSE.get(status, "pause"), "p", 3), *_RUNNING_HINTS, *fits, _COPY]
        return [*self._opening(), *_ENDED_HINTS]

    def _opening(self) -> list[Hint]:
        """What enter does on the line under the cursor."""
        doc = self.focused if isinstance(self.focused, Doc) else None
        word = _OPENS.get(doc.cursor.partition(":")[0]) if doc else None
        return [Hint("↵", word, "enter", 3)] if word else []

    def reread(self) -> None:
        self.read(lambda client: gather(client, self._ident), self._take)

    def _take(self, known: Known) -> None:
        self._known, self._asked = known, self.now
        self.row.item = row = row_of({**known.task, "status": self._facts(known).status}, self.board)
        self.saw(row)
        self.deck.shows_priorities({row.uuid: row.priority})
        self._follow_log(known)
        self.draw()
        self.refresh_chrome()

    def _facts(self, known: Known) -> Facts:
        return Facts(known.about, self.look, self.now, self.app.size.width, self.board, known.tail, self._asked)

    # -- drawing --------------------------------------------------------------------------------------------------

    def freshened(self) -> None:
        """How old it is may have to be said."""
        self._draw_state()

    def draw(self) -> None:
        """Draw what is known."""
        if (known := self._known) is None:
            return
        facts = self._facts(known)
        running = facts.status in ACTIVE
        main, rest = _running(facts) if running else (_waiting(facts) if facts.status in WAITING else _over(facts), ())
        self._draw_state()
        doc = self.query_one("#main", Doc)
        before = doc.cursor
        doc.show(main, first="cure:")
        if doc.cursor != before:
            self._led_at = self.ticks
        self.query_one("#rest", Doc).show(rest)
        self._arrange(running)
        self._fit()
        if running:  # the rule has its width only then
            self.call_after_refresh(lambda: self._draw_rule(self.query_one(LogView).page))

    def _draw_state(self) -> None:
        """The line of its state, and how old that is when it cannot be read again."""
        spans = headline(self._facts(self._known)) if self._known else ((" ", ""),)
        old = self.freshness
        self.query_one("#state", Line).show([*spans[:1], *([(f"   {old}", "warn")] if old else []), *spans[1:]])

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
            self._open_log(run)
        view.live = live

    def _open_log(self, run: Mapping[str, Any]) -> None:
        """Follow a run's log. It has the keys at once where nothing else had been seen before."""
        view, fresh = self.query_one(LogView), not self._log and not self.query_one("#main", Doc).height
        self._log = run["runid"]
        view.open(source_of(run), live=True)
        if fresh:
            view.focus()

    @on(LogView.Changed)
    def _log_changed(self, message: LogView.Changed) -> None:
        self._draw_rule(message.page)

    @on(LogView.Failed)
    def _log_failed(self, message: LogView.Failed) -> None:
        self.say(f"The log cannot be read: {message.why}", "broken", stays=False)

    def _draw_rule(self, page: Page) -> None:
        line = self.query_one("#log-rule", Line)
        tail = "following" if page.following else f"{page.below:,} new below, G" if page.below else ""
        focused = self.query_one(LogView).has_focus
        text = self.look.rule(line.size.width, [(2, f"Log  {size_and_lines(page)}")], tail, focused)
        line.show([(text, "title" if focused else "dim")])

    def on_descendant_focus(self) -> None:
        self._draw_rule(self.query_one(LogView).page)
        self.refresh_chrome()

    @on(Doc.Moved)
    def _line_chosen(self) -> None:
        self.refresh_chrome()

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def every_second(self) -> None:
        super().every_second()
        if in_sight(self):
            self.draw()
            if self.freshness:
                self.reread()

    # -- doing ----------------------------------------------------------------------------------------------------

    @on(Doc.Opened)
    def _line_opened(self, message: Doc.Opened) -> None:
        """A line leads to another task, to its template, to an attempt's log, or is a cure to be done."""
        kind, _, what = message.target.partition(":")
        if kind == "task":
            self.deck.open_task(what)
        elif kind == "template":
            self.deck.open_editor("templates", what)
        elif kind == "cure":
            self._cure(what)
        elif self._known:
            self.app.push_screen(LogScreen(self.client_factory, self._known.task["uuid"], int(what)))

    def _cure(self, name: str) -> None:
        """Do what could help; where a running task's work would be lost, only after the question that says so."""
        offered = self._known.about["why"]["cures"] if self._known and self._known.about["why"] else ()
        cure = next((cure for cure in offered if cure["name"] == name), None)
        if cure is None:
            self.say("It is not offered any more.", "warn")
        elif self.ticks - self._led_at < FRESH:  # say an enter that was pressed twice to come here
            self.say("This line came under the cursor just now. Look, and press again.", "warn")
        elif name == "start":
            self.deck.action_start_runtime()
        elif cure["asks"] is not None:
            self.deck.details([str(cure["asks"])], self._ask_to_cancel)
        elif cure["verb"].startswith(("queue.", "pool.")):
            self._ask(lambda: _ask_for_all(cure, self.look), lambda _: self._do_cure(cure))
        else:
            self._do_cure(cure)

    def _do_cure(self, cure: Mapping[str, Any]) -> None:
        self._do(lambda: [why.deed(cure)] if self._rows() else [])

    def _ask_to_cancel(self, found: Sequence[Mapping[str, Any]]) -> None:
        if found:
            self._ask_cancel([row_of(found[0], self.board)], found)

    def action_fit(self) -> None:
        """Ask for what was used."""
        if known := self._known:
            ended = self._facts(known).status not in WAITING | ACTIVE
            self._do(lambda: right_size.task(known.task, known.about["fit"], ended) if self._rows() else [])

    def action_fit_template(self) -> None:
        """The same for the template, after a question."""
        known = self._known
        if known is None or not known.task["template"]:
            self.say("M sets the defaults of a template; this task was made from none.", "warn")
        else:
            self.call("template.show", {"name": known.task["template"]}, self._ask_template)

    def _ask_template(self, template: Mapping[str, Any]) -> None:
        if known := self._known:
            fit, past = known.about["fit"], known.about["past"] or {}

            def make() -> Question:
                return right_size.ask_template(template, fit, past.get("n", 1), self.look)

            self._ask(make, lambda _: self._do(lambda: right_size.template(template, fit)))

    def action_why(self) -> None:
        """Why, in a line, as the rest of it stands here already; and to what can be done about it."""
        if self._known is None:
            return
        facts, doc = self._facts(self._known), self.query_one("#main", Doc)
        if doc.lead("cure:"):
            doc.focus()
            self._led_at = self.ticks
        self.say(_in_a_line(facts), stays=False)


def _ask_for_all(cure: Mapping[str, Any], look: Look) -> Question:
    """What changes a queue or a pool starts other tasks too."""
    body = [[(look.theirs(str(cure["text"])), "bold")], [(look.theirs(str(cure["gain"])), "")], [],
            [("It is for all tasks there, and others may start with it.", "")]]  # fmt: skip
    return Question("Do it?", body, [Answer("y", "do it"), Answer("n", "leave it")], safe="n")


def _in_a_line(facts: Facts) -> str:
    """Why it waits, or that it runs, or how it ended."""
    state, words = headline(facts)
    if facts.status in WAITING:
        reasons = [facts.look.theirs(reason["text"]) for reason in facts.why.get("reasons") or ()]
        return f"It waits: {reasons[0]}" if reasons else "It starts with the next dispatch round."
    return "It does not wait: it runs." if facts.status in ACTIVE else f"{state[0].strip()}: {words[0].strip()}"


def _waiting(facts: Facts) -> Sequence[Section]:
    return [why.waiting(facts), *why.cures(facts), *page_task.relatives(facts), *_attempts(facts), *_rest(facts)]


def _running(facts: Facts) -> tuple[Sequence[Section], Sequence[Section]]:
    return [task.now(facts)], [task.attempts(facts), *page_task.relatives(facts), *_rest(facts)]


def _over(facts: Facts) -> Sequence[Section]:
    return [task.ended(facts), *_attempts(facts), *page_task.relatives(facts), *_rest(facts)]


def _attempts(facts: Facts) -> Iterable[Section]:
    return [task.attempts(facts)] if facts.runs else []


def _rest(facts: Facts) -> Iterable[Section]:
    yield task.definition(facts)
    yield from task.parameters(facts)
    yield from task.slas(facts)
    yield from timeline.timeline(facts)
    yield timeline.history(facts)
