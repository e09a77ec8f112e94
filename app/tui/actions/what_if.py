"""Supposed amounts of the what-if screen: what can change, by what step, and how it is applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.core.board import Board, GroupEntry, NextEntry, RunningEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.translation import tr
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import Request, cancel_tasks
from app.tui.style import Look

GIB = 1024.0
Cancelled = RunningEntry | NextEntry | GroupEntry
"""Row of a task or a group that is supposed to be cancelled."""


class Amount(NamedTuple):
    """An amount that may be supposed: its key for `taskdeck what-if`, whose it is, and its value.

    `verb` and `args` set it, with `field` for the value.
    """

    key: str
    owner: str
    name: str
    value: float

    @property
    def step(self) -> float:
        """Difference that one key makes: a GiB of memory, one of all else."""
        return GIB if self.name == "memory" else 1.0


def list_amounts(board: Board) -> list[Amount]:
    """Return the amounts of pools, of what they share, and of queues."""
    found: list[Amount] = []
    for pool in board.pools:
        key, owner = f"pool.{pool.name}", tr("pool {name}", name=pool.name)
        found += [
            Amount(f"{key}.cpu", owner, "cpu", pool.total_cpu),
            Amount(f"{key}.memory", owner, "memory", pool.total_memory),
            *(
                Amount(f"{key}.resources.{one.name}", owner, one.name, one.total)
                for one in pool.resources
                if one.total
            ),
        ]
    found += [
        Amount(f"resource.{one.name}.total", tr("shared"), one.name, one.total)
        for one in board.resources
    ]
    for queue in board.queues:
        key, owner = f"queue.{queue.name}", tr("queue {name}", name=queue.name)
        found += [
            Amount(f"{key}.capacity", owner, "capacity", queue.capacity),
            Amount(f"{key}.priority", owner, "priority", queue.priority),
        ]
    return found


def format_amount(name: str, value: float) -> str:
    """Format an amount as a person types it: `16`, `64G`."""
    if name != "memory":
        return units.format_number(value)
    return f"{units.format_number(value / GIB)}G" if value % GIB == 0 else f"{value:g}M"


def parse_amount(name: str, text: str) -> float:
    """Return the amount of a typed text. Raise ValueError with the rest of a sentence."""
    if name == "memory":
        return units.parse_size(text)
    if name == "cpu":
        return units.parse_cpu(text)
    low = -1_000_000 if name == "priority" else 0
    return float(units.parse_int(text, low, 1_000_000))


def find_fault(name: str, text: str) -> str:
    """Return what is wrong with a typed amount, or ""."""
    try:
        parse_amount(name, text)
    except ValueError as wrong:
        return f"{name} {wrong}"
    return ""


def step_amount(amount: Amount, value: float, by: int) -> float:
    """Return an amount some steps up or down; only a priority may be below 0."""
    stepped = value + by * amount.step
    return stepped if amount.name == "priority" else max(0.0, stepped)


def list_settings(amounts: Iterable[Amount], supposed: Mapping[str, float]) -> list[str]:
    """Return the `KEY=VALUE` texts of the supposed amounts."""
    return [
        f"{one.key}={format_amount(one.name, supposed[one.key])}"
        for one in amounts
        if one.key in supposed
    ]


def make_requests(
    steps: Sequence[Mapping[str, Any]], amounts: Sequence[Amount], rows: Sequence[Cancelled]
) -> list[Request]:
    """Return the requests that make the changes, each with its undo.

    `steps` are those of the forecast's answer. Tasks are cancelled as by `x`.
    """
    old = {one.key: one.value for one in amounts}
    requests = [_make_request(step, old) for step in steps if step["verb"] != "cancel"]
    groups = [format_group(row.number) for row in rows if isinstance(row, GroupEntry)]
    if groups:
        requests.append(Request("cancel", {"ids": groups}, tr("Cancelled")))
    tasks = [row for row in rows if not isinstance(row, GroupEntry)]
    return requests + (cancel_tasks(tasks) if tasks else [])


def format_cancelled(row: Cancelled) -> str:
    """Return the word that names a task or a group, as `cancel` takes it."""
    return format_group(row.number) if isinstance(row, GroupEntry) else str(row.number)


def _make_request(step: Mapping[str, Any], old: Mapping[str, float]) -> Request:
    verb, args = step["verb"], step["args"]
    kind, name = verb.partition(".")[0], args["name"]
    restored: dict[str, Any] = {"name": name}
    for field in args.keys() - {"name"}:
        if field == "resources":
            restored[field] = {
                one: int(old[f"{kind}.{name}.resources.{one}"]) for one in args[field]
            }
        elif field == "total":
            restored[field] = int(old[f"{kind}.{name}.total"])
        else:
            restored[field] = old[f"{kind}.{name}.{field}"]
    label = f"{tr(kind)} {name}"
    undo = Request(verb, restored, tr("Restored"), object=label)
    return Request(verb, dict(args), tr("Changed"), (undo,), label)


def confirm_apply(steps: Sequence[Mapping[str, Any]], look: Look) -> Question:
    """Build the confirmation for making the changes."""
    lines = [look.cut(look.sanitize(" ".join(step["command"])), 66) for step in steps]
    body = [[(tr("Make these changes?"), "")], [], *([(line, "bold")] for line in lines[:12])]
    if lines[12:]:
        body.append([(tr("and {more} more", more=len(lines) - 12), "dim")])
    return Question(
        tr("Apply"), body, [Answer("y", tr("make them")), Answer("n", tr("no"))], safe="n"
    )
