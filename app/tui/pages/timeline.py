"""The time of a task: where it went, as a bar, and what happened, with who did it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.text import units
from app.core.text.sanitize import pad, width
from app.tui.pages.task_facts import Facts
from app.tui.style import STATES, STRANGE, Look
from app.tui.widgets.document import Row, Section
from db.states import ACTIVE, WAITING

SUBMITTED = "submitted"
"""What the note of a task's first event begins with."""
ENDS_NAMED, BEGINS_NAMED = 4, 3
"""Of many phases the first and the last are named."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A state and the seconds that it lasted."""

    status: str
    seconds: float


def timeline(facts: Facts) -> Iterator[Section]:
    """From the submission on: each phase as long in the bar as it lasted, and named below; in a plain look only named."""
    phases = phases_of(facts)
    total = sum(phase.seconds for phase in phases)
    if len(phases) < 2 or total < 1.0:
        return
    bars = () if facts.look.plain else (Row(((_bar(facts.look, phases, total, facts.room - 4), ""),)),)
    told = facts.look.cut(facts.look.own(_named(phases, facts)), facts.room - 3)
    yield Section("Timeline", (*bars, Row(((told, "dim"),))), tail=f"{units.age(total)} in all")


def phases_of(facts: Facts) -> list[Phase]:
    """What the task's own moves tell, states that follow themselves made one; the last one lasts until now unless it ended."""
    moves = [(facts.at(e["at"]), e["status"]) for e in facts.task.get("events") or () if not e.get("runid")]
    turns = [(at.timestamp(), status) for at, status in moves if at is not None]
    starts = [turn for before, turn in zip([(0.0, ""), *turns], turns, strict=False) if before[1] != turn[1]]
    if not starts:
        return []
    live = starts[-1][1] in WAITING or starts[-1][1] in ACTIVE
    ends = [at for at, _ in starts[1:]] + ([facts.now] if live else [])
    return [Phase(status, max(0.0, end - at)) for (at, status), end in zip(starts, ends, strict=False)]


def _bar(look: Look, phases: Sequence[Phase], total: float, room: int) -> str:
    """Cells for each phase, one at least; what runs is full."""
    room = max(10, room)
    shown = phases if len(phases) <= room else phases[-room:]
    cells = [max(1, int(phase.seconds / total * room)) for phase in shown]
    while sum(cells) > room:
        cells[cells.index(max(cells))] -= 1
    cells[cells.index(max(cells))] += room - sum(cells)
    return look.own("".join(_cell(phase.status) * n for phase, n in zip(shown, cells, strict=True)))


def _cell(status: str) -> str:
    return "█" if status in ACTIVE else "·" if status in WAITING else " "


def _named(phases: Sequence[Phase], facts: Facts) -> str:
    names = [f"{_word(phase.status)} {units.duration(phase.seconds)}" for phase in phases]
    if len(names) > BEGINS_NAMED + ENDS_NAMED + 1:
        names = [*names[:BEGINS_NAMED], "…", *names[-ENDS_NAMED:]]
    last = facts.task["status"]
    return " › ".join([*names, *([] if last in WAITING or last in ACTIVE else [_word(last)])])


def _word(status: str) -> str:
    return "ran" if status == "running" else STATES.get(status, STRANGE).word


# -- what happened -----------------------------------------------------------------------------------------------


def history(facts: Facts) -> Section:
    """What happened to it and who changed what, oldest first, two a line where they fit."""
    told = [(event["at"], _event(facts, event)) for event in _told_once(facts.task.get("events") or ())]
    told += [(act["at"], text) for act in facts.about["acts"] if (text := _act(facts, act))]
    column = (facts.room - 4) // 2
    rows: list[str] = []
    half = False
    for _, text in sorted(told, key=lambda pair: pair[0]):
        joins = half and width(text) <= column
        if joins:
            rows[-1] = pad(rows[-1], column) + text
        else:
            rows.append(text)
        half = not joins and width(text) < column
    return Section("History", tuple(Row(((text, ""),)) for text in rows))


def _told_once(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events without those of the task that only repeat what its run did."""
    events = list(events)
    of_runs = {(event["status"], event["at"][:19]) for event in events if event.get("runid")}
    runs = {"running"} if of_runs else set[str]()
    return [e for e in events if e.get("runid") or (e["status"] not in runs and (e["status"], e["at"][:19]) not in of_runs)]


def _event(facts: Facts, event: Mapping[str, Any]) -> str:
    own = facts.look.theirs
    attempt = next((f"attempt {run['attempt']} " for run in facts.runs if run["runid"] == event.get("runid")), "")
    word = STATES[event["status"]].word if event["status"] in STATES else own(event["status"])
    by = f" by {own(event['by'])}" if event.get("by") and event["by"] != "taskdeck" else ""
    note = event.get("note") or ""
    if note.startswith(SUBMITTED):
        begun = f"{SUBMITTED}{by}{own(note.removeprefix(SUBMITTED))}"
        return facts.look.own(f"{facts.clock(event['at'])}  {begun}{'' if word == 'queued' else f', {word}'}")
    return facts.look.own(f"{facts.clock(event['at'])}  {attempt}{word}{by}{f': {own(note)}' if note else ''}")


def _act(facts: Facts, act: Mapping[str, Any]) -> str:
    """`08:31:40  priority 0 → 5 by ann`; "" for what the events tell already."""
    before, after = act["before"] or {}, act["after"] or {}
    changed = [name for name in after if name in _WRITTEN and before.get(name) != after[name]]
    parts = [f"{name.replace('_', ' ')} {_write(facts, name, before.get(name))} → {_write(facts, name, after[name])}" for name in changed]
    parts += ["to the front"] if act["verb"] == "front" else []
    return facts.look.own(f"{facts.clock(act['at'])}  {', '.join(parts)} by {facts.look.theirs(act['by'])}") if parts else ""


_WRITTEN: dict[str, Any] = {
    "priority": str, "queue": str, "name": str, "retries": str, "cpu": units.plain, "memory": units.memory,
    "timeout": units.setting, "retry_delay": units.setting, "grace": units.setting,
}  # fmt: skip


def _write(facts: Facts, name: str, value: Any) -> str:
    return "none" if value is None else facts.look.theirs(_WRITTEN[name](value))
