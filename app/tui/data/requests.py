"""Requests of the user: sent in order, reported in one message, and undone with `u`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.core.text.sanitize import measure_width
from app.translation import tr, tr_noop
from app.tui.actions.tasks import NotApplicableError, Request, format_result
from app.tui.app_host import AppHost
from app.tui.data.call_queue import CallQueue, ReplyCallback
from app.tui.state.pending_changes import PendingChanges
from app.tui.state.undo_stack import UndoStack

UNDO_PENDING = tr_noop("Waiting for the previous request; it will be undone when it completes.")
"""Shown when `u` is pressed while a request is pending."""
NO_PREVIEW: Mapping[str, Any] = {"tasks": (), "dependents": ()}
NOTICE_DELAY = 1.0
"""Seconds the user needs to notice that a key was not applicable."""
UNDOABLE_BY_FILTER = ("cancel", "hold", "front", "set")
"""Commands on a filter that can be undone, for tasks that have not started since."""
NEXT_UNDO_CELLS = 8
"""Minimum cells for the next undo; the message about the current one comes first."""


class PendingRequest:
    """A request that has no reply yet."""

    def __init__(self) -> None:
        self.undo_presses = 0
        """Times `u` was pressed after this request; the presses undo it once it is done, whatever
        followed."""


class RequestSender:
    """Sender of changes, which also undoes them, latest first."""

    def __init__(
        self,
        app: AppHost,
        write_queue: CallQueue,
        read_queue: CallQueue,
        undo_stack: UndoStack,
        pending: PendingChanges,
    ) -> None:
        self.app = app
        self.undo_stack, self.pending = undo_stack, pending
        self._write_queue, self._read_queue = write_queue, read_queue
        self._unfinished: list[PendingRequest] = []
        """Pending requests in key order, including those still being reviewed."""
        self._not_applicable_at = float("-inf")
        """Time of the last key that was not applicable, on the clock `ticks`."""

    def send(self, requests: Sequence[Request]) -> None:
        """Send requests to the runtime in order; replies appear in the message line."""
        if not self.app.refuse_changes():
            self._queue_batch(requests, RequestBatch(self, len(requests)))

    def _queue_batch(self, requests: Sequence[Request], batch: RequestBatch) -> None:
        if requests:
            self._track_request(batch)
        for request in requests:
            self._write_queue.send(request.verb, request.args, batch.make_reply_callback(request))

    def _track_request(self, pending_request: PendingRequest) -> None:
        self._unfinished.append(pending_request)
        self._not_applicable_at = float("-inf")  # `u` refers to this request from now on

    def undo(self) -> None:
        """Undo the latest change, then the one before it.

        If an irreversible change came after it, announce first what would be undone.
        """
        if self.app.refuse_changes():
            return
        unfit, self._not_applicable_at = (
            self.app.ticks() - self._not_applicable_at < NOTICE_DELAY,
            float("-inf"),
        )
        if not self._unfinished:
            self.undo_stack.is_hidden = self.undo_stack.is_hidden or unfit
            self._undo_latest()
        elif unfit:
            self.app.show_message(tr("Press u again to undo the previous request."), stays=False)
        else:
            self._unfinished[-1].undo_presses += 1
            self.app.show_message(tr(UNDO_PENDING), stays=False)

    def _undo_latest(self, more: int = 0) -> None:
        """Undo the latest entry, then `more` older ones, each after the previous reply."""
        undo_stack = self.undo_stack
        if undo_stack.is_hidden and undo_stack.can_undo:
            undo_stack.is_hidden = False
            self.app.show_message(
                tr(
                    "Press u again to undo the one before: {next_text}.",
                    next_text=undo_stack.next_text.rstrip(".。"),
                ),
                stays=True,
            )
        elif undo_stack.can_undo:
            text, requests = undo_stack.pop()
            batch = RequestBatch(self, len(requests), text)
            batch.undo_presses = more
            self._queue_batch(requests, batch)
        else:
            self.app.show_message(
                tr("Nothing to undo here; press O to see and undo earlier operations."), stays=False
            )

    def finish_request(self, pending_request: PendingRequest, has_changes: bool) -> None:
        """Remove a finished request and apply the undo presses queued behind it."""
        self._unfinished.remove(pending_request)
        if pending_request.undo_presses and has_changes:
            self._undo_latest(pending_request.undo_presses - 1)
        elif (
            pending_request.undo_presses
        ):  # the user must not answer an open question believing in an undo
            self.app.retract_message((self.app.look.adapt_text(tr(UNDO_PENDING)), ""))

    def show_not_applicable(self, why: NotApplicableError) -> None:
        """Show why a command does not apply to its row.

        A `u` pressed right after it was not meant for an earlier change.
        """
        self.app.show_message(self.app.look.sanitize(str(why)), "warn")
        self._not_applicable_at = self.app.ticks()

    def preview_cancel(self, ids: Sequence[str], then: Callable[[Mapping[str, Any]], None]) -> None:
        """Fetch what a cancel would affect, for its dialog; pass no tasks on failure."""

        def have(found: Mapping[str, Any]) -> None:
            before = len(self._unfinished)
            try:
                then(found)
                if self._unfinished[before:]:
                    self._unfinished[-1].undo_presses, pending_request.undo_presses = (
                        pending_request.undo_presses,
                        0,
                    )
            finally:
                self.finish_request(pending_request, has_changes=False)

        pending_request = PendingRequest()
        self._track_request(pending_request)
        self._read_queue.send(
            "cancel.preview",
            {"ids": list(ids)},
            lambda found, error: self.app.call_later(have, found or NO_PREVIEW),
        )


class RequestBatch(PendingRequest):
    """Several requests whose replies form one message."""

    def __init__(self, sender: RequestSender, count: int, takes_back: str = "") -> None:
        """Create a batch of `count` requests.

        `takes_back` is the sanitized message of the change that these requests undo.
        """
        super().__init__()
        self._sender, self._app = sender, sender.app
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

    def make_reply_callback(self, request: Request) -> ReplyCallback:
        """Return the callback for the reply to a request; callable from any thread."""
        return lambda answer, error: self._app.call_later(self._take_reply, request, answer, error)

    def _take_reply(self, request: Request, answer: Any, error: Exception | None) -> None:
        self._open -= 1
        refused = error is not None or (isinstance(answer, dict) and bool(answer.get("refused")))
        if refused:
            self._sender.pending.clear()
        elif request.verb == "retry":
            self._sender.pending.start_retry_grace(request.args.get("ids", ()))
        texts = self._refused if refused else self._texts
        if error is None:
            self._has_changes = (
                self._has_changes or not isinstance(answer, dict) or bool(answer.get("done", True))
            )
            texts.append(format_result(request, answer, self._app.look.sanitize))
            self._record_undo(request, answer)
        else:
            self._failed = True
            texts.append(self._app.look.sanitize(tr("Not done: {error}", error=error)))
            self._undo += [request] if request.verb == "undo" else ()
        if not self._open:
            self._show_result()

    def _record_undo(self, request: Request, answer: Any) -> None:
        """Record how to undo the change.

        An undo by recorded operations checks that objects are still as the operations left them.
        """
        if not (request.undo or request.verb in UNDOABLE_BY_FILTER and "select" in request.args):
            return
        if isinstance(answer, dict) and (operations := answer.get("operations")):
            self._operations += operations
        elif not isinstance(answer, dict) or answer.get("done", True):
            self._undo += request.undo

    def _show_result(self) -> None:
        if self._operations:
            self._undo.append(Request("undo", {"ids": self._operations}, tr("Undone:")))
        texts = [
            *_shorten_texts(self._texts, tr_noop("And {more} more.")),
            *_shorten_texts(self._refused, tr_noop("And {more} more were refused.")),
        ]
        if self._undo:
            self._sender.undo_stack.push(self._undoes or texts[0], self._undo)
            texts = [*texts, tr("u undo")]
        elif self._has_changes and not self._undoes:
            self._sender.undo_stack.mark_irreversible()
        elif self._undoes and (before := self._sender.undo_stack.next_text):
            room = self._app.size.width - measure_width("  ".join([*texts, tr("u undo: ")])) - 1
            texts = [
                *texts,
                tr(
                    "u undo: {before}",
                    before=self._app.look.cut(before, max(NEXT_UNDO_CELLS, room)),
                ),
            ]
        self._app.show_message("  ".join(texts), "warn" if self._failed else "", stays=True)
        self._sender.finish_request(self, self._has_changes)


def _shorten_texts(texts: Sequence[str], more: str) -> list[str]:
    """Return at most two texts, else the first and the number of others."""
    return list(texts) if len(texts) < 3 else [texts[0], tr(more, more=len(texts) - 1)]
