"""Task numbers: the used ones, the lost ones and the next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries.tasks import task_numbers
from db.restore.adopt_runs import ObservedRun
from db.restore.merge.result import PASSED_OVER, VERB, ReconcileResult

SAFETY_MARGIN = 1000
"""Numbers skipped if the last used number is unknown."""
MAX_LISTED = 100
"""Lost numbers listed individually."""


@dataclass(frozen=True, slots=True)
class _UsedNumbers:
    """Highest number known to be used, and highest number that may be used."""

    known: int
    last: int


def find_used_numbers(
    c: Connection,
    before: int,
    highest: int,
    observed_runs: Sequence[ObservedRun],
    is_descendant: bool | None,
) -> _UsedNumbers:
    """Determine the used numbers, before any task is copied.

    `is_descendant`: the present database continued from the backup; None: its counter decides.
    """
    counted = [
        value
        for value in raw_sql.fetch_column(
            c, "SELECT value FROM old.counters WHERE name = 'task-number'"
        )
        if isinstance(value, int)
    ]
    given = [before, highest, *(run.number or 0 for run in observed_runs), *counted]
    given += [
        value or 0
        for value in raw_sql.fetch_column(
            c, "SELECT max(number) FROM old.tasks WHERE typeof(number) = 'integer'"
        )
    ]
    given += [value or 0 for value in raw_sql.fetch_column(c, "SELECT max(number) FROM main.tasks")]
    # higher numbers were never given out
    given = [0, *(number for number in given if number < task_numbers.MAX_NUMBER)]
    is_counter_trusted = (
        max([0, *counted]) >= max(before, 1) if is_descendant is None else is_descendant
    )
    return _UsedNumbers(max(given), max(given) + (0 if is_counter_trusted else SAFETY_MARGIN))


def set_next_number(
    c: Connection,
    result: ReconcileResult,
    before: int,
    used_numbers: _UsedNumbers,
    skipped_ranges: Sequence[tuple[int, int]],
) -> None:
    """Set the next number above all used ones, and report lost numbers."""
    if not result.whole:
        missing_numbers = set(
            raw_sql.fetch_column(c, "SELECT number FROM main.tasks WHERE number > ?", (before,))
        )
        missing_numbers = missing_numbers.union(
            *_find_skipped_ranges(c),
            *(range(low, min(high, low + SAFETY_MARGIN) + 1) for low, high in skipped_ranges),
        )
        result.lost = [
            number
            for number in range(before + 1, min(used_numbers.known, before + MAX_LISTED * 100) + 1)
            if number not in missing_numbers
        ]
        result.at_most = (
            len(result.lost) >= SAFETY_MARGIN
            and raw_sql.fetch_value(c, "SELECT count(*) FROM old.operations") == 0
        )
    result.passed_over = (
        [used_numbers.known + 1, used_numbers.last]
        if used_numbers.last > used_numbers.known
        else []
    )
    last = max([used_numbers.last, *result.adopted, *(new for _, new in result.renumbered)])
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.counters (name, value, created_at, updated_at) VALUES ('task-number',"
        " :value, :now, :now) ON CONFLICT (name) DO UPDATE SET value = :value, updated_at = :now",
        {"value": last, "now": now},
    )
    result.next = last + 1


def _find_skipped_ranges(c: Connection) -> Iterator[range]:
    """Yield number ranges skipped by earlier restores, as far as operations tell."""
    for schema in ("main", "old"):
        for after in raw_sql.fetch_column(
            c,
            f"SELECT after FROM {schema}.operations WHERE verb = ? AND typeof(after) = 'text'",
            (VERB,),
        ):
            with suppress(ValueError, TypeError, AttributeError, KeyError):
                first, last = json.loads(after)[PASSED_OVER]
                yield range(first, min(last, first + SAFETY_MARGIN) + 1)
