"""Fake runtime that shows a given board, answers verbs and records them; and a deck on it."""

from __future__ import annotations

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
from tests.tui.fake_runtime import wait_until


class RecordingRuntime:
    """A fake runtime with a board, the recorded calls, and answers by verb.

    An answer that is an exception is raised.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.held: tuple[Event, str] | None = None
        """Event for which changing verbs wait, and the notice shown meanwhile."""
        self.resumed = 0
        self.closed = 0

    def client(self) -> RecordingClient:
        """Return another client of this runtime."""
        return RecordingClient(self)

    def verbs(self) -> list[str]:
        """Return the names of the recorded verbs, without `board`."""
        return [verb for verb, _ in self.asked if verb != "board"]

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        """Return the scripted answer, or the answer of a runtime that did as asked."""
        if verb == "board":
            return self.board.as_dict()
        if verb in self.answers:
            if isinstance(self.answers[verb], Exception):
                raise self.answers[verb]
            return self.answers[verb]
        if verb == "browse":
            return {
                "columns": [],
                "rows": [],
                "more_before": False,
                "more_after": False,
                "total": 0,
                "of": 0,
                "lag": 0,
                "complete": True,
            }
        if verb == "queue.line":
            return {"first": None, "waiting": {}}
        done = [
            {"number": parse_task_number(str(ident)), "name": "a task", "uuid": ident, "status": ""}
            for ident in args.get("ids", ())
        ]
        return {"done": done, "refused": [], "notes": []} if "ids" in args else {}


class RecordingClient:
    """A client of a recording runtime."""

    on_wait: Callable[[str], object] | None = None

    def __init__(self, recording: RecordingRuntime) -> None:
        self._recording = recording
        self._over = Event()

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Any = None) -> Any:
        self._recording.asked.append((verb, args or {}))
        if self._recording.held and self.on_wait and verb not in READ_ONLY_VERBS:
            freed, said = self._recording.held
            self.on_wait(said)
            assert freed.wait(20)
        return self._recording.answer(verb, args or {})

    def watch(self) -> Iterator[None]:
        """Report one change at once, then none until closed."""
        yield
        self._over.wait()

    def start(self, resume: bool = False) -> None:
        """Count the starts of a stopped runtime."""
        self._recording.resumed += resume

    def close(self) -> None:
        self._recording.closed += 1
        self._over.set()


def parse_task_number(uuid: str) -> int:
    """Return the task number in a UUID of the boards here."""
    return int(uuid[-12:]) if uuid[-12:].isdigit() else 0


class Clock:
    """Monotonic seconds that change only when a test moves them."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


_FED_APPS: WeakSet[TaskdeckApp] = WeakSet()


def make_recorded_deck(
    board: Board | None = None, *, look: Look | None = None, read_only: bool = False
) -> tuple[TaskdeckApp, RecordingRuntime]:
    """Return a deck on a recording runtime, with its clock stopped at `boards.NOW`."""
    recording = RecordingRuntime(board or boards.busy())
    factory: Any = recording.client
    app = TaskdeckApp(
        factory,
        look=look,
        read_only=read_only,
        now=lambda: boards.NOW,
        ticks=Clock(),
        first=recording.board,
    )
    take = app.connection._apply_board

    def taken(board: Board) -> None:
        take(board)
        _FED_APPS.add(app)

    app.connection._apply_board = taken
    return app, recording


def is_fed(app: TaskdeckApp) -> bool:
    """Return whether the feed's first board has come; a board set after it stays."""
    return app in _FED_APPS


def post_keys(app: TaskdeckApp, *keys: str) -> None:
    """Post all keys before the app handles the first one."""
    for key in keys:
        app.post_message(
            Key(_character_to_key(key) if len(key) == 1 else key, key if len(key) == 1 else None)
        )


async def wait_for(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Let the app work until a condition holds, and then until it is idle."""
    await wait_until(pilot, condition)
    await pilot.pause()
