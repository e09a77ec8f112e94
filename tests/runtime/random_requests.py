"""Random requests to the control socket: known verbs with arguments of right and wrong types."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from app.service.registry import VERBS

SKIPPED_VERBS = {"start", "stop", "doctor", "db.backup", "db.check", "db.repair", "db.replica.set",
                 "db.replica.off"}  # fmt: skip
"""Verbs that end the runtime, write files or take long."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 1.0, 0.5, -0.0, float("nan"), float("inf"), 1e308, 2**31,
    2**63, 10**30, "", "1", "#1", "default", "q", "x" * 3000, "\udcff", "\0", "\x1b]52;c;A\x07",
    "5m", "status:failed", "failed", "tomorrow", "-", "{", "[[]]", "a = 1", "2026-01-31T08:00",
    "day", "queue", "number", "after", "task", "%", "'", "{{ x }}", "\n",
)  # fmt: skip
KEYS = (
    "name", "status", "queue", "limit", "argv", "template", "parameters", "tag", "tags", "env",
    "after", "since", "filter", "as_of", "timeout", "cpu", "retries", "priority", "default", "1",
    "", "\udcff", "stays_below",
)  # fmt: skip


def make_value(dice: random.Random, depth: int = 0) -> Any:
    """Return a random JSON value."""
    kind = dice.random()
    if depth < 3 and kind < 0.2:
        return [make_value(dice, depth + 1) for _ in range(dice.randint(0, 3))]
    if depth < 3 and kind < 0.35:
        return {dice.choice(KEYS): make_value(dice, depth + 1) for _ in range(dice.randint(0, 3))}
    return dice.choice(VALUES)


def make_requests(seed: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield verbs with arguments; a wait has a time limit."""
    dice = random.Random(seed)
    verbs = sorted(VERBS.keys() - SKIPPED_VERBS)
    for _ in range(count):
        verb = dice.choice(verbs)
        parameters = list(VERBS[verb].signature.parameters.values())[1:]
        args = {
            one.name: _make_argument(dice, str(one.annotation))
            for one in parameters
            if one.default is one.empty or dice.random() < 0.4
        }
        yield verb, args | ({"timeout": 0} if verb == "wait" else {})


def _make_argument(dice: random.Random, annotation: str) -> Any:
    """Return a value that often has the type of the annotation."""
    if dice.random() < 0.3:
        return make_value(dice)
    value = make_value(dice)
    if annotation.startswith(("Sequence", "Ids")):
        return [dice.choice((1, "1", "q", value)) for _ in range(dice.randint(0, 2))]
    if annotation.startswith(("dict", "Select")):
        return {dice.choice(KEYS): value for _ in range(dice.randint(0, 3))}
    if annotation.startswith("str"):
        return dice.choice([one for one in VALUES if isinstance(one, str)])
    return value
