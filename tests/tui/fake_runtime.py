"""Fake runtime: clients that answer verbs from a table and record the calls, and a deck on them."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from app.client import READ_ONLY_VERBS
from app.core.board import Board
from app.errors import Remote
from app.tui.app import TaskdeckApp
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.screen_text import read_screen_lines

UUID = "0193f0c2-0000-7000-8000-{:012d}"
"""UUID of a task on the busy board, by its number."""


def make_task_row(**values: Any) -> dict[str, Any]:
    """Return a task row as `show` answers it."""
    row: dict[str, Any] = {
        "uuid": UUID.format(1049), "number": 1049, "name": "resnet50-sweep-08", "template": None,
        "type": "exec", "status": "queued", "parameters": {}, "priority": 5, "timeout": 14400.0,
        "queue": "gpu",
        "cpu": 4.0, "memory": 12288.0, "retries": 1, "retry_delay": 1.0, "grace": 5.0,
        "not_before": None, "hold": False,
        "held_by": None, "front": 0, "tags": {}, "cwd": "/home/ann/sweep", "umask": 18,
        "launch": {"argv": ["python", "train.py", "--lr", "0.01", "--seed", "8"]},
        "log_limit": None,
        "submitted_by": "ann", "pinned": False, "reason": None, "attempts": 0, "failures": 0,
        "started_at": None,
        "ended_at": None,
        "created_at": "2026-11-25T08:30:11.000000Z", "updated_at": "2026-11-25T08:30:11.000000Z",
        "instances": [],
        "parents": [], "children": [], "env_names": 43, "place": {"position": 0, "total": 5},
        "events": [
            {"at": "2026-11-25T08:30:11.000000Z", "status": "queued", "by": "ann",
            "note": "submitted (pts/2)"},
            {"at": "2026-11-25T08:31:40.000000Z", "status": "queued", "by": "ann",
            "note": "priority 0 to 5"},
        ],
    }  # fmt: skip
    return row | {"uuid": UUID.format(values.get("number", 1049))} | values


def make_run_row(**values: Any) -> dict[str, Any]:
    """Return an instance row."""
    row: dict[str, Any] = {
        "runid": "019ab000-0000-7000-8000-00000000aaaa", "task_id": UUID.format(1049),
        "number": 1049, "name": "resnet50-sweep-08", "queue": "gpu", "pool": "gpu", "attempt": 1,
        "status": "running",
        "start_time": "2026-11-25T07:23:51.000000Z", "end_time": None, "exit_code": None,
        "signal": None, "reason": None,
        "cpu_seconds": 2.9, "max_rss": 84.0, "run_seconds": None, "log_bytes": 0, "deadline": None,
        "tags": {},
        "pid": 41877, "created_at": "2026-11-25T07:23:51.000000Z",
        "updated_at": "2026-11-25T07:23:51.000000Z",
    }  # fmt: skip
    return row | values


def make_log_answer(
    row: Mapping[str, Any], *runs: Mapping[str, Any], why: str = ""
) -> dict[str, Any]:
    """Return the answer of `log` for a task and its runs. Each run needs a `path` or `logs`."""
    columns = (
        "runid",
        "attempt",
        "status",
        "path",
        "log_bytes",
        "logs",
        "exit_code",
        "signal",
        "reason",
        "end_time",
    )
    shown = [{name: {"path": "", "logs": "", **r}.get(name) for name in columns} for r in runs]
    return {
        "number": row["number"],
        "uuid": row["uuid"],
        "name": row["name"],
        "status": row["status"],
        "runs": shown,
        "why": why,
    }


WHY = {
    "number": 1049, "name": "resnet50-sweep-08", "status": "queued", "queue": "gpu",
    "waits": 7916.0,
    "reasons": [
        {"code": "pool-memory",
        "text": "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m",
         "short": "needs 12.0G, 2.0G free; #1042 frees 12.0G"},
        {"code": "reservation",
        "text": "it has a reservation: smaller tasks start first only if they do not delay it",
         "short": "it has a reservation"},
    ],
    "expected_start": None, "expected_in": [60.0, 780.0],
}  # fmt: skip


class FakeRuntime:
    """A fake runtime that answers each verb from one table and records the calls in `calls`.

    An answer is a value, a function of the arguments, or an exception to raise. Calling the object
    makes a client.
    """

    announces_board = False
    """True if `watch` reports a change at once. Otherwise a board set by a test stays."""

    def __init__(self, board: Board | None = None, **answers: Any) -> None:
        self.board = board or BOARD
        self.table = {verb.replace("_", "."): answer for verb, answer in answers.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.held_answer: tuple[Event, str] | None = None
        """Event for which changing verbs wait, and the notice shown meanwhile."""
        self.resumed = 0
        self.closed = 0

    def __call__(self) -> Any:
        return FakeClient(self)

    def list_args(self, verb: str) -> list[dict[str, Any]]:
        """Return the arguments of every call of a verb."""
        return [args for called, args in self.calls if called == verb]

    def verbs(self) -> list[str]:
        """Return the names of the called verbs."""
        return [verb for verb, _ in self.calls]

    def handle(self, verb: str, args: dict[str, Any]) -> Any:
        """Record a call and return its answer."""
        if verb != "board":
            self.calls.append((verb, args))
        return self.answer(verb, args)

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        """Return the answer of the table, or the default answer."""
        if verb == "board" and verb not in self.table:
            return self.board.as_dict()
        answer = self.table[verb] if verb in self.table else self.make_answer(verb, args)
        found = answer(args) if callable(answer) else answer
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)

    def make_answer(self, verb: str, args: dict[str, Any]) -> Any:
        """Return the answer to a verb that the table lacks."""
        if verb == "cancel.preview":
            return self._make_cancel_preview(args["ids"])
        if verb == "notify.ls":
            return {"channels": [], "deliveries": []}
        return self._make_about(args) if verb == "about" else Remote(f"no answer for {verb}")

    def _make_cancel_preview(self, ids: list[str]) -> dict[str, Any]:
        """Return the answer of `cancel.preview`, built from the answers of `show`."""
        rows = [self.answer("show", {"id": uuid}) for uuid in ids]
        if error := next((row for row in rows if isinstance(row, Exception)), None):
            raise error
        return {
            "tasks": rows,
            "dependents": [child for row in rows for child in row.get("children", ())],
        }

    def _make_about(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of `about`, built from `show` and from `why` or `log`."""
        row = self.handle("show", args)
        waits = row["status"] in ("scheduled", "blocked", "held", "queued", "retrying")
        tree = {
            way: [
                {"depth": 0, "uuid": UUID.format(kin["number"]), "again": False, "more": 0, **kin}
                for kin in row[way]
            ]
            for way in ("parents", "children")
        }
        return {
            "task": row, "why": self.handle("why", {"ids": [row["uuid"]]})[0] if waits else None,
            "log": None if waits else self.handle("log", {"id": row["uuid"], "attempt": None}),
            "past": None, "fit": {"cpu": None, "memory": None}, "ends_in": None, "use": None,
            "tree": tree, "slas": [], "acts": [],
        }  # fmt: skip


class FakeClient:
    """A client of a fake runtime."""

    on_wait: Callable[[str], object] | None = None

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self._closed = Event()

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Any = None) -> Any:
        if self._runtime.held_answer and self.on_wait and verb not in READ_ONLY_VERBS:
            freed, notice = self._runtime.held_answer
            self.on_wait(notice)
            assert freed.wait(20)
        return self._runtime.handle(verb, dict(args or {}))

    def watch(self) -> Iterator[None]:
        """Report a change at once if the runtime announces its board, then none until closed."""
        if self._runtime.announces_board:
            yield
        self._closed.wait()

    def start(self, resume: bool = False) -> None:
        """Count the starts with `resume`."""
        self._runtime.resumed += resume

    def close(self) -> None:
        self._runtime.closed += 1
        self._closed.set()


def _make_board() -> Board:
    """Return the busy board with a pool of its own for queue gpu."""
    busy = boards.busy()
    return busy._replace(
        queues=tuple(
            line._replace(pool="gpu") if line.name == "gpu" else line for line in busy.queues
        )
    )


BOARD = _make_board()


def make_deck(answers: FakeRuntime, **how: Any) -> TaskdeckApp:
    """Return the deck's app on these answers, with a stopped clock."""
    ticks = itertools.count(1000, 1)
    return TaskdeckApp(
        answers, now=lambda: NOW, ticks=lambda: float(next(ticks)), first=answers.board, **how
    )


def read_screen_line(app: App[Any], number: int) -> str:
    """Return one line of the screen, or "" before the first drawing."""
    lines = read_screen_lines(app)
    return lines[number] if number < len(lines) else ""


async def wait_until(pilot: Pilot[Any], true: Callable[[], Any]) -> None:
    """Let the app work until a condition holds; fail after a minute with the screen's text."""
    end = time.monotonic() + 60.0
    while not true():
        assert time.monotonic() < end, "\n".join(read_screen_lines(pilot.app))
        await pilot.pause(0.005)
