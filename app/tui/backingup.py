"""A backup taken from the deck: in a thread of its own, since it takes long and no verb is to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any

from app.core import amounts

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.look import Look

Done = Callable[[Mapping[str, Any] | None, Exception | None], object]


class BackingUp(Thread):
    """Takes one. `done(answer, error)` is called in this thread."""

    def __init__(self, client_factory: Callable[[], Client], done: Done) -> None:
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


def told(answer: Mapping[str, Any] | None, error: Exception | None, look: Look) -> tuple[str, str]:
    """What came of it, in words, and their style. What the program that is run after a backup failed with is told, too."""
    if answer is None:
        return look.theirs(f"Not backed up: {error}"), "broken"
    text = f"Backed up, {amounts.size(answer['bytes'])}, restored and checked: {answer['id']}."
    return look.theirs(f"{text} {answer['after']}" if answer.get("after") else text), "warn" if answer.get("after") else ""
