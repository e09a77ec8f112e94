"""Schedule page: facts and rules of a schedule, its next and its latest fire times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.core.schedules.task_settings import list_settings
from app.core.text import units
from app.core.text.sanitize import measure_width
from app.core.times import to_unix, to_unix_or_none
from app.tui.data.schedule_rows import FireEntry, ScheduleEntry
from app.tui.rows.schedules import format_countdown, format_strip, has_other_zone
from app.tui.style import Look, Span
from app.tui.time_format import format_fire_time, format_wall_time
from app.tui.widgets.document import DocRow, Section, wrap_text

LABEL_CELLS = 13
TASK_PREFIX = "task:"
"""Beginning of the target of a fire time with a task; its uuid follows."""
MAX_WORK_LINES = 6
_OVERLAPS = {
    "skip": "a fire time is skipped while the last run has not ended",
    "queue": "a run waits for the end of the last one",
}
_MISSED = {
    "run-once": "after downtime, the newest missed fire time runs",
    "run-all": "after downtime, each missed fire time runs, at most 100",
    "skip": "after downtime, missed fire times are only recorded",
}


def build_detail_lines(row: ScheduleEntry, room: int, now: float, look: Look) -> list[list[Span]]:
    """Return the lines of the box below the list, most important first."""
    facts = [
        (label, text)
        for label, text in list_facts(row, now)
        if label in ("fires", "runs", "description", "directory")
    ]
    facts.insert(2, ("rules", ", ".join(_list_rules(row, now))))
    if row.fires:
        facts.insert(2, ("last", _format_fire(row.fires[0], now, row.zone)))
    return [
        [(f"  {label:{LABEL_CELLS}}", "dim"), (look.cut(_clean(text, look), room - 17), "")]
        for label, text in facts
        if text
    ]


def _clean(text: str, look: Look) -> str:
    return look.sanitize(look.adapt_text(text))


def list_facts(row: ScheduleEntry, now: float) -> list[tuple[str, str]]:
    """Return labels and unsanitized texts; a text may be empty."""
    facts = row.facts
    task = facts.get("task") or {}
    settings = ", ".join(list_settings(task))
    return [
        ("state", _format_state(row, now)),
        ("fires", f"{row.words}, {row.zone}"),
        ("runs", row.work),
        ("rules", ", ".join([*_list_rules(row, now)][2:])),
        ("overlap", _OVERLAPS.get(facts.get("overlap", ""), "")),
        ("missed", _MISSED.get(facts.get("missed", ""), "")),
        ("task", settings),
        ("directory", str(facts.get("cwd") or "")),
        ("usual run", _format_usual(row)),
        ("description", str(facts.get("description") or "")),
    ]


def _format_state(row: ScheduleEntry, now: float) -> str:
    facts = row.facts
    if row.state != "paused":
        return row.state
    by = f" by {facts['status_by']}" if facts.get("status_by") else ""
    at = to_unix_or_none(facts.get("status_at"))
    since = f" since {format_wall_time(at, now)}" if at is not None else ""
    end = row.paused_until
    until = f" until {format_fire_time(end, now, row.zone)}" if end else ""
    return f"paused{by}{since}{until}"


def _list_rules(row: ScheduleEntry, now: float) -> Iterator[str]:
    """Yield the rules as the command line names them, shortly."""
    facts = row.facts
    yield f"overlap {facts.get('overlap', '?')}"
    within = facts.get("missed_within")
    yield (
        f"missed {facts.get('missed', '?')}"
        + (f" within {units.format_duration_setting(within)}" if within else "")
    )
    if jitter := facts.get("jitter"):
        delay = units.format_duration_setting(row.delay)
        now_by = f" (here {delay})" if row.delay > 0 else ""
        yield f"jitter up to {units.format_duration_setting(jitter)}{now_by}"
    if (until := to_unix_or_none(facts.get("until"))) is not None:
        yield f"until {format_wall_time(until, now, zone=row.zone)}"
    if facts.get("exclude"):
        yield f"not on {', '.join(map(str, facts['exclude']))}"


def _format_usual(row: ScheduleEntry) -> str:
    if row.run_seconds is None:
        return "unknown: no run has succeeded yet"
    return f"{units.format_duration(row.run_seconds)}, the median of its latest successes"


def _format_fire(fire: FireEntry, now: float, zone: str) -> str:
    return f"{format_fire_time(fire.at, now, zone)}  {_describe_fire(fire, now)}"


def _describe_fire(fire: FireEntry, now: float) -> str:
    """Return what became of a fire time: `#1047 succeeded in 2h31m`."""
    if fire.outcome != "submitted":
        return f"{fire.outcome}: {fire.reason}" if fire.reason else fire.outcome
    if fire.number is None:
        return "submitted; the task is gone"
    by = f"  {fire.reason}" if fire.reason else ""
    if fire.started_at is None:
        return f"#{fire.number} {fire.sign.word}{by}"
    took = units.format_duration((fire.ended_at or now) - fire.started_at)
    word = "in" if fire.status == "succeeded" else "after" if fire.ended_at else "for"
    return f"#{fire.number} {fire.sign.word} {word} {took}{by}"


def build_schedule_sections(row: ScheduleEntry, now: float, room: int, look: Look) -> list[Section]:
    """Return the page of a schedule, from its answer of `schedule.show`."""
    return [
        Section("Schedule", tuple(_make_fact_rows(row, now, room, look))),
        _make_next_section(row, now, look),
        _make_latest_section(row, now, room, look),
    ]


def _make_fact_rows(row: ScheduleEntry, now: float, room: int, look: Look) -> Iterator[DocRow]:
    width = room - LABEL_CELLS - 4
    for label, text in list_facts(row, now):
        if not text:
            continue
        lines = wrap_text(_clean(text, look), width)
        if len(lines) > MAX_WORK_LINES:
            last = look.cut(lines[MAX_WORK_LINES - 1] + look.ellipsis, width)
            lines = [*lines[: MAX_WORK_LINES - 1], last]
        for n, line in enumerate(lines):
            yield DocRow(((f"{label if not n else '':{LABEL_CELLS}}", "dim"), (line, "")))


def _make_next_section(row: ScheduleEntry, now: float, look: Look) -> Section:
    times = [to_unix(at) + row.delay for at in row.facts.get("upcoming") or ()]
    rows = [
        DocRow(
            (
                (_format_time_cell(at, now, row.zone), ""),
                (_format_wait(at, now), "dim"),
                (_format_expected_end(row, at, now), "dim"),
            )
        )
        for at in times
    ]
    if not rows:
        rows = [DocRow(((_clean(_explain_no_next(row), look), "dim"),))]
    return Section("Next fires", tuple(rows))


def _format_time_cell(at: float, now: float, zone: str) -> str:
    offset = 4 if has_other_zone(zone, at, now) else 0
    return f"{format_fire_time(at, now, zone):{LABEL_CELLS + 5 + offset}} "


def _format_wait(at: float, now: float) -> str:
    wait = format_countdown(at, now)
    return f"{'  ' if wait == 'now' else 'in'} {wait:>7}"


def _format_expected_end(row: ScheduleEntry, at: float, now: float) -> str:
    if row.run_seconds is None:
        return ""
    if row.run_seconds < 60:
        return f"   takes about {units.format_duration(row.run_seconds)}"
    return f"   until about {format_fire_time((at + row.run_seconds) // 60 * 60, now, row.zone)}"


def _explain_no_next(row: ScheduleEntry) -> str:
    if row.kind == "boot":
        return "It fires once after each boot of this machine."
    if row.state == "paused":
        return "It is paused: p resumes it, from then on."
    if row.state == "ended":
        return "It has ended: no fire time follows. e changes it."
    return "The runtime has not computed it yet."


def _make_latest_section(row: ScheduleEntry, now: float, room: int, look: Look) -> Section:
    rows = [_make_fire_row(fire, row.zone, now, room, look) for fire in row.fires]
    if not rows:
        rows = [DocRow((("It has not fired yet; r runs it now.", "dim"),))]
    strip = format_strip(row.fires, look, len(row.fires)) if len(row.fires) > 1 else ""
    return Section("Latest fires", tuple(rows), tail="" if look.plain else strip)


def _make_fire_row(fire: FireEntry, zone: str, now: float, room: int, look: Look) -> DocRow:
    at = _format_time_cell(fire.at, now, zone)
    sign = "" if look.plain else f"{look.glyph(fire.sign)} "
    left = room - measure_width(at) - measure_width(sign) - 4
    text = look.cut(_clean(_describe_fire(fire, now), look), left)
    spans: Sequence[Span] = ((at, ""), (sign, fire.sign.style), (text, ""))
    return DocRow(tuple(spans), f"{TASK_PREFIX}{fire.uuid}" if fire.number is not None else "")
