"""Rows of the alerts pane: alerts as cells, shared with the alerts screen."""

from __future__ import annotations

from typing import Any

from app.core.board import AlertEntry
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.style import ALERTS, UNKNOWN, Look
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import SectionView, TableGrid, TableSection
from app.tui.widgets.table_title import Wordings

_WIDE = (
    TableColumn("", 1, gap=0),
    TableColumn("", 4),
    TableColumn("", 16, 32, fits=True, grow=1, floor=16, gap=2, cut="middle"),
    TableColumn("ON", 25, 48, fits=True, grow=2, floor=25, cut="middle", drop=1),
    TableColumn("WHY", 41, grow=3, floor=34),
    TableColumn("SINCE ", 6, right=True, drop=2),
    TableColumn("STATE", 17, gap=2),
)
OVER = ("resolved", "expired")
"""Statuses of alerts that are not open any more."""
_NARROW = (
    TableColumn("", 1, gap=0),
    TableColumn("", 4),
    TableColumn("", 14, 24, fits=True, grow=3, floor=14, gap=2, cut="middle"),
    TableColumn("ON", 4, 17, fits=True, grow=1, floor=10, cut="middle"),
    TableColumn("WHY", 20, grow=2, floor=8),
    TableColumn("SINCE", 5, right=True, drop=2),
    TableColumn("STATE", 6, 14, fits=True, gap=2),
)


SEVERITIES = {
    "critical": (tr_noop("CRIT"), "broken", "late"),
    "warning": (tr_noop("warn"), "warn", "warn"),
    "info": (tr_noop("info"), "alive", "alive"),
}
"""Word of each severity, with its styles while firing and once acknowledged."""


def make_head_cells(alert: AlertEntry, look: Look) -> tuple[Cell, Cell, Cell]:
    """Return the cells for the glyph, the severity and the rule.

    In a plain look the glyph is left out, since the state at the end of the row is its word.
    """
    word, firing, acknowledged = SEVERITIES.get(alert.severity, ("?", "unknown", "unknown"))
    style = (
        firing
        if alert.status == "firing"
        else acknowledged
        if alert.status in ("acknowledged", "pending")
        else "dim"
    )
    sign = ALERTS.get(alert.status, UNKNOWN)
    return (
        Cell("" if look.plain else look.glyph(sign), style),
        Cell(tr(word), style),
        Cell(look.sanitize(alert.sla), "dim" if style == "dim" else ""),
    )


def make_state_cell(alert: AlertEntry, now: float, look: Look) -> Cell:
    """Return the state cell, such as `firing`, `acked ann`, `silenced 5h` or `resolved 3m`."""
    sign = ALERTS.get(alert.status, UNKNOWN)
    if alert.status == "acknowledged":
        return Cell(f"{sign.word} {look.sanitize(alert.by or '')}".rstrip())
    if alert.status in OVER and alert.resolved_at is not None:
        return Cell(f"{sign.word} {units.format_age(now - alert.resolved_at)}", "dim")
    if alert.status == "silenced" and alert.until is not None:
        return Cell(f"{sign.word} {format_time_left(alert.until, now)}", "dim")
    return Cell(sign.word, "bold" if alert.status == "firing" else "dim")


def format_time_left(until: float, now: float) -> str:
    """Return the rest of a silence, to the nearest minute."""
    return units.format_age(until - now + 30 if until - now >= 60 else until - now)


def make_wide_cells(alert: AlertEntry, look: Look, now: float) -> Cells:
    """Return the cells of an alert on a wide terminal."""
    quiet = "dim" if alert.status in (*OVER, "silenced") else ""
    return (
        *make_head_cells(alert, look),
        Cell(look.sanitize(alert.object), quiet),
        Cell(look.sanitize(alert.why), quiet),
        Cell(units.format_age(now - alert.since), quiet),
        make_state_cell(alert, now, look),
    )


def make_narrow_cells(alert: AlertEntry, look: Look, now: float) -> Cells:
    """Return the cells of an alert on a narrow terminal."""
    quiet = "dim" if alert.status in (*OVER, "silenced") else ""
    return (
        *make_head_cells(alert, look),
        Cell(look.sanitize(alert.object), quiet),
        Cell(look.sanitize(alert.short or alert.why), quiet),
        Cell(units.format_age(now - alert.since), quiet),
        make_state_cell(alert, now, look),
    )


ALERT_SECTION = TableSection(
    "alerts", TableGrid(_WIDE, make_wide_cells), TableGrid(_NARROW, make_narrow_cells)
)


def is_over_now(before: Any, after: Any) -> bool:
    """Return True if an alert was open before, and is not open any more."""
    states = [row.status if isinstance(row, AlertEntry) else "" for row in (before, after)]
    return states[0] not in ("", *OVER) and states[1] in OVER


def describe_hidden(view: SectionView, look: Look) -> list[Wordings]:
    """Return what the window hides: `↑ 7 firing`, the rows above, and `+3 more`, those below."""
    above, below = view.rows[: view.offset], view.rows[view.offset + view.height :]
    firing = sum(getattr(row, "status", "") == "firing" for row in above)
    texts = [
        (
            tr("↑ {firing:,} firing", firing=firing)
            if firing
            else tr("↑ {count:,} more", count=len(above))
        )
        if above
        else "",
        tr("+{count:,} more", count=len(below)) if below else "",
    ]
    shown = "  ".join(filter(None, texts))
    return [(look.adapt_text(shown),)] if shown else []
