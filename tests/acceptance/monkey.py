"""Monkey test: random keys on a deck that is sometimes stopped or resized; nothing may fail.

`test_monkey.py` is the short form. For longer: `python -m tests.acceptance.monkey --minutes 10
--seed 7`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from app.errors import Problem
from tests.acceptance.every_key import (
    FOCUS_REPORT,
    VISITS,
    DeckDriver,
    add_failure_note,
    encode_key,
    format_size_report,
    open_deck,
)

EXCLUDED_KEYS = {"ctrl+q", "ctrl+c", "ctrl+z", "q", "S"}
"""Keys that quit the deck or start a runtime."""
KEYS = sorted({key for visit in VISITS for key in visit.find_bindings()} - EXCLUDED_KEYS)
PATHS = ["".join(keys for keys, _ in visit.way) for visit in VISITS]
BACK_KEYS = f"\x1b{FOCUS_REPORT}" * 3 + "0"
RESTORE_INTERVAL = 40
"""Bursts after which the home is restored."""
STOP_DURATIONS = (0.05, 0.3, 1.2)
"""Seconds for which the deck is stopped, as on a busy machine."""
PAUSES = (0.0, 0.02, 0.1, 0.4)
"""Seconds between two bursts."""


def type_randomly(deck: DeckDriver, chance: random.Random, goes_on: Callable[[int], bool]) -> int:
    """Type random bursts until the condition ends, and return their count.

    A failure names the last bursts.
    """
    bursts: list[str] = []
    while goes_on(len(bursts)):
        if len(bursts) % RESTORE_INTERVAL == 0:
            with suppress(Problem):  # another key did the same at this moment
                deck.restore_home()
        bursts.append(_make_burst(chance))
        with add_failure_note(f"after {bursts[-6:]}"):
            _type_burst(deck, bursts[-1], chance)
            deck.check_alive()
    return len(bursts)


def _make_burst(chance: random.Random) -> str:
    """Return the keys to a place, or a few random keys."""
    if chance.random() < 0.5:
        return BACK_KEYS + chance.choice(PATHS)
    return "".join(
        encode_key(chance.choice(KEYS)) + chance.choice(("", FOCUS_REPORT))
        for _ in range(chance.randint(1, 6))
    )


def _type_burst(deck: DeckDriver, keys: str, chance: random.Random) -> None:
    deck.shown.type(keys)
    if chance.random() < 0.3:
        os.kill(deck.shown.pid, signal.SIGSTOP)
        _read_output(deck, chance.choice(STOP_DURATIONS))
        os.kill(deck.shown.pid, signal.SIGCONT)
    if chance.random() < 0.1:
        deck.shown.type(format_size_report(chance.choice((60, 80, 100))))
    _read_output(deck, chance.choice(PAUSES))


def _read_output(deck: DeckDriver, seconds: float) -> None:
    """Read the deck's output, as a terminal does."""
    with suppress(AssertionError):
        deck.shown.wait(lambda _: False, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.monkey", description="Type random keys into a deck."
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default 10")
    parser.add_argument("--seed", type=int, default=1, help="of the random keys (default 1)")
    args = parser.parse_args()
    until = time.monotonic() + args.minutes * 60
    with open_deck() as deck:
        typed = type_randomly(deck, random.Random(args.seed), lambda _: time.monotonic() < until)
    print(f"{typed} bursts, nothing failed")


if __name__ == "__main__":
    main()
