"""The log screen: one attempt's output as it is written, its head, a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from app.core import amounts
from app.tui.doc import wrap
from app.tui.facts import ACTIVE
from app.tui.footer import Hint
from app.tui.form import entry
from app.tui.log import FileSource, Source, TextSource
from app.tui.logpager import Page, size_and_lines
from app.tui.logview import LogView
from app.tui.look import STATES, STRANGE, Span
from app.tui.screens.onetask import OneTask, row_of
from app.tui.screens.page import Line
from app.tui.times import elapsed

if TYPE_CHECKING:
    from app.client import Client

HINTS = [
    Hint("/", "search", "slash", 1), Hint("n N", "next", "n", 5), Hint("f", "follow", "f", 2),
    Hint("w", "wrap", "w", 4), Hint("e", "next error", "e", 3), Hint("y", "copy", "y", 6), Hint("x", "cancel", "x", 7),
    Hint("tab", "attempt", "tab", 8),
]  # fmt: skip
SEARCHING = [Hint("↵", "search", "enter", 0), Hint("esc", "as before", "escape", 0)]


class LogScreen(OneTask, inherit_bindings=False):
    """The log of a task, by number, uuid or name. Follows it to its next attempt."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,fullwidth_solidus", "search", "Search", id="log.search", show=False),
        Binding("n", "next('next')", "Next match", id="log.next", show=False),
        Binding("N", "next('previous')", "Previous match", id="log.previous", show=False),
        Binding("f", "follow", "Follow", id="log.follow", show=False),
        Binding("w", "wrap", "Wrap", id="log.wrap", show=False),
        Binding("e", "error", "Next error", id="log.error", show=False),
        Binding("y", "take(False)", "Copy the match or what is seen", id="log.copy", show=False),
        Binding("Y", "take(True)", "Copy the whole log", id="log.copy-all", show=False),
        Binding("x", "cancel", "Cancel", id="task.cancel", show=False),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo", show=False),
        Binding("q,escape", "leave", "Back", id="page.back", show=False),
        Binding("tab", "attempt(1)", "Other attempt", id="log.attempt", show=False, priority=True),
        Binding("shift+tab", "attempt(-1)", "Other attempt", id="log.attempt-back", show=False, priority=True),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str, attempt: int | None = None) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._attempt = attempt
        """The attempt that was chosen; None for the latest there is."""
        self._answer: Mapping[str, Any] = {}
        self._shown: tuple[str, str] | None = None
        self._from = ""
        """Where the text comes from, when it is not the file."""
        self._note = ""

    def body(self) -> Iterable[Widget]:
        yield Line(id="head")
        yield LogView(id="log")
        yield Line(id="position")
        yield Horizontal(Static("/", markup=False), entry("search"), id="searching")

    def on_mount(self) -> None:
        self.query_one("#searching").display = False
        self.set_focus(self.query_one(LogView))

    def heading(self) -> str:
        found = self._answer
        who = self.look.theirs(f"#{found['number']} {found['name']}" if found else self._ident)
        return self.look.own(f"{who} › log")

    def keys(self) -> list[Hint]:
        if self.query_one("#searching").display:
            return SEARCHING
        return super().keys()

    def hints(self) -> list[Hint]:
        return [hint for hint in HINTS if self._applies(hint.key)]

    def _applies(self, key: str) -> bool:
        page = self.query_one(LogView).page
        return {
            "n": bool(page.searched),
            "f": self._live,
            "slash": self._run is not None,
            "e": self._run is not None,
            "y": self._run is not None,
            "w": self._run is not None,
            "x": self._answer.get("status") not in (None, *_ENDED),
            "tab": len(self._runs) > 1,
        }.get(key, True)

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def _runs(self) -> Sequence[Mapping[str, Any]]:
        """The attempts, first to last."""
        return sorted(self._answer.get("runs") or (), key=lambda run: run["attempt"])

    @property
    def _run(self) -> Mapping[str, Any] | None:
        """The attempt that is shown."""
        chosen = [run for run in self._runs if run["attempt"] == self._attempt]
        return chosen[0] if chosen else self._runs[-1] if self._runs else None

    @property
    def _live(self) -> bool:
        return bool(self._run and self._run["status"] in ACTIVE)

    def reread(self) -> None:
        """Ask which attempts there are, and how they stand."""
        if self._answer.get("status") not in _ENDED or self._live:
            self.call("log", {"id": self._ident, "attempt": "all"}, self._take)

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer
        self.row.item = row_of(answer, self.board)
        self._show_run()
        self._draw_head()
        self.refresh_chrome()

    def _show_run(self) -> None:
        """Open the attempt's log, if another is shown; its end when it has ended."""
        run, view = self._run, self.query_one(LogView)
        if run is None:
            self._shown = None
            self.call("why", {"ids": [self._ident]}, self._say_why)
            return
        source = None
        if self._shown is None or self._shown[0] != run["runid"]:
            source = self._source(run)
            view.open(source, live=self._live)
        self._shown = (run["runid"], run["status"])
        view.live = self._live

    def _source(self, run: Mapping[str, Any]) -> Source:
        """The log's file; what the database holds of it when the file is gone."""
        self._from = ""
        try:
            return FileSource(run["path"])
        except (OSError, TypeError, ValueError):
            stored = run["logs"] or ""
            whole = len(stored.encode("utf-8", "surrogateescape")) >= (run["log_bytes"] or 0)
            self._from = "the file is gone; this is all of it" if whole else "the file is gone; this is its end"
            return TextSource(stored)

    def _say_why(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """In place of a log that does not exist: why the task waits, or why it never ran."""
        if self._run is not None or not answers:
            return
        room = self.app.size.width - 10
        texts = [wrap(self.look.theirs(reason["text"]), room) for reason in answers[0]["reasons"]]
        reasons = [f"  {' ' if m else n} {text}" for n, lines in enumerate(texts, 1) for m, text in enumerate(lines)]
        number = f"#{answers[0]['number']}"
        if answers[0]["status"] in _ENDED:
            said = [f"{number} never ran, so there is no log:", "", *reasons]
        else:
            said = [f"{number} has not started, so there is no log. It waits:", "", *reasons]
            said += ["", "The log begins here when it starts."]
        self.query_one(LogView).say("\n".join(said))

    # -- drawing --------------------------------------------------------------------------------------------------

    @on(LogView.Changed)
    def _page_changed(self) -> None:
        self._draw_head()
        self._draw_position()
        self.refresh_chrome()

    @on(LogView.Failed)
    def _failed(self, message: LogView.Failed) -> None:
        self.say(f"The log cannot be read: {message.why}", "broken")

    @on(LogView.Copied)
    def _copied(self, message: LogView.Copied) -> None:
        self.app.copy_to_clipboard(message.text)
        self.say(f"Copied {message.what}: {amounts.size(len(message.text.encode('utf-8', 'replace')))}.")

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw_position)

    def every_second(self) -> None:
        super().every_second()
        if self.is_current and self._live:
            self._draw_head()

    def _draw_head(self) -> None:
        page, run = self.query_one(LogView).page, self._run
        sign = STATES.get((run or self._answer).get("status", ""), STRANGE)
        of = f" of {len(self._runs)}" if len(self._runs) > 1 else ""
        spans: list[Span] = [(f" attempt {run['attempt']}{of}   " if run else " ", "")]
        spans.append((f"{self.look.glyph(sign)} {sign.word}", sign.style))
        told = [self._time(run), self.look.theirs((run or {}).get("reason") or ""), size_and_lines(page) if run else ""]
        told.append(self._from or (_where(page) if run else ""))
        spans.append(("".join(f"   {text}" for text in told if text), ""))
        self.query_one("#head", Line).show(spans)

    def _time(self, run: Mapping[str, Any] | None) -> str:
        lines = self.board.running if self.board else ()
        line = next((line for line in lines if run and line.runid == run["runid"]), None)
        return elapsed(self.now - line.started_at) if line and line.started_at else ""

    def _draw_position(self) -> None:
        page, line = self.query_one(LogView).page, self.query_one("#position", Line)
        searched = self.look.cut(self.look.theirs(page.searched), line.size.width // 2)
        text = self.look.rule(line.size.width, [(2, searched)] if searched else [], _tail(page))
        line.show([(text, "dim" if not page.below else "bold")])
        if page.note != self._note:
            self._note = page.note
            self.say(page.note)

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Open the search line."""
        if self._run is not None:
            self.query_one("#searching").display = True
            self.set_focus(self.query_one("#search", Input))  # at once: the next key is already the first letter
            self.refresh_chrome()

    @on(Input.Submitted, "#search")
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_search()
        self.query_one(LogView).search(event.value)

    def _close_search(self) -> None:
        self.query_one("#searching").display = False
        self.set_focus(self.query_one(LogView))
        self.refresh_chrome()

    def action_leave(self) -> None:
        """Close the search line, or go back."""
        if self.query_one("#searching").display:
            self._close_search()
        else:
            self.dismiss(None)

    def action_next(self, way: str) -> None:
        """To the next match, or the previous one."""
        self.query_one(LogView).next_match("next" if way == "next" else "previous")

    def action_follow(self) -> None:
        """Follow the end, or stay."""
        view = self.query_one(LogView)
        view.follow(not view.page.following)

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.query_one(LogView).wrap()

    def action_error(self) -> None:
        """To the next line that looks like an error."""
        self.query_one(LogView).next_error()

    def action_take(self, everything: bool) -> None:
        """Copy the match or what is seen; or everything."""
        self.query_one(LogView).copy(everything)

    def action_attempt(self, step: int) -> None:
        """Another attempt; the latest is followed to the next one."""
        runs = self._runs
        if len(runs) < 2:
            self.say("There is only one attempt.")
            return
        at = next(n for n, run in enumerate(runs) if run is self._run)
        chosen = (at - step) % len(runs)
        self._attempt = None if chosen == len(runs) - 1 else runs[chosen]["attempt"]
        self._show_run()
        self._draw_head()


_ENDED = ("succeeded", "failed", "timed_out", "cancelled", "lost")


def _where(page: Page) -> str:
    if page.following:
        return "at the end, following"
    return "at the end" if page.at_end else "wrapped" if page.wrapping else ""


def _tail(page: Page) -> str:
    """The right end of the rule below the log: matches, new lines, or the place."""
    if page.searched:
        if page.progress < 100:
            return f"{page.matches:,} so far, {page.progress}% searched"
        place = f"match {page.match:,} of {page.matches:,}" if page.match else f"{page.matches:,} matches"
        return f"{place}, case ignored"
    if page.below:
        return f"{page.below:,} new line{'' if page.below == 1 else 's'} below, f"
    column = f"column {page.column + 1}, " if page.column else ""
    return column + (f"line {page.line:,} of {page.lines:,}" if page.line and page.lines else "")
