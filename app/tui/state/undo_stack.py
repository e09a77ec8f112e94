"""What was asked together is said together: the answers to some deeds in one line, with one undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.core.text.sanitize import width
from app.tui.actions.tasks import Deed, sentence
from app.tui.data.call_queue import Done

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp


BY_FILTER = ("cancel", "hold", "front")
"""Verbs on all that a filter means that can be taken back, as far as nothing started meanwhile."""
NEXT = 8
"""Cells that what `u` takes back next keeps at least: what was taken back now is told first."""


class Asked:
    """What a key asked for, and what has no answer yet."""

    def __init__(self) -> None:
        self.undos = 0
        """How often `u` was pressed behind it: that means this, once it is done, whatever was asked for since."""


class Batch(Asked):
    """The answers to deeds that were asked together, said in one line."""

    def __init__(self, app: TaskdeckApp, count: int, takes_back: str = "") -> None:
        """`takes_back`: what was said, when it was done, of what these deeds undo; safe."""
        super().__init__()
        self._app = app
        self._takes_back = takes_back
        self._open = count
        self._texts: list[str] = []
        self._refused: list[str] = []
        """What was said of deeds that were not done, or not to all."""
        self._undo: list[Deed] = []
        self._operations: list[int] = []
        self._failed = False
        self._did = False
        """Whether anything was done."""

    def taker(self, deed: Deed) -> Done:
        """What to call with the answer to this deed, from any thread."""
        return lambda answer, error: self._app.call_later(self._take, deed, answer, error)

    def _take(self, deed: Deed, answer: Any, error: Exception | None) -> None:
        self._open -= 1
        refused = error is not None or (isinstance(answer, dict) and bool(answer.get("refused")))
        if refused:
            self._app.asked_priorities.clear()
            self._app.asked_again.clear()
        elif deed.verb == "retry":
            self._app.answered_again(deed.args.get("ids", ()))
        texts = self._refused if refused else self._texts
        if error is None:
            self._did = self._did or not isinstance(answer, dict) or bool(answer.get("done", True))
            texts.append(sentence(deed, answer, self._app.look.theirs))
            self._note_undo(deed, answer)
        else:
            self._failed = True
            texts.append(self._app.look.theirs(f"Not done: {error}"))
            self._undo += [deed] if deed.verb == "undo" else ()
        if not self._open:
            self._tell()

    def _note_undo(self, deed: Deed, answer: Any) -> None:
        """How to take it back: by the operations it was recorded as, which knows whether things still stand as they were left."""
        if not (deed.undo or deed.verb in BY_FILTER and "select" in deed.args):
            return
        if isinstance(answer, dict) and (operations := answer.get("operations")):
            self._operations += operations
        elif not isinstance(answer, dict) or answer.get("done", True):
            self._undo += deed.undo

    def _tell(self) -> None:
        if self._operations:
            self._undo.append(Deed("undo", {"ids": self._operations}, "Undone:"))
        texts = [*_short(self._texts, "more."), *_short(self._refused, "more were refused.")]
        if self._undo:
            self._app.can_be_undone(self._takes_back or texts[0], self._undo)
            texts = [*texts, "u undo"]
        elif self._did and not self._takes_back:
            self._app.cannot_be_undone()
        elif self._takes_back and (before := self._app.undone_next):
            room = self._app.size.width - width("  ".join([*texts, "u undo: "])) - 1
            texts = [*texts, f"u undo: {self._app.look.cut(before, max(NEXT, room))}"]
        self._app.say("  ".join(texts), "warn" if self._failed else "", stays=True)
        self._app.answered(self, self._did)


def _short(texts: Sequence[str], more: str) -> list[str]:
    """Two of them at most, or the first and how many there are beside."""
    return list(texts) if len(texts) < 3 else [texts[0], f"And {len(texts) - 1} {more}"]
