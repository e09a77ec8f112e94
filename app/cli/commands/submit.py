"""`taskdeck submit`: from words, stdin or a file to tasks. Prints the numbers and nothing else on stdout."""

from __future__ import annotations

import os
import sys

from app.cli import output
from app.cli.commands import submission_context
from app.cli.commands.submit_options import EXAMPLES, arguments
from app.cli.parser import Args, Command
from app.core.ids import nth, uuid7
from app.core.text.sanitize import clean, cut
from app.errors import NOT_SUBMITTED, NotFound, Problem, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

_SHELL_SIGNS = frozenset(" \t|&;<>()$`*?~\"'{}#!")
_PLAIN = (
    "name",
    "queue",
    "priority",
    "timeout",
    "cpu",
    "memory",
    "retries",
    "retry_delay",
    "grace",
    "after",
    "after_any",
    "at",
)
"""Options that go into a task as they are, when they were given."""


def submit(session: Session, args: Args) -> int:
    """Submit what the words say; the exit code is the task's with --wait or --follow."""
    if args.lines is not None:
        return _submit_lines(session, args)
    stored = _send(session, args, _tasks(args))
    if args.dry_run:
        return _show_dry(args, stored)
    return _then(session, args, stored)


def _then(session: Session, args: Args, stored: list[dict[str, Any]], many: bool = False) -> int:
    """Print the numbers; show and wait when that was asked for. ^C ends the waiting only, and says so."""
    try:
        _print(args, stored, many)
        if args.follow:
            from app.cli.commands.logs import follow

            follow(session, stored[0]["number"])
        return _wait(session, stored) if args.wait or args.follow else 0
    except KeyboardInterrupt:
        from app.cli.commands.wait import goes_on

        goes_on([row["number"] for row in stored])
        raise


def _send(session: Session, args: Args, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        more = {"dry_run": True} if args.dry_run else {"uuid": uuid7(), **({"explain": True} if _told(tasks) else {})}
        return session.call("submit", tasks=tasks, **submission_context.of(args), **more)
    except Problem as problem:
        raise _better(args, problem) from None


def _better(args: Args, problem: Problem) -> Problem:
    """A program that was taken for a template gets the line to type."""
    words = args.words
    if words and problem.exit_code == NotFound.exit_code and problem.message.startswith("no template"):
        return _program(words) or (_shell_text(words[0]) if _is_shell_text(words[0]) else problem)
    return problem


def _unreadable(given: list[str], wrong: Usage) -> Problem:
    """Options that are none of ours may be those of a program, which belongs after --."""
    return (_program(given) if given[0][:1] != "-" else None) or wrong


def _program(words: list[str]) -> Problem | None:
    if not _on_path(words[0]):
        return None
    from shlex import join

    line = f"taskdeck submit -- {cut(clean(join(words)), 200)}"
    return NotFound(f'"{clean(words[0])}" is a program, not a template.', f"To run it: {line}")


def _on_path(word: str) -> bool:
    """Is there such a program?"""
    if "/" in word:
        return os.path.isfile(word) and os.access(word, os.X_OK)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return bool(word) and any(os.access(os.path.join(folder, word), os.X_OK) for folder in folders if folder)


def _tasks(args: Args) -> list[dict[str, Any]]:
    """The tasks that these words describe. Raises Usage before anything is sent."""
    task = {**_what(args), **_how(args)}
    if not args.each:
        if args.nul:
            raise Usage(f"-0 goes with --each. {NOT_SUBMITTED}")
        return [task]
    from app.cli.commands.submit_each import each

    found = each(task, sys.stdin.buffer.read(), args.nul)
    if args.follow and len(found) > 1:
        raise Usage(f"--follow shows one task, and these are {len(found):,}. {NOT_SUBMITTED}")
    return found


def _what(args: Args) -> dict[str, Any]:
    """What is to be run: a command, shell text or a template."""
    given = [args.command is not None, args.script is not None, bool(args.words)]
    if sum(given) == 0:
        raise Usage(f"submit needs a command: taskdeck submit -- COMMAND, or -c 'SHELL TEXT', or a template. {NOT_SUBMITTED}")
    if sum(given) > 1:
        raise Usage(f"a command after --, -c and a template exclude each other. {NOT_SUBMITTED}")
    if args.script is not None:
        return {"script": _script(args)}
    if args.command is not None:
        return {"argv": _argv(args.command)}
    return _template(args)


def _script(args: Args) -> str:
    if args.each:
        raise Usage(
            "--each would paste what it reads into shell text.",
            f"Safe: taskdeck submit --each -- sh -c 'TEXT WITH \"$1\"' sh {{}}. {NOT_SUBMITTED}",
        )
    if args.script != "-":
        return args.script
    return os.fsdecode(sys.stdin.buffer.read())


def _argv(command: list[str]) -> list[str]:
    if not command or not command[0]:
        raise Usage(f"there is no command after --. {NOT_SUBMITTED}")
    (word, *more) = command
    if not more and _is_shell_text(word):
        raise _shell_text(word)
    return command


def _shell_text(word: str) -> Usage:
    from shlex import quote

    shown = cut(word, 120)
    hint = f"As shell text: taskdeck submit -c {quote(shown)}. {NOT_SUBMITTED}"
    return Usage(f'"{shown}" is one word with shell signs in it.', hint)


def _is_shell_text(word: str) -> bool:
    """Did somebody put a whole shell line in quotes? A file of that name is taken for what it is."""
    return word.isprintable() and not _SHELL_SIGNS.isdisjoint(word) and not os.path.exists(word) and not _on_path(word)


def _template(args: Args) -> dict[str, Any]:
    template, *more = args.words
    if more:
        shown = cut(clean(more[0]), 40)
        raise _program(args.words) or Usage(
            f'{clean(template)} takes its parameters as -p NAME=VALUE; "{shown}" is one word too many. {NOT_SUBMITTED}'
        )
    if not template:
        raise Usage(f"the name of the template must not be empty. {NOT_SUBMITTED}")
    texts = [[key, value] for key, value, as_json in args.parameters or () if not as_json]
    values = {key: value for key, value, as_json in args.parameters or () if as_json}
    return {
        "template": template,
        **({"parameter_texts": texts} if texts else {}),
        **({"parameters": values} if values else {}),
    }


def _how(args: Args) -> dict[str, Any]:
    found = {key: getattr(args, key) for key in _PLAIN if getattr(args, key) is not None}
    if args.tags:
        found["tags"] = dict(args.tags)
    if args.hold:
        found["hold"] = True
    if args.parameters and not args.words:
        raise Usage(f"-p gives a template its parameters, and this is no template. {NOT_SUBMITTED}")
    return found


def _submit_lines(session: Session, args: Args) -> int:
    """The bulk way: a file of JSON lines."""
    from app.cli.commands.submit_each import lines_of

    _alone(args)
    text, source = lines_of(args.lines)
    first = uuid7()
    try:
        more = {"keep_going": True} if args.keep_going else {}
        stored = session.call("submit.lines", text=text, uuid=first, **submission_context.of(args), **more)
    except Problem as problem:
        if problem.message.startswith("line ") and source:
            problem.message = f"{source} {problem.message}"
        raise
    for line in stored["refused"]:
        output.note(f"{source} line {line['line']}: {line['message']}".lstrip())
    rows = [{"uuid": nth(first, at), "number": n} for at, n in enumerate(stored["numbers"])]
    return _then(session, args, rows, many=True) or (1 if stored["refused"] else 0)


def _alone(args: Args) -> None:
    """--from takes everything from its lines."""
    given = [key for key in (*_PLAIN, "tags", "parameters", "script", "words", "command") if getattr(args, key)]
    if given or args.hold or args.each or args.follow or args.dry_run:
        raise Usage(f"with --from, each line says what it wants; other options do not go with it. {NOT_SUBMITTED}")


def _print(args: Args, stored: list[dict[str, Any]], many: bool) -> None:
    if args.json or args.jsonl:
        found = [{"uuid": row["uuid"], "number": row["number"]} for row in stored]
        output.document(found if args.each or many else found[0], args.jsonl)
    else:
        output.raw("".join([f"{row['number']}\n" for row in stored]).encode())
    output.flush()
    when = ""
    if args.at is not None and output.people():
        from app.cli import time_format as cli_time_format

        when = cli_time_format.ahead(args.at)
    if _told(stored) and "queue" in stored[0]:
        output.say(_where(stored[0], when))
    elif when:
        output.note(f"not before {when}.")


def _told(tasks: list[dict[str, Any]]) -> bool:
    """Is somebody told where these stand? A script is not, nor is it to wait for that to be found out."""
    return output.people() and len(tasks) == 1


def _where(row: dict[str, Any], when: str) -> str:
    """Where a new task stands, for the person who typed it, and when it may start."""
    from app.core.text.units import ordinal

    stands = f"#{row['number']} {clean(row['name'])} is {row['status'].replace('_', ' ')} in {clean(row['queue'])}"
    short = clean(row.get("short") or "")
    if row.get("position") is not None and (row.get("total") or 0) > 1 and f" of {row['total']:,}" not in short:
        stands += f", {ordinal(row['position'] + 1)} of {row['total']:,}"
    if when and row["status"] == "scheduled":
        return f"{stands}: at {when}"
    return "; ".join(filter(None, [f"{stands}: {short}" if short else stands, when and f"not before {when}"]))


def _show_dry(args: Args, tasks: list[dict[str, Any]]) -> int:
    from shlex import join

    if args.json or args.jsonl:
        output.document(tasks, args.jsonl)
        return 0
    for task in tasks:
        launch = task["launch"]
        line = join(launch["argv"]) if "argv" in launch else launch["script"]
        wishes = "".join(f"{wish}  " for wish in _wishes(args, task))
        output.line(f"{clean(task['name'])}  queue {clean(task['queue'])}  {wishes}in {clean(task['cwd'])}  {clean(line)}")
    output.say(f"taskdeck: a dry run. {NOT_SUBMITTED}")
    return 0


def _wishes(args: Args, task: dict[str, Any]) -> list[str]:
    """What was asked of a task beyond what it is, by its template or here; of what is usual nothing."""
    from app.cli import time_format
    from app.core.text import units

    said = {
        "at": task.get("not_before") and time_format.moment(task["not_before"]),
        "after": " ".join(f"#{one.removeprefix('#')}" if one.removeprefix("#").isdigit() else clean(one) for one in args.after or ()),
        "after any end of": " ".join(map(clean, args.after_any or ())),
        "priority": task.get("priority"),
        "cpu": units.plain(task["cpu"]) if task.get("cpu", 1) != 1 else None,
        "memory": units.memory(task["memory"]) if task.get("memory") else None,
        "timeout": units.setting(task["timeout"]) if task.get("timeout") else None,
        "retries": task.get("retries"),
        "retry delay": args.retry_delay is not None and units.setting(task["retry_delay"]),
        "grace": args.grace is not None and units.setting(task["grace"]),
        "tag": " ".join(f"{clean(key)}={clean(value)}" for key, value in args.tags or ()),
    }
    return [f"{word} {wish}" for word, wish in said.items() if wish] + (["held"] if task.get("hold") else [])


def _wait(session: Session, stored: list[dict[str, Any]]) -> int:
    from app.cli.commands.wait import wait_for

    return wait_for(session, [row["number"] for row in stored])


COMMANDS = {
    "submit": Command(
        "queue a command, shell text or a template",
        submit,
        arguments,
        EXAMPLES,
        takes_command=True,
        usage="[OPTION …] (-- COMMAND ARG … | -c SCRIPT | TEMPLATE | --from FILE)",
        better=_unreadable,
    )
}
