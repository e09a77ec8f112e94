"""Fake runtime that shows a given board, answers verbs and records them; and a deck on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from app.core.board import Board
from app.tui.app import TaskdeckApp
from app.tui.style import Look
from tests.tui import boards
from tests.tui.fake_runtime import FakeRuntime, wait_until


class RecordingRuntime(FakeRuntime):
    """A fake runtime in which every verb without an answer succeeds."""

    announces_board = True

    def make_answer(self, verb: str, args: dict[str, Any]) -> Any:
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
        if verb == "cancel.preview":
            return {
                "tasks": [
                    {"uuid": uuid, "status": "running", "grace": 5.0} for uuid in args["ids"]
                ],
                "dependents": [],
            }
        if verb == "notify.ls":
            return {"channels": [], "deliveries": []}
        if verb == "queue.line":
            return {"first": None, "waiting": {}}
        done = [
            {"number": parse_task_number(str(ident)), "name": "a task", "uuid": ident, "status": ""}
            for ident in args.get("ids", ())
        ]
        return {"done": done, "refused": [], "notes": []} if "ids" in args else {}


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
    factory: Any = recording
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
    """Return True if the feed's first board has arrived; a board set later stays."""
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
