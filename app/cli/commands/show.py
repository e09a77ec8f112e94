"""`taskdeck show`: everything about one task."""

from __future__ import annotations

import time

from app.cli import output, styles, time_format
from app.cli.commands.instances import facts
from app.cli.parser import Args, Command, Parser, as_json, ids
from app.cli.table import Column, Line, Span, lines, wrap
from app.core.text import units
from app.core.text.sanitize import clean, clean_lines, cut, pad, sgr_line, width
from app.errors import Usage
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

MOST_LINES = 12

ATTEMPTS = [
    Column("ATTEMPT"),
    Column("STATE"),
    Column("STARTED"),
    Column("TOOK"),
    Column("EXIT"),
    Column("CPU"),
    Column("PEAK"),
    Column("LOG"),
]


def show(session: Session, args: Args) -> int:
    """Show one task."""
    if len(args.ids) != 1:
        raise Usage("show one task: give its number, uuid or name.", "List: taskdeck ls")
    task = session.call("show", id=args.ids[0])
    if args.json or args.jsonl:
        output.document(task, args.jsonl)
        return 0
    task["why"] = _reasons(session, task)
    output.lines(_page(task, last_lines(task), output.room(args.wide)))
    return 0


def _reasons(session: Session, task: dict[str, Any]) -> list[str]:
    """Why a waiting task waits."""
    if task["status"] in (*ENDED, "running"):
        return []
    return [reason["text"] for reason in session.call("why", ids=[task["uuid"]])[0]["reasons"]]


def _page(task: dict[str, Any], last: list[str], room: int | None) -> list[Line]:
    now = time.time()
    page = [_title(task, now, room), [], *_facts(task, now, room)]
    if task["instances"]:
        page += [[], *_attempts(task["instances"], now, room)]
    if last:
        page += [[], [(f"  last lines of attempt {task['instances'][-1]['attempt']}", "dim")]]
        page += [[(f"    {line if room is None else cut(line, room - 4)}", "")] for line in last]
    return [*page, [], *([(line, "dim")] for line in _next(task, room))]


def _title(task: dict[str, Any], now: float, room: int | None) -> Line:
    text, style = styles.state(_status(task), output.ascii_only())
    left, right = f"#{task['number']} {clean(task['name'])}", f"{text}{_how(task, now)}"
    if room is None:
        return [(left, "bold"), ("  ", ""), (right, style)]
    right = cut(right, room - 12)
    left = cut(left, room - width(right) - 2)
    return [(pad(left, room - width(right) - 1), "bold"), (right, style)]


def _status(task: dict[str, Any]) -> str:
    """Of a running task, how its run stands: paused, stopping."""
    return task["instances"][-1]["status"] if task["status"] == "running" and task["instances"] else task["status"]


def _how(task: dict[str, Any], now: float) -> str:
    """`, exit 1, 2m ago`. "Scheduled for 2m" would say when it starts."""
    if task["status"] == "scheduled":
        return f", submitted {units.age(time_format.since(task['created_at'], now))} ago"
    if task["status"] not in ENDED:
        since = time_format.since(task.get("started_at") if task["status"] == "running" else task["created_at"], now)
        return f" for {units.age(since)}"
    reason = f", {clean(task['reason'])}" if task.get("reason") else ""
    ended = task.get("ended_at") or task["updated_at"]
    return f"{reason}, {units.age(time_format.since(ended, now))} ago"


def _facts(task: dict[str, Any], now: float, room: int | None) -> list[Line]:
    found = [
        *_what(task),
        ("in", clean(task["cwd"])),
        ("template", _template(task)),
        (
            "queue",
            f"{clean(task['queue'])}{_pool(task)}     priority {task['priority']}     by {clean(task['submitted_by'])}",
        ),
        ("asked", _asked(task)),
        ("uses", _uses(task.get("use"))),
        ("submitted", _submitted(task, now)),
        ("waits for", ", ".join(_other(p) for p in task.get("parents") or () if p["status"] not in ENDED)),
        ("before", ", ".join(_other(c) for c in task.get("children") or ())),
        ("tags", " ".join(f"{clean(k)}={clean(v)}" for k, v in (task.get("tags") or {}).items())),
        ("pinned", "no cleanup takes it" if task.get("pinned") else ""),
        ("why", _why(task)),
    ]
    return [line for label, text in found if text for line in _fact(label, text, room)]


def _fact(label: str, text: str, room: int | None) -> list[Line]:
    pieces = [text] if room is None else wrap(text, max(20, room - 13))
    return [[(f"  {label if not at else '':<11}", "dim"), (piece, "")] for at, piece in enumerate(pieces)]


def _what(task: dict[str, Any]) -> list[tuple[str, str]]:
    """The command or shell text, its first lines."""
    launch = task["launch"]
    if "argv" in launch:
        from shlex import join

        return _some_lines("command", join(launch["argv"]))
    return _some_lines("script", launch["script"])


def _some_lines(label: str, text: str) -> list[tuple[str, str]]:
    lines = clean_lines(text).split("\n")
    more = [f"and {len(lines) - MOST_LINES:,} more lines"] if len(lines) > MOST_LINES else []
    return [(label if not at else " ", line) for at, line in enumerate(lines[:MOST_LINES] + more)]


def _template(task: dict[str, Any]) -> str:
    if not task.get("template"):
        return ""
    given = " ".join(f"{clean(k)}={_short(v)}" for k, v in (task.get("parameters") or {}).items())
    return f"{clean(task['template'])}   {given}".rstrip()


def _pool(task: dict[str, Any]) -> str:
    return f" (pool {clean(task['pool'])})" if task.get("pool") else ""


def _short(value: Any) -> str:
    """A parameter as it may have been typed."""
    if isinstance(value, str):
        return cut(clean(value), 200)
    import json

    return cut(clean(json.dumps(value)), 200)


def _asked(task: dict[str, Any]) -> str:
    memory = units.memory(task["memory"]) if task.get("memory") else "none"
    limit = units.setting(task["timeout"]) if task.get("timeout") else "none"
    tries = (
        f"retries {task['retries']} every {units.setting(task['retry_delay'])}" if task["retries"] else "retries 0"
    )
    return f"cpu {units.plain(task['cpu'])}   memory {memory}   timeout {limit}   {tries}"


def _uses(use: dict[str, Any] | None) -> str:
    """What it takes while it runs, as the runtime measured it last, and at most so far."""
    if not use:
        return ""
    most = f"at most {units.cpu(use['most_cpu'])} and {units.memory(use['most_memory'])}"
    several = f"   {use['processes']:,} processes" if use["processes"] > 1 else ""
    return f"cpu {units.cpu(use['cpu'])}   memory {units.memory(use['memory'])}, {most}{several}"


def _submitted(task: dict[str, Any], now: float) -> str:
    text = time_format.moment(task["created_at"])
    runs = task["instances"]
    if not runs or not runs[0].get("start_time"):
        return text
    waited = units.age(time_format.between(task["created_at"], runs[0]["start_time"], now))
    ran = sum(time_format.between(run.get("start_time"), run.get("end_time"), now) or 0.0 for run in runs)
    return f"{text}, waited {waited}, ran {units.duration(ran)}{' in all' if len(runs) > 1 else ''}"


def _other(task: dict[str, Any]) -> str:
    return f"#{task['number']} {clean(task['name'])} ({styles.word(task['status'])})"


def _why(task: dict[str, Any]) -> str:
    place = task.get("place")
    first = [f"{units.ordinal(place['position'] + 1)} of {place['total']:,} in its queue"] if place else []
    return "; ".join([output.for_home(clean(reason)) for reason in task["why"]] + first)


def _attempts(runs: list[dict[str, Any]], now: float, room: int | None) -> list[Line]:
    table = lines(ATTEMPTS, [_attempt(run, now) for run in runs], None if room is None else room - 2)
    return [[("  ", ""), *line] for line in table]


def _attempt(run: dict[str, Any], now: float) -> list[Span]:
    started, took, cpu, peak = facts(run, now)
    return [
        (str(run["attempt"]), ""),
        styles.state(run["status"], output.ascii_only()),
        started,
        took,
        (_exit(run), ""),
        cpu,
        peak,
        (units.size(run.get("log_bytes")), ""),
    ]


def _exit(run: dict[str, Any]) -> str:
    if run.get("signal") is not None:
        return f"signal {run['signal']}"
    return units.MISSING if run.get("exit_code") is None else str(run["exit_code"])


def last_lines(task: dict[str, Any]) -> list[str]:
    """The end of the latest log, safe to show."""
    found = ["".join(text for text, _ in sgr_line(line)) for line in task.get("last_lines") or ()]
    return [line for line in found if line.strip()]


def _next(task: dict[str, Any], room: int | None) -> list[str]:
    """What to type next: in one line where that fits, else a line each."""
    number = task["number"]
    if task["status"] in ENDED:
        verbs = ("logs", "retry") if task["instances"] else ("retry",)
    else:
        verbs = ("logs", "cancel") if task["instances"] else ("why", "cancel")
    program = output.program()
    commands = [*(f"{program} {verb} {number}" for verb in verbs), f"{program} show {number} --json"]
    line = f"  {'      '.join(commands)}"
    return [line] if room is None or width(line) <= room else [f"  {command}" for command in commands]


def _arguments(parser: Parser) -> None:
    ids(parser)
    parser.option("--wide", action="store_true", help="cut nothing")
    as_json(parser)


COMMANDS = {
    "show": Command("everything about one task", show, _arguments, "  taskdeck show 42\n  taskdeck show 42 --json")
}
