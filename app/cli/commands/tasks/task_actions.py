"""Commands that change tasks; ids or filters select the tasks.

Filters need a confirmation on a terminal and --yes elsewhere.
"""

from __future__ import annotations

import os
from functools import partial

from app.cli import output, selection, styles
from app.cli.parser import (  # fmt: skip
    CPU,
    DURATION,
    PRIORITY,
    RETRIES,
    SIZE,
    Args,
    Command,
    OneOf,
    Parser,
    add_json_options,
    add_selectors,
    add_task_ids,
    collect_filters,
    collect_selection,
    explain_wildcards,
    make_type,
    parse_new_name,
    parse_pair,
    require_text,
)
from app.cli.submission.options import parse_at, parse_oom
from app.cli.submission.options import parse_signal as parse_early_signal
from app.cli.submission.resources import add_resource_options, collect_resources
from app.core.notifications import notices
from app.core.scheduling.resources import format_named
from app.core.task_groups import parse_group
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

MAX_LISTED = 20


_RESULTS = {"set": tr_noop("changed"), "front": tr_noop("moved to the front")}
"""Results of verbs that leave the state unchanged."""


def _run_task_verb(
    context: CommandContext,
    args: Args,
    verb: str,
    more: Callable[[Args], dict[str, Any]] | None = None,
    what: str = "",
    describe: Callable[[dict[str, Any]], str] | None = None,
) -> int:
    """Run `verb` on the chosen tasks, print each result and return the exit code.

    `describe` formats the result of one task; by default it is the state.
    """
    which, confirmed_count = _choose_tasks(context, args, verb, what or verb)
    if not which:
        return 0
    in_lines = ("ids" in which and not has_groups(args.ids)) or args.json or args.jsonl
    brief = {"brief": True} if verb == "cancel" and not in_lines else {}
    done = context.call(verb, **which, **brief, **(more(args) if more else {}))
    state = _format_cancel_result if verb == "cancel" and not args.signal else _format_state
    describe = describe or state
    if confirmed_count is not None:
        selection.print_skipped(done, confirmed_count)
    if in_lines:
        return report_results(
            args, done, lambda row: f"#{row['number']} {sanitize(row['name'])}: {describe(row)}"
        )
    selection.print_summary(done, lambda row: _summarize(verb, row) or describe(row))
    if "select" in which and confirmed_count is None and not any(done.values()):
        selection.print_no_match(verb, which["select"])
    return _get_exit_code(done)


def has_groups(idents: list[str]) -> bool:
    """Return True if one of the words names a group."""
    return any(parse_group(ident) is not None for ident in idents)


def _summarize(verb: str, row: dict[str, Any]) -> str:
    """Return the result that tasks of a selection share; "" if it is described for each."""
    return "" if row.get("changes", {}).keys() == {"pinned"} else tr(_RESULTS.get(verb, ""))


def report_results(
    args: Args, done: dict[str, Any], format_row: Callable[[dict[str, Any]], str]
) -> int:
    """Print results and refusals, one line each or as JSON, and return the exit code."""
    if args.json or args.jsonl:
        output.print_json(done, args.jsonl)
    else:
        _print_results(done, format_row)
    return _get_exit_code(done)


def _format_state(row: dict[str, Any]) -> str:
    return styles.format_status(row.get("run") or row["status"])


def _format_cancel_result(row: dict[str, Any]) -> str:
    grace = (
        tr(" (TERM sent, KILL after {grace})", grace=units.format_duration_setting(row["grace"]))
        if row.get("run") == "stopping"
        else ""
    )
    return _format_state(row) + grace


def _choose_tasks(
    context: CommandContext, args: Args, verb: str, what: str
) -> tuple[dict[str, Any], int | None]:
    """Return the `ids` or `select` argument and the number of tasks a person confirmed.

    The dict is empty when nothing is left to do. Raise Usage without ids and filters, which never
    means all tasks.
    """
    ids, chosen = collect_selection(args, verb, args.ids)
    if ids:
        return {"ids": ids}, None
    if not chosen:
        queue = "--in-queue" if verb == "set" else "--queue"  # `set` uses --queue for the new queue
        filters = tr(", or filters such as {queue} or --status", queue=queue)
        raise Usage(
            "{verb} which task? Give a number{filters}.",
            "List: taskdeck ls",
            verb=verb,
            filters=filters,
        )
    if explanation := explain_wildcards(chosen):
        output.print_note(explanation)
    chosen = selection.add_default_states(verb, chosen, args)
    if agreed := selection.confirm(context, args, verb, what, chosen):
        return {"select": agreed[0]}, agreed[1]
    return {}, None


def _print_results(done: dict[str, Any], format_row: Callable[[dict[str, Any]], str]) -> None:
    rows = done["done"]
    for row in rows[:MAX_LISTED]:
        output.print_line(format_row(row))
    if len(rows) > MAX_LISTED:
        output.print_line(tr("and {n:,} more", n=len(rows) - MAX_LISTED))
    if not (rows or done.get("notes") or done.get("refused")):
        output.print_note(tr("nothing to do."))
    for note in done.get("notes", ()):
        output.print_note(note)
    for refusal in done.get("refused", ()):
        output.print_note(refusal["message"])


def _get_exit_code(done: dict[str, Any]) -> int:
    """Return 0 if nothing was refused.

    Return the common code of the refusals if nothing was done, else 1.
    """
    codes = {refusal["exit_code"] for refusal in done.get("refused", ())}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 and not done["done"] else 1


def cancel(context: CommandContext, args: Args) -> int:
    """Cancel tasks, or send them a signal."""
    number = parse_signal(args.signal)
    if args.dry_run:
        from app.cli import cancel_preview

        return cancel_preview.print_preview(context, args)
    ids, _ = collect_selection(args, "cancel", args.ids)
    if number is None and ids and not args.yes:
        from app.cli import cancel_preview

        cancel_preview.confirm_dependents(context, ids)
    what = "" if number is None else tr("send signal {signal} to", signal=args.signal)
    return _run_task_verb(
        context, args, "cancel", lambda a: {"signal": number, "grace": a.grace}, what
    )


def parse_signal(text: str | None) -> int | None:
    """Return the number of `KILL`, `SIGKILL` or `9`. Raise Usage."""
    if text is None:
        return None
    from signal import SIGRTMAX, Signals

    if text.isdigit() and len(text) < 4 and 0 < int(text) <= SIGRTMAX:
        return int(text)
    word = "SIG" + text.upper().removeprefix("SIG")
    if word in Signals.__members__:
        return int(Signals[word])
    from app.core.text.sanitize import find_nearest

    meant = find_nearest(word, Signals.__members__)
    near = (
        tr("Nearest: {meant}", meant=meant.removeprefix("SIG"))
        if meant
        else tr("Examples: TERM, INT, HUP, KILL, USR1")
    )
    said = tr(
        'there is no signal "{signal}". Nothing was sent.', signal=truncate(sanitize(text), 40)
    )
    raise Usage(said, near)


def set_fields(context: CommandContext, args: Args) -> int:
    """Change settings of tasks."""
    if args.right_size:
        return _set_right_sizes(context, args)
    fields = _collect_values(args) | _collect_work(args) | collect_resources(args)
    most = fields.pop("max_running", None)
    if most is not None:
        return _set_groups(context, args, fields, most)
    if not fields:
        raise Usage(
            "set what? Give an option: --priority 5, --queue gpu, --memory 11G, …",
            "See: taskdeck set --help",
        )
    what = ", ".join(
        f"{key.replace('_', '-')} {_format_value(key, value)}" for key, value in fields.items()
    )
    return _run_task_verb(
        context,
        args,
        "set",
        lambda _: {"fields": fields},
        tr("set {what} on", what=what),
        _format_changes,
    )


def _set_groups(context: CommandContext, args: Args, fields: dict[str, Any], most: Any) -> int:
    """Set how many tasks of groups may run at once."""
    numbers = [parse_group(ident) for ident in args.ids]
    if not numbers or None in numbers or fields or collect_filters(args):
        raise Usage(
            "--max-running goes with groups, and with no other option. Nothing was changed.",
            "For example: taskdeck set g12 --max-running 4",
        )
    found = [context.call("group.set", id=ident, max_running=most) for ident in args.ids]
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
        return 0
    for group in found:
        was, now = (group[key] or tr("any") for key in ("was", "max_running"))
        name = f"{group['group']} {sanitize(group['name'])}"
        output.print_line(tr("{group}: at once {was} → {now}", group=name, was=was, now=now))
    return 0


def _set_right_sizes(context: CommandContext, args: Args) -> int:
    """Set the requests of waiting tasks by what similar runs used. Raise Usage."""
    from app.cli.right_size import set_right_sizes

    if any(name.startswith("to_") and value is not None for name, value in vars(args).items()):
        raise Usage("--right-size takes no other settings. Nothing was changed.")

    def report(args: Args, done: dict[str, Any]) -> int:
        return report_results(
            args,
            done,
            lambda row: f"#{row['number']} {sanitize(row['name'])}: {_format_changes(row)}",
        )

    return set_right_sizes(context, args, report)


def _collect_work(args: Args) -> dict[str, Any]:
    """Return what the tasks are to run: command, directory and variables. Raise Usage."""
    unchanged = tr("Nothing was changed.")
    if args.command is not None and args.script is not None:
        raise Usage("give only one of -- COMMAND and -c. {unchanged}", unchanged=unchanged)
    found: dict[str, Any] = {}
    if args.command is not None:
        from app.cli.commands.tasks.submit import check_argv

        found["argv"] = check_argv(args.command, unchanged, "set ID")
    if args.script is not None:
        found["script"] = (
            os.fsdecode(output.read_stdin("a script")) if args.script == "-" else args.script
        )
    if args.cwd is not None:
        from app.cli.submission.context import resolve_directory

        found["cwd"] = resolve_directory(args.cwd, unchanged)
    return found | ({"env": dict(args.env)} if args.env else {})


def _format_changes(row: dict[str, Any]) -> str:
    """Return the changed settings of a task: `priority 0 → 10, timeout none → 5m`."""
    changes = row.get("changes", {})
    texts = [
        _format_change(name, *pair)
        for name, pair in changes.items()
        if name not in ("status", "run", "retry_at")
    ]
    return ", ".join(texts) or tr("unchanged")


def _format_change(name: str, before: Any, after: Any) -> str:
    if name == "pinned":
        return tr("pinned") if after else tr("no longer pinned")
    if name == "not_before":
        from app.cli import time_format

        if not after:
            return tr("no start time")
        return tr("not before {time}", time=time_format.format_future(after))
    if name == "env":
        names = " ".join(sanitize(word) for word in {**(before or {}), **(after or {})})
        return tr("variables {names}", names=names)
    if name == "launch":
        from app.core.text import diff

        name, before, after = "command", diff.format_command(before), diff.format_command(after)
    if name == "early_signal":
        name = "signal"
    if name == "notify":
        return tr(
            "tells {before} → {after}",
            before=notices.format_notice(before),
            after=notices.format_notice(after),
        )
    old, new = (_format_value(name, value) for value in (before, after))
    return f"{name.replace('_', '-')} {old} → {new}"


_REMOVABLE = ("to_timeout", "to_signal", "to_retry_on_oom")
NOW = tr_noop("now")
"""Value of --at that removes the start time."""
NONE = "none"
"""Value that removes a timeout, or the signal before it."""


def _parse_at(text: str) -> str:
    return NOW if text.strip().lower() == NOW else parse_at(text)


def _parse_timeout(text: str) -> float | str:
    return NONE if text.strip().lower() == NONE else units.parse_positive_duration(text)


def _parse_oom(text: str) -> str:
    return NONE if text.strip().lower() == NONE else parse_oom(text)


def _parse_signal(text: str) -> str:
    return NONE if text.strip().lower() == NONE else parse_early_signal(text)


def _format_start(when: str) -> str:
    """Return the time as understood, or an empty string if there is nothing to wait for."""
    from app.cli import time_format

    return "" if when == NOW else time_format.format_future(when)


def _format_value(key: str, value: Any) -> str:
    if value is None:
        return tr("none")
    if key == "pinned":
        return tr("yes") if value else tr("no")
    if key == "at":
        return _format_start(value) or tr(NOW)
    if key == "argv":
        import shlex

        return sanitize(shlex.join(value))
    if key == "env":
        return sanitize(" ".join(value))
    if key in ("timeout", "retry_delay", "grace"):
        return units.format_duration_setting(value)
    if key == "resources":
        import json

        return format_named(json.loads(value) if isinstance(value, str) else value) or tr("none")
    if key == "memory":
        return units.format_memory(value) if value else tr("none")
    return sanitize(str(value))


def _add_ids_or_filters(parser: Parser) -> None:
    add_task_ids(parser)
    _add_selectors(parser)
    add_json_options(parser)


def _add_selectors(parser: Parser, **names: tuple[str, ...]) -> None:
    add_selectors(parser, selection.format_default_states(parser.prog.rpartition(" ")[2]), **names)


def _add_cancel_arguments(parser: Parser) -> None:
    parser.add_option(
        "-s",
        "--signal",
        metavar="SIGNAL",
        help="send this signal instead; the program decides what to do",
    )
    parser.add_option(
        "--grace",
        type=DURATION,
        metavar="TIME",
        help="time between TERM and KILL (default: the task's)",
    )
    parser.add_option(
        "--dry-run",
        action="store_true",
        help="show which tasks, with those that depend on them, would end",
    )
    _add_ids_or_filters(parser)


def _add_retry_arguments(parser: Parser) -> None:
    parser.add_option("--again", action="store_true", help="include succeeded tasks")
    parser.add_option(
        "--failed", action="store_true", help="only tasks that failed, timed out or were lost"
    )
    parser.add_option(
        "--with-dependents",
        action="store_true",
        help="let the tasks that were cancelled with them wait for them again",
    )
    add = parser.add_argument_group("new values").add_argument
    add("--cpu", dest="to_cpu", type=CPU, metavar="CORES")
    add("--memory", dest="to_memory", type=SIZE, metavar="SIZE")
    add_resource_options(add)
    timeout = make_type(_parse_timeout)
    add("--timeout", dest="to_timeout", type=timeout, metavar="TIME", help="or none")
    _add_ids_or_filters(parser)


def _collect_retry(args: Args) -> dict[str, Any]:
    fields = _collect_values(args) | collect_resources(args)
    return (
        {"again": args.again}
        | ({"with_dependents": True} if args.with_dependents else {})
        | ({"failed": True} if args.failed else {})
        | ({"fields": fields} if fields else {})
    )


def _format_retry_result(row: dict[str, Any]) -> str:
    changes = {name: row["changes"][name] for name in ("cpu", "memory", "resources", "timeout")
               if name in row.get("changes", {})}  # fmt: skip
    return ", ".join(
        [_format_state(row), *(_format_change(name, *pair) for name, pair in changes.items())]
    )


def _collect_values(args: Args) -> dict[str, Any]:
    """Return the new values of settings by name."""
    return {
        key[3:]: None if value == NONE and key in _REMOVABLE else value
        for key, value in vars(args).items()
        if key.startswith("to_") and value is not None
    }


def _add_set_arguments(parser: Parser) -> None:
    add_task_ids(parser)
    values = parser.add_argument_group("new values")
    _add_new_requests(values.add_argument)
    _add_new_times(values.add_argument)
    _add_new_program(values.add_argument)
    pin = values.add_mutually_exclusive_group().add_argument
    pin(
        "--pin",
        dest="to_pinned",
        action="store_true",
        default=None,
        help="never clean up the task and its runs; works for ended tasks, too",
    )
    pin(
        "--unpin",
        dest="to_pinned",
        action="store_false",
        default=None,
        help="let cleanup remove the task again",
    )
    _add_selectors(parser, queue=("--in-queue",), named=("--named",))
    add_json_options(parser)


def _add_new_requests(add: Callable[..., Any]) -> None:
    add("--priority", "-P", dest="to_priority", type=PRIORITY, metavar="N")
    add("--queue", "-q", dest="to_queue", type=require_text, metavar="QUEUE")
    add("--cpu", dest="to_cpu", type=CPU, metavar="CORES")
    add("--memory", dest="to_memory", type=SIZE, metavar="SIZE")
    add_resource_options(add)
    add(
        "--timeout",
        "-t",
        dest="to_timeout",
        type=make_type(_parse_timeout),
        metavar="TIME",
        help="new timeout; none: remove it",
    )
    add(
        "--signal",
        dest="to_signal",
        type=make_type(_parse_signal),
        metavar="SIG@TIME",
        help="signal before the timeout: USR1@5m; none: remove it",
    )
    add(
        "--right-size",
        dest="right_size",
        action="store_const",
        const="both",
        help="set cpu and memory of waiting tasks by what similar runs used; shown first",
    )
    for name in ("cpu", "memory"):
        add(
            f"--right-size-{name}",
            dest="right_size",
            action="store_const",
            const=name,
            help=tr("the same for {name} alone", name=name),
        )
    add(
        "--retry-on-oom",
        dest="to_retry_on_oom",
        type=make_type(_parse_oom),
        metavar="FACTOR[,max=SIZE]",
        help="retry once with more memory after a kill for memory; none: do not",
    )


def _add_new_times(add: Callable[..., Any]) -> None:
    add("--retries", dest="to_retries", type=RETRIES, metavar="N")
    add("--retry-delay", dest="to_retry_delay", type=DURATION, metavar="TIME")
    add("--grace", dest="to_grace", type=DURATION, metavar="TIME")
    add(
        "--at",
        dest="to_at",
        type=make_type(_parse_at),
        metavar="TIME",
        help="start no earlier than 23:30, 'tomorrow 08:00', 2h (from now); now: at once",
    )


def _add_new_program(add: Callable[..., Any]) -> None:
    add("-c", dest="script", metavar="SCRIPT", help="new shell script; - reads it from stdin")
    add("--cwd", "-C", type=require_text, metavar="DIR", help="new working directory")
    add("--env", action="append", type=parse_pair, metavar="N=V", help="set a variable; repeatable")
    add(
        "--max-running",
        dest="to_max_running",
        type=make_type(units.parse_int, 0, 100_000),
        metavar="N",
        help="tasks of a group that run at once; 0: any number",
    )
    add("--name", "-n", dest="to_name", type=parse_new_name, metavar="NAME")
    add(
        "--notify",
        dest="to_notify",
        type=require_text,
        metavar="CHANNEL",
        help="tell a channel when the task ends; none: nobody; default: as in config.toml",
    )
    add(
        "--notify-on",
        dest="to_notify_on",
        type=OneOf("failed", "ended", "never"),
        metavar="WORD",
        help="failed: tell only failures; ended: every end; never: none",
    )


def _make_command(
    verb: str, summary: str, arguments: Callable[[Parser], None], examples: str = ""
) -> Command:
    return Command(summary, partial(_run_task_verb, verb=verb), arguments, examples)


COMMANDS = {
    "cancel": Command(
        "cancel running or waiting tasks",
        cancel,
        _add_cancel_arguments,
        "  taskdeck cancel 42 g12\n  taskdeck cancel -s INT 42\n  taskdeck cancel --queue media"
        " --status queued",
    ),
    "pause": _make_command("pause", "suspend running tasks", _add_ids_or_filters),
    "resume": _make_command("resume", "continue paused tasks", _add_ids_or_filters),
    "hold": _make_command("hold", "keep waiting tasks from starting", _add_ids_or_filters),
    "release": _make_command("release", "let held tasks start", _add_ids_or_filters),
    "retry": Command(
        "run ended tasks again",
        partial(_run_task_verb, verb="retry", more=_collect_retry, describe=_format_retry_result),
        _add_retry_arguments,
        "  taskdeck retry 42 g12\n  taskdeck retry --failed g12 --memory 8G\n"
        "  taskdeck retry --with-dependents 42\n  taskdeck retry --status failed --since 2h",
    ),
    "rm": _make_command("rm", "delete ended tasks", _add_ids_or_filters),
    "set": Command(
        "change the settings of waiting tasks",
        set_fields,
        _add_set_arguments,
        "  taskdeck set 42 --priority 5 --memory 11G\n"
        "  taskdeck set 42 --env LR=0.1 -- ./train.sh --epochs 20 \n"
        "  taskdeck set 42 --pin          (kept regardless of [retention])",
        takes_command=True,
        usage="ID … [OPTION …] [-- COMMAND ARG …]",
    ),
    "front": Command(
        "move tasks to the front of their queue",
        partial(_run_task_verb, verb="front", describe=lambda row: tr(_RESULTS["front"])),
        _add_ids_or_filters,
    ),
}
