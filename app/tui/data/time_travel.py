"""Time travel: the minute shown by the deck and its board.

One request at a time is pending, for the last requested minute; meanwhile the previous board stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from app.core.board import Board
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.time_format import format_wall_time

READ_ONLY_MESSAGE = tr_noop("Viewing history (read-only). Press 0 to return to live.")
"""Message of every command in history mode."""
MINUTE = 60.0

ReplyHandler = Callable[[Any, Exception | None], None]


class TimeTravel:
    """State of the history mode.

    `ask(args, then)` calls verb `board.at` and passes the reply to `then(answer, error)` in the
    app's thread. `show()` redraws the deck, `say(text)` shows an unsanitized message, `now()` is
    the app's clock.
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
        """Board of the shown minute; None while live."""
        self.notes: Sequence[str] = ()
        """Notes about missing data, unsanitized."""
        self._wanted: float | None = None
        self._asking = False
        self._answer: dict[str, Any] = {}

    @property
    def is_active(self) -> bool:
        """True if the deck shows, or is loading, a past minute."""
        return self._wanted is not None

    @property
    def shown_at(self) -> float | None:
        """Shown time in UNIX seconds, to which ages refer; None while live."""
        return self.board.at if self.board else None

    @property
    def label(self) -> str:
        """Header label `AS OF 10:31 (−11m)`; "" while live."""
        if self._wanted is None:
            return ""
        return tr(
            "AS OF {time} (−{age})",
            time=format_wall_time(self._wanted, self._now()),
            age=units.format_age(self._now() - self._wanted),
        )

    def step(self, minutes: int) -> None:
        """Move by minutes; past the latest minute the deck becomes live.

        From a gap without samples, a step leads to the next minute that has one.
        """
        if self._wanted is None and minutes > 0:
            self._say(tr("The deck is live."))
            return
        if not self._asking and self._answer.get("up") is False:
            edge = self._answer["before" if minutes < 0 else "after"]
            self._go_to(edge, is_return=minutes < 0)
        else:
            self._go_to(
                (self._now() if self._wanted is None else self._wanted) + minutes * MINUTE,
                is_return=minutes < 0,
            )

    def go_to(self, at: float) -> None:
        """Go to the minute of a time in UNIX seconds."""
        self._go_to(at, is_return=True)

    def return_to_live(self) -> bool:
        """Return to the present; return False if live already."""
        was_active, self._wanted, self.board, self.notes, self._answer = (
            self.is_active,
            None,
            None,
            (),
            {},
        )
        if was_active:
            self._show()
        return was_active

    def _go_to(self, at: float | None, is_return: bool) -> None:
        last = self._answer.get("last")
        if not is_return and (
            at is None
            or at > (self._now() - MINUTE if last is None else max(last, self._now() - 2 * MINUTE))
        ):
            self.return_to_live()
            self._say(tr("The deck is live."))
        elif at is None or at < (self._answer.get("first") or 0):
            self._say(tr("There are no earlier records."))
        else:
            self._wanted = at - at % MINUTE
            self._show()
            self._request_board()

    def _request_board(self) -> None:
        if self._asking or self._wanted is None:
            return
        self._asking, wanted = True, self._wanted
        self._ask(
            {"at": datetime.fromtimestamp(wanted, UTC).isoformat()},
            lambda answer, error: self._take_reply(wanted, answer, error),
        )

    def _take_reply(self, requested_at: float, answer: Any, error: Exception | None) -> None:
        self._asking = False
        if self._wanted is None:
            return
        if error is not None:
            self._report_failure(str(error))
        elif answer["board"] is None:
            self._report_failure(tr("No history yet: recording starts a minute after the runtime."))
        elif self._wanted != requested_at:
            self._request_board()
        else:
            self._answer = {key: answer[key] for key in ("up", "first", "last", "before", "after")}
            self._wanted, self.board, self.notes = (
                answer["at"],
                Board.from_dict(answer["board"]),
                answer["notes"],
            )
            if requested_at < answer["at"] == answer["first"]:
                self._say(
                    tr(
                        "There are no records before {time}.",
                        time=format_wall_time(answer["at"], self._now()),
                    )
                )
            self._show()

    def _report_failure(self, why: str) -> None:
        """Show why a request failed, and stay at the shown minute, or live."""
        self._wanted = None if self.board is None else self.board.at - self.board.at % MINUTE
        self._show()
        self._say(why)
