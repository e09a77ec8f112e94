"""Texts of messages: one subject line, and a body that says what to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any, NamedTuple

from app.core.text.sanitize import sanitize, truncate
from db.states import FAILED

MAX_SUBJECT = 150
"""Longest subject in cells; some services cut longer ones."""


class Message(NamedTuple):
    """A message to people. `severity` is critical, warning, info, or resolved for good news."""

    subject: str
    body: str
    severity: str = "info"


def make_message(subject: str, lines: list[str], severity: str, footer: str) -> Message:
    """Return a message of sanitized lines. The footer tells the sender and the key."""
    body = "\n".join([*map(sanitize, lines), "", sanitize(footer)])
    return Message(truncate(sanitize(subject), MAX_SUBJECT), body, severity)


def make_test_message(channel: str, by: str, host: str, key: str) -> Message:
    """Return the message of `taskdeck notify test`."""
    lines = [f"This is a test of the channel {channel}, sent by {by or 'taskdeck'}."]
    subject = f"[test] {channel}: a message of Taskdeck"
    return make_message(subject, lines, "info", format_footer(host, key))


def format_footer(host: str, key: str) -> str:
    """Return the last line of a message. A repeated message has the same key."""
    return f"Taskdeck on {host}, message {key}"


def make_alert_message(data: Mapping[str, Any], footer: str) -> Message:
    """Return the message about alerts of one rule; `data` is from `describe_alerts`."""
    alerts = data["alerts"]
    lines = [_format_alert(alert) for alert in alerts]
    if data["count"] > len(alerts):
        lines.append(f"and {data['count'] - len(alerts):,} more")
    lines += ["", "See them: taskdeck alert ls" + " --all" * (data["event"] == "resolved")]
    if data["event"] in ("firing", "escalated"):
        lines.append(f"Acknowledge: taskdeck alert ack {quote(data['rule'])}")
    severity = "resolved" if data["event"] == "resolved" else data["severity"]
    return make_message(data["subject"], lines, severity, footer)


def describe_alerts(
    event: str, payload: Mapping[str, Any], resolved: Mapping[int, str | None], key: str, host: str
) -> dict[str, Any]:
    """Return an event of alerts as webhooks and commands get it.

    `resolved` is {alert id: time of its end, or None}.
    """
    alerts = [_describe_alert(alert, resolved) for alert in payload["alerts"]]
    first = alerts[0]
    return {
        "key": key, "event": event, "rule": first["rule"], "severity": first["severity"],
        "host": host, "subject": _make_subject(event, alerts, len(payload["ids"])),
        "count": len(payload["ids"]), "alerts": alerts,
    }  # fmt: skip


def _describe_alert(alert: Mapping[str, Any], resolved: Mapping[int, str | None]) -> dict[str, Any]:
    return {
        "id": alert["id"], "rule": alert["name"], "severity": alert["severity"],
        "object": alert["object"], "text": alert["text"], "value": alert["value"],
        "limit": alert["limit"], "since": alert["fired_at"],
        "resolved_at": alert["resolved_at"] or resolved.get(alert["id"]),
        "task": alert["task_id"],
    }  # fmt: skip


def _make_subject(event: str, alerts: Sequence[Mapping[str, Any]], count: int) -> str:
    first = alerts[0]
    word = first["severity"] if event == "firing" else event
    about = f"{first['object']} {first['text']}"
    if count > 1:
        about = f"{count:,} alerts, first {about}"
    return f"[{word}] {first['rule']}: {about}"


def _format_alert(alert: Mapping[str, Any]) -> str:
    until = alert["resolved_at"]
    times = f"since {format_moment(alert['since'])}"
    times += f", resolved {format_moment(until)}" if until else ""
    return f"{alert['object']} {alert['text']} ({times})"


def format_moment(stored: str) -> str:
    """Return a stored time in the zone of this machine, with its offset."""
    return datetime.fromisoformat(stored).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def describe_tasks(
    payload: Mapping[str, Any], outputs: Mapping[str, Sequence[str]], key: str, host: str
) -> dict[str, Any]:
    """Return the end of tasks as webhooks get it.

    `outputs` is {task id: last lines of its log} of the tasks whose output the message tells.
    """
    tasks = payload["tasks"]
    failed = any(task["status"] in FAILED for task in tasks)
    return {
        "key": key, "event": "ended", "severity": "warning" if failed else "info", "host": host,
        "subject": _make_task_subject(tasks, payload["count"]), "count": payload["count"],
        "tasks": [
            {name: value for name, value in task.items() if name != "notify"}
            | {"output": [*outputs.get(task["uuid"], ())]}
            for task in tasks
        ],
    }  # fmt: skip


def make_task_message(data: Mapping[str, Any], footer: str) -> Message:
    """Return the message about ended tasks; `data` is from `describe_tasks`."""
    tasks = data["tasks"]
    lines: list[str] = []
    for task in tasks:
        lines.append(f"{_format_task(task)} ({format_moment(task['ended_at'])})")
        lines += [f"    {line}" for line in task["output"]]
    if data["count"] > len(tasks):
        lines.append(f"and {data['count'] - len(tasks):,} more")
    number = tasks[0]["number"]
    lines += ["", f"See: taskdeck show {number}, taskdeck logs {number}"]
    severity = "critical" if data["severity"] == "warning" else "resolved"
    return make_message(data["subject"], lines, severity, footer)


def _make_task_subject(tasks: Sequence[Mapping[str, Any]], count: int) -> str:
    first = tasks[0]
    about = _format_task(first)
    if count > 1:
        about = f"{count:,} tasks, first {about}"
    return f"[{_format_status(first)}] {about}"


def _format_task(task: Mapping[str, Any]) -> str:
    reason = f": {task['reason']}" if task["reason"] else ""
    return f"#{task['number']} {task['name']} {_format_status(task)}{reason}"


def _format_status(task: Mapping[str, Any]) -> str:
    return str(task["status"]).replace("_", " ")
