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
    size = amounts.size(answer["bytes"])
    if wrong := answer.get("after"):  # first, for a narrow screen cuts off the end
        return look.theirs(f"Backed up, but {wrong.rstrip('.')}. {answer['id']}, {size}, restored and checked."), "warn"
    return look.theirs(f"Backed up, {size}, restored and checked: {answer['id']}."), ""
