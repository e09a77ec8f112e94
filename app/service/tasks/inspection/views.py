"""Read verbs for tasks and runs: ls, show, why, instances and log."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from app import engines
from app.core.notifications import notices
from app.core.scheduling.explanations.waiting_task import Explanation
from app.core.scheduling.limits import format_subject
from app.core.scheduling.order import PRIORITY
from app.core.scheduling.resources import make_amounts
from app.core.schema import secrets as schema_secrets
from app.core.task_groups import format_group
from app.core.text import units
from app.core.text.joining import join_clauses
from app.core.text.sanitize import MASK, sanitize
from app.errors import Usage
from app.health.left_processes import LeftProcess, find_left_processes
from app.paths import get_log_path, read_stop_marker
from app.service import notifications, outer
from app.service.context import Call
from app.service.scheduling import dispatch_view, queue_order
from app.service.tasks import lookup
from app.service.tasks.inspection import group_views, suggestions
from app.translation import tr, tr_noop
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.rules import sla_cursor
from db.queries.scheduling import age_order, dispatch, run_history
from db.queries.scheduling.resources import parse_devices, parse_named
from db.queries.tasks import groups, task_list
from db.rows import ActiveRunRow, InstanceRow, TaskLineRow, TaskRow, TemplateRow
from db.states import ACTIVE, ENDED, WAITING, RunStatus, TaskStatus, list_states

RECENT = timedelta(hours=24)
OUTLOOK_TIME = timedelta(hours=1)
"""Time whose starts tell the rate of a queue."""
MAX_EXPLAINED = 100
"""Waiting tasks that `ls` explains, its usual number of rows.

Longer lists would cost too much.
"""

MIN_PART = 4
"""Characters of a secret that is masked inside other words, too."""

START_TOLERANCE = 0.02
"""Seconds by which the start of a process, counted from boot, may differ from the clock."""

SAMPLE_SIZE = 200
"""Tasks of each queue and each waiting state that `why` examines without ids."""
MAX_KINDS = 8
"""Kinds of tasks of a long queue that share this number."""


def task_to_dict(row: TaskRow) -> dict[str, Any]:
    """Return a task as sent to clients, with secret parameters masked."""
    notice = notices.parse_notice(row.notify)
    found = row._asdict()
    del found["group_number"]
    return (
        found
        | {"notify": notice and notice._asdict(), "resources": dict(parse_named(row.resources))}
        | format_group_place(row)
        | mask_task(row.parameters, row.launch)
    )


def format_group_place(row: TaskRow) -> dict[str, Any]:
    """Return the place of a task in its group as sent to clients."""
    sweep = row.sweep and json.loads(row.sweep)
    return {
        "group": row.group_number and format_group(row.group_number),
        "sweep": sweep and schema_secrets.mask_value(sweep),
    }


def format_asks(row: TaskRow) -> dict[str, Any]:
    """Return group, index and requests of a task, for answers that do not send all of it."""
    return {
        "group": row.group_number and format_group(row.group_number),
        "group_index": row.group_index,
        "needs": make_amounts(row.cpu, row.memory, parse_named(row.resources)),
    }


def mask_task(parameters: dict[str, Any], launch: dict[str, Any]) -> dict[str, Any]:
    """Return a task's parameters and launch with secrets masked."""
    names = schema_secrets.DeclaredNames(
        launch.get(SECRET_NAMES_KEY, ()), launch.get(PLAIN_NAMES_KEY, ())
    )
    return {
        "parameters": schema_secrets.mask_value(parameters, names),
        "launch": _mask_launch(parameters, launch, names),
    }


SECRET_NAMES_KEY, PLAIN_NAMES_KEY = "hidden", "plain"
"""Keys in a launch for the names that the schema of the submission declared secret or plain."""
MASKED_ARGV_KEY = "masked_argv"
"""Key in a launch for the arguments to show, if parameters in them are secret."""


def add_masks(
    launch: dict[str, Any], template: TemplateRow, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return a launch with everything that `mask_task` must know about it."""
    names = schema_secrets.find_declared_names(template.parameters, parameters)
    masked = schema_secrets.mask_value(parameters, names)
    found = {SECRET_NAMES_KEY: list(names.secret), PLAIN_NAMES_KEY: list(names.plain)}
    if masked != parameters:
        found[MASKED_ARGV_KEY] = engines.make_masked_argv(template.engine, template.schema, masked)
    return launch | {key: value for key, value in found.items() if value}


def _mask_launch(
    parameters: dict[str, Any], launch: dict[str, Any], names: schema_secrets.DeclaredNames
) -> dict[str, Any]:
    shown = {key: value for key, value in launch.items() if key in ("argv", "script")}
    texts = sorted(
        filter(None, schema_secrets.find_secret_texts(parameters, names)), key=len, reverse=True
    )
    if MASKED_ARGV_KEY in launch:
        shown["argv"] = launch[MASKED_ARGV_KEY]
    elif "argv" in shown and not launch.get("env"):
        shown["argv"] = [_mask_word(word, texts) for word in shown["argv"]]
    return shown


def _mask_word(word: str, texts: Sequence[str]) -> str:
    """Mask secret texts in a text whose parameters are unknown; short ones as whole words only."""
    for text in texts:
        if len(text) >= MIN_PART:
            word = word.replace(text, MASK)
        else:
            word = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", MASK, word)
    return word


def run_to_dict(row: InstanceRow) -> dict[str, Any]:
    """Return a run as sent to clients."""
    return row._asdict() | {
        "resources": dict(parse_named(row.resources)),
        "devices": parse_devices(row.devices),
    }


async def ls(
    call: Call, *, status: Sequence[str] | str = (), group: Sequence[str] | str = (),
    queue: str | None = None,
    name: str | None = None, tag: dict[str, str] | None = None,
    since: float | str | None = None, limit: int = 50, recent: bool = False, brief: bool = False,
    fold: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return tasks, newest first, and `as_of`, the last known event.

    `recent` leaves out tasks that ended more than a day ago. With `brief`, return only the
    displayed columns, in the order of `task_list`: `lines` is the JSON text of a list of lists
    (columns in `reads.LIST_COLUMNS`), and `notes` holds the values of `NOTES` by uuid. With `fold`
    too, `groups` holds the groups, if any, and `lines` the tasks of no group.
    """
    query = lookup.to_list_arguments(
        {"status": status, "group": group, "queue": queue, "name": name, "tag": tag, "since": since}
    )
    if brief:
        return await call.db.read(_ls_brief, call, query, limit, recent, fold)
    return await call.db.read(_ls, call, query, limit, recent)


def _ls(
    c: Connection, call: Call, query: dict[str, Any], limit: int, recent: bool
) -> dict[str, Any]:
    query, as_of = _build_query(c, query, recent), sla_cursor.find_last_event(c)
    rows = reads.list_tasks(c, **query, limit=limit)
    notes = _read_notes(c, call, [row for row in rows if row.status in WAITING][:MAX_EXPLAINED])
    listed = [
        task_to_dict(row) | dict(zip(NOTES, notes.get(row.uuid, _NO_NOTES), strict=True))
        for row in rows
    ]
    return {"tasks": listed, "as_of": as_of} | _count_matches(c, query, limit, len(rows))


def _ls_brief(
    c: Connection, call: Call, query: dict[str, Any], limit: int, recent: bool, fold: bool
) -> dict[str, Any]:
    query = _build_query(c, query, recent)
    numbers = groups.list_numbers(c, limit, query["recent"]) if fold else []
    brief = task_list.list_as_text(
        c, **query, limit=limit, waiting=MAX_EXPLAINED, fold=bool(numbers)
    )
    notes = _read_notes(c, call, reads.list_by_uuid(c, brief.waiting))
    found = {"lines": brief.lines, "notes": notes}
    if not numbers:
        return found | _count_matches(c, query, limit, brief.found)
    found["groups"] = group_views.list_groups(c, numbers)
    return found | _count_matches(c, query, 1, 1)


def _build_query(c: Connection, query: dict[str, Any], recent: bool) -> dict[str, Any]:
    lookup.require_known(c, query)
    return query | {
        "recent": timestamps.format_time(timestamps.utcnow() - RECENT) if recent else None
    }


def _count_matches(c: Connection, query: dict[str, Any], limit: int, found: int) -> dict[str, int]:
    """Return the number of matches and of all tasks."""
    total = found if not limit or found < limit else reads.count_tasks(c, **query)
    return {"total": total, "of": sum(reads.count_by_status(c).values())}


NOTES = ("run", "run_reason", "wait_short", "expected", "expected_in", "run_limit")
_NO_NOTES = (None,) * len(NOTES)


def _read_notes(
    c: Connection, call: Call, waiting: Sequence[TaskRow]
) -> dict[str, tuple[Any, ...]]:
    """Return {uuid: values of NOTES} for running and waiting tasks."""
    why = dispatch_view.explain_waiting(
        c, dispatch_view.get_cache(c), waiting, get_halt_reason(call)
    )
    told: dict[str, tuple[Any, ...]] = {
        run.task_id: (
            outer.get_shown_status(run),
            outer.describe_wait(run) or run.reason,
            None,
            None,
            None,
            run.timeout,
        )
        for run in reads.list_running(c)
    }
    for uuid, found in why.items():
        short = found.reasons[0].short if found.reasons else None
        told[uuid] = (None, None, short, found.starts_in, found.expected_in, None)
    return told


def get_halt_reason(call: Call) -> str | None:
    """Return why nothing starts at all, or None."""
    if call.live is not None:
        return call.live.halted
    if call.is_replica:  # the runtime of its home may be running
        return None
    stop = read_stop_marker(call.home)
    return (
        tr("no runtime since {stop}", stop=sanitize(stop[1]))
        if stop
        else tr("no runtime is running")
    )


async def show(call: Call, *, id: str | int) -> dict[str, Any]:
    """Return a task with runs, dependencies, history, current use and left processes."""
    task, expected_in, known = await call.db.read(_read_shown, call, id)
    return task | {
        "notify": notifications.describe_notice(task["notify"], notifications.get_settings(call)),
        "use": get_use(call, task["instances"]),
        "expected_in": expected_in,
        "left": await find_left(call, task["instances"], [run.pid for run in known]),
    }


def _read_shown(
    c: Connection, call: Call, ident: str | int
) -> tuple[dict[str, Any], tuple[float, float] | None, list[reads.MeasurableRun]]:
    """Return a task, its expected start and the running tasks' processes."""
    row = lookup.find_task(c, ident)
    cache = dispatch_view.get_cache(c)
    why = dispatch_view.explain_waiting(c, cache, [row], get_halt_reason(call)).get(row.uuid)
    return build_task(c, row.uuid), why.expected_in if why else None, reads.list_measurable(c)


async def find_left(
    call: Call, runs: Sequence[dict[str, Any]], known: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the processes that outlive these runs, as {"pid", "name", "certain"}.

    A process that does not name the run that started it is uncertain if it began during one of the
    runs, or is disguised. `known` are the pids of the running tasks.
    """
    if call.live is None or not runs:
        return []
    facts = call.live.get_facts()
    supervisors = [pid for pid in (facts.keeper_pid, facts.guard_pid) if pid]
    found = await asyncio.to_thread(
        find_left_processes, os.fspath(call.home), supervisors, frozenset(known)
    )
    judged = [(process, _judge_origin(process, runs)) for process in found]
    return [
        {"pid": process.pid, "name": process.name, "certain": certain}
        for process, certain in judged
        if certain is not None
    ]


def _judge_origin(process: LeftProcess, runs: Sequence[dict[str, Any]]) -> bool | None:
    """Return True if one of the runs started the process, False if one may have, else None."""
    if process.runid:
        return any(run["runid"] == process.runid for run in runs) or None
    during = [run for run in runs if _has_begun_during(process, run)]
    if any(run["pid"] == process.session for run in during):
        return True
    return False if during else None


def _has_begun_during(process: LeftProcess, run: dict[str, Any]) -> bool:
    """Return True if a process began during a run, or may be a successor of one that did."""
    if not run["start_time"]:
        return False
    if process.is_disguised and not process.began:
        return True
    end = timestamps.to_unix(run["end_time"]) if run["end_time"] else process.began
    first = timestamps.to_unix(run["start_time"]) - START_TOLERANCE
    return first <= process.began and (
        process.is_disguised or process.began <= end + START_TOLERANCE
    )


def get_use(call: Call, runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the resource use of the active run, or None."""
    run = next((run for run in runs if run["status"] in ACTIVE), None)
    used = call.live.get_run_use(run["runid"]) if run and call.live else None
    return used._asdict() if used else None


def build_task(c: Connection, ident: str | int) -> dict[str, Any]:
    """Build the answer of `show`, except for the resource use."""
    row = lookup.find_task(c, ident)
    env, added = reads.get_environment(c, row.uuid)
    place = None
    if row.status == TaskStatus.QUEUED:
        total = reads.read_counters(c).get((row.queue, TaskStatus.QUEUED.value), 0)
        policy = age_order.map_policies(c).get(row.queue, PRIORITY)
        cache = dispatch_view.get_cache(c)
        places = queue_order.map_places(c, cache, row.queue, policy, [row], total)
        place = {"position": places[row.number], "total": total}
    pools = {queue.name: queue.pool for queue in reads.list_queues(c)}
    return {
        **task_to_dict(row),
        "pool": pools[row.queue],
        "instances": [run_to_dict(run) for run in reads.list_runs(c, row.uuid)],
        "parents": [p._asdict() for p in reads.map_parents(c, [row.uuid])[row.uuid]],
        "children": [dict(p._mapping) for p in reads.list_children(c, row.uuid)],
        "events": [
            {"at": e.created_at, "status": e.status, "by": e.by, "note": e.note, "runid": e.runid}
            for e in reads.list_events(c, row.uuid)
        ],
        "env_names": len({*env, *added}),
        "place": place,
        "last_lines": _read_last_lines(c, row),
    }


def _read_last_lines(c: Connection, row: TaskRow, lines: int = 4) -> list[str]:
    """Return the last lines of the log of an ended task's last run."""
    last = reads.map_last_runs(c, [row.uuid]).get(row.uuid)
    return (
        [line for line in (last.logs or "").splitlines() if line.strip()][-lines:] if last else []
    )


async def explain(call: Call, *, ids: Sequence[str | int] = ()) -> Any:
    """Explain why tasks wait. Without ids, or for a group, count the waiting tasks by reason."""
    return await call.db.read(_explain, call, ids)


def _explain(c: Connection, call: Call, ids: Sequence[str | int]) -> Any:
    if not ids:
        return _group_reasons(c, call, _sample_all(c))
    if not lookup.has_groups(ids) or (group := lookup.find_group(c, ids[0])) is None:
        return explain_tasks(c, call, ids)
    if len(ids) > 1:
        raise Usage(
            "why takes one group, or tasks.", "For the group: taskdeck why {ids}", ids=ids[0]
        )
    reasons = _group_reasons(c, call, _sample_group(c, group.number))
    return {"group": format_group(group.number), "name": group.name, **reasons}


def explain_tasks(c: Connection, call: Call, ids: Sequence[str | int]) -> list[dict[str, Any]]:
    """Build the answer of `why` for some tasks."""
    rows = lookup.find_tasks(c, ids)
    habits = dispatch_view.get_cache(c)
    seen = dispatch_view.read_view(c, habits, get_halt_reason(call))
    answers = dispatch_view.explain_waiting(c, habits, rows, seen.halted, seen)
    help = (
        {}
        if call.is_replica
        else suggestions.find_task_suggestions(c, call, habits, rows, seen, answers)
    )
    return [
        {**_build_answer(row, answers.get(row.uuid), c), "cures": help.get(row.uuid, [])}
        for row in rows
    ]


def _build_answer(row: TaskRow, why: Explanation | None, c: Connection) -> dict[str, Any]:
    now = timestamps.utcnow()
    found = {"number": row.number, "uuid": row.uuid, "name": row.name, "status": row.status,
    "queue": row.queue,
             "waits": (now - timestamps.parse_time(row.created_at)).total_seconds(),
             "expected_start": None, "expected_in": None,
             "last_lines": [], **format_asks(row)}  # fmt: skip
    if why is None:
        failed = row.status in ENDED and row.status != TaskStatus.SUCCEEDED
        return found | {
            "reasons": [_describe_state(row, c)],
            "last_lines": _read_last_lines(c, row) if failed else [],
        }
    if why.expected_in:
        first, last = (now + timedelta(seconds=seconds) for seconds in why.expected_in)
        found |= {
            "expected_start": tr("by {last}", last=units.format_clock_time(last, now))
            if why.starts_in is None
            else units.format_time_range(first, last, now),
            "expected_in": list(why.expected_in),
        }
    elif (
        row.status == TaskStatus.SCHEDULED
        and row.not_before
        and all(reason.code == "not-before" for reason in why.reasons)
    ):
        found["expected_start"] = units.format_clock_time(
            timestamps.parse_time(row.not_before), now
        )
    return {
        **found,
        "reasons": [{"code": r.code, "text": r.text, "short": r.short} for r in why.reasons],
        "outlook": why.before and _describe_outlook(c, row.queue, why.before, why),
    }


COMMON_CODES = {"queue-full", "pool-cpu", "pool-memory", "behind", "order"}
"""Reasons that hold for most tasks of a queue, so that its rate of starts tells when one starts."""


def _describe_outlook(c: Connection, queue: str, before: int, why: Explanation) -> dict[str, float]:
    """Return the tasks before one that no forecast reaches, and the latest starts of its queue.

    `starts` is their number in the last `seconds`. A task that waits for a licence or a limit may
    start at another rate than its queue.
    """
    if any(reason.code not in COMMON_CODES for reason in why.reasons):
        return {"before": before}
    now = timestamps.utcnow()
    latest = run_history.list_latest_starts(c, timestamps.format_time(now - OUTLOOK_TIME))
    seconds = OUTLOOK_TIME.total_seconds()
    if len(latest) == run_history.STARTS:
        seconds = (now - timestamps.parse_time(latest[-1][1])).total_seconds()
    return {
        "before": before, "starts": sum(name == queue for name, _ in latest), "seconds": seconds,
    }  # fmt: skip


def _describe_state(row: TaskRow, c: Connection) -> dict[str, str]:
    """Describe a task that does not wait."""
    if row.status in ENDED:
        how = tr(row.status.replace("_", " "))
        how += f": {sanitize(row.reason)}" if row.reason else ""
        return {"code": "ended", "text": how, "short": how[:44]}
    job = next((run for run in reads.list_running(c) if run.task_id == row.uuid), None)
    if job and job.outer_job is not None and (text := _describe_job(job)):
        return {"code": "running", "text": text, "short": text[:44]}
    runs = [run for run in reads.list_runs(c, row.uuid) if run.status not in ENDED]
    text = (
        tr("running, attempt {attempt}", attempt=row.attempts)
        if not runs or runs[-1].status == "running"
        else tr(str(runs[-1].status))
    )
    return {"code": "running", "text": text, "short": text}


def _describe_job(run: ActiveRunRow) -> str:
    """Describe a run in Slurm, with the cure for its wait if there is one."""
    job = outer.find_job(run.runid)
    number = run.outer_job or (job.job if job else "")
    where = tr("job {job} in Slurm", job=number) if number else tr("not yet a job of Slurm")
    where = tr("{job} on {node}", job=where, node=run.node) if run.node else where
    cure = f": {job.cure}" if job and job.cure else ""
    state = tr("{state}, attempt {attempt}", state=tr(run.status), attempt=run.attempt)
    state = "" if run.status == RunStatus.STARTING else state
    why = f"{job.reason}{cure}" if job and job.reason else ""
    return sanitize(join_clauses(filter(None, (state, where, why, outer.get_trouble()))))


Sample = tuple[Sequence[TaskRow | TaskLineRow], int]
"""Some waiting tasks that are alike, and the number of all of them."""


def _sample_group(c: Connection, number: int) -> list[Sample]:
    """Return the first waiting tasks of a group, by status."""
    counts = groups.map_counts(c, number)
    found: list[Sample] = []
    for status in list_states(WAITING):
        if status in counts:
            uuids = groups.list_first_uuids(c, number, status, SAMPLE_SIZE)
            rows = sorted(reads.list_by_uuid(c, uuids), key=lambda row: row.number)
            found.append((rows, counts[status]))
    return found


def _sample_all(c: Connection) -> list[Sample]:
    """Return the first queued tasks of each queue, and other waiting tasks by status."""
    counts = reads.read_counters(c)
    lines: dict[Any, Sample] = {}
    for queue in reads.list_queues(c):
        total = counts.get((queue.name, TaskStatus.QUEUED.value), 0)
        if total > SAMPLE_SIZE:
            for kind, sample in _sample_kinds(c, queue.name).items():
                lines[queue.name, "queued", kind] = sample
        else:
            lines[queue.name] = reads.list_queued(c, queue.name, SAMPLE_SIZE), total
    for status, rows in reads.list_not_queued(c, SAMPLE_SIZE).items():
        lines[status.value, ""] = (
            rows,
            sum(n for (_, found), n in counts.items() if found == status.value),
        )
    return [*lines.values()]


def _sample_kinds(c: Connection, queue: str) -> dict[str | None, Sample]:
    """Return the first queued tasks of a long queue, by the named resources that they ask for.

    Rare kinds count like the most frequent one.
    """
    kinds = sorted(dispatch.count_kinds(c, queue), key=lambda kind: -kind[1])
    rest = sum(many for _, many in kinds[MAX_KINDS:])
    found: dict[str | None, Sample] = {}
    for kind, many in kinds[:MAX_KINDS]:
        uuids = dispatch.list_uuids_of_kind(c, queue, kind, SAMPLE_SIZE // MAX_KINDS)
        rows = sorted(reads.list_by_uuid(c, uuids), key=lambda row: row.number)
        found[kind], rest = (rows, many + rest), 0
    return found


def _group_reasons(c: Connection, call: Call, lines: Sequence[Sample]) -> dict[str, Any]:
    """Count waiting tasks by their first reason.

    Tasks beyond the sample count like the last one sampled.
    """
    looked = [row for rows, _ in lines for row in rows]
    answers = dispatch_view.explain_waiting(
        c, dispatch_view.get_cache(c), looked, get_halt_reason(call), has_starts=False
    )
    counted: dict[str, int] = {}
    for rows, total in lines:
        for at, row in enumerate(rows, 1):
            text = _format_group(row, answers[row.uuid])
            counted[text] = counted.get(text, 0) + (
                1 if at < len(rows) else 1 + max(0, total - len(rows))
            )
    found = [
        {"text": text, "count": n} for text, n in sorted(counted.items(), key=lambda item: -item[1])
    ]
    return {"groups": found, "total": sum(counted.values()), "explained": len(looked)}


_GROUPED = {
    "queue-full": tr_noop("wait for queue {queue} (full)"),
    "queue-paused": tr_noop("wait for queue {queue} (paused)"),
    "pool-paused": tr_noop("wait for the pool of queue {queue} (closed)"),
    "queue-window": tr_noop("wait until queue {queue} opens"),
    "queue-draining": tr_noop("wait for queue {queue} (draining)"),
    "storing": tr_noop("wait in queue {queue} until a bulk submission is stored"),
    "behind": tr_noop("wait behind others in queue {queue}"),
    "dependency": tr_noop("wait for other tasks"),
    "not-before": tr_noop("wait for a set time"),
    "held": tr_noop("are held"),
    "booked": tr_noop("wait in queue {queue} beside a reservation"),
    "retry": tr_noop("wait for the next attempt"),
}


def _format_group(row: TaskRow | TaskLineRow, why: Explanation) -> str:
    first, queue = why.reasons[0], sanitize(row.queue)
    if first.code == "halted":
        return first.text
    if first.code == "limit":
        shown = sanitize(format_subject(first.subject))
        if shown == first.subject:
            return tr("wait in queue {queue}: limit {limit}", queue=queue, limit=shown)
        return tr("wait in queue {queue}: limit of group {group}", queue=queue, group=shown)
    kind, _, resource = first.code.partition("-")
    if first.code in _GROUPED:
        return tr(_GROUPED[first.code], queue=queue)
    if kind in ("pool", "shared"):
        return tr("wait in queue {queue} for {resource}", queue=queue, resource=sanitize(resource))
    return tr("wait in queue {queue}: {why}", queue=queue, why=first.code.replace("-", " "))


async def list_instances(
    call: Call, *, id: str | int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return the runs of one task, or the newest of a group or of all tasks."""

    def read(c: Connection) -> list[InstanceRow]:
        if id is None:
            return reads.list_runs(c, limit=limit)
        if group := lookup.find_group(c, id):
            return reads.list_runs(c, group=group.number, limit=limit)
        return reads.list_runs(c, lookup.find_task(c, id).uuid)

    return [run_to_dict(row) for row in await call.db.read(read)]


async def find_logs(
    call: Call, *, id: str | int, attempt: int | str | None = None
) -> dict[str, Any]:
    """Return the logs of a task's latest run, one attempt, or all."""
    return await call.db.read(build_logs, call, id, attempt)


def build_logs(
    c: Connection, call: Call, ident: str | int, attempt: int | str | None
) -> dict[str, Any]:
    """Build the answer of `log`."""
    row = lookup.find_task(c, ident)
    runs = reads.list_runs(c, row.uuid)
    chosen = (
        runs
        if attempt == "all"
        else (
            runs[-1:]
            if attempt is None
            else [run for run in runs if str(run.attempt) == str(attempt)]
        )
    )
    if attempt not in (None, "all") and not chosen:
        raise Usage(
            "#{number} has no attempt {attempt}. Attempts so far: {n}.",
            number=row.number,
            attempt=sanitize(str(attempt)),
            n=len(runs),
        )
    kept = reads.map_logs(c, row.uuid)
    reasons = (
        dispatch_view.explain_waiting(
            c, dispatch_view.get_cache(c), [row], get_halt_reason(call)
        ).get(row.uuid)
        if row.status in WAITING
        else None
    )
    return {
        "number": row.number, "uuid": row.uuid, "name": row.name, "status": row.status,
        "stdin": row.stdin, "split": row.split,
        "why": reasons.reasons[0].text if reasons and reasons.reasons else None,
        "runs": [format_run_log(call.home, run, kept[run.runid]) for run in chosen],
    }  # fmt: skip


def format_run_log(home: Path, run: InstanceRow, stored_log: str | None) -> dict[str, Any]:
    """Return a run with the path of its log, and the part that the database keeps."""
    columns = (
        "runid",
        "attempt",
        "status",
        "log_bytes",
        "exit_code",
        "signal",
        "reason",
        "start_time",
        "end_time",
    )
    return {name: getattr(run, name) for name in columns} | {
        "path": get_log_path(home, run.runid),
        "logs": stored_log,
    }
