"""A pattern as a machine: states that consume a character, and states that lead on without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Test = Callable[[str], bool]

MAX_STATES = 2_000


class BadPattern(ValueError):
    """The pattern cannot be used; the text says why, to follow "its pattern …"."""


class TooSlow(Exception):
    """The text is too long for this pattern to be tried in bounded time."""


@dataclass(frozen=True, slots=True)
class Look:
    """A look-ahead: another program that must, or must not, match from here."""

    program: Program
    wanted: bool


@dataclass(slots=True)
class Program:
    """States by number: `tests` consume a character; `splits` lead on without, `anchors` and `looks` on a condition."""

    tests: dict[int, tuple[Test, int]] = field(default_factory=dict)
    splits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    anchors: dict[int, tuple[str, int]] = field(default_factory=dict)
    looks: dict[int, tuple[Look, int]] = field(default_factory=dict)
    start: int = 0
    size: int = 1  # state 0 accepts
    plain: bool = True
    """Whether no group is repeated and at most three things are: then any matcher is fast on a short text."""

    def new(self) -> int:
        self.size += 1
        if self.size > MAX_STATES:
            raise BadPattern("is too large")
        return self.size - 1
