"""Checks of new settings of a task, against its pool and the run in progress."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from app.core import early_signal, oom_retry
from app.core.scheduling.amounts import Amounts
from app.core.scheduling.limits import Limits
from app.core.scheduling.resources import make_amounts
from app.core.text import units
from app.errors import Conflict, Refused
from app.service.tasks import lookup
from app.service.tasks.limit_checks import require_within_limits
from app.service.tasks.places import Place, read_shared, require_fit
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.scheduling import limits
from db.queries.scheduling.resources import parse_named

REQUESTS = frozenset({"cpu", "memory", "resources"})
UNCHANGED = "It was not changed."


def refuse_misfit(
    places: Mapping[str, Place], row: lookup.AnyTask, values: Mapping[str, Any]
) -> None:
    """Raise a problem if the queue does not exist or its pool can never hold the task."""
    if not values.keys() & {"queue", *REQUESTS}:
        return
    queue = values.get("queue", row.queue)
    if queue not in places:
        raise lookup.make_unknown_queue(queue, list(places))
    with _name_task(row):
        require_fit(places[queue], _make_needs(row, values), UNCHANGED)


class LimitCheck:
    """Check of new requests against the limits of tags, which are read for each batch of tasks."""

    def __init__(self, c: Connection, names: Collection[str]) -> None:
        """Read the limits if one of the named values is a request."""
        self._limits: Limits = read_shared(c).limits if {*names} & REQUESTS else {}
        self._tags: dict[str, dict[str, str]] = {}

    def prepare(self, c: Connection, rows: Sequence[lookup.AnyTask]) -> None:
        """Read the tags of tasks before their check."""
        if self._limits:
            found = limits.map_tags(c, [row.uuid for row in rows])
            self._tags = {uuid: json.loads(tags) for uuid, (tags, _) in found.items()}

    def refuse_excess(self, row: lookup.AnyTask, values: Mapping[str, Any]) -> None:
        """Raise Refused if a task would ask for more than a limit of its tags can ever give."""
        if tags := self._tags.get(row.uuid):
            needs = _make_needs(row, values)
            with _name_task(row):
                require_within_limits(self._limits, tags, needs, UNCHANGED)


def _make_needs(row: lookup.AnyTask, values: Mapping[str, Any]) -> Amounts:
    named = parse_named(values.get("resources", row.resources))
    return make_amounts(values.get("cpu", row.cpu), values.get("memory", row.memory), named)


@contextmanager
def _name_task(row: lookup.AnyTask) -> Iterator[None]:
    """Prefix refusals in the block with the number of a task."""
    try:
        yield
    except Refused as problem:
        raise Refused(f"#{row.number} {problem.message}", problem.hint) from None


def refuse_early_signal(row: lookup.AnyTask, values: Mapping[str, Any]) -> None:
    """Raise a problem if the early signal of a task would not come before its timeout."""
    if not values.keys() & {"early_signal", "timeout"}:
        return
    signal = values.get("early_signal", row.early_signal)
    if why := early_signal.find_conflict(signal, values.get("timeout", row.timeout)):
        raise Conflict(
            "#{number} was not changed: {why}",
            "Give both: --timeout 2h --signal USR1@5m. To send none: --signal none",
            number=row.number,
            why=why,
        )


def refuse_oom_limit(row: lookup.AnyTask, values: Mapping[str, Any]) -> None:
    """Raise a problem if --retry-on-oom of a task could never give it more memory."""
    if values.keys() & {"retry_on_oom", "memory"}:
        rule = values.get("retry_on_oom", row.retry_on_oom)
        if why := oom_retry.find_conflict(rule, values.get("memory", row.memory)):
            hint = "Give both: --memory 4G --retry-on-oom 1.5,max=64G"
            raise Conflict(f"#{row.number} was not changed: {why}", hint)


def map_start_times(c: Connection) -> dict[str, str]:
    """Return {uuid: start time} of the running tasks."""
    return {run.task_id: run.start_time for run in reads.list_running(c) if run.start_time}


def refuse_passed_limit(row: lookup.AnyTask, timeout: float, started_at: str) -> None:
    """Raise a problem if the task has run for longer than a new timeout."""
    ran = (timestamps.utcnow() - timestamps.parse_time(started_at)).total_seconds()
    if ran >= timeout:
        raise Conflict(
            "#{number} has run for {ran}, so a timeout of {duration} would end it at"
            " once. It was not changed.",
            "End it: taskdeck cancel {number}",
            number=row.number,
            ran=units.format_duration(ran),
            duration=units.format_duration_setting(timeout),
        )


def map_kept_limits(c: Connection, timeout: float | None) -> dict[str, float]:
    """Return {uuid: limit} of the active runs whose limit is below this timeout."""
    return {
        run.task_id: run.timeout
        for run in reads.list_running(c)
        if run.timeout is not None and (timeout is None or run.timeout < timeout)
    }


def note_kept(row: Mapping[str, Any], kept: str) -> str:
    """Return the note that new settings do not affect the run in progress."""
    return tr(
        "#{number} is {status}: this run keeps its {kept}, and the change applies to the next one.",
        number=row["number"],
        status=tr(row["status"]),
        kept=kept,
    )
