"""Queue and pool commands: rows in; requests, dialogs and messages out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core import filter_query
from app.core.board import Board, NextEntry, PoolEntry, QueueEntry
from app.core.scheduling.resources import format_named_option, format_use
from app.core.text import units
from app.translation import tr, tr_n
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
    return (
        tr("queue {name}", name=place.name)
        if isinstance(place, QueueEntry)
        else tr("pool {name}", name=place.name)
    )


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
        raise NotApplicableError(tr("A pool has no priority; its queues and tasks do."))
    requests = []
    for queue in queues:
        old = pending.get(queue.key, queue.priority)
        pending[queue.key] = old + by
        undo_request = _make_request(
            queue, "set", tr("Priority {old} again:", old=old), priority=old
        )
        requests.append(
            _make_request(
                queue,
                "set",
                tr("Priority {old} → {new}:", old=old, new=old + by),
                (undo_request,),
                priority=old + by,
            )
        )
    return requests


def toggle_drain(place: QueueOrPool) -> list[Request]:
    """Drain a queue or pool; resume one that is draining."""
    go, stop = (
        _make_request(place, "resume", tr("Resumed")),
        _make_request(place, "drain", tr("Drains:")),
    )
    if place.status == "draining":
        return [_make_request(place, "resume", tr("Resumed"), (stop,))]
    undo_request = (
        go if place.status == "active" else _make_request(place, "pause", tr("Paused again:"))
    )
    return [_make_request(place, "drain", tr("Drains:"), (undo_request,))]


def delete_places(rows: Sequence[QueueOrPool]) -> list[Request]:
    """Delete queues or pools; the runtime refuses those in use."""
    return [_make_request(row, "rm", tr("Deleted")) for row in rows]


def confirm_delete_places(rows: Sequence[QueueOrPool], look: Look) -> Question:
    """Build the confirmation for deleting."""
    names = ", ".join(look.cut(look.sanitize(get_label(row)), 40, "middle") for row in rows[:3])
    more = tr(" and {more} more", more=len(rows) - 3) if len(rows) > 3 else ""
    body = [
        [(tr("Delete {names}{more}?", names=names, more=more), "")],
        [],
        [(tr("Those used by tasks or queues are refused. Undo in the operation log: O."), "dim")],
    ]
    return Question(
        tr("Delete"), body, [Answer("y", tr("delete")), Answer("n", tr("keep"))], safe="n"
    )


# --- clipboard ---


def ask_copy_place(place: QueueOrPool, look: Look) -> Question:
    """Build the dialog that asks which property to copy."""
    answers = [
        Answer("i", tr("its name")),
        Answer(
            "s",
            (
                tr("the command that creates this queue")
                if isinstance(place, QueueEntry)
                else tr("the command that creates this pool")
            ),
        ),
        Answer("n", tr("nothing")),
    ]
    return Question(
        tr("Copy"),
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
        state = tr(place.status)
        if isinstance(place, QueueEntry) and place.paused_by:
            state = tr("{status} by {who}", status=state, who=look.sanitize(place.paused_by))
        if others:
            return tr(
                "Nothing queued in {name}, which is {state}: {others}. p resumes it.",
                name=name,
                state=state,
                others=others,
            )
        return tr(
            "Nothing waits in {name}, which is {state}. p resumes it.", name=name, state=state
        )
    if others:
        return tr(
            "Nothing queued in {name}: {others}. ↵ shows its tasks.", name=name, others=others
        )
    if isinstance(place, QueueEntry):
        return tr_n(
            place.load or 0,
            "Nothing waits in {name}: {n} of {capacity} runs.",
            "Nothing waits in {name}: {n} of {capacity} run.",
            name=name,
            capacity=place.capacity,
        )
    if place.outer:
        jobs = tr(
            "{running} run and {waiting} wait in Slurm",
            running=place.outer.running,
            waiting=place.outer.waiting,
        )
        return tr("Nothing waits here for {name}: {jobs}.", name=name, jobs=jobs)
    cpu, memory = (
        units.format_cpu_pair(place.used_cpu, place.total_cpu),
        units.format_memory_pair(place.used_memory, place.total_memory),
    )
    named = "".join(f", {format_use(one.name, one.used, one.total)}" for one in place.resources)
    return tr(
        "Nothing waits for {name}: cpu {cpu} and memory {memory}{named} are reserved.",
        name=name,
        cpu=cpu,
        memory=memory,
        named=named,
    )
