"""While-you-were-away summary: what happened since the last visit. Any key closes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from app.core.text import units
from app.core.text.sanitize import pad
from app.core.text.status_glyphs import FAILED_STATES
from app.translation import tr
from app.tui.actions.question import Answer, Question
from app.tui.error_boundary import SafeScreen
from app.tui.screens.dialogs.choice import Box, find_answer, find_box_width, make_box_lines
from app.tui.style import ALERTS, STATES, UNKNOWN, Look, Span
from app.tui.time_format import format_age_ago, format_wall_time
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import DismissOnClickOutside

_COUNTED = ("succeeded", "failed", "timed_out", "lost", "cancelled")
FRAME_LINES = 6
"""Lines taken by the frame, the answers and the margins."""
NAVIGATION_KEYS = (*"0123456789", "O", "B", "question_mark", "colon")
"""Keys that only navigate."""


def has_news(found: Mapping[str, Any]) -> bool:
    """Return True if alerts were raised or tasks ended."""
    return bool(found["alerts"]) or any(found["ended"].get(status) for status in _COUNTED)


def make_question(found: Mapping[str, Any], now: float, look: Look, most: int) -> Question:
    """Return the summary as a question with at most `most` lines above the answers."""
    since = found["since"]
    body: list[list[Span]] = [
        [
            (
                (
                    tr(
                        "You last looked {age} ({time}). Since then:",
                        age=format_age_ago(since, now),
                        time=format_wall_time(since, now),
                    )
                ),
                "",
            )
        ],
        [],
    ]
    body += [
        _format_count(status, found["ended"][status], look)
        for status in _COUNTED
        if found["ended"].get(status)
    ]
    if found["bad"]:
        body += [[], *(_format_failure(task, now, look) for task in found["bad"])]
        more = sum(found["ended"].get(status, 0) for status in FAILED_STATES) - len(found["bad"])
        body += (
            [[(look.adapt_text(tr("… and {more} more", more=units.format_count(more))), "dim")]]
            if more > 0
            else []
        )
    if found["alerts"]:
        body += [[], *(_format_alert(alert, look) for alert in found["alerts"])]
    if len(body) > most:
        body = [
            *body[: most - 1],
            [(look.adapt_text(tr("… {more} more lines", more=len(body) - most + 1)), "dim")],
        ]
    answers = [Answer("↵", tr("continue"))]
    answers += [Answer("f", tr("show what failed"))] if found["bad"] else []
    return Question(tr("While you were away"), body, answers, safe="↵")


def _format_count(status: str, n: int, look: Look) -> list[Span]:
    sign = STATES[status]
    return [
        (f"{units.format_count(n):>7}  ", "bold"),
        (look.glyph(sign), sign.style),
        ("" if look.plain else f" {sign.word}", ""),
    ]


def _format_failure(task: Mapping[str, Any], now: float, look: Look) -> list[Span]:
    sign = STATES.get(task["status"], UNKNOWN)
    name = pad(look.cut(look.sanitize(task["name"]), 22, "middle"), 22)
    when = format_age_ago(datetime.fromisoformat(task["ended_at"]).timestamp(), now)
    reason = look.cut(look.sanitize(task["reason"] or sign.word), 26)
    return [
        (look.glyph(sign), sign.style),
        (f" {task['number']} {name} {pad(when, 9, '>')}  {reason}", ""),
    ]


def _format_alert(alert: Mapping[str, Any], look: Look) -> list[Span]:
    sign = ALERTS.get(alert["status"], UNKNOWN)
    about = look.cut(look.sanitize(alert["object"]), 34, "middle")
    return [
        (look.glyph(sign), sign.style),
        (tr(" {sla} on {about}", sla=look.cut(look.sanitize(alert["sla"]), 20), about=about), ""),
    ]


class WhileAwayScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """Summary of events since the last visit.

    Dismisses with "f" to show failures, with a navigation key for the screen below, or None.
    """

    BOX = "#box"
    DEFAULT_CSS = "WhileAwayScreen { align: center middle; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,escape,q,space", "leave", "Continue", id="away.leave"),
        Binding("f", "failed", "Show what failed", id="away.failed"),
    ]

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__()
        self._found = found

    def list_box_keys(self) -> Sequence[KeyHint]:
        failed = [KeyHint("f", "what failed", "f", 1)] if self._found["bad"] else []
        return [KeyHint("↵", "continue", "enter", 0), *failed]

    def compose(self) -> ComposeResult:
        yield Box(id="box")

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        box = self.query_one(Box)
        cells = find_box_width(self.app.size.width)
        box.show(make_box_lines(self._make_question(box.look), 0, cells, box.look), cells)

    def _make_question(self, look: Look) -> Question:
        return make_question(self._found, self.deck.now(), look, self.app.size.height - FRAME_LINES)

    def on_key(self, event: events.Key) -> None:
        """Close on any other key, and pass on a navigation key.

        Action keys are dropped: they were typed before this dialog opened by itself.
        """
        if event.key not in ("enter", "escape", "q", "space", "f"):
            event.stop()
            self.dismiss(event.key if event.key in NAVIGATION_KEYS else None)

    @on(events.Click)
    def _handle_click(self, event: events.Click) -> None:
        """Choose the clicked answer; a click elsewhere in the box continues."""
        box = self.query_one(Box)
        if place := box.find_cell(event):
            answer = find_answer(
                self._make_question(box.look), 0, place.y, place.x, box.size.width, box.look
            )
            self.dismiss("f" if answer is not None and answer.key == "f" else None)

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_failed(self) -> None:
        self.dismiss("f" if self._found["bad"] else None)
