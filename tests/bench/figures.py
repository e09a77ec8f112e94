"""Figures and how they are shown: what was measured, the raw limit of the same machine beside it, the goal, a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement. `judged` is the number that the goals speak of: the value itself, or its ratio to `beside`."""

    what: str
    value: float
    unit: str
    beside: float | None
    beside_what: str
    judged: float
    goal: float
    better: float | None = None
    at_most: bool = True

    @property
    def reached(self) -> bool:
        """Whether the issue's goal is reached."""
        return self._holds(self.goal)

    @property
    def verdict(self) -> str:
        """In words, with the further goal of the design where there is one."""
        if not self.reached:
            return "NOT reached"
        return "reached, and the further goal" if self.better is not None and self._holds(self.better) else "reached"

    def _holds(self, goal: float) -> bool:
        return self.judged <= goal if self.at_most else self.judged >= goal


HEADS = ("WHAT", "HERE", "BESIDE IT", "JUDGED", "GOAL", "FURTHER", "VERDICT")


def table(figures: Iterable[Figure]) -> str:
    """The figures as aligned lines."""
    rows = [HEADS, *map(_row, figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(figure: Figure) -> Sequence[str]:
    sign = "≤" if figure.at_most else "≥"
    beside = "–" if figure.beside is None else f"{_number(figure.beside)} {figure.unit} {figure.beside_what}"
    better = "–" if figure.better is None else f"{sign} {_number(figure.better)}"
    return (
        figure.what, f"{_number(figure.value)} {figure.unit}", beside, _number(figure.judged), f"{sign} {_number(figure.goal)}",
        better, figure.verdict,
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def document(figures: Iterable[Figure]) -> str:
    """The figures as one JSON list."""
    return json.dumps(
        [{**asdict(figure), "reached": figure.reached, "verdict": figure.verdict} for figure in figures], indent=1
    )
