"""Schedule page: facts and rules of a schedule, its next and its latest fire times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.core.schedules.task_settings import list_settings
from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.core.times import to_unix, to_unix_or_none
from app.translation import tr, tr_noop
from app.tui.data.schedule_rows import FireEntry, ScheduleEntry
from app.tui.rows.schedules import format_countdown, format_strip, has_other_zone
from app.tui.style import FIRES, Look, Span
from app.tui.time_format import format_fire_time, format_wall_time
from app.tui.widgets.document import DocRow, Section, wrap_text

LABEL_CELLS = 13
TASK_PREFIX = "task:"
"""Beginning of the target of a fire time with a task; its uuid follows."""
MAX_WORK_LINES = 6
FIRES_LABEL, RUNS_LABEL, RULES_LABEL = tr_noop("fires"), tr_noop("runs"), tr_noop("rules")
DESCRIPTION_LABEL, DIRECTORY_LABEL = tr_noop("description"), tr_noop("directory")
_OVERLAPS = {
    "skip": tr_noop("a fire time is skipped while the last run has not ended"),
    "queue": tr_noop("a run waits for the end of the last one"),
}
_MISSED = {
    "run-once": tr_noop("after downtime, the newest missed fire time runs"),
    "run-all": tr_noop("after downtime, each missed fire time runs, at most 100"),
    "skip": tr_noop("after downtime, missed fire times are only recorded"),
}


def build_detail_lines(row: ScheduleEntry, room: int, now: float, look: Look) -> list[list[Span]]:
    """Return the lines of the box below the list, most important first."""
    facts = [
        (label, text)
        for label, text in list_facts(row, now)
        if label in (FIRES_LABEL, RUNS_LABEL, DESCRIPTION_LABEL, DIRECTORY_LABEL)
    ]
    facts.insert(2, (RULES_LABEL, ", ".join(_list_rules(row, now))))
    if row.fires:
        facts.insert(2, (tr_noop("last"), _format_fire(row.fires[0], now, row.zone)))
    return [
        [(f"  {pad(tr(label), LABEL_CELLS)}", "dim"), (look.cut(_clean(text, look), room - 17), "")]
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
        (tr_noop("state"), _format_state(row, now)),
        (FIRES_LABEL, f"{row.words}, {row.zone}"),
        (RUNS_LABEL, row.work),
        (RULES_LABEL, ", ".join([*_list_rules(row, now)][2:])),
        (tr_noop("overlap"), tr(_OVERLAPS.get(facts.get("overlap", ""), ""))),
        (tr_noop("missed"), tr(_MISSED.get(facts.get("missed", ""), ""))),
        (tr_noop("task"), settings),
        (DIRECTORY_LABEL, str(facts.get("cwd") or "")),
        (tr_noop("usual run"), _format_usual(row)),
        (DESCRIPTION_LABEL, str(facts.get("description") or "")),
    ]


def _format_state(row: ScheduleEntry, now: float) -> str:
    facts = row.facts
    if row.state != "paused":
        return row.sign.word
    by = tr(" by {who}", who=facts["status_by"]) if facts.get("status_by") else ""
    at = to_unix_or_none(facts.get("status_at"))
    since = tr(" since {time}", time=format_wall_time(at, now)) if at is not None else ""
    end = row.paused_until
    until = tr(" until {time}", time=format_fire_time(end, now, row.zone)) if end else ""
    return f"{row.sign.word}{by}{since}{until}"


def _list_rules(row: ScheduleEntry, now: float) -> Iterator[str]:
    """Yield the rules as the command line names them, shortly."""
    facts = row.facts
    yield tr("overlap {overlap}", overlap=tr(facts.get("overlap", "?")))
    within = facts.get("missed_within")
    yield (
        tr("missed {missed}", missed=tr(facts.get("missed", "?")))
        + (tr(" within {time}", time=units.format_duration_setting(within)) if within else "")
    )
    if jitter := facts.get("jitter"):
        delay = units.format_duration_setting(row.delay)
        here = tr(" (here {delay})", delay=delay) if row.delay > 0 else ""
        yield tr("jitter up to {most}{here}", most=units.format_duration_setting(jitter), here=here)
    if (until := to_unix_or_none(facts.get("until"))) is not None:
        yield tr("until {time}", time=format_wall_time(until, now, zone=row.zone))
    if facts.get("exclude"):
        yield tr("not on {exclude}", exclude=", ".join(map(str, facts["exclude"])))


def _format_usual(row: ScheduleEntry) -> str:
    if row.run_seconds is None:
        return tr("unknown: no run has succeeded yet")
    return tr(
        "{run_seconds}, the median of its latest successes",
        run_seconds=units.format_duration(row.run_seconds),
    )


def _format_fire(fire: FireEntry, now: float, zone: str) -> str:
    return f"{format_fire_time(fire.at, now, zone)}  {_describe_fire(fire, now)}"


def _describe_fire(fire: FireEntry, now: float) -> str:
    """Return what became of a fire time: `#1047 succeeded in 2h31m`."""
    if fire.outcome != "submitted":
        word = fire.sign.word if fire.outcome in FIRES else fire.outcome
        return f"{word}: {fire.reason}" if fire.reason else word
    if fire.number is None:
        return tr("submitted; the task is gone")
    by = f"  {fire.reason}" if fire.reason else ""
    if fire.started_at is None:
        return f"#{fire.number} {fire.sign.word}{by}"
    took = units.format_duration((fire.ended_at or now) - fire.started_at)
    if fire.status == "succeeded":
        lasted = tr("in {took}", took=took)
    else:
        lasted = tr("after {took}", took=took) if fire.ended_at else tr("for {took}", took=took)
    return f"#{fire.number} {fire.sign.word} {lasted}{by}"


def build_schedule_sections(row: ScheduleEntry, now: float, room: int, look: Look) -> list[Section]:
    """Return the page of a schedule, from its answer of `schedule.show`."""
    return [
        Section(tr("Schedule"), tuple(_make_fact_rows(row, now, room, look))),
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
            yield DocRow(((pad("" if n else tr(label), LABEL_CELLS), "dim"), (line, "")))


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
    return Section(tr("Next fires"), tuple(rows))


def _format_time_cell(at: float, now: float, zone: str) -> str:
    offset = 4 if has_other_zone(zone, at, now) else 0
    return f"{pad(format_fire_time(at, now, zone), LABEL_CELLS + 5 + offset)} "


def _format_wait(at: float, now: float) -> str:
    wait = format_countdown(at, now)
    shown = pad(wait, 7, ">")
    return f"   {shown}" if at - now < 1 else tr("in {time}", time=shown)


def _format_expected_end(row: ScheduleEntry, at: float, now: float) -> str:
    if row.run_seconds is None:
        return ""
    if row.run_seconds < 60:
        return tr(
            "   takes about {run_seconds}", run_seconds=units.format_duration(row.run_seconds)
        )
    return tr(
        "   until about {time}",
        time=format_fire_time((at + row.run_seconds) // 60 * 60, now, row.zone),
    )


def _explain_no_next(row: ScheduleEntry) -> str:
    if row.kind == "boot":
        return tr("It fires once after each boot of this machine.")
    if row.state == "paused":
        return tr("It is paused: p resumes it, from then on.")
    if row.state == "ended":
        return tr("It has ended: no fire time follows. e changes it.")
    return tr("The runtime has not computed it yet.")


def _make_latest_section(row: ScheduleEntry, now: float, room: int, look: Look) -> Section:
    rows = [_make_fire_row(fire, row.zone, now, room, look) for fire in row.fires]
    if not rows:
        rows = [DocRow(((tr("The schedule has not fired yet; r runs it now."), "dim"),))]
    strip = format_strip(row.fires, look, len(row.fires)) if len(row.fires) > 1 else ""
    return Section(tr("Latest fires"), tuple(rows), tail="" if look.plain else strip)


def _make_fire_row(fire: FireEntry, zone: str, now: float, room: int, look: Look) -> DocRow:
    at = _format_time_cell(fire.at, now, zone)
    sign = "" if look.plain else f"{look.glyph(fire.sign)} "
    left = room - measure_width(at) - measure_width(sign) - 4
    text = look.cut(_clean(_describe_fire(fire, now), look), left)
    spans: Sequence[Span] = ((at, ""), (sign, fire.sign.style), (text, ""))
    return DocRow(tuple(spans), f"{TASK_PREFIX}{fire.uuid}" if fire.number is not None else "")
