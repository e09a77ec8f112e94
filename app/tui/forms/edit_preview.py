"""What saving an edit would bring, in words: from the board, before anything is asked of the runtime. Pure.

Texts of others are cleaned here; the sentences are for people, the runtime decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.core import metrics
from app.core.board import Board, PoolLine, QueueLine
from app.core.text import units
from app.core.text.sanitize import clean
from app.tui.forms.edit_model import NEW_RULE, POOL, QUEUE, RULE, TASK, Sheet
from db.states import ENDED

NEAR = 1e-6


def outlook(sheet: Sheet, board: Board | None) -> list[str]:
    """Sentences about what would happen, the weightiest first."""
    changes = sheet.changes()
    if not changes or board is None:
        return []
    says = {id(TASK): _task, id(QUEUE): _queue, id(POOL): _pool, id(RULE): _rule, id(NEW_RULE): _new_rule}.get(id(sheet.kind))
    return list(says(sheet, changes, board)) if says else []


def hint(sheet: Sheet, name: str, board: Board | None) -> str:
    """What there is to know beside a field, from the board: `2.0G of 32.0G is free in pool gpu`; of a rule's limit what it is."""
    if sheet.kind in (RULE, NEW_RULE) and name == "value":
        return _LIMITS[metrics.unit(metric)] if (metric := _metric(sheet)) else "from its submission"
    if sheet.kind is not TASK or name not in ("cpu", "memory", "queue") or board is None:
        return ""
    queue = _queue_of(sheet, board)
    if queue is None:
        return ""
    if name == "queue":
        return f"{queue.word}: {queue.load} of {queue.capacity}, {units.count(queue.waiting)} waiting"
    pool = _pool_line(board, queue.pool)
    return f"{_write(name, _free(pool, name))} of {_write(name, _total(pool, name))} free in pool {clean(pool.name)}" if pool else ""


def _write(name: str, amount: float) -> str:
    return units.memory(amount) if name == "memory" else units.plain(amount)


def _total(pool: PoolLine, name: str) -> float:
    return pool.total_memory if name == "memory" else pool.total_cpu


def _free(pool: PoolLine, name: str) -> float:
    return max(0.0, pool.total_memory - pool.used_memory if name == "memory" else pool.total_cpu - pool.used_cpu)


def _queue_line(board: Board, name: Any) -> QueueLine | None:
    return next((line for line in board.queues if line.name == name), None)


def _pool_line(board: Board, name: Any) -> PoolLine | None:
    return next((line for line in board.pools if line.name == name), None)


def _queue_of(sheet: Sheet, board: Board) -> QueueLine | None:
    """The queue that the tasks will be in; None where they differ."""
    return _queue_line(board, sheet.text(sheet.slot("queue")))


# --- tasks ------------------------------------------------------------------------------------------------------------


def _task(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    over = [row for row in sheet.stored if row.get("status") in ENDED]
    if over:
        yield f"{_some(over, sheet)} ended: that is refused." if len(sheet.stored) > 1 else "It has ended: nothing of it can be changed."
    if queue := _moves_to(changes, board):
        yield queue
    yield from _fits(sheet, changes, board)
    if any(row.get("status") == "running" for row in sheet.stored):
        yield "What runs keeps what it has; the change counts for its next attempt."


def _some(rows: Sequence[Any], sheet: Sheet) -> str:
    return f"{len(rows)} of {len(sheet.stored)} {'has' if len(rows) == 1 else 'have'}"


def _moves_to(changes: Mapping[str, Any], board: Board) -> str:
    line = _queue_line(board, changes.get("queue"))
    if line is None:
        return ""
    waiting = f"{units.count(line.waiting)} wait{'s' if line.waiting == 1 else ''} there"
    return f"Goes to queue {clean(line.name)}: {line.word}, {line.load} of {line.capacity} running, {waiting}."


def _fits(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    """Whether what is asked for fits the pool: ever, and now."""
    queue = _queue_of(sheet, board)
    pool = _pool_line(board, queue.pool) if queue else None
    if pool is None or not changes.keys() & {"cpu", "memory", "queue"}:
        return
    asked = {name: _asked(sheet, name) for name in ("memory", "cpu")}
    never = [name for name, most in asked.items() if most > _total(pool, name) + NEAR]
    lacking = [name for name, most in asked.items() if most > _free(pool, name) + NEAR]
    called = clean(pool.name)
    for name in never:
        has = _write(name, _total(pool, name))
        yield f"{_write(name, asked[name])} {name} is more than pool {called} has in all ({has}): that is refused."
    if never or not any(row.get("status") == "queued" for row in sheet.stored):
        return
    if not lacking:
        yield f"It fits what is free in pool {called} now."
    for name in lacking:
        yield f"{_write(name, asked[name])} {name} asked, only {_write(name, _free(pool, name))} free in pool {called}: it goes on waiting."


def _asked(sheet: Sheet, name: str) -> float:
    """The most that one of the tasks will ask for."""
    if name in sheet.changes():
        return float(sheet.changes()[name] or 0.0)
    return max((float(row.get(name) or 0.0) for row in sheet.stored), default=0.0)


# --- queues and pools -------------------------------------------------------------------------------------------------


def _queue(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    for row in sheet.stored:
        line = _queue_line(board, row.get("name"))
        if line is None:
            continue
        if "capacity" in changes:
            yield _capacity(line, changes["capacity"])
        if "pool" in changes and (pool := _pool_line(board, changes["pool"])):
            free = f"{units.plain(_free(pool, 'cpu'))} cpu and {units.memory(_free(pool, 'memory'))} are free there"
            yield f"What starts from now on draws from pool {clean(pool.name)}: {free}."
        if "status" in changes:
            yield _turned(changes["status"], line.load, line.waiting)


def _capacity(line: QueueLine, capacity: int) -> str:
    start = f"Capacity {line.capacity} → {capacity}: "
    if capacity < line.load:
        over = line.load - capacity
        return f"{start}{line.load} run on; nothing starts until {over} {'has' if over == 1 else 'have'} ended."
    more = min(line.waiting, capacity - max(line.load, line.capacity))
    if more <= 0:
        return f"{start}nothing more starts by that." if line.waiting else f"{start}nothing waits."
    where = "where they fit the pool" if more > 1 else "where it fits the pool"
    return f"{start}{more} more may start now, {where}."


def _turned(status: str, load: int, waiting: int) -> str:
    if status == "active":
        return f"It starts things again: {units.count(waiting)} wait{'s' if waiting == 1 else ''}."
    runs = f"{load} {'runs' if load == 1 else 'run'} on" if load else "nothing runs in it"
    return f"Nothing more starts; {runs}, {units.count(waiting)} wait{'s' if waiting == 1 else ''}."


def _pool(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    for row in sheet.stored:
        line = _pool_line(board, row.get("name"))
        if line is None:
            continue
        for name, used in (("memory", line.used_memory), ("cpu", line.used_cpu)):
            if name in changes:
                yield _resized(name, _total(line, name), used, float(changes[name]))
                if not float(changes[name]):
                    yield f"Nothing can start in pool {clean(line.name)} that asks for {_SHUT[name]}."
        if "status" in changes:
            mine = [queue for queue in board.queues if queue.pool == line.name]
            yield _turned(changes["status"], sum(q.load for q in mine), sum(q.waiting for q in mine))


_SHUT = {"memory": "memory", "cpu": "CPU, as every task does unless it says 0"}


def _resized(name: str, was: float, used: float, total: float) -> str:
    label = "CPU" if name == "cpu" else "Memory"
    start = f"{label} {_write(name, was)} → {_write(name, total)}: "
    if used > total + NEAR:
        back = _write(name, used - total)
        return f"{start}{_write(name, used)} is reserved. What runs keeps it; nothing starts until {back} is given back."
    return f"{start}{_write(name, total - used)} free."


# --- rules ------------------------------------------------------------------------------------------------------------


_LIMITS = {metrics.SECONDS: "a time: 5m, 250ms", metrics.COUNT: "a count: 20", metrics.BYTES: "a size: 64M"}


def _metric(sheet: Sheet) -> str:
    """The figure that a rule is about; "" for one about tasks."""
    what = sheet.text(sheet.slot("preset"))
    return what if what in metrics.METRICS else ""


def _rule(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    count = sum(sum((row.get("open") or {}).values()) for row in sheet.stored)
    alerts = f"its {count} open alert{'' if count == 1 else 's'}" if count else ""
    if changes.get("enabled") is False:
        yield f"It is looked at no more{f'; {alerts} close' + ('s' if count == 1 else '') if alerts else ''}."
    elif not all(row.get("enabled") or changes.get("enabled") for row in sheet.stored):
        yield "It is off: nothing is late by it until it is on."
    elif changes.keys() & {"preset", "value", "template", "queue", "task", "tag", "enabled"}:
        again = f" {alerts[:1].upper()}{alerts[1:]} fire{'s' if count == 1 else ''} again where still late." if alerts else ""
        looks = _fires(sheet, metric) if (metric := _metric(sheet)) else "It looks at every task that has not ended."
        yield f"{looks}{again}"
    yield from _everything(sheet)


def _fires(sheet: Sheet, metric: str) -> str:
    return f"Its one alert fires while {metric} is {sheet.value(sheet.slot('value'))} or more."


def _new_rule(sheet: Sheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    yield _fires(sheet, metric) if (metric := _metric(sheet)) else "Tasks that are late by it already are told of at once."
    yield from _everything(sheet)


def _everything(sheet: Sheet) -> Iterator[str]:
    if not _metric(sheet) and not any(sheet.text(sheet.slot(name)) for name in ("template", "queue", "task", "tag")):
        yield "It is about every task: no template, queue, name or tag is named."
