"""Tools that read tasks and the state of Taskdeck: list, show, why, status and what_if."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.agents.answers import (
    ClientStatus,
    ForecastAnswer,
    ForecastTask,
    ListedTask,
    PoolStatus,
    QueueStatus,
    ShownRun,
    ShownTask,
    StatusAnswer,
    TaskList,
    Times,
    WaitReasons,
)
from app.agents.arguments import ListArguments, StatusArguments, TaskArguments, WhatIfArguments
from app.agents.session import ToolCall, clean
from app.core.agent_clients import CLIENT_TAG
from app.core.scheduling.forecasts.what_if_words import list_notes
from app.core.text.sanitize import sanitize
from db.states import WAITING, TaskStatus, list_states

LOCAL = "local"
"""Kind of a pool that runs its tasks on this machine."""
DEFAULT_QUEUE = "default"
MAX_SHOWN = 50
"""Maximum number of rows of queues, pools, runs and forecasts in an answer."""
MAX_ARGV = 4096
"""Maximum number of characters of the command of a task in an answer."""
UNENDED = list_states(WAITING | {TaskStatus.RUNNING})


def list_tasks(call: ToolCall, args: ListArguments) -> TaskList:
    """List tasks of the client, or of everyone."""
    words = [] if args.everyone else [f"tag:{CLIENT_TAG}={call.session.name}"]
    words += [f"status:{','.join(args.status)}"] if args.status else []
    found = call.call("browse", filter=" ".join(words), limit=args.limit)
    tasks = [_make_listed(dict(zip(found["columns"], row, strict=True))) for row in found["rows"]]
    return TaskList(tasks=tasks, total=found["total"])


def _make_listed(row: Mapping[str, Any]) -> ListedTask:
    reason = row["reason"] or row.get("why")
    client = row["tags"].get(CLIENT_TAG)
    return ListedTask(
        number=row["number"],
        name=clean(row["name"]),
        status=row["status"],
        queue=row["queue"],
        client=None if client is None else clean(client, 40),
        cpu=row["cpu"],
        memory_mib=row["memory"],
        submitted=row["created_at"],
        started=row["started_at"],
        ended=row["ended_at"],
        reason=None if reason is None else clean(reason),
    )


def read_task(call: ToolCall, number: int) -> dict[str, Any]:
    """Return a task with its runs. Raise NotFound."""
    return call.call("show", id=number)


def show_task(call: ToolCall, args: TaskArguments) -> ShownTask:
    """Show a task; without command, directory and tags if another client owns it."""
    row = read_task(call, args.number)
    is_own = call.is_own(row["tags"])
    parents = [one["number"] for one in row["parents"][:MAX_SHOWN]]
    return ShownTask(
        **_make_listed(row).model_dump(),
        argv=_shorten(row["launch"].get("argv") or ()) if is_own else None,
        cwd=clean(row["cwd"], MAX_ARGV) if is_own else None,
        tags={clean(key): clean(value) for key, value in row["tags"].items()} if is_own else None,
        timeout_seconds=row["timeout"],
        waits_for_tasks=parents if row["status"] in WAITING else [],
        runs=[_make_run(run) for run in row["instances"][-10:]],
    )


def _shorten(argv: Sequence[str]) -> list[str]:
    """Return the first arguments, sanitized and not too long."""
    found, left = list[str](), MAX_ARGV
    for word in argv:
        if left <= 0:
            return [*found, "…"]
        found.append(sanitize(word)[:left])
        left -= len(word) + 1
    return found


def _make_run(run: Mapping[str, Any]) -> ShownRun:
    return ShownRun(
        attempt=run["attempt"],
        status=run["status"],
        started=run["start_time"],
        ended=run["end_time"],
        exit_code=run["exit_code"],
        signal=run["signal"],
        reason=None if run["reason"] is None else clean(run["reason"]),
        cpu_seconds=run["cpu_seconds"],
        peak_memory_mib=run["max_rss"],
        log_bytes=run["log_bytes"],
    )


def explain_wait(call: ToolCall, args: TaskArguments) -> WaitReasons:
    """Explain why a task waits and when it may start."""
    (found,) = call.call("why", ids=[args.number])
    return WaitReasons(
        number=found["number"],
        status=found["status"],
        reasons=[clean(one["text"]) for one in found["reasons"]],
        expected_start=found["expected_start"],
        starts_in_seconds=found["expected_in"],
    )


def map_pool_kinds(call: ToolCall) -> dict[str | None, str]:
    """Return {queue: kind of its pool}; the key None means the default queue."""
    kinds = {pool["name"]: pool["kind"] for pool in call.call("pool.ls")}
    found: dict[str | None, str] = {
        queue["name"]: kinds.get(queue["pool"], LOCAL) for queue in call.call("queue.ls")
    }
    return found | {None: found.get(DEFAULT_QUEUE, LOCAL)}


def list_obstacles(call: ToolCall, queue: str) -> list[str]:
    """Return the reasons of a queue and its pool for which nothing starts at all."""
    queues = {row["name"]: row for row in call.call("queue.ls")}
    pools = {row["name"]: row for row in call.call("pool.ls")}
    row = queues[queue]
    found = [("queue", row), ("pool", pools[row["pool"]])]
    return [
        clean(f"{kind} {one['name']} is {one['status']}")
        for kind, one in found
        if one["status"] != "active"
    ] + (["queue has capacity 0"] if row["capacity"] == 0 else [])


def show_status(call: ToolCall, args: StatusArguments) -> StatusAnswer:
    """Show runtime, queues and pools, and the limits of the client."""
    found = call.call("status")
    return StatusAnswer(
        runtime=found["runtime"]["state"],
        starts_nothing_because=found["runtime"]["halted"] and clean(found["runtime"]["halted"]),
        client=_read_client(call),
        queues=[
            QueueStatus(
                name=queue["name"],
                status=queue["status"],
                pool=queue["pool"],
                running=queue["current_load"],
                waiting=queue["waiting"],
                capacity=queue["capacity"],
            )
            for queue in found["queues"][:MAX_SHOWN]
        ],
        pools=[
            PoolStatus(
                name=pool["name"],
                status=pool["status"],
                cpu=pool["total_cpu"],
                cpu_reserved=pool["used_cpu"],
                memory_mib=pool["total_memory"],
                memory_reserved_mib=pool["used_memory"],
            )
            for pool in found["pools"][:MAX_SHOWN]
        ],
        alerts=len(found["alerts"]),
    )


def _read_client(call: ToolCall) -> ClientStatus:
    session, settings = call.session, call.session.load_settings()
    words = f"tag:{CLIENT_TAG}={session.name} status:{','.join(UNENDED)}"
    return ClientStatus(
        name=session.name,
        read_only=session.read_only or settings.read_only,
        queue=settings.queue,
        cpu=settings.cpu,
        memory_mib=settings.memory,
        running=settings.running,
        tasks=settings.tasks,
        tasks_now=call.call("browse", filter=words, limit=1)["total"],
    )


def forecast_changes(call: ToolCall, args: WhatIfArguments) -> ForecastAnswer:
    """Forecast waits and ends after supposed changes, which are not made."""
    tag = {CLIENT_TAG: call.session.name}
    lines = "\n".join(json.dumps(task.to_spec() | {"tags": tag}) for task in args.submit)
    given = {"lines": lines} if lines else {}
    found = call.call("forecast", settings=args.settings, cancel=args.cancel, **given)
    rows = sorted(found["tasks"], key=lambda row: row["change"] is None)
    return ForecastAnswer(
        tasks=[
            ForecastTask(
                number=row["number"],
                name=clean(row["name"]),
                queue=row["queue"],
                change=row["change"],
                before=_make_times(row["before"]),
                after=_make_times(row["after"]),
            )
            for row in rows[:MAX_SHOWN]
        ],
        more_tasks=max(0, len(rows) - MAX_SHOWN),
        mean_wait_before=found["before"]["mean_wait"],
        mean_wait_after=found["after"]["mean_wait"],
        all_done_before=found["before"]["drained_in"],
        all_done_after=found["after"]["drained_in"],
        notes=[*call.notes, *map(clean, list_notes(found))],
    )


def _make_times(times: Mapping[str, Any] | None) -> Times | None:
    return None if times is None else Times(start=times["start"], end=times["end"])
