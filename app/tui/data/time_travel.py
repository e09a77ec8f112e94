"""The deck in the past: which minute it shows, and the board as of then. One question is under way at a time, for the last minute
that was asked for; meanwhile the board before it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from app.core.board import Board
from app.core.text import units
from app.tui.time_format import format_wall_time

READ_ONLY_MESSAGE = "This is the past: 0 returns to now."
"""What every verb says there."""
MINUTE = 60.0

ReplyHandler = Callable[[Any, Exception | None], None]


class TimeTravel:
    """Which minute the deck shows. `ask(args, then)` asks the verb `board.at` and calls `then(answer, error)` in the app's thread;
    `show()` draws the deck anew; `say(text)` puts a text, not cleaned yet, into the message line; `now()` is the app's real clock.
    """

    def __init__(
        self,
        ask: Callable[[dict[str, Any], ReplyHandler], None],
        show: Callable[[], None],
        say: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._ask, self._show, self._say, self._now = ask, show, say, now
        self.board: Board | None = None
        """The board as of then; None while the deck is live."""
        self.notes: Sequence[str] = ()
        """What could not be known of it, not cleaned."""
        self._wanted: float | None = None
        self._asking = False
        self._answer: dict[str, Any] = {}

    @property
    def is_active(self) -> bool:
        """Whether the deck shows the past, or is on its way there."""
        return self._wanted is not None

    @property
    def shown_at(self) -> float | None:
        """The moment that is shown, UNIX seconds: ages on the deck count to it. None while the deck is live."""
        return self.board.at if self.board else None

    @property
    def label(self) -> str:
        """`AS OF 10:31 (−11m)`, for the header; "" while the deck is live."""
        if self._wanted is None:
            return ""
        return f"AS OF {format_wall_time(self._wanted, self._now())} (−{units.format_age(self._now() - self._wanted)})"

    def step(self, minutes: int) -> None:
        """So many minutes on, or back; beyond the last one the deck is live again. Out of a time without samples a step leads to the
        next minute that has one."""
        if self._wanted is None and minutes > 0:
            self._say("This is now.")
            return
        if not self._asking and self._answer.get("up") is False:
            edge = self._answer["before" if minutes < 0 else "after"]
            self._go_to(edge, back=minutes < 0)
        else:
            self._go_to((self._now() if self._wanted is None else self._wanted) + minutes * MINUTE, back=minutes < 0)

    def go_to(self, at: float) -> None:
        """To the minute of this moment, UNIX seconds."""
        self._go_to(at, back=True)

    def return_to_live(self) -> bool:
        """Back to now; False when the deck was there already."""
        was, self._wanted, self.board, self.notes, self._answer = self.is_active, None, None, (), {}
        if was:
            self._show()
        return was

    def _go_to(self, at: float | None, back: bool) -> None:
        last = self._answer.get("last")
        if not back and (at is None or at > (self._now() - MINUTE if last is None else max(last, self._now() - 2 * MINUTE))):
            self.return_to_live()
            self._say("This is now.")
        elif at is None or at < (self._answer.get("first") or 0):
            self._say("There is nothing before.")
        else:
            self._wanted = at - at % MINUTE
            self._show()
            self._request_board()

    def _request_board(self) -> None:
        if self._asking or self._wanted is None:
            return
        self._asking, wanted = True, self._wanted
        self._ask({"at": datetime.fromtimestamp(wanted, UTC).isoformat()}, lambda answer, error: self._take_reply(wanted, answer, error))

    def _take_reply(self, asked: float, answer: Any, error: Exception | None) -> None:
        self._asking = False
        if self._wanted is None:
            return
        if error is not None:
            self._report_failure(str(error))
        elif answer["board"] is None:
            self._report_failure("There is no past yet: the first minute is written down a minute after a runtime came up.")
        elif self._wanted != asked:
            self._request_board()
        else:
            self._answer = {key: answer[key] for key in ("up", "first", "last", "before", "after")}
            self._wanted, self.board, self.notes = answer["at"], Board.from_dict(answer["board"]), answer["notes"]
            if asked < answer["at"] == answer["first"]:
                self._say(f"There is nothing before {format_wall_time(answer['at'], self._now())}, the first minute that was written down.")
            self._show()

    def _report_failure(self, why: str) -> None:
        """Stay where one was: at the minute that is shown, or now."""
        self._wanted = None if self.board is None else self.board.at - self.board.at % MINUTE
        self._show()
        self._say(why)
