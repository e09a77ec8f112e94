"""Benchmarks of the design's goals: `python -m tests.bench`.

Each figure is shown beside the raw limit of the machine. Each part has its own temporary home. On a
busy machine the ratios are more reliable than the times.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench import (
    adoption,
    backups,
    bulk,
    commands,
    deck,
    drain,
    enforced,
    groups,
    idle,
    latency,
    log_view,
    memory,
    rounds,
    rules,
    schedules,
    screens,
    search,
)
from tests.bench.figures import Figure, format_json, format_table

PARTS: dict[str, Callable[[AcceptanceHome, int], Iterable[Figure]]] = {
    "commands": lambda house, _: commands.measure(house),
    "bulk": lambda house, _: bulk.measure(house),
    "groups": lambda house, _: groups.measure(house),
    "drain": lambda house, _: drain.measure(house),
    "enforced": lambda house, _: enforced.measure(house),
    "latency": lambda house, _: latency.measure(house),
    "adoption": lambda house, _: adoption.measure(house),
    "idle": lambda house, _: idle.measure(house),
    "deck": deck.measure,
    "screens": screens.measure,
    "log": lambda house, _: log_view.measure(house),
    "search": lambda house, _: search.measure(house),
    "memory": memory.measure,
    "rules": rules.measure,
    "rounds": rounds.measure,
    "schedules": lambda house, _: schedules.measure(house),
    "data": backups.measure,
}


def main() -> int:
    """Measure the selected parts and print them; return 1 if a goal is missed."""
    args = _arguments()
    logging.disable()  # what a verb logs in this process, as about large homes
    figures: list[Figure] = []
    for name in args.part or PARTS:
        print(f"measuring {name}…", file=sys.stderr)
        figures += _run_in_home(lambda house, name=name: PARTS[name](house, args.tasks))
    print(format_json(figures) if args.json else format_table(figures))
    return 0 if all(figure.is_reached for figure in figures) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measures Taskdeck on this machine."
    )
    parser.add_argument(
        "part",
        nargs="*",
        help=(
            "commands, bulk, drain, enforced, latency, adoption, idle, deck, screens, log, search,"
            " memory, rules, rounds, schedules, data; all when none is named"
        ),
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument(
        "--tasks", type=int, default=100_000, help="queued tasks behind the deck (default 100000)"
    )
    args = parser.parse_args()
    if wrong := set(args.part) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    return args


def _run_in_home(measure: Callable[[AcceptanceHome], Iterable[Figure]]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        house = AcceptanceHome(Path(root))
        try:
            yield from measure(house)
        finally:
            house.close()


if __name__ == "__main__":
    sys.exit(main())
