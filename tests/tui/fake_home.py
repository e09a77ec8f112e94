"""Fake homes for every screen: answers of a runtime that fit the busy board."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.core.definitions import toml_yaml
from app.service.tasks.inspection.pages import COLUMNS
from tests.tui import boards, fake_what_if
from tests.tui.boards import HOUR, MINUTE, NOW, G
from tests.tui.fake_runtime import (
    BOARD,
    UUID,
    WHY,
    FakeRuntime,
    make_log_answer,
    make_run_row,
    make_task_row,
)

Row = dict[str, Any]


def format_timestamp(ago: float) -> str:
    """Return the time a number of seconds before `NOW`."""
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- tasks

_EVENTS = (
    ("queued", 5 * HOUR, "ann", "submitted (pts/2)"),
    ("running", 198 * MINUTE, "taskdeck", None),
)
RUNNING = make_task_row(
    number=1042, name="resnet50-sweep-06", status="running", template="train", attempts=1,
    created_at=format_timestamp(5 * HOUR),
    started_at=format_timestamp(198 * MINUTE), parameters={"lr": 0.01, "seed": 6,
    "data": "/srv/imagenet", "api_token": "•••"},
    launch={"argv": ["/usr/bin/python3", "train.py", "--lr", "0.01", "--seed", "6"]},
    tags={"env": "prod", "team": "vision"},
    instances=[make_run_row(runid="r1042", task_id=UUID.format(1042), number=1042,
    name="resnet50-sweep-06", max_rss=11.9 * G)],
    events=[{"at": format_timestamp(ago), "status": status, "by": by, "note": note} for status, ago,
    by, note in _EVENTS],
)  # fmt: skip
_FAILED_RUN: Row = {
    "status": "failed",
    "exit_code": 1,
    "log_bytes": 2150,
    "number": 1048,
    "name": "thumbs S02",
    "queue": "media",
}
FAILED = make_task_row(
    number=1048, name="thumbs S02", status="failed", template="thumbs", queue="media",
    cwd="/srv/media", priority=0, attempts=2, failures=1,
    parameters={"input": "/srv/in/S02E09.mkv", "width": 320}, memory=512.0, cpu=1.0, timeout=600.0,
    reason="exit 1",
    launch={"argv": ["/usr/bin/python3", "thumbs.py", "/srv/in/S02E09.mkv", "--width", "320"]},
    created_at=format_timestamp(9 * MINUTE),
    started_at=format_timestamp(7 * MINUTE), ended_at=format_timestamp(2 * MINUTE),
    children=[{"number": 1061, "name": "contact-sheet", "status": "cancelled",
    "kind": "success"}], instances=[
        make_run_row(attempt=1, runid="a", reason="exit 1, retried after 5m",
        start_time=format_timestamp(7 * MINUTE + 3), end_time=format_timestamp(7 * MINUTE),
            run_seconds=3.0, pid=None, **_FAILED_RUN),
        make_run_row(attempt=2, runid="b", reason="exit 1",
        start_time=format_timestamp(2 * MINUTE + 3), end_time=format_timestamp(2 * MINUTE),
        run_seconds=3.2,
            pid=None, **_FAILED_RUN),
    ], events=[
        {"at": format_timestamp(9 * MINUTE), "status": "queued", "by": "ann",
        "note": "submitted (pts/2)"},
        {"at": format_timestamp(7 * MINUTE), "status": "running", "by": "taskdeck", "note": None},
        {"at": format_timestamp(2 * MINUTE), "status": "failed", "by": "taskdeck",
        "note": "exit 1"},
    ],
)  # fmt: skip
WAITING = make_task_row(
    template="train", parameters={"lr": 0.01, "seed": 8}, created_at=format_timestamp(132 * MINUTE)
)
DEPENDENT = make_task_row(
    number=1060, name="etl-report", status="blocked", queue="etl", memory=1024.0, cpu=1.0,
    created_at=format_timestamp(151 * MINUTE),
    parents=[{"number": 1047, "name": "nightly-etl", "status": "running", "kind": "success"}],
    launch={"argv": ["./report.sh"]}, place=None,
)  # fmt: skip
TASKS = {1042: RUNNING, 1048: FAILED, 1049: WAITING, 1060: DEPENDENT}


def _make_suggestion(name: str, text: str, gain: str, verb: str = "set") -> Row:
    return {
        "name": name, "text": text, "gain": gain, "verb": verb,
        "args": {"ids": [UUID.format(1049)]}, "command": ["taskdeck", verb],
        "said": "Done:", "undo": [], "object": "", "asks": None, "worth": 1,
    }  # fmt: skip


SUGGESTIONS = [
    _make_suggestion(
        "less",
        "ask for less memory",
        "12G → 9.5G, what such tasks used at most + 20%: starts at once",
    ),
    _make_suggestion(
        "queue", "move it to queue default", "starts at once: pool main has 22.5G free"
    ),
    _make_suggestion("front", "to the front (t)", "it is first already", verb=""),
    _make_suggestion(
        "cancel-1043", "cancel #1043", "frees 18.0G; 1h02m of work are lost", "cancel"
    ),
]
PAST_RUNS: Row = {
    "of": "template", "n": 41, "usual": {"n": 41, "median": 12_240.0, "p95": 13_400.0},
    "cpu_most": 3.4, "cpu_p95": 3.1,
    "memory_most": 9300.0, "memory_p95": 8100.0,
}  # fmt: skip
USAGE: Row = {
    "cpu": 2.9, "memory": 11.8 * G, "most_cpu": 3.9, "most_memory": 11.9 * G, "processes": 5,
    "cell": 18.0,
    "cpu_cells": [1.0, 2.0, 3.0, 2.5, 2.9, 3.3, 3.9, 3.0, 2.9, 2.9],
    "memory_cells": [part * G for part in (2, 5, 8, 9, 10, 11, 11.5, 11.8, 11.9, 11.8)],
}  # fmt: skip
RULES_OF_1042 = [{
    "name": "gpu-day", "severity": "warning", "preset": "finishes-within", "limit": 14_400.0,
    "begin": NOW - 198 * MINUTE,
    "due": NOW + 42 * MINUTE, "done": None, "value": 198 * MINUTE, "late": False, "may_miss": False,
}]  # fmt: skip
OPERATIONS_ON_1049 = [
    {
        "at": format_timestamp(130 * MINUTE),
        "by": "ann",
        "verb": "set",
        "before": {"priority": 0},
        "after": {"priority": 5},
    }
]

LOG_TEXT = "".join(
    f"epoch {n}/50 loss={2.4 / (n + 9):.4f} acc={1 - 1.3 / (n + 9):.3f}\n" for n in range(30, 42)
)
LOG_TEXT += (
    "\x1b[33mWARNING\x1b[0m: learning rate clipped to 1e-4\n保存检查点 → ckpt/epoch41.pt (1.2G)\n"
)
LOG_TEXT += "[  4%] ▌\r[ 12%] ███▌                         47/391 batch/s=2.1"
TRACEBACK = 'Traceback (most recent call last):\n  File "thumbs.py", line 41, in <module>\n'
TRACEBACK += "FileNotFoundError: No such file: /srv/in/S02E09.mkv\n"


def _find_task(ident: Any) -> Row:
    """Return the requested task; unknown ones resemble the waiting or the running task."""
    number = int(str(ident)[-12:])
    if number in TASKS:
        return TASKS[number]
    row = next(
        (line for line in (*BOARD.running, *BOARD.next, *BOARD.ended) if line.number == number),
        BOARD.next[0],
    )
    status = "running" if row in BOARD.running else row.status
    return make_task_row(number=number, name=row.name, queue=row.queue, status=status)


class _LogFiles:
    """Log files in their own folder."""

    def __init__(self, folder: Path) -> None:
        self.paths = {1042: folder / "1042.log", 1048: folder / "1048.log"}
        self.paths[1042].write_text(LOG_TEXT)
        self.paths[1048].write_text(TRACEBACK)

    def of(self, args: Mapping[str, Any]) -> Row:
        row = _find_task(args["id"])
        path = str(self.paths.get(row["number"], ""))
        return make_log_answer(row, *({**one, "path": path} for one in row["instances"]))

    def about(self, args: Mapping[str, Any]) -> Row:
        row = _find_task(args["id"])
        waits, runs = row["status"] in ("queued", "blocked"), row["status"] == "running"
        kin = {way: [_make_tree_row(one) for one in row[way]] for way in ("parents", "children")}
        return {
            "task": row, "why": _make_why_answer(row) if waits else None,
            "log": None if waits else self.of(args),
            "past": PAST_RUNS if row["template"] == "train" else None,
            "fit": {"cpu": 4.0, "memory": 9728.0 if waits else None},
            "ends_in": [300.0, 420.0] if runs else None, "use": USAGE if row is RUNNING else None,
            "tree": kin,
            "slas": RULES_OF_1042 if row is RUNNING else [],
            "acts": OPERATIONS_ON_1049 if row is WAITING else [],
        }  # fmt: skip


def _make_tree_row(one: Mapping[str, Any]) -> Row:
    return {"depth": 0, "uuid": UUID.format(one["number"]), "again": False, "more": 0, **one}


def _make_why_answer(row: Mapping[str, Any]) -> Row:
    if row["status"] == "blocked":
        reason = {
            "code": "dependency",
            "text": "after #1047 nightly-etl, which is running; it ends in ~12m",
            "short": "after #1047",
        }
        return WHY | {
            "number": row["number"],
            "name": row["name"],
            "status": "blocked",
            "reasons": [reason],
            "cures": [],
        }
    return WHY | {"cures": SUGGESTIONS}


# --- lists


_DURATIONS = {1045: 10 * MINUTE, 1046: 44 * MINUTE + 2, 1048: 3}
"""Seconds that each recently ended task of the board ran."""


def _make_list_rows() -> list[Row]:
    """Return the rows of `browse`, newest first, by column name."""
    rows = [
        _list_row(
            line.number,
            line.name,
            line.queue,
            "running",
            started_at=format_timestamp(NOW - (line.started_at or NOW)),
            run=line.status,
            timeout=line.timeout,
            cpu=line.cpu,
            memory=line.memory,
        )
        for line in BOARD.running
    ]
    rows += [
        _list_row(
            line.number,
            line.name,
            line.queue,
            line.status,
            why=line.why_short,
            expected=line.starts_in,
            expected_in=line.expected_in,
        )
        for line in BOARD.next
    ]
    rows += [
        _list_row(
            line.number,
            line.name,
            line.queue,
            line.status,
            reason=line.how,
            ended_at=format_timestamp(NOW - line.ended_at),
            started_at=format_timestamp(NOW - line.ended_at + _DURATIONS[line.number]),
        )
        for line in BOARD.ended
    ]
    for number in range(1030, 1000, -1):
        ended, status = (1040 - number) * 23 * MINUTE, "failed" if number % 9 == 0 else "succeeded"
        rows.append(
            _list_row(
                number,
                f"encode S01E{number - 1000:02d}.mkv",
                "media",
                status,
                started_at=format_timestamp(ended + 44 * MINUTE),
                ended_at=format_timestamp(ended),
                reason="exit 137, out of memory" if status == "failed" else None,
            )
        )
    return sorted(rows, key=lambda row: -row["number"])


def _list_row(number: int, name: str, queue: str, status: str, **values: Any) -> Row:
    usual: Row = dict.fromkeys(COLUMNS) | {
        "uuid": UUID.format(number), "number": number, "name": name, "status": status,
        "queue": queue, "priority": 0, "front": 0,
        "cpu": 2.0, "memory": 2048.0, "retries": 1, "attempts": 1,
        "created_at": format_timestamp((1063 - number) * 13 * MINUTE),
        "submitted_by": "ann", "tags": {"env": "prod"} if number % 2 else {},
        "template": "encode" if "encode" in name else None,
        "at": number,
    }  # fmt: skip
    return usual | values


LIST_ROWS = _make_list_rows()


def answer_browse(args: Mapping[str, Any]) -> Row:
    """Return a page of the rows that match the filter's words and states."""
    words = args["filter"].split()
    states = [
        state for word in words if word.startswith("status:") for state in word[7:].split(",")
    ]
    plain = [word for word in words if ":" not in word]
    matching_rows = [
        r
        for r in LIST_ROWS
        if (not states or r["status"] in states) and all(word in r["name"] for word in plain)
    ]
    return {
        "columns": COLUMNS,
        "rows": [[row[name] for name in COLUMNS] for row in matching_rows],
        "more_before": False,
        "more_after": False,
        "total": len(matching_rows),
        "of": len(LIST_ROWS),
        "lag": 0,
        "complete": True,
        "stopped": None,
    }


REVIEW: Row = {
    "total": 214, "statuses": {"failed": 212, "running": 2}, "dependents": 3, "refused": [],
    "as_of": 70,
    "first": [
        {"uuid": UUID.format(number), "number": number,
        "name": f"encode S01E{number - 1000:02d}.mkv", "status": "failed",
         "queue": "media", "timeout": 3600.0, "started_at": None,
         "created_at": format_timestamp(HOUR), "ended_at": None, "run": None}
        for number in (1026, 1017, 1008)
    ],
}  # fmt: skip


def _make_operation(id: int, **values: Any) -> Row:
    return {
        "id": id, "at": format_timestamp((30 - id) * 7 * MINUTE), "by": "ann", "verb": "hold",
        "object": "task #1052", "name": "sha256 photos",
        "before": {"status": "queued", "hold": False}, "after": {"status": "held", "hold": True},
        "source": "deck", "here": True,
        "batch": id, "undoes": None, "undone_by": None, "undoable": True, "reason": "",
    } | values  # fmt: skip


OPERATIONS = [
    _make_operation(29, verb="pause", before={"status": "running"}, after={"status": "paused"}),
    _make_operation(28, verb="queue pause", by="bob", source="cli", here=False,
    object="queue backup", name=None,
               before={"status": "active"}, after={"status": "paused"}),
    _make_operation(27, verb="set", object="task #1049", name="resnet50-sweep-08",
    before={"priority": 0}, after={"priority": 5}),
    _make_operation(26, verb="undo set", object="task #1049", name="resnet50-sweep-08", undoes=25,
    undoable=False,
               reason="it is an undo itself", before={"memory": 8192.0},
               after={"memory": 12288.0}),
    _make_operation(25, verb="set", object="task #1049", name="resnet50-sweep-08", undone_by=26,
    undoable=False,
               reason="it was undone already", before={"memory": 12288.0},
               after={"memory": 8192.0}),
    _make_operation(24, verb="submit", object="tasks #1053–#1055",
    name="encode S02E06.mkv and 2 more", before=None,
               after={"first": 1053, "last": 1055}, undoable=False,
               reason="cancel the task instead"),
    _make_operation(23, verb="front", by="夜班", object="task #1053", name="encode S02E06.mkv",
    before={"front": 0}, after={"front": 1}),
]  # fmt: skip


# --- definitions

ENCODE_TEMPLATE: Row = {
    "name": "encode", "type": "shell", "engine": "shell", "template": None,
    "description": "transcode one file for the archive",
    "schema": {"script": 'ffmpeg -i "$input" -crf $crf -preset $preset "$output"'},
    "queue": "media", "cpu": 2.0, "memory": 2048.0,
    "timeout": 3600.0, "retries": 1, "retired_at": None, "created_at": format_timestamp(9e6),
    "updated_at": format_timestamp(9e5), "used": 1412, "active": 3,
    "last_used": format_timestamp(12 * MINUTE), "median": 2643.0,
    "parameters": {
        "type": "object", "required": ["input", "output"],
        "properties": {
            "input": {"type": "string", "description": "the file to read"},
            "output": {"type": "string", "description": "the file to write"},
            "crf": {"type": "integer", "minimum": 0, "maximum": 51, "default": 23,
            "description": "smaller is better and bigger"},
            "preset": {"enum": ["fast", "medium", "slow"], "default": "medium"},
            "faststart": {"type": "boolean", "default": True},
            "audio": {"type": "object", "properties": {
                "codec": {"enum": ["aac", "opus", "copy"], "default": "aac"},
                "kbps": {"type": "integer", "default": 160}}},
            "languages": {"type": "array", "items": {"type": "string"}, "default": ["de", "en"]},
        },
    },
}  # fmt: skip
TEMPLATES = [
    ENCODE_TEMPLATE,
    ENCODE_TEMPLATE | {"name": "train", "description": "one run of a sweep", "queue": "gpu",
    "cpu": 4.0, "memory": 12288.0, "used": 42, "active": 1,
              "engine": "exec", "schema": {"argv": ["python3", "train.py", "--lr", "{{lr}}"]},
              "median": 12_240.0},
    ENCODE_TEMPLATE | {"name": "夜间备份", "description": "每天夜里", "queue": "backup",
    "used": 180,
    "parameters": {},
              "last_used": format_timestamp(9 * HOUR)},
    ENCODE_TEMPLATE | {"name": "old-thumbs", "retired_at": format_timestamp(9e5), "used": 10_000,
    "active": 0, "last_used": format_timestamp(9e5)},
]  # fmt: skip
QUEUES = [
    {
        "name": line.name,
        "pool": line.pool,
        "capacity": line.capacity,
        "priority": 0,
        "description": None,
        "status": line.status,
    }
    for line in BOARD.queues
]
POOLS = [
    {
        "name": line.name,
        "total_cpu": line.total_cpu,
        "total_memory": line.total_memory,
        "description": None,
        "status": "active",
    }
    for line in BOARD.pools
]
DEFINITION = """\
[templates.encode]
engine = "shell"
description = "transcode one file for the archive"
queue = "media"
cpu = 2
memory = "2G"
timeout = "1h"

[templates.encode.schema]
script = 'ffmpeg -i "$input" -crf $crf "$output"'
"""


def _check_definition(args: Mapping[str, Any]) -> Row:
    """Return the check of a definition."""
    stored = toml_yaml.read_document(DEFINITION, "toml")
    return {
        "name": "encode",
        "faults": [],
        "before": toml_yaml.write_document(stored, "toml"),
        "after": toml_yaml.write_document(args["tables"], "toml"),
        "fields": {} if args["tables"] == stored else {"timeout": [3600.0, 7200.0]},
    }


# --- alerts


def _make_alert(
    id: int, sla: str, severity: str, number: int | None, short: str, since: float, **more: Any
) -> Row:
    line = next((line for line in (*BOARD.running, *BOARD.next) if line.number == number), None)
    return {
        "id": id, "sla": sla, "sla_id": id, "severity": severity, "status": "firing",
        "task_number": number,
        "task_name": line.name if line else None,
        "object": f"#{number} {line.name}" if line else "host /srv",
        "task_uuid": UUID.format(number) if number else None,
        "text": short.replace(" > ", ", allowed "), "short": short,
        "since": format_timestamp(since), "value": 57 * MINUTE, "limit": 45 * MINUTE,
        "acknowledged_by": None, "acknowledged_at": None,
        "silenced_until": None, "silenced_by": None, "silence_reason": None, "resolved_at": None,
        "created_at": format_timestamp(since),
        "updated_at": format_timestamp(since),
    } | more  # fmt: skip


ALERTS = [
    _make_alert(1, "encode-on-time", "critical", 1039, "57m > 45m", 12 * MINUTE),
    _make_alert(3, "etl-by-11:00", "warning", 1047, "~11:09 > 11:00", 40, status="pending"),
    _make_alert(2, "gpu-wait", "warning", 1049, "2h12m > 30m", 102 * MINUTE, status="acknowledged",
    acknowledged_by="ann",
           acknowledged_at=format_timestamp(90 * MINUTE)),
    _make_alert(4, "disk-soon", "warning", None, "91% > 90%", 3 * HOUR, status="silenced",
    silenced_until=format_timestamp(-5 * HOUR), silenced_by="bob",
           silence_reason="disk move"),
]  # fmt: skip


def _make_rule(name: str, severity: str, words: str, **more: Any) -> Row:
    return {
        "id": 1, "name": name, "conditions": {"preset": "finishes-within", "value": "45m",
        "match": {"template": "encode"}}, "actions": {},
        "priority": 2, "enabled": True, "severity": severity, "words": words, "limit": 45 * MINUTE,
        "open": {}, "silence": None, "state": "ok",
        "late": 0, "last_late": None, "created_at": format_timestamp(9e6),
        "updated_at": format_timestamp(9e6),
    } | more  # fmt: skip


RULES = [
    _make_rule("encode-on-time", "critical", "finishes within 45m, template encode",
    open={"firing": 1}),
    _make_rule("gpu-wait", "warning", "starts within 30m, queue gpu", open={"acknowledged": 1},
    late=3, last_late=format_timestamp(9 * HOUR)),
    _make_rule("etl-by-11:00", "warning", "done by 11:00, task nightly-etl", open={"pending": 1}),
    _make_rule("disk-soon", "warning", "host disk under 90%", open={"firing": 1},
          silence={"until": format_timestamp(-5 * HOUR), "by": "bob", "reason": "disk move"}),
    _make_rule("old-rule", "info", "finishes within 2h, queue etl", enabled=False),
]  # fmt: skip


def _make_silence(number: int, words: str, left: float, **more: Any) -> Row:
    return {
        "id": f"s{number}", "sla": None, "matchers": None, "words": words, "by": "bob",
        "reason": None, "until": format_timestamp(-left), "created_at": format_timestamp(HOUR),
        "alerts": 1,
    } | more  # fmt: skip


SILENCES = [
    _make_silence(3, "severity warning, queue gpu or gpu-*", 100 * MINUTE, alerts=0, by="ann",
                  matchers={"severity": ["warning"], "queue": ["gpu", "gpu-*"]},
                  reason="new cards are put in"),
    _make_silence(2, "rule disk-soon", 5 * HOUR, sla="disk-soon", reason="disk move"),
]  # fmt: skip
_RULE_RUNS = [
    {
        "number": n,
        "name": "encode",
        "status": "succeeded",
        "at": format_timestamp(24 * HOUR - n * HOUR),
        "value": took * MINUTE,
        "late": took > 45,
    }
    for n, took in enumerate((20, 30, 50, 25, 22, 38, 41, 44, 29, 31))
]


def _answer_alert_show(args: Mapping[str, Any]) -> Row:
    row = next(row for row in ALERTS if row["id"] == args["id"])
    rule = next(rule for rule in RULES if rule["name"] == row["sla"])
    task = {
        "status": "running",
        "created_at": format_timestamp(58 * MINUTE),
        "not_before": None,
        "first_start": format_timestamp(57 * MINUTE),
        "ended_at": None,
    }
    return row | {"rule": rule, "task": task if row["task_uuid"] else None, "runs": _RULE_RUNS}


# --- history

_SPANS: dict[str, tuple[int, int]] = {"hour": (60, 1), "day": (96, 15), "week": (84, 120)}


def answer_history(args: Mapping[str, Any]) -> Row:
    """Return sine waves over a span, with a gap without a runtime."""
    count, minutes = _SPANS[args["span"]]
    first = int(NOW // 60) // minutes * minutes - (count - 1) * minutes
    known = [not count // 5 <= n < count // 4 for n in range(count)]
    names = {
        "queue": [q.name for q in BOARD.queues],
        "pool": ["gpu", "main"],
        "template": ["encode", "train", ""],
        "all": [],
    }
    rows = [
        _history_row(args["metric"], name, known, 1 + n)
        for n, name in enumerate([None, *names[args["by"]]])
    ]
    echoed_args = {key: args[key] for key in ("span", "metric", "by", "within")}
    return {
        **echoed_args,
        "step": minutes * 60,
        "at": [(first + n * minutes) * 60 for n in range(count)],
        "known": known,
        "rows": rows,
        "more": 0,
    }


def _answer_empty_history(args: Mapping[str, Any]) -> Row:
    found = answer_history(args)
    known = [False] * len(found["known"])
    return found | {
        "known": known,
        "rows": [_history_row(args["metric"], None, known, 1) | {"total": {}}],
    }


def _history_row(metric: str, name: str | None, known: list[bool], smaller: int) -> Row:
    def wave(most: float, at: float) -> list[float | None]:
        return [
            round(most / smaller * (1.2 + math.sin(n / 9 + at)) / 2, 3) if seen else None
            for n, seen in enumerate(known)
        ]

    lines = {
        "started": wave(60, 0), "ended": wave(58, 0.3), "failed": wave(6, 2), "p50": wave(400, 0),
        "p95": wave(1800, 1),
        "share": wave(0.2, 1), "reserved": wave(8, 0), "measured": wave(6, 0.2),
        "waiting": wave(30, 0), "running": wave(7, 0.5),
    }  # fmt: skip
    lines = {key: [None if v is None else round(v) for v in line] if key in ("started", "ended",
    "failed") else line
             for key, line in lines.items()}  # fmt: skip
    total: Row = {
        key: round(sum(filter(None, line)))
        for key, line in lines.items()
        if key in ("started", "ended", "failed")
    }
    total |= {"count": 1412 // smaller, "p50": 380.0, "p95": 1700.0, "most": 2400.0, "share": 0.043,
    "measured": 4.1, "reserved": 6.2,
              "of": 16.0, "waiting": 12.5, "running": 5.25}  # fmt: skip
    return {"name": name, "series": lines, "total": total, "weight": 100 // smaller}


AWAY_ANSWER: Row = {
    "since": NOW - 8 * HOUR, "ended": {"succeeded": 1204, "failed": 9, "timed_out": 1},
    "bad": [
        {"number": 1048, "name": "thumbs S02", "status": "failed", "queue": "media",
        "reason": "exit 1", "ended_at": format_timestamp(2 * MINUTE)},
        {"number": 1045, "name": "crawl shop-b", "status": "timed_out", "queue": "default",
        "reason": None, "ended_at": format_timestamp(18 * MINUTE)},
    ],
    "alerts": [{"sla": "gpu-wait", "severity": "warning", "status": "firing",
    "object": "#1049 resnet50-sweep-08"}],
}  # fmt: skip


# --- homes


# --- schedules


def _make_fire(ago: float, outcome: str = "submitted", **values: Any) -> Row:
    """Return a fire time, with the task that ran for `took` seconds."""
    took = values.pop("took", None)
    task = outcome == "submitted"
    return {
        "schedule": "", "fire_time": format_timestamp(ago), "outcome": outcome, "reason": None,
        "task_id": UUID.format(1047) if task else None, "number": 1047 if task else None,
        "status": "succeeded" if task else None,
        "started_at": format_timestamp(ago - 1) if task else None,
        "ended_at": None if took is None else format_timestamp(ago - 1 - took),
    } | values  # fmt: skip


def make_schedule_row(name: str, **values: Any) -> Row:
    """Return a row of `schedule.ls`."""
    fires = values.get("fires", [])
    return {
        "name": name, "status": "active", "kind": "cron", "expression": "0 2 * * *",
        "zone": "UTC", "start": format_timestamp(90_000), "task": {"argv": ["true"]},
        "overlap": "skip", "missed": "run-once", "missed_within": None, "jitter": 0.0,
        "until": None, "exclude": [], "description": None, "status_by": None, "status_at": None,
        "paused_until": None, "next_fire": None, "due_at": None, "last_success": None,
        "created_at": format_timestamp(90_000), "updated_at": format_timestamp(90_000),
        "cwd": "/home/ann", "words": "at 02:00 every day", "state": "active", "fires": fires,
        "missed_count": sum(fire["outcome"] == "missed" for fire in fires), "run_seconds": None,
    } | values  # fmt: skip


_DAY = 24 * HOUR
_TO_TWO = 2 * HOUR - (NOW % _DAY) + _DAY
"""Seconds until 02:00 tomorrow, UTC."""
_ETL = [
    _make_fire(_DAY - _TO_TWO, status="running", number=1047),
    _make_fire(2 * _DAY - _TO_TWO, took=9_100.0, number=912, task_id=UUID.format(912)),
    _make_fire(3 * _DAY - _TO_TWO, "missed", reason="No runtime was up."),
    _make_fire(
        4 * _DAY - _TO_TWO, took=62.0, status="failed", number=706, task_id=UUID.format(706)
    ),
]
_THUMBS = [
    _make_fire(NOW % 600 + 600.0 * n, took=31.0, number=1048 - n, task_id=UUID.format(1048 - n))
    for n in range(20)
]
_THUMBS[3] |= _make_fire(NOW % 600 + 1800, "skipped", reason="#1040 had not ended.")
SCHEDULES = [
    make_schedule_row(
        "nightly-etl", task={"argv": ["./etl.sh", "--all"], "queue": "etl", "timeout": 10_800.0},
        next_fire=format_timestamp(-_TO_TWO), due_at=format_timestamp(-_TO_TWO), fires=_ETL,
        run_seconds=9_100.0, description="loads the day before", missed_within=21_600.0,
    ),
    make_schedule_row(
        "thumbs", kind="every", expression="600", words="every 10m",
        task={"template": "thumbs", "parameters": {"input": "/srv/in", "width": 320}},
        next_fire=format_timestamp(NOW % 600 - 600), due_at=format_timestamp(NOW % 600 - 600),
        fires=_THUMBS, run_seconds=31.0,
    ),
    make_schedule_row(
        "夜间备份", kind="rrule", expression="FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=22",
        words="by the rule FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=22", jitter=300.0,
        task={"script": "rsync -a /home /backup && sync", "queue": "backup"},
        next_fire=format_timestamp(-59 * HOUR), due_at=format_timestamp(-59 * HOUR - 123),
        run_seconds=4_000.0, exclude=["holidays"],
    ),
    make_schedule_row(
        "report", expression="30 8 * * 1-5", words="at 08:30, Monday to Friday", zone="Asia/Tokyo",
        task={"argv": ["./report.py"]}, state="paused", status="paused", status_by="ann",
        status_at=format_timestamp(3 * HOUR),
    ),
    make_schedule_row(
        "warm-cache", kind="boot", expression="", words="at each boot of this machine",
        task={"argv": ["./warm-cache"]},
        fires=[_make_fire(9 * _DAY, "refused", reason="there is no queue cache.")],
    ),
    make_schedule_row(
        "move-to-rack-4", kind="at", expression="2026-11-20T06:00:00+00:00", state="ended",
        words="once, at 2026-11-20 06:00", task={"argv": ["./move"]},
        fires=[_make_fire(5 * _DAY, took=3.0)],
    ),
]  # fmt: skip


def _answer_schedule_show(args: Mapping[str, Any]) -> Row:
    row = next((row for row in SCHEDULES if row["name"] == args["name"]), SCHEDULES[0])
    times = [row["next_fire"]] if row["next_fire"] else []
    if row["name"] == "nightly-etl":
        times = [format_timestamp(-_TO_TWO - n * _DAY) for n in range(5)]
    return {**row, "upcoming": times}


def _answer_timeline(args: Mapping[str, Any]) -> list[Row]:
    """Return what `schedule.timeline` answers for the busy home."""
    steps = {"nightly-etl": _DAY, "thumbs": max(600.0, args["step"])}
    until = args["since"] + args["step"] * args["cells"]
    found = []
    for row in SCHEDULES:
        first = datetime.fromisoformat(row["next_fire"]).timestamp() if row["next_fire"] else until
        count = int((until - first) / steps.get(row["name"], 30 * _DAY)) + (first < until)
        times = [first + n * steps.get(row["name"], 30 * _DAY) for n in range(count)]
        found.append(
            {
                "name": row["name"],
                "run_seconds": row["run_seconds"],
                "fires": list(reversed(row["fires"])),
                "upcoming": [format_timestamp(NOW - at) for at in times],
            }
        )
    return [row for row in found if row["name"] in args["names"]]


def make_busy_home(folder: Path, **more: Any) -> FakeRuntime:
    """Return the runtime of a busy home, with its log files in a folder."""
    logs = _LogFiles(folder)
    usual: Row = {
        "about": logs.about, "show": lambda args: _find_task(args["id"]),
        "why": lambda args: [_make_why_answer(_find_task(args["ids"][0]))], "log": logs.of,
        "browse": answer_browse, "review": REVIEW, "operations": OPERATIONS,
        "template_ls": TEMPLATES, "queue_ls": QUEUES, "pool_ls": POOLS,
        "schedule_ls": SCHEDULES, "schedule_show": _answer_schedule_show,
        "schedule_timeline": _answer_timeline,
        "definition_show": {"text": DEFINITION, "format": "toml"},
        "definition_check": _check_definition, "alert_ls": ALERTS, "sla_ls": RULES,
        "alert_silences": SILENCES, "alert_show": _answer_alert_show,
        "sla_history": {"runs": _RULE_RUNS, "limit": 2700.0},
        "sla_show": RULES[0], "history": answer_history,
        "away": AWAY_ANSWER, "doctor": [], "submit": [{"number": 1063, "name": "ffmpeg",
        "uuid": ""}],
        "board_at": _answer_board_at, "forecast": fake_what_if.answer_what_if,
        "usage": fake_what_if.answer_usage,
    }  # fmt: skip
    return FakeRuntime(**(usual | more))


# --- rules of the general form

_LONG = {"scope": "queue", "match": {"queue": "media"}, "for": "1m",
         "when": {"metric": "queue.depth", "op": ">", "value": 100}}  # fmt: skip
_LEVEL = {"value": 143.0, "limit": 100.0, "op": ">", "unit": "count", "metric": "queued tasks",
          "object": "queue media", "text": "queued tasks 143, limit 100, queue media",
          "brief": "143 / 100", "is_below": False}  # fmt: skip
_AGE = _LEVEL | {"unit": "seconds", "limit": 600.0}
_DUE = _AGE | {"value": -720.0, "limit": 0.0, "metric": "deadline", "object": "nightly-etl",
               "text": "nightly-etl due in 12m, 10:54; 3 open, 1 missed", "brief": "in 12m",
               "due": NOW + 12 * MINUTE, "since": NOW - HOUR, "expected": None}  # fmt: skip
_LATE = _DUE | {"value": 600.0, "text": "#1041 encode ends 10:50–11:20, probably 11:04, due"
                " 10:54; 1 of 5 late", "brief": "11:04 / 10:54",
                "expected": [NOW + n * MINUTE for n in (8, 22, 38)]}  # fmt: skip
_DOES = [
    "firing: notify ops",
    "firing: notify chat, after 10m, every 1h",
    "resolved: notify ops",
    "firing: pause queue etl",
]
GENERAL_RULES = [
    _make_rule("media-long", "critical", "queue media: queued tasks over 100 for 1m",
               conditions=_LONG, limit=None, metric=None, stands=None, levels=[_LEVEL], does=_DOES,
               open={"acknowledged": 1}),
    _make_rule("disk-low", "warning", "the host: disk free below 10% for 1m", limit=None,
               conditions={"scope": "host", "when": {"metric": "host.disk_free_ratio"}},
               levels=[_LEVEL | {"value": 0.42, "limit": 0.1, "op": "<", "unit": "ratio",
                       "metric": "disk free", "object": "the host", "brief": "42% / 10%",
                       "text": "disk free 42%, limit 10%"}]),
    _make_rule("etl-by-six", "critical", "task nightly-etl: no success by 06:00 Europe/Berlin on"
               " workdays, critical after 30m, only workdays 05:00–08:00", limit=None,
               levels=[_DUE],
               conditions={"scope": "task", "match": {"task": ["nightly-*"]}, "when": {}}),
    _make_rule("no-output", "warning", "every task: no output for over 10m", limit=None,
               conditions={"scope": "instance", "when": {}},
               levels=[_AGE | {"value": 240.0, "object": "#1041 encode", "brief": "4m / 10m",
                       "text": "no output for 4m, limit 10m, #1041 encode"}]),
    _make_rule("encode-ends", "warning", "task encode: success not expected within 1h of the"
               " submission", limit=None, levels=[_LATE],
               conditions={"scope": "instance", "when": {}}),
    _make_rule("media-stuck", "critical", "queue media: queued tasks over 100 and longest wait over"
               " 10m", limit=None, conditions=_LONG, does=_DOES,
               levels=[_LEVEL, _AGE | {"value": 252.0, "metric": "longest wait", "brief": "",
                       "text": "longest wait 4m12s, limit 10m, queue media"}]),
    RULES[1],
]  # fmt: skip
GENERAL_ALERTS = [
    _make_alert(6, "media-long", "critical", None, "132 > 100", 12 * MINUTE, object="queue media",
                text="queued tasks 132 (limit 100) for 1m", status="acknowledged",
                acknowledged_by="ann", acknowledged_at=format_timestamp(9 * MINUTE),
                note="the encoder is being replaced"),
    ALERTS[2],
]  # fmt: skip


def _make_delivery(number: int, event: str, target: str, ago: float, **more: Any) -> Row:
    return {
        "id": number, "key": UUID.format(number), "event": event, "target": target,
        "about": "media-long: queue media", "status": "sent", "attempts": 1, "next_at": None,
        "last_error": None, "log": [], "created_at": format_timestamp(ago),
        "updated_at": format_timestamp(ago),
    } | more  # fmt: skip


DELIVERIES = [
    _make_delivery(4, "firing", "chat", 2 * MINUTE, status="pending", attempts=3,
                   next_at=format_timestamp(-10 * MINUTE), last_error="HTTP 503"),
    _make_delivery(3, "firing", "ops", 12 * MINUTE),
    _make_delivery(2, "resolved", "ops", 5 * HOUR, attempts=2),
    _make_delivery(1, "firing", "ops", 6 * HOUR, status="given_up", attempts=9,
                   last_error="no such host"),
]  # fmt: skip


def _answer_general_history(args: Mapping[str, Any]) -> Row:
    rule = next(rule for rule in GENERAL_RULES if rule["name"] == args["name"])
    trail = [(NOW - 30 * (90 - n), 82.0 + 60 * math.sin(n / 11.3)) for n in range(90)]
    was = [{"since": format_timestamp(6 * HOUR), "until": format_timestamp(5 * HOUR)}]
    is_long, is_stuck = (rule["name"] == name for name in ("media-long", "media-stuck"))
    return {
        "name": rule["name"], "levels": rule.get("levels"), "runs": [],
        "was": was if is_long else [], "begins": "start" if is_stuck else "",
        "trail": trail if is_long else trail[60:] if is_stuck else [],
        "deliveries": DELIVERIES if is_long or is_stuck else [],
    }  # fmt: skip


def _answer_general_alert(args: Mapping[str, Any]) -> Row:
    row = next(row for row in GENERAL_ALERTS if row["id"] == args["id"])
    rule = next(rule for rule in GENERAL_RULES if rule["name"] == row["sla"])
    sent = list(reversed(DELIVERIES)) if row["sla"] == "media-long" else []
    return row | {"rule": rule, "task": None, "runs": [], "was": [], "deliveries": sent}


def make_rules_home(folder: Path, **more: Any) -> FakeRuntime:
    """Return the runtime of a busy home with rules of the general form."""
    return make_busy_home(folder, **({
        "alert_ls": GENERAL_ALERTS, "sla_ls": GENERAL_RULES, "alert_show": _answer_general_alert,
        "sla_history": _answer_general_history, "alert_silences": [],
    } | more))  # fmt: skip


def _answer_board_at(args: Mapping[str, Any]) -> Row:
    """Return the deck of an hour ago."""
    then = BOARD._replace(at=NOW - HOUR, running=BOARD.running[:3], ended=(), alerts=(), news=None)
    ends = {
        "first": NOW - 86_400,
        "last": NOW - 60,
        "before": NOW - HOUR - 60,
        "after": NOW - HOUR + 60,
    }
    return {
        "at": (NOW - HOUR) // 60 * 60,
        "board": then.as_dict(),
        "up": True,
        "notes": ["What was paused is as of now."],
        **ends,
    }


def make_empty_home(**more: Any) -> FakeRuntime:
    """Return the runtime of a new home without any task."""
    none = {"columns": COLUMNS, "rows": [], "more_before": False, "more_after": False, "total": 0,
    "of": 0, "lag": 0, "complete": True,
            "stopped": None}  # fmt: skip
    usual: Row = {
        "browse": none, "operations": [], "template_ls": [], "queue_ls": [QUEUES[3]],
        "pool_ls": [POOLS[1]], "alert_ls": [], "sla_ls": [], "alert_silences": [],
        "schedule_ls": [],
        "history": _answer_empty_history, "doctor": [],
        "submit": [{"number": 1, "name": "ffmpeg", "uuid": ""}],
    }  # fmt: skip
    return FakeRuntime(boards.empty(), **(usual | more))


def make_broken_home(**more: Any) -> FakeRuntime:
    """Return a runtime whose board is readable and nothing else."""
    return FakeRuntime(boards.halted(), **({"doctor": [], "queue_ls": []} | more))
