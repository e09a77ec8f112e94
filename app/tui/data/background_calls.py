"""Background calls: start the runtime, take a backup, copy a property of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.translation import tr, tr_noop
from app.tui.app_host import AppHost
from app.tui.data.board_feed import DOWN_STATES
from app.tui.data.call_queue import BackupThread, CallQueue, format_backup_result
from app.tui.style import Span

if TYPE_CHECKING:
    from app.client import Client

BACKING_UP = tr_noop("Backing up: copy, pack, restore and check. Jobs keep running.")


class BackgroundCalls:
    """Calls that take a while and report their results in the message line."""

    def __init__(
        self,
        app: AppHost,
        client_factory: Callable[[], Client],
        write_queue: CallQueue,
        read_queue: CallQueue,
        retry_feed: Callable[[], None],
    ) -> None:
        """Create without running calls. `retry_feed` makes the feed try again at once."""
        self._app, self._client_factory, self._retry_feed = app, client_factory, retry_feed
        self._write_queue, self._read_queue = write_queue, read_queue
        self._backing_up: BackupThread | None = None

    @property
    def progress_message(self) -> Span | None:
        """Message shown while a backup is running."""
        if self._backing_up is None:
            return None
        return self._app.look.adapt_text(tr(BACKING_UP)), "dim"

    def start_runtime(self) -> None:
        """Start the runtime after somebody stopped it."""
        if self._app.refuse_changes():
            return
        if self._app.board and self._app.board.runtime.state not in DOWN_STATES:
            self._app.show_message(tr("A runtime is already running."), stays=False)
        else:
            self._app.show_message(tr("Starting a runtime…"))
            self._write_queue.submit_work(_start_runtime, self._finish_start)

    def _finish_start(self, _: Any, error: Exception | None) -> None:
        self._retry_feed()
        self._app.call_later(
            self._app.show_message,
            self._app.look.sanitize(tr("Not started: {error}", error=error))
            if error
            else tr("The runtime is running."),
            "broken" if error else "",
        )

    def back_up(self) -> None:
        """Take a backup; the message line shows progress."""
        if self._app.refuse_changes():
            return
        if self._backing_up is not None:
            self._app.show_message(tr("A backup is already running."))
            return
        self._backing_up = BackupThread(
            self._client_factory,
            lambda answer, error: self._app.call_later(self._finish_backup, answer, error),
        )
        self._backing_up.start()
        self._app.show_message(tr(BACKING_UP))

    def _finish_backup(self, answer: Mapping[str, Any] | None, error: Exception | None) -> None:
        self._backing_up = None
        self._app.show_message(*format_backup_result(answer, error, self._app.look), stays=True)

    def copy_task(self, uuid: str, what: str) -> None:
        """Copy a property of a task to the clipboard."""
        from app.tui.actions.clipboard import read_text

        self._read_queue.submit_work(
            lambda client: read_text(what, uuid, client),
            lambda text, error: self._app.call_later(self._put_on_clipboard, text, error),
        )

    def copy_text(self, text: str) -> None:
        """Copy text to the clipboard."""
        self._put_on_clipboard(text, None)

    def _put_on_clipboard(self, text: str | None, error: Exception | None) -> None:
        if error is None and text:
            self._app.copy_to_clipboard(text)
            self._app.show_message(
                tr(
                    "Copied {count:,} characters, if the terminal allows it (tmux: set-clipboard"
                    " on).",
                    count=len(text),
                )
            )
        else:
            self._app.show_message(
                self._app.look.sanitize(
                    tr("Not copied: {error}", error=error or tr("nothing to copy"))
                ),
                "warn",
                stays=True,
            )


def _start_runtime(client: Any) -> None:
    client.start(resume=True)
