"""Rows of the alerts screen: alerts, silences and rules, and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.board import AlertEntry
from app.core.text import units
from app.core.text.joining import append_clause
from app.core.times import to_unix_or_none
from app.translation import tr
from app.tui.data.list_rows import RuleRow, SilenceRow
from app.tui.rows.alerts import OVER, SEVERITIES, format_time_left, make_head_cells, make_state_cell
from app.tui.style import ALERTS, Look
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection


def make_rule_row(row: Mapping[str, Any]) -> RuleRow:
    """Return the row of an `sla.ls` answer."""
    found, silence = row.get("open") or {}, row.get("silence")
    return RuleRow(
        row["name"], row["words"], row["severity"], bool(row["enabled"]), found.get("firing", 0),
        found.get("acknowledged", 0),
        to_unix_or_none(silence["until"]) if silence else None, row.get("late") or 0,
        to_unix_or_none(row.get("last_late")),
        row["state"] == "no data", _format_levels(row.get("levels") or ()),
        bool(row.get("left_out")), row,
    )  # fmt: skip


def _format_levels(levels: Sequence[Mapping[str, Any]]) -> str:
    """Return the first value of a rule and its limit as a cell: `143 / 100`, `in 12m +1`."""
    first = next((level["brief"] for level in levels if level["brief"]), "")
    return f"{first} +{len(levels) - 1}" if first and len(levels) > 1 else first


def make_silence_row(row: Mapping[str, Any]) -> SilenceRow:
    """Return the row of an `alert.silences` answer."""
    return SilenceRow(
        row["id"], row["words"], to_unix_or_none(row["until"]) or 0.0, row["by"],
        row["reason"] or "", row["alerts"], row["sla"] or "", row,
    )  # fmt: skip


def make_alert_line(row: Mapping[str, Any]) -> AlertEntry:
    """Return the row of an `alert.ls` answer."""
    return AlertEntry(
        row["id"], row["sla"], row["severity"], row["status"], row["object"], row["text"],
        row.get("brief") or row["short"], to_unix_or_none(row["since"]) or 0.0,
        row.get("task_uuid"), row.get("task_number"), row.get("acknowledged_by"),
        to_unix_or_none(row.get("resolved_at")),
        to_unix_or_none(row.get("silenced_until")),
    )  # fmt: skip


# Alerts

_WIDE = (
    TableColumn("", 1, gap=0),
    TableColumn("", 4),
    TableColumn("", 16, 24, gap=2, grow=3),
    TableColumn("ON", 25, 40, grow=1, cut="middle"),
    TableColumn("WHY", 34, grow=2, floor=20),
    TableColumn("SINCE ", 6, right=True, drop=2),
    TableColumn("STATE", 15, gap=2),
)
_NARROW = (
    TableColumn("", 1, gap=0),
    TableColumn("", 4),
    TableColumn("", 14, gap=2),
    TableColumn("ON", 20, 24, grow=1, drop=2, floor=8),
    TableColumn("VALUE", 13, 16, fits=True),
    TableColumn("SINCE", 6, right=True, drop=1),
    TableColumn("STATE", 9, 14, fits=True),
)


def _make_wide_cells(alert: AlertEntry, look: Look, now: float) -> Cells:
    quiet = _get_style(alert)
    why = Cell(look.sanitize(alert.why), quiet)
    return (
        *make_head_cells(alert, look),
        _make_object_cell(alert, look),
        why,
        Cell(units.format_age(now - alert.since), quiet),
        make_state_cell(alert, now, look),
    )


def _make_narrow_cells(alert: AlertEntry, look: Look, now: float) -> Cells:
    quiet = _get_style(alert)
    short = Cell(look.sanitize(alert.short or alert.why), quiet)
    return (
        *make_head_cells(alert, look),
        _make_object_cell(alert, look),
        short,
        Cell(units.format_age(now - alert.since), quiet),
        make_state_cell(alert, now, look),
    )


def _get_style(alert: AlertEntry) -> str:
    return "dim" if alert.status in (*OVER, "silenced") else ""


def _make_object_cell(alert: AlertEntry, look: Look) -> Cell:
    return Cell(look.sanitize(alert.object), _get_style(alert))


ALERT_SECTION = TableSection(
    "alerts", TableGrid(_WIDE, _make_wide_cells), TableGrid(_NARROW, _make_narrow_cells)
)

# Silences

_SILENCE_WIDE = (
    TableColumn("", 22, 44, gap=0, fits=True),
    TableColumn("NOTE", 20, grow=1, floor=10, gap=2),
    TableColumn("BY", 6, 16, fits=True, gap=2),
    TableColumn("ALERTS", 6, right=True, gap=2),
    TableColumn("STATE", 12, 14, fits=True, gap=2),
)
_SILENCE_NARROW = (
    TableColumn("", 16, 26, gap=0, fits=True),
    TableColumn("NOTE", 10, grow=1, floor=4, gap=2),
    TableColumn("BY", 4, 10, fits=True, gap=2),
    TableColumn("STATE", 12, 14, fits=True, gap=2),
)


def _make_silence_cells(silence: SilenceRow, look: Look, now: float) -> Cells:
    return (
        Cell(look.sanitize(silence.words)),
        Cell(look.sanitize(silence.reason), "dim"),
        Cell(look.sanitize(silence.by), "dim"),
        Cell(f"{ALERTS['silenced'].word} {format_time_left(silence.until, now)}"),
    )


def _make_wide_silence_cells(silence: SilenceRow, look: Look, now: float) -> Cells:
    *first, state = _make_silence_cells(silence, look, now)
    return (*first, Cell(f"{silence.alerts:,}"), state)


SILENCE_SECTION = TableSection(
    "silences",
    TableGrid(_SILENCE_WIDE, _make_wide_silence_cells),
    TableGrid(_SILENCE_NARROW, _make_silence_cells),
)

# Rules

_RULE_WIDE = (
    TableColumn("", 22, 30, gap=0, fits=True),
    TableColumn("RULE", 40, grow=1, floor=20, gap=2),
    TableColumn("NOW / LIMIT", 13, 18, fits=True, gap=2, drop=1),
    TableColumn("", 4),
    TableColumn("STATE", 28, gap=2),
)
_RULE_NARROW = (
    TableColumn("", 10, 22, gap=0, fits=True),
    TableColumn("RULE", 30, grow=1, floor=14, gap=2),
    TableColumn("", 4),
    TableColumn("STATE", 9, 18, gap=2, fits=True),
)


def _make_rule_cells(rule: RuleRow, look: Look, now: float) -> Cells:
    word, firing, _ = SEVERITIES.get(rule.severity, ("?", "unknown", "unknown"))
    style = "dim" if not rule.enabled or rule.until is not None else firing if rule.firing else ""
    quiet = "" if rule.enabled else "dim"
    return (
        Cell(look.sanitize(rule.name), quiet),
        Cell(look.sanitize(rule.words), quiet),
        Cell(tr(word), style),
        make_rule_state_cell(rule, look, now),
    )


def _make_wide_rule_cells(rule: RuleRow, look: Look, now: float) -> Cells:
    name, words, *others = _make_rule_cells(rule, look, now)
    return (name, words, Cell(look.sanitize(rule.level), "" if rule.enabled else "dim"), *others)


def make_rule_state_cell(rule: RuleRow, look: Look, now: float) -> Cell:
    """Return the state, such as `off`, `silenced 5h`, `firing 2` or `ok, late 9h ago`."""
    if not rule.enabled:
        return Cell(tr("off"), "dim")
    if rule.until is not None:
        return Cell(f"{ALERTS['silenced'].word} {format_time_left(rule.until, now)}", "dim")
    if rule.firing:
        word = ALERTS["acknowledged"].word
        text = tr("firing {firing:,}", firing=rule.firing)
        if rule.acknowledged:
            text = append_clause(text, f"{word} {rule.acknowledged:,}")
        return Cell(append_clause(text, tr("not all")) if rule.is_partial else text, "bold")
    if rule.acknowledged:
        return Cell(f"{ALERTS['acknowledged'].word} {rule.acknowledged:,}")
    if quiet := (rule.facts.get("open") or {}).get("silenced"):
        return Cell(f"{ALERTS['silenced'].word} {quiet:,}", "dim")
    if rule.has_no_data:
        return Cell(tr("no data"), "dim")
    if rule.last_late is not None:
        return Cell(tr("ok, late {age} ago", age=units.format_age(now - rule.last_late)), "well")
    return Cell(tr("ok, not all") if rule.is_partial else tr("ok"), "well")


RULE_SECTION = TableSection(
    "rules", TableGrid(_RULE_WIDE, _make_wide_rule_cells), TableGrid(_RULE_NARROW, _make_rule_cells)
)
