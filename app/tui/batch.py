"""What was asked together is said together: the answers to some deeds in one line, with one undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.tui.errands import Done
from app.tui.verbs import Deed, sentence

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp


class Batch:
    """The answers to deeds that were asked together, said in one line."""

    def __init__(self, app: TaskdeckApp, count: int) -> None:
        self._app = app
        self._open = count
        self._texts: list[str] = []
        self._undo: list[Deed] = []
        self._failed = False

    def taker(self, deed: Deed) -> Done:
        """What to call with the answer to this deed, from any thread."""
        return lambda answer, error: self._app.call_later(self._take, deed, answer, error)

    def _take(self, deed: Deed, answer: Any, error: Exception | None) -> None:
        self._open -= 1
        if error or (isinstance(answer, dict) and answer.get("refused")):
            self._app.asked_priorities.clear()
        if error is None:
            self._texts.append(sentence(deed, answer, self._app.look.theirs))
            self._undo += deed.undo if not isinstance(answer, dict) or answer.get("done", True) else ()
        else:
            self._failed = True
            self._texts.append(self._app.look.theirs(f"Not done: {error}"))
        if not self._open:
            self._tell()

    def _tell(self) -> None:
        if self._undo:
            self._app.undoing = tuple(self._undo)
        texts = self._texts if len(self._texts) < 3 else [self._texts[0], f"And {len(self._texts) - 1} more."]
        self._app.say("  ".join([*texts, *(["u undo"] if self._undo else [])]), "warn" if self._failed else "")
