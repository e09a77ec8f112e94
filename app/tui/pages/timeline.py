"""Task timeline: phases as a bar, and events with their actors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.core.text.status_glyphs import IN_SLURM
from app.translation import tr, tr_noop
from app.tui.pages.task_facts import TaskContext
from app.tui.style import STATES, UNKNOWN, Look
from app.tui.widgets.document import DocRow, Section
from db.states import ACTIVE, WAITING

SUBMITTED = tr_noop("submitted")
"""Beginning of the note of a task's first event."""
LAST_NAMED, FIRST_NAMED = 4, 3
"""Number of phases named at the end and at the start of a long timeline."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A state and its duration in seconds."""

    status: str
    seconds: float


def build_timeline(facts: TaskContext) -> Iterator[Section]:
    """Yield the timeline: a proportional bar and the names of the phases.

    Plain looks omit the bar.
    """
    phases = compute_phases(facts)
    total = sum(phase.seconds for phase in phases)
    if len(phases) < 2 or total < 1.0:
        return
    bars = (
        ()
        if facts.look.plain
        else (DocRow(((_draw_phases(facts.look, phases, total, facts.room - 4), ""),)),)
    )
    text = facts.look.cut(facts.look.adapt_text(_format_phases(phases, facts)), facts.room - 3)
    yield Section(
        tr("Timeline"),
        (*bars, DocRow(((text, "dim"),))),
        tail=tr("{age} in all", age=units.format_age(total)),
    )


def compute_phases(facts: TaskContext) -> list[Phase]:
    """Return the phases of a task, merging repeated states; the last one may be open."""
    moves = [(facts.parse_time(at), status) for at, status in _iter_turns(facts)]
    turns = [(at.timestamp(), status) for at, status in moves if at is not None]
    starts = [
        turn
        for before, turn in zip([(0.0, ""), *turns], turns, strict=False)
        if before[1] != turn[1]
    ]
    if not starts:
        return []
    live = starts[-1][1] in {*WAITING, *ACTIVE, IN_SLURM}
    ends = [at for at, _ in starts[1:]] + ([facts.now] if live else [])
    return [
        Phase(status, max(0.0, end - at)) for (at, status), end in zip(starts, ends, strict=False)
    ]


def _iter_turns(facts: TaskContext) -> Iterator[tuple[str, str]]:
    """Yield the times and states of a task; a run in Slurm runs once its job has begun."""
    outer = {run["runid"] for run in facts.runs if run.get("outer_job") is not None}
    for event in facts.task.get("events") or ():
        status, runid = event["status"], event.get("runid")
        if runid in outer and status in ("starting", "running"):
            yield event["at"], IN_SLURM if status == "starting" else status
        elif not runid and not (outer and status == "running"):
            yield event["at"], status


def _draw_phases(look: Look, phases: Sequence[Phase], total: float, room: int) -> str:
    """Draw each phase proportionally, at least one cell; active phases are solid."""
    room = max(10, room)
    shown = phases if len(phases) <= room else phases[-room:]
    cells = [max(1, int(phase.seconds / total * room)) for phase in shown]
    while sum(cells) > room:
        cells[cells.index(max(cells))] -= 1
    cells[cells.index(max(cells))] += room - sum(cells)
    return look.adapt_text(
        "".join(_get_cell(phase.status) * n for phase, n in zip(shown, cells, strict=True))
    )


def _get_cell(status: str) -> str:
    return "█" if status in ACTIVE else "·" if status in {*WAITING, IN_SLURM} else " "


def _format_phases(phases: Sequence[Phase], facts: TaskContext) -> str:
    names = [
        f"{_get_state_word(phase.status)} {units.format_duration(phase.seconds)}"
        for phase in phases
    ]
    if len(names) > FIRST_NAMED + LAST_NAMED + 1:
        names = [*names[:FIRST_NAMED], "…", *names[-LAST_NAMED:]]
    last = facts.task["status"]
    return " › ".join(
        [*names, *([] if last in WAITING or last in ACTIVE else [_get_state_word(last)])]
    )


def _get_state_word(status: str) -> str:
    return tr("ran") if status == "running" else STATES.get(status, UNKNOWN).word


# -- events --


def build_history(facts: TaskContext) -> Section:
    """Return events and changes, oldest first, two per line if they fit."""
    told = [
        (event["at"], _format_event(facts, event))
        for event in _drop_duplicates(facts.task.get("events") or ())
    ]
    told += [
        (act["at"], text) for act in facts.about["acts"] if (text := _format_change(facts, act))
    ]
    column = (facts.room - 4) // 2
    rows: list[str] = []
    half = False
    for _, text in sorted(told, key=lambda pair: pair[0]):
        joins = half and measure_width(text) <= column
        if joins:
            rows[-1] = pad(rows[-1], column) + text
        else:
            rows.append(text)
        half = not joins and measure_width(text) < column
    return Section(tr("History"), tuple(DocRow(((text, ""),)) for text in rows))


def _drop_duplicates(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events without task events that repeat those of a run."""
    events = list(events)
    of_runs = {(event["status"], event["at"][:19]) for event in events if event.get("runid")}
    runs = {"running"} if of_runs else set[str]()
    return [
        e
        for e in events
        if e.get("runid")
        or (e["status"] not in runs and (e["status"], e["at"][:19]) not in of_runs)
    ]


def _format_event(facts: TaskContext, event: Mapping[str, Any]) -> str:
    own = facts.look.sanitize
    attempt = next(
        (
            tr("attempt {attempt} ", attempt=run["attempt"])
            for run in facts.runs
            if run["runid"] == event.get("runid")
        ),
        "",
    )
    word = STATES[event["status"]].word if event["status"] in STATES else own(event["status"])
    by = (
        tr(" by {who}", who=own(event["by"]))
        if event.get("by") and event["by"] != "taskdeck"
        else ""
    )
    note = event.get("note") or ""
    if note.startswith(SUBMITTED):
        start_text = f"{tr(SUBMITTED)}{by}{own(note.removeprefix(SUBMITTED))}"
        state = "" if event["status"] == "queued" else f", {word}"
        return facts.look.adapt_text(f"{facts.format_time(event['at'])}  {start_text}{state}")
    return facts.look.adapt_text(
        f"{facts.format_time(event['at'])}  {attempt}{word}{by}{f': {own(note)}' if note else ''}"
    )


def _format_change(facts: TaskContext, act: Mapping[str, Any]) -> str:
    """Return `08:31:40  priority 0 → 5 by ann`; "" if the events show the change."""
    before, after = act["before"] or {}, act["after"] or {}
    changed = [name for name in after if name in _FORMATS and before.get(name) != after[name]]
    parts = [
        f"{tr(name.replace('_', ' '))} {_format_value(facts, name, before.get(name))} →"
        f" {_format_value(facts, name, after[name])}"
        for name in changed
    ]
    parts += [tr("to the front")] if act["verb"] == "front" else []
    return (
        facts.look.adapt_text(
            f"{facts.format_time(act['at'])}  "
            + tr("{changes} by {who}", changes=", ".join(parts), who=facts.look.sanitize(act["by"]))
        )
        if parts
        else ""
    )


_FORMATS: dict[str, Any] = {
    "priority": str, "queue": str, "name": str, "retries": str, "cpu": units.format_number,
    "memory": units.format_memory,
    "timeout": units.format_duration_setting, "retry_delay": units.format_duration_setting,
    "grace": units.format_duration_setting,
}  # fmt: skip


def _format_value(facts: TaskContext, name: str, value: Any) -> str:
    return tr("none") if value is None else facts.look.sanitize(_FORMATS[name](value))
