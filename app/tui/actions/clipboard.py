"""What `y` can copy of a task: the choices, and the text behind each."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from app.core.board import EndedLine
from app.core.text import units
from app.core.text.sanitize import clean, clean_lines
from app.tui.actions.shell_command import quoted, spec_of, submit_words
from app.tui.actions.tasks import TaskRow
from app.tui.data.call_queue import VerbClient
from app.tui.screens.dialogs.choice import Answer, Question
from app.tui.style import Look

TAIL, REPORTED = 200, 30
"""Lines of a log that are copied; and of them those in a report."""


def question(row: TaskRow, look: Look) -> Question:
    """What of this task?"""
    answers = [
        Answer("i", f"its number, #{row.number}"),
        Answer("u", "its uuid"),
        Answer("c", "its command"),
        Answer("s", "the line that submits it again"),
        Answer("l", f"the last {TAIL} lines of its log"),
        *([Answer("r", "a report of how it ended")] if isinstance(row, EndedLine) else []),
        Answer("n", "nothing"),
    ]
    return Question("Copy", [[(f"#{row.number} {look.theirs(row.name)}", "bold")]], answers, safe="n", column=True, deaf=0.0)


def text_of(key: str, uuid: str, client: VerbClient) -> str:
    """The text for an answer."""
    return _TEXTS[key](client.call("show", {"id": uuid}), client)


def _number(task: Mapping[str, Any], client: VerbClient) -> str:
    return f"#{task['number']}"


def _uuid(task: Mapping[str, Any], client: VerbClient) -> str:
    return str(task["uuid"])


def _command(task: Mapping[str, Any], client: VerbClient) -> str:
    launch = task.get("launch") or {}
    return (
        clean_lines(str(launch["script"]))
        if "script" in launch
        else clean(shlex.join(map(str, launch.get("argv", ()))))
    )


def _submit(task: Mapping[str, Any], client: VerbClient) -> str:
    """The `taskdeck submit` that makes the same task once more, under the same name."""
    return quoted(submit_words(spec_of(task)))


def _log_tail(task: Mapping[str, Any], client: VerbClient, most: int = TAIL) -> str:
    runs = client.call("log", {"id": task["uuid"], "attempt": None}).get("runs", ())
    return clean_lines("\n".join(_last_text(runs[-1]).splitlines()[-most:])) if runs else ""


def _last_text(run: Mapping[str, Any]) -> str:
    """The end of the log file, else what is stored of it."""
    try:
        with open(str(run["path"]), "rb") as log:
            log.seek(max(0, int(run.get("log_bytes") or 0) - 65536))
            return log.read(131072).decode("utf-8", "replace")
    except OSError:
        return str(run.get("logs") or "")


def _report(task: Mapping[str, Any], client: VerbClient) -> str:
    """What somebody else needs to know of how it ended: what it was, each attempt, the end of the log."""
    runs = task.get("instances") or ()
    lines = [
        f"#{task['number']} {task['name']}: {task['status'].replace('_', ' ')}{_because(task['reason'])}",
        f"command: {_command(task, client)}",
        f"in: {task['cwd']}   queue: {task['queue']}   by: {task['submitted_by']}   submitted: {task['created_at']}",
        f"asked: cpu {units.plain(task['cpu'])}, memory {units.memory(task['memory'])}, timeout {units.setting(task['timeout'])}",
        *(_attempt(run) for run in runs),
        "",
        _log_tail(task, client, REPORTED),
    ]
    return clean_lines("\n".join(lines)).rstrip() + "\n"


def _because(reason: str | None) -> str:
    return f", {reason}" if reason else ""


def _attempt(run: Mapping[str, Any]) -> str:
    used = f"cpu {units.duration(run['cpu_seconds'])}, peak memory {units.memory(run['max_rss'])}"
    how = f"{run['status'].replace('_', ' ')}{_because(run['reason'])} after {units.duration(run['run_seconds'])}"
    return f"attempt {run['attempt']}: {how}; started {run['start_time'] or units.MISSING}; {used}"


_TEXTS: dict[str, Callable[[Mapping[str, Any], VerbClient], str]] = {
    "i": _number, "u": _uuid, "c": _command, "s": _submit, "l": _log_tail, "r": _report,
}  # fmt: skip
