"""What stands below the list of alerts and rules about the row under the cursor: the rule, how the last runs kept it, what happened.

A chart of a dozen runs is points in a few lines, the limit a dotted line through them: no run is told from another by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.text import units
from app.core.text.sanitize import pad, width
from app.core.times import unix_if_any
from app.tui.rows.rules import left
from app.tui.style import Look, Span
from app.tui.time_format import wall
from app.tui.widgets.document import wrap

Line = list[Span]
SCALE = 7
"""Cells of the scale left of a chart."""
STEP = 4
"""Cells from one run to the next, at most; even, as the dots of the limit are."""
LABEL = 16
LOW = 2
"""Lines of the smallest chart."""


def alert_lines(found: Mapping[str, Any], room: int, height: int, now: float, look: Look) -> list[Line]:
    """An answer of `alert.show` in so many lines."""
    rule = found.get("rule")
    said = look.theirs(f"{found['object']}: {found['text']}")
    head = [[(f"  {look.cut(said, room - 3)}", "bold")]]
    if rule:
        head.append([(f"  {look.cut(look.theirs(_asks(rule)), room - 3)}", "")])
    events = _wrapped([*_events(found, now, look), *_was(found.get("was", ()), now)], room)
    runs = [*found.get("runs", ()), *_ongoing(found, now)]
    most = height - len(head) - len(events)
    return [*head, *_chart(runs, found.get("limit"), room, most, now, look), *events][:height]


def rule_lines(
    rule: Mapping[str, Any], history: Mapping[str, Any], room: int, height: int, now: float, look: Look
) -> list[Line]:
    """A row of `sla.ls` with its answer of `sla.history` (empty: none yet), in so many lines."""
    head = [[(f"  {look.cut(look.theirs(_asks(rule)), room - 3)}", "bold")]]
    if rule.get("metric"):
        head.append([(f"  {look.cut(look.theirs('now: ' + str(history.get('stands') or rule['stands'])), room - 3)}", "")])
    facts = [f"made {_wall(rule['created_at'], now)}", f"changed {_wall(rule['updated_at'], now)}"]
    facts += [_late(rule, now)] if rule.get("late") else ["no alert that is over in 24h"]
    facts += [_silence(rule["silence"], now, look)] if rule.get("silence") else []
    facts += ["off: it is not looked at"] if not rule["enabled"] else []
    events = _wrapped([*facts, *_was(history.get("was", ()), now)], room)
    return [*head, *_chart(history.get("runs", ()), rule["limit"], room, height - len(head) - len(events), now, look), *events][:height]


def _asks(rule: Mapping[str, Any]) -> str:
    about = "" if rule.get("metric") or (rule["conditions"].get("match") or {}) else ": every task"
    return f"asked: {rule['words']}{about}"


def _was(spells: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """When a figure was too high before, the latest first: `too high 10:15 to 10:20`."""
    told = [(_wall(spell["since"], now), _wall(spell["until"], now)) for spell in reversed(spells)]
    return [f"too high {since}" if since == until else f"too high {since} to {until}" for since, until in told]


def _late(rule: Mapping[str, Any], now: float) -> str:
    count = rule["late"]
    return f"{count:,} alert{'s' if count != 1 else ''} over in 24h, the last {_wall(rule['last_late'], now)}"


def _wall(stamp: str | None, now: float) -> str:
    at = unix_if_any(stamp)
    return units.MISSING if at is None else wall(at, now)


def _silence(silence: Mapping[str, Any], now: float, look: Look) -> str:
    until = unix_if_any(silence["until"]) or now
    why = f": {look.theirs(silence['reason'])}" if silence.get("reason") else ""
    return f"quiet {left(until, now)}, until {wall(until, now)}, by {look.theirs(silence['by'])}{why}"


def _events(found: Mapping[str, Any], now: float, look: Look) -> list[str]:
    """What happened, oldest first: `10:15 limit reached`."""
    task = found.get("task") or {}
    moments = [
        (task.get("created_at"), "submitted"), (task.get("not_before"), "may start"), (task.get("first_start"), "started"),
        (found["since"], "limit reached, fires" if found.get("rule") else "fires"),
        (found.get("acknowledged_at"), f"acknowledged by {look.theirs(found.get('acknowledged_by') or '')}"),
        (task.get("ended_at"), str(task.get("status") or "").replace("_", " ")), (found.get("resolved_at"), "resolved"),
    ]  # fmt: skip
    known = sorted((at, words) for at, words in moments if at)
    said = [f"{_wall(at, now)} {words}" for at, words in known]
    if found.get("silenced_until"):
        silence = {"until": found["silenced_until"], "by": found["silenced_by"], "reason": found["silence_reason"]}
        said.append(_silence(silence, now, look))
    return said


def _wrapped(parts: Sequence[str], room: int) -> list[Line]:
    """Parts beside each other, three blanks apart, on as many lines as they need."""
    lines: list[str] = []
    for part in parts:
        if lines and width(lines[-1]) + 3 + width(part) <= room - 3:
            lines[-1] += f"   {part}"
        else:
            lines += wrap(part, room - 3)
    return [[(f"  {line}", "dim")] for line in lines]


def _ongoing(found: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """The alert's own task as a last run, while it is not over."""
    if found["status"] == "resolved" or found.get("value") is None or not found.get("task"):
        return []
    return [{"at": None, "value": found["value"], "late": True, "now": True}]


# --- the chart --------------------------------------------------------------------------------------------------------


def _chart(
    runs: Sequence[Mapping[str, Any]], limit: float | None, room: int, height: int, now: float, look: Look
) -> list[Line]:
    """Points of runs against the limit; nothing where there is no room, or nothing to show."""
    plot = height - 1
    if plot < LOW or limit is None or len(runs) < 2:
        return []
    step = STEP if STEP * len(runs) <= room - SCALE - LABEL - 6 else 2
    shown = runs[-((room - SCALE - LABEL - 6) // step) :]
    top = max(limit, *(run["value"] for run in shown)) or 1.0
    rows = [_row(value, top, plot) for value in (run["value"] for run in shown)]
    at = _row(limit, top, plot)
    lines = [_plot_line(y, shown, rows, at, limit, top, step, plot, look) for y in range(plot)]
    return [*lines, _axis(shown, step, now, look)]


def _row(value: float, top: float, plot: int) -> int:
    """The line of a value, 0 at the top."""
    return max(0, min(plot - 1, round((1 - value / top) * (plot - 1))))


def _plot_line(
    y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], limit_row: int, limit: float, top: float, step: int, plot: int,
    look: Look,
) -> Line:  # fmt: skip
    scale = {limit_row: units.age(limit)} | ({} if limit_row == 0 else {0: units.age(top)})
    line: Line = [(f"  {scale.get(y, ''):>{SCALE - 1}} {look.own('│')}", "dim")]
    ground = look.own("· ") * step if y == limit_row else " " * (step * 2)
    for run, row in zip(runs, rows, strict=True):
        if row != y:
            line.append((ground[:step], "dim"))
            continue
        mark = look.own("●" if run["late"] else "○")
        line += [(ground[: step - 1], "dim"), (mark, "late" if run["late"] else "")]
    return [*line, (_label(y, runs, rows, limit_row, limit), "dim")]


def _label(y: int, runs: Sequence[Mapping[str, Any]], rows: Sequence[int], limit_row: int, limit: float) -> str:
    last = f" {units.age(runs[-1]['value'])} now" if runs[-1].get("now") and rows[-1] == y else ""
    return last or (f" limit {units.age(limit)}" if y == limit_row else "")


def _axis(runs: Sequence[Mapping[str, Any]], step: int, now: float, look: Look) -> Line:
    """When the first and the last of them were."""
    dated = [run for run in runs if run["at"]]
    count = f"{len(dated)} run{'s' if len(dated) != 1 else ''}"
    first, last = (_wall(dated[n]["at"], now) for n in (0, -1)) if dated else ("", "")
    end = "now" if runs[-1].get("now") else last
    room = step * len(runs) - width(first) - 1
    return [(f"  {'':{SCALE - 1}} {look.own('└')} {pad(first, width(first))}{end:>{max(len(end) + 1, room)}}   {count}", "dim")]
