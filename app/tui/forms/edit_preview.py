"""Edit previews: the effect of saving an edit, in sentences computed from the board.

Text from outside is sanitized here. The sentences are for people; the runtime decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from app.core import metrics
from app.core.board import Board, PoolEntry, QueueEntry
from app.core.text import units
from app.core.text.joining import end_sentence, join_sentences
from app.core.text.sanitize import sanitize
from app.translation import tr, tr_n, tr_noop
from app.tui.board_words import translate_queue_word
from app.tui.forms import resource_field, rule_model
from app.tui.forms.command_field import find_shell_reason
from app.tui.forms.edit_model import NEW_RULE, POOL, QUEUE, RULE, TASK, EditSheet
from app.tui.forms.schedule_model import EXPRESSION_HINTS, NEW_SCHEDULE, SCHEDULE
from db.states import ENDED

EPSILON = 1e-6


def preview_edit(sheet: EditSheet, board: Board | None) -> list[str]:
    """Return sentences about the effect of the edit, most important first."""
    changes = sheet.find_changes()
    if not changes or board is None:
        return []
    preview_functions = {
        id(TASK): _preview_task,
        id(QUEUE): _preview_queue,
        id(POOL): _preview_pool,
        id(RULE): _preview_rule,
        id(NEW_RULE): _preview_new_rule,
    }.get(id(sheet.kind))
    return list(preview_functions(sheet, changes, board)) if preview_functions else []


def get_hint(sheet: EditSheet, name: str, board: Board | None) -> str:
    """Return the hint beside a field: free resources, or the format of a limit or an expression.

    Example: `2.0G of 32.0G free in pool gpu`.
    """
    if sheet.kind in (SCHEDULE, NEW_SCHEDULE) and name == "expression":
        return tr(EXPRESSION_HINTS.get(sheet.get_text(sheet.find_field("kind")), ""))
    if sheet.kind is NEW_RULE and name in ("value", "wait") and rule_model.is_preset(sheet):
        return rule_model.get_hint(sheet, name)
    if sheet.kind in (RULE, NEW_RULE) and name == "value":
        return (
            tr(_LIMITS[metrics.get_unit(metric)])
            if (metric := _get_metric(sheet))
            else tr("from its submission")
        )
    if name == "resources":
        return _describe_free(sheet, board) or resource_field.EXAMPLE
    if sheet.kind is not TASK or name not in ("cpu", "memory", "queue") or board is None:
        return ""
    queue = _find_target_queue(sheet, board)
    if queue is None:
        return ""
    if name == "queue":
        return tr(
            "{word}: {load} of {capacity}, {count} waiting",
            word=translate_queue_word(queue.word),
            load=queue.load,
            capacity=queue.capacity,
            count=units.format_count(queue.waiting),
        )
    pool = _find_pool(board, queue.pool)
    return (
        tr(
            "{amount} of {total} free in pool {name}",
            amount=_format_amount(name, _get_free(board, pool, name)),
            total=_format_amount(name, _get_total(board, pool, name)),
            name=sanitize(pool.name),
        )
        if pool
        else ""
    )


def _describe_free(sheet: EditSheet, board: Board | None) -> str:
    """Describe what is free of named resources in the pool of a task."""
    queue = _find_target_queue(sheet, board) if sheet.kind is TASK and board else None
    pool = _find_pool(board, queue.pool) if queue and board else None
    return resource_field.describe_free(board, pool) if board and pool else ""


def _format_amount(name: str, amount: float) -> str:
    return units.format_memory(amount) if name == "memory" else units.format_number(amount)


def _list_levels(board: Board, pool: PoolEntry, name: str) -> list[tuple[float, float]]:
    """Return total and reserved amount of a resource: of the pool, and of what pools share."""
    if pool.outer:  # Slurm knows what it has
        return [(inf, 0.0)]
    if name == "memory":
        return [(pool.total_memory, pool.used_memory)]
    if name == "cpu":
        return [(pool.total_cpu, pool.used_cpu)]
    return [(one.total, one.used) for one in resource_field.find_uses(board, pool, name)]


def _get_total(board: Board, pool: PoolEntry, name: str) -> float:
    return min((total for total, _ in _list_levels(board, pool, name)), default=0.0)


def _get_free(board: Board, pool: PoolEntry, name: str) -> float:
    free = (total - used for total, used in _list_levels(board, pool, name))
    return max(0.0, min(free, default=0.0))


def _find_queue(board: Board, name: Any) -> QueueEntry | None:
    return next((line for line in board.queues if line.name == name), None)


def _find_pool(board: Board, name: Any) -> PoolEntry | None:
    return next((line for line in board.pools if line.name == name), None)


def _find_target_queue(sheet: EditSheet, board: Board) -> QueueEntry | None:
    """Return the queue the tasks will be in; None if they differ."""
    return _find_queue(board, sheet.get_text(sheet.find_field("queue")))


# --- tasks ---


def _preview_task(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    over = [row for row in sheet.stored if row.get("status") in ENDED]
    if over:
        yield (
            tr_n(
                len(over),
                "{n} of {total} has ended: the edit is refused.",
                "{n} of {total} have ended: the edit is refused.",
                total=len(sheet.stored),
            )
            if len(sheet.stored) > 1
            else tr("It has ended and cannot be edited.")
        )
    if changes.keys() & {"command", "cwd"}:
        yield from _preview_work(sheet, changes)
    if queue := _preview_move(changes, board):
        yield queue
    yield from _preview_fit(sheet, changes, board)
    if any(row.get("status") == "running" for row in sheet.stored):
        yield tr("The running attempt keeps its resources; the change applies to the next attempt.")


def _preview_work(sheet: EditSheet, changes: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences about what the tasks will run."""
    if any(row.get("status") == "running" for row in sheet.stored):
        yield tr("A started task keeps its command and directory: the edit is refused.")
    elif "command" in changes and any(row.get("template") for row in sheet.stored):
        yield tr("A template makes the command: the edit is refused.")
    elif "command" in changes and (reason := find_shell_reason(changes["command"])):
        yield tr("A shell runs the command, because of {reason} in it.", reason=reason)


def _preview_move(changes: Mapping[str, Any], board: Board) -> str:
    line = _find_queue(board, changes.get("queue"))
    if line is None:
        return ""
    count = units.format_count(line.waiting)
    waiting = tr_n(line.waiting, "{count} waits there", "{count} wait there", count=count)
    return tr(
        "Goes to queue {name}: {word}, {load} of {capacity} running, {waiting}.",
        name=sanitize(line.name),
        word=translate_queue_word(line.word),
        load=line.load,
        capacity=line.capacity,
        waiting=waiting,
    )


def _preview_fit(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    """Yield sentences about the pool: if the request can fit at all, and if it fits now."""
    queue = _find_target_queue(sheet, board)
    pool = _find_pool(board, queue.pool) if queue else None
    if pool is None or not changes.keys() & {"cpu", "memory", "queue", "resources"}:
        return
    requests = {name: _get_largest_request(sheet, name) for name in ("memory", "cpu")}
    requests |= _map_largest_named(sheet)
    never = [
        name for name, most in requests.items() if most > _get_total(board, pool, name) + EPSILON
    ]
    lacking = [
        name for name, most in requests.items() if most > _get_free(board, pool, name) + EPSILON
    ]
    called = sanitize(pool.name)
    for name in never:
        has = _format_amount(name, _get_total(board, pool, name))
        yield (
            tr(
                "{amount} {name} exceeds the total of pool {called} ({has}): the edit is refused.",
                amount=_format_amount(name, requests[name]),
                name=sanitize(tr(name)),
                called=called,
                has=has,
            )
        )
    if never or not any(row.get("status") == "queued" for row in sheet.stored):
        return
    if not lacking:
        yield tr("It fits in pool {called} now.", called=called)
    for name in lacking:
        yield (
            tr(
                "{amount} {name} requested, only {free} free in pool {called}: it keeps waiting.",
                amount=_format_amount(name, requests[name]),
                name=sanitize(tr(name)),
                free=_format_amount(name, _get_free(board, pool, name)),
                called=called,
            )
        )


def _get_largest_request(sheet: EditSheet, name: str) -> float:
    """Return the largest request among the tasks."""
    if name in sheet.find_changes():
        return float(sheet.find_changes()[name] or 0.0)
    return max((float(row.get(name) or 0.0) for row in sheet.stored), default=0.0)


def _map_largest_named(sheet: EditSheet) -> dict[str, float]:
    """Return the largest request of each named resource among the tasks."""
    new = sheet.find_changes().get("resources")
    rows = [row.get("resources") or {} for row in sheet.stored] if new is None else [new or {}]
    return {
        name: max(float(row.get(name) or 0) for row in rows)
        for name in sorted({name for row in rows for name in row})
    }


# --- queues and pools ---


def _preview_queue(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    for row in sheet.stored:
        line = _find_queue(board, row.get("name"))
        if line is None:
            continue
        if "capacity" in changes:
            yield _preview_capacity(line, changes["capacity"])
        if "pool" in changes and (pool := _find_pool(board, changes["pool"])):
            free = tr(
                "{cpu} cpu and {memory} are free there",
                cpu=units.format_number(_get_free(board, pool, "cpu")),
                memory=units.format_memory(_get_free(board, pool, "memory")),
            )
            yield tr(
                "Tasks that start from now on use pool {name}: {free}.",
                name=sanitize(pool.name),
                free=free,
            )
        if "status" in changes:
            yield _preview_status(changes["status"], line.load, line.waiting)


def _preview_capacity(line: QueueEntry, capacity: int) -> str:
    start = tr("Capacity {old} → {new}: ", old=line.capacity, new=capacity)
    if capacity < line.load:
        over = line.load - capacity
        return tr_n(
            over,
            "{start}{load} tasks keep running; nothing starts until {n} of them has ended.",
            "{start}{load} tasks keep running; nothing starts until {n} of them have ended.",
            start=start,
            load=line.load,
        )
    more = min(line.waiting, capacity - max(line.load, line.capacity))
    if more <= 0:
        return (
            tr("{start}nothing more starts.", start=start)
            if line.waiting
            else tr("{start}nothing waits.", start=start)
        )
    return tr_n(
        more,
        "{start}{n} more task may start now if it fits the pool.",
        "{start}{n} more tasks may start now if they fit the pool.",
        start=start,
    )


def _preview_status(status: str, load: int, waiting: int) -> str:
    count = units.format_count(waiting)
    if status == "active":
        return tr_n(
            waiting,
            "Tasks start again; {count} task waits.",
            "Tasks start again; {count} tasks wait.",
            count=count,
        )
    runs = (
        tr_n(load, "{n} running task continues.", "{n} running tasks continue.")
        if load
        else tr("No task is running there.")
    )
    waits = tr_n(waiting, "{n:,} task waits.", "{n:,} tasks wait.")
    return join_sentences(tr("Nothing more starts."), runs, waits)


def _preview_pool(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    for row in sheet.stored:
        line = _find_pool(board, row.get("name"))
        if line is None:
            continue
        for name, used in (("memory", line.used_memory), ("cpu", line.used_cpu)):
            if name in changes:
                total = _get_total(board, line, name)
                yield _preview_resize(name, total, used, float(changes[name]))
                if not float(changes[name]):
                    yield (
                        tr(
                            "Nothing can start in pool {name} that requests {resource}.",
                            name=sanitize(line.name),
                            resource=tr(_ZERO_NAMES[name]),
                        )
                    )
        if "resources" in changes:
            yield from _preview_named(line, changes["resources"] or {})
        if "status" in changes:
            queues_of_pool = [queue for queue in board.queues if queue.pool == line.name]
            yield _preview_status(
                changes["status"],
                sum(q.load for q in queues_of_pool),
                sum(q.waiting for q in queues_of_pool),
            )


def _preview_named(pool: PoolEntry, totals: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each named resource of a pool that changes."""
    before = {one.name: one for one in pool.resources}
    for name in sorted({*before, *totals}):
        one, total = before.get(name), totals.get(name, 0)
        if total != (one.total if one else 0):
            used = one.used if one else 0
            yield _preview_resize(name, one.total if one else 0, used, total)


_ZERO_NAMES = {"memory": tr_noop("memory"), "cpu": tr_noop("CPU, as every task does by default")}


def _preview_resize(name: str, old_total: float, used: float, total: float) -> str:
    label = {"cpu": "CPU", "memory": tr("Memory")}.get(name) or sanitize(name)
    start = f"{label} {_format_amount(name, old_total)} → {_format_amount(name, total)}: "
    if used > total + EPSILON:
        back = _format_amount(name, used - total)
        return tr(
            "{start}{amount} is reserved. Running tasks keep their reservations; nothing starts"
            " until {back} is released.",
            start=start,
            amount=_format_amount(name, used),
            back=back,
        )
    return tr("{start}{amount} free.", start=start, amount=_format_amount(name, total - used))


# --- rules ---


_LIMITS = {
    metrics.SECONDS: tr_noop("a time: 5m, 250ms"),
    metrics.COUNT: tr_noop("a count: 20"),
    metrics.BYTES: tr_noop("a size: 64M"),
}


def _get_metric(sheet: EditSheet) -> str:
    """Return the metric of a rule; "" for a rule about tasks."""
    what = sheet.get_text(sheet.find_field("preset"))
    return what if what in metrics.METRICS else ""


def _preview_rule(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    count = sum(sum((row.get("open") or {}).values()) for row in sheet.stored)
    if changes.get("enabled") is False:
        yield (
            tr_n(
                count,
                "The rule stops; its {n} open alert closes.",
                "The rule stops; its {n} open alerts close.",
            )
            if count
            else tr("The rule stops.")
        )
    elif not all(row.get("enabled") or changes.get("enabled") for row in sheet.stored):
        yield tr("The rule is off: it raises no alerts until it is on.")
    elif changes.keys() & {"preset", "value", "template", "queue", "task", "tag", "enabled"}:
        again = (
            tr_n(
                count,
                " Its {n} open alert fires again where still late.",
                " Its {n} open alerts fire again where still late.",
            )
            if count
            else ""
        )
        looks = (
            _describe_metric_rule(sheet, metric)
            if (metric := _get_metric(sheet))
            else tr("It checks every task that has not ended.")
        )
        yield f"{looks}{again}"
    yield from _warn_unfiltered(sheet)


def _describe_metric_rule(sheet: EditSheet, metric: str) -> str:
    return tr(
        "Its one alert fires while {metric} is {limit} or more.",
        metric=metric,
        limit=sheet.parse_value(sheet.find_field("value")),
    )


def _preview_new_rule(sheet: EditSheet, changes: Mapping[str, Any], board: Board) -> Iterator[str]:
    if rule_model.is_preset(sheet):
        sentence = rule_model.describe(sheet)
        yield end_sentence(f"{sentence[:1].upper()}{sentence[1:]}")
        return
    yield (
        _describe_metric_rule(sheet, metric)
        if (metric := _get_metric(sheet))
        else tr("Tasks already late raise an alert at once.")
    )
    yield from _warn_unfiltered(sheet)


def _warn_unfiltered(sheet: EditSheet) -> Iterator[str]:
    if not _get_metric(sheet) and not any(
        sheet.get_text(sheet.find_field(name)) for name in ("template", "queue", "task", "tag")
    ):
        yield tr("It applies to every task: no template, queue, name or tag is given.")
