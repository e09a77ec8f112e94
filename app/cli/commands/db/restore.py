"""`taskdeck db restore`: replace the database by a backup, or restore it into a file."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.commands.db.backup import BACKUP_ID_HELP
from app.cli.parser import Args, Command, Parser, add_json_options, make_type
from app.cluster import advise_start
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

    RestoreSummary = dict[str, Any]

MAX_NUMBERS = 10
"""Maximum number of task numbers listed."""


def restore_backup(context: CommandContext, args: Args) -> int:
    """Preview the changes, ask for confirmation and restore."""
    if len(args.ids) > 1 or args.ids and args.at:
        raise Usage(
            "give one backup: an ID, or --at TIME. Nothing was done.", "List: taskdeck db backups"
        )
    if "" in args.ids:
        raise Usage(
            "the ID of a backup must not be empty. Nothing was done.",
            "List: taskdeck db backups. For the newest good one: no ID",
        )
    ident = args.ids[0] if args.ids else None
    if args.to is not None:
        return _restore_to_file(context, args, ident, args.at)
    if not (args.yes or args.dry_run or output.is_stdin_terminal() and output.is_stderr_terminal()):
        from app.offline import backup_picker as offline_backup_picker

        what = offline_backup_picker.describe_choice(context.home, ident, args.at)["id"]
        raise Usage(
            "this would replace the database by {what}. Nothing was done.",
            "Preview: --dry-run. Confirm: --yes",
            what=sanitize(what),
        )
    return _restore_in_place(context, args, ident, args.at)


def _restore_to_file(context: CommandContext, args: Args, ident: str | None, at: str | None) -> int:
    import os

    if not args.to:
        raise Usage("--to must not be empty. Nothing was done.", "Use: --to=FILE")
    if args.to == "-":
        raise Usage(
            "--to needs a file: a database cannot go to stdout. Nothing was done.",
            "Use: --to=FILE (--to=./- for a file named -)",
        )
    if args.dry_run:
        raise Usage(
            "--dry-run does not apply to --to, which changes no home. Nothing was done.",
            "Omit --dry-run",
        )
    from app.offline import restore

    done = restore.restore_to_file(context.home, ident, at, os.path.abspath(args.to))
    if args.json or args.jsonl:
        output.print_json(done, args.jsonl)
    else:
        output.print_line(
            f"{_format_backup(done['backup'])} restored into {sanitize(done['to'])}:"
            f" {_format_state_of_database(done['after'])}"
        )
    return 0


def _restore_in_place(
    context: CommandContext, args: Args, ident: str | None, at: str | None
) -> int:
    from app.offline import restore as offline_restore

    quiet = args.json or args.jsonl

    def agree(summary: RestoreSummary) -> bool:
        if not quiet:
            for line in describe_changes(summary):
                output.print_line(sanitize(line))
            output.flush()
        if args.dry_run:
            return False
        if args.yes or output.ask_yes_no("Replace the database?"):
            return True
        raise Usage("nothing was changed.")

    try:
        done = offline_restore.restore_home(
            context.home,
            ident,
            at,
            agree,
            args.dry_run,
            is_interactive=not (args.yes or args.dry_run),
        )
    except Conflict as problem:
        raise explain_conflict(context.home, problem) from None
    if quiet:
        output.print_json(done, args.jsonl)
    elif done["restored"]:
        safety_note = (
            f"; the previous database is {sanitize(done['kept'])}. To go back: taskdeck db "
            "restore FILE"
            if done["kept"]
            else ""
        )
        output.print_line(f"restored{safety_note}")
        output.print_note(f"no runtime is running. {advise_start(context.home)}")
    return 0


def explain_conflict(home: str, problem: Conflict) -> Conflict:
    """Explain a conflict with another command that holds the home.

    Only a runtime can be stopped; any other command ends by itself.
    """
    from app.client import open_socket

    if problem.code != "runtime-exists":
        return problem
    line = open_socket(home)
    if line is not None:
        line.close()
        return problem
    message = problem.message.replace(
        "a runtime already has", "another command, or a starting runtime, has", 1
    )
    return Conflict(message, "Try again in a moment.")


def describe_changes(summary: RestoreSummary) -> list[str]:
    """Return lines that describe the changes of a restore."""
    counts = summary["carried"]
    before = _format_state_of_database(summary["before"]) if summary["before"] else "cannot be read"
    return [
        f"backup  {_format_backup(summary['backup'])}",
        f"now     {before}{_format_state(summary['present'])}",
        f"then    {_format_state_of_database(summary['after'])}",
        *(line for many, line in _describe_carried(counts) if many),
        *_describe_dropped(counts),
        f"the next task will be #{counts['next']}",
    ]


def _format_state(present: str) -> str:
    return "" if present == "whole" else f" ({present})"


def _describe_carried(counts: RestoreSummary) -> list[tuple[int, str]]:
    tasks, ended, lost, unreadable = (
        counts["tasks"],
        counts["ended"],
        counts["lost"],
        counts["unreadable"],
    )
    alone, alive, held = counts["adopted"], counts["alive"], counts["held"]
    unknown = counts["unknown"]
    carried_over = (
        f"{_format_count(len(tasks), 'task')} submitted since {_conjugate_be(len(tasks))} carried"
        f" over: {_format_numbers(tasks)}"
    )
    not_repeated = (
        f"{_format_count(len(ended), 'task')} ended since and {_conjugate_be(len(ended))} not run"
        f" again: {_format_numbers(ended)}"
    )
    continuing = f"{_format_count(alive, 'run')} {'continues' if alive == 1 else 'continue'}"
    adopted = (
        f"{_format_count(len(alone), 'job')} of lost tasks"
        f" {'continues' if len(alone) == 1 else 'continue'} as {_format_numbers(alone)};"
        " to end one: taskdeck cancel TASK"
    )
    lost_tasks = (
        f"{'up to ' if counts['at_most'] else ''}{_format_count(len(lost), 'task')} submitted"
        f" since cannot be read and {_conjugate_be(len(lost))} lost: {_format_numbers(lost)}"
    )
    left_out = (
        f"{_format_count(len(unreadable), 'task')} submitted since cannot be read and"
        f" {_conjugate_be(len(unreadable))} left out: {_format_numbers(unreadable)}"
    )
    quarantined = (
        f"{_format_count(counts['aside'], 'unreadable row')} quarantined: taskdeck operations"
    )
    without_task = (
        f"{_format_count(unknown, 'run')} unknown to the backup; the task cannot be determined"
    )
    held_back = (
        f"{_format_count(held, 'waiting task')} may have run already and {_conjugate_be(held)}"
        " held; to release one: taskdeck release TASK"
    )
    return [
        (len(tasks), carried_over),
        (len(ended), not_repeated),
        *_describe_requests(counts),
        (alive, continuing),
        (len(alone), adopted),
        (len(lost), lost_tasks),
        (len(unreadable), left_out),
        (counts["aside"], quarantined),
        (unknown, without_task),
        (held, held_back),
    ]


def _describe_dropped(counts: RestoreSummary) -> list[str]:
    made = [_format_names(kind, names) for kind, names in counts["dropped"].items()]
    undone = [f"{many:,} {verb}" for verb, many in counts["undone"].items()]
    lines = [f"not carried over, created since: {', '.join(made)}"] if made else []
    if counts["operations"]:
        lost = f"; their changes are lost: {_join_some(undone)}" if undone else ""
        lines.append(
            f"{_format_count(counts['operations'], 'later operation')}"
            f" {_conjugate_be(counts['operations'])} missing from its log{lost}"
        )
    return lines


def _format_names(kind: str, names: list[str]) -> str:
    word = "rule" if kind == "sla" else kind
    return (
        f"{word} {names[0]}"
        if len(names) == 1
        else f"{_format_count(len(names), word)} ({_join_some(names)})"
    )


def _join_some(words: list[str]) -> str:
    more = len(words) - MAX_NUMBERS
    return ", ".join(words[:MAX_NUMBERS]) + (f" and {more:,} more" if more > 0 else "")


def _describe_requests(counts: RestoreSummary) -> list[tuple[int, str]]:
    words = {
        "cancelled": "cancelled",
        "stay_held": "held",
        "released": "released",
        "deleted": "deleted",
    }
    request_counts = [(counts[name], word) for name, word in words.items() if counts[name]]
    each = [
        (
            f"{many:,} {_conjugate_stay(many)} {word}"
            if at
            else f"{_format_count(many, 'task')} {word} since {_conjugate_stay(many)} {word}"
        )
        for at, (many, word) in enumerate(request_counts)
    ]
    renumbered = ", ".join(
        f"#{was} is now #{number}" for was, number in counts["renumbered"][:MAX_NUMBERS]
    )
    more = len(counts["renumbered"]) - MAX_NUMBERS
    return [
        (len(each), ", ".join(each)),
        (
            len(counts["renumbered"]),
            f"tasks renumbered: {renumbered}{f' and {more:,} more' if more > 0 else ''}",
        ),
    ]


def _conjugate_stay(many: int) -> str:
    return "stays" if many == 1 else "stay"


def _format_count(many: int, what: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def _conjugate_be(many: int) -> str:
    return "is" if many == 1 else "are"


def _format_numbers(found: list[int]) -> str:
    shown = " ".join(f"#{number}" for number in found[:MAX_NUMBERS])
    return shown if len(found) <= MAX_NUMBERS else f"{shown} and {len(found) - MAX_NUMBERS:,} more"


def _format_backup(backup: RestoreSummary) -> str:
    return (
        f"{backup['id']}, {backup['kind']}, of {time_format.format_clock(backup['at'])},"
        f" {units.format_age(time_format.seconds_since(backup['at']))} old"
    )


def _format_state_of_database(summary: RestoreSummary) -> str:
    counted = summary["tasks"]
    each = ", ".join(
        f"{many:,} {status.replace('_', ' ')}" for status, many in sorted(counted.items())
    )
    newest = (
        f", newest #{summary['newest']} of {time_format.format_clock(summary['newest_at'])}"
        if summary["newest"]
        else ""
    )
    return f"{_format_count(sum(counted.values()), 'task')}{f' ({each})' if each else ''}{newest}"


def _parse_past_time(text: str) -> str:
    """Return the stored form of a past time.

    A time of day means the last one; a duration is counted back from now.
    """
    from app.offline import backup_picker

    return backup_picker.parse_past_time(text)


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "ids",
        nargs="*",
        metavar="ID",
        help=(
            f"{BACKUP_ID_HELP} or a database kept by a restore or an upgrade; none: the newest"
            " good one"
        ),
    )
    parser.add_option(
        "--at", metavar="TIME", type=make_type(_parse_past_time),
        help=(
            "the newest good one at that time: 10:00, 'yesterday 10:00', "
            "2026-01-31T08:00, 2h (ago)"
        ),
    )  # fmt: skip
    parser.add_option("--to", metavar="FILE", help="restore into a new file; change nothing else")
    parser.add_option(
        "--dry-run", action="store_true", help="show what would change; change nothing"
    )
    parser.add_option("--yes", action="store_true", help="do not ask")
    add_json_options(parser)


COMMANDS = {
    "restore": Command(
        "replace the database by a backup", restore_backup, _add_arguments,
        "  taskdeck db restore --dry-run\n"
        "  taskdeck stop && taskdeck db restore --at 10:00\n"
        "  taskdeck db restore --to /tmp/then.db",
        usage="[OPTION …] [ID]",
    ),
}  # fmt: skip
