"""Error boundary: a failing handler is reported instead of crashing the app.

A screen can be dismissed only once.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from textual import on
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.css.query import NoMatches
from textual.dom import DOMNode, NoScreen
from textual.events import ScreenResume
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen, ScreenResultType
from textual.timer import Timer, TimerCallback


class ErrorBoundary(MessagePump):
    """A message pump whose failing handlers and callbacks are passed to `app.report`.

    Textual ends the app when a callback of a timer, of `call_next` or of `call_after_refresh`
    fails, even if it fails only because its screen was dismissed.
    """

    async def _dispatch_message(self, message: Message) -> None:
        await self._run_guarded(partial(super()._dispatch_message, message))

    def call_next(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().call_next(self._run_guarded, partial(callback, *args, **kwargs))

    def call_after_refresh(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        return super().call_after_refresh(self._run_guarded, partial(callback, *args, **kwargs))

    def set_interval(
        self, interval: float, callback: TimerCallback | None = None, **more: Any
    ) -> Timer:
        return super().set_interval(
            interval, partial(self._run_guarded, callback) if callback else None, **more
        )

    def set_timer(self, delay: float, callback: TimerCallback | None = None, **more: Any) -> Timer:
        """Set a timer that fires late rather than never.

        Textual skips late ticks, even the only tick of a timer. Textual waits for the new window
        size with such a timer: if the process lost the CPU for 8 ms at its start, no later size was
        applied.
        """
        timer = super().set_timer(delay, callback, **more)
        timer._skip = False
        return timer

    async def _run_guarded(self, work: Callable[[], Any]) -> None:
        try:
            outcome = work()
            if isawaitable(outcome):
                await outcome
        except CancelledError:
            raise
        except Exception as error:
            self.report_error(error, getattr(getattr(work, "func", None), "__self__", None))

    def report_error(self, error: Exception, whose: object = None) -> None:
        """Report an error of a callback that belongs to `whose`.

        Errors are ignored while the app exits, and if the missing widget or screen is being
        removed. Raise the error if nobody takes the report.
        """
        left = is_closing(self) or (isinstance(whose, MessagePump) and is_closing(whose))
        if getattr(self.app, "_exit", False) or (isinstance(error, (NoMatches, NoScreen)) and left):
            return
        report = getattr(self.app, "report", None)
        if report is None or not self._mounted_event.is_set():
            raise error
        report(error, self)


class AppErrorBoundary(ErrorBoundary, App[int]):
    """An app that logs the failure that ends it. Textual would print a traceback."""

    failure: Exception | None = None
    """The first failure of the app itself."""
    fatal = False
    """Set if the failure ended the app."""

    @property
    def is_exiting(self) -> bool:
        """True from the call of `exit` on."""
        return self._exit

    def log_failure(self, error: Exception) -> None:
        """Log a failure; a hook for subclasses."""

    def _fatal_error(self) -> None:
        self.panic()

    def panic(self, *renderables: Any) -> None:
        """End the app and log the failure; write nothing to the terminal."""
        if not self._exit:
            self.fatal = True
            self.failure = (
                self._exception or self.failure or RuntimeError(" ".join(map(str, renderables)))
            )
            self.log_failure(self.failure)
        self._close_messages_no_wait()


class SafeScreen(ErrorBoundary, Screen[ScreenResultType]):
    """A screen that can be dismissed only once.

    A late event of a dismissed screen, such as a repeated key, closes no other screen.
    """

    @on(ScreenResume)
    def _style_on_first_resume(self, event: ScreenResume) -> None:
        """Style the screen alone, without its widgets, when it appears for the first time.

        Its widgets were styled when they were mounted.
        """
        if self.stack_updates == 0:
            event.refresh_styles = False
            self.app.stylesheet.apply(self)

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        return super().dismiss(result) if self.is_active else AwaitComplete()


def is_closing(node: MessagePump) -> bool:
    """Return True if the node is being removed or its screen was left."""
    if node._closing or node._closed or getattr(node, "_pruning", False):
        return True
    if isinstance(node, App) or not isinstance(node, DOMNode):
        return False
    screen = next((one for one in node.ancestors_with_self if isinstance(one, Screen)), None)
    return screen not in node.app.screen_stack
