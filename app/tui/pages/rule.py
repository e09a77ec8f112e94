"""Rule page: the rule under the cursor, recent runs against its limit, and events.

The chart draws a dozen runs as points in a few lines, with a dotted line for the limit. Late and
punctual runs differ in glyph as well as colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.core.times import to_unix_or_none
from app.tui.rows.rules import format_time_left
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time
from app.tui.widgets.document import wrap_text

DetailLine = list[Span]
SCALE_CELLS = 7
"""Cells of the scale left of the chart."""
MAX_STEP = 4
"""Maximum cells between runs; even, like the dots of the limit."""
LABEL_CELLS = 16
MIN_CHART_LINES = 2
"""Minimum lines of a chart."""


def build_alert_lines(
    found: Mapping[str, Any], room: int, height: int, now: float, look: Look
) -> list[DetailLine]:
    """Return the lines for a reply of `alert.show`, at most `height`."""
    rule = found.get("rule")
    text = look.sanitize(f"{found['object']}: {found['text']}")
    head = [[(f"  {look.cut(text, room - 3)}", "bold")]]
    if rule:
        head.append([(f"  {look.cut(look.sanitize(_format_condition(rule)), room - 3)}", "")])
    events = _wrap_parts(
        [*_list_events(found, now, look), *_list_past_spells(found.get("was", ()), now)], room
    )
    runs = [*found.get("runs", ()), *_make_ongoing_run(found, now)]
    most = height - len(head) - len(events)
    return [*head, *_draw_chart(runs, found.get("limit"), room, most, now, look), *events][:height]


def build_rule_lines(
    rule: Mapping[str, Any],
    history: Mapping[str, Any],
    room: int,
    height: int,
    now: float,
    look: Look,
) -> list[DetailLine]:
    """Return the lines for a row of `sla.ls` and its `sla.history` reply, at most `height`.

    An empty history means that none was received yet.
    """
    head = [[(f"  {look.cut(look.sanitize(_format_condition(rule)), room - 3)}", "bold")]]
    if rule.get("metric"):
        value = look.sanitize(f"now: {history.get('stands') or rule['stands']}")
        head.append([(f"  {look.cut(value, room - 3)}", "")])
    facts = [
        f"made {_format_stamp(rule['created_at'], now)}",
        f"changed {_format_stamp(rule['updated_at'], now)}",
    ]
    facts += [_format_late(rule, now)] if rule.get("late") else ["no alerts ended in 24h"]
    facts += [_format_silence(rule["silence"], now, look)] if rule.get("silence") else []
    facts += ["off: not checked"] if not rule["enabled"] else []
    facts += map(look.sanitize, rule.get("does", ()))
    events = _wrap_parts([*facts, *_list_past_spells(history.get("was", ()), now)], room)
    return [
        *head,
        *_draw_chart(
            history.get("runs", ()),
            rule["limit"],
            room,
            height - len(head) - len(events),
            now,
            look,
        ),
        *events,
    ][:height]


def _format_condition(rule: Mapping[str, Any]) -> str:
    about = "" if rule.get("metric") or (rule["conditions"].get("match") or {}) else ": every task"
    return f"rule: {rule['words']}{about}"


def _list_past_spells(spells: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """Return the periods in which a metric was too high, latest first.

    Example: `too high 10:15 to 10:20`.
    """
    lines = [
        (_format_stamp(spell["since"], now), _format_stamp(spell["until"], now))
        for spell in reversed(spells)
    ]
    return [
        f"too high {since}" if since == until else f"too high {since} to {until}"
        for since, until in lines
    ]


def _format_late(rule: Mapping[str, Any], now: float) -> str:
    count = rule["late"]
    return (
        f"{count:,} alert{'s' if count != 1 else ''} over in 24h, the last"
        f" {_format_stamp(rule['last_late'], now)}"
    )


def _format_stamp(stamp: str | None, now: float) -> str:
    at = to_unix_or_none(stamp)
    return units.MISSING if at is None else format_wall_time(at, now)


def _format_silence(silence: Mapping[str, Any], now: float, look: Look) -> str:
    until = to_unix_or_none(silence["until"]) or now
    why = f": {look.sanitize(silence['reason'])}" if silence.get("reason") else ""
    return (
        f"quiet {format_time_left(until, now)}, until {format_wall_time(until, now)}, by"
        f" {look.sanitize(silence['by'])}{why}"
    )


def _list_events(found: Mapping[str, Any], now: float, look: Look) -> list[str]:
    """Return the events, oldest first: `10:15 limit reached`."""
    task = found.get("task") or {}
    moments = [
        (task.get("created_at"), "submitted"), (task.get("not_before"), "may start"),
        (task.get("first_start"), "started"),
        (found["since"], "limit reached, fires" if found.get("rule") else "fires"),
        (found.get("acknowledged_at"),
        f"acknowledged by {look.sanitize(found.get('acknowledged_by') or '')}"),
        (task.get("ended_at"), str(task.get("status") or "").replace("_", " ")),
        (found.get("resolved_at"), "resolved"),
        *(_describe_delivery(one, look) for one in found.get("deliveries", ()) if one["log"]),
    ]  # fmt: skip
    known = sorted((at, words) for at, words in moments if at)
    lines = [f"{_format_stamp(at, now)} {words}" for at, words in known]
    if found.get("silenced_until"):
        silence = {
            "until": found["silenced_until"],
            "by": found["silenced_by"],
            "reason": found["silence_reason"],
        }
        lines.append(_format_silence(silence, now, look))
    return lines


def _describe_delivery(delivery: Mapping[str, Any], look: Look) -> tuple[str, str]:
    """Return the time of the last attempt, and what became of it."""
    last = delivery["log"][-1]
    target = look.sanitize(delivery["target"])
    if last["error"] is None:
        return last["at"], f"{delivery['event']} sent to {target}"
    return last["at"], f"{delivery['event']} not sent to {target}: {look.sanitize(last['error'])}"


def _wrap_parts(parts: Sequence[str], room: int) -> list[DetailLine]:
    """Wrap parts into lines, three blanks apart."""
    lines: list[str] = []
    for part in parts:
        if lines and measure_width(lines[-1]) + 3 + measure_width(part) <= room - 3:
            lines[-1] += f"   {part}"
        else:
            lines += wrap_text(part, room - 3)
    return [[(f"  {line}", "dim")] for line in lines]


def _make_ongoing_run(found: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """Return the alert's own task as a last run while it is open."""
    if found["status"] == "resolved" or found.get("value") is None or not found.get("task"):
        return []
    return [{"at": None, "value": found["value"], "late": True, "now": True}]


# --- chart ---


def _draw_chart(
    runs: Sequence[Mapping[str, Any]],
    limit: float | None,
    room: int,
    height: int,
    now: float,
    look: Look,
) -> list[DetailLine]:
    """Draw runs as points against the limit; nothing without space or data."""
    plot = height - 1
    if plot < MIN_CHART_LINES or limit is None or len(runs) < 2:
        return []
    step = MAX_STEP if MAX_STEP * len(runs) <= room - SCALE_CELLS - LABEL_CELLS - 6 else 2
    shown = runs[-((room - SCALE_CELLS - LABEL_CELLS - 6) // step) :]
    top = max(limit, *(run["value"] for run in shown)) or 1.0
    rows = [_find_chart_row(value, top, plot) for value in (run["value"] for run in shown)]
    at = _find_chart_row(limit, top, plot)
    lines = [
        _draw_chart_line(y, shown, rows, at, limit, top, step, plot, look) for y in range(plot)
    ]
    return [*lines, _draw_axis(shown, step, now, look)]


def _find_chart_row(value: float, top: float, plot: int) -> int:
    """Return the line of a value, 0 at the top."""
    return max(0, min(plot - 1, round((1 - value / top) * (plot - 1))))


def _draw_chart_line(
    y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], limit_row: int, limit: float,
    top: float, step: int, plot: int,
    look: Look,
) -> DetailLine:  # fmt: skip
    scale = {limit_row: units.format_age(limit)} | (
        {} if limit_row == 0 else {0: units.format_age(top)}
    )
    line: DetailLine = [(f"  {scale.get(y, ''):>{SCALE_CELLS - 1}} {look.adapt_text('│')}", "dim")]
    ground = look.adapt_text("· ") * step if y == limit_row else " " * (step * 2)
    for run, row in zip(runs, rows, strict=True):
        if row != y:
            line.append((ground[:step], "dim"))
            continue
        mark = look.adapt_text("●" if run["late"] else "○")
        line += [(ground[: step - 1], "dim"), (mark, "late" if run["late"] else "")]
    return [*line, (_format_chart_label(y, runs, rows, limit_row, limit), "dim")]


def _format_chart_label(
    y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], limit_row: int, limit: float
) -> str:
    last = (
        f" {units.format_age(runs[-1]['value'])} now"
        if runs[-1].get("now") and rows[-1] == y
        else ""
    )
    return last or (f" limit {units.format_age(limit)}" if y == limit_row else "")


def _draw_axis(runs: Sequence[Mapping[str, Any]], step: int, now: float, look: Look) -> DetailLine:
    """Return the axis with the times of the first and last run."""
    dated = [run for run in runs if run["at"]]
    count = f"{len(dated)} run{'s' if len(dated) != 1 else ''}"
    first, last = (_format_stamp(dated[n]["at"], now) for n in (0, -1)) if dated else ("", "")
    end = "now" if runs[-1].get("now") else last
    room = step * len(runs) - measure_width(first) - 1
    return [
        (
            (
                f"  {'':{SCALE_CELLS - 1}} {look.adapt_text('└')}"
                f" {pad(first, measure_width(first))}{end:>{max(len(end) + 1, room)}}   {count}"
            ),
            "dim",
        )
    ]
