"""Call queue: a thread that sends requests to the runtime one by one, so no key blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from app.core.text import units
from app.translation import tr

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.style import Look

BackupCallback = Callable[[Mapping[str, Any] | None, Exception | None], object]


class BackupThread(Thread):
    """A thread that takes a backup and then calls `done(answer, error)`, still in this thread."""

    def __init__(self, client_factory: Callable[[], Client], done: BackupCallback) -> None:
        super().__init__(name="backing up", daemon=True)
        self._client_factory, self._done = client_factory, done

    def run(self) -> None:
        try:
            client = self._client_factory()
            try:
                answer, error = client.call("db.backup"), None
            finally:
                client.close()
        except Exception as problem:
            answer, error = None, problem
        self._done(answer, error)


def format_backup_result(
    answer: Mapping[str, Any] | None, error: Exception | None, look: Look
) -> tuple[str, str]:
    """Return the message for a finished backup and its style.

    The message includes the error of the program that runs after a backup.
    """
    if answer is None:
        return look.sanitize(tr("Not backed up: {error}", error=error)), "broken"
    size = units.format_bytes(answer["bytes"])
    if wrong := answer.get("after"):  # the warning comes first: a narrow screen cuts off the end
        return look.sanitize(
            tr(
                "Backed up, but {wrong}. {id}, {size}, restored and checked.",
                wrong=wrong.rstrip(".。"),
                id=answer["id"],
                size=size,
            )
        ), "warn"
    return look.sanitize(
        tr("Backed up, {size}, restored and checked: {id}.", size=size, id=answer["id"])
    ), ""


ReplyCallback = Callable[[Any, Exception | None], object]


class VerbClient(Protocol):
    """Client methods used by the call queue."""

    def call(self, verb: str, args: dict[str, Any] = ..., /) -> Any: ...

    def close(self) -> None: ...


class CallQueue(Thread):
    """A thread that runs calls in order and passes each result to its callback.

    `done(answer, error)` is called in this thread.
    """

    def __init__(self, client_factory: Callable[[], VerbClient], name: str = "errands") -> None:
        super().__init__(name=name, daemon=True)
        self._client_factory = client_factory
        self._queue: SimpleQueue[tuple[Callable[[VerbClient], Any], ReplyCallback] | None] = (
            SimpleQueue()
        )

    def send(self, verb: str, args: dict[str, Any], done: ReplyCallback) -> None:
        """Queue a call of one verb."""
        self.submit_work(lambda client: client.call(verb, args), done)

    def submit_work(self, work: Callable[[VerbClient], Any], done: ReplyCallback) -> None:
        """Queue any work that needs a client."""
        self._queue.put((work, done))

    def stop(self) -> None:
        """Stop after the queued calls; do not wait for the thread."""
        self._queue.put(None)

    def run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            try:
                answer, error = self._run_work(work), None
            except Exception as problem:
                answer, error = None, problem
            done(answer, error)

    def _run_work(self, work: Callable[[VerbClient], Any]) -> Any:
        """Run the work with a new client.

        A connection that outlived its runtime could not tell whether a request was processed.
        """
        client = self._client_factory()
        try:
            return work(client)
        finally:
            client.close()
