"""What the runtime would answer about a few tasks, and a client that answers it and remembers what it was asked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import Remote

NOW = 1_795_603_327.0
"""2026-11-25T10:42:07Z."""


def task(**values: Any) -> dict[str, Any]:
    """A task row as `show` answers it."""
    row: dict[str, Any] = {
        "uuid": "019ab000-0000-7000-8000-000000001049", "number": 1049, "name": "resnet50-sweep-08", "template": None,
        "type": "exec", "status": "queued", "parameters": {}, "priority": 5, "timeout": 14400.0, "queue": "gpu",
        "cpu": 4.0, "memory": 12288.0, "retries": 1, "retry_delay": 1.0, "grace": 5.0, "not_before": None, "hold": False,
        "held_by": None, "front": 0, "tags": {}, "cwd": "/home/ann/sweep", "umask": 18,
        "launch": {"argv": ["python", "train.py", "--lr", "0.01", "--seed", "8"]}, "log_limit": None,
        "submitted_by": "ann", "pinned": False, "reason": None, "attempts": 0, "started_at": None, "ended_at": None,
        "created_at": "2026-11-25T08:30:11.000000Z", "updated_at": "2026-11-25T08:30:11.000000Z", "instances": [],
        "parents": [], "children": [], "env_names": 43, "place": {"position": 0, "total": 5},
        "events": [
            {"at": "2026-11-25T08:30:11.000000Z", "status": "queued", "by": "ann", "note": "submitted (pts/2)"},
            {"at": "2026-11-25T08:31:40.000000Z", "status": "queued", "by": "ann", "note": "priority 0 to 5"},
        ],
    }  # fmt: skip
    return row | values


def run(**values: Any) -> dict[str, Any]:
    """An instance row."""
    row: dict[str, Any] = {
        "runid": "019ab000-0000-7000-8000-00000000aaaa", "task_id": "019ab000-0000-7000-8000-000000001049",
        "number": 1049, "name": "resnet50-sweep-08", "queue": "gpu", "pool": "gpu", "attempt": 1, "status": "running",
        "start_time": "2026-11-25T07:23:51.000000Z", "end_time": None, "exit_code": None, "signal": None, "reason": None,
        "cpu_seconds": 2.9, "max_rss": 84.0, "run_seconds": None, "log_bytes": 0, "deadline": None, "tags": {},
        "pid": 41877, "created_at": "2026-11-25T07:23:51.000000Z", "updated_at": "2026-11-25T07:23:51.000000Z",
    }  # fmt: skip
    return row | values


def log_answer(row: Mapping[str, Any], *runs: Mapping[str, Any], why: str = "") -> dict[str, Any]:
    """What `log` answers for a task and its runs; each run needs a `path`, or `logs`."""
    kept = ("runid", "attempt", "status", "path", "log_bytes", "logs", "exit_code", "signal", "reason")
    shown = [{name: {"path": "", "logs": "", **r}.get(name) for name in kept} for r in runs]
    return {"number": row["number"], "name": row["name"], "status": row["status"], "runs": shown, "why": why}


WHY = {
    "number": 1049, "name": "resnet50-sweep-08", "status": "queued", "queue": "gpu", "waits": 7916.0,
    "reasons": [
        {"code": "pool-memory", "text": "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m",
         "short": "needs 12.0G, 2.0G free; #1042 frees 12.0G"},
        {"code": "reservation", "text": "its place is reserved: smaller tasks start before it only if they do not delay it",
         "short": "its place is reserved"},
    ],
    "expected_start": None, "expected_in": [60.0, 780.0],
}  # fmt: skip


class AnsweringClient:
    """Answers verbs from a table (a value, a function of the arguments, or a Problem) and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {verb.replace("_", "."): answer for verb, answer in answers.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self) -> AnsweringClient:
        """It is its own factory."""
        return self

    def call(self, verb: str, args: dict[str, Any] | None = None, note: Callable[[str], None] | None = None) -> Any:
        """Answer from the table; an unknown verb is refused."""
        self.calls.append((verb, dict(args or {})))
        answer = self.answers.get(verb, Remote(f"no answer for {verb}"))
        if isinstance(answer, Exception):
            raise answer
        return copy.deepcopy(answer(args or {}) if callable(answer) else answer)

    def asked(self, verb: str) -> list[dict[str, Any]]:
        """The arguments of every call of a verb."""
        return [args for called, args in self.calls if called == verb]

    def close(self) -> None:
        """Nothing is held."""
