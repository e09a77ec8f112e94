"""`python -m tests.bench`: the figures of the design, measured here and now, each beside the raw limit of this machine.

Each part has a home of its own in a temporary folder, which is removed afterwards. On a busy machine look at the ratios.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.acceptance.house import House
from tests.bench import adoption, bulk, commands, deck, drain, idle, latency
from tests.bench.figures import Figure, document, table


def main() -> int:
    """Measure what was asked for and print it; 1 when a goal is not reached."""
    args = _arguments()
    parts: dict[str, Callable[[House], Iterable[Figure]]] = {
        "commands": commands.measure,
        "bulk": bulk.measure,
        "drain": drain.measure,
        "latency": latency.measure,
        "adoption": adoption.measure,
        "idle": idle.measure,
        "deck": lambda house: deck.measure(house, args.tasks),
    }
    figures: list[Figure] = []
    for name in args.part or parts:
        print(f"measuring {name}…", file=sys.stderr)
        figures += _in_a_home(parts[name])
    print(document(figures) if args.json else table(figures))
    return 0 if all(figure.reached for figure in figures) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures Taskdeck on this machine.")
    parser.add_argument(
        "part", nargs="*", help="commands, bulk, drain, latency, adoption, idle, deck; all when none is named"
    )
    parser.add_argument("--json", action="store_true", help="one JSON list")
    parser.add_argument("--tasks", type=int, default=100_000, help="queued tasks behind the deck (default 100000)")
    return parser.parse_args()


def _in_a_home(measure: Callable[[House], Iterable[Figure]]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        house = House(Path(root))
        try:
            yield from measure(house)
        finally:
            house.close()


if __name__ == "__main__":
    sys.exit(main())
