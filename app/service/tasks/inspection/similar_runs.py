"""Past runs similar to a task."""

from __future__ import annotations

import re
from typing import Any

from app.core.scheduling.forecasts.run_stats import PastRun, RunStats, compute_run_stats
from app.core.scheduling.forecasts.run_times import MIN_RUNS
from db.engine import Connection
from db.queries.scheduling import run_history
from db.rows import TaskRow

_DIGITS = re.compile(r"\d+")


def learn_from_similar(c: Connection, task: TaskRow) -> RunStats | None:
    """Return the statistics of past runs similar to a task, as `SimilarRuns` does."""
    return SimilarRuns(c).find(task)


class SimilarRuns:
    """Past runs similar to tasks, read once for many tasks.

    Runs of a task's template count, else of its name, else of names that differ only in digits.
    """

    def __init__(self, c: Connection) -> None:
        self._c = c
        self._found: dict[tuple[str, str], RunStats | None] = {}
        self._recent: list[Any] | None = None

    def find(self, task: TaskRow) -> RunStats | None:
        """Return the statistics of the runs similar to a task, or None if there are too few."""
        key = ("template", task.template) if task.template is not None else ("name", task.name)
        if key not in self._found:
            find = self._find_of_name if task.template is None else self._find_of_template
            self._found[key] = find(key[1])
        return self._found[key]

    def _find_of_template(self, template: str) -> RunStats | None:
        runs = run_history.list_of_template(self._c, template)
        return compute_run_stats("template", [PastRun(*row) for row in runs])

    def _find_of_name(self, name: str) -> RunStats | None:
        same = [PastRun(*row) for row in run_history.list_of_name(self._c, name)]
        if len(same) < MIN_RUNS:
            same = [PastRun(*row[1:]) for row in self._list_recent() if row[0] == name]
        if len(same) >= MIN_RUNS or not _DIGITS.search(name):
            return compute_run_stats("name", same)
        key = ("like", mask_digits(name))
        if key not in self._found:
            alike = [row for row in self._list_recent() if mask_digits(row[0]) == key[1]]
            self._found[key] = compute_run_stats("like", [PastRun(*row[1:]) for row in alike])
        return self._found[key]

    def _list_recent(self) -> list[Any]:
        if self._recent is None:
            self._recent = run_history.list_recent(self._c)
        return self._recent


def mask_digits(name: str) -> str:
    """Return a name with `#` for each group of digits: `encode S#E#.mkv`."""
    return _DIGITS.sub("#", name)
