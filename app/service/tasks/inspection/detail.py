"""The detail of one task.

All parts come from one read transaction, so that they agree with each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from app.core import sla
from app.core.scheduling.forecasts.run_stats import REQUEST_MARGIN, RunStats, round_up_memory
from app.service import notifications, sla_evaluation, sla_metrics
from app.service.context import Call
from app.service.scheduling import dispatch_view
from app.service.tasks import lookup
from app.service.tasks.inspection import dependencies, similar_runs, views
from db import timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.history import operations
from db.queries.rules import sla_cursor
from db.queries.tasks.dependencies import list_changes
from db.rows import PoolRow, SlaRow, TaskRow
from db.states import ACTIVE, ENDED, WAITING

JsonObject = dict[str, Any]


async def read_detail(call: Call, *, id: str | int) -> dict[str, Any]:
    """Return the detail that the task screen shows.

    Keys: `task` as `show` returns it, `why` as `why` returns it for a task that waits or is in
    Slurm, `log` as `log` returns it for a task that does not wait, and past runs, suggested
    resources, expected end, use, dependency tree, rules and operations.
    """
    found, known = await call.db.read(
        lambda c: (build_detail(c, call, id), reads.list_measurable(c))
    )
    task = found["task"]
    left = await views.find_left(call, task["instances"], [run.pid for run in known])
    return found | {"task": task | {"left": left}}


def build_detail(c: Connection, call: Call, ident: str | int) -> JsonObject:
    """Build the detail of a task within a read transaction."""
    row = lookup.find_task(c, ident)
    task, waits = views.build_task(c, row.uuid), row.status in WAITING
    told = notifications.describe_notice(task["notify"], notifications.get_settings(call))
    history, use = similar_runs.learn_from_similar(c, row), views.get_use(call, task["instances"])
    return {
        "task": task | {"notify": told},
        "why": views.explain_tasks(c, call, [row.uuid])[0] if waits or _is_in_slurm(task) else None,
        "log": None if waits else views.build_logs(c, call, row.uuid, None),
        "past": asdict(history) if history else None,
        "fit": _suggest_resources(task["instances"], use, history),
        "ends_in": _estimate_end(c, row, task["instances"]),
        "use": use,
        "tree": dependencies.read_tree(c, row.uuid),
        "slas": list(_judge_rules(c, row, task)),
        "acts": [
            _format_operation(found)
            for found in list_changes(c, f"task #{row.number}", row.created_at)
        ],
    }


def _is_in_slurm(task: JsonObject) -> bool:
    return any(
        run["outer_job"] is not None and run["status"] in ACTIVE for run in task["instances"]
    )


def _suggest_resources(
    runs: Sequence[JsonObject], use: JsonObject | None, found: RunStats | None
) -> JsonObject:
    """Return the suggested {cpu, memory} from past runs, None where unknown.

    The memory is never below the task's own measured need.
    """
    memory = found.memory if found else None
    own = max(
        [run["max_rss"] or 0.0 for run in runs] + ([use["most_memory"]] if use else []), default=0.0
    )
    if memory is not None and own:
        memory = max(memory, round_up_memory(own * REQUEST_MARGIN))
    return {"cpu": found.cpu if found else None, "memory": memory}


def _estimate_end(c: Connection, row: TaskRow, runs: Sequence[JsonObject]) -> list[float] | None:
    """Return the range of seconds until the active run ends, or None.

    Past runs give the range, limited by the timeout. A negative value is the lateness of an overdue
    run.
    """
    run = next((run for run in runs if run["status"] in ACTIVE and run["start_time"]), None)
    if run is None:
        return None
    ran = timestamps.utcnow().timestamp() - timestamps.to_unix(run["start_time"])
    # Use the board's estimate, so that all screens agree.
    if (
        usual := dispatch_view.get_cache(c).get_usual_of_run(c, row.template, row.name, ran)
    ) is None:
        return None
    ends = sorted(min(end, row.timeout or end) - ran for end in (usual.median, usual.p95))
    return ends if ends[0] > 0 else [ends[1], ends[1]]


def _judge_rules(c: Connection, row: TaskRow, task: JsonObject) -> Iterator[JsonObject]:
    """Yield the verdict of each SLA rule that applies to the task, most severe first."""
    pools = reads.list_pools(c)
    ended = row.ended_at if row.status in ENDED else None
    facts = sla_evaluation.to_facts(sla_cursor.read_task(c, row.uuid))
    for rule in definitions.list_slas(c):
        if (
            rule.enabled
            and _matches(rule, row, task["pool"], pools)
            and not (ended and ended < rule.updated_at)
        ):
            parsed = sla.parse_conditions(rule.conditions)
            verdict = sla.judge_task(parsed, facts, timestamps.utcnow().timestamp())
            yield {
                "name": rule.name,
                "severity": sla.get_severity(rule.priority),
                "preset": parsed.preset,
                **verdict._asdict(),
            }


def _matches(rule: SlaRow, row: TaskRow, pool: str, pools: Sequence[PoolRow]) -> bool:
    """Return whether a task rule applies to the task.

    A rule attached to pools applies only to tasks of these pools.
    """
    if sla_metrics.is_metric(rule) or sla.is_general(rule.conditions):
        return False
    match = rule.conditions.get("match", {})
    mine = {"template": row.template, "queue": row.queue, "task": row.name}
    owners = [one.name for one in pools if one.sla_id == rule.id]
    return (
        all(mine[key] == word for key, word in match.items() if key != "tag")
        and match.get("tag", {}).items() <= row.tags.items()
        and (not owners or pool in owners)
    )


def _format_operation(found: Any) -> JsonObject:
    """Return an operation on the task as {at, by, verb, before, after}."""
    before, after = (operations.parse_state(text) or {} for text in (found.before, found.after))
    return {
        "at": found.created_at,
        "by": found.by,
        "verb": found.verb,
        "before": before,
        "after": after,
    }
