"""What a key asks of the runtime: rows in, deeds out. A deed knows how it is said and how it is undone. Pure.

Every function takes the chosen rows and gives deeds, or raises `Unfit` with the reason that goes to the message line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from app.core.board import AlertLine, EndedLine, NextLine, PoolLine, QueueLine, RunningLine
from app.core.text.sanitize import middle
from app.tui.panes.pools import PoolRow
from app.tui.rows.work import Gone

TaskRow = RunningLine | NextLine | EndedLine

NAME = 32
"""Cells that a name gets within a sentence, so that what follows it is seen too."""


class Unfit(Exception):
    """These rows cannot be asked that; the text says why."""


class Deed(NamedTuple):
    """One call to the runtime. `said` begins the sentence about what was done: "Paused"."""

    verb: str
    args: dict[str, Any]
    said: str = ""
    undo: tuple[Deed, ...] = ()
    object: str = ""
    """What it was done to, where the answer does not name it (a queue, an alert)."""
    asked: int = 0
    """Of how many tasks it was asked, where those that have changed since are left alone."""


def plain(row: Any) -> Any:
    """The line behind a row: of one that just ended its end, of one in the list of all tasks the deck's kind of line."""
    return row.end if isinstance(row, Gone) else getattr(row, "line", row)


def task_rows(rows: Iterable[Any]) -> list[TaskRow]:
    """The rows that are tasks; one that just ended counts as ended."""
    return [row for row in map(plain, rows) if isinstance(row, (RunningLine, NextLine, EndedLine))]


def _have(rows: Sequence[TaskRow]) -> str:
    return "it has" if len(rows) == 1 else "they have"


def ids(rows: Iterable[TaskRow]) -> list[str]:
    """Their uuids."""
    return [row.uuid for row in rows]


def cancel(rows: Sequence[TaskRow]) -> list[Deed]:
    """Cancel what has not ended. What waits can be brought back, and is left alone where it has started meanwhile, as is what runs where
    that is another run by now: nobody was told that its work would be lost."""
    waiting, running = ids(row for row in rows if isinstance(row, NextLine)), [row for row in rows if isinstance(row, RunningLine)]
    if not waiting and not running:
        raise Unfit(f"Nothing to cancel: {_have(rows)} ended." if rows else "Nothing to cancel here.")
    back = (Deed("retry", {"ids": waiting}, "Brought back"),)
    deeds = [Deed("cancel", {"ids": waiting, "waiting": True}, "Cancelled", back)] if waiting else []
    return [*deeds, Deed("cancel", _runs(running), "Cancelled")] if running else deeds


def _runs(rows: Sequence[RunningLine]) -> dict[str, Any]:
    """These tasks, as long as they are in the runs that their rows show."""
    return {"ids": ids(rows), "attempts": {row.uuid: row.attempt for row in rows}}


def signal(rows: Sequence[TaskRow], number: int, name: str) -> list[Deed]:
    """Send a signal to the running ones."""
    running = [row for row in rows if isinstance(row, RunningLine)]
    if not running:
        raise Unfit("A signal needs a running task.")
    return [Deed("cancel", _runs(running) | {"signal": number}, f"Sent {name} to")]


_TURNS: dict[str, tuple[str, str, str, str]] = {
    "pause": ("pause", "Paused", "resume", "Continued"),
    "resume": ("resume", "Continued", "pause", "Paused"),
    "hold": ("hold", "Held", "release", "Released"),
    "release": ("release", "Released", "hold", "Held"),
}
STOPS = ("pause", "hold")
"""The turns after which it does not go on."""


def turn(row: Any) -> str | None:
    """What `p` does to a row: pause, resume, hold or release; None to one that it does nothing to."""
    if isinstance(row, (QueueLine, PoolLine)):
        return "pause" if row.status == "active" else "resume"
    if isinstance(row, RunningLine):
        return {"paused": "resume", "running": "pause", "starting": "pause"}.get(row.status)
    if isinstance(row, NextLine):
        return "release" if row.status == "held" else "hold"
    return None


def turns(rows: Sequence[Any]) -> list[tuple[str, Any]]:
    """What `p` does to which of these rows, places once each. All go one way: where one of them goes on, those that do are stopped."""
    found = {row.key: (turned, row) for row in map(_turned_row, rows) if (turned := turn(row))}
    stops = [pair for pair in found.values() if pair[0] in STOPS]
    return stops or list(found.values())


def _turned_row(row: Any) -> Any:
    """What `p` on a row is about: the line of a task, the pool of either of its two rows."""
    return row.pool if isinstance(row, PoolRow) else plain(row)


def pause(rows: Sequence[Any]) -> list[Deed]:
    """Make it not go on, or undo that: pause, continue, hold, release; for queues and pools pause and resume."""
    found, tasks = turns(rows), task_rows(rows)
    if not found:
        raise Unfit(f"Nothing to pause: {_have(tasks)} ended." if tasks else "Nothing to pause here.")
    places = [_turned_place(turned, row) for turned, row in found if isinstance(row, (QueueLine, PoolLine))]
    of_tasks = sorted((pair for pair in found if isinstance(pair[1], (RunningLine, NextLine))), key=lambda pair: pair[0])
    return [*places, *(_turned(name, [row for _, row in pairs]) for name, pairs in groupby(of_tasks, key=lambda pair: pair[0]))]


def _turned(turn: str, rows: Sequence[TaskRow]) -> Deed:
    verb, said, back, unsaid = _TURNS[turn]
    return Deed(verb, {"ids": ids(rows)}, said, (Deed(back, {"ids": ids(rows)}, unsaid),))


def _turned_place(turned: str, place: QueueLine | PoolLine) -> Deed:
    kind = "queue" if isinstance(place, QueueLine) else "pool"
    name = f"{kind} {place.name}"
    stop = Deed(f"{kind}.pause", {"name": place.name}, "Paused", object=name)
    go = Deed(f"{kind}.resume", {"name": place.name}, "Resumed", object=name)
    first, back = (stop, go) if turned == "pause" else (go, stop)
    return Deed(first.verb, first.args, first.said, (back,), name)


def again(rows: Sequence[TaskRow], asked: Mapping[str, float]) -> list[Deed]:
    """Run ended tasks again. `asked` holds the ends, by uuid, of those that were asked to just before: a row that still shows that end is
    of before, and a key pressed twice is not meant twice."""
    ended = [row for row in rows if isinstance(row, EndedLine)]
    if not ended:
        raise Unfit(f"{_have(rows).capitalize()} not ended: r runs ended tasks again." if rows else "Nothing to run again here.")
    if twice := next((row for row in ended if asked.get(row.uuid) == row.ended_at), None):
        raise Unfit(f"#{twice.number} was asked to run again already; its row does not show it yet.")
    return [Deed("retry", _ends(ended) | {"again": True}, "Runs again:")]


def _ends(rows: Sequence[EndedLine]) -> dict[str, Any]:
    """These tasks, as long as they ended as their rows show."""
    return {"ids": ids(rows), "ends": {row.uuid: row.ended_at for row in rows}}


def front(rows: Sequence[TaskRow]) -> list[Deed]:
    """To the front of the queue, and back to the old place on undo."""
    waiting = [row for row in rows if isinstance(row, NextLine)]
    if not waiting:
        raise Unfit("Only a waiting task can go to the front of its queue.")
    undo = tuple(Deed("front", {"ids": [row.uuid], "value": row.front}, "Back in its place:") for row in waiting)
    return [Deed("front", {"ids": ids(waiting), "value": None}, "To the front of its queue:", undo)]


def priority(rows: Sequence[TaskRow], by: int, asked: dict[str, int]) -> list[Deed]:
    """Raise or lower priorities; `asked` holds what was asked a moment ago and is not on the board yet."""
    able = [row for row in rows if not isinstance(row, EndedLine)]
    if not able:
        raise Unfit("Only a task that has not ended has a priority to change.")
    deeds = []
    for row in able:
        old = asked.get(row.uuid, row.priority)
        asked[row.uuid] = old + by
        back = Deed("set", {"ids": [row.uuid], "fields": {"priority": old}}, f"Priority {old} again:")
        deeds.append(
            Deed("set", {"ids": [row.uuid], "fields": {"priority": old + by}}, f"Priority {old} → {old + by}:", (back,))
        )
    return deeds


def acknowledge(rows: Sequence[Any]) -> list[Deed]:
    """Acknowledge firing alerts."""
    firing = [row for row in rows if isinstance(row, AlertLine) and row.status == "firing"]
    if not firing:
        raise Unfit("a acknowledges a firing alert.")
    return [acknowledged([row.id for row in firing], ", ".join(dict.fromkeys(row.sla for row in firing)))]


def acknowledged(ids: Sequence[str | int], about: str) -> Deed:
    """Acknowledge these: alerts by their ids, or a rule by its name, which is all of it that fires."""
    back = Deed("alert.unack", {"ids": list(ids)}, "Not acknowledged any more:", object=about)
    return Deed("alert.ack", {"ids": list(ids)}, "Acknowledged", (back,), about)


def delete(rows: Sequence[TaskRow]) -> list[Deed]:
    """Delete ended tasks."""
    ended = [row for row in rows if isinstance(row, EndedLine)]
    if not ended:
        raise Unfit(f"{_have(rows).capitalize()} not ended: only ended tasks can be deleted." if rows else "Nothing to delete here.")
    return [Deed("rm", _ends(ended), "Deleted")]


def sentence(deed: Deed, answer: Any, clean: Callable[[str], str]) -> str:
    """What was done, in words: `Paused #1052 sha256 photos.`, and what was refused with its reason."""
    if not isinstance(answer, dict) or "done" not in answer:
        return f"{deed.said} {middle(clean(deed.object), NAME)}".strip() + "."
    parts = []
    if answer["done"]:
        about = middle(clean(deed.object), NAME) if deed.object else _named(answer["done"], clean)
        parts.append(f"{deed.said} {about}.")
    if refused := answer.get("refused"):
        more = f" And {len(refused) - 1} more were refused." if len(refused) > 1 else ""
        parts.append(f"Refused: {clean(str(refused[0].get('message', '')))}{more}")
    parts += [clean(str(note)) for note in answer.get("notes", ())[:1]]
    if (left := deed.asked - sum(len(answer.get(key, ())) for key in ("done", "refused", "notes"))) > 0:
        parts.append(f"{left:,} of {deed.asked:,} changed since and {'is' if left == 1 else 'are'} left alone.")
    return "  ".join(parts) or "Nothing was to be done."


def _named(done: Sequence[dict[str, Any]], clean: Callable[[str], str]) -> str:
    if len(done) > 1:
        return f"{len(done):,} {'changes' if 'text' in done[0] else 'tasks'}"
    if "text" in done[0]:
        return clean(str(done[0].get("back") or done[0]["text"]))
    number, name = done[0].get("number"), done[0].get("name") or done[0].get("object") or ""
    return (f"#{number} " if number is not None else "") + middle(clean(str(name)), NAME)
