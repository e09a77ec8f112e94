"""Each screen of the deck on a real pty, over many tasks with a dozen coming and going: from the key to its first frame; and what the
deck writes to the terminal, busy and idle. Each frame stands beside that of the help, which asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.acceptance.acceptance_home import House
from tests.bench.deck import fill
from tests.bench.figures import Figure
from tests.bench.recorder import Recorder

TIMES = 5
WATCHED = 20.0


class Way(NamedTuple):
    """A screen: its name, the keys to it from the deck (a blank is a pause; the last one is timed), what its first frame shows and the
    screen before does not, the keys back."""

    name: str
    keys: str
    shows: tuple[str, ...]
    back: str = "q"


HELP = Way("help", "?", ("Digits go places",))
WAYS = (
    Way("tasks", "5", ("WHY / RESULT", "sleep 0.5", "V views")),
    Way("tasks, a rare word", "5 /sleepz", ("No task is what the filter",), "\rq"),
    Way("task, running", "g\r", ("ASKED", "sleep 3600")),
    Way("task, next to start", "g3\r", ("Deck › #", "command")),
    Way("log", "gl", ("› log", "attempt 1")),
    Way("why", "g3w", ("┌", "sleep 0.5")),
    Way("new task", "n", ("Command", "Priority", "ctrl+j submit"), "\x1b"),
    Way("templates", "6", ("n new template",)),
    Way("alerts", "7", ("f resolved too",)),
    Way("history", "9", ("tab metric", "By queue")),
    Way("operations", "O", ("u take back", "submit")),
)


def measure(house: House, queued: int) -> Iterator[Figure]:
    """First frames, and bytes a second."""
    house.ok("submit", "--", "/bin/sleep", "3600")
    fill(house, queued)
    where = f"{queued:,} tasks"
    with Recorder(["taskdeck"], house.env, house.work, 120, 40) as deck:
        deck.record(3.0)
        yield _written(deck, "a busy deck writes", 8192)
        bare = _frame(deck, HELP) or 1.0
        for way in WAYS:
            took = _frame(deck, way)
            if took is None:
                yield Figure.absent(f"first frame of {way.name}, {where}: never shown")
                deck.type("0")
                deck.record(1.0)
            else:
                yield Figure(f"first frame of {way.name}, {where}", took * 1e3, "ms", bare * 1e3, "help", took * 1e3, 150)
        house.ok("queue", "pause", "churn")
        deck.record(8.0)
        yield _written(deck, "an idle deck writes", 200)
        deck.type("q").end()


def _frame(deck: Recorder, way: Way) -> float | None:
    """Seconds from the last key to the screen it opens: the median of some tries; None when it never came."""
    found: list[float] = []
    for _ in range(TIMES):
        for keys in way.keys[:-1].split(" "):
            deck.type(keys)
            deck.record(0.4)
        deck.chunks_from_now()
        deck.type(way.keys[-1])
        deck.record(0.8)
        frames = [at for at in deck.replay() if all(text in deck.text for text in way.shows)]
        if not frames:
            return None
        found.append(frames[0] - deck.marked)
        deck.type(way.back)
        deck.record(0.5)
    return sorted(found)[len(found) // 2]


def _written(deck: Recorder, what: str, goal: float) -> Figure:
    """Bytes a second that come from the deck."""
    deck.chunks_from_now()
    deck.record(WATCHED)
    rate = sum(len(data) for _, data in deck.chunks) / WATCHED
    return Figure(what, rate, "B/s", None, "", rate, goal)
