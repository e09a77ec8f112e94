"""Saving the log that a screen shows: the path is typed, folders completed, a file that is there asked about first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import on, work
from textual.screen import Screen
from textual.worker import get_current_worker

from app.core import amounts
from app.tui import logsave
from app.tui.log import Source
from app.tui.logline import LogLine
from app.tui.look import Look, Span
from app.tui.screens.choice import Answer, ChoiceScreen, Question

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp


class LogSaving(Screen[Any]):
    """What a screen with a `LogLine` does to save a log. The screen gives `log_name` and `log_source`."""

    @property
    def log_name(self) -> str | None:
        """A name for the file; None when there is no log."""
        raise NotImplementedError

    def log_source(self) -> Source:
        """The log's bytes, once more; to be closed by whoever asks."""
        raise NotImplementedError

    @property
    def line(self) -> LogLine:
        """The line that is typed into."""
        return self.query_one(LogLine)

    @property
    def _deck(self) -> TaskdeckApp:
        return cast("TaskdeckApp", self.app)

    @property
    def _look(self) -> Look:
        return self._deck.look

    def action_save(self) -> None:
        """Open the line for the path of a file."""
        if self._deck.read_only:
            self._deck.say("Read only: nothing is written from here; y copies.", "warn")
        elif name := self.log_name:
            self.line.open("save", "Save as: ", name)

    def save(self, typed: str, replace: bool = False) -> None:
        """Save as the file that was typed, as far as the log goes now."""
        if name := self.log_name:
            self._deck.say(f"Saving {self._look.theirs(typed)}")
            write = partial(self._write, self.log_source(), typed, name, replace)
            # Of the app, not of this screen: leaving the log does not end it.
            self.app.run_worker(write, thread=True, group="saving", exit_on_error=False)

    def _write(self, source: Source, typed: str, name: str, replace: bool) -> None:
        worker = get_current_worker()
        try:
            path = logsave.place(typed, name)
            written = logsave.save(source, path, replace=replace, wanted=lambda: not worker.is_cancelled)
            self.app.call_later(self._saved, path, written)
        except FileExistsError as error:
            self.app.call_later(self._ask_to_replace, typed, str(error.filename))
        except logsave.Stopped:
            return
        except (OSError, ValueError, RuntimeError) as error:
            self.app.call_later(self._not_saved, typed, getattr(error, "strerror", None) or str(error))
        finally:
            source.close()

    def _saved(self, path: Path, written: int) -> None:
        self._deck.say(f"Saved as written, {amounts.size(written)}: {self._look.theirs(str(path))}")

    def _not_saved(self, typed: str, why: str) -> None:
        look = self._look
        self._deck.say(f"Not saved, nothing left behind: {look.theirs(why)}: {look.theirs(typed)}", "broken", stays=False)

    def _ask_to_replace(self, typed: str, path: str) -> None:
        name = self._look.cut(self._look.theirs(path), 50, "middle")
        body: list[list[Span]] = [[(name, "bold")], [], [("This file is there already.", "")]]
        answers = [Answer("r", "replace it"), Answer("n", "keep it")]
        self.app.push_screen(
            ChoiceScreen(Question("Save the log", body, answers, safe="n")),
            lambda answer: self.save(typed, replace=True) if answer == "r" else self._deck.say("Not saved.", stays=False),
        )

    @on(LogLine.Completing)
    def _completing(self, message: LogLine.Completing) -> None:
        self._complete(message.text)

    @work(thread=True, group="completing", exit_on_error=False)
    def _complete(self, typed: str) -> None:
        self.call_later(self._completed, typed, *logsave.completed(typed))

    def _completed(self, typed: str, text: str, found: Sequence[str]) -> None:
        self.line.complete(typed, text)
        if len(found) != 1:
            self._deck.say(self._look.theirs("  ".join(found) or "No folder begins so."), stays=False)
