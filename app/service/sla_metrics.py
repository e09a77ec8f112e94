"""SLA rules on metrics of Taskdeck itself, each with at most one open alert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.core import metrics, sla
from app.errors import Usage
from app.service.database import backup_files, backups
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries.rules import alerts
from db.queries.rules import metrics as figures
from db.rows import SlaRow


@dataclass(frozen=True, slots=True)
class AlertChanges:
    """Alerts to fire and to resolve, as arguments of `db.queries.rules.alerts`."""

    fired: Sequence[dict[str, Any]] = ()
    over: Sequence[dict[str, Any]] = ()

    def __bool__(self) -> bool:
        return bool(self.fired or self.over)


def find_changes(c: Connection, rows: Sequence[SlaRow], now: float) -> AlertChanges:
    """Return the alerts to fire or resolve as of a UNIX time.

    A rule whose metric cannot be read keeps its state.
    """
    metric_rules = [(row, sla.parse_conditions(row.conditions)) for row in rows if is_metric(row)]
    known = alerts.map_metric_alerts(c) if metric_rules else {}
    fired, resolved = [], []
    for row, rule in metric_rules:
        figure = _read_metric(c, rule.metric, now)
        standing = sla.judge_metric(rule, figure.value, now)
        if figure.problem or standing.late == (row.id in known):
            continue
        if standing.late:
            fired.append(_make_alert(row, rule, standing, figure.value))
        else:
            resolved.append({"key": known[row.id], "resolved_at": timestamps.from_unix(now),
            "text": standing.text, "short": standing.short,
                         "value": figure.value})  # fmt: skip
    return AlertChanges(fired, resolved)


def _read_metric(c: Connection, metric: str, now: float) -> figures.MetricValue:
    """Read a metric as of a UNIX time.

    A backup counts only while its file exists, which its row does not show.
    """
    figure = figures.read_metric(c, metric, now)
    return (
        _check_backup_files(c, figure, now)
        if metric == "backup-age" and figure.value is not None
        else figure
    )


def _check_backup_files(
    c: Connection, figure: figures.MetricValue, now: float
) -> figures.MetricValue:
    try:
        folder = backup_files.get_folder(
            figures.find_database_path(c).parent, backup_files.read_settings()
        )
    except Usage:  # The backup folder is unknown.
        return figure
    found, missing = backups.NEWEST.find_existing(c, str(folder))
    if missing or found is None:
        return figures.MetricValue(
            None,
            tr("cannot be read: there is no good backup any more ({missing})", missing=missing),
        )
    return figures.MetricValue(max(0.0, now - timestamps.to_unix(found)))


def is_metric(row: SlaRow) -> bool:
    """Return whether a rule is about a metric and not about tasks."""
    return row.conditions.get("preset") == sla.STAYS_BELOW


def _make_alert(
    row: SlaRow, rule: sla.SlaRule, standing: sla.MetricVerdict, value: float | None
) -> dict[str, Any]:
    return {
        "sla_id": row.id, "name": row.name, "severity": sla.get_severity(row.priority),
        "status": "firing", "task_id": None,
        "object": alerts.SYSTEM_OBJECT, "text": standing.text, "short": standing.short,
        "value": value, "limit": rule.value,
        "fired_at": timestamps.from_unix(standing.since), "resolved_at": None,
    }  # fmt: skip


def refresh(
    c: Connection, found: alerts.AlertDetail, rule: sla.SlaRule, now: float
) -> alerts.AlertDetail:
    """Return an open alert with the current value of its metric."""
    figure = _read_metric(c, rule.metric, now)
    if figure.value is None:
        return found
    standing = sla.judge_metric(rule, figure.value, now)
    return found._replace(
        alert=found.alert._replace(text=standing.text, short=standing.short, value=figure.value)
    )


def describe_state(c: Connection, rule: sla.SlaRule) -> dict[str, Any]:
    """Return a rule's metric, its unit, its value now, and its state in words.

    The unit applies to the value and the limit. For a rule about tasks all but the unit are None.
    """
    if not rule.metric:
        return {"metric": None, "unit": rule.unit, "now": None, "stands": None}
    figure = _read_metric(c, rule.metric, timestamps.utcnow().timestamp())
    text = figure.problem or metrics.describe_figure(
        rule.metric, figure.value, exact=rule.value % 60 != 0
    )
    return {"metric": rule.metric, "unit": rule.unit, "now": figure.value, "stands": text}


def find_unreadable(c: Connection, rows: Sequence[SlaRow], now: float) -> dict[str, str]:
    """Return {metric: why it cannot be read} for the metrics of these rules."""
    asked = {
        sla.parse_conditions(row.conditions).metric
        for row in rows
        if row.enabled and is_metric(row)
    }
    found = {metric: _read_metric(c, metric, now).problem for metric in sorted(asked)}
    return {metric: problem for metric, problem in found.items() if problem}
