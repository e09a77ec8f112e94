"""Fixtures that speed up the apps under test: less polling, and each style sheet parsed once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual import _wait
from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

from app.tui.data import heartbeat

TUI = Path(__file__).parent
UNREAD = ("forms", "panes", "screens", "widgets")
"""Folders whose tests need no frames between those that they read."""
POLL_INTERVAL = 1 / 125
"""Seconds between two checks of whether an app is idle."""


PARSED_STYLES: dict[str, Any] = {}
"""Parsed styles by the theme's variables and the source, shared by all apps of a process."""


@pytest.fixture(autouse=True)
def cached_stylesheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse each style sheet once per process."""
    parse = Stylesheet._parse_rules

    def parse_rules(self: Stylesheet, *args: Any, **kwargs: Any) -> Any:
        key = repr((sorted(self._variables.items()), args, kwargs))
        if key not in PARSED_STYLES:
            PARSED_STYLES[key] = parse(self, *args, **kwargs)
        return PARSED_STYLES[key]

    monkeypatch.setattr(Stylesheet, "_parse_rules", parse_rules)


@pytest.fixture(autouse=True)
def fast_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll more often than Textual's 50 times a second; the waits would take most of the time."""
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", POLL_INTERVAL)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", POLL_INTERVAL / 20)


@pytest.fixture(autouse=True)
def skip_idle_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no message to widgets that are all idle.

    A third of all messages would only find out that a widget is idle.
    """
    wait = Pilot._wait_for_screen

    async def wait_for_screen(self: Pilot[Any], timeout: float = 30.0) -> bool:
        await asyncio.sleep(0)
        nodes = [
            node
            for screen in self.app.screen_stack[-1:]
            for node in (self.app, *screen.walk_children(with_self=True))
        ]
        return bool(nodes) and all(map(_is_idle, nodes)) or await wait(self, timeout)

    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_for_screen)


@pytest.fixture
def real_frames() -> None:
    """Let the apps of a test draw each frame, as on a terminal."""


@pytest.fixture(autouse=True)
def skip_unread_frames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only what a test reads, what the mouse points at, and the last screen of each app.

    Headless apps write their frames nowhere, and frames would take a quarter of the time. Tests of
    the other folders need each frame: the columns of a table keep widths of the frame before.
    """
    folder = request.path.relative_to(TUI).parts[0]
    if folder not in UNREAD or "real_frames" in request.fixturenames:
        return
    draw, shut_down, post_mouse = (
        Screen._compositor_refresh,
        App._shutdown,
        Pilot._post_mouse_events,
    )

    def skip_frame(self: Screen[Any]) -> None:
        if not self.app.is_headless or self is not self.app.screen:
            draw(self)
            return
        self._dirty_widgets.clear()
        self.app._update_mouse_over(self)

    async def draw_and_shut_down(self: App[Any]) -> None:
        if self.is_headless and self._running and self.screen_stack:
            draw(self.screen)
        await shut_down(self)

    async def draw_and_post_mouse(self: Pilot[Any], *args: Any, **kwargs: Any) -> bool:
        draw(self.app.screen)
        return await post_mouse(self, *args, **kwargs)

    monkeypatch.setattr(Screen, "_compositor_refresh", skip_frame)
    monkeypatch.setattr(App, "_shutdown", draw_and_shut_down)
    monkeypatch.setattr(Pilot, "_post_mouse_events", draw_and_post_mouse)


def _is_idle(node: MessagePump) -> bool:
    """Return True if a widget waits for its next message and has none."""
    ready: Any = node._message_queue.ready_event
    return not ready.is_set() and bool(ready._waiters)


@pytest.fixture(autouse=True)
def unlimited_heartbeat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the silence limit, since fake runtimes send nothing by themselves."""
    if request.module.__name__.rpartition(".")[2] != "test_heartbeat":
        monkeypatch.setattr(heartbeat, "SILENCE_LIMIT", float("inf"))
