"""`taskdeck show`: one task in detail."""

from __future__ import annotations

import time

from app.cli import output, styles, time_format
from app.cli.commands.tasks.instances import DEVICES, format_gpus, format_usage
from app.cli.parser import Args, Command, Parser, add_json_options, add_task_ids
from app.cli.table_layout import Column, Line, Span, format_table, wrap_text
from app.core.notifications.notices import describe_recipient
from app.core.scheduling.resources import list_named
from app.core.task_groups import parse_group
from app.core.text import units
from app.core.text.left_text import describe_left
from app.core.text.sanitize import (
    measure_width,
    pad,
    parse_sgr_line,
    sanitize,
    sanitize_lines,
    truncate,
)
from app.core.text.status_glyphs import get_run_status
from app.errors import NotFound, Problem, Usage
from app.translation import tr, tr_n
from db.states import ENDED, SKIPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

MAX_COMMAND_LINES = 12

ATTEMPT_COLUMNS = [
    Column("ATTEMPT"),
    Column("STATE"),
    Column("STARTED"),
    Column("TOOK"),
    Column("EXIT"),
    Column("CPU"),
    Column("PEAK"),
    Column("LOG"),
]


def show_task(context: CommandContext, args: Args) -> int:
    """Show one task."""
    if len(args.ids) != 1:
        raise Usage("show which task? Give its number, uuid or name.", "List: taskdeck ls")
    if parse_group(args.ids[0]) is not None:
        try:
            return _show_group(context, args)
        except Problem as problem:
            if problem.exit_code != NotFound.exit_code:
                raise  # else a task may have this name
    task = context.call("show", id=args.ids[0])
    if args.json or args.jsonl:
        output.print_json(task, args.jsonl)
        return 0
    task |= _query_wait(context, task)
    output.print_lines(_format_page(task, get_last_lines(task), output.get_room(args.wide)))
    return 0


def _show_group(context: CommandContext, args: Args) -> int:
    from app.cli.group_format import format_page

    group = context.call("group.show", id=args.ids[0])
    if args.json or args.jsonl:
        output.print_json(group, args.jsonl)
    else:
        output.print_lines(format_page(group, time.time()))
    return 0


def _query_wait(context: CommandContext, task: dict[str, Any]) -> dict[str, Any]:
    """Return the reasons of a waiting task as `why`, and its expected start as `starts`."""
    if task["status"] in (*ENDED, "running"):
        return {"why": []}
    from app.cli.commands.tasks.why import format_start

    answer = context.call("why", ids=[task["uuid"]])[0]
    starts = format_start(answer) if answer.get("expected_start") else ""
    return {"why": [reason["text"] for reason in answer["reasons"]], "starts": starts}


def _format_page(task: dict[str, Any], last: list[str], room: int | None) -> list[Line]:
    now = time.time()
    page = [_format_title(task, now, room), [], *_format_facts(task, now, room)]
    if task["instances"]:
        page += [[], *_format_attempts(task["instances"], now, room)]
    if last:
        page += [
            [],
            [
                (
                    tr(
                        "  last lines of attempt {attempt}",
                        attempt=task["instances"][-1]["attempt"],
                    ),
                    "dim",
                )
            ],
        ]
        page += [
            [(f"    {line if room is None else truncate(line, room - 4)}", "")] for line in last
        ]
    return [*page, [], *([(line, "dim")] for line in _list_next_commands(task, room))]


def _format_title(task: dict[str, Any], now: float, room: int | None) -> Line:
    text, style = styles.format_state(_get_status(task), output.is_ascii_only())
    left, right = (
        f"#{task['number']} {sanitize(task['name'])}",
        f"{text}{_format_outcome(task, now)}",
    )
    if room is None:
        return [(left, "bold"), ("  ", ""), (right, style)]
    right = truncate(right, room - 12)
    left = truncate(left, room - measure_width(right) - 2)
    return [(pad(left, room - measure_width(right) - 1), "bold"), (right, style)]


def _get_run_status(run: dict[str, Any]) -> str:
    return get_run_status(run["status"], run.get("outer_job"))


def _get_status(task: dict[str, Any]) -> str:
    """Return the state of the run for a running task: paused, stopping."""
    return (
        _get_run_status(task["instances"][-1])
        if task["status"] == "running" and task["instances"]
        else task["status"]
    )


def _format_outcome(task: dict[str, Any], now: float) -> str:
    """Return `, exit 1, 2m ago`. "Scheduled for 2m" would read as a start time."""
    if task["status"] == "scheduled":
        age = units.format_age(time_format.seconds_since(task["created_at"], now))
        return tr(", submitted {age} ago", age=age)
    if task["status"] not in ENDED:
        since = time_format.seconds_since(
            task.get("started_at") if task["status"] == "running" else task["created_at"], now
        )
        return tr(" for {age}", age=units.format_age(since))
    reason = f", {sanitize(task['reason'])}" if task.get("reason") else ""
    ended = task.get("ended_at") or task["updated_at"]
    age = units.format_age(time_format.seconds_since(ended, now))
    return tr("{reason}, {age} ago", reason=reason, age=age)


def _format_facts(task: dict[str, Any], now: float, room: int | None) -> list[Line]:
    found = [
        *_format_command(task),
        (tr("in"), sanitize(task["cwd"])),
        (tr("output"), sanitize(task.get("output") or "")),
        (tr("error"), sanitize(task.get("error") or "")),
        (tr("input"), f"taskdeck send {task['number']} TEXT" if task.get("stdin") else ""),
        (tr("template"), _format_template(task)),
        (
            tr("queue"),
            tr(
                "{queue}{pool}     priority {priority}     by {person}",
                queue=sanitize(task["queue"]),
                pool=_format_pool(task),
                priority=task["priority"],
                person=sanitize(task["submitted_by"]),
            ),
        ),
        (tr("requests"), _format_request(task)),
        (tr("tells"), describe_recipient(task.get("notify"))),
        (tr("uses"), _format_usage(task.get("use"))),
        (tr("submitted"), _format_submitted(task, now)),
        (
            tr("waits for"),
            ", ".join(
                _format_other_task(p)
                for p in task.get("parents") or ()
                if p["status"] not in (*ENDED, SKIPPED)
            ),
        ),
        (tr("before"), ", ".join(_format_other_task(c) for c in task.get("children") or ())),
        (
            "group",
            tr("{group}, index {index}", group=task["group"], index=task["group_index"])
            if task.get("group")
            else "",
        ),
        (
            tr("sweep"),
            " ".join(f"{k}={_format_parameter(v)}" for k, v in (task.get("sweep") or {}).items()),
        ),
        (
            tr("tags"),
            " ".join(f"{sanitize(k)}={sanitize(v)}" for k, v in (task.get("tags") or {}).items()),
        ),
        (tr("pinned"), tr("excluded from cleanup") if task.get("pinned") else ""),
        (tr("starts"), task.get(tr("starts"), "")),
        (tr("why"), _format_reasons(task)),
        *((tr("left"), text) for text in describe_left(task.get("left") or ())),
    ]
    return [line for label, text in found if text for line in _format_fact(label, text, room)]


def _format_fact(label: str, text: str, room: int | None) -> list[Line]:
    pieces = [text] if room is None else wrap_text(text, max(20, room - 13))
    return [
        [(f"  {pad('' if at else label, 11)}", "dim"), (piece, "")]
        for at, piece in enumerate(pieces)
    ]


def _format_command(task: dict[str, Any]) -> list[tuple[str, str]]:
    launch = task["launch"]
    if "argv" in launch:
        from shlex import join

        return _format_lines(tr("command"), join(launch["argv"]))
    return _format_lines(tr("script"), launch["script"])


def _format_lines(label: str, text: str) -> list[tuple[str, str]]:
    lines = sanitize_lines(text).split("\n")
    more = (
        [tr("and {n:,} more lines", n=len(lines) - MAX_COMMAND_LINES)]
        if len(lines) > MAX_COMMAND_LINES
        else []
    )
    return [
        (label if not at else " ", line) for at, line in enumerate(lines[:MAX_COMMAND_LINES] + more)
    ]


def _format_template(task: dict[str, Any]) -> str:
    if not task.get("template"):
        return ""
    defaults = " ".join(
        f"{sanitize(k)}={_format_parameter(v)}" for k, v in (task.get("parameters") or {}).items()
    )
    return f"{sanitize(task['template'])}   {defaults}".rstrip()


def _format_pool(task: dict[str, Any]) -> str:
    return tr(" (pool {pool})", pool=sanitize(task["pool"])) if task.get("pool") else ""


def _format_parameter(value: Any) -> str:
    if isinstance(value, str):
        return truncate(sanitize(value), 200)
    import json

    return truncate(sanitize(json.dumps(value)), 200)


def _format_request(task: dict[str, Any]) -> str:
    memory = units.format_memory(task["memory"]) if task.get("memory") else tr("none")
    if task.get("oom_memory"):
        memory += tr(" (ran out of {memory})", memory=units.format_memory(task["oom_memory"]))
    limit = units.format_duration_setting(task["timeout"]) if task.get("timeout") else tr("none")
    limit += f" ({task['early_signal']})" if task.get("early_signal") else ""
    tries = (
        tr(
            "retries {n} every {delay}",
            n=task["retries"],
            delay=units.format_duration_setting(task["retry_delay"]),
        )
        if task["retries"]
        else tr("retries 0")
    )
    tries += (
        tr("   on oom {growth}", growth=task["retry_on_oom"]) if task.get("retry_on_oom") else ""
    )
    named = "".join(f"{part}   " for part in list_named(task.get("resources")))
    return tr(
        "cpu {cpu}   memory {memory}   {named}timeout {limit}   {tries}",
        cpu=units.format_number(task["cpu"]),
        memory=memory,
        named=named,
        limit=limit,
        tries=tries,
    )


def _format_usage(use: dict[str, Any] | None) -> str:
    """Return the latest measured usage and its peak."""
    if not use:
        return ""
    many = use["processes"]
    return tr(
        "cpu {cpu}   memory {memory}, at most {most_cpu} and {most_memory}{several}",
        cpu=units.format_cpu(use["cpu"]),
        memory=units.format_memory(use["memory"]),
        most_cpu=units.format_cpu(use["most_cpu"]),
        most_memory=units.format_memory(use["most_memory"]),
        several=tr("   {n:,} processes", n=many) if many > 1 else "",
    )


def _format_submitted(task: dict[str, Any], now: float) -> str:
    text = time_format.format_moment(task["created_at"])
    runs = task["instances"]
    if not runs or not runs[0].get("start_time"):
        return text
    waited = units.format_age(
        time_format.seconds_between(task["created_at"], runs[0]["start_time"], now)
    )
    ran = sum(
        time_format.seconds_between(run.get("start_time"), run.get("end_time"), now) or 0.0
        for run in runs
    )
    return tr_n(
        len(runs),
        "{time}, waited {waited}, ran {ran}",
        "{time}, waited {waited}, ran {ran} in all",
        time=text,
        waited=waited,
        ran=units.format_duration(ran),
    )


def _format_other_task(task: dict[str, Any]) -> str:
    return f"#{task['number']} {sanitize(task['name'])} ({styles.format_status(task['status'])})"


def _format_reasons(task: dict[str, Any]) -> str:
    place, reasons = task.get("place"), list(task["why"])
    if place:
        position = tr(
            "{ordinal} of {total:,}",
            ordinal=units.format_ordinal(place["position"] + 1),
            total=place["total"],
        )
        if not any(position in reason for reason in reasons):
            reasons.append(tr("{position} in its queue", position=position))
    return "; ".join(output.add_home_option(sanitize(reason)) for reason in reasons)


def _format_attempts(runs: list[dict[str, Any]], now: float, room: int | None) -> list[Line]:
    columns, rows = ATTEMPT_COLUMNS, [_format_attempt(run, now) for run in runs]
    if any(run.get("devices") for run in runs):
        columns = [*columns, DEVICES]
        rows = [[*row, format_gpus(run)] for row, run in zip(rows, runs, strict=True)]
    if any(run.get("outer_job") is not None for run in runs):
        columns = [*columns, Column("JOB"), Column("NODE")]
        rows = [[*row, *_format_job(run)] for row, run in zip(rows, runs, strict=True)]
    table = format_table(columns, rows, None if room is None else room - 2)
    return [[("  ", ""), *line] for line in table]


def _format_attempt(run: dict[str, Any], now: float) -> list[Span]:
    started, took, cpu, peak = format_usage(run, now)
    return [
        (str(run["attempt"]), ""),
        styles.format_state(_get_run_status(run), output.is_ascii_only()),
        started,
        took,
        (_format_exit(run), ""),
        cpu,
        peak,
        (units.format_bytes(run.get("log_bytes")), ""),
    ]


def _format_job(run: dict[str, Any]) -> list[Span]:
    """Return job and node of a run in Slurm."""
    return [(sanitize(run.get(name) or units.MISSING), "") for name in ("outer_job", "node")]


def _format_exit(run: dict[str, Any]) -> str:
    if run.get("signal") is not None:
        return tr("signal {signal}", signal=run["signal"])
    return units.MISSING if run.get("exit_code") is None else str(run["exit_code"])


def get_last_lines(task: dict[str, Any]) -> list[str]:
    """Return the sanitized end of the latest log."""
    found = [
        "".join(text for text, _ in parse_sgr_line(line)) for line in task.get("last_lines") or ()
    ]
    return [line for line in found if line.strip()]


def _list_next_commands(task: dict[str, Any], room: int | None) -> list[str]:
    """Return the next commands, in one line if they fit."""
    number = task["number"]
    if task["status"] in ENDED:
        verbs = ("logs", "retry") if task["instances"] else ("retry",)
    else:
        verbs = ("logs", "cancel") if task["instances"] else ("why", "cancel")
    program = output.get_program()
    commands = [
        *(f"{program} {verb} {number}" for verb in verbs),
        f"{program} show {number} --json",
    ]
    line = f"  {'      '.join(commands)}"
    return (
        [line]
        if room is None or measure_width(line) <= room
        else [f"  {command}" for command in commands]
    )


def _add_arguments(parser: Parser) -> None:
    add_task_ids(parser)
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


COMMANDS = {
    "show": Command(
        "show one task in detail",
        show_task,
        _add_arguments,
        "  taskdeck show 42\n  taskdeck show g12\n  taskdeck show 42 --json",
        usage="[OPTION …] ID",
    )
}
