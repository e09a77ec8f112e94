"""Runs known only from keeper and logs, and the holds on tasks that may have run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries.tasks import transitions
from db.queries.tasks.run_end import RunFacts, RunVerdict
from db.restore import adopt_runs
from db.restore.adopt_runs import ObservedRun
from db.restore.merge.ends import end_tasks
from db.restore.merge.result import BY, ReconcileResult
from db.restore.merge.rows import quote_words
from db.states import ACTIVE_SQL, ENDED, WAITING, RunStatus

_END_REASON = "ended after the backup"
UNSEEN = (
    "AND NOT EXISTS (SELECT 1 FROM old.tasks o WHERE o.uuid = main.tasks.uuid AND o.status IN"
    f" ({quote_words(WAITING)}))"
)
"""Tasks that do not wait in the present database: they may have run, and their rows and logs may be
deleted."""


def merge_observed_runs(
    c: Connection,
    observed_runs: Sequence[ObservedRun],
    result: ReconcileResult,
    decided_runs: set[str],
    last: int,
    behind: bool,
    no_runs_missing: bool,
) -> list[str]:
    """Merge runs known only from keeper or logs; return the tasks held for them.

    `decided_runs`: runs of unknown tasks that the backup knows. The present database recorded other
    such runs and held its tasks for them. `last`: the highest number that may be used. `behind`:
    tasks that wait in the present database may have run. `no_runs_missing`: nothing else ran.
    """
    given, observed_by_id = (
        json.dumps([observed.runid for observed in observed_runs]),
        {observed.runid: observed for observed in observed_runs},
    )
    tried = _end_unreported_runs(c, observed_by_id)
    known: set[str] = set()
    for table in ("instances", "forgotten", "discarded_logs"):
        known |= {
            *raw_sql.fetch_column(
                c,
                f"SELECT runid FROM main.{table} WHERE runid IN (SELECT value FROM json_each(?))",
                (given,),
            )
        }
    unknown = [
        observed.runid
        for observed in observed_runs
        if observed.runid not in known and not _attach_run(c, observed, result, last)
    ]
    earlier = {
        *raw_sql.fetch_column(c, "SELECT runid FROM main.forgotten WHERE task_id = ''")
    } - decided_runs
    held: list[str] = []
    if unknown:
        held = hold_waiting(c, released="" if behind else UNSEEN)
    elif earlier:
        held = hold_waiting(
            c, "AND uuid NOT IN (SELECT uuid FROM old.tasks)" if result.whole else ""
        )
    result.unknown = len(unknown) + (len(earlier) if held else 0)
    held += hold_waiting(c, "AND uuid IN (SELECT value FROM json_each(:given))", tried)
    if unknown or not no_runs_missing:
        transitions.hold(c, _find_possible_retries(c, observed_by_id), True, BY)
    _record_unknown_runs(c, unknown)
    return held


def _find_possible_retries(c: Connection, observed_by_id: dict[str, ObservedRun]) -> list[str]:
    """Return tasks whose run ended, that have attempts left, and that have no active run.

    The keeper may have reported the end before, so another attempt may have run since.
    """
    rows = raw_sql.fetch_rows(
        c, f"SELECT r.runid, r.task_id FROM main.instances r WHERE r.status IN {ACTIVE_SQL}"
    )
    known = [
        (row.task_id, observed_by_id[row.runid]) for row in rows if row.runid in observed_by_id
    ]
    go_on = {task_id for task_id, observed in known if observed.is_active}
    ended = {
        task_id for task_id, observed in known if observed.is_reported and observed.can_be_retried
    } - go_on
    return [uuid for uuid in sorted(ended) if _has_attempts(c, uuid)]


def _end_unreported_runs(c: Connection, observed_by_id: dict[str, ObservedRun]) -> list[str]:
    """End active runs whose end no keeper will report; return tasks with attempts left.

    Runs with an unknown outcome are lost and not retried. A run in the present database is kept
    unless its end is known: the keeper forgets an end only once it is stored. Further attempts of
    the returned tasks may have run since.
    """
    active = (
        "SELECT r.runid, r.task_id, r.stop_reason, EXISTS (SELECT 1 FROM old.instances o WHERE"
        f" o.runid = r.runid) AS named FROM main.instances r WHERE r.status IN {ACTIVE_SQL}"
    )
    tried = []
    for row in raw_sql.fetch_rows(c, active):
        observed = observed_by_id.get(row.runid, ObservedRun(row.runid))
        if observed.is_reported or not (observed.ended or not row.named):
            continue
        if (
            observed.can_be_retried
            and row.stop_reason in {None, observed.stop}
            and _has_attempts(c, row.task_id)
        ):
            _record_failure(c, observed)
            tried.append(row.task_id)
        else:
            _end_run(c, row.task_id, observed)
    return tried


def _has_attempts(c: Connection, task_id: str) -> bool:
    return (
        raw_sql.fetch_value(
            c, "SELECT failures < retries FROM main.tasks WHERE uuid = ?", (task_id,)
        )
        == 1
    )


def _record_failure(c: Connection, observed: ObservedRun) -> None:
    """Record a failed run whose task waits for a retry."""

    def judge(run: RunFacts, end: dict[str, Any]) -> RunVerdict:
        return RunVerdict(RunStatus(observed.status), _END_REASON, run.retry_delay)

    at = timestamps.to_unix(timestamps.now()) if observed.end is None else observed.end
    transitions.record_ends(c, [{"run": observed.runid, "code": observed.code, "at": at}], judge)


def _end_run(c: Connection, task_id: str, observed: ObservedRun) -> None:
    """End a run and its task, whatever attempts are left."""
    reason = _END_REASON if observed.ended else f"{_END_REASON}; outcome unknown"
    at = timestamps.now() if observed.end is None else timestamps.from_unix(observed.end)
    end_tasks(c, [task_id], reason, observed.status, at)
    _record_run(c, observed.runid, task_id, observed.status, at)


def _attach_run(c: Connection, observed: ObservedRun, result: ReconcileResult, last: int) -> bool:
    """Attach a run to its task or a new one; return True if its task is known."""
    if observed.is_active:
        number = adopt_runs.adopt_run(
            c,
            observed,
            BY,
            lambda: max([last, *result.adopted, *(new for _, new in result.renumbered)]) + 1,
        )
        result.adopted += [] if number is None else [number]
    elif observed.number is not None:
        for uuid in raw_sql.fetch_column(
            c,
            "SELECT uuid FROM main.tasks WHERE number = ? AND +status NOT IN"
            f" ({quote_words(ENDED)})",
            (observed.number,),
        ):
            _end_run(c, uuid, observed)
    return observed.number is not None


def _record_run(c: Connection, runid: str, task_id: str, status: str, ended_at: str) -> None:
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT OR IGNORE INTO main.forgotten (runid, task_id, number, status, ended_at,"
        " created_at, updated_at) SELECT ?, uuid, number, ?, ?, ?, ? FROM main.tasks WHERE"
        " uuid = ?",
        (runid, status, ended_at, now, now, task_id),
    )


def _record_unknown_runs(c: Connection, runids: Sequence[str]) -> None:
    """Record runs of unknown tasks, so that they are judged once."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "INSERT INTO main.forgotten (runid, task_id, status, ended_at, created_at, updated_at)"
        " VALUES (?, '', 'lost', ?, ?, ?)",
        [(runid, now, now, now) for runid in runids],
    )


def hold_waiting(
    c: Connection, condition: str = "", given: Sequence[str] = (), released: str = UNSEEN
) -> list[str]:
    """Hold waiting tasks that may have run already; return them.

    Tasks held by a user are held for this reason too if they may have been `released` and run.
    """
    found = (
        f"SELECT uuid FROM main.tasks WHERE status IN ({quote_words(WAITING)}) AND deleted_at IS"
        f" NULL AND (hold = 0 OR held_by IS NOT '{BY}' {released}) {condition}"
    )
    waiting = raw_sql.fetch_column(c, found, {"given": json.dumps(list(given))})
    transitions.hold(c, waiting, True, BY)
    return waiting
