"""Connection to the runtime: the feed's boards, its errors, and the runtime's silence."""

from __future__ import annotations

from collections.abc import Callable

from app import cluster
from app.core.board import Board, RuntimeFacts
from app.errors import Problem
from app.translation import tr, tr_noop
from app.tui.app_host import AppHost
from app.tui.data import heartbeat
from app.tui.data.board_feed import DOWN_STATES, BoardClient, BoardFeed, keep_last_measurements
from app.tui.state.read_marks import ReadMarks
from app.tui.style import Span

DATABASE_STATES = {"damaged-database": "DAMAGED", "gone-database": "GONE"}
"""Database state on the board, by the code of the error that prevented reading."""
PLACEHOLDER_BOARD = Board(runtime=RuntimeFacts("starting"), database="unread", ever=True)
"""Placeholder board that claims nothing about unread data."""
WAIT_NOTICE_DELAY = 20.0
"""Seconds without a board or an error after which the wait is reported."""
NO_ANSWER = tr_noop(
    "the runtime has not answered for {delay:.0f} s. Still waiting. "
    "See run/runtime.log in the home, or run: taskdeck stop"
)


class BoardConnection:
    """Link from the feed to the app's board."""

    def __init__(
        self,
        app: AppHost,
        client_factory: Callable[[], BoardClient],
        seen: ReadMarks,
        handle_board: Callable[[Board], None],
        watch_alerts: Callable[[Board], None],
    ) -> None:
        """Create a connection; `start` the feed later.

        `handle_board` is called with each board that is drawn, `watch_alerts` with each board.
        """
        self._app, self._handle_board, self._watch_alerts = app, handle_board, watch_alerts
        self.feed = BoardFeed(
            client_factory, self._receive_board, self._receive_runtime_gone,
            self._receive_feed_error, start=app.may_start, args=seen.make_board_args
        )  # fmt: skip
        self._heartbeat = heartbeat.SilenceMeter()
        self._latest: Board | None = None
        """Latest board received while drawing was suspended."""
        self.unread = ""
        """Sanitized reason why no board was ever received; empty after the first board."""
        self._trouble: Span | None = None
        """Message shown when the board could not be read, until it can be read again."""

    @property
    def has_trouble(self) -> bool:
        """True while the board cannot be read."""
        return self._trouble is not None

    def _receive_board(self, board: Board) -> None:
        self._app.call_later(self._watch_alerts, board)
        self._app.call_later(self._apply_board, board)

    def _apply_board(self, board: Board) -> None:
        if self._app.resting:
            self._latest = board
            return
        self._latest, self.unread = None, ""
        self._app.board = keep_last_measurements(self._add_down_since(board), self._app.board)
        # Without a runtime the next attempt reports the same problem while one is being started.
        if self.has_trouble and (board.runtime.state != "none" or not self._app.may_start):
            self._clear_trouble()
        self._handle_board(board)

    def apply_latest(self) -> None:
        """Show the board that came while drawing was suspended."""
        if self._latest is not None:
            self._apply_board(self._latest)

    def _add_down_since(self, board: Board) -> Board:
        """Return the board with the time the runtime stopped, if only this deck saw the stop."""
        runtime = board.runtime
        if runtime.state != "none" or runtime.since is not None:
            return board
        before = self._app.board.runtime if self._app.board else runtime
        since = before.since if before.state == "none" and before.since else self._app.now()
        return board._replace(runtime=runtime._replace(since=since))

    def _receive_runtime_gone(self) -> None:
        self._app.call_later(self._show_runtime_gone)

    def _show_runtime_gone(self) -> None:
        """Keep the board and mark the runtime as gone."""
        board = self._app.board or Board()
        if board.runtime.state not in DOWN_STATES:
            home = self._app.home
            cure = cluster.find_cure(str(home)) if home else ""
            gone = RuntimeFacts("none", since=self._app.now(), demo=board.runtime.demo, cure=cure)
            self._app.board = board._replace(runtime=gone, lock=None, measured_at=board.at or None)

    def _receive_feed_error(self, error: Exception, is_running: bool) -> None:
        text = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
        database_state = DATABASE_STATES.get(error.code) if isinstance(error, Problem) else None
        self._app.call_later(
            self._show_board_error,
            self._app.look.sanitize(text),
            is_running,
            database_state,
            error.hint if isinstance(error, Problem) else "",
        )

    def _show_board_error(
        self, text: str, is_running: bool, database_state: str | None, hint: str = ""
    ) -> None:
        """Show why no board can be read.

        Also show the state of the database if that is the cause. The error stays if there never was
        a board.
        """
        never = self._app.board is None or bool(self.unread)
        if not is_running and not never:
            self._show_runtime_gone()
        if database_state:
            board = self._app.board or Board()
            runtime = board.runtime._replace(cure=hint)
            self._app.board, self.unread = (
                board._replace(database=database_state, runtime=runtime),
                "",
            )
        elif never:
            home = str(self._app.home or "")
            self._app.board, self.unread = PLACEHOLDER_BOARD._replace(home=home), text
        self._app.show_message(text, "broken")
        self._trouble = self._app.get_message()

    def check_heartbeat(self) -> None:
        """Mark a running runtime as silent, or clear the mark when it sends again."""
        seconds = self._heartbeat.update(self.feed.notification_count, self._app.ticks())
        board = self._app.board
        if board is None or board.runtime.state != "running" or self._app.resting:
            return
        silent = seconds >= heartbeat.SILENCE_LIMIT
        if silent is (board.runtime.unheard_since is None):
            since = self._app.now() - seconds if silent else None
            runtime = board.runtime._replace(unheard_since=since)
            self._app.board = board._replace(runtime=runtime)

    def check_first_board(self) -> None:
        """Report that there is no board yet."""
        if self._app.board is None:
            self._show_board_error(tr(NO_ANSWER, delay=WAIT_NOTICE_DELAY), True, None)

    def clear_board_message(self) -> None:
        """Clear the message line, unless it says why the board cannot be read."""
        if not self.has_trouble:
            self._app.clear_message()

    def _clear_trouble(self) -> None:
        """Clear the trouble message if it is still the current one."""
        self._app.retract_message(self._trouble)
        self._trouble = None
