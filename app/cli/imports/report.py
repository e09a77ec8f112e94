"""Report of an import: tasks that are taken over, tasks that stay, and parts that differ."""

from __future__ import annotations

import shlex
from collections import Counter
from datetime import datetime
from typing import Any

from app.cli import output
from app.cli.imports.take_over import Report
from app.cli.table_layout import Column, Span
from app.core.imports.items import PeerItem, PeerQueue
from app.core.schema import secrets
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.translation import tr, tr_n, tr_noop

COLUMNS = [
    Column("ID", align=">"),
    Column("NAME", least=8, first=True),
    Column("STATE"),
    Column("QUEUE"),
    Column("OPTIONS", least=8),
    Column("COMMAND", least=8),
]
USUAL_LOSS = tr_noop(
    "a task reserves a core and waits until one is free (submit --cpu); its output is the log of"
    " the task"
)
MAX_LISTED = 200
"""Staying tasks that are listed."""


def make_json(report: Report) -> dict[str, Any]:
    """Return the report for programs. Environments are left out: they may hold secrets."""
    return {
        "source": report.state.source,
        "queues": [
            {
                "name": queue.name, "origin": queue.origin, "capacity": queue.capacity,
                "paused": queue.is_paused, "exists": queue.name in report.queues,
            }
            for queue in report.state.queues
        ],
        "items": [_make_item(report, item) for item in report.state.items],
        "notes": report.state.losses,
        "finished": report.finished,
        "unclear": report.unclear,
    }  # fmt: skip


def _make_item(report: Report, item: PeerItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "status": item.status,
        "outcome": report.outcomes[item.id],
        "number": report.numbers.get(item.id),
        "name": item.task.get("name"),
        "queue": item.queue,
        "options": _list_options(report, item),
        "cwd": item.cwd,
        "command": item.command,
        "reason": item.obstacle,
        "notes": item.losses,
    }


def print_report(report: Report, peer: str, command: str | None, wide: bool) -> None:
    """Print the table and what differs; `command` takes the tasks over, None if that is done."""
    if report.chosen:
        rows = [_format_item(report, item) for item in report.chosen]
        output.print_table(COLUMNS, rows, wide)
    sections = [
        _list_queues(report),
        _list_staying(report, peer),
        _list_ended(report),
        _list_losses(report),
        _list_unclear(report, peer),
    ]
    is_first = not report.chosen
    for lines in filter(None, sections):
        for line in lines if is_first else ("", *lines):
            output.print_line(line)
        is_first = False
    _print_end(report, peer, command)


def _format_item(report: Report, item: PeerItem) -> list[Span]:
    number = report.numbers.get(item.id)
    outcome = report.outcomes[item.id] if number is None else tr("created #{number}", number=number)
    return [
        (str(item.id), ""),
        (sanitize(item.task.get("name") or ""), ""),
        (outcome, ""),
        (sanitize(item.queue), ""),
        (sanitize(truncate(" ".join(_list_options(report, item)), 200)), ""),
        (truncate(sanitize(item.command), 200), ""),
    ]


def _list_options(report: Report, item: PeerItem) -> list[str]:
    """Return the options of `submit` that give a task its settings, without name and queue."""
    found = ["--hold"] if item.is_held else []
    for parent in item.parents:
        number = report.numbers.get(parent)
        found += ["--after", f"ID-{parent}" if number is None else str(number)]
    for key, value in item.task.items():
        if key not in ("argv", "script", "name"):
            found += _format_option(key, value)
    return found


def _format_option(key: str, value: Any) -> list[str]:
    option = f"--{key.replace('_', '-')}"
    if key == "at":
        return [option, f"{datetime.fromisoformat(value).astimezone():%Y-%m-%dT%H:%M}"]
    if key == "env":
        shown = secrets.mask_record(value)
        return [word for n, v in shown.items() for word in ("--env", shlex.quote(f"{n}={v}"))]
    if key == "tags":
        return [word for n, v in value.items() for word in ("--tag", shlex.quote(f"{n}={v}"))]
    if key == "timeout":
        return [option, units.format_duration_setting(value).replace(" ", "")]
    if value is True:
        return [option]
    return [option, shlex.quote(f"{value:g}M" if key == "memory" else f"{value}")]


def _list_queues(report: Report) -> list[str]:
    used = {item.queue for item in report.chosen}
    queues = [queue for queue in report.state.queues if queue.name in used]
    return [tr("queues:"), *(_describe_queue(report, queue) for queue in queues)] if queues else []


def _describe_queue(report: Report, queue: PeerQueue) -> str:
    words = [tr("new")]
    words += (
        [tr("capacity {capacity}", capacity=queue.capacity)] if queue.capacity is not None else []
    )
    words += [tr("paused")] if queue.is_paused else []
    text = ", ".join(words)
    if (known := report.queues.get(queue.name)) is not None:
        text = tr(
            "exists and stays as it is: capacity {capacity}, {status}",
            capacity=known["capacity"],
            status=known["status"],
        )
    return f"  {sanitize(queue.name)}  {text} ({sanitize(queue.origin)})"


def _list_staying(report: Report, peer: str) -> list[str]:
    staying = [item for item in report.state.items if report.outcomes[item.id] == "stays"]
    lines = [tr("stays in {peer}:", peer=peer)] if staying else []
    for item in staying[:MAX_LISTED]:
        why = item.obstacle or tr("runs there, and ends there")
        lines.append(f"  {item.id}: {sanitize(why)}: {truncate(sanitize(item.command), 60)}")
    if len(staying) > MAX_LISTED:
        lines.append(tr("  and {count} more: --json lists all", count=len(staying) - MAX_LISTED))
    return lines


def _list_ended(report: Report) -> list[str]:
    counts = Counter(
        item.status for item in report.state.items if report.outcomes[item.id] == "ended"
    )
    words = ", ".join(f"{n} {sanitize(word)}" for word, n in sorted(counts.items()))
    return [tr("ended there, left out: {counts}", counts=words)] if counts else []


def _list_losses(report: Report) -> list[str]:
    """Return each loss once, with the tasks that it concerns."""
    if not report.chosen:
        return []
    numbers: dict[str, list[str]] = {}
    for item in report.chosen:
        for loss in item.losses:
            numbers.setdefault(loss, []).append(str(item.id))
    lines = [tr("what differs:")]
    for loss, tasks in numbers.items():
        shown = ", ".join(tasks[:20]) + (", …" if len(tasks) > 20 else "")
        lines.append(f"  {shown}: {sanitize(loss)}")
    return lines + [f"  {sanitize(loss)}" for loss in (*report.state.losses, tr(USUAL_LOSS))]


def _list_unclear(report: Report, peer: str) -> list[str]:
    if not report.unclear:
        return []
    numbers = " ".join(map(str, report.unclear))
    return [
        tr(
            "held, since {peer} has no record of them any more: {numbers}",
            peer=peer,
            numbers=numbers,
        ),
        tr("  if they have not run there: taskdeck release {numbers}", numbers=numbers),
        tr("  if they have: taskdeck cancel {numbers}", numbers=numbers),
    ]


def _print_end(report: Report, peer: str, command: str | None) -> None:
    """Say what was done, or what to type to do it."""
    if report.finished:
        numbers = " ".join(map(str, report.finished))
        output.print_note(
            tr("an import that was interrupted is finished: released {numbers}.", numbers=numbers)
        )
    count = len(report.chosen)
    if command is not None:
        hint = " " + tr("To take them over: {command}", command=sanitize(command)) if count else ""
        done = tr_n(
            count,
            "nothing was changed: {n} task would be created.",
            "nothing was changed: {n} tasks would be created.",
        )
        output.print_note(done + hint)
        return
    output.print_note(
        tr_n(
            count,
            "{n} task taken over, which {peer} does not run any more.",
            "{n} tasks taken over, which {peer} does not run any more.",
            peer=peer,
        )
    )
    _print_paused(report)


def _print_paused(report: Report) -> None:
    """Name the command that resumes each paused queue, in which the tasks wait."""
    for queue in report.paused:
        output.print_note(
            tr(
                "the queue {queue} is paused, so its tasks wait. To resume it:"
                " taskdeck queue resume {queue}",
                queue=sanitize(shlex.quote(queue)),
            )
        )
