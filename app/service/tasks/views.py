"""What can be asked about tasks and their runs, as plain dicts with the database's names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.core.scheduling.waiting_task import Why
from app.core.schema import secrets as schema_secrets
from app.core.text import units
from app.core.text.sanitize import MASK, clean
from app.errors import Usage
from app.paths import log_path, stopped
from app.service import dispatch_view
from app.service.context import Call
from app.service.tasks import lookup, suggestions
from db import timestamps
from db.maintenance import quarantine
from db.queries import reads, sla_cursor
from db.rows import InstanceRow, LineRow, TaskRow
from db.states import ACTIVE, ENDED, WAITING, Task

RECENT = timedelta(hours=24)
EXPLAINED = 100
"""`ls` says why for so many waiting tasks, as many as it usually lists; in a longer list that would cost more than it tells."""

SAMPLED = 200
"""`why` without a task looks at so many of each queue, and of what waits for each other thing."""


def task_dict(row: TaskRow) -> dict[str, Any]:
    """A task on the wire. Values of secret parameters are masked, and so is what they became in the launch."""
    return row._asdict() | masked(row.parameters, row.launch)


def masked(parameters: dict[str, Any], launch: dict[str, Any]) -> dict[str, Any]:
    """A task's parameters and launch as they may be shown."""
    hidden = launch.get(HIDDEN, ())
    return {"parameters": schema_secrets.opened(parameters, hidden), "launch": _launch(list(schema_secrets.secrets(parameters, hidden)), launch)}


HIDDEN = "hidden"
"""What a launch calls the names of parameters that the template's schema declared secret when the task was submitted."""


def _launch(secrets: Sequence[str], launch: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in launch.items() if key in ("argv", "script")}
    hidden = sorted(filter(None, secrets), key=len, reverse=True)
    if hidden and "argv" in shown:
        shown["argv"] = [_masked(word, hidden) for word in shown["argv"]]
    if unread := launch.get(quarantine.UNREADABLE):
        shown[quarantine.UNREADABLE] = {name: _masked(_left(text, launch.get(HIDDEN, ())), hidden) for name, text in unread.items()}
    return shown


_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*}?|[^,}]*)')


def _left(text: str, names: Collection[str]) -> str:
    """What could not be read, as it was stored; what is secret by its name, or one of these, is masked as far as its shape still tells."""
    return clean(_PAIR.sub(lambda pair: f'"{pair[1]}"{pair[2]}{MASK}' if schema_secrets.is_secret(pair[1], names) else pair[0], text))


def _masked(word: str, hidden: Sequence[str]) -> str:
    for value in hidden:
        word = word.replace(value, MASK)
    return word


def run_dict(row: InstanceRow) -> dict[str, Any]:
    """An instance on the wire."""
    return row._asdict()


async def ls(
    call: Call, *, status: Sequence[str] | str = (), queue: str | None = None, name: str | None = None, tag: dict[str, str] | None = None,
    since: float | None = None, limit: int = 50, recent: bool = False, brief: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Tasks, newest first, and `as_of`, the last event that was known; `recent` leaves out what ended over a day ago.

    With `brief`, only what a line shows: `lines` is the JSON text of a list of lists (`db.reads.BRIEF` says of what), and
    `notes` has by uuid what `NOTES` names.
    """
    wanted = lookup.filters({"status": status, "queue": queue, "name": name, "tag": tag, "since": since})
    return await call.db.read(_ls_brief if brief else _ls, call, wanted, limit, recent)


def _ls(c: Connection, call: Call, wanted: dict[str, Any], limit: int, recent: bool) -> dict[str, Any]:
    wanted, as_of = _wanted(c, wanted, recent), sla_cursor.last_event(c)
    rows = reads.list_tasks(c, **wanted, limit=limit)
    notes = _notes(c, call, [row for row in rows if row.status in WAITING][:EXPLAINED])
    listed = [task_dict(row) | dict(zip(NOTES, notes.get(row.uuid, _NONE), strict=True)) for row in rows]
    return {"tasks": listed, "as_of": as_of} | _counted(c, wanted, limit, len(rows))


def _ls_brief(c: Connection, call: Call, wanted: dict[str, Any], limit: int, recent: bool) -> dict[str, Any]:
    wanted = _wanted(c, wanted, recent)
    brief = reads.list_brief(c, **wanted, limit=limit)
    notes = _notes(c, call, reads.by_uuids(c, brief.waiting[:EXPLAINED]))
    return {"lines": brief.lines, "notes": notes} | _counted(c, wanted, limit, brief.found)


def _wanted(c: Connection, wanted: dict[str, Any], recent: bool) -> dict[str, Any]:
    lookup.known_queue(c, wanted["queue"])
    return wanted | {"recent": timestamps.stamp(timestamps.utcnow() - RECENT) if recent else None}


def _counted(c: Connection, wanted: dict[str, Any], limit: int, found: int) -> dict[str, int]:
    """How many match, and how many there are in all."""
    total = found if not limit or found < limit else reads.count_tasks(c, **wanted)
    return {"total": total, "of": sum(reads.counts(c).values())}


NOTES = ("run", "run_reason", "wait_short", "expected")
_NONE = (None, None, None, None)


def _notes(c: Connection, call: Call, waiting: Sequence[TaskRow]) -> dict[str, tuple[Any, ...]]:
    """{uuid: what a list says beside the task's own columns}: of those that run, and of these that wait."""
    why = dispatch_view.reasons(c, dispatch_view.remembered(c), waiting, halted(call))
    told: dict[str, tuple[Any, ...]] = {run.task_id: (run.status, run.reason, None, None) for run in reads.running(c)}
    for uuid, found in why.items():
        short = found.reasons[0].short if found.reasons else None
        told[uuid] = (None, None, short, found.starts_in)
    return told


def halted(call: Call) -> str | None:
    """Why nothing starts at all."""
    if call.live is not None:
        return call.live.halted
    stop = stopped(call.home)
    return f"no runtime since {clean(stop[1])}" if stop else "no runtime is up"


async def show(call: Call, *, id: str | int) -> dict[str, Any]:
    """One task with its runs, what it waits for, what waits for it, its history, and what it uses while it runs."""
    task = await call.db.read(shown, id)
    return task | {"use": use_of(call, task["instances"])}


def use_of(call: Call, runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What the active of these runs takes."""
    run = next((run for run in runs if run["status"] in ACTIVE), None)
    used = call.live.use(run["runid"]) if run and call.live else None
    return used._asdict() if used else None


def shown(c: Connection, ident: str | int) -> dict[str, Any]:
    """What `show` answers."""
    row = lookup.task(c, ident)
    env, added = reads.environment(c, row.uuid)
    place = None
    if row.status == Task.QUEUED:
        place = {"position": reads.position(c, row), "total": reads.counters(c).get((row.queue, Task.QUEUED.value), 0)}
    pools = {queue.name: queue.pool for queue in reads.queues(c)}
    return {
        **task_dict(row),
        "pool": pools[row.queue],
        "instances": [run_dict(run) for run in reads.instances(c, row.uuid)],
        "parents": [p._asdict() for p in reads.parents(c, [row.uuid])[row.uuid]],
        "children": [dict(p._mapping) for p in reads.children(c, row.uuid)],
        "events": [
            {"at": e.created_at, "status": e.status, "by": e.by, "note": e.note, "runid": e.runid}
            for e in reads.events(c, row.uuid)
        ],
        "env_names": len({*env, *added}),
        "place": place,
        "last_lines": _last_lines(c, row),
    }


def _last_lines(c: Connection, row: TaskRow, lines: int = 4) -> list[str]:
    """The end of the last run's log, of a task that ended."""
    last = reads.last_runs(c, [row.uuid]).get(row.uuid)
    return [line for line in (last.logs or "").splitlines() if line.strip()][-lines:] if last else []


async def why(call: Call, *, ids: Sequence[str | int] = ()) -> Any:
    """Why tasks wait, with numbers; without ids all that wait, counted by reason."""
    return await call.db.read(explained if ids else _groups, call, ids)


def explained(c: Connection, call: Call, ids: Sequence[str | int]) -> list[dict[str, Any]]:
    """What `why` answers of some tasks."""
    rows = [lookup.task(c, ident) for ident in ids]
    habits = dispatch_view.remembered(c)
    seen = dispatch_view.view(c, habits, halted(call))
    answers = dispatch_view.reasons(c, habits, rows, seen.halted, seen)
    help = suggestions.of(c, call, habits, rows, seen, answers)
    return [{**_answer(row, answers.get(row.uuid), c), "cures": help.get(row.uuid, [])} for row in rows]


def _answer(row: TaskRow, why: Why | None, c: Connection) -> dict[str, Any]:
    now = timestamps.utcnow()
    found = {"number": row.number, "uuid": row.uuid, "name": row.name, "status": row.status, "queue": row.queue,
             "waits": (now - timestamps.parse(row.created_at)).total_seconds(), "expected_start": None, "expected_in": None,
             "last_lines": []}  # fmt: skip
    if why is None:
        failed = row.status in ENDED and row.status != Task.SUCCEEDED
        return found | {"reasons": [_told(row, c)], "last_lines": _last_lines(c, row) if failed else []}
    if why.expected_in:
        first, last = (now + timedelta(seconds=seconds) for seconds in why.expected_in)
        found |= {"expected_start": units.span(first, last, now), "expected_in": list(why.expected_in)}
    elif row.status == Task.SCHEDULED and row.not_before and all(reason.code == "not-before" for reason in why.reasons):
        found["expected_start"] = units.clock(timestamps.parse(row.not_before), now)
    return {**found, "reasons": [{"code": r.code, "text": r.text, "short": r.short} for r in why.reasons]}


def _told(row: TaskRow, c: Connection) -> dict[str, str]:
    """A task that does not wait: it runs, or how it ended."""
    if row.status in ENDED:
        how = row.status.replace("_", " ") + (f": {clean(row.reason)}" if row.reason else "")
        return {"code": "ended", "text": f"it has ended, {how}", "short": how[:44]}
    runs = [run for run in reads.instances(c, row.uuid) if run.status not in ENDED]
    text = (
        f"it runs, attempt {row.attempts}" if not runs or runs[-1].status == "running" else f"it is {runs[-1].status}"
    )
    return {"code": "running", "text": text, "short": text}


def _groups(c: Connection, call: Call, ids: Sequence[str | int]) -> dict[str, Any]:
    """Everything that waits, by the first reason. What stands behind those that were looked at waits as the last of them does."""
    counts, lines = reads.counters(c), {}
    for queue in reads.queues(c):
        lines[queue.name] = (reads.waiting(c, queue.name, SAMPLED), counts.get((queue.name, Task.QUEUED.value), 0))
    for status, rows in reads.not_queued(c, SAMPLED).items():
        lines[status.value, ""] = (rows, sum(n for (_, found), n in counts.items() if found == status.value))
    looked = [row for rows, _ in lines.values() for row in rows]
    answers = dispatch_view.reasons(c, dispatch_view.remembered(c), looked, halted(call))
    counted: dict[str, int] = {}
    for rows, total in lines.values():
        for at, row in enumerate(rows, 1):
            text = _group(row, answers[row.uuid])
            counted[text] = counted.get(text, 0) + (1 if at < len(rows) else 1 + max(0, total - len(rows)))
    groups = [{"text": text, "count": n} for text, n in sorted(counted.items(), key=lambda item: -item[1])]
    return {"groups": groups, "total": sum(counted.values()), "explained": len(looked)}


_GROUPED = {
    "queue-full": "wait for queue {queue} (full)",
    "queue-paused": "wait for queue {queue} (paused)",
    "queue-draining": "wait for queue {queue} (draining)",
    "behind": "wait behind others in queue {queue}",
    "dependency": "wait for other tasks",
    "not-before": "wait for a set time",
    "held": "are held",
    "retry": "wait for the next attempt",
}


def _group(row: TaskRow | LineRow, why: Why) -> str:
    first = why.reasons[0]
    return _GROUPED.get(
        first.code, first.text if first.code == "halted" else f"wait in queue {{queue}}: {first.code.replace('-', ' ')}"
    ).format(queue=clean(row.queue))


async def instances(call: Call, *, id: str | int | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Runs of one task, or the newest of all."""

    def read(c: Connection) -> list[InstanceRow]:
        return reads.instances(c, lookup.task(c, id).uuid) if id is not None else reads.instances(c, limit=limit)

    return [run_dict(row) for row in await call.db.read(read)]


async def log(call: Call, *, id: str | int, attempt: int | str | None = None) -> dict[str, Any]:
    """Where the logs of a task's runs are; the latest run, one attempt, or all."""
    return await call.db.read(logged, call, id, attempt)


def logged(c: Connection, call: Call, ident: str | int, attempt: int | str | None) -> dict[str, Any]:
    """What `log` answers."""
    row = lookup.task(c, ident)
    runs = reads.instances(c, row.uuid)
    chosen = (
        runs
        if attempt == "all"
        else runs[-1:]
        if attempt is None
        else [run for run in runs if str(run.attempt) == str(attempt)]
    )
    if attempt not in (None, "all") and not chosen:
        raise Usage(f"#{row.number} has no attempt {clean(str(attempt))}; it made {len(runs)}.")
    kept = reads.logs_of(c, row.uuid)
    reasons = dispatch_view.reasons(c, dispatch_view.remembered(c), [row], halted(call)).get(row.uuid) if row.status in WAITING else None
    return {
        "number": row.number, "uuid": row.uuid, "name": row.name, "status": row.status,
        "why": reasons.reasons[0].text if reasons and reasons.reasons else None,
        "runs": [_run_log(call.home, run, kept[run.runid]) for run in chosen],
    }  # fmt: skip


def _run_log(home: Path, run: InstanceRow, kept: str | None) -> dict[str, Any]:
    told = ("runid", "attempt", "status", "log_bytes", "exit_code", "signal", "reason", "start_time", "end_time")
    return {name: getattr(run, name) for name in told} | {"path": log_path(home, run.runid), "logs": kept}
