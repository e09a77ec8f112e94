"""Undo stack: collect the replies to several requests into one message with one undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.core.text.sanitize import measure_width
from app.tui.actions.tasks import Request, format_result
from app.tui.data.call_queue import ReplyCallback

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp


UNDOABLE_BY_FILTER = ("cancel", "hold", "front")
"""Commands on a filter that can be undone, for tasks that have not started since."""
NEXT_UNDO_CELLS = 8
"""Minimum cells for the next undo; the message about the current one comes first."""


class PendingRequest:
    """A request that has no reply yet."""

    def __init__(self) -> None:
        self.undo_presses = 0
        """Times `u` was pressed after this request; the presses undo it once it is done, whatever
        followed."""


class RequestBatch(PendingRequest):
    """Several requests whose replies form one message."""

    def __init__(self, app: TaskdeckApp, count: int, takes_back: str = "") -> None:
        """Create a batch of `count` requests.

        `takes_back` is the sanitized message of the change that these requests undo.
        """
        super().__init__()
        self._app = app
        self._undoes = takes_back
        self._open = count
        self._texts: list[str] = []
        self._refused: list[str] = []
        """Messages of requests that were refused at least in part."""
        self._undo: list[Request] = []
        self._operations: list[int] = []
        self._failed = False
        self._has_changes = False
        """Set if anything was changed."""

    def make_reply_callback(self, deed: Request) -> ReplyCallback:
        """Return the callback for the reply to a request; callable from any thread."""
        return lambda answer, error: self._app.call_later(self._take_reply, deed, answer, error)

    def _take_reply(self, deed: Request, answer: Any, error: Exception | None) -> None:
        self._open -= 1
        refused = error is not None or (isinstance(answer, dict) and bool(answer.get("refused")))
        if refused:
            self._app.pending_priorities.clear()
            self._app.retried_ends.clear()
        elif deed.verb == "retry":
            self._app.start_retry_grace(deed.args.get("ids", ()))
        texts = self._refused if refused else self._texts
        if error is None:
            self._has_changes = (
                self._has_changes or not isinstance(answer, dict) or bool(answer.get("done", True))
            )
            texts.append(format_result(deed, answer, self._app.look.sanitize))
            self._record_undo(deed, answer)
        else:
            self._failed = True
            texts.append(self._app.look.sanitize(f"Not done: {error}"))
            self._undo += [deed] if deed.verb == "undo" else ()
        if not self._open:
            self._show_result()

    def _record_undo(self, deed: Request, answer: Any) -> None:
        """Record how to undo the change.

        An undo by recorded operations checks that objects are still as the operations left them.
        """
        if not (deed.undo or deed.verb in UNDOABLE_BY_FILTER and "select" in deed.args):
            return
        if isinstance(answer, dict) and (operations := answer.get("operations")):
            self._operations += operations
        elif not isinstance(answer, dict) or answer.get("done", True):
            self._undo += deed.undo

    def _show_result(self) -> None:
        if self._operations:
            self._undo.append(Request("undo", {"ids": self._operations}, "Undone:"))
        texts = [
            *_shorten_texts(self._texts, "more."),
            *_shorten_texts(self._refused, "more were refused."),
        ]
        if self._undo:
            self._app.push_undo(self._undoes or texts[0], self._undo)
            texts = [*texts, "u undo"]
        elif self._has_changes and not self._undoes:
            self._app.mark_irreversible()
        elif self._undoes and (before := self._app.next_undo):
            room = self._app.size.width - measure_width("  ".join([*texts, "u undo: "])) - 1
            texts = [*texts, f"u undo: {self._app.look.cut(before, max(NEXT_UNDO_CELLS, room))}"]
        self._app.show_message("  ".join(texts), "warn" if self._failed else "", stays=True)
        self._app.finish_request(self, self._has_changes)


def _shorten_texts(texts: Sequence[str], more: str) -> list[str]:
    """Return at most two texts, else the first and the number of others."""
    return list(texts) if len(texts) < 3 else [texts[0], f"And {len(texts) - 1} {more}"]
