"""A client that shows a given board, answers verbs and remembers what it was asked; and an app on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from weakref import WeakSet

from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from app.client import READ_ONLY_VERBS
from app.core.board import Board
from app.tui.app import TaskdeckApp
from app.tui.style import Look
from tests.tui import boards


class RecordingRuntime:
    """What the runtime would be: a board, the verbs asked, and answers by verb (or an exception to raise)."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.held: tuple[Event, str] | None = None
        """What a verb that changes something waits for, and what is said of that."""
        self.resumed = 0
        self.closed = 0

    def client(self) -> RecordingClient:
        """Another client to the same runtime."""
        return RecordingClient(self)

    def verbs(self) -> list[str]:
        """The names of the verbs asked, without the board's."""
        return [verb for verb, _ in self.asked if verb != "board"]

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        """The scripted answer, else what a runtime says that did as asked."""
        if verb == "board":
            return self.board.as_dict()
        if verb in self.answers:
            if isinstance(self.answers[verb], Exception):
                raise self.answers[verb]
            return self.answers[verb]
        if verb == "browse":
            return {"columns": [], "rows": [], "more_before": False, "more_after": False, "total": 0, "of": 0, "lag": 0, "complete": True}
        if verb == "queue.line":
            return {"first": None, "waiting": {}}
        done = [
            {"number": parse_task_number(str(ident)), "name": "a task", "uuid": ident, "status": ""}
            for ident in args.get("ids", ())
        ]
        return {"done": done, "refused": [], "notes": []} if "ids" in args else {}


class RecordingClient:
    """A client of a Recording."""

    waits: Callable[[str], object] | None = None

    def __init__(self, recording: RecordingRuntime) -> None:
        self._recording = recording
        self._over = Event()

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Any = None) -> Any:
        """Remember it and answer."""
        self._recording.asked.append((verb, args or {}))
        if self._recording.held and self.waits and verb not in READ_ONLY_VERBS:
            freed, said = self._recording.held
            self.waits(said)
            assert freed.wait(20)
        return self._recording.answer(verb, args or {})

    def watch(self) -> Iterator[None]:
        """One change at once, then nothing until the runtime is over."""
        yield
        self._over.wait()

    def start(self, resume: bool = False) -> None:
        """Count those that bring back what somebody stopped; a runtime is up already."""
        self._recording.resumed += resume

    def close(self) -> None:
        """The deck lets go."""
        self._recording.closed += 1
        self._over.set()


def parse_task_number(uuid: str) -> int:
    """The number that the boards here hide in a uuid."""
    return int(uuid[-12:]) if uuid[-12:].isdigit() else 0


class Clock:
    """Monotonic seconds that stand still until moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


_FED_APPS: WeakSet[TaskdeckApp] = WeakSet()


def make_recorded_deck(
    board: Board | None = None, *, look: Look | None = None, read_only: bool = False
) -> tuple[TaskdeckApp, RecordingRuntime]:
    """A deck on a board whose clock stands still at `boards.NOW`."""
    recording = RecordingRuntime(board or boards.busy())
    factory: Any = recording.client
    app = TaskdeckApp(
        factory, look=look, read_only=read_only, now=lambda: boards.NOW, ticks=Clock(), first=recording.board
    )
    take = app._apply_board

    def taken(board: Board) -> None:
        take(board)
        _FED_APPS.add(app)

    app._apply_board = taken
    return app, recording


def is_fed(app: TaskdeckApp) -> bool:
    """Whether the feed's first board has come: one that a test puts in its place afterwards stays."""
    return app in _FED_APPS


def post_keys(app: TaskdeckApp, *keys: str) -> None:
    """All of them before the first one is looked at."""
    for key in keys:
        app.post_message(Key(_character_to_key(key) if len(key) == 1 else key, key if len(key) == 1 else None))


async def wait_for(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Let the app work until the condition holds; fails after five seconds."""
    last = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < last, "it never came to that"
        await pilot.pause(0.005)
    await pilot.pause()
