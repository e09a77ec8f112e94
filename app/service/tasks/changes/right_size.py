"""Requests of waiting tasks, sized by what similar runs used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from app.core import task_spec
from app.core.scheduling.forecasts.run_stats import RunStats
from app.core.verb_states import WAITING_STATES
from app.errors import Conflict, Refused
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes import setting_checks
from app.service.tasks.changes.apply import apply_to_tasks, format_number
from app.service.tasks.changes.option_values import validate
from app.service.tasks.inspection.similar_runs import SimilarRuns
from app.service.tasks.lookup import AnyTask
from app.service.tasks.places import read_places
from app.translation import tr
from db.engine import Connection
from db.queries import reads
from db.queries.tasks import task_fields
from db.rows import TaskRow
from db.states import ENDED

MIN_RUNS = 5
"""Similar runs from which a size is suggested."""
MAX_TASKS = 10_000
SIZES = ("cpu", "memory")
_SIZES: TypeAdapter[dict[str, dict[str, float]]] = TypeAdapter(
    dict[str, dict[str, task_spec.Cpu | task_spec.Size]]
)


async def suggest(
    call: Call, *, ids: Sequence[str | int] | None = None, select: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what similar runs suggest for waiting tasks: {"tasks", "refused"}.

    Of each task: number, uuid, name, runs (their number), and `cpu` and `memory` as [now, new]. A
    size is the 95th percentile of the use and a margin, rounded up. Tasks with fewer than
    `MIN_RUNS` similar runs are refused.
    """
    return await call.db.read(_suggest, ids, select)


def _suggest(
    c: Connection, ids: Sequence[str | int] | None, select: dict[str, Any] | None
) -> dict[str, Any]:
    uuids, refused = lookup.resolve_uuids(c, ids, select, WAITING_STATES)
    if len(uuids) > MAX_TASKS:
        raise Refused(
            "{n:,} tasks match, but at most {max_tasks:,} are sized at once.",
            "Select fewer, for example by --tag.",
            n=len(uuids),
            max_tasks=MAX_TASKS,
        )
    similar, found, few = SimilarRuns(c), list[dict[str, Any]](), list[dict[str, Any]]()
    for row in reads.list_by_uuid(c, uuids):
        stats = similar.find(row)
        try:
            found.append(_format_suggestion(row, stats))
        except Conflict as problem:
            few.append(lookup.make_refusal(problem, row.number, row.number))
    order = {uuid: at for at, uuid in enumerate(uuids)}
    return {"tasks": sorted(found, key=lambda row: order[row["uuid"]]), "refused": [*refused, *few]}


def _format_suggestion(row: TaskRow, stats: RunStats | None) -> dict[str, Any]:
    if row.status not in WAITING_STATES:
        raise Conflict(
            "{number} is {status}: only waiting tasks are sized.",
            number=format_number(row),
            status=tr(row.status),
        )
    if stats is None or stats.n < MIN_RUNS:
        count = tr("fewer than 3") if stats is None else str(stats.n)
        raise Conflict(
            "{number} has {n} similar runs that succeeded, but {min_runs} are needed.",
            number=format_number(row),
            n=count,
            min_runs=MIN_RUNS,
        )
    new = {"cpu": stats.cpu or row.cpu, "memory": stats.memory or row.memory}
    sizes = {name: [getattr(row, name), new[name]] for name in SIZES}
    return {"number": row.number, "uuid": row.uuid, "name": row.name, "runs": stats.n, **sizes}


async def set_sizes(call: Call, *, sizes: dict[str, Any]) -> dict[str, Any]:
    """Set `cpu` and `memory` of tasks, from {uuid: {cpu, memory}}; recorded like `set`."""
    wanted = validate("sizes", _SIZES, sizes)
    if wrong := next((name for one in wanted.values() for name in one if name not in SIZES), ""):
        raise Refused(
            "only {sizes} are sized, not {wrong}. Nothing was changed.",
            sizes=" and ".join(SIZES),
            wrong=wrong,
        )
    places = await call.db.read(read_places)
    bounds = await call.db.read(setting_checks.LimitCheck, SIZES)

    def may(row: AnyTask) -> None:
        if row.status in ENDED:
            raise Conflict(
                "{number} is {status}: it was not changed.",
                number=format_number(row),
                status=tr(row.status),
            )
        setting_checks.refuse_misfit(places, row, wanted[row.uuid])
        bounds.refuse_excess(row, wanted[row.uuid])

    def act(c: Connection, rows: list[AnyTask]) -> None:
        for name in SIZES:
            new = [{"at": row.uuid, name: wanted[row.uuid][name]}
                   for row in rows if name in wanted[row.uuid]]  # fmt: skip
            task_fields.update_column(c, name, new)

    return await apply_to_tasks(
        call, "set cpu memory", [*wanted], None, may, act, prepare=bounds.prepare
    )
