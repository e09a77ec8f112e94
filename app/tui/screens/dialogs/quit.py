"""Quit dialog for a runtime inside the deck: continue in the background, or stop the queue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from app.core.board import Board
from app.core.text.joining import join_sentences
from app.translation import tr, tr_n
from app.tui.actions.question import CONFIRM_DELAY, Answer, Question
from app.tui.message_fit import wrap_message
from app.tui.screens.dialogs.choice import Box, ChoiceScreen, find_box_width, make_box_lines
from app.tui.style import Look, Span
from app.tui.widgets.footer import KeyHint

CELLS = 66
BACKGROUND, NO_RUNTIME = "b", "o"
STAY = KeyHint("esc", "stay", "escape", 0)


class QuitScreen(ChoiceScreen):
    """Question about the runtime on quitting.

    Dismisses with `b` (start a background runtime), `o` (start none), or None to stay.
    """

    FITS_ANYWHERE: ClassVar[bool] = True

    def __init__(self, board: Board) -> None:
        super().__init__(make_quit_question(board))

    def list_box_keys(self) -> Sequence[KeyHint]:
        take, mark, _ = super().list_box_keys()
        return take, mark, STAY  # in this dialog esc stays in the deck

    def _draw(self) -> None:
        box = self.query_one(Box)
        cells = find_box_width(self.app.size.width, CELLS)
        lines = make_box_lines(
            self.question._replace(
                body=self._make_rows(box.look, cells - 4), answers=(), column=True
            ),
            0,
            cells,
            box.look,
        )
        # drop the blank line above the answers, which are in the body here
        box.show([*lines[:-2], lines[-1]], cells)

    def _make_rows(self, look: Look, cells: int) -> list[list[Span]]:
        """Return the question, the answers and the keys, wrapped to `cells`."""
        hint: list[Span] = [("", ""), (tr("↵ chooses the marked line    esc stay"), "dim")]
        rows = [*self._make_question_lines(), *self._make_answers(), *hint]
        return [
            [(look.adapt_text(line), style)]
            for text, style in rows
            for line in wrap_message(text, cells) or [""]
        ]

    def _make_question_lines(self) -> list[Span]:
        """Return the lines above the answers."""
        return [*chain(*self.question.body), ("", "")]

    def _find_answer(self, y: int, x: int, box: Box) -> Answer | None:
        line = 1 + sum(
            len(wrap_message(text, box.size.width - 4) or [""])
            for text, _ in self._make_question_lines()
        )
        for answer, (text, _) in zip(self.question.answers, self._make_answers(), strict=True):
            below = line + len(wrap_message(text, box.size.width - 4))
            if line <= y < below:
                return answer
            line = below
        return None

    def _make_answers(self) -> list[Span]:
        return [
            (
                f"{'›' if n == self._marked else ' '} {answer.key}  {answer.label}",
                "cursor" if n == self._marked else "",
            )
            for n, answer in enumerate(self.question.answers)
        ]

    def _choose(self, key: str) -> None:
        """Choose an answer; the safe one leaves the deck as well.

        Ignore letters typed ahead.
        """
        if self.deck.ticks() - self._opened_at >= CONFIRM_DELAY:
            self.dismiss(key)


def make_quit_question(board: Board) -> Question:
    """Return the question, with the counts of a board."""
    body: Sequence[Sequence[Span]] = [
        [(tr("The runtime runs in this deck (--in-process)."), "")],
        [(_format_work(len(board.running), board.waiting_total), "")],
    ]
    answers = [
        Answer(BACKGROUND, tr("Leave a runtime in the background: the queue continues")),
        Answer(NO_RUNTIME, tr("Leave; waiting tasks do not start")),
    ]
    return Question(tr("Leave Taskdeck"), body, answers, safe=BACKGROUND, column=True)


def _format_work(running: int, waiting: int) -> str:
    runs = (
        tr_n(running, "The job continues to its end.", "The {n:,} jobs continue to their end.")
        if running
        else tr("No job runs.")
    )
    waits = (
        tr_n(waiting, "One task waits for a runtime.", "{n:,} tasks wait for a runtime.")
        if waiting
        else tr("No task waits.")
    )
    return join_sentences(runs, waits)
