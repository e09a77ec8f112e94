"""The rows of the screen of alerts and rules: what `alert.ls` and `sla.ls` answer, and how they become cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core.board import AlertLine
from app.core.text import units
from app.core.times import unix_if_any
from app.tui.panes.alerts import SEVERITIES, head, left, state
from app.tui.style import ALERTS, Look
from app.tui.widgets.table_columns import Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule: its name, its sentence, its severity, and how it stands. `until` is when its silence ends, UNIX seconds; `lacks` says
    why there is no figure that it could be about; `facts` is the row of `sla.ls`."""

    name: str
    words: str
    severity: str
    enabled: bool
    firing: int = 0
    acknowledged: int = 0
    until: float | None = None
    late: int = 0
    last_late: float | None = None
    lacks: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return f"rule:{self.name}"


def rule_row(row: Mapping[str, Any]) -> RuleRow:
    """A row of `sla.ls`."""
    found, silence = row.get("open") or {}, row.get("silence")
    return RuleRow(
        row["name"], row["words"], row["severity"], bool(row["enabled"]), found.get("firing", 0), found.get("acknowledged", 0),
        unix_if_any(silence["until"]) if silence else None, row.get("late") or 0, unix_if_any(row.get("last_late")),
        row["stands"] if row.get("metric") and row.get("now") is None else "", row,
    )  # fmt: skip


def alert_line(row: Mapping[str, Any]) -> AlertLine:
    """A row of `alert.ls`."""
    return AlertLine(
        row["id"], row["sla"], row["severity"], row["status"], row["object"], row["text"], row["short"], unix_if_any(row["since"]) or 0.0,
        row.get("task_uuid"), row.get("task_number"), row.get("acknowledged_by"), unix_if_any(row.get("resolved_at")),
        unix_if_any(row.get("silenced_until")),
    )  # fmt: skip


# --- alerts -------------------------------------------------------------------------------------------------------------

_WIDE = (
    Column("", 1, gap=0),
    Column("", 4),
    Column("", 16, 24, gap=2, grow=3),
    Column("ON", 25, 40, grow=1, cut="middle"),
    Column("WHY", 34, grow=2, floor=20),
    Column("SINCE ", 6, right=True, drop=2),
    Column("STATE", 15, gap=2),
)
_NARROW = (
    Column("", 1, gap=0),
    Column("", 4),
    Column("", 14, gap=2),
    Column("ON", 20, 24, grow=1, cut="middle", drop=2, floor=10),
    Column("VALUE", 13, 16, fits=True),
    Column("SINCE", 6, right=True, drop=1),
    Column("STATE", 9, 14, fits=True),
)


def _wide_cells(alert: AlertLine, look: Look, now: float) -> Cells:
    quiet = _quiet(alert)
    why = Cell(look.theirs(alert.why), quiet)
    return (*head(alert, look), _on(alert, look), why, Cell(units.age(now - alert.since), quiet), state(alert, now, look))


def _narrow_cells(alert: AlertLine, look: Look, now: float) -> Cells:
    quiet = _quiet(alert)
    short = Cell(look.theirs(alert.short or alert.why), quiet)
    return (*head(alert, look), _on(alert, look), short, Cell(units.age(now - alert.since), quiet), state(alert, now, look))


def _quiet(alert: AlertLine) -> str:
    return "dim" if alert.status in ("resolved", "silenced") else ""


def _on(alert: AlertLine, look: Look) -> Cell:
    """What it is about; in a column numbers go without their `#`."""
    return Cell(look.theirs(alert.object).removeprefix("#"), _quiet(alert))


ALERT_PART = Part("alerts", Grid(_WIDE, _wide_cells), Grid(_NARROW, _narrow_cells))

# --- rules --------------------------------------------------------------------------------------------------------------

_RULE_WIDE = (
    Column("", 22, 40, gap=0, fits=True),
    Column("RULE", 40, grow=1, floor=20, gap=2),
    Column("", 4),
    Column("STATE", 28, gap=2),
)
_RULE_NARROW = (
    Column("", 10, 22, gap=0, fits=True),
    Column("RULE", 30, grow=1, floor=14, gap=2),
    Column("", 4),
    Column("STATE", 9, 18, gap=2, fits=True),
)


def _rule_cells(rule: RuleRow, look: Look, now: float) -> Cells:
    word, firing, _ = SEVERITIES.get(rule.severity, ("?", "unknown", "unknown"))
    style = "dim" if not rule.enabled or rule.until is not None else firing if rule.firing else ""
    quiet = "" if rule.enabled else "dim"
    return (Cell(look.theirs(rule.name), quiet), Cell(look.theirs(rule.words), quiet), Cell(word, style), rule_state(rule, look, now))


def rule_state(rule: RuleRow, look: Look, now: float) -> Cell:
    """`off`, `quiet 5h`, `firing 2`, `acked 1`, `no replica`, `ok`, `ok, late 9h ago`."""
    if not rule.enabled:
        return Cell("off", "dim")
    if rule.until is not None:
        return Cell(f"{ALERTS['silenced'].word} {left(rule.until, now)}", "dim")
    if rule.firing:
        more = f", {ALERTS['acknowledged'].word} {rule.acknowledged:,}" if rule.acknowledged else ""
        return Cell(f"firing {rule.firing:,}{more}", "bold")
    if rule.acknowledged:
        return Cell(f"{ALERTS['acknowledged'].word} {rule.acknowledged:,}")
    if rule.lacks:
        return Cell(look.theirs(rule.lacks), "dim")
    if rule.last_late is not None:
        return Cell(f"ok, late {units.age(now - rule.last_late)} ago", "well")
    return Cell("ok", "well")


RULE_PART = Part("rules", Grid(_RULE_WIDE, _rule_cells), Grid(_RULE_NARROW, _rule_cells))
