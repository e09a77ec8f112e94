"""`taskdeck submit`: create tasks from words, stdin or a file.

stdout receives only the numbers of the tasks.
"""

from __future__ import annotations

import os

from app.cli import output
from app.cli.parser import Args, Command
from app.cli.submission.context import check_output_folders, collect_context, collect_shell_context
from app.cli.submission.options import EXAMPLES, add_submit_options
from app.cli.submission.resources import collect_resources
from app.core.dependency_kinds import AFTER_FIELDS
from app.core.ids import make_following_id, make_uuid7
from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Problem, Storage, Usage
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

_SHELL_CHARACTERS = frozenset(" \t|&;<>()$`*?~\"'{}#!")
_COPIED_OPTIONS = (
    "name",
    "queue",
    "priority",
    "timeout",
    "cpu",
    "memory",
    "retries",
    "retry_delay",
    "grace",
    "log_limit",
    "signal",
    "output",
    "error",
    "retry_on_oom",
    "notify",
    "notify_on",
    *AFTER_FIELDS,
    "at",
)
"""Options copied into a task unchanged."""


def submit_tasks(context: CommandContext, args: Args) -> int:
    """Submit tasks; with --wait or --follow, exit with the task's code."""
    if args.lines is not None and args.lines.endswith(".toml"):
        return _submit_workflow(context, args)
    if args.lines is not None:
        return _submit_lines(context, args)
    command = _read_batch_script(context, args)
    tasks, group = _make_tasks(args)
    if command is not None:
        tasks = [{**task, "argv": command} for task in tasks]
    where = collect_shell_context(args)
    check_output_folders(args, where["cwd"])
    stored = _send(context, args, tasks, group, where)
    if args.dry_run:
        return _print_dry_run(args, stored)
    return _print_and_wait(context, args, stored)


def _read_batch_script(context: CommandContext, args: Args) -> list[str] | None:
    """Apply the options of a script with #SBATCH lines; return its command, None for no such."""
    if not args.words or args.script is not None:
        return None
    from app.cli.submission import batch_script

    if args.words[0] != batch_script.STDIN and not os.path.isfile(args.words[0]):
        return None
    text = batch_script.read_script(args.words[0])
    return None if text is None else batch_script.apply_script(context, args, text)


def _print_and_wait(context: CommandContext, args: Args, stored: list[dict[str, Any]]) -> int:
    """Print the numbers, then follow and wait as requested.

    ^C interrupts only the wait, and a message says so.
    """
    if not stored:
        return _end_unstored(args)
    try:
        _print_numbers(args, stored)
        if args.follow and len(stored) > 1:
            from app.cli.several_logs import print_logs

            print_logs(context, [stored[0]["group"]], True, None)
        elif args.follow:
            from app.cli.commands.tasks.logs import follow

            follow(context, stored[0]["number"])
        numbers = [row["number"] for row in stored]
        return _wait_for_tasks(context, numbers) if args.wait or args.follow else 0
    except KeyboardInterrupt:
        from app.cli.commands.tasks.wait import print_continues

        print_continues([row["number"] for row in stored])
        raise


def _send(
    context: CommandContext,
    args: Args,
    tasks: list[dict[str, Any]],
    group: dict[str, Any] | None,
    where: dict[str, Any],
) -> list[dict[str, Any]]:
    """Submit tasks with a context; return their places."""
    try:
        more: dict[str, Any] = (
            {"dry_run": True}
            if args.dry_run
            else {
                "uuid": make_uuid7(),
                **({"explain": True} if _wants_position(args, tasks) else {}),
            }
        )
        if group is not None:
            more["group"] = group
        return context.call("submit", tasks=tasks, **where, **more)
    except Problem as problem:
        raise _improve_error(args, problem) from None


def _improve_error(args: Args, problem: Problem) -> Problem:
    """Suggest the command line if a program was given as a template."""
    words = args.words
    if (
        words
        and problem.exit_code == NotFound.exit_code
        and truncate(sanitize(words[0]), 60) in problem.message
    ):
        return (
            _make_program_error(words)
            or _make_script_error(words)
            or (_make_shell_text_error(words[0]) if _is_shell_text(words[0]) else problem)
        )
    return problem


def _make_script_error(words: list[str]) -> Problem | None:
    """Return what is wrong with a word that names a script, or None."""
    word, shown = words[0], truncate(sanitize(words[0]), 120)
    if os.path.isfile(word):
        from shlex import join

        line = f"taskdeck submit -- bash {truncate(sanitize(join(words)), 200)}"
        return NotFound(
            '"{shown}" is a file without #SBATCH lines.',
            "To run it: {line}",
            shown=shown,
            line=line,
        )
    if "/" in word or word.endswith((".sh", ".bash", ".sbatch", ".slurm")):
        return NotFound(
            'the script "{shown}" does not exist.',
            "A name without / is a template: taskdeck template ls. {not_submitted}",
            shown=shown,
            not_submitted=tr(NOT_SUBMITTED),
        )
    return None


def _improve_usage_error(words: list[str], usage: Usage) -> Problem:
    """Suggest `--` if unknown options may belong to a program."""
    return (_make_program_error(words) if words[0][:1] != "-" else None) or usage


def _make_program_error(words: list[str]) -> Problem | None:
    if not _is_program(words[0]):
        return None
    from shlex import join

    line = f"taskdeck submit -- {truncate(sanitize(join(words)), 200)}"
    return NotFound(
        '"{words}" is a program, not a template.',
        "To run it: {line}",
        words=sanitize(words[0]),
        line=line,
    )


def _is_program(word: str) -> bool:
    if "/" in word:
        return os.path.isfile(word) and os.access(word, os.X_OK)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return bool(word) and any(
        os.access(os.path.join(folder, word), os.X_OK) for folder in folders if folder
    )


def _make_tasks(args: Args) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the tasks described by these words, and their group.

    Raise Usage before anything is sent.
    """
    task = {**_parse_work(args), **_collect_settings(args)}
    if args.nul and not args.each:
        raise Usage("-0 requires --each. {not_submitted}", not_submitted=tr(NOT_SUBMITTED))
    if not has_group(args):
        if args.max_running:
            raise Usage(
                "--max-running requires --array, a sweep or --each. {not_submitted}",
                not_submitted=tr(NOT_SUBMITTED),
            )
        return [task], None
    from app.cli.submission.expansion import make_group

    return make_group(args, task)


def has_group(args: Args) -> bool:
    """Return True for options that make a group."""
    return bool(args.each or args.array or args.sweep or args.sweep_file)


def _parse_work(args: Args) -> dict[str, Any]:
    sources = [args.command is not None, args.script is not None, bool(args.words)]
    if sum(sources) == 0:
        raise Usage(
            "submit needs a command: taskdeck submit -- COMMAND, or -c 'SCRIPT', or a"
            " template. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    if sum(sources) > 1:
        from app.cli.foreign_options import explain_numbers

        raise Usage(
            tr(
                "give only one of a command after --, -c, and a template. {not_submitted}",
                not_submitted=tr(NOT_SUBMITTED),
            ),
            explain_numbers(args.script, args.words, args.after is not None),
        )
    if args.script is not None:
        return {"script": _read_script(args)}
    if args.command is not None:
        return {"argv": check_argv(args.command)}
    return _parse_template(args)


def _read_script(args: Args) -> str:
    if args.each:
        raise Usage(
            "--each cannot insert items into a shell script: quoting would be unsafe.",
            "Use instead: taskdeck submit --each -- sh -c 'TEXT WITH \"$1\"' sh {{}}."
            " {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    if args.script != "-":
        return args.script
    from app.cli.submission import batch_script

    text = os.fsdecode(output.read_stdin("a script"))
    if batch_script.has_header(text):
        output.print_note(tr("-c leaves out #SBATCH lines. To read them: taskdeck submit - < FILE"))
    return text


def check_argv(
    command: list[str], unchanged: str = NOT_SUBMITTED, verb: str = "submit"
) -> list[str]:
    """Return the words after `--`. Raise Usage if they are no command."""
    if not command or not command[0]:
        raise Usage("missing command after --. {unchanged}", unchanged=tr(unchanged))
    word, *more = command
    if not more and _is_shell_text(word):
        raise _make_shell_text_error(word, unchanged, verb)
    return command


def _make_shell_text_error(
    word: str, unchanged: str = NOT_SUBMITTED, verb: str = "submit"
) -> Usage:
    from shlex import quote

    shown = truncate(word, 120)
    return Usage(
        '"{shown}" is a single word with shell characters.',
        "As a shell script: taskdeck {verb} -c {script}. {unchanged}",
        shown=shown,
        verb=verb,
        script=quote(shown),
        unchanged=tr(unchanged),
    )


def _is_shell_text(word: str) -> bool:
    """Return True if the word looks like a quoted shell line.

    A file with the name of the word is taken as a program.
    """
    return (
        word.isprintable()
        and not _SHELL_CHARACTERS.isdisjoint(word)
        and not os.path.exists(word)
        and not _is_program(word)
    )


def _parse_template(args: Args) -> dict[str, Any]:
    template, *more = args.words
    if more:
        shown = truncate(sanitize(more[0]), 40)
        raise _make_program_error(args.words) or Usage(
            '{template} takes its parameters as -p NAME=VALUE; "{shown}" is unexpected.'
            " {not_submitted}",
            template=sanitize(template),
            shown=shown,
            not_submitted=tr(NOT_SUBMITTED),
        )
    if not template:
        raise Usage(
            "the name of the template must not be empty. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    texts = [[key, value] for key, value, as_json in args.parameters or () if not as_json]
    values = {key: value for key, value, as_json in args.parameters or () if as_json}
    return {
        "template": template,
        **({"parameter_texts": texts} if texts else {}),
        **({"parameters": values} if values else {}),
    }


def _collect_settings(args: Args) -> dict[str, Any]:
    found = {key: getattr(args, key) for key in _COPIED_OPTIONS if getattr(args, key) is not None}
    found |= collect_resources(args)
    if args.tags:
        found["tags"] = dict(args.tags)
    if args.env:  # with the task, where they take precedence over the variables of Taskdeck
        found["env"] = dict(args.env)
    if args.hold:
        found["hold"] = True
    found |= {name: True for name in ("stdin", "split") if getattr(args, name)}
    if args.parameters and not args.words:
        raise Usage("-p requires a template. {not_submitted}", not_submitted=tr(NOT_SUBMITTED))
    return found


def _submit_lines(context: CommandContext, args: Args) -> int:
    from app.cli.submission.each_line import open_lines

    _check_from_alone(args)
    first = make_uuid7()
    more = {key: True for key in ("keep_going", "dry_run") if getattr(args, key)}
    with open_lines(args.lines, context.home, first) as (lines, source):
        try:
            stored = context.call(
                "submit.lines", uuid=first, **lines, **collect_context(args), **more
            )
        except Problem as problem:
            if problem.message.startswith(tr("line ")) and source:
                problem.message = f"{source} {problem.message}"
            raise
    for line in stored["refused"]:
        output.print_note(
            tr(
                "{file} line {line}: {problem}",
                file=source,
                line=line["line"],
                problem=line["message"],
            ).lstrip()
        )
    if args.dry_run:
        return _print_checked(args, stored)
    spans = _get_spans(stored)
    code = _print_spans_and_wait(context, args, first, spans) if spans else _end_unstored(args)
    return code or (1 if stored["refused"] else 0)


def _submit_workflow(context: CommandContext, args: Args) -> int:
    from app.cli.submission import workflow_file

    _check_from_alone(args, but=("parameters",))
    if args.keep_going:
        raise Usage(
            "a workflow is stored as a whole: leave out --keep-going. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    values = {key: value for key, value, _ in args.parameters or ()}
    tasks = workflow_file.read_tasks(args.lines, values)
    with workflow_file.name_places(args.lines):
        group = workflow_file.make_group(args.lines)
        stored = _send(context, args, tasks, group, collect_context(args))
    if args.dry_run:
        return workflow_file.print_dry_run(args, tasks, stored)
    return _print_and_wait(context, args, stored)


def _print_checked(args: Args, checked: dict[str, Any]) -> int:
    """Print how many lines of a file are valid; return 1 if one is not."""
    valid, refused = checked["valid"], len(checked["refused"])
    if args.json or args.jsonl:
        output.print_json({"valid": valid, "refused": checked["refused"]}, args.jsonl)
    else:
        lines = tr_n(valid, "1 line is valid", "{n:,} lines are valid")
        bad = tr_n(refused, ", {n:,} is not", ", {n:,} are not") if refused else ""
        output.print_message(
            tr(
                "taskdeck: dry run: {lines}. {not_submitted}",
                lines=f"{lines}{bad}",
                not_submitted=tr(NOT_SUBMITTED),
            )
        )
    return 1 if refused else 0


def _get_spans(stored: dict[str, Any]) -> list[list[int]]:
    """Return position, number and count of tasks whose numbers follow one another."""
    if "spans" in stored:
        return stored["spans"]
    return [[at, number, 1] for at, number in enumerate(stored["numbers"])]


def _print_spans_and_wait(
    context: CommandContext, args: Args, first: str, spans: list[list[int]]
) -> int:
    """Print the numbers of many tasks, then wait as requested."""
    numbers = [number + step for _, number, count in spans for step in range(count)]
    try:
        if args.json or args.jsonl:
            places = (at + step for at, _, count in spans for step in range(count))
            output.print_json(
                [
                    {"uuid": make_following_id(first, at), "number": number}
                    for at, number in zip(places, numbers, strict=True)
                ],
                args.jsonl,
            )
        else:
            for at in range(0, len(numbers), 10_000):
                some = numbers[at : at + 10_000]
                output.write_bytes("".join([f"{number}\n" for number in some]).encode())
        output.flush()
        return _wait_for_tasks(context, numbers) if args.wait else 0
    except KeyboardInterrupt:
        from app.cli.commands.tasks.wait import print_continues

        print_continues(numbers)
        raise


def _end_unstored(args: Args) -> int:
    """End after a note that the tasks are accepted, and stored once the disk has space."""
    if args.json or args.jsonl:
        output.print_json([], args.jsonl)
    if args.wait:
        raise Storage("--wait did not wait: the tasks have no numbers yet. They are accepted.")
    return 0


def _check_from_alone(args: Args, but: tuple[str, ...] = ()) -> None:
    options = [
        key
        for key in (
            *_COPIED_OPTIONS,
            "resources",
            "tags",
            "parameters",
            "script",
            "words",
            "command",
        )
        if key not in but and getattr(args, key)
    ]
    flags = args.hold, args.stdin, args.split, args.follow, args.max_running, has_group(args)
    if options or any(flags):
        raise Usage(
            "--from cannot be combined with options of a single task. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )


def _print_numbers(args: Args, stored: list[dict[str, Any]]) -> None:
    if args.json or args.jsonl:
        keys = [key for key in ("uuid", "number", "group") if key in stored[0]]
        found = [{key: row[key] for key in keys} for row in stored]
        in_list = has_group(args) or args.lines is not None
        output.print_json(found if in_list else found[0], args.jsonl)
    else:
        output.write_bytes("".join([f"{row['number']}\n" for row in stored]).encode())
    output.flush()
    if "group" in stored[0]:
        tasks = tr_n(len(stored), "{n:,} task", "{n:,} tasks")
        output.print_message(f"{stored[0]['group']}: {tasks}")
    when = ""
    if args.at is not None and output.is_stderr_terminal():
        from app.cli import time_format as cli_time_format

        when = cli_time_format.format_future(args.at)
    if _wants_position(args, stored) and "queue" in stored[0]:
        output.print_message(_format_position(stored[0], when))
    elif when:
        output.print_note(tr("starts no earlier than {time}.", time=when))


def _wants_position(args: Args, tasks: list[dict[str, Any]]) -> bool:
    """Return True if a person should see the position of a single task.

    Scripts do not wait for that query.
    """
    return output.is_stderr_terminal() and len(tasks) == 1 and not (args.json or args.jsonl)


def _format_position(row: dict[str, Any], when: str) -> str:
    """Return the state and position of a new task, and its expected start."""
    from app.core.text.units import format_ordinal

    position_text = tr(
        "{task} is {status} in {queue}",
        task=f"#{row['number']} {sanitize(row['name'])}",
        status=tr(row["status"].replace("_", " ")),
        queue=sanitize(row["queue"]),
    )
    short = sanitize(row.get("short") or "")
    if (
        row.get("position") is not None
        and (row.get("total") or 0) > 1
        and tr(" of {total:,}", total=row["total"]) not in short
    ):
        ordinal = format_ordinal(row["position"] + 1)
        position_text += tr(", {ordinal} of {total:,}", ordinal=ordinal, total=row["total"])
    if when and row["status"] == "scheduled":
        return tr("{task}: at {time}", task=position_text, time=when)
    return "; ".join(
        filter(
            None,
            [
                f"{position_text}: {short}" if short else position_text,
                when and tr("not before {time}", time=when),
            ],
        )
    )


def _print_dry_run(args: Args, tasks: list[dict[str, Any]]) -> int:
    from shlex import join

    if args.json or args.jsonl:
        output.print_json(tasks, args.jsonl)
        return 0
    for task in tasks:
        launch = task["launch"]
        line = join(launch["argv"]) if "argv" in launch else launch["script"]
        settings = "".join(f"{wish}  " for wish in _format_settings(args, task))
        output.print_line(
            tr(
                "{name}  queue {queue}  {settings}in {folder}  {line}",
                name=sanitize(task["name"]),
                queue=sanitize(task["queue"]),
                settings=settings,
                folder=sanitize(task["cwd"]),
                line=sanitize(line),
            )
        )
    output.print_message(tr("taskdeck: dry run. {not_submitted}", not_submitted=tr(NOT_SUBMITTED)))
    return 0


def _format_settings(args: Args, task: dict[str, Any]) -> list[str]:
    """Return the settings that differ from the defaults."""
    from app.cli import time_format
    from app.core.scheduling.resources import format_named
    from app.core.text import units

    settings = {
        "at": task.get("not_before") and time_format.format_moment(task["not_before"]),
        **{
            field.replace("_", " "): " ".join(
                f"#{one.removeprefix('#')}" if one.removeprefix("#").isdigit() else sanitize(one)
                for one in getattr(args, field) or ()
            )
            for field in AFTER_FIELDS
        },
        "priority": task.get("priority"),
        "cpu": units.format_number(task["cpu"]) if task.get("cpu", 1) != 1 else None,
        "memory": units.format_memory(task["memory"]) if task.get("memory") else None,
        "resources": format_named(task.get("resources")),
        "timeout": units.format_duration_setting(task["timeout"]) if task.get("timeout") else None,
        "retries": task.get("retries"),
        "retry delay": (
            args.retry_delay is not None and units.format_duration_setting(task["retry_delay"])
        ),
        "grace": args.grace is not None and units.format_duration_setting(task["grace"]),
        "signal": task.get("early_signal"),
        "output": task.get("output") and sanitize(task["output"]),
        "error": task.get("error") and sanitize(task["error"]),
        "retry on oom": task.get("retry_on_oom"),
        "log limit": args.log_limit is not None and units.format_memory(task["log_limit"]),
        "notify": task.get("notify") and sanitize(task["notify"].strip()),
        "tag": " ".join(f"{sanitize(key)}={sanitize(value)}" for key, value in args.tags or ()),
    }
    return (
        [f"{word} {wish}" for word, wish in settings.items() if wish]
        + ([tr("held")] if task.get("hold") else [])
        + [name for name in ("stdin", "split") if task.get(name)]
    )


def _wait_for_tasks(context: CommandContext, numbers: list[int]) -> int:
    from app.cli.commands.tasks.wait import wait_for_tasks

    return wait_for_tasks(context, numbers)


COMMANDS = {
    "submit": Command(
        "queue a command, a shell script or a template",
        submit_tasks,
        add_submit_options,
        EXAMPLES,
        takes_command=True,
        usage="[OPTION …] (-- COMMAND ARG … | -c SCRIPT | TEMPLATE | --from FILE)",
        better=_improve_usage_error,
    )
}
