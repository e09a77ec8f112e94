"""Rule page: the row under the cursor, its value against its limit, events and deliveries.

The chart draws a dozen runs as points in a few lines, or the values of the last hour. A dotted line
is the limit. Late and punctual points differ in glyph as well as colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from app.core.rules import amounts
from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.core.times import to_unix_or_none
from app.translation import tr, tr_n, tr_noop
from app.tui.data.list_rows import SilenceRow
from app.tui.pages.rule_levels import (
    IS_BROKEN_BY,
    Levels,
    draw_due,
    explain_no_value,
    find_charted,
    list_level_lines,
)
from app.tui.rows.alerts import OVER
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
LOW_DETAIL = 9
"""Lines up to which the detail shows one line of its rule and one delivery."""
MAX_SENTENCE_LINES = 3
MAX_DELIVERIES = 4


def build_alert_lines(
    found: Mapping[str, Any], room: int, height: int, now: float, look: Look
) -> list[DetailLine]:
    """Return the lines for a reply of `alert.show`, at most `height`."""
    rule = found.get("rule")
    text = look.sanitize(f"{found['object']}: {found['text']}")
    head = [[(f"  {look.cut(text, room - 3)}", "bold")]]
    if rule:
        head += _wrap_sentence(_format_condition(rule), room, height, look)
        head += _list_levels_of_alert(rule, found, room, height, look)
    events = _wrap_parts(
        [
            *_list_events(found, now, look),
            *_list_past_spells(found.get("was", ()), now, tr("fired") if _is_general(rule) else ""),
        ],
        room,
    )
    sent = _list_deliveries(list(reversed(found.get("deliveries", ()))), room, height, now, look)
    runs = [*found.get("runs", ()), *_make_ongoing_run(found, now)]
    most = height - len(head) - len(events) - len(sent)
    return [*head, *_draw_runs(runs, found.get("limit"), room, most, now, look), *events, *sent][
        :height
    ]


def build_silence_lines(row: SilenceRow, room: int, now: float, look: Look) -> list[DetailLine]:
    """Return the lines about a silence: what it covers, its end, author and note."""
    words = wrap_text(look.sanitize(row.words), room - 3)
    silence = {"until": row.facts["until"], "by": row.by, "reason": row.reason}
    count = tr_n(
        row.alerts, "{n:,} open alert now, later ones too", "{n:,} open alerts now, later ones too"
    )
    made = tr("set {stamp}", stamp=_format_stamp(row.facts["created_at"], now))
    facts = _wrap_parts([_format_silence(silence, now, look), count, made], room)
    return [*([(f"  {line}", "bold")] for line in words), *facts]


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
    head = _wrap_sentence(_format_condition(rule), room, height, look, "bold")
    if rule.get("metric"):
        value = look.sanitize(tr("now: {value}", value=history.get("stands") or rule["stands"]))
        head.append([(f"  {look.cut(value, room - 3)}", "")])
    levels = (history.get("levels") or rule.get("levels") or ()) if rule["enabled"] else ()
    head += list_level_lines(levels, room, height < LOW_DETAIL, look)
    if _is_general(rule) and rule["enabled"] and not levels and "levels" in history:
        head.append([(tr("  now: {why}", why=explain_no_value(rule)), "dim")])
    if left_out := history.get("left_out") or rule.get("left_out"):
        head += _wrap_sentence(
            tr("not all: {left_out}", left_out=left_out), room, height, look, "warn"
        )
    if not any("due" in level for level in levels):
        head += _list_due(history.get("due"), room, now, look)
    is_short = _is_general(rule) and height < LOW_DETAIL
    facts = (
        []
        if is_short
        else [
            tr("made {stamp}", stamp=_format_stamp(rule["created_at"], now)),
            tr("changed {stamp}", stamp=_format_stamp(rule["updated_at"], now)),
        ]
    )
    facts += (
        [_format_late(rule, now)]
        if rule.get("late")
        else []
        if is_short
        else [tr("no alerts ended in 24h")]
    )
    facts += [_format_silence(rule["silence"], now, look)] if rule.get("silence") else []
    facts += [tr("off: not checked")] if not rule["enabled"] else []
    word = tr("fired") if _is_general(rule) else ""
    spells = _list_past_spells(history.get("was", ()), now, word)
    events = _wrap_parts([*facts, *spells], room)[: 1 if is_short else None]
    events += _list_actions(rule, room, height, look)
    events += _list_deliveries(history.get("deliveries", ()), room, height, now, look)
    if len(levels) > 1 and height < LOW_DETAIL:
        events = events[: max(1, height - len(head) - MIN_CHART_LINES - 1)]
    most = height - len(head) - len(events)
    chart = (
        _draw_levels(history, levels, room, most, now, look)
        if _is_general(rule)
        else _draw_runs(history.get("runs", ()), rule["limit"], room, most, now, look)
    )
    return [*head, *chart, *events][:height]


def _is_general(rule: Mapping[str, Any] | None) -> bool:
    """Return whether a rule has the general form."""
    return "when" in ((rule or {}).get("conditions") or {})


def _format_condition(rule: Mapping[str, Any]) -> str:
    is_narrowed = rule.get("metric") or _is_general(rule)
    about = "" if is_narrowed or (rule["conditions"].get("match") or {}) else tr(": every task")
    return tr("rule: {words}{about}", words=rule["words"], about=about)


def _wrap_sentence(
    text: str, room: int, height: int, look: Look, style: str = ""
) -> list[DetailLine]:
    """Return a sentence in as many lines as a detail box of this height has for it."""
    most = 1 if height < LOW_DETAIL else MAX_SENTENCE_LINES
    lines = wrap_text(look.sanitize(text), room - 3)
    if len(lines) > most:
        lines = [*lines[: most - 1], look.cut(" ".join(lines[most - 1 :]), room - 3)]
    return [[(f"  {line}", style)] for line in lines]


def _list_levels_of_alert(
    rule: Mapping[str, Any], alert: Mapping[str, Any], room: int, height: int, look: Look
) -> list[DetailLine]:
    """Return the present values of the object of an open alert."""
    if alert["status"] in OVER or not rule["enabled"]:
        return []
    levels = [one for one in rule.get("levels") or () if one["object"] == alert["object"]]
    return list_level_lines(levels, room, height < LOW_DETAIL, look)


def _list_due(due: Mapping[str, Any] | None, room: int, now: float, look: Look) -> list[DetailLine]:
    """Return when a rule fires next, unless its subject is done before."""
    if not due:
        return []
    about = f": {due['object']}" if due["object"] else ""
    more = tr(", then {more} more", more=due["more"]) if due["more"] else ""
    text = look.sanitize(
        tr(
            "next due {stamp}{about}{more}",
            stamp=_format_stamp(due["at"], now),
            about=about,
            more=more,
        )
    )
    return [[(f"  {look.cut(text, room - 3)}", "")]]


def _list_actions(rule: Mapping[str, Any], room: int, height: int, look: Look) -> list[DetailLine]:
    """Return the actions of a rule as one line, or several if there is room."""
    does = [look.sanitize(str(text)) for text in rule.get("does") or ()]
    if not does:
        return []
    if height < LOW_DETAIL:
        more = tr(" and {more} more", more=len(does) - 1) if len(does) > 1 else ""
        first = look.cut(tr("does {does}", does=does[0]), room - 20)
        return [[(f"  {first}", "dim"), (more, "dim")]]
    return _wrap_parts([tr("does {does}", does=does[0]), *does[1:]], room)


# --- deliveries ---


def _list_deliveries(
    rows: Sequence[Mapping[str, Any]], room: int, height: int, now: float, look: Look
) -> list[DetailLine]:
    """Return lines about the latest deliveries, newest first."""
    most = 1 if height < LOW_DETAIL else MAX_DELIVERIES
    lines = [
        [
            (f"  {_format_stamp(row['created_at'], now)} ", "dim"),
            _cut_span(_format_delivery(row, now, look), room - 20, look),
        ]
        for row in rows[:most]
    ]
    if len(rows) > most and lines:
        lines[-1].append((tr("   {more} earlier", more=len(rows) - most), "dim"))
    return lines


def _cut_span(span: Span, room: int, look: Look) -> Span:
    return look.cut(span[0], room), span[1]


def _format_delivery(row: Mapping[str, Any], now: float, look: Look) -> Span:
    """Return a delivery in words: `firing: ops failing, attempt 3, next 10:20: refused`."""
    attempts, status = row["attempts"], str(row["status"])
    word, style = _DELIVERY_WORDS.get(status, (status, ""))
    word = tr(word)
    if status == "pending":
        next_at = to_unix_or_none(row["next_at"])
        when = _format_stamp(row["next_at"], now) if next_at and next_at > now else ""
        if attempts:
            word, style = tr("failing, attempt {attempts}", attempts=attempts), "broken"
            word += tr(", next {time}", time=when) if when else ""
        else:
            word, style = tr("waits, until {time}", time=when) if when else tr("on its way"), "dim"
    elif attempts > 1:
        word += tr(" after {attempts} attempts", attempts=attempts)
    why = f": {row['last_error']}" if row.get("last_error") and status != "sent" else ""
    text = f"{tr(row['event'])}: {row['target']} {word}{why}"
    return look.sanitize(text), style


_DELIVERY_WORDS = {
    "sent": (tr_noop("sent"), "well"),
    "given_up": (tr_noop("given up"), "broken"),
    "skipped": (tr_noop("not needed"), "dim"),
    "dry_run": (tr_noop("dry run"), "dim"),
}


# --- events ---


def _list_past_spells(spells: Sequence[Mapping[str, Any]], now: float, word: str = "") -> list[str]:
    """Return the periods of past alerts, or in which a metric was too high, latest first.

    Example: `too high 10:15 to 10:20`.
    """
    word = word or tr("too high")
    lines = [
        (_format_stamp(spell["since"], now), _format_stamp(spell["until"], now))
        for spell in reversed(spells)
    ]
    return [
        f"{word} {since}"
        if since == until
        else tr("{word} {since} to {until}", word=word, since=since, until=until)
        for since, until in lines
    ]


def _format_late(rule: Mapping[str, Any], now: float) -> str:
    return tr_n(
        rule["late"],
        "{n:,} alert over in 24h, the last {stamp}",
        "{n:,} alerts over in 24h, the last {stamp}",
        stamp=_format_stamp(rule["last_late"], now),
    )


def _format_stamp(stamp: str | None, now: float) -> str:
    at = to_unix_or_none(stamp)
    return units.MISSING if at is None else format_wall_time(at, now)


def _format_silence(silence: Mapping[str, Any], now: float, look: Look) -> str:
    until = to_unix_or_none(silence["until"]) or now
    why = f": {look.sanitize(silence['reason'])}" if silence.get("reason") else ""
    return tr(
        "silenced {time_left}, until {time}, by {by}{why}",
        time_left=format_time_left(until, now),
        time=format_wall_time(until, now),
        by=look.sanitize(silence["by"]),
        why=why,
    )


def _list_events(found: Mapping[str, Any], now: float, look: Look) -> list[str]:
    """Return the events, oldest first: `10:15 limit reached`."""
    task = found.get("task") or {}
    moments = [
        (task.get("created_at"), tr("submitted")), (task.get("not_before"), tr("may start")),
        (task.get("first_start"), tr("started")),
        (found["since"], tr("limit reached, fires") if found.get("rule")
         and not _is_general(found["rule"]) else tr("fires")),
        (found.get("acknowledged_at"), _format_acknowledgement(found, look)),
        (task.get("ended_at"), tr(str(task.get("status") or "").replace("_", " "))),
        (found.get("resolved_at"),
         tr("expired") if found.get("status") == "expired" else tr("resolved")),
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


def _format_acknowledgement(found: Mapping[str, Any], look: Look) -> str:
    note = f": {look.sanitize(found['note'])}" if found.get("note") else ""
    return tr(
        "acknowledged by {who}{note}",
        who=look.sanitize(found.get("acknowledged_by") or ""),
        note=note,
    )


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
    if found["status"] in OVER or found.get("value") is None or not found.get("task"):
        return []
    return [{"at": None, "value": found["value"], "late": True, "now": True}]


# --- chart ---


class _Scale(NamedTuple):
    """Vertical scale of a chart: limit, greatest value, lines, and how a value is written."""

    limit: float
    top: float
    lines: int
    show: Callable[[float], str]

    @property
    def cells(self) -> int:
        """Cells of the labels with a blank behind them."""
        labels = (self.show(self.limit), self.show(self.top))
        return max(SCALE_CELLS, *(measure_width(label) + 1 for label in labels))

    def find_line(self, value: float | None) -> int:
        """Return the line of a value, 0 at the top; -1 for no value."""
        if value is None:
            return -1
        place = round((1 - value / self.top) * (self.lines - 1))
        return max(0, min(self.lines - 1, place))


def _draw_runs(
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
    scale = _Scale(limit, top, plot, units.format_age)
    count = sum(bool(run["at"]) for run in shown)
    label = tr_n(count, "{n} run", "{n} runs")
    return [
        *_draw_points(shown, scale, step, look),
        _draw_axis(shown, scale, step, label, now, look),
    ]


def _draw_levels(
    history: Mapping[str, Any], levels: Levels, room: int, height: int, now: float, look: Look
) -> list[DetailLine]:
    """Draw the values of the first metric, or the time to a deadline if there is no metric."""
    level = find_charted(levels)
    if level is None:
        return draw_due(levels, room, height, now, look)
    return _draw_trail(history, level, room, height, now, look)


def _draw_trail(
    history: Mapping[str, Any], level: Mapping[str, Any], room: int, height: int, now: float,
    look: Look,
) -> list[DetailLine]:  # fmt: skip
    """Draw the values of the last hour against the limit; nothing without space or data."""
    plot = height - 1
    trail = [(at, value) for at, value in history.get("trail") or ()]
    trail += [(now, level["value"])] if level["value"] is not None else []
    known = [value for _, value in trail if value is not None]
    if level["limit"] is None or plot < MIN_CHART_LINES or len(known) < 2:
        return []
    limit, unit = level["limit"], level["unit"]
    scale = _Scale(
        limit, max(limit, *known) or 1.0, plot, lambda value: amounts.format_value(unit, value)
    )
    points = _group_points(trail, level["op"], limit, room - scale.cells - LABEL_CELLS - 6)
    points[-1]["now"] = level["value"] is not None
    begins = history.get("begins")
    label = tr("last {age}", age=units.format_age(max(60.0, now - trail[0][0])))
    label = (
        tr("since {begins} {time}", begins=begins, time=format_wall_time(trail[0][0], now))
        if begins
        else label
    )
    return [*_draw_points(points, scale, 1, look), _draw_axis(points, scale, 1, label, now, look)]


def _group_points(
    trail: Sequence[tuple[float, float | None]], op: str, limit: float, room: int
) -> list[dict[str, Any]]:
    """Return at most `room` points, each the worst value of its part of the trail."""
    size = max(1, -(-len(trail) // max(1, room)))
    points: list[dict[str, Any]] = []
    for first in range(0, len(trail), size):
        part = trail[first : first + size]
        values = [value for _, value in part if value is not None]
        pick = min if op in ("<", "<=") else max
        value = pick(values) if values else None
        late = value is not None and IS_BROKEN_BY[op](value, limit)
        points.append({"at": part[0][0], "value": value, "late": late})
    return points


def _draw_points(
    shown: Sequence[Mapping[str, Any]], scale: _Scale, step: int, look: Look
) -> list[DetailLine]:
    rows = [scale.find_line(run["value"]) for run in shown]
    return [_draw_chart_line(y, shown, rows, scale, step, look) for y in range(scale.lines)]


def _draw_chart_line(
    y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], scale: _Scale, step: int,
    look: Look,
) -> DetailLine:  # fmt: skip
    limit_row = scale.find_line(scale.limit)
    labels = {limit_row: scale.show(scale.limit)} | (
        {} if limit_row == 0 else {0: scale.show(scale.top)}
    )
    axis = look.adapt_text("│")
    line: DetailLine = [(f"  {pad(labels.get(y, ''), scale.cells - 1, '>')} {axis}", "dim")]
    ground = look.adapt_text("· ") * step if y == limit_row else " " * (step * 2)
    for run, row in zip(runs, rows, strict=True):
        if row != y:
            line.append((ground[:step], "dim"))
            continue
        mark = look.adapt_text("●" if run["late"] else "○")
        line += [(ground[: step - 1], "dim"), (mark, "late" if run["late"] else "")]
    return [*line, (_format_chart_label(y, runs, rows, limit_row, scale), "dim")]


def _format_chart_label(
    y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], limit_row: int, scale: _Scale
) -> str:
    is_last = runs[-1].get("now") and rows[-1] == y
    last = tr(" {show} now", show=scale.show(runs[-1]["value"])) if is_last else ""
    return last or (tr(" limit {show}", show=scale.show(scale.limit)) if y == limit_row else "")


def _draw_axis(
    runs: Sequence[Mapping[str, Any]], scale: _Scale, step: int, label: str, now: float, look: Look
) -> DetailLine:
    """Return the axis with the times of the first and last point."""
    dated = [run for run in runs if run["at"]]
    first, last = (_format_point(dated[n]["at"], now) for n in (0, -1)) if dated else ("", "")
    end = tr("now") if runs[-1].get("now") else last
    room = step * len(runs) - measure_width(first) - 1
    corner = f"  {'':{scale.cells - 1}} {look.adapt_text('└')}"
    times = f" {first}{pad(end, max(measure_width(end) + 1, room), '>')}"
    return [(f"{corner}{times}   {label}", "dim")]


def _format_point(at: str | float, now: float) -> str:
    return format_wall_time(at, now) if isinstance(at, float) else _format_stamp(str(at), now)
