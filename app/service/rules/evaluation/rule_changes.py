"""Changes that a pass of the rules stores: states of subjects, and their alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.core.rules.alert_state import SubjectState
from db import timestamps
from db.engine import Connection
from db.queries.rules import alerts, rule_states
from db.queries.rules.rule_states import RuleStateRow
from db.rows import SlaRow


class Change(NamedTuple):
    """Change of one subject of a rule: its next state, and what happens to the alert.

    `action` is `fire`, `resolve`, `expire`, `escalate` or "". `alert` has the columns of a new
    alert, or `end`, what to add to the text of a resolved one.
    """

    rule: SlaRow
    subject: str
    state: SubjectState | None
    due: float | None
    action: str
    alert: Mapping[str, Any]


def get_finite(value: float | None) -> float | None:
    """Return a value, or None if the value is so large that there is no limit."""
    return value if value is not None and abs(value) < 1e300 else None


def make_fingerprint(sla_id: int, subject: str) -> str:
    """Return the fingerprint of the alert of a rule and a subject."""
    return f"{sla_id}/{subject}"


def apply_changes(c: Connection, changes: Sequence[Change], now: float) -> None:
    """Store states and change alerts, in the caller's transaction.

    Changes of a rule that was edited since the pass read it are dropped.
    """
    current = rule_states.list_current_rules(c, list({change.rule.id for change in changes}))
    valid = [
        change for change in changes
        if current.get(change.rule.id) == (change.rule.updated_at, True)
    ]  # fmt: skip
    rule_states.store_states(
        c, [_to_row(change, change.state) for change in valid if change.state is not None]
    )
    rule_states.delete_states(
        c, [(change.rule.id, change.subject) for change in valid if change.state is None]
    )
    _change_alerts(c, valid, now)


def _to_row(change: Change, state: SubjectState) -> RuleStateRow:
    return RuleStateRow(
        change.rule.id,
        change.subject,
        state.phase,
        timestamps.from_unix(state.since),
        None if state.fired_at is None else timestamps.from_unix(state.fired_at),
        None if state.clear_since is None else timestamps.from_unix(state.clear_since),
        None if change.due is None else timestamps.from_unix(change.due),
        int(state.is_escalated),
    )


def _add_end(text: str, end: str) -> str:
    """Return the text of a resolved alert; one that was done late names its success already."""
    return text if "succeeded" in text else text + end


def _change_alerts(c: Connection, changes: Sequence[Change], now: float) -> None:
    alerts.fire_alerts(c, [change.alert for change in changes if change.action == "fire"])
    ended = [change for change in changes if change.action in ("resolve", "expire")]
    escalated = [change for change in changes if change.action == "escalate"]
    prints = [make_fingerprint(one.rule.id, one.subject) for one in [*ended, *escalated]]
    live = alerts.map_live(c, prints) if prints else {}
    rows = []
    for change in ended:
        if alert := live.get(make_fingerprint(change.rule.id, change.subject)):
            rows.append({
                "key": alert.id, "resolved_at": timestamps.from_unix(now),
                "text": _add_end(alert.text, change.alert.get("end", "")),
                "short": alert.short, "value": alert.value,
                "ending": "expired" if change.action == "expire" else None,
            })  # fmt: skip
    alerts.resolve_alerts(c, rows)
    raised = [
        (alert.id, change.alert["severity"])
        for change in escalated
        if (alert := live.get(make_fingerprint(change.rule.id, change.subject)))
    ]
    alerts.escalate_alerts(c, raised)
