"""Retry of ended tasks, with the tasks that were cancelled because of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter

from app.core import oom_retry, task_spec
from app.core.scheduling.explanations.reasons import PARENT_ENDINGS
from app.core.text.joining import join_and
from app.core.text.sanitize import sanitize
from app.core.verb_states import VERB_STATES, WAITING_STATES
from app.errors import Conflict, Problem, Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes import new_values, setting_checks
from app.service.tasks.changes.apply import (
    Ids,
    Select,
    apply_to_tasks,
    format_number,
    get_uuids,
    is_nothing,
    make_note,
)
from app.service.tasks.changes.option_values import ENDS, validate
from app.service.tasks.client_bounds import ClientGuard, parse_client, refuse_with_client
from app.service.tasks.lookup import AnyTask
from app.service.tasks.places import read_places
from app.translation import tr, tr_n
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.tasks import dependencies, pending_parents, transitions
from db.restore.adopt_runs import UNREADABLE
from db.states import ENDED, FAILED, TaskStatus

STOP_WAIT = 5.0
"""Seconds that a retry waits for tasks that are being cancelled."""


async def retry(
    call: Call,
    *,
    ids: Ids = None,
    select: Select = None,
    again: bool = False,
    ends: dict[str, float] | None = None,
    with_dependents: bool = False,
    failed: bool = False,
    fields: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Retry ended tasks, successful ones only with `again`, and with new `fields` if given.

    `ends` gives the expected end by uuid, in UNIX seconds; a task that ended again since is
    refused. With `with_dependents`, the tasks that were cancelled because of these wait for them
    again, also if these were retried before or succeeded meanwhile. With `failed`, only tasks that
    failed, timed out or were lost run again; of a group these are the usual ones. With `client`,
    refuse tasks of others, and more tasks than the client may have.
    """
    guard = ClientGuard(parse_client(client), call.by)
    if with_dependents:
        refuse_with_client(guard.client, "with_dependents")
    expected = validate("ends", ENDS, ends or {})
    await _wait_for_stops(call, ids)
    new = await call.db.read(NewRequests, fields or {})
    pending = {*await call.db.read(pending_parents.list_uuids)}
    leaders = list[str]()

    def may(row: AnyTask) -> None:
        guard.refuse_others(row)
        if with_dependents and (left := _describe_leader(row, again, bool(fields))):
            leaders.append(row.uuid)
            raise make_note(left)
        _refuse_not_ended(row, failed)
        _refuse_pending(row, pending)
        refuse_other_end(row, expected)
        if not again:
            _refuse_succeeded(row)
        refuse_unreadable(row)
        new.check(row)
        guard.take_place(row)

    def prepare(c: Connection, rows: Sequence[AnyTask]) -> None:
        new.bounds.prepare(c, rows)
        guard.prepare_retry(c, rows)

    notes: list[str] = []

    def act(c: Connection, rows: list[AnyTask]) -> None:
        uuids = get_uuids(rows)
        leaders.extend(uuids)
        new.write(c, rows)
        notes.extend(_describe_lost_oom_retries(rows, new.memory))
        failed_parents = dependencies.list_failed_parents(c, uuids)
        transitions.retry(c, uuids, call.by)
        if not with_dependents:
            cancelled = dependencies.list_cancelled_children(c, uuids)
            notes.extend(_describe_left_cancelled(rows, *cancelled))
        notes.extend(_describe_failed_parents(failed_parents))

    states = (*VERB_STATES["retry"], *(("succeeded",) if again and not failed else ()))
    report = await apply_to_tasks(call, "retry", ids, select, may, act, states=states,
                                  prepare=prepare)  # fmt: skip
    report["notes"] += notes
    if with_dependents:
        leaders += await call.db.read(_list_others_of_groups, ids)
        _add_report(report, await _retry_dependents(call, leaders))
    return report


def _refuse_not_ended(row: AnyTask, failed: bool) -> None:
    """Raise Conflict for a task that has not ended; with `failed`, note one that has not failed."""
    if failed and row.status not in FAILED:
        raise make_note(
            tr("{row} is {status}, not failed.", row=format_number(row), status=tr(row.status))
        )
    if row.status not in ENDED:
        raise Conflict(
            "{number} is {status}: only a task that has ended runs again.",
            number=format_number(row),
            status=tr(row.status),
        )


def _refuse_succeeded(row: AnyTask) -> None:
    if row.status == TaskStatus.SUCCEEDED:
        raise Conflict(
            "{number} succeeded. To run it again anyway: taskdeck retry --again {word}",
            number=format_number(row),
            word=row.number,
        )


async def _wait_for_stops(call: Call, ids: Ids) -> None:
    """Wait briefly for the end of tasks that are being cancelled, so that they can be retried."""
    if call.live is None or not ids:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_WAIT):
            async for _ in call.live.watch_changes():
                if not await call.db.read(_has_stopping, ids):
                    return


def _has_stopping(c: Connection, ids: Ids) -> bool:
    try:
        uuids = {*lookup.find_all(c, [ids] if isinstance(ids, (str, int)) else ids or ())}
    except Problem:
        return False  # told by the retry itself
    return any(run.status == "stopping" and run.task_id in uuids for run in reads.list_running(c))


_FIELDS: dict[str, TypeAdapter[Any]] = {
    "cpu": TypeAdapter(task_spec.Cpu),
    "memory": TypeAdapter(task_spec.Size),
    "resources": TypeAdapter(task_spec.Resources),
    "timeout": TypeAdapter(task_spec.Timeout | None),
}


class NewRequests:
    """New requests and timeouts of tasks that run again."""

    def __init__(self, c: Connection, fields: Mapping[str, Any]) -> None:
        if unknown := [*fields.keys() - _FIELDS.keys()]:
            raise Usage(
                'retry cannot change "{unknown}". Nothing was changed.',
                unknown=sanitize(unknown[0]),
            )
        self._values = {name: validate(name, _FIELDS[name], fields[name]) for name in fields}
        self._places = read_places(c) if fields else {}
        self.bounds = setting_checks.LimitCheck(c, fields)

    @property
    def memory(self) -> float | None:
        """New memory in MiB, if given."""
        return self._values.get("memory")

    def check(self, row: AnyTask) -> None:
        """Raise Problem if the pool of a task can never hold the request."""
        setting_checks.refuse_early_signal(row, self._values)
        joined = new_values.join_resources(row, self._values)
        setting_checks.refuse_misfit(self._places, row, joined)
        self.bounds.refuse_excess(row, joined)

    def write(self, c: Connection, rows: Sequence[AnyTask]) -> None:
        """Store what changes of these tasks."""
        new_values.write_values(c, rows, self._values)


def _describe_lost_oom_retries(rows: Sequence[AnyTask], memory: float | None) -> list[str]:
    """Note the tasks whose new memory is all that --retry-on-oom allows."""
    if memory is None:
        return []
    lost = [
        (row, rule, why)
        for row in rows
        if (rule := row.retry_on_oom) and (why := oom_retry.find_conflict(rule, memory))
    ]
    said = [
        tr(
            "{row} gets no more memory after another kill: {why} To raise the limit: taskdeck"
            " set {number} --retry-on-oom {option}",
            row=format_number(row),
            why=why,
            number=row.number,
            option=oom_retry.widen(rule, memory),
        )
        for row, rule, why in lost[:_MAX_NAMED]
    ]
    return said + _describe_more(lost)


def _describe_leader(row: AnyTask, again: bool, has_new: bool) -> str | None:
    """Return why a task itself does not run again, only those that were cancelled with it."""
    if row.status == TaskStatus.SUCCEEDED and not again:
        number = format_number(row)
        return (
            tr(
                "{row} succeeded, so it does not run again and keeps its requests."
                " To run it again: --again",
                row=number,
            )
            if has_new
            else tr("{row} succeeded, so it does not run again.", row=number)
        )
    return (
        None
        if row.status in ENDED
        else tr("{row} is {status} already.", row=format_number(row), status=tr(row.status))
    )


_OTHER_STATES = ("succeeded", "running", *WAITING_STATES)


def _list_others_of_groups(c: Connection, ids: Ids) -> list[str]:
    """Return the uuids of tasks of these groups that do not fail now, but may have failed."""
    idents = [ids] if isinstance(ids, (str, int)) else ids or ()
    named = [word for word in idents if lookup.has_groups([word])]
    return lookup.resolve_uuids(c, named, None, _OTHER_STATES)[0] if named else []


async def _retry_dependents(call: Call, leaders: Sequence[str]) -> dict[str, Any]:
    """Let the tasks that were cancelled because of these wait for them again.

    A task with another parent that failed stays cancelled.
    """

    def may(row: AnyTask) -> None:
        if row.status != TaskStatus.CANCELLED:
            raise make_note(
                tr("{row} is {status} already.", row=format_number(row), status=tr(row.status))
            )
        refuse_unreadable(row)

    def act(c: Connection, rows: list[AnyTask]) -> None:
        transitions.retry(c, get_uuids(rows), call.by, keeps_parents=True)

    uuids = await call.db.read(dependencies.list_cancelled_with, leaders)
    if not uuids:
        return {"done": [], "refused": [], "notes": []}
    report = await apply_to_tasks(call, "retry", uuids, None, may, act)
    back = [row for row in report["done"] if row["status"] != TaskStatus.CANCELLED]
    left = [f"#{row['number']}" for row in report["done"] if row["status"] == TaskStatus.CANCELLED]
    if left:
        shown, hidden = left[:_MAX_NAMED], len(left) - _MAX_NAMED
        more = [tr("{more:,} more", more=hidden)] if hidden > 0 else []
        report["notes"].append(
            tr_n(
                len(left),
                "{tasks} stays cancelled: another task that it waits for did not succeed.",
                "{tasks} stay cancelled: another task that they wait for did not succeed.",
                tasks=_join_with_and([*shown, *more]),
            )
        )
    return {**report, "done": back}


def _add_report(report: dict[str, Any], more: Mapping[str, Any]) -> None:
    if more["done"] and not report["done"]:
        report["notes"] = [note for note in report["notes"] if not is_nothing(note)]
    for key in ("done", "refused", "notes"):
        report[key] += more[key]


def _refuse_pending(row: AnyTask, pending: Set[str]) -> None:
    if row.uuid in pending:
        raise Conflict(
            "{number} has just ended, and its many dependents are still being updated.",
            "In a few seconds: taskdeck retry {word}",
            number=format_number(row),
            word=row.number,
        )


def refuse_other_end(row: AnyTask, ends: Mapping[str, float]) -> None:
    """Refuse a task that has ended again since the user confirmed."""
    if row.uuid in ends and ends[row.uuid] != (
        timestamps.to_unix(row.ended_at) if row.ended_at else 0.0
    ):
        ended = tr(row.status.replace("_", " "))
        raise Conflict(
            "{number} has ended again meanwhile ({ended}), so it was left alone: check it,"
            " then repeat.",
            number=format_number(row),
            ended=ended,
        )


_MAX_NAMED = 10
"""Maximum number of tasks named in a note."""


def _describe_left_cancelled(
    rows: Sequence[AnyTask], numbers: Sequence[int], are_all: bool
) -> list[str]:
    """Note the tasks that were cancelled together with these and stay cancelled."""
    if not numbers:
        return []
    shown = [f"#{number}" for number in numbers[:_MAX_NAMED]]
    if numbers[_MAX_NAMED:]:
        more = len(numbers) - _MAX_NAMED
        shown.append(
            tr("{more:,} more", more=more) if are_all else tr("at least {more:,} more", more=more)
        )
    again = " ".join(str(row.number) for row in rows[:_MAX_NAMED])
    again += " …" if rows[_MAX_NAMED:] else ""
    whom = format_number(rows[0]) if len(rows) == 1 else tr("them")
    return [
        tr_n(
            len(numbers),
            "{tasks} was cancelled with {whom} and stays cancelled."
            " To run it too: taskdeck retry --with-dependents {again}",
            "{tasks} were cancelled with {whom} and stay cancelled."
            " To run them too: taskdeck retry --with-dependents {again}",
            tasks=_join_with_and(shown),
            whom=whom,
            again=again,
        )
    ]


def _join_with_and(words: Sequence[str]) -> str:
    return join_and(filter(None, (", ".join(words[:-1]), words[-1])))


def _describe_failed_parents(failed_parents: Sequence[Any]) -> list[str]:
    """Note the tasks that run although a parent did not succeed."""
    said = [
        tr(
            "#{number} runs anyway: #{parent}, which it depends on, {ending}.",
            number=row.number,
            parent=row.parent,
            ending=tr(PARENT_ENDINGS[row.status]),
        )
        for row in failed_parents[:_MAX_NAMED]
    ]
    return said + _describe_more(failed_parents)


def _describe_more(found: Sequence[Any]) -> list[str]:
    many = len(found) - _MAX_NAMED
    return [tr("and {many:,} more like this.", many=many)] if many > 0 else []


def refuse_unreadable(row: AnyTask) -> None:
    """Raise Conflict if values of a task are lost: without them it would be another task."""
    if lost_values := row.launch.get(UNREADABLE):
        has_ended = row.status in ENDED
        raise Conflict(
            "{number} stays {status}: its {parts} cannot be read.",
            "Submit it again{then}.",
            number=format_number(row),
            status=tr(row.status if has_ended else "held"),
            parts=join_and(list(lost_values)),
            then="" if has_ended else tr(", then: taskdeck cancel {number}", number=row.number),
        )
