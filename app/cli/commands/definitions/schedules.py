"""`taskdeck schedule`: submit tasks at fixed times, as cron does."""

from __future__ import annotations

import os
import re
import shlex

from app.cli import definition_group, output, styles, time_format
from app.cli.commands.tasks.submit import check_argv
from app.cli.commands.tasks.task_actions import report_results
from app.cli.parser import (
    CPU,
    DURATION,
    PRIORITY,
    RETRIES,
    SIZE,
    TIMEOUT,
    Args,
    Command,
    OneOf,
    Parser,
    add_json_options,
    make_type,
    parse_new_name,
    parse_pair,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.submission.context import collect_context, collect_context_changes
from app.cli.submission.options import parse_oom, parse_parameter, parse_signal
from app.cli.submission.resources import add_resource_options, collect_resources
from app.cli.table_layout import Column, Span
from app.core.schedules.task_settings import list_settings
from app.core.text import units
from app.core.text.joining import end_sentence, join_and
from app.core.text.sanitize import sanitize, truncate
from app.core.text.status_glyphs import FIRES
from app.errors import Problem, Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("SCHEDULE", least=8, first=True),
    Column("STATE"),
    Column("NEXT"),
    Column("FIRES", least=12),
    Column("LAST"),
    Column("RUNS", least=8),
]
FIELDS = (
    "name", "state", "kind", "expression", "zone", "next_fire", "overlap", "missed", "task",
    "created_at", "updated_at", "due_at",
)  # fmt: skip
KINDS = ("cron", "every", "at", "rrule", "at_boot")
_RULES = ("timezone", "overlap", "missed", "missed_within", "jitter", "until", "exclude")
_SETTINGS = (
    "name", "queue", "priority", "timeout", "cpu", "memory", "retries", "retry_delay", "grace",
    "log_limit", "signal", "retry_on_oom", "notify", "notify_on",
)  # fmt: skip
STATE_STYLES = {"paused": "warn", "ended": "dim"}
SHOWN_FIRES = 5
COUNT = make_type(units.parse_int, 1, 10_000)
UNCHANGED = "Nothing was changed."


def format_schedule_row(schedule: dict[str, Any]) -> list[Span]:
    """Return one line of `schedule ls`."""
    state = schedule["state"]
    end = _format_pause_end(schedule, schedule["paused_until"]) if state == "paused" else ""
    return [
        (sanitize(schedule["name"]), ""),
        (f"{tr(state)}{end}", STATE_STYLES.get(state, "")),
        (_format_next(schedule), ""),
        (sanitize(schedule["words"]), ""),
        (_format_strip(schedule["fires"]), ""),
        (sanitize(format_work(schedule["task"])), ""),
    ]


def _format_next(schedule: dict[str, Any]) -> str:
    if schedule["state"] == "paused" and not schedule["paused_until"]:
        return units.MISSING
    start = _get_start(schedule)
    return time_format.format_clock(start, _has_seconds(schedule), schedule["zone"])


def _has_seconds(schedule: dict[str, Any]) -> bool:
    """Return True for an interval below a minute, whose times need seconds."""
    return schedule["kind"] == "every" and float(schedule["expression"]) < 60


def _get_start(schedule: dict[str, Any]) -> str | None:
    """Return the next fire time with the jitter: when the task is submitted."""
    return schedule["due_at"] if schedule["next_fire"] else None


def _format_strip(fires: list[dict[str, Any]]) -> str:
    """Return the latest outcomes, oldest first: `✓ ✓ ✗ ●`."""
    return " ".join(_get_sign(fire) for fire in reversed(fires[:SHOWN_FIRES]))


def _get_sign(fire: dict[str, Any]) -> str:
    if fire["outcome"] in FIRES:
        return FIRES[fire["outcome"]][0]
    return styles.format_state(fire["status"] or "unknown")[0].partition(" ")[0]


def format_work(task: dict[str, Any]) -> str:
    """Return what a schedule runs in one line."""
    if "argv" in task:
        return truncate(shlex.join(task["argv"]), 200)
    if "script" in task:
        return truncate(task["script"], 200)
    return tr("template {template}", template=task["template"])


def format_schedule_facts(schedule: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `schedule show`."""
    task = schedule["task"]
    return [
        (tr("description"), schedule["description"] or ""),
        (tr("state"), _format_state(schedule)),
        (
            tr("fires"),
            tr("{words}, time zone {zone}", words=schedule["words"], zone=schedule["zone"]),
        ),
        (tr("next"), _format_future(schedule)),
        (tr("runs"), format_work(task)),
        (tr("parameters"), _format_parameters(task)),
        (tr("task"), ", ".join(list_settings(task))),
        (tr("directory"), schedule["cwd"] or ""),
        (tr("rules"), _format_rules(schedule)),
        (tr("usual run"), units.format_duration(schedule["run_seconds"])),
        (
            tr("latest"),
            "\n".join(_format_fire(fire, schedule["zone"]) for fire in schedule["fires"]),
        ),
    ]


def _format_future(schedule: dict[str, Any]) -> str:
    """Return the next fire time in the zone of the schedule, with the time until then."""
    at = _get_start(schedule)
    seconds = _has_seconds(schedule)
    return time_format.format_future(at, schedule["zone"], seconds) if at else ""


def _format_state(schedule: dict[str, Any]) -> str:
    if schedule["state"] != "paused":
        return tr(schedule["state"])
    by = tr(" by {person}", person=schedule["status_by"]) if schedule["status_by"] else ""
    return tr("paused{by}{end}", by=by, end=_format_pause_end(schedule, schedule["paused_until"]))


def _format_parameters(task: dict[str, Any]) -> str:
    given = task.get("parameters") or {}
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _format_rules(schedule: dict[str, Any]) -> str:
    within, jitter = schedule["missed_within"], schedule["jitter"]
    end = time_format.format_clock(schedule["until"], zone=schedule["zone"])
    rules = [
        tr("overlap {overlap}", overlap=schedule["overlap"]),
        tr("missed {missed}", missed=schedule["missed"])
        + (tr(" within {time}", time=units.format_duration_setting(within)) if within else ""),
        tr(
            "jitter {time}{delay}",
            time=units.format_duration_setting(jitter),
            delay=_format_delay(schedule),
        )
        if jitter
        else "",
        tr("until {end}", end=end) if schedule["until"] else "",
        tr("not on {exclude}", exclude=", ".join(schedule["exclude"]))
        if schedule["exclude"]
        else "",
    ]
    return ", ".join(filter(None, rules))


def _format_delay(schedule: dict[str, Any]) -> str:
    """Return the jitter of this schedule: ` (here 2m07s)`."""
    if not schedule["next_fire"]:
        return ""
    delay = time_format.seconds_between(schedule["next_fire"], schedule["due_at"])
    return tr(" (here {time})", time=units.format_duration_setting(delay))


def _format_fire(fire: dict[str, Any], zone: str) -> str:
    at = time_format.format_moment(fire["fire_time"], zone)
    if fire["outcome"] != "submitted":
        return f"{at}  {fire['outcome']}: {fire['reason'] or ''}".rstrip(": ")
    if fire["number"] is None:
        return tr("{at}  submitted; the task is gone", at=at)
    took = time_format.seconds_between(fire["started_at"], fire["ended_at"])
    ran = (
        tr(" in {took}", took=units.format_duration(took))
        if fire["ended_at"] and took is not None
        else ""
    )
    return f"{at}  #{fire['number']} {styles.format_status(fire['status'])}{ran}"


def _suggest_quotes(words: list[str], usage: Usage) -> Usage:
    """Return the problem of words that do not parse: often an expression without quotes."""
    at = words.index("--cron") + 1 if "--cron" in words else len(words)
    is_split = all(word[:1] != "-" and " " not in word for word in words[at : at + 2])
    if at + 1 < len(words) and is_split:
        return Usage(
            "--cron needs quotes around the expression: '0 2 * * *'. {unchanged}",
            unchanged=tr(UNCHANGED),
        )
    return usage


def create_schedule(context: CommandContext, args: Args) -> int:
    """Create a schedule."""
    name = require_new_name(args, "schedule")
    values = _collect_keys(args)
    if not any(values.get(kind) for kind in KINDS):
        raise Usage(
            "when? Give --cron, --every, --at, --rrule or --at-boot. {unchanged}",
            "See: taskdeck schedule create --help",
            unchanged=tr(UNCHANGED),
        )
    if not {"argv", "script", "template"} & values.keys():
        raise Usage(
            "what should it run? Give -- COMMAND, -c SCRIPT or --template. {unchanged}",
            unchanged=tr(UNCHANGED),
        )
    if "timezone" not in values:
        from app.core.schedules.zones import get_local_zone_name

        values["timezone"] = get_local_zone_name()
    answer = _call(
        context, "schedule.create", name=name, **collect_context(args, UNCHANGED), **values
    )
    return _print_change(args, answer, tr("created"))


def _call(context: CommandContext, verb: str, **values: Any) -> Any:
    """Call a verb; a problem names options as they are typed, in place of keys of a definition."""
    try:
        return context.call(verb, **values)
    except Problem as problem:
        problem.message = _KEY.sub(_format_option, problem.message)
        raise


_KEY = re.compile(
    r"(?:^|(?<=; ))(timezone|every|until|jitter|missed_within|at)(?= must be | ?必须)"
)
"""Keys of a definition at the start of a problem."""


def _format_option(found: re.Match[str]) -> str:
    return "--tz" if found[1] == "timezone" else f"--{found[1].replace('_', '-')}"


def remove(context: CommandContext, args: Args) -> int:
    """Remove schedules."""
    if len(args.names) < 2:
        name = require_one_name(args, "schedule")
        answer = context.call("schedule.rm", name=name)
        text = tr("schedule {name} removed", name=sanitize(name))
        return definition_group.print_result(args, answer, text)
    return report_results(
        args,
        context.call("schedule.rm", names=args.names),
        lambda row: tr("schedule {name} removed", name=sanitize(row["name"])),
    )


def set_schedule(context: CommandContext, args: Args) -> int:
    """Change a schedule."""
    name = require_one_name(args, "schedule")
    values = _collect_keys(args) | collect_context_changes(args, UNCHANGED)
    answer = _call(context, "schedule.set", name=name, **values)
    return _print_change(args, answer, tr("changed"))


def _print_change(args: Args, answer: dict[str, Any], participle: str) -> int:
    following = _format_future(answer)
    return definition_group.print_result(
        args,
        answer,
        tr(
            "schedule {name} {participle}: {words} ({zone}){next}",
            name=sanitize(answer["name"]),
            participle=participle,
            words=sanitize(answer["words"]),
            zone=sanitize(answer["zone"]),
            next=tr("; next {time}", time=following) if following else "",
        ),
    )


def _collect_keys(args: Args) -> dict[str, Any]:
    """Return the keys of the definition that were given. Raise Usage."""
    kinds = [kind for kind in KINDS if getattr(args, kind)]
    if len(kinds) > 1:
        words = join_and(f"--{kind.replace('_', '-')}" for kind in kinds)
        raise Usage("give only one of {words}. {unchanged}", words=words, unchanged=tr(UNCHANGED))
    if sum(bool(work) for work in (args.command, args.script, args.template)) > 1:
        raise Usage(
            "give only one of -- COMMAND, -c and --template. {unchanged}", unchanged=tr(UNCHANGED)
        )
    values = definition_group.collect_options(args, *_RULES, *_SETTINGS, "description", "script")
    values |= collect_resources(args)
    values |= {kind: getattr(args, kind) for kind in kinds}
    if values.get("script") == "-":
        values["script"] = os.fsdecode(output.read_stdin("a script"))
    if "exclude" in values:
        values["exclude"] = [calendar for calendar in args.exclude if calendar]
    if args.template:
        values["template"] = args.template
    if args.command is not None:
        values["argv"] = check_argv(args.command, UNCHANGED, "schedule create NAME …")
    if args.tags:
        values["tags"] = dict(filter(None, args.tags))
    texts = [[key, value] for key, value, as_json in args.parameters or () if not as_json]
    if texts:
        values["parameter_texts"] = texts
    if given := {key: value for key, value, as_json in args.parameters or () if as_json}:
        values["parameters"] = given
    return values


def pause_schedule(context: CommandContext, args: Args) -> int:
    """Pause a schedule."""
    name = require_one_name(args, "schedule")
    more = {"until": args.until} if args.until is not None else {}
    answer = context.call("schedule.pause", name=name, **more)
    text = tr("schedule {name} {result}", name=sanitize(name), result=_describe_new_pause(answer))
    return definition_group.print_result(args, answer, text)


def _describe_new_pause(answer: dict[str, Any]) -> str:
    """Return the pause in words, beside the one before: `now without an end (was: until …)`."""
    before = answer.get("before") or {}
    end = _format_pause_end(answer, answer["paused_until"])
    if before.get("status") != "paused":
        return tr("paused{end}", end=end)
    was = _format_pause_end(answer, before.get("paused_until"))
    if was == end:
        return tr("is paused already{end}", end=end)
    return tr(
        "is paused, now{now} (was:{before})",
        now=end or tr(" without an end"),
        before=was or tr(" without an end"),
    )


def _format_pause_end(schedule: dict[str, Any], until: str | None) -> str:
    return (
        tr(" until {time}", time=time_format.format_clock(until, zone=schedule["zone"]))
        if until
        else ""
    )


def resume_schedule(context: CommandContext, args: Args) -> int:
    """Resume a schedule."""
    name = require_one_name(args, "schedule")
    answer = context.call("schedule.resume", name=name)
    was_active = answer["before"]["status"] == "active"
    return _print_change(args, answer, tr("is active already") if was_active else tr("resumed"))


def run_schedule(context: CommandContext, args: Args) -> int:
    """Submit the task of a schedule now, and print its number."""
    answer = context.call("schedule.run", name=require_one_name(args, "schedule"))
    return definition_group.print_result(args, answer, str(answer["number"]))


def skip_next(context: CommandContext, args: Args) -> int:
    """Leave out the next fire time of a schedule."""
    name = require_one_name(args, "schedule")
    answer = context.call("schedule.skip_next", name=name)
    skipped = time_format.format_clock(answer["skipped"], zone=answer["zone"])
    return _print_change(args, answer, tr("skips {skipped}", skipped=skipped))


def backfill(context: CommandContext, args: Args) -> int:
    """Submit a task for each past fire time of a range."""
    name = require_one_name(args, "schedule")
    if args.since is None or args.until is None:
        raise Usage("backfill needs --from and --to. Nothing was submitted.")
    more = {"dry_run": True} if args.dry_run else {}
    answer = context.call(
        "schedule.backfill", name=name, since=args.since, until=args.until, **more
    )
    if args.json or args.jsonl:
        output.print_json(answer, args.jsonl)
        return 0
    for at in answer["times"] if args.dry_run else ():
        output.print_line(time_format.format_moment(at, answer["zone"]))
    for number in answer["numbers"]:
        output.print_line(str(number))
    if answer["numbers"]:
        output.print_note(_describe_span(answer["times"], answer["zone"]))
    if not answer["times"]:
        output.print_message(
            tr("taskdeck: every fire time of this range was submitted already.")
            if answer["submitted"]
            else tr("taskdeck: there is no fire time in this range. Nothing was submitted.")
        )
    return 0


def _describe_span(times: list[str], zone: str) -> str:
    first, last = (time_format.format_moment(at, zone) for at in (times[0], times[-1]))
    count = len(times)
    return tr_n(
        count, "1 fire time: {first}", "{n:,} fire times: {first} to {last}", first=first, last=last
    )


def preview(context: CommandContext, args: Args) -> int:
    """Print the next fire times of an expression; create nothing."""
    from datetime import UTC, datetime
    from itertools import islice

    from app.core.schedules import recurrence
    from app.core.schedules.zones import get_local_zone_name, get_zone

    kind, text = _parse_preview(args)
    zone = args.timezone or get_local_zone_name()
    now = after = datetime.now(UTC)
    word = "--tz"
    try:
        where = get_zone(zone)
        if args.since is not None:
            word = "--from"
            after = units.parse_time(args.since, now, where)
        word = tr("the expression") if kind == "cron" else f"--{kind}"
        found = recurrence.parse_recurrence(kind, text, zone, after)
    except ValueError as error:
        raise Usage(end_sentence(f"{word} {error}")) from None
    times = [at.astimezone(where) for at in islice(recurrence.iterate(found, after), args.count)]
    if args.json or args.jsonl:
        output.print_json([at.isoformat() for at in times], args.jsonl)
        return 0
    output.print_line(f"{recurrence.describe_recurrence(found)} ({zone})")
    for at in times:
        output.print_line(f"{time_format.name_day(at)} {at.isoformat(sep=' ')}")
    return 0


def _parse_preview(args: Args) -> tuple[str, str]:
    """Return kind and expression: five words or one text are a cron expression."""
    given = [
        (kind, getattr(args, kind)) for kind in ("every", "at", "rrule") if getattr(args, kind)
    ]
    if args.names:
        given.append(("cron", " ".join(args.names)))
    if len(given) != 1:
        raise Usage(
            "preview needs one expression, such as '0 2 * * *', or --every, --at or --rrule."
        )
    return given[0]


def _add_kinds(add: Callable[..., None]) -> None:
    add("--cron", metavar="EXPR", help="five fields as in crontab, or @daily and the like")
    add("--every", metavar="TIME", help="interval of at least 1s: 10m, 2h")
    add("--at", metavar="TIME", help="once, at an ISO time, 23:30, or 2h (from now)")
    add("--rrule", metavar="RULE", help="RFC 5545 rule: FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=8")


def _add_keys(parser: Parser, add: Callable[..., None]) -> None:
    definition_group.add_name(parser)
    _add_kinds(add)
    add("--at-boot", action="store_true", help="once after each boot of this machine")
    add("--tz", dest="timezone", metavar="ZONE", help="time zone (default: this machine's)")
    add(
        "--overlap",
        type=OneOf("skip", "queue"),
        metavar="RULE",
        help="if the last run has not ended: skip (default), or queue behind it",
    )
    add(
        "--missed",
        type=OneOf("run-once", "run-all", "skip"),
        metavar="RULE",
        help="after downtime: run-once (default), run-all (at most 100) or skip",
    )
    add(
        "--missed-within", type=TIMEOUT, metavar="TIME", help="run missed times of the last 6h only"
    )
    add("--jitter", type=DURATION, metavar="TIME", help="delay by up to this time, always the same")
    add("--until", metavar="TIME", help="last moment at which it fires")
    add(
        "--exclude",
        action="append",
        metavar="CALENDAR",
        help="no fire on the dates of this calendar; repeatable",
    )
    add("--description", metavar="TEXT", help="text for people")
    _add_task_options(add)


def _add_task_options(add: Callable[..., None]) -> None:
    """Add the options of the tasks that a schedule submits."""
    add("-c", dest="script", metavar="SCRIPT", help="shell script to run; - reads it from stdin")
    add("--template", type=require_text, metavar="TEMPLATE", help="template to run")
    add(
        "-p",
        dest="parameters",
        action="append",
        type=parse_parameter,
        metavar="K=V",
        help="template parameter; K:=JSON for other types",
    )
    add("-n", "--name", type=parse_new_name, help="name of the tasks (default: the schedule's)")
    add("-q", "--queue", type=require_text, help="queue of the tasks")
    add("-P", "--priority", type=PRIORITY, metavar="N", help="higher first")
    add("-t", "--timeout", type=TIMEOUT, metavar="TIME", help="end each task after 30s, 5m, 2h")
    add("--cpu", type=CPU, metavar="CORES", help="cores to reserve")
    add("--memory", type=SIZE, metavar="SIZE", help="memory to reserve: 512M, 4G")
    add_resource_options(add)
    add("--retries", type=RETRIES, metavar="N", help="further attempts after a failure")
    add("--retry-delay", type=DURATION, metavar="TIME", help="time between attempts")
    add("--grace", type=DURATION, metavar="TIME", help="time between TERM and KILL")
    add("--log-limit", type=SIZE, metavar="SIZE", help="end a task at this much output")
    add(
        "--signal",
        type=make_type(parse_signal),
        metavar="SIG@TIME",
        help="signal before the timeout: USR1@5m",
    )
    add(
        "--retry-on-oom",
        type=make_type(parse_oom),
        metavar="FACTOR[,max=SIZE]",
        help="retry once with more memory after a kill for memory: 1.5,max=64G",
    )
    add("--notify", type=require_text, metavar="CHANNEL", help="tell a channel when a task ends")
    add(
        "--notify-on",
        type=OneOf("failed", "ended", "never"),
        metavar="WORD",
        help="failed, ended (default), or never: not even the default channel",
    )
    add(
        "--tag",
        dest="tags",
        action="append",
        type=parse_pair,
        metavar="K=V",
        help="tag of the tasks; repeatable",
    )


def _add_create_arguments(parser: Parser) -> None:
    _add_keys(parser, parser.add_option)
    _add_context(parser, "variables to keep: all, none, or a list")


def _add_set_arguments(parser: Parser) -> None:
    def add(*names: str, **how: Any) -> None:
        if "type" in how and "-p" not in names:
            how["type"] = _accept_empty(how["type"])
        parser.add_option(*names, **how)

    _add_keys(parser, add)
    _add_context(parser, "take the variables of this shell instead: all, none, or a list")


def _add_context(parser: Parser, keep_help: str) -> None:
    add = parser.add_option
    add("-C", "--cwd", type=require_text, metavar="DIR", help="working directory")
    add("--env", action="append", type=parse_pair, metavar="N=V", help="set a variable; repeatable")
    add("--keep-env", metavar="WHICH", help=keep_help)


def _accept_empty(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser that leaves an empty text, which resets an option, as it is."""
    return lambda text: parse(text) if text else ""


def _add_pause_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option("--until", metavar="TIME", help="resume by itself at this time")


def _add_backfill_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option("--from", dest="since", metavar="TIME", help="first fire time")
    parser.add_option(
        "--to", dest="until", metavar="TIME", help="last fire time; a date means all of its day"
    )
    parser.add_option("--dry-run", action="store_true", help="print the fire times only")


def _add_preview_arguments(parser: Parser) -> None:
    parser.add_option("names", nargs="*", metavar="EXPR", help="cron expression, in quotes")
    add_json_options(parser)
    for name, what in (
        ("--every", tr_noop("interval instead of a cron expression")),
        ("--at", tr_noop("one time instead of a cron expression")),
        ("--rrule", tr_noop("RFC 5545 rule instead of a cron expression")),
    ):  # fmt: skip
        parser.add_option(name, metavar="EXPR", help=what)
    parser.add_option("--tz", dest="timezone", metavar="ZONE", help="time zone")
    parser.add_option(
        "--from", dest="since", metavar="TIME", help="print later times only (default: now)"
    )
    parser.add_option(
        "--count", type=COUNT, default=5, metavar="N", help="number of times (default: 5)"
    )


EXAMPLES = """\
  taskdeck schedule create nightly-etl --cron '0 2 * * *' --tz Europe/Berlin -- ./etl.sh
  taskdeck schedule create poll --every 10m --overlap skip --timeout 5m -c 'curl -fsS "$URL"'
  taskdeck schedule create report --rrule 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=8' --template report
  taskdeck schedule create warm-up --at-boot -- ./warm-cache"""

SET_EXAMPLES = """\
  taskdeck schedule set nightly-etl --cron '30 2 * * *' --cwd /srv/etl --env MODE=full
  taskdeck schedule set nightly-etl --timeout ''     # an empty value resets an option"""

COMMANDS = {
    "ls": definition_group.make_list_command("schedule", COLUMNS, format_schedule_row, FIELDS),
    "show": definition_group.make_show_command("schedule", format_schedule_facts),
    "create": Command(
        "create a schedule",
        create_schedule,
        _add_create_arguments,
        EXAMPLES,
        takes_command=True,
        usage="NAME [OPTION …] (-- COMMAND ARG … | -c SCRIPT | --template TEMPLATE)",
        better=_suggest_quotes,
    ),
    "set": Command(
        "change a schedule",
        set_schedule,
        _add_set_arguments,
        SET_EXAMPLES,
        takes_command=True,
        usage="NAME [OPTION …] [-- COMMAND ARG …]",
        better=_suggest_quotes,
    ),
    "pause": Command("pause a schedule", pause_schedule, _add_pause_arguments),
    "resume": Command("resume a paused schedule", resume_schedule, definition_group.add_name),
    "run": Command("submit the task of a schedule now", run_schedule, definition_group.add_name),
    "skip-next": Command("leave out the next fire time", skip_next, definition_group.add_name),
    "backfill": Command(
        "submit tasks for past fire times",
        backfill,
        _add_backfill_arguments,
        "  taskdeck schedule backfill nightly-etl --from 2026-11-01 --to 2026-11-07",
    ),
    "preview": Command(
        "print the fire times of an expression",
        preview,
        _add_preview_arguments,
        "  taskdeck schedule preview '*/15 9-17 * * MON-FRI' --tz Europe/Berlin --count 3",
    ),
    "rm": Command(
        "remove schedules",
        remove,
        definition_group.add_name,
        "  taskdeck schedule rm etl nightly-sync",
        usage="[OPTION …] NAME …",
    ),
}
