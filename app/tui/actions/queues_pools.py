"""What keys ask of queues and pools: rows in, deeds, questions and sentences out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core import filter_query
from app.core.board import Board, NextLine, PoolLine, QueueLine
from app.core.text import units
from app.tui.actions.tasks import Deed, Unfit
from app.tui.panes.pools import PoolRow
from app.tui.screens.dialogs.choice import Answer, Question
from app.tui.style import STATES, STRANGE, Look

Place = QueueLine | PoolLine


def places(rows: Iterable[Any]) -> list[Place]:
    """The rows that are queues or pools."""
    found = [row.pool if isinstance(row, PoolRow) else row for row in rows]
    return [row for row in found if isinstance(row, (QueueLine, PoolLine))]


def kind(place: Place) -> str:
    """`queue` or `pool`."""
    return "queue" if isinstance(place, QueueLine) else "pool"


def called(place: Place) -> str:
    """`queue media`, not cleaned."""
    return f"{kind(place)} {place.name}"


def _deed(place: Place, verb: str, said: str, undo: tuple[Deed, ...] = (), **args: Any) -> Deed:
    return Deed(f"{kind(place)}.{verb}", {"name": place.name, **args}, said, undo, called(place))


def priority(rows: Sequence[Place], by: int, asked: dict[str, int]) -> list[Deed]:
    """Raise or lower the priorities of queues; `asked` holds what was asked a moment ago and is not on the board yet."""
    queues = [row for row in rows if isinstance(row, QueueLine)]
    if not queues:
        raise Unfit("A pool has no priority: its queues have, and their tasks.")
    deeds = []
    for queue in queues:
        old = asked.get(queue.key, queue.priority)
        asked[queue.key] = old + by
        back = _deed(queue, "set", f"Priority {old} again:", priority=old)
        deeds.append(_deed(queue, "set", f"Priority {old} → {old + by}:", (back,), priority=old + by))
    return deeds


def drain(place: Place) -> list[Deed]:
    """Let what runs there end, and start nothing new; of one that drains already, take that back."""
    go, stop = _deed(place, "resume", "Resumed"), _deed(place, "drain", "Drains:")
    if place.status == "draining":
        return [_deed(place, "resume", "Resumed", (stop,))]
    back = go if place.status == "active" else _deed(place, "pause", "Paused again:")
    return [_deed(place, "drain", "Drains:", (back,))]


def delete(rows: Sequence[Place]) -> list[Deed]:
    """Delete them; the runtime refuses those that are in use."""
    return [_deed(row, "rm", "Deleted") for row in rows]


def ask_delete(rows: Sequence[Place], look: Look) -> Question:
    """Delete these?"""
    names = ", ".join(look.cut(look.theirs(called(row)), 40, "middle") for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    body = [[(f"Delete {names}{more}?", "")], [], [("One that is in use, by tasks or queues, is refused. O takes it back.", "dim")]]
    return Question("Delete", body, [Answer("y", "delete"), Answer("n", "keep")], safe="n")


# --- what can be copied -------------------------------------------------------------------------------------------------


def ask_copy(place: Place, look: Look) -> Question:
    """What of this?"""
    answers = [Answer("i", "its name"), Answer("s", f"the line that makes such a {kind(place)}"), Answer("n", "nothing")]
    return Question("Copy", [[(look.theirs(called(place)), "bold")]], answers, safe="n", column=True, deaf=0.0)


def copied(place: Place, key: str) -> str:
    """The text for an answer."""
    from app.tui.actions.shell_command import quoted  # with all of parameters behind it

    if key == "i":
        return quoted([place.name]) if place.name.split() != [place.name] else place.name
    if isinstance(place, QueueLine):
        more = ["--capacity", str(place.capacity), "--pool", place.pool, "--priority", str(place.priority)]
    else:
        more = ["--cpu", units.plain(place.total_cpu), "--memory", f"{units.plain(place.total_memory)}M"]
    return quoted(["taskdeck", kind(place), "create", place.name, *more])


# --- why nothing starts there -------------------------------------------------------------------------------------------


def queues_of(place: Place, board: Board) -> list[str]:
    """The queue itself, or those that draw from the pool."""
    return [place.name] if isinstance(place, QueueLine) else [queue.name for queue in board.queues if queue.pool == place.name]


def tasks_of(names: Sequence[str]) -> str:
    """The filter that means the tasks of these queues."""
    return f"queue:{','.join(map(filter_query.as_word, names))}"


def first_in_line(names: Sequence[str], board: Board) -> NextLine | None:
    """The task that would start first in these queues, where the board has it."""
    return next((row for row in board.next if row.queue in names and row.status == "queued"), None)


def standing(place: Place, waiting: Mapping[str, int], look: Look) -> str:
    """How it stands, where nothing is in line that it could start; safe. `waiting`: tasks by status."""
    name = look.cut(look.theirs(called(place)), 40, "middle")
    others = ", ".join(f"{units.count(n)} {STATES.get(status, STRANGE).word}" for status, n in waiting.items())
    if place.status != "active":
        state = f"{place.status} by {look.theirs(place.paused_by)}" if isinstance(place, QueueLine) and place.paused_by else place.status
        return f"Nothing {'queued' if others else 'waits'} in {name}, which is {state}{f': {others}' if others else ''}. p resumes it."
    if others:
        return f"Nothing queued in {name}: {others}. ↵ shows its tasks."
    if isinstance(place, QueueLine):
        return f"Nothing waits in {name}: {place.load or 0} of {place.capacity} {'runs' if place.load == 1 else 'run'}."
    cpu, memory = units.cpu_pair(place.used_cpu, place.total_cpu), units.memory_pair(place.used_memory, place.total_memory)
    return f"Nothing waits for {name}: cpu {cpu} and memory {memory} are reserved."
