"""Benchmark of the deck on a real pty, with many queued and some short tasks.

Each chunk of output gets the time of its arrival and is examined afterwards, so that no terminal
emulation slows the measurement.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from app.client import Client
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.terminal import Terminal
from tests.bench import idle
from tests.bench.figures import Figure
from tests.bench.recorder import Recorder
from tests.bench.workload import create_parked_queue, submit_bulk

CHURNING = 12
STARTS = 5
KEYS = 200
KEY_INTERVAL = 0.11
"""Seconds between two keys: longer than any answer, shorter than the board's interval."""

EMPTY_APP = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self): yield Static("0")
    def on_key(self, event):
        label = self.query_one(Static)
        label.update(str(int(str(label.content)) + 1)) if event.key == "j" else self.exit()
Empty().run()
"""
"""Smallest Textual program that reacts to a key: the raw limit."""


def measure(house: AcceptanceHome, queued: int) -> Iterator[Figure]:
    """Measure the start, the time from key to drawing, and the idle cost."""
    fill_home(house, queued)
    empty = [sys.executable, "-c", EMPTY_APP]
    bare = statistics.median(
        measure_start(house, empty, lambda t: t.lines[0].startswith("0")) for _ in range(STARTS)
    )
    filled = statistics.median(
        measure_start(house, ["taskdeck"], _is_filled) for _ in range(STARTS)
    )
    where = f"{queued:,} queued, {CHURNING} churning"
    yield Figure(
        f"taskdeck → filled panes, {where}",
        filled * 1e3,
        "ms",
        bare * 1e3,
        "empty Textual app",
        filled * 1e3,
        500,
        300,
    )
    raw = sorted(measure_keys(house, empty, "jj", lambda t: t.lines[0]))
    ours = sorted(measure_keys(house, ["taskdeck"], "jk", find_cursor, before="1"))
    for name, share, goal, better in (("p50", 0.5, 10, 8), ("p95", 0.95, 33, 33)):
        here, beside = (times[int(len(times) * share)] * 1e3 for times in (ours, raw))
        yield Figure(
            f"key → drawn {name}, {where}",
            here,
            "ms",
            beside,
            "empty Textual app",
            here,
            goal,
            better,
        )
    yield from _measure_idle(house)


def fill_home(house: AcceptanceHome, queued: int) -> None:
    """Submit many parked tasks, wait for the search index, and keep a dozen short tasks running."""
    create_parked_queue(house, "many", 4)
    submit_bulk(house, queued, "many")
    wait_for_index(house, queued)
    create_parked_queue(house, "churn", CHURNING)
    submit_bulk(house, 6000, "churn", ("/bin/sleep", "0.5"))
    house.run_ok("queue", "resume", "churn")


def wait_for_index(house: AcceptanceHome, queued: int) -> None:
    """Wait until the search index contains all tasks."""
    end = time.monotonic() + 30 + queued / 2000
    with closing(Client(house.home)) as client:
        while client.call("browse", {"filter": "zqx", "order": "number", "down": True, "limit": 1})[
            "lag"
        ]:
            if time.monotonic() > end:
                raise RuntimeError(f"{queued:,} tasks are still not in the search index")
            time.sleep(1)


def _open_recorder(house: AcceptanceHome, argv: list[str]) -> Recorder:
    return Recorder(argv, house.env, house.work, 120, 40)


def _is_filled(terminal: Terminal) -> bool:
    text = terminal.text
    return (
        "many" in text
        and "churn-pool" in text
        and "● sleep" in text
        and "○ sleep" in text
        and "4 SLA" in text
    )


def measure_start(
    house: AcceptanceHome, argv: list[str], shown: Callable[[Terminal], bool]
) -> float:
    """Return the seconds from the spawn until the screen meets the condition."""
    with _open_recorder(house, argv) as terminal:
        terminal.record(2.0)
        terminal.type("q").end()
        return next(at for at in terminal.replay() if shown(terminal)) - terminal.began


def measure_keys(
    house: AcceptanceHome,
    argv: list[str],
    pressed: str,
    seen: Callable[[Terminal], object],
    before: str = "",
) -> list[float]:
    """Return the seconds from each key until the observed part of the screen changes."""
    sent: list[float] = []
    with _open_recorder(house, argv) as terminal:
        terminal.record(2.0)
        terminal.type(before)
        terminal.record(0.5)
        for n in range(KEYS):
            sent.append(time.perf_counter())
            terminal.type(pressed[n % len(pressed)])
            terminal.record(KEY_INTERVAL)
        terminal.type("q").end()
        return list(find_answers(terminal, sent, seen))


def find_answers(
    terminal: Recorder, sent: list[float], seen: Callable[[Terminal], object]
) -> Iterator[float]:
    """Yield the time to the first change after each key, or the whole interval."""
    times, known = iter(sent), seen(terminal)
    pending = next(times, None)
    for at in terminal.replay():
        while pending is not None and at > pending + KEY_INTERVAL:
            yield KEY_INTERVAL
            pending = next(times, None)
        now = seen(terminal)
        if pending is not None and at > pending and now != known:
            yield at - pending
            pending = next(times, None)
        known = now


def find_cursor(terminal: Terminal) -> int:
    """Return the line of the cursor."""
    return next((y for y, line in enumerate(terminal.lines) if line.startswith("›")), -1)


def _measure_idle(house: AcceptanceHome) -> Iterator[Figure]:
    house.run_ok("queue", "pause", "churn")
    while running := house.run_json("ls", "--status", "running"):
        house.run_cli("wait", *(row["number"] for row in running))
    yield from idle.measure_with_deck(house, "many queued")
