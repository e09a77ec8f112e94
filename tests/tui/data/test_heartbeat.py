"""A runtime that is there and does not answer: said on every page after a few seconds, with what to do, and gone when it goes on."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.client import Client
from app.config import Config
from app.tui.app import TaskdeckApp
from app.tui.data import heartbeat
from app.tui.data.heartbeat import EVERY, LONG, Silence
from app.tui.style import Look
from app.tui.widgets.banner import banner_lines
from tests.runtime_process import Living
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import until
from tests.tui.recording_runtime import Clock, an_app
from tests.tui.screen_text import screen_text


@pytest.fixture
def living() -> Iterator[Living]:
    """A home with a runtime that has nothing to do."""
    home = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(home)
    found = Living(home)
    found.start()
    yield found
    found.end()
    shutil.rmtree(home)


async def test_a_runtime_that_stands_still_is_told_on_every_page_and_an_idle_one_is_not(living: Living, monkeypatch: pytest.MonkeyPatch):
    """You should see `NO ANSWER` with the seconds in place of its pid, `db ?`, and how to let it go on; all is well once it does."""
    monkeypatch.setattr(heartbeat, "LONG", 3.0)
    pid = living.pid
    app = TaskdeckApp(partial(Client, living.home), home=living.home)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: f"runtime {pid}" in screen_text(app)[0])
        heard = app.feed.heard
        await until(pilot, lambda: app.feed.heard >= heard + 4)  # two heartbeats, longer than what is called silence
        assert f"runtime {pid}" in screen_text(app)[0] and "db ok" in screen_text(app)[0]

        os.kill(pid, signal.SIGSTOP)
        try:
            await until(pilot, lambda: "✗ NO ANSWER" in screen_text(app)[0])
            assert "db ?" in screen_text(app)[0] and str(pid) not in screen_text(app)[0]
            await pilot.press("5")
            await until(pilot, lambda: len(app.screen_stack) == 2 and "✗ NO ANSWER" in screen_text(app)[0])
            banner = " ".join(" ".join(screen_text(app)[2:4]).split())
            assert banner.startswith("✗ NO ANSWER from the runtime for ")
            assert banner.endswith(f"If it hangs: kill -9 {pid} && taskdeck serve. If it is stopped: kill -CONT {pid}")
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(pilot, lambda: f"runtime {pid}" in screen_text(app)[0] and "db ok" in screen_text(app)[0])
        assert "NO ANSWER" not in " ".join(screen_text(app))


def silent(pid: int = 4120) -> Any:
    busy = boards.busy()
    return busy._replace(runtime=busy.runtime._replace(pid=pid, unheard_since=NOW - 12))


@pytest.mark.parametrize("cells", [60, 80, 120])
@pytest.mark.parametrize("most", [1, 2])
def test_how_to_let_it_go_on_stays_in_any_width(cells: int, most: int):
    lines = ["".join(text for text, _ in line) for line in banner_lines(silent(4194303), NOW, Look(), cells, most=most)]
    assert len(lines) <= most and lines[0].startswith(" ✗ NO ANSWER")
    assert lines[-1].endswith("kill -CONT 4194303")


def test_in_eighty_cells_all_of_it_is_read():
    lines = ["".join(text for text, _ in line) for line in banner_lines(silent(), NOW, Look(), 80)]
    assert lines == [
        " ✗ NO ANSWER from the runtime for 12s. The 7 jobs run on. If it hangs: kill -9",
        "   4120 && taskdeck serve. If it is stopped: kill -CONT 4120",
    ]


async def test_another_window_with_the_focus_is_no_silence_of_the_runtime():
    """Nothing is drawn meanwhile; what came counts all the same."""
    app, recording = an_app()
    app.settings = Config(unfocused="still")
    ticks = Clock()
    app.ticks = ticks
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.feed.heard >= 2)
        app.app_focus = False
        for _ in range(2 * int(LONG)):
            ticks.at += EVERY
            app.feed.heard += 1
            app._listened()
        app.app_focus = True
        app._listened()
        assert app.board == recording.board
        for _ in range(int(LONG)):
            ticks.at += EVERY
            app._listened()
        await until(pilot, lambda: "✗ NO ANSWER" in screen_text(app)[0])
        app.feed.heard += 1
        app._listened()
        assert app.board == recording.board


def test_seconds_in_which_the_deck_itself_was_stopped_are_no_silence():
    heard = Silence()
    assert [heard.look(3, ticks) for ticks in (10.0, 11.0, 12.0, 500.0)] == [0.0, 1.0, 2.0, 3.0]
    assert heard.look(4, 501.0) == 0.0
