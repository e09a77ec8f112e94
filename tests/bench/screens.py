"""Benchmark of each screen's first frame and of the deck's output rate.

The screens are measured on a real pty over many tasks, while a dozen short ones start and end. Each
frame is compared with the help screen, which needs no request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.deck import fill_home
from tests.bench.figures import Figure
from tests.bench.recorder import Recorder

TRIES = 5
WATCH_TIME = 20.0


class ScreenPath(NamedTuple):
    """Screen: its keys from the deck, the texts of its first frame, and the keys back.

    A blank in the keys is a pause; the last key is timed. The texts do not appear on the previous
    screen.
    """

    name: str
    keys: str
    shows: tuple[str, ...]
    leave_keys: str = "q"


HELP_PATH = ScreenPath("help", "?", ("The deck as a whole",))
SCREEN_PATHS = (
    ScreenPath("tasks", "5", ("WHY / RESULT", "sleep 0.5", "V views")),
    ScreenPath("tasks, a rare word", "5 /sleepz", ("No task matches the filter",), "\rq"),
    ScreenPath("task, running", "g\r", ("REQUEST", "sleep 3600")),
    ScreenPath("task, next to start", "g3\r", ("Deck › #", "command")),
    ScreenPath("log", "gl", ("› log", "attempt 1")),
    ScreenPath("why", "g3w", ("┌", "sleep 0.5")),
    ScreenPath("new task", "n", ("Command", "Priority", "ctrl+j submit"), "\x1b"),
    ScreenPath("templates", "6", ("n new template",)),
    ScreenPath("alerts", "7", ("f resolved too",)),
    ScreenPath("history", "9", ("tab metric", "By queue")),
    ScreenPath("operations", "O", ("u undo", "submit")),
)


def measure(house: AcceptanceHome, queued: int) -> Iterator[Figure]:
    """Measure first frames and bytes a second."""
    house.run_ok("submit", "--", "/bin/sleep", "3600")
    fill_home(house, queued)
    where = f"{queued:,} tasks"
    with Recorder(["taskdeck"], house.env, house.work, 120, 40) as deck:
        deck.record(3.0)
        yield _measure_output(deck, "a busy deck writes", 8192)
        bare = _measure_frame(deck, HELP_PATH) or 1.0
        for path in SCREEN_PATHS:
            took = _measure_frame(deck, path)
            if took is None:
                yield Figure.make_absent(f"first frame of {path.name}, {where}: never shown")
                deck.type("0")
                deck.record(1.0)
            else:
                yield Figure(
                    f"first frame of {path.name}, {where}",
                    took * 1e3,
                    "ms",
                    bare * 1e3,
                    "help",
                    took * 1e3,
                    150,
                )
        house.run_ok("queue", "pause", "churn")
        deck.record(8.0)
        yield _measure_output(deck, "an idle deck writes", 200)
        deck.type("q").end()


def _measure_frame(deck: Recorder, path: ScreenPath) -> float | None:
    """Return the median seconds from the last key to its screen, or None if it never came."""
    found: list[float] = []
    for _ in range(TRIES):
        for keys in path.keys[:-1].split(" "):
            deck.type(keys)
            deck.record(0.4)
        deck.restart_recording()
        deck.type(path.keys[-1])
        deck.record(0.8)
        frames = [at for at in deck.replay() if all(text in deck.text for text in path.shows)]
        if not frames:
            return None
        found.append(frames[0] - deck.marked)
        deck.type(path.leave_keys)
        deck.record(0.5)
    return sorted(found)[len(found) // 2]


def _measure_output(deck: Recorder, what: str, goal: float) -> Figure:
    """Measure the bytes a second that the deck writes."""
    deck.restart_recording()
    deck.record(WATCH_TIME)
    rate = sum(len(data) for _, data in deck.chunks) / WATCH_TIME
    return Figure(what, rate, "B/s", None, "", rate, goal)
