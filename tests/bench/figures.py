"""Benchmark figures: the measured value, the raw limit beside it, the goal and a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement. `judged` is the value, or its ratio to `comparison`.

    A figure without a goal is shown for comparison only; one without a value was not measurable.
    """

    what: str
    value: float | None
    unit: str
    comparison: float | None
    beside_what: str
    judged: float | None
    goal: float | None = None
    target: float | None = None
    at_most: bool = True

    @classmethod
    def make_absent(cls, what: str) -> Figure:
        return cls(what, None, "", None, "", None)

    @property
    def is_reached(self) -> bool:
        """True if the goal is reached or missing."""
        return self.goal is None or self._meets(self.goal)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return "–"
        if not self.is_reached:
            return "NOT reached"
        return (
            "reached, and the further goal"
            if self.target is not None and self._meets(self.target)
            else "reached"
        )

    def _meets(self, goal: float) -> bool:
        if self.judged is None:
            return False
        return self.judged <= goal if self.at_most else self.judged >= goal


HEADINGS = ("WHAT", "HERE", "BESIDE IT", "JUDGED", "GOAL", "FURTHER", "VERDICT")


def format_table(figures: Iterable[Figure]) -> str:
    """Return the figures as aligned lines."""
    rows = [HEADINGS, *map(_format_row, figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _format_row(figure: Figure) -> Sequence[str]:
    sign = "≤" if figure.at_most else "≥"
    goals = (
        "–" if goal is None else f"{sign} {_format_number(goal)}"
        for goal in (figure.goal, figure.target)
    )
    beside = _format_value(figure.comparison, f"{figure.unit} {figure.beside_what}")
    return (
        figure.what, _format_value(figure.value, figure.unit), beside,
        _format_value(figure.judged, "").strip(), *goals, figure.verdict,
    )  # fmt: skip


def _format_value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{_format_number(value)} {unit}"


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def format_json(figures: Iterable[Figure]) -> str:
    """Return the figures as one JSON list."""
    return json.dumps(
        [
            {**asdict(figure), "reached": figure.is_reached, "verdict": figure.verdict}
            for figure in figures
        ],
        indent=1,
    )
