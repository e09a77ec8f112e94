"""Log screen: the output of one attempt, with a line to search, to save or to type input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import get_current_worker

from app.core.board import EndedEntry
from app.core.text import units
from app.core.times import to_unix_or_none
from app.translation import tr, tr_n, tr_noop
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import Request
from app.tui.deck_app import DeckNode
from app.tui.logviewer import save
from app.tui.logviewer.pager import LogPage, format_size_and_lines
from app.tui.logviewer.prompt import LogPrompt, PromptKind
from app.tui.logviewer.save import suggest_name
from app.tui.logviewer.source import FileSource, LogSource, TextSource
from app.tui.logviewer.widget import LogView
from app.tui.screens.base_page import TextLine
from app.tui.screens.base_task import SingleTaskScreen, make_task_row
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.style import STATES, UNKNOWN, Span
from app.tui.time_format import format_elapsed
from app.tui.widgets.document import wrap_text
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import is_visible_under_modal
from db.states import ACTIVE, ENDED


class LogSaver(DeckNode, Screen[Any]):
    """Base of a screen with a log prompt that saves a log.

    The screen provides `log_name` and `open_log_source`.
    """

    @property
    def log_name(self) -> str | None:
        """Suggested file name, or None if there is no log."""
        raise NotImplementedError

    def open_log_source(self) -> LogSource:
        """Return a new source of the log, which the caller closes."""
        raise NotImplementedError

    @property
    def prompt(self) -> LogPrompt:
        return self.query_one(LogPrompt)

    def action_save(self) -> None:
        if self.deck.read_only:
            self.deck.show_message(tr("Read only: this deck writes nothing; y copies."), "warn")
        elif name := self.log_name:
            self.prompt.open("save", tr("Save as: "), name)

    def save(self, typed: str, replace: bool = False) -> None:
        """Save the log, as far as it goes now, to the typed path."""
        if name := self.log_name:
            self.deck.show_message(tr("Saving {typed}", typed=self.look.sanitize(typed)))
            write = partial(self._write_file, self.open_log_source(), typed, name, replace)
            # A worker of the app, not of this screen: leaving the log does not end it.
            self.app.run_worker(write, thread=True, group="saving", exit_on_error=False)

    def _write_file(self, source: LogSource, typed: str, name: str, replace: bool) -> None:
        worker = get_current_worker()
        try:
            path = save.resolve_path(typed, name)
            written = save.save_log(
                source, path, replace=replace, wanted=lambda: not worker.is_cancelled
            )
            self.app.call_later(self._report_saved, path, written)
        except FileExistsError as error:
            self.app.call_later(self._ask_to_replace, typed, str(error.filename))
        except save.SaveCancelledError:
            return
        except (OSError, ValueError, RuntimeError) as error:
            self.app.call_later(
                self._report_failure, typed, getattr(error, "strerror", None) or str(error)
            )
        finally:
            source.close()

    def _report_saved(self, path: Path, written: int) -> None:
        self.deck.show_message(
            tr(
                "Saved as written, {bytes}: {path}",
                bytes=units.format_bytes(written),
                path=self.look.sanitize(str(path)),
            )
        )

    def _report_failure(self, typed: str, why: str) -> None:
        look = self.look
        self.deck.show_message(
            tr("Not saved: {why}: {typed}", why=look.sanitize(why), typed=look.sanitize(typed)),
            "broken",
            stays=False,
        )

    def _ask_to_replace(self, typed: str, path: str) -> None:
        name = self.look.cut(self.look.sanitize(path), 50, "middle")
        body: list[list[Span]] = [[(name, "bold")], [], [(tr("This file exists already."), "")]]
        answers = [Answer("r", tr("replace it")), Answer("n", tr("no"))]
        self.app.push_screen(
            ChoiceScreen(Question(tr("Save the log"), body, answers, safe="n")),
            lambda answer: (
                self.save(typed, replace=True)
                if answer == "r"
                else self.deck.show_message(tr("Not saved."), stays=False)
            ),
        )

    @on(LogPrompt.Completing)
    def _handle_completing(self, message: LogPrompt.Completing) -> None:
        self._find_completions(message.text)

    @work(thread=True, group="completing", exit_on_error=False)
    def _find_completions(self, typed: str) -> None:
        self.call_later(self._apply_completion, typed, *save.complete_path(typed))

    def _apply_completion(self, typed: str, text: str, found: Sequence[str]) -> None:
        self.prompt.apply_completion(typed, text)
        if len(found) != 1:
            self.deck.show_message(
                self.look.sanitize("  ".join(found) or tr("No folder matches.")), stays=False
            )


if TYPE_CHECKING:
    from app.client import Client

HINTS = [
    KeyHint("/", "search", "slash", 1), KeyHint("n N", "next", "n", 5),
    KeyHint("f", "follow", "f", 2), KeyHint("i", "type input", "i", 0),
    KeyHint("w", "wrap", "w", 4), KeyHint("e", "next error", "e", 3), KeyHint("y", "copy", "y", 6),
    KeyHint("x", "cancel", "x", 7),
    KeyHint("s", "save", "s", 9), KeyHint("tab", "attempt", "tab", 8),
]  # fmt: skip
AS_BEFORE = KeyHint("esc", "close", "escape", 0)
SEARCHING = [KeyHint("↵", "search", "enter", 0), KeyHint("↑", "earlier", "up", 1), AS_BEFORE]
SENDING = [KeyHint("↵", "send the line", "enter", 0), *SEARCHING[1:]]
SAVING = [
    KeyHint("↵", "save as written", "enter", 0),
    KeyHint("tab", "complete a folder", "tab", 1),
    AS_BEFORE,
]


class LogScreen(SingleTaskScreen, LogSaver, inherit_bindings=False):
    """Log of a task, given by number, uuid or name.

    The screen follows the task to its next attempt.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,fullwidth_solidus", "search", "Search", id="log.search", show=False),
        Binding("s", "save", "Save as a file", id="log.save", show=False),
        Binding("n", "next('next')", "Next match", id="log.next", show=False),
        Binding("N", "next('previous')", "Previous match", id="log.previous", show=False),
        Binding("f", "follow", "Follow", id="log.follow", show=False),
        Binding("i", "input", "Type input of the task", id="log.input", show=False),
        Binding("w", "wrap", "Wrap", id="log.wrap", show=False),
        Binding("e", "error", "Next error", id="log.error", show=False),
        Binding("y", "take(False)", "Copy the match or what is seen", id="log.copy", show=False),
        Binding("Y", "take(True)", "Copy the whole log", id="log.copy-all", show=False),
        Binding("x", "cancel", "Cancel", id="task.cancel", show=False),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo", show=False),
        Binding("q", "leave", "Back", id="page.back", show=False),
        Binding("escape", "end_search", "End the search, then back", id="log.clear", show=False),
        Binding("tab", "attempt(1)", "Other attempt", id="log.attempt", show=False),
        Binding("shift+tab", "attempt(-1)", "Other attempt", id="log.attempt-back", show=False),
    ]

    def __init__(
        self, client_factory: Callable[[], Client], ident: str, attempt: int | None = None
    ) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._attempt = attempt
        """Chosen attempt, or None for the latest."""
        self._answer: Mapping[str, Any] = {}
        self._shown: tuple[str, str] | None = None
        self._origin_note = ""
        """Origin of the text, if it is not the log file."""
        self._notes = 0
        self._shown_note: Span | None = None
        """Note of the log in the message line, until it is cleared."""
        self._had_search = False
        self._pending_search = ""
        """Text to search for once there is a log."""

    def compose_body(self) -> Iterable[Widget]:
        yield TextLine(id="head")
        yield LogView(id="log")
        yield TextLine(id="position")
        yield LogPrompt(self._handle_line)

    def on_mount(self) -> None:
        self.query_one(LogView).before_draw = self._handle_page_change
        self.set_focus(self.query_one(LogView))

    def make_heading(self) -> str:
        found = self._answer
        who = self.look.sanitize(f"#{found['number']} {found['name']}" if found else self._ident)
        return self.look.adapt_text(f"{who} › {tr('log')}")

    def list_keys(self) -> list[KeyHint]:
        if self.prompt.is_open:
            return {"search": SEARCHING, "save": SAVING, "input": SENDING}[self.prompt.kind]
        return super().list_keys()

    def list_hints(self) -> list[KeyHint]:
        return [hint for hint in HINTS if self._is_applicable(hint.key)]

    def _is_applicable(self, key: str) -> bool:
        page = self.query_one(LogView).page
        return {
            "n": bool(page.search_text),
            "f": self._is_live,
            "i": self._is_live and bool(self._answer.get("stdin")),
            "slash": self._run is not None,
            "e": self._run is not None,
            "y": self._run is not None,
            "s": self._run is not None,
            "w": self._run is not None,
            "x": self._answer.get("status") not in (None, *ENDED),
            "tab": len(self._runs) > 1,
        }.get(key, True)

    # Reading

    @property
    def _runs(self) -> Sequence[Mapping[str, Any]]:
        """Attempts, first to last."""
        return sorted(self._answer.get("runs") or (), key=lambda run: run["attempt"])

    @property
    def _run(self) -> Mapping[str, Any] | None:
        """Attempt shown."""
        chosen = [run for run in self._runs if run["attempt"] == self._attempt]
        return chosen[0] if chosen else self._runs[-1] if self._runs else None

    @property
    def log_name(self) -> str | None:
        run = self._run
        return (
            suggest_name(self._answer["number"], self._answer["name"], run["attempt"])
            if run
            else None
        )

    def open_log_source(self) -> LogSource:
        return self._open_source(self._run) if self._run else TextSource("")

    @property
    def _is_live(self) -> bool:
        return bool(self._run and self._run["status"] in ACTIVE)

    def reread(self) -> None:
        """Read the attempts and their states."""
        if self._answer.get("status") not in ENDED or self._is_live:
            self.call("log", {"id": self._ident, "attempt": "all"}, self._apply_answer)

    def _apply_answer(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer
        self.row.item = row = make_task_row(answer, self.board)
        if isinstance(row, EndedEntry):
            self.mark_viewed(
                row._replace(
                    ended_at=max(
                        (to_unix_or_none(run.get("end_time")) or 0.0 for run in self._runs),
                        default=0.0,
                    )
                    or self.now
                )
            )
        self._show_run()
        self._draw_head()
        self.refresh_chrome()

    def _show_run(self) -> None:
        """Open the log of the attempt unless it is open; without an attempt, say why."""
        run, view = self._run, self.query_one(LogView)
        if run is None:
            self._shown = None
            self.call("why", {"ids": [self._ident]}, self._show_reasons)
            return
        source = None
        if self._shown is None or self._shown[0] != run["runid"]:
            source = self._open_source(run)
            view.open_log(source, live=self._is_live)
            self._start_search()
        self._shown = (run["runid"], run["status"])
        view.live = self._is_live

    def _open_source(self, run: Mapping[str, Any]) -> LogSource:
        """Return the log file, or what the database stores of it if the file is gone."""
        self._origin_note = ""
        try:
            return FileSource(run["path"])
        except (OSError, TypeError, ValueError) as error:
            stored = run["logs"] or ""
            whole = len(stored.encode("utf-8", "surrogateescape")) >= (run["log_bytes"] or 0)
            self._origin_note = tr(
                "{fault}; the whole log is shown"
                if whole
                else "{fault}; the end of the log is shown",
                fault=_format_read_error(error),
            )
            return TextSource(stored)

    def _show_reasons(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Show why the task waits or never ran, in place of its log."""
        if self._run is not None or not answers:
            return
        room = self.app.size.width - 10
        texts = [
            wrap_text(self.look.sanitize(reason["text"]), room) for reason in answers[0]["reasons"]
        ]
        reasons = [
            f"  {' ' if m else n} {text}"
            for n, lines in enumerate(texts, 1)
            for m, text in enumerate(lines)
        ]
        number = f"#{answers[0]['number']}"
        if answers[0]["status"] in ENDED:
            said = [tr("{number} never ran, so there is no log:", number=number), "", *reasons]
        else:
            said = [
                tr("{number} has not started, so there is no log. It waits:", number=number),
                "",
                *reasons,
            ]
            said += ["", tr("The log begins here when it starts.")]
        self.query_one(LogView).show_text("\n".join(said))

    # Drawing

    def _handle_page_change(self, page: LogPage) -> None:
        self._draw_head()
        self._draw_position()
        if bool(page.search_text) != self._had_search:
            self._had_search = not self._had_search
            self.refresh_chrome()

    @on(LogView.Failed)
    def _handle_log_failure(self, message: LogView.Failed) -> None:
        self.show_message(
            tr("The log cannot be read: {why}", why=message.why), "broken", stays=False
        )

    @on(LogView.Copied)
    def _handle_copy(self, message: LogView.Copied) -> None:
        self.app.copy_to_clipboard(message.text)
        more = tr("; s saves all of it") if message.what == tr("the end of the log") else ""
        allowed = (
            tr("tmux has set-clipboard on")
            if "TMUX" in os.environ
            else tr("the terminal allows it")
        )
        self.show_message(
            tr(
                "Copied {what}, {bytes}, if {allowed}{more}.",
                what=message.what,
                bytes=units.format_bytes(len(message.text.encode())),
                allowed=allowed,
                more=more,
            )
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw_position)

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self) and self._is_live:
            self._draw_head()

    def _draw_head(self) -> None:
        page, run = self.query_one(LogView).page, self._run
        sign = STATES.get((run or self._answer).get("status", ""), UNKNOWN)
        of = tr(" of {count}", count=len(self._runs)) if len(self._runs) > 1 else ""
        spans: list[Span] = [
            (tr(" attempt {attempt}{of}   ", attempt=run["attempt"], of=of) if run else " ", "")
        ]
        spans.append((self.look.state(sign), sign.style))
        parts = [
            self._format_elapsed(run),
            self.look.sanitize((run or {}).get("reason") or ""),
            format_size_and_lines(page) if run else "",
        ]
        parts.append(self._origin_note or (_format_position(page) if run else ""))
        spans.append(("".join(f"   {text}" for text in parts if text), ""))
        self.query_one("#head", TextLine).show(spans)

    def _format_elapsed(self, run: Mapping[str, Any] | None) -> str:
        lines = self.board.running if self.board else ()
        line = next((line for line in lines if run and line.runid == run["runid"]), None)
        return format_elapsed(self.now - line.started_at) if line and line.started_at else ""

    def _draw_position(self) -> None:
        page, line = self.query_one(LogView).page, self.query_one("#position", TextLine)
        searched = self.look.cut(self.look.sanitize(page.search_text), line.size.width // 2)
        text = self.look.draw_rule(
            line.size.width, [(2, searched)] if searched else [], _format_tail(page)
        )
        line.show([(text, "dim" if not page.below else "bold")])
        if page.note and page.notes != self._notes:
            self.show_message(page.note, stays=False)
            self._shown_note = self.deck.get_message()
        elif not page.note:
            self._clear_note()
        self._notes = page.notes

    def _clear_note(self) -> None:
        """Clear the note about the previous key."""
        self.deck.retract_message(self._shown_note)
        self._shown_note = None

    # Actions

    def _report_missing_log(self) -> bool:
        """Return True and say so if there is no log for a key to act on."""
        if self._run is not None or not self._answer:
            return False
        text = (
            tr_noop("#{number} never ran, so it has no log.")
            if self._answer["status"] in ENDED
            else tr_noop("#{number} has not started, so it has no log yet.")
        )
        self.show_message(tr(text, number=self._answer["number"]), stays=False)
        return True

    def action_search(self) -> None:
        """Open the search line.

        The line opens without a log too, so that the next letters are not taken for actions.
        """
        self._clear_note()
        self.prompt.open("search", "/")
        self.refresh_chrome()

    def action_save(self) -> None:
        if self._report_missing_log():
            return
        self._clear_note()
        super().action_save()
        self.refresh_chrome()

    def action_input(self) -> None:
        """Open the line whose texts go to the input of the task."""
        if self._report_missing_log() or self.deck.refuse_changes():
            return
        number = self._answer.get("number")
        if not self._answer.get("stdin"):
            self.show_message(
                tr("#{number} was submitted without --stdin.", number=number), "warn", stays=False
            )
        elif not self._is_live:
            self.show_message(tr("#{number} does not run now.", number=number), "warn", stays=False)
        else:
            self._clear_note()
            self.query_one(LogView).follow(True)
            self.prompt.open("input", tr("Input: "))
            self.refresh_chrome()

    def _send_input(self, text: str | None) -> None:
        """Send a line and take the next one; None is the end."""
        if text is None:
            return
        args = {"id": self._answer["number"], "text": f"{text}\n", "whole": True}
        self.deck.requests.send([Request("send", args, tr("Sent"))])
        self.prompt.open("input", tr("Input: "))
        self.refresh_chrome()

    def action_leave(self) -> None:
        """Close the input line, else the screen."""
        if self.prompt.is_open:
            self.prompt.close()
        else:
            self.dismiss(None)

    def action_end_search(self) -> None:
        """End the search, else leave."""
        view = self.query_one(LogView)
        if view.page.search_text and not self.prompt.is_open:
            view.start_search("")
        else:
            self.action_leave()

    def _handle_line(self, kind: PromptKind, text: str | None) -> None:
        self.refresh_chrome()
        if kind == "search" and text is not None:
            self._pending_search = text
            self._start_search()
            if text:
                self._report_missing_log()
        elif kind == "input":
            self._send_input(text)
        elif text and text.strip():
            self.save(text.strip())

    def _start_search(self) -> None:
        """Search for the entered text, once the log is open."""
        view = self.query_one(LogView)
        if view.is_open:
            view.start_search(self._pending_search)
            self._pending_search = ""

    @on(events.Click, "#position")
    def _handle_position_click(self) -> None:
        """Follow the log on a click on `1,204 new lines below, f`."""
        if self._is_live:
            self.action_follow()

    def action_next(self, way: str) -> None:
        if not self._report_missing_log():
            self.query_one(LogView).go_to_match("next" if way == "next" else "previous")

    def action_follow(self) -> None:
        view = self.query_one(LogView)
        if not self._report_missing_log():
            view.follow(not view.page.following)

    def action_wrap(self) -> None:
        if not self._report_missing_log():
            self.query_one(LogView).toggle_wrap()

    def action_error(self) -> None:
        if not self._report_missing_log():
            self.query_one(LogView).go_to_error()

    def action_take(self, everything: bool) -> None:
        if not self._report_missing_log():
            self.query_one(LogView).copy(everything)

    def action_attempt(self, step: int) -> None:
        """Show another attempt; on the latest, follow to the next one."""
        runs = self._runs
        if self._report_missing_log():
            return
        if len(runs) < 2:
            self.show_message(tr("There is only one attempt."), stays=False)
            return
        at = next(n for n, run in enumerate(runs) if run is self._run)
        chosen = (at - step) % len(runs)
        self._attempt = None if chosen == len(runs) - 1 else runs[chosen]["attempt"]
        self._show_run()
        self._draw_head()


def _format_read_error(error: Exception) -> str:
    """Return why the log file cannot be shown."""
    if isinstance(error, FileNotFoundError):
        return tr("the file is gone")
    return tr(
        "the file cannot be read ({why})",
        why=(error.strerror if isinstance(error, OSError) else "") or tr("no path"),
    ).lower()


def _format_position(page: LogPage) -> str:
    if page.following:
        return tr("at the end, following")
    return tr("at the end") if page.at_end else tr("wrapped") if page.wrapping else ""


def _format_tail(page: LogPage) -> str:
    """Return the right end of the rule below the log: matches, new lines, or the position."""
    if page.search_text:
        if page.progress < 100:
            return tr(
                "{matches:,} so far, {progress}% searched",
                matches=page.matches,
                progress=page.progress,
            )
        place = (
            tr("match {match:,} of {matches:,}", match=page.match, matches=page.matches)
            if page.match
            else tr_n(page.matches, "{n:,} match", "{n:,} matches")
        )
        return tr("{place}, case ignored", place=place)
    if page.below:
        return tr_n(page.below, "{n:,} new line below, f", "{n:,} new lines below, f")
    column = tr("column {column}", column=page.column + 1) if page.column else ""
    line = (
        tr("line {line:,} of {lines:,}", line=page.line, lines=page.lines)
        if page.line and page.lines
        else ""
    )
    return ", ".join(filter(None, (column, line)))
