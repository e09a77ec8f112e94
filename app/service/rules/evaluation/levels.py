"""Present values of rules, and how they changed in the last hour, kept in memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.core.rules.levels import Comparison, Level, find_charted, is_worse
from db.rows import SlaRow

STEP = 30.0
"""Seconds between two values of a trail."""
KEPT = 120
"""Values of a trail: an hour."""
LOOKS = 10
"""Rules per pass whose subjects are read only for their value, since none can break the rule."""
SHORT = 80
"""Characters of the short text of an alert."""
WHILE_DOWN = ", while down"
"""End of the text of an alert that fired late, since no runtime ran."""


Key = tuple[int, str]
"""Rule: its id, and when it was changed."""


def make_level_key(rule: SlaRow) -> Key:
    """Return the key of the levels of a rule. A changed rule has a new key."""
    return rule.id, rule.updated_at


class AlertText(NamedTuple):
    """Text of an alert that fires, with the value of now."""

    text: str
    value: float | None


class LevelLog:
    """Latest levels of each rule, the trail of its first metric, and what the rule leaves out.

    The level of a trail's step is the worst of the step. `texts` are those of the alerts that
    fire, by fingerprint.
    """

    def __init__(self) -> None:
        self.texts: Mapping[str, AlertText] = {}
        self._latest: dict[Key, Sequence[Level]] = {}
        self._trails: dict[Key, deque[Level]] = {}
        self._left_out: dict[Key, str] = {}

    def is_due(self, key: Key, now: float) -> bool:
        """Return whether the levels of a rule are older than a step."""
        levels = self._latest.get(key)
        return not levels or not 0 <= now - levels[0].at < STEP

    def add(self, key: Key, levels: Sequence[Level], comparisons: Sequence[Comparison]) -> None:
        """Add the levels of a pass; an infinite value reaches no limit."""
        found = [*map(_make_finite, levels)]
        self._latest[key] = found
        place = find_charted(comparisons)
        if place is not None:
            self._extend_trail(key, found[place], comparisons[place].op)

    def _extend_trail(self, key: Key, level: Level, op: str) -> None:
        trail = self._trails.setdefault(key, deque(maxlen=KEPT))
        last = trail[-1] if trail else None
        if last is None or not 0 <= level.at - last.at < STEP:
            trail.append(level)
        elif level.value is not None and (
            last.value is None or is_worse(op, level.value, last.value, level.limit or 0.0)
        ):
            trail[-1] = level._replace(at=last.at)

    def keep_only(self, keys: Sequence[Key]) -> None:
        """Forget all rules but these."""
        for key in (self._latest.keys() | self._trails.keys()) - {*keys}:
            self._latest.pop(key, None)
            self._trails.pop(key, None)
        for key in self._left_out.keys() - {*keys}:
            del self._left_out[key]

    def note_left_out(self, key: Key, text: str) -> bool:
        """Keep what a rule leaves out; return True if the rule left out nothing before."""
        was = self._left_out.pop(key, "")
        if text:
            self._left_out[key] = text
        return bool(text) and not was

    def get_left_out(self, key: Key) -> str:
        """Return what a rule leaves out in the latest pass, in words, or ""."""
        return self._left_out.get(key, "")

    def drop(self, key: Key) -> None:
        """Forget the latest levels of a rule that does not apply now."""
        self._latest.pop(key, None)

    def find(self, key: Key) -> Sequence[Level]:
        """Return the latest levels of a rule, none if it was not evaluated."""
        return self._latest.get(key, ())

    def list_trail(self, key: Key) -> list[Level]:
        """Return the trail of a rule, oldest first."""
        return list(self._trails.get(key, ()))


def _make_finite(level: Level) -> Level:
    if level.value is None or math.isfinite(level.value):
        return level
    return level._replace(value=None, is_below=True)
