"""Benchmark of the log view: a gigabyte, and a log that grows by 10,000 lines a second.

Each written line ends in the milliseconds of the monotonic clock, which the recorder uses too.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.deck import EMPTY_APP, find_answers, measure_keys
from tests.bench.figures import Figure
from tests.bench.recorder import Recorder

BYTES = 1_000_000_000
LINES_A_SECOND = 10_000
FOLLOW_TIME = 20.0
"""Seconds for which the growing log is followed."""
SEARCH_TIME = 60.0
"""Seconds left for the search through the large log."""
KEYS = 120
KEY_INTERVAL = 0.11
OPENINGS = 5
FIRST_LINE = "needle in the first line"
LAST_LINE = "the last line of a gigabyte"

LARGE_WRITER = f"""
import os
line = b"\\x1b[32m2026-11-25\\x1b[0m epoch %7d loss=0.2511 acc=0.901 and some words\\n"
line = b"".join(line % n for n in range(4096))
os.write(1, b"{FIRST_LINE}\\n")
left = {BYTES}
while left > 0:
    left -= os.write(1, line)
os.write(1, b"{LAST_LINE}\\n")
"""
GROWING_WRITER = f"""
import os, time
n, began = 0, time.monotonic()
while not os.path.exists("stop"):
    due = int((time.monotonic() - began) * {LINES_A_SECOND}) - n
    at = int(time.monotonic() * 1000)
    line = b"line %9d of a busy program, some words at=%013d ends here\\n"
    os.write(1, b"".join(line % (n + m, at) for m in range(due)))
    n += due
    time.sleep(0.005)
"""
_AT = re.compile(r"at=(\d{13})")
_COLUMN = re.compile(r"column \d+")


def measure(house: AcceptanceHome) -> Iterator[Figure]:
    """Measure a large log, then a growing one."""
    empty = [sys.executable, "-c", EMPTY_APP]
    raw = sorted(measure_keys(house, empty, "jj", lambda t: t.lines[0]))
    yield from _measure_large(house, raw)
    yield from _measure_growing(house, raw)


# A gigabyte


def _measure_large(house: AcceptanceHome, raw: list[float]) -> Iterator[Figure]:
    house.run_ok("submit", "--wait", "-n", "large", "--", sys.executable, "-c", LARGE_WRITER)
    opened = statistics.median(_measure_opening(house) for _ in range(OPENINGS))
    yield Figure(
        "log of 1 GB: key → first frame", opened * 1e3, "ms", None, "", opened * 1e3, 1000, 150
    )
    with _open_deck(house) as deck:
        before = read_rss(deck.pid)
        _open_log(deck)
        deck.record(1.0)
        shown = read_rss(deck.pid) - before
        searched = time.perf_counter()
        deck.type(f"/{FIRST_LINE}\r")
        sent = _press_keys(deck, "kj", SEARCH_TIME)
        grown = read_rss(deck.pid) - before
        _quit_deck(deck)
        chunks = deck.chunks
        times = sorted(find_answers(deck, sent, lambda t: t.lines[2:4]))
        deck.chunks = chunks  # examined a second time below
        found = next(
            (at for at in deck.replay() if at > searched and "match 1 of 1," in deck.text), None
        )
    yield Figure("log of 1 GB: memory once it is shown", shown, "MiB", None, "", shown, 64)
    yield Figure(
        "log of 1 GB: memory once it was counted and searched", grown, "MiB", None, "", grown, 64
    )
    yield Figure(
        "log of 1 GB: searched from end to end", found and found - searched, "s", None, "", None
    )
    yield from _make_key_figures("log of 1 GB, while it is searched", times, raw)


def _measure_opening(house: AcceptanceHome) -> float:
    """Return the seconds from `l` on the deck until the last line is shown."""
    with _open_deck(house) as deck:
        pressed = _open_log(deck)
        deck.record(1.5)
        _quit_deck(deck)
        return next(at for at in deck.replay() if LAST_LINE in deck.text) - pressed


# Ten thousand lines a second


def _measure_growing(house: AcceptanceHome, raw: list[float]) -> Iterator[Figure]:
    house.submit("-n", "growing", "--", sys.executable, "-c", GROWING_WRITER)
    with _open_deck(house) as deck:
        _open_log(deck)
        deck.record(2.0)
        before, began = read_rss(deck.pid), time.perf_counter()
        sent = _press_keys(deck, ("\x1b[C", "\x1b[D"), FOLLOW_TIME)
        grown, ended = read_rss(deck.pid) - before, time.perf_counter()
        (house.work / "stop").touch()
        _quit_deck(deck)
        chunks = deck.chunks
        times = sorted(find_answers(deck, sent, lambda t: _COLUMN.findall(t.text)))
        deck.chunks = chunks  # examined a second time below
        ages = sorted(_list_ages(deck, began, ended))
        if not ages:
            raise RuntimeError(f"the growing log was never seen:\n{deck.text}")
    oldest, usual = ages[-1] * 1e3, ages[len(ages) // 2] * 1e3
    what = "log +10,000 lines/s"
    yield Figure(
        f"{what}: age of the last line seen, at worst", oldest, "ms", usual, "ms p50", oldest, 500
    )
    yield Figure(f"{what}: memory in {FOLLOW_TIME:.0f} s", grown, "MiB", None, "", grown, 16)
    yield from _make_key_figures(what, times, raw)


def _list_ages(deck: Recorder, began: float, ended: float) -> Iterator[float]:
    """Yield the age of the last shown line, in seconds, at each new line."""
    last = None
    for at in deck.replay():
        stamps = _AT.findall(deck.text)
        now = int(stamps[-1]) / 1e3 if stamps else None
        if now != last and last is not None and began < at < ended:
            yield at - last
        last = now or last


# Both


def _open_deck(house: AcceptanceHome) -> Recorder:
    return Recorder(["taskdeck"], house.env, house.work, 80, 24)


def _open_log(deck: Recorder) -> float:
    """Open the log of the first task and return the time of the key.

    The since-last-visit summary is dismissed first.
    """
    while b"help" not in deck.raw:
        deck.record(0.1)
    deck.record(1.0)
    deck.type("\x1b")
    deck.record(0.5)
    pressed = time.perf_counter()
    deck.type("l")
    return pressed


def _press_keys(deck: Recorder, pressed: Sequence[str], seconds: float) -> list[float]:
    """Press keys in turn, wait for the rest of the time, and return the time of each key."""
    sent: list[float] = []
    last = time.perf_counter() + seconds
    for n in range(KEYS):
        sent.append(time.perf_counter())
        deck.type(pressed[n % len(pressed)])
        deck.record(KEY_INTERVAL)
    deck.record(last - time.perf_counter())
    return sent


def _quit_deck(deck: Recorder) -> None:
    for _ in range(2):
        deck.type("q")
        deck.record(0.3)
    deck.end()


def _make_key_figures(where: str, times: list[float], raw: list[float]) -> Iterator[Figure]:
    for name, share, goal, better in (("p50", 0.5, 10, 8), ("p95", 0.95, 33, 33)):
        here, beside = (among[int(len(among) * share)] * 1e3 for among in (times, raw))
        yield Figure(
            f"{where}: key → drawn {name}",
            here,
            "ms",
            beside,
            "empty Textual app",
            here,
            goal,
            better,
        )


def read_rss(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
