"""Board feed: the boards it delivers, and its behaviour when the runtime ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from queue import Queue
from threading import Event
from typing import Any

import pytest

from app.client import Client
from app.core.board import Board, RuntimeFacts
from app.errors import Conflict, Problem
from app.tui.data import board_feed
from app.tui.data.board_feed import BoardFeed
from tests.runtime_process import RuntimeProcess, wait_until
from tests.tui import boards


class StoppableRuntime:
    """A fake runtime that can end, and counts its starts."""

    def __init__(self) -> None:
        self.board = boards.busy()
        self.starts = 0
        self.gone = Event()
        self.failure: Exception | None = None
        self.refusal: Problem | None = None

    def call(self, verb: str, args: dict[str, Any] | None = None, /) -> Any:
        if self.failure:
            raise self.failure
        return self.board.as_dict()

    def watch(self) -> Iterator[None]:
        if self.board.runtime.state != "running":
            return
        yield
        self.gone.wait()

    def start(self, resume: bool = False) -> None:
        if self.board.runtime.state == "stopped":
            raise Conflict("the runtime was stopped by ann.")
        if self.refusal:
            raise self.refusal
        if self.board.runtime.state == "none":
            self.starts += 1
            self.board = boards.busy()
            self.gone.clear()

    def close(self) -> None:
        self.gone.set()

    def die(self, state: str = "none") -> None:
        """End the runtime; the database still answers."""
        self.board = self.board._replace(runtime=RuntimeFacts(state, None, boards.NOW, "ann"))
        self.gone.set()


class FeedRecorder:
    """The boards, ends and errors that a feed reports, in order."""

    def __init__(self, runtime: StoppableRuntime, *, start: bool = True) -> None:
        self.boards: Queue[Board] = Queue()
        self.errors: Queue[Exception] = Queue()
        self.gone: Queue[None] = Queue()
        self.feed = BoardFeed(
            lambda: runtime, self.boards.put, lambda: self.gone.put(None), self._lost, start=start
        )
        self.lives: list[bool] = []

    def _lost(self, error: Exception, lives: bool) -> None:
        self.lives.append(lives)
        self.errors.put(error)

    def __enter__(self) -> FeedRecorder:
        self.feed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()
        self.feed.join(5)
        assert not self.feed.is_alive()

    def state(self) -> str:
        """Return the runtime's state on the next board."""
        return self.boards.get(timeout=60).runtime.state


@pytest.fixture(autouse=True)
def no_feed_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between boards and between retries."""
    monkeypatch.setattr(board_feed, "MIN_INTERVAL", 0.0)
    monkeypatch.setattr(board_feed, "RETRY_INTERVAL", 0.01)


def test_a_board_comes_at_once():
    with FeedRecorder(StoppableRuntime()) as seen:
        assert seen.boards.get(timeout=60) == boards.busy()


def test_a_dead_runtime_is_reported_and_replaced():
    runtime = StoppableRuntime()
    with FeedRecorder(runtime) as seen:
        assert seen.state() == "running"
        runtime.die()
        seen.gone.get(timeout=60)
        assert seen.state() == "running"
    assert runtime.starts == 1


def test_a_stopped_runtime_is_not_restarted():
    runtime = StoppableRuntime()
    runtime.die("stopped")
    with FeedRecorder(runtime) as seen:
        assert [seen.state() for _ in range(4)] == ["stopped"] * 4
    assert runtime.starts == 0
    assert seen.errors.empty()


def test_a_failed_start_is_reported_next_to_the_board():
    runtime = StoppableRuntime()
    runtime.die()
    runtime.refusal = Problem("the database is newer than this Taskdeck.")
    with FeedRecorder(runtime) as seen:
        assert seen.state() == "none"
        assert str(seen.errors.get(timeout=60)) == "the database is newer than this Taskdeck."
        runtime.refusal = None
        while seen.state() != "running":
            pass


def test_a_read_only_feed_starts_nothing():
    runtime = StoppableRuntime()
    runtime.die()
    with FeedRecorder(runtime, start=False) as seen:
        assert [seen.state() for _ in range(3)] == ["none"] * 3
    assert runtime.starts == 0


def test_a_failure_is_reported_and_the_feed_retries():
    runtime = StoppableRuntime()
    runtime.failure = OSError("the database is away")
    with FeedRecorder(runtime) as seen:
        assert str(seen.errors.get(timeout=60)) == "the database is away"
        runtime.failure = None
        assert seen.state() == "running"


def test_a_killed_runtime_is_replaced(lazy_runtime: RuntimeProcess):
    first = lazy_runtime.start()
    found: Queue[Board] = Queue()
    following = BoardFeed(
        lambda: Client(lazy_runtime.home), found.put, lambda: None, lambda error, lives: None
    )
    following.start()
    try:
        assert found.get(timeout=60).runtime.pid == first
        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda: found.get(timeout=60).runtime.pid not in (first, None),
            "a board of another runtime",
        )
    finally:
        following.stop()
        following.join(10)
