"""Rules on figures of Taskdeck itself: how each stands, and the one alert that it has while its figure is at the limit or above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.core import metrics, sla
from app.errors import Usage
from app.service.database import backup_files, backups
from db import timestamps
from db.queries import alerts
from db.queries import metrics as figures
from db.rows import SlaRow


@dataclass(frozen=True, slots=True)
class Changes:
    """Alerts that are to fire, as `db.alerts.fire` takes them, and those that are over, as `db.alerts.resolve` does."""

    fired: Sequence[dict[str, Any]] = ()
    over: Sequence[dict[str, Any]] = ()

    def __bool__(self) -> bool:
        return bool(self.fired or self.over)


def changes(c: Connection, rows: Sequence[SlaRow], now: float) -> Changes:
    """What these SLAs have to tell as of a UNIX time. One whose figure cannot be read stays as it is."""
    asked = [(row, sla.parse(row.conditions)) for row in rows if is_metric(row)]
    known = alerts.open_of_metrics(c) if asked else {}
    fired, over = [], []
    for row, rule in asked:
        figure = _read(c, rule.metric, now)
        standing = sla.stand(rule, figure.value, now)
        if figure.problem or standing.late == (row.id in known):
            continue
        if standing.late:
            fired.append(_alert(row, rule, standing, figure.value))
        else:
            over.append({"key": known[row.id], "resolved_at": timestamps.from_unix(now), "text": standing.text, "short": standing.short,
                         "value": figure.value})  # fmt: skip
    return Changes(fired, over)


def _read(c: Connection, metric: str, now: float) -> figures.Figure:
    """A figure as of a UNIX time. A backup counts only while its file is there, which the row of it does not tell."""
    figure = figures.read(c, metric, now)
    return _of_files(c, figure, now) if metric == "backup-age" and figure.value is not None else figure


def _of_files(c: Connection, figure: figures.Figure, now: float) -> figures.Figure:
    file = next(row.file for row in c.exec_driver_sql("PRAGMA database_list") if row.name == "main")
    try:
        folder = backup_files.folder(Path(file).parent, backup_files.settings())
    except Usage:  # it is not known where they lie
        return figure
    found, gone = backups.NEWEST.there(c, str(folder))
    if gone or found is None:
        return figures.Figure(None, f"cannot be read: there is no good backup any more ({gone})")
    return figures.Figure(max(0.0, now - timestamps.unix(found)))


def is_metric(row: SlaRow) -> bool:
    """Whether an SLA is about a figure, and no task."""
    return row.conditions.get("preset") == sla.BELOW


def _alert(row: SlaRow, rule: sla.Rule, standing: sla.Standing, value: float | None) -> dict[str, Any]:
    return {
        "sla_id": row.id, "name": row.name, "severity": sla.severity(row.priority), "status": "firing", "task_id": None,
        "object": alerts.SYSTEM, "text": standing.text, "short": standing.short, "value": value, "limit": rule.value,
        "fired_at": timestamps.from_unix(standing.since), "resolved_at": None,
    }  # fmt: skip


def fresh(c: Connection, found: alerts.OpenAlert, rule: sla.Rule, now: float) -> alerts.OpenAlert:
    """An open alert as of now."""
    figure = _read(c, rule.metric, now)
    if figure.value is None:
        return found
    standing = sla.stand(rule, figure.value, now)
    return found._replace(alert=found.alert._replace(text=standing.text, short=standing.short, value=figure.value))


def told(c: Connection, rule: sla.Rule) -> dict[str, Any]:
    """How a rule's figure stands: {"metric", "unit" of it and of its limit, "now": the figure or None, "stands": in words}; of a rule
    about tasks all but the unit is None."""
    if not rule.metric:
        return {"metric": None, "unit": rule.unit, "now": None, "stands": None}
    figure = _read(c, rule.metric, timestamps.utcnow().timestamp())
    said = figure.problem or metrics.told(rule.metric, figure.value, exact=rule.value % 60 != 0)
    return {"metric": rule.metric, "unit": rule.unit, "now": figure.value, "stands": said}


def unreadable(c: Connection, rows: Sequence[SlaRow], now: float) -> dict[str, str]:
    """{metric: why it cannot be read}, of those that these SLAs are about."""
    asked = {sla.parse(row.conditions).metric for row in rows if row.enabled and is_metric(row)}
    found = {metric: _read(c, metric, now).problem for metric in sorted(asked)}
    return {metric: problem for metric, problem in found.items() if problem}
