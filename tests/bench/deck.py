"""The deck on a real pty, with many queued tasks and a dozen short ones coming and going.

Chunks of output are stamped as they arrive and looked at afterwards, so that no terminal emulation slows the measurement.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.house import House
from tests.acceptance.terminal import Terminal
from tests.bench.figures import Figure
from tests.bench.work import bulk, parked

CHURNING = 12
STARTS = 5
KEYS = 200
PAUSE = 0.11
"""Seconds between two keys: slower than any answer, faster than a board a second."""
IDLE = 20.0

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
"""The least a Textual program can do with a key: the raw limit."""


class Recorder(Terminal):
    """A terminal that stamps what arrives, and shows it to nobody until `replay`."""

    def __init__(self, *args: Any) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.began = time.perf_counter()
        super().__init__(*args)

    def _feed(self, data: bytes) -> None:
        self.chunks.append((time.perf_counter(), data))
        if b"\x1b[6n" in data:
            self.type("\x1b[1;2R")

    def record(self, seconds: float) -> None:
        """Take in what comes for so long."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._read(left)

    def replay(self) -> Iterator[float]:
        """Feed the screen chunk by chunk; the time of each after it is shown."""
        for at, data in self.chunks:
            super()._feed(data)
            yield at


def measure(house: House, queued: int) -> Iterator[Figure]:
    """To filled panes, key to drawn, and what it all costs when nothing runs."""
    _fill(house, queued)
    empty = [sys.executable, "-c", EMPTY_APP]
    bare = statistics.median(first(house, empty, lambda t: t.lines[0].startswith("0")) for _ in range(STARTS))
    filled = statistics.median(first(house, ["taskdeck"], _is_filled) for _ in range(STARTS))
    where = f"{queued:,} queued, {CHURNING} churning"
    yield Figure(
        f"taskdeck → filled panes, {where}", filled * 1e3, "ms", bare * 1e3, "empty Textual app", filled * 1e3, 500, 300
    )
    raw = sorted(keys(house, empty, "jj", lambda t: t.lines[0]))
    ours = sorted(keys(house, ["taskdeck"], "jk", cursor, before="1"))
    for name, share, goal, better in (("p50", 0.5, 10, 8), ("p95", 0.95, 33, 33)):
        here, beside = (times[int(len(times) * share)] * 1e3 for times in (ours, raw))
        yield Figure(f"key → drawn {name}, {where}", here, "ms", beside, "empty Textual app", here, goal, better)
    yield from _idle(house)


def _fill(house: House, queued: int) -> None:
    parked(house, "many", 4)
    bulk(house, queued, "many")
    parked(house, "churn", CHURNING)
    bulk(house, 6000, "churn", ("/bin/sleep", "0.5"))
    house.ok("queue", "resume", "churn")


def _open(house: House, argv: list[str]) -> Recorder:
    return Recorder(argv, house.env, house.work, 120, 40)


def _is_filled(terminal: Terminal) -> bool:
    """Queues, pools, running and next to start show rows."""
    text = terminal.text
    return "many" in text and "churn-pool" in text and "● sleep" in text and "○ true" in text and "4 SLA" in text


def first(house: House, argv: list[str], shown: Callable[[Terminal], bool]) -> float:
    """Seconds from the spawn until the screen shows it."""
    with _open(house, argv) as terminal:
        terminal.record(2.0)
        terminal.type("q").end()
        return next(at for at in terminal.replay() if shown(terminal)) - terminal.began


def keys(
    house: House, argv: list[str], pressed: str, seen: Callable[[Terminal], object], before: str = ""
) -> list[float]:
    """Seconds from each key until what is `seen` on the screen has changed."""
    sent: list[float] = []
    with _open(house, argv) as terminal:
        terminal.record(2.0)
        terminal.type(before).record(0.5)
        for n in range(KEYS):
            sent.append(time.perf_counter())
            terminal.type(pressed[n % len(pressed)]).record(PAUSE)
        terminal.type("q").end()
        return list(answers(terminal, sent, seen))


def answers(terminal: Recorder, sent: list[float], seen: Callable[[Terminal], object]) -> Iterator[float]:
    """For each key the time until the first change after it; a key without one counts with the whole pause."""
    times, known = iter(sent), seen(terminal)
    pending = next(times, None)
    for at in terminal.replay():
        while pending is not None and at > pending + PAUSE:
            yield PAUSE
            pending = next(times, None)
        now = seen(terminal)
        if pending is not None and at > pending and now != known:
            yield at - pending
            pending = next(times, None)
        known = now


def cursor(terminal: Terminal) -> int:
    """The line on which the cursor stands."""
    return next((y for y, line in enumerate(terminal.lines) if line.startswith("›")), -1)


def _idle(house: House) -> Iterator[Figure]:
    """CPU of runtime, keeper, guard and an open deck while nothing runs; memory of the first three."""
    house.ok("queue", "pause", "churn")
    while house.json("status")["counts"].get("running"):
        house.td("wait", *(row["number"] for row in house.json("ls", "--status", "running")))
    found = house.json("status")
    pids = [found["runtime"]["pid"], found["keeper"]["pid"], found["keeper"]["guard_pid"]]
    with _open(house, ["taskdeck"]) as deck:
        deck.record(5.0)
        before = sum(map(cpu, [*pids, deck.pid]))
        deck.record(IDLE)
        share = (sum(map(cpu, [*pids, deck.pid])) - before) / IDLE * 100
        deck.type("q").end()
    yield Figure("idle with a deck open, all processes", share, "% of a core", None, "", share, 2, 2)
    memory = sum(map(pss, pids))
    yield Figure("memory of runtime, keeper and guard", memory, "MiB PSS", None, "", memory, 70, 70)


def cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """MiB that a process has for itself, with its share of what others use too."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
