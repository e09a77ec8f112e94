"""A deck that never gets a board: it says why and what to do, and goes on when one comes."""

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
from app.core.text.sanitize import width
from app.errors import Conflict, Problem
from app.tui.app import TaskdeckApp
from app.tui.data import board_feed
from app.tui.run import farewell
from app.tui.style import Look
from app.tui.widgets import banner
from app.version import VERSION
from tests.tui import boards
from tests.tui.recording_runtime import Recording, until
from tests.tui.screen_text import screen_text

NONE_STARTED = Config(autostart=False)
"""Else a real runtime would come up in the home, and outlive the test."""
LOCKED = Problem("unable to open database file", "Look: taskdeck doctor")
DENIED = Conflict("the home /srv/taskdeck belongs to somebody else, or may not be entered. Nothing was done.", "Choose another: --home DIR")


class Refusing(Recording):
    """A runtime of which no board can be had, until it can."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(boards.busy())
        self.answers["board"] = problem

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        return self._raised(self.answers[verb]) if verb in self.answers else super().answer(verb, args)

    def _raised(self, problem: Exception) -> Any:
        raise problem


def a_deck(client: Any, home: Path | None = None, **how: Any) -> TaskdeckApp:
    return TaskdeckApp(client, now=lambda: boards.NOW, home=home, **how)


def text(app: TaskdeckApp) -> str:
    return " ".join(" ".join(screen_text(app)).split())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two looks."""
    monkeypatch.setattr(board_feed, "RETRY", 0.01)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
@pytest.mark.parametrize("problem", [DENIED, LOCKED, OSError("no file")], ids=repr)
async def test_why_no_board_can_be_had_stands_under_the_head_until_one_comes(problem: Exception, size: tuple[int, int]):
    """You should see what is wrong and what to do, no claim of what could not be read, and not that it is being loaded."""
    runtime = Refusing(problem)
    app = a_deck(runtime.client)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "NOTHING CAN BE SHOWN" in text(app))
        shown = screen_text(app)
        assert "loading" not in text(app) and not any("Nothing runs" in line or "Nothing has been" in line for line in shown)
        assert str(getattr(problem, "hint", "") or problem) in text(app) and max(map(width, shown)) <= size[0]
        await pilot.press("5")
        await until(pilot, lambda: app.screen is not app.deck and "NOTHING CAN BE SHOWN" in text(app))
        assert "loading" not in screen_text(app)[0]
        assert str(getattr(problem, "hint", "") or problem) in text(app)
        await pilot.press("q")
        assert farewell(app.board) == "Back: taskdeck"
        del runtime.answers["board"]
        await until(pilot, lambda: "resnet50-sweep-06" in text(app))
        assert "NOTHING CAN BE SHOWN" not in text(app)


async def test_in_ascii_it_is_ascii():
    app = a_deck(Refusing(DENIED).client, look=Look(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "NOTHING CAN BE SHOWN" in text(app))
        assert all(line.isascii() for line in screen_text(app))


class Mute:
    """A control socket that takes what is sent, and answers nothing; with `greets` it says who it is before."""

    def __init__(self, home: Path, greets: bool) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(home / "run" / paths.CONTROL))
        self._socket.listen()
        self._greets = greets
        self._taken: list[socket.socket] = []
        self._thread = Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        greeting = json.dumps({"taskdeck": VERSION, "protocol": app_client.PROTOCOL, "pid": os.getpid()}).encode() + b"\n"
        try:
            while True:
                line, _ = self._socket.accept()
                self._taken.append(line)
                if self._greets:
                    line.sendall(greeting)
        except OSError:  # closed: it is over
            pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for line in self._taken:
            line.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture(params=[False, True], ids=["mute", "greets"])
def mute(home: Path, request: pytest.FixtureRequest) -> Iterator[Mute]:
    found = Mute(home, request.param)
    yield found
    found.close()


async def test_of_a_runtime_that_answers_nothing_that_is_said(home: Path, mute: Mute, monkeypatch: pytest.MonkeyPatch):
    """Whether it does not greet, or greets and then hangs."""
    monkeypatch.setattr(app_client, "PATIENCE", 0.2)
    monkeypatch.setattr(banner, "LONG", 0.5)
    app = a_deck(lambda: Client(home, autostart=False, source="deck"), home, settings=NONE_STARTED)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "NOTHING CAN BE SHOWN" in text(app))
        assert "kill -CONT" in text(app) or "taskdeck stop" in text(app)
        assert "loading" not in text(app)


async def test_a_home_that_may_not_be_entered_is_told(home: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(app_client.os, "open", refused)
    app = a_deck(lambda: Client(home, autostart=False, source="deck"), home, settings=NONE_STARTED)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "NOTHING CAN BE SHOWN" in text(app))
        monkeypatch.undo()
        assert "belongs to somebody else, or may not be entered" in text(app) and "Choose another: --home DIR" in text(app)


async def test_while_it_is_only_slow_nothing_is_said(monkeypatch: pytest.MonkeyPatch):
    may = Event()

    class Slow(Recording):
        def answer(self, verb: str, args: dict[str, Any]) -> Any:
            may.wait(10)
            return super().answer(verb, args)

    factory: Any = Slow(boards.busy()).client
    app = a_deck(factory)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "loading" in text(app))
        assert "NOTHING CAN BE SHOWN" not in text(app)
        may.set()
        await until(pilot, lambda: "resnet50-sweep-06" in text(app))
