"""Reconciliation: merge changes made after the backup into a restored database.

The goal is that no work runs twice, no task is forgotten and no number is reused. All changes are
made in the rebuilt file, before it replaces the present database. The present database is only
read: attached as `old` if it is intact, else salvaged into another file that is attached instead.
Runs that neither database has are known from the keeper's journal and the logs (`ObservedRun`). The
task of such a run may be unknown. The task may then be any waiting one, so all waiting tasks are
held. These runs are recorded too, so that later backups know them.

The steps are in `db/restore/merge`; `_merge` calls them in order.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from db import raw_sql
from db.error_translation import translate_error
from db.errors import DamagedDatabase
from db.queries import counters
from db.queries.history import operations
from db.queries.scheduling import loads
from db.queries.tasks import task_numbers, transitions
from db.restore.adopt_runs import ObservedRun
from db.restore.merge.decisions import merge_decisions, note_decisions
from db.restore.merge.ends import end_deleted_tasks
from db.restore.merge.lineage import has_last_operation, is_unrelated, was_restored_since
from db.restore.merge.losses import list_definitions, report_missing
from db.restore.merge.numbers import find_used_numbers, set_next_number
from db.restore.merge.observed_runs import UNSEEN, hold_waiting, merge_observed_runs
from db.restore.merge.other_rows import (
    keep_home,
    merge_fires,
    merge_messages,
    merge_pending_parents,
    merge_replica,
)
from db.restore.merge.result import PASSED_OVER, VERB, ReconcileResult
from db.restore.merge.rows import quote_words
from db.restore.merge.runs import merge_recorded_runs, merge_runs
from db.restore.merge.tasks import merge_tasks
from db.restore.salvage import salvage
from db.sqlite_files import make_existing_uri, make_read_only_uri, remove_database
from db.states import ACTIVE_SQL, ENDED, WAITING


@dataclass(frozen=True, slots=True)
class RestoreFacts:
    """Facts of a restore that the two databases do not tell.

    `list_observed` returns the runs known to keeper and logs, needed where the present database may
    be incomplete. `highest`: the highest number in any backup. `by` and `what` are author and
    object in the operation log. `idle`: no number was assigned since the last backup, which is the
    one restored if it is the `latest`. `behind`: the present database lacks its latest writes.
    `skipped_ranges`: number ranges skipped by known restores.
    """

    list_observed: Callable[[], Sequence[ObservedRun]]
    highest: int
    by: str
    what: str
    idle: bool = False
    behind: bool = False
    skipped_ranges: Sequence[tuple[int, int]] = ()
    latest: bool = True


def reconcile(
    target: Path, present: Path | None, sound: bool, facts: RestoreFacts
) -> ReconcileResult:
    """Merge changes since the backup from `present` and observed runs into `target`.

    `present`: the current database, or None; `sound` if it was checked. Raise sqlite3.Error.
    """
    if present is not None and sound:
        with _ignore_damage(present), _open_attached(target, present) as c:
            return _record_restore(c, _merge(c, True, facts), facts.by, facts.what)
    saved = target.with_name(f"{target.name}.saved")
    remove_database(saved)  # left by a killed restore
    try:
        salvage(present, target, saved)
        with _open_attached(target, saved) as c:
            return _record_restore(c, _merge(c, False, facts), facts.by, facts.what)
    finally:
        remove_database(saved)


@contextmanager
def _ignore_damage(present: Path) -> Iterator[None]:
    """Suppress errors of a damaged database only. A full disk is no damage."""
    try:
        yield
    except raw_sql.DRIVER_ERRORS as error:
        if not isinstance(translate_error(error, present), DamagedDatabase):
            raise


@contextmanager
def _open_attached(target: Path, old: Path) -> Iterator[Connection]:
    """Open a transaction on `target` with `old` attached read-only."""

    def connect() -> sqlite3.Connection:
        c = sqlite3.connect(make_existing_uri(target), uri=True, isolation_level=None, timeout=10)
        # statements skip dangling references; a later check finds others
        c.execute("PRAGMA foreign_keys=OFF")
        c.execute("ATTACH ? AS old", (make_read_only_uri(old),))
        return c

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as c, c.begin():
            yield c
    except Exception as error:
        cause = getattr(error, "orig", error)
        raise cause if isinstance(cause, sqlite3.Error) else error from None
    finally:
        engine.dispose()


def _merge(c: Connection, whole: bool, facts: RestoreFacts) -> ReconcileResult:
    result = ReconcileResult(whole=whole)
    counters.delete_below(c, task_numbers.SUBMISSIONS)  # the rest may have run since
    before = _read_last_number(c)
    open_tasks = _list_open_tasks(c)
    old_definitions = list_definitions(c, "main")
    decided_runs = {*raw_sql.fetch_column(c, "SELECT runid FROM main.forgotten WHERE task_id = ''")}
    merge_recorded_runs(c)
    end_deleted_tasks(c)
    is_descendant = whole and not is_unrelated(c, before)
    merge_replica(c, is_descendant)
    keep_home(c)
    is_complete_history = is_descendant and not was_restored_since(c)
    observed: Sequence[ObservedRun] = () if is_complete_history else facts.list_observed()
    used_numbers = find_used_numbers(
        c,
        before,
        facts.highest,
        observed,
        is_descendant if whole else False if facts.behind else True if facts.idle else None,
    )
    if whole:
        note_decisions(c, is_complete_history and has_last_operation(c))
    merge_tasks(c, result, used_numbers.last)
    merge_pending_parents(c)
    merge_fires(c)
    merge_messages(c)
    merge_runs(c, result)
    cancelled = merge_decisions(c, result) if whole else set()
    no_runs_missing = is_descendant or facts.idle and facts.latest and not whole
    held = (
        []
        if is_complete_history
        else merge_observed_runs(
            c, observed, result, decided_runs, used_numbers.last, facts.behind, no_runs_missing
        )
    )
    if not no_runs_missing:
        held += hold_waiting(c, UNSEEN)
    set_next_number(c, result, before, used_numbers, facts.skipped_ranges)
    ended = _list_ended(c, open_tasks)
    transitions.propagate_to_children(c, [row.uuid for row in ended])
    loads.recount_loads(c)
    result.held = _count_waiting(c, held)
    result.ended = sorted(row.number for row in ended if row.uuid not in cancelled)
    result.alive = _count_active_runs(c)
    report_missing(c, result, old_definitions)
    return result


def _read_last_number(c: Connection) -> int:
    return raw_sql.fetch_value(
        c, "SELECT coalesce((SELECT value FROM main.counters WHERE name = 'task-number'), 0)"
    )


def _list_open_tasks(c: Connection) -> list[str]:
    """Return the uuids of the tasks that have not ended."""
    return raw_sql.fetch_column(
        c, f"SELECT uuid FROM main.tasks WHERE status NOT IN ({quote_words(ENDED)})"
    )


def _list_ended(c: Connection, uuids: Sequence[str]) -> Sequence[Any]:
    """Return uuid and number of each task that has ended."""
    return raw_sql.fetch_rows(
        c,
        "SELECT uuid, number FROM main.tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
        f" +status IN ({quote_words(ENDED)})",
        (json.dumps(uuids),),
    )


def _count_waiting(c: Connection, uuids: Sequence[str]) -> int:
    return raw_sql.fetch_value(
        c,
        "SELECT count(*) FROM main.tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
        f" +status IN ({quote_words(WAITING)})",
        (json.dumps(uuids),),
    )


def _count_active_runs(c: Connection) -> int:
    return raw_sql.fetch_value(
        c, f"SELECT count(*) FROM main.instances WHERE status IN {ACTIVE_SQL}"
    )


def _record_restore(c: Connection, result: ReconcileResult, by: str, what: str) -> ReconcileResult:
    """Record the restore as an operation, with an id above all dropped operations."""
    figures: dict[str, Any] = {
        "tasks": len(result.tasks),
        "runs": result.runs,
        "ended": len(result.ended),
        "lost": len(result.lost),
    }
    figures["held"] = result.held
    if result.adopted:
        figures["adopted"] = result.adopted
    if result.passed_over:
        figures[PASSED_OVER] = result.passed_over
    last = (
        raw_sql.fetch_value(c, "SELECT max(id) FROM old.operations WHERE typeof(id) = 'integer'")
        or 0
    )
    operations.record_above(c, by, VERB, what, figures, last)
    return result
