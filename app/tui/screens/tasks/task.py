"""Task screen: why the task waits and what could help, its run or its end, and its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr, tr_noop
from app.tui.actions import right_size
from app.tui.actions.question import Answer, Question
from app.tui.logviewer.pager import LogPage, format_size_and_lines
from app.tui.logviewer.task_snapshot import TaskSnapshot, fetch_snapshot, open_source
from app.tui.logviewer.widget import LogView
from app.tui.pages import task, timeline, why
from app.tui.pages import task as page_task
from app.tui.pages.task_facts import TaskContext, build_headline, format_title
from app.tui.screens.base_page import TextLine
from app.tui.screens.base_task import SingleTaskScreen, make_task_row
from app.tui.screens.tasks.log import LogScreen
from app.tui.state.row_changes import RECENT
from app.tui.style import Look
from app.tui.widgets.document import DocumentView, Section
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.header import Header
from app.tui.widgets.modal import is_visible_under_modal
from db.states import ACTIVE, WAITING

if TYPE_CHECKING:
    from app.client import Client

_WHY, _LOG, _CANCEL = (
    KeyHint("w", "why", "w", 5),
    KeyHint("l", "log", "l", 1),
    KeyHint("x", "cancel", "x", 2),
)
_COPY, _FIT, _EDIT = (
    KeyHint("y", "copy", "y", 6),
    KeyHint("m", "as used", "m", 5),
    KeyHint("e", "edit", "e", 7),
)
_WAITING_HINTS = [
    _CANCEL,
    KeyHint("t", "to front", "t", 1),
    KeyHint("+ -", "priority", "plus", 4),
    _EDIT,
]
_RUNNING_HINTS = [_LOG, _CANCEL, KeyHint("X", "signal", "X", 4), _WHY, _EDIT]
_ENDED_HINTS = [
    _LOG,
    KeyHint("r", "retry", "r", 2),
    KeyHint("R", "retry with", "R", 8),
    _COPY,
    KeyHint("D", "delete", "D", 5),
]
_OPENS = {
    "cure": tr_noop("do it"), "task": tr_noop("open"), "attempt": tr_noop("attempt"),
    "template": tr_noop("template"),
}  # fmt: skip
MIN_LOG_LINES = 3
_PAUSE = {"held": tr_noop("release"), "paused": tr_noop("resume")}


class TaskScreen(SingleTaskScreen):
    """One task, given by number, uuid or name, updated live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "leave", "Back", id="page.back", show=False),
        Binding("m", "fit", "Request the measured use: p95 + 20%", id="task.fit"),
        Binding(
            "M",
            "fit_template",
            "Set the template's defaults to the measured use",
            id="task.fit-template",
        ),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._snapshot: TaskSnapshot | None = None
        self._snapshot_at: float | None = None
        """UNIX seconds at which the task was read."""
        self._log_runid = ""
        """Run id of the open log."""
        self._cursor_set_at = float("-inf")
        """Time on the clock `ticks` at which the cursor was put on its line without a key."""

    def compose_body(self) -> Iterable[Widget]:
        yield TextLine(id="state")
        yield DocumentView(id="main")
        yield TextLine(id="log-rule")
        yield LogView(id="tail")
        yield DocumentView(id="rest")

    def on_mount(self) -> None:
        self._arrange_widgets(running=False)
        self.query_one("#main", DocumentView).focus()

    def make_heading(self) -> str:
        known = self._snapshot
        title = (
            format_title(self._make_context(known)) if known else self.look.sanitize(self._ident)
        )
        return self.look.adapt_text(f"{self.opened_from} › {title}")

    def list_hints(self) -> list[KeyHint]:
        if self._snapshot is None:
            return []
        status = self._make_context(self._snapshot).status
        fits = (
            [_FIT]
            if right_size.find_changes(self._snapshot.task, self._snapshot.about["fit"])
            else []
        )
        if status in WAITING:
            return [
                *self._make_open_hint(),
                KeyHint("p", _PAUSE.get(status, tr_noop("hold")), "p", 3),
                *_WAITING_HINTS,
                *fits,
                _COPY,
            ]
        if status in ACTIVE:
            return [
                *self._make_open_hint(),
                KeyHint("p", _PAUSE.get(status, tr_noop("pause")), "p", 3),
                *_RUNNING_HINTS,
                *fits,
                _COPY,
            ]
        return [*self._make_open_hint(), *_ENDED_HINTS]

    def _make_open_hint(self) -> list[KeyHint]:
        """Return the hint for enter on the line under the cursor."""
        doc = self.focused if isinstance(self.focused, DocumentView) else None
        word = _OPENS.get(doc.cursor.partition(":")[0]) if doc else None
        return [KeyHint("↵", word, "enter", 3)] if word else []

    def reread(self) -> None:
        self.read(lambda client: fetch_snapshot(client, self._ident), self._apply_snapshot)

    def _apply_snapshot(self, known: TaskSnapshot) -> None:
        self._snapshot, self._snapshot_at = known, self.now
        self.row.item = row = make_task_row(
            {**known.task, "status": self._make_context(known).status}, self.board
        )
        self.mark_viewed(row)
        self.deck.pending.drop_applied_priorities({row.uuid: row.priority})
        self._follow_log(known)
        self.draw()
        self.refresh_chrome()

    def _make_context(self, known: TaskSnapshot) -> TaskContext:
        return TaskContext(
            known.about,
            self.look,
            self.now,
            self.app.size.width,
            self.board,
            known.tail,
            self._snapshot_at,
        )

    # Drawing

    def refresh_freshness(self) -> None:
        """Show the age of the data."""
        self._draw_state()

    def draw(self) -> None:
        if (known := self._snapshot) is None:
            return
        facts = self._make_context(known)
        running = facts.status in ACTIVE
        main, rest = (
            _make_running_sections(facts)
            if running
            else (
                (
                    _make_waiting_sections(facts)
                    if facts.status in WAITING
                    else _make_ended_sections(facts)
                ),
                (),
            )
        )
        self._draw_state()
        doc = self.query_one("#main", DocumentView)
        before = doc.cursor
        doc.show(main, first="cure:")
        if doc.cursor != before:
            self._cursor_set_at = self.ticks
        self.query_one("#rest", DocumentView).show(rest)
        self._arrange_widgets(running)
        self._divide_height()
        if running:  # the rule has a width only while a task runs
            self.call_after_refresh(lambda: self._draw_log_title(self.query_one(LogView).page))

    def _draw_state(self) -> None:
        """Draw the state, with the age of data that cannot be reread."""
        spans = (
            build_headline(self._make_context(self._snapshot)) if self._snapshot else ((" ", ""),)
        )
        old = self.freshness
        self.query_one("#state", TextLine).show(
            [*spans[:1], *([(f"   {old}", "warn")] if old else []), *spans[1:]]
        )

    def _arrange_widgets(self, running: bool) -> None:
        """Show a running task's log between two documents, any other task as one document."""
        self.set_class(running, "-running")
        for name in ("#log-rule", "#tail", "#rest"):
            self.query_one(name).display = running
        if not running and self.focused in (self.query_one("#tail"), self.query_one("#rest")):
            self.query_one("#main").focus()

    def _divide_height(self) -> None:
        """Limit the lower document so that the log keeps `MIN_LOG_LINES` lines.

        The document gets at most half the screen.
        """
        height = self.app.size.height
        remains = (
            height
            - self.query_one(Header).size.height
            - self.query_one("#main", DocumentView).height
            - MIN_LOG_LINES
            - 4
        )
        rest = self.query_one("#rest", DocumentView)
        rest.styles.max_height = max(0, min(remains, height // 2))

    def _follow_log(self, known: TaskSnapshot) -> None:
        view, run = self.query_one(LogView), known.run
        live = run is not None and run["status"] in ACTIVE
        if run is not None and live and self._log_runid != run["runid"]:
            self._open_log(run)
        view.live = live

    def _open_log(self, run: Mapping[str, Any]) -> None:
        """Follow a run's log, and focus the log if the screen was empty before."""
        view, is_new = (
            self.query_one(LogView),
            not self._log_runid and not self.query_one("#main", DocumentView).height,
        )
        self._log_runid = run["runid"]
        view.open_log(open_source(run), live=True)
        if is_new:
            view.focus()

    @on(LogView.Changed)
    def _handle_log_change(self, message: LogView.Changed) -> None:
        self._draw_log_title(message.page)

    @on(LogView.Failed)
    def _handle_log_failure(self, message: LogView.Failed) -> None:
        self.show_message(
            tr("The log cannot be read: {why}", why=message.why), "broken", stays=False
        )

    def _draw_log_title(self, page: LogPage) -> None:
        line = self.query_one("#log-rule", TextLine)
        tail = (
            tr("following")
            if page.following
            else tr("{below:,} new below, G", below=page.below)
            if page.below
            else ""
        )
        focused = self.query_one(LogView).has_focus
        text = self.look.draw_rule(
            line.size.width,
            [(2, tr("Log  {size}", size=format_size_and_lines(page)))],
            tail,
            focused,
        )
        line.show([(text, "title" if focused else "dim")])

    def on_descendant_focus(self) -> None:
        self._draw_log_title(self.query_one(LogView).page)
        self.refresh_chrome()

    @on(DocumentView.Moved)
    def _handle_line_move(self) -> None:
        self.refresh_chrome()

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self):
            self.draw()
            if self.freshness:
                self.reread()

    # Actions

    @on(DocumentView.Opened)
    def _handle_line_open(self, message: DocumentView.Opened) -> None:
        """Open the task, template or attempt of the line, or apply its suggestion."""
        kind, _, what = message.target.partition(":")
        if kind == "task":
            self.deck.open_task(what)
        elif kind == "template":
            self.deck.open_editor("templates", what)
        elif kind == "cure":
            self._apply_suggestion(what)
        elif self._snapshot:
            self.app.push_screen(
                LogScreen(self.client_factory, self._snapshot.task["uuid"], int(what))
            )

    def _apply_suggestion(self, name: str) -> None:
        """Apply a suggestion; ask first if the work of a running task would be lost."""
        offered = (
            self._snapshot.about["why"]["cures"]
            if self._snapshot and self._snapshot.about["why"]
            else ()
        )
        suggestion = next(
            (suggestion for suggestion in offered if suggestion["name"] == name), None
        )
        if suggestion is None:
            self.show_message(tr("The suggestion is no longer available."), "warn")
        elif (
            self.ticks - self._cursor_set_at < RECENT
        ):  # such as a double enter that opened this screen
            self.show_message(
                tr("This line came under the cursor just now. Look, and press again."), "warn"
            )
        elif name == "start":
            self.deck.background.start_runtime()
        elif suggestion["asks"] is not None:
            self.deck.requests.preview_cancel([str(suggestion["asks"])], self._confirm_cancel)
        elif suggestion["verb"].startswith(("queue.", "pool.")):
            self._open_question(
                lambda: _make_suggestion_question(suggestion, self.look),
                lambda _: self._send_suggestion(suggestion),
            )
        else:
            self._send_suggestion(suggestion)

    def _send_suggestion(self, suggestion: Mapping[str, Any]) -> None:
        self._perform(lambda: [why.make_request(suggestion)] if self._get_rows() else [])

    def _confirm_cancel(self, preview: Mapping[str, Any]) -> None:
        if tasks := preview["tasks"]:
            self._ask_cancel([make_task_row(tasks[0], self.board)], preview)

    def action_fit(self) -> None:
        """Set the request of the task to what it used."""
        if known := self._snapshot:
            ended = self._make_context(known).status not in WAITING | ACTIVE
            self._perform(
                lambda: (
                    right_size.right_size_task(known.task, known.about["fit"], ended)
                    if self._get_rows()
                    else []
                )
            )

    def action_fit_template(self) -> None:
        """Set the defaults of the template to what its tasks used, after a question."""
        known = self._snapshot
        if known is None or not known.task["template"]:
            self.show_message(
                tr("M sets the defaults of a template; this task was made from none."), "warn"
            )
        else:
            self.call("template.show", {"name": known.task["template"]}, self._ask_template)

    def _ask_template(self, template: Mapping[str, Any]) -> None:
        if known := self._snapshot:
            fit, past = known.about["fit"], known.about["past"] or {}

            def make() -> Question:
                return right_size.confirm_template(template, fit, past.get("n", 1), self.look)

            self._open_question(
                make, lambda _: self._perform(lambda: right_size.right_size_template(template, fit))
            )

    def action_why(self) -> None:
        """Show the first reason in the message line, and move to the suggestions."""
        if self._snapshot is None:
            return
        facts, doc = self._make_context(self._snapshot), self.query_one("#main", DocumentView)
        if doc.move_to_prefix("cure:"):
            doc.focus()
            self._cursor_set_at = self.ticks
        self.show_message(_summarize(facts), stays=False)


def _make_suggestion_question(suggestion: Mapping[str, Any], look: Look) -> Question:
    """Return the question before a change of a queue or pool, which starts other tasks too."""
    body = [
        [(look.sanitize(str(suggestion["text"])), "bold")],
        [(look.sanitize(str(suggestion["gain"])), "")],
        [],
        [(tr("The change applies to all tasks there; others may start too."), "")],
    ]
    return Question(tr("Do it?"), body, [Answer("y", tr("do it")), Answer("n", tr("no"))], safe="n")


def _summarize(facts: TaskContext) -> str:
    """Return one line about why the task waits, that it runs, or how it ended."""
    state, words = build_headline(facts)
    if facts.status in WAITING:
        reasons = [facts.look.sanitize(reason["text"]) for reason in facts.why.get("reasons") or ()]
        return (
            tr("It waits: {reason}", reason=reasons[0])
            if reasons
            else tr("It starts with the next dispatch round.")
        )
    return (
        tr("Running, attempt {attempt}.", attempt=facts.runs[0]["attempt"])
        if facts.status in ACTIVE
        else f"{state[0].strip()}: {words[0].strip()}"
    )


def _make_waiting_sections(facts: TaskContext) -> Sequence[Section]:
    return [
        why.build_reasons(facts),
        *why.build_suggestions(facts),
        *page_task.build_dependency_sections(facts),
        *_make_attempts(facts),
        *_make_common_sections(facts),
    ]


def _make_running_sections(facts: TaskContext) -> tuple[Sequence[Section], Sequence[Section]]:
    return [*task.build_slurm_section(facts), task.build_use_section(facts)], [
        task.build_attempts(facts),
        *page_task.build_dependency_sections(facts),
        *_make_common_sections(facts),
    ]


def _make_ended_sections(facts: TaskContext) -> Sequence[Section]:
    return [
        task.build_end_section(facts),
        *_make_attempts(facts),
        *page_task.build_dependency_sections(facts),
        *_make_common_sections(facts),
    ]


def _make_attempts(facts: TaskContext) -> Iterable[Section]:
    return [task.build_attempts(facts)] if facts.runs else []


def _make_common_sections(facts: TaskContext) -> Iterable[Section]:
    yield task.build_definition(facts)
    yield from task.build_parameters(facts)
    yield from task.build_slas(facts)
    yield from timeline.build_timeline(facts)
    yield timeline.build_history(facts)
