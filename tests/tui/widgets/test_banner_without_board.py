"""Banner of a deck without a first board: it says why and what to do, until one comes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from app import client as app_client
from app import paths
from app.client import Client
from app.config import Config
from app.core.text.sanitize import measure_width
from app.errors import Conflict, Problem
from app.tui.app import TaskdeckApp
from app.tui.data import board_feed, connection
from app.tui.run import format_farewell
from app.tui.style import Look
from app.version import VERSION
from tests.tui import boards
from tests.tui.recording_runtime import RecordingRuntime, wait_for
from tests.tui.screen_text import read_screen_lines

NO_AUTOSTART = Config(autostart=False)
"""Without this setting, a real runtime would start in the home and outlive the test."""
OPEN_FAILED = Problem("unable to open database file", "Look: taskdeck doctor")
DENIED = Conflict(
    "permission denied for the home /srv/taskdeck. Nothing was done.", "Choose another: --home DIR"
)


class RefusingRuntime(RecordingRuntime):
    """A runtime that refuses a board until allowed."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(boards.busy())
        self.table["board"] = problem


def make_deck(client: Any, home: Path | None = None, **how: Any) -> TaskdeckApp:
    return TaskdeckApp(client, now=lambda: boards.NOW, home=home, **how)


def read_screen_text(app: TaskdeckApp) -> str:
    return " ".join(" ".join(read_screen_lines(app)).split())


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pause between retries."""
    monkeypatch.setattr(board_feed, "RETRY_INTERVAL", 0.01)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
@pytest.mark.parametrize("problem", [DENIED, OPEN_FAILED, OSError("no file")], ids=repr)
async def test_the_banner_says_why_there_is_no_board(problem: Exception, size: tuple[int, int]):
    """Show the fault and the remedy, without claims about unread data or "loading"."""
    runtime = RefusingRuntime(problem)
    app = make_deck(runtime)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: "NOTHING CAN BE SHOWN" in read_screen_text(app))
        shown = read_screen_lines(app)
        assert "loading" not in read_screen_text(app) and not any(
            "Nothing runs" in line or "Nothing has been" in line for line in shown
        )
        assert (
            str(getattr(problem, "hint", "") or problem) in read_screen_text(app)
            and max(map(measure_width, shown)) <= size[0]
        )
        await pilot.press("5")
        await wait_for(
            pilot,
            lambda: app.screen is not app.deck and "NOTHING CAN BE SHOWN" in read_screen_text(app),
        )
        assert "loading" not in read_screen_lines(app)[0]
        assert str(getattr(problem, "hint", "") or problem) in read_screen_text(app)
        await pilot.press("q")
        assert format_farewell(app.board) == "Back: taskdeck"
        del runtime.table["board"]
        await wait_for(pilot, lambda: "resnet50-sweep-06" in read_screen_text(app))
        assert "NOTHING CAN BE SHOWN" not in read_screen_text(app)


async def test_the_banner_is_ascii_in_ascii_mode():
    app = make_deck(RefusingRuntime(DENIED), look=Look(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "NOTHING CAN BE SHOWN" in read_screen_text(app))
        assert all(line.isascii() for line in read_screen_lines(app))


class MuteRuntime:
    """A control socket that accepts connections and never answers.

    With `greets`, it sends its greeting first.
    """

    def __init__(self, home: Path, greets: bool) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(home / "run" / paths.CONTROL_SOCKET))
        self._socket.listen()
        self._greets = greets
        self._taken: list[socket.socket] = []
        self._thread = Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        greeting = (
            json.dumps(
                {"taskdeck": VERSION, "protocol": app_client.PROTOCOL, "pid": os.getpid()}
            ).encode()
            + b"\n"
        )
        try:
            while True:
                line, _ = self._socket.accept()
                self._taken.append(line)
                if self._greets:
                    line.sendall(greeting)
        except OSError:  # the socket was closed
            pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for line in self._taken:
            line.close()


@pytest.fixture
def bare_home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture(params=[False, True], ids=["mute", "greets"])
def mute_runtime(bare_home: Path, request: pytest.FixtureRequest) -> Iterator[MuteRuntime]:
    found = MuteRuntime(bare_home, request.param)
    yield found
    found.close()


async def test_a_mute_runtime_is_reported(
    bare_home: Path, mute_runtime: MuteRuntime, monkeypatch: pytest.MonkeyPatch
):
    """Cover a runtime that hangs before its greeting and one that hangs after."""
    monkeypatch.setattr(app_client, "GREETING_TIMEOUT", 0.2)
    monkeypatch.setattr(connection, "WAIT_NOTICE_DELAY", 0.5)
    app = make_deck(
        lambda: Client(bare_home, autostart=False, source="deck"), bare_home, settings=NO_AUTOSTART
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: "NOTHING CAN BE SHOWN" in read_screen_text(app))
        assert "kill -CONT" in read_screen_text(app) or "taskdeck stop" in read_screen_text(app)
        assert "loading" not in read_screen_text(app)


async def test_an_inaccessible_home_is_reported(bare_home: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(app_client.os, "open", refused)
    app = make_deck(
        lambda: Client(bare_home, autostart=False, source="deck"), bare_home, settings=NO_AUTOSTART
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: "NOTHING CAN BE SHOWN" in read_screen_text(app))
        monkeypatch.undo()
        assert "permission denied for the home" in read_screen_text(
            app
        ) and "Choose another: --home DIR" in read_screen_text(app)


async def test_a_slow_first_board_is_not_reported(monkeypatch: pytest.MonkeyPatch):
    may = Event()

    class Slow(RecordingRuntime):
        def answer(self, verb: str, args: dict[str, Any]) -> Any:
            may.wait(10)
            return super().answer(verb, args)

    factory: Any = Slow(boards.busy())
    app = make_deck(factory)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "loading" in read_screen_text(app))
        assert "NOTHING CAN BE SHOWN" not in read_screen_text(app)
        may.set()
        await wait_for(pilot, lambda: "resnet50-sweep-06" in read_screen_text(app))
