"""Past runs similar to a task."""

from __future__ import annotations

import re

from app.core.scheduling.run_stats import PastRun, RunStats, compute_run_stats
from app.core.scheduling.run_times import MIN_RUNS
from db.engine import Connection
from db.queries import run_history
from db.rows import TaskRow

_DIGITS = re.compile(r"\d+")


def learn_from_similar(c: Connection, task: TaskRow) -> RunStats | None:
    """Return the statistics of past runs similar to a task.

    Runs of its template count, else of its name, else of names that differ only in digits.
    """
    if task.template is not None:
        return compute_run_stats(
            "template", [PastRun(*row) for row in run_history.list_of_template(c, task.template)]
        )
    same = [PastRun(*row) for row in run_history.list_of_name(c, task.name)]
    recent = run_history.list_recent(c) if len(same) < MIN_RUNS else []
    same = (
        same
        if len(same) >= MIN_RUNS
        else [PastRun(*row[1:]) for row in recent if row[0] == task.name]
    )
    if len(same) >= MIN_RUNS or not _DIGITS.search(task.name):
        return compute_run_stats("name", same)
    alike = mask_digits(task.name)
    return compute_run_stats(
        "like", [PastRun(*row[1:]) for row in recent if mask_digits(row[0]) == alike]
    )


def mask_digits(name: str) -> str:
    """Return a name with `#` for each group of digits: `encode S#E#.mkv`."""
    return _DIGITS.sub("#", name)
