"""Clipboard: properties of a task that `y` copies, and their texts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from app import paths
from app.core.board import EndedEntry
from app.core.scheduling.resources import list_named
from app.core.text import units
from app.core.text.sanitize import sanitize, sanitize_lines
from app.translation import tr
from app.tui.actions.question import Answer, Question
from app.tui.actions.shell_command import build_repeat_words, quote_words
from app.tui.actions.tasks import TaskRow
from app.tui.data.call_queue import VerbClient
from app.tui.style import Look

TAIL_LINES, REPORT_LINES = 200, 30
"""Maximum log lines copied; and in a report."""


def ask_copy(row: TaskRow, look: Look) -> Question:
    """Build the dialog that asks which property to copy."""
    answers = [
        Answer("i", tr("its number, #{number}", number=row.number)),
        Answer("u", tr("its uuid")),
        Answer("c", tr("its command")),
        Answer("s", tr("the command that submits it again, without its environment")),
        Answer("l", tr("the last {tail_lines} lines of its log", tail_lines=TAIL_LINES)),
        *([Answer("r", tr("a report of how it ended"))] if isinstance(row, EndedEntry) else []),
        Answer("n", tr("nothing")),
    ]
    return Question(
        tr("Copy"),
        [[(f"#{row.number} {look.sanitize(row.name)}", "bold")]],
        answers,
        safe="n",
        column=True,
        confirm_delay=0.0,
    )


def read_text(key: str, uuid: str, client: VerbClient) -> str:
    """Return the text for an answer."""
    return _TEXTS[key](client.call("show", {"id": uuid}), client)


def _format_number(task: Mapping[str, Any], client: VerbClient) -> str:
    return f"#{task['number']}"


def _format_uuid(task: Mapping[str, Any], client: VerbClient) -> str:
    return str(task["uuid"])


def _format_command(task: Mapping[str, Any], client: VerbClient) -> str:
    launch = task.get("launch") or {}
    return (
        sanitize_lines(str(launch["script"]))
        if "script" in launch
        else sanitize(shlex.join(map(str, launch.get("argv", ()))))
    )


def _format_submit(task: Mapping[str, Any], client: VerbClient) -> str:
    """Return the `taskdeck submit` command that creates the task again under the same name."""
    return quote_words(build_repeat_words(task))


def _read_log_tail(task: Mapping[str, Any], client: VerbClient, most: int = TAIL_LINES) -> str:
    runs = client.call("log", {"id": task["uuid"], "attempt": None}).get("runs", ())
    return sanitize_lines("\n".join(_read_log_end(runs[-1]).splitlines()[-most:])) if runs else ""


def _read_log_end(run: Mapping[str, Any]) -> str:
    """Return the end of the log file, else of the stored log."""
    try:
        with paths.open_regular(str(run["path"])) as log:
            log.seek(max(0, int(run.get("log_bytes") or 0) - 65536))
            return log.read(131072).decode("utf-8", "replace")
    except OSError:
        return str(run.get("logs") or "")


def _format_report(task: Mapping[str, Any], client: VerbClient) -> str:
    """Return a report for others: the task, each attempt, the end of the log."""
    runs = task.get("instances") or ()
    named = "".join(f", {part}" for part in list_named(task.get("resources")))
    lines = [
        (
            f"#{task['number']} {task['name']}:"
            f" {task['status'].replace('_', ' ')}{_format_reason(task['reason'])}"
        ),
        tr("command: {command}", command=_format_command(task, client)),
        (
            tr(
                "in: {cwd}   queue: {queue}   by: {submitted_by}   submitted: {created_at}",
                cwd=task["cwd"],
                queue=task["queue"],
                submitted_by=task["submitted_by"],
                created_at=task["created_at"],
            )
        ),
        (
            tr(
                "requests: cpu {number}, memory {memory}{named}, timeout {duration_setting}",
                number=units.format_number(task["cpu"]),
                memory=units.format_memory(task["memory"]),
                named=named,
                duration_setting=units.format_duration_setting(task["timeout"]),
            )
        ),
        *(_format_attempt(run) for run in runs),
        "",
        _read_log_tail(task, client, REPORT_LINES),
    ]
    return sanitize_lines("\n".join(lines)).rstrip() + "\n"


def _format_reason(reason: str | None) -> str:
    return f", {reason}" if reason else ""


def _format_attempt(run: Mapping[str, Any]) -> str:
    used = tr(
        "cpu {cpu_seconds}, peak memory {memory}",
        cpu_seconds=units.format_duration(run["cpu_seconds"]),
        memory=units.format_memory(run["max_rss"]),
    )
    how = tr(
        "{status}{reason} after {run_seconds}",
        status=run["status"].replace("_", " "),
        reason=_format_reason(run["reason"]),
        run_seconds=units.format_duration(run["run_seconds"]),
    )
    return tr(
        "attempt {attempt}: {how}; started {start_time}; {used}",
        attempt=run["attempt"],
        how=how,
        start_time=run["start_time"] or units.MISSING,
        used=used,
    )


_TEXTS: dict[str, Callable[[Mapping[str, Any], VerbClient], str]] = {
    "i": _format_number, "u": _format_uuid, "c": _format_command, "s": _format_submit,
    "l": _read_log_tail, "r": _format_report,
}  # fmt: skip
