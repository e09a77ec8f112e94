"""Queue and pool commands: rows in; requests, dialogs and messages out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core import filter_query
from app.core.board import Board, NextEntry, PoolEntry, QueueEntry
from app.core.scheduling.resources import format_named_option, format_use
from app.core.text import units
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NotApplicableError, Request
from app.tui.data.list_rows import PoolTableRow
from app.tui.style import STATES, UNKNOWN, Look

QueueOrPool = QueueEntry | PoolEntry


def list_places(rows: Iterable[Any]) -> list[QueueOrPool]:
    """Return the queues and pools among the rows."""
    found = [row.pool if isinstance(row, PoolTableRow) else row for row in rows]
    return [row for row in found if isinstance(row, (QueueEntry, PoolEntry))]


def get_kind(place: QueueOrPool) -> str:
    """Return `queue` or `pool`."""
    return "queue" if isinstance(place, QueueEntry) else "pool"


def get_label(place: QueueOrPool) -> str:
    """Return `queue media`, unsanitized."""
    return f"{get_kind(place)} {place.name}"


def _make_request(
    place: QueueOrPool, verb: str, result_text: str, undo: tuple[Request, ...] = (), **args: Any
) -> Request:
    return Request(
        f"{get_kind(place)}.{verb}",
        {"name": place.name, **args},
        result_text,
        undo,
        get_label(place),
    )


def change_place_priority(
    rows: Sequence[QueueOrPool], by: int, pending: dict[str, int]
) -> list[Request]:
    """Raise or lower queue priorities.

    `pending` holds requested values that the board does not show yet.
    """
    queues = [row for row in rows if isinstance(row, QueueEntry)]
    if not queues:
        raise NotApplicableError("A pool has no priority; its queues and tasks do.")
    requests = []
    for queue in queues:
        old = pending.get(queue.key, queue.priority)
        pending[queue.key] = old + by
        undo_request = _make_request(queue, "set", f"Priority {old} again:", priority=old)
        requests.append(
            _make_request(
                queue, "set", f"Priority {old} → {old + by}:", (undo_request,), priority=old + by
            )
        )
    return requests


def toggle_drain(place: QueueOrPool) -> list[Request]:
    """Drain a queue or pool; resume one that is draining."""
    go, stop = _make_request(place, "resume", "Resumed"), _make_request(place, "drain", "Drains:")
    if place.status == "draining":
        return [_make_request(place, "resume", "Resumed", (stop,))]
    undo_request = (
        go if place.status == "active" else _make_request(place, "pause", "Paused again:")
    )
    return [_make_request(place, "drain", "Drains:", (undo_request,))]


def delete_places(rows: Sequence[QueueOrPool]) -> list[Request]:
    """Delete queues or pools; the runtime refuses those in use."""
    return [_make_request(row, "rm", "Deleted") for row in rows]


def confirm_delete_places(rows: Sequence[QueueOrPool], look: Look) -> Question:
    """Build the confirmation for deleting."""
    names = ", ".join(look.cut(look.sanitize(get_label(row)), 40, "middle") for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    body = [
        [(f"Delete {names}{more}?", "")],
        [],
        [("Those used by tasks or queues are refused. Undo in the operation log: O.", "dim")],
    ]
    return Question("Delete", body, [Answer("y", "delete"), Answer("n", "keep")], safe="n")


# --- clipboard ---


def ask_copy_place(place: QueueOrPool, look: Look) -> Question:
    """Build the dialog that asks which property to copy."""
    answers = [
        Answer("i", "its name"),
        Answer("s", f"the command that creates this {get_kind(place)}"),
        Answer("n", "nothing"),
    ]
    return Question(
        "Copy",
        [[(look.sanitize(get_label(place)), "bold")]],
        answers,
        safe="n",
        column=True,
        confirm_delay=0.0,
    )


def read_place_text(place: QueueOrPool, key: str) -> str:
    """Return the text for an answer."""
    from app.tui.actions.shell_command import quote_words  # imports the whole of `core.parameters`

    if key == "i":
        return quote_words([place.name]) if place.name.split() != [place.name] else place.name
    if isinstance(place, QueueEntry):
        more = [
            "--capacity",
            str(place.capacity),
            "--pool",
            place.pool,
            "--priority",
            str(place.priority),
        ]
    elif place.outer:
        more = ["--kind", "slurm", *place.outer.words]
    else:
        more = [
            "--cpu",
            units.format_number(place.total_cpu),
            "--memory",
            f"{units.format_number(place.total_memory)}M",
            *(word for one in place.resources if one.total
              for word in format_named_option(one.name, one.total).split()),
        ]  # fmt: skip
    return quote_words(["taskdeck", get_kind(place), "create", place.name, *more])


# --- why nothing starts ---


def list_queue_names(place: QueueOrPool, board: Board) -> list[str]:
    """Return the queue itself, or the queues of the pool."""
    return (
        [place.name]
        if isinstance(place, QueueEntry)
        else [queue.name for queue in board.queues if queue.pool == place.name]
    )


def make_queue_filter(names: Sequence[str]) -> str:
    """Return the filter for the tasks of these queues."""
    return f"queue:{','.join(map(filter_query.quote_word, names))}"


def find_first_queued(names: Sequence[str], board: Board) -> NextEntry | None:
    """Return the task that would start first in these queues, if on the board."""
    return next((row for row in board.next if row.queue in names and row.status == "queued"), None)


def describe_idle(place: QueueOrPool, waiting: Mapping[str, int], look: Look) -> str:
    """Describe a queue or pool without queued tasks, sanitized.

    `waiting` counts tasks by status.
    """
    name = look.cut(look.sanitize(get_label(place)), 40, "middle")
    others = ", ".join(
        f"{units.format_count(n)} {STATES.get(status, UNKNOWN).word}"
        for status, n in waiting.items()
    )
    if place.status != "active":
        state = (
            f"{place.status} by {look.sanitize(place.paused_by)}"
            if isinstance(place, QueueEntry) and place.paused_by
            else place.status
        )
        return (
            f"Nothing {'queued' if others else 'waits'} in {name}, which is"
            f" {state}{f': {others}' if others else ''}. p resumes it."
        )
    if others:
        return f"Nothing queued in {name}: {others}. ↵ shows its tasks."
    if isinstance(place, QueueEntry):
        return (
            f"Nothing waits in {name}: {place.load or 0} of {place.capacity}"
            f" {'runs' if place.load == 1 else 'run'}."
        )
    if place.outer:
        jobs = f"{place.outer.running} run and {place.outer.waiting} wait in Slurm"
        return f"Nothing waits here for {name}: {jobs}."
    cpu, memory = (
        units.format_cpu_pair(place.used_cpu, place.total_cpu),
        units.format_memory_pair(place.used_memory, place.total_memory),
    )
    named = "".join(f", {format_use(one.name, one.used, one.total)}" for one in place.resources)
    return f"Nothing waits for {name}: cpu {cpu} and memory {memory}{named} are reserved."
