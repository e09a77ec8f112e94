"""`taskdeck db restore`: replace the database by a backup, or restore it into a file."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, add_json_options, make_type
from app.cluster import advise_start
from app.core.text import units
from app.core.text.sanitize import pad, sanitize
from app.errors import Conflict, Usage
from app.translation import ENGLISH, get_language, tr, tr_n, tr_noop

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
            tr(
                "{backup} restored into {file}: {state}",
                backup=_format_backup(done["backup"]),
                file=sanitize(done["to"]),
                state=_format_state_of_database(done["after"]),
            )
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
        if args.yes or output.ask_yes_no(tr("Replace the database?")):
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
        output.print_line(
            tr(
                "restored; the previous database is {file}. To go back: taskdeck db restore FILE",
                file=sanitize(done["kept"]),
            )
            if done["kept"]
            else tr("restored")
        )
        output.print_note(tr("no runtime is running. {advice}", advice=advise_start(context.home)))
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
    before = (
        _format_state_of_database(summary["before"]) if summary["before"] else tr("cannot be read")
    )
    return [
        f"{pad(tr('backup'), 7)} {_format_backup(summary['backup'])}",
        f"{pad(tr('now'), 7)} {before}{_format_state(summary['present'])}",
        f"{pad(tr('then'), 7)} {_format_state_of_database(summary['after'])}",
        *(line for many, line in _describe_carried(counts) if many),
        *_describe_dropped(counts),
        tr("the next task will be #{number}", number=counts["next"]),
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
    carried_over = tr_n(
        len(tasks),
        "{n:,} task submitted since is carried over: {numbers}",
        "{n:,} tasks submitted since are carried over: {numbers}",
        numbers=_format_numbers(tasks),
    )
    not_repeated = tr_n(
        len(ended),
        "{n:,} task ended since and is not run again: {numbers}",
        "{n:,} tasks ended since and are not run again: {numbers}",
        numbers=_format_numbers(ended),
    )
    continuing = tr_n(alive, "{n:,} run continues", "{n:,} runs continue")
    adopted = tr_n(
        len(alone),
        "{n:,} job of lost tasks continues as {numbers}; to end one: taskdeck cancel TASK",
        "{n:,} jobs of lost tasks continue as {numbers}; to end one: taskdeck cancel TASK",
        numbers=_format_numbers(alone),
    )
    lost_tasks = tr_n(
        len(lost),
        "{up_to}{n:,} task submitted since cannot be read and is lost: {numbers}",
        "{up_to}{n:,} tasks submitted since cannot be read and are lost: {numbers}",
        up_to=tr("up to ") if counts["at_most"] else "",
        numbers=_format_numbers(lost),
    )
    left_out = tr_n(
        len(unreadable),
        "{n:,} task submitted since cannot be read and is left out: {numbers}",
        "{n:,} tasks submitted since cannot be read and are left out: {numbers}",
        numbers=_format_numbers(unreadable),
    )
    without_task = tr_n(
        unknown,
        "{n:,} run unknown to the backup; the task cannot be determined",
        "{n:,} runs unknown to the backup; the task cannot be determined",
    )
    held_back = tr_n(
        held,
        "{n:,} waiting task may have run already and is held;"
        " to release one: taskdeck release TASK",
        "{n:,} waiting tasks may have run already and are held;"
        " to release one: taskdeck release TASK",
    )
    return [
        (len(tasks), carried_over),
        (len(ended), not_repeated),
        *_describe_requests(counts),
        (alive, continuing),
        (len(alone), adopted),
        (len(lost), lost_tasks),
        (len(unreadable), left_out),
        (unknown, without_task),
        (held, held_back),
    ]


def _describe_dropped(counts: RestoreSummary) -> list[str]:
    made = [_format_names(kind, names) for kind, names in counts["dropped"].items()]
    undone = [f"{many:,} {verb}" for verb, many in counts["undone"].items()]
    lines = [tr("not carried over, created since: {names}", names=", ".join(made))] if made else []
    if counts["operations"]:
        lost = tr("; their changes are lost: {verbs}", verbs=_join_some(undone)) if undone else ""
        lines.append(
            tr_n(
                counts["operations"],
                "{n:,} later operation is missing from its log{lost}",
                "{n:,} later operations are missing from its log{lost}",
                lost=lost,
            )
        )
    return lines


def _format_names(kind: str, names: list[str]) -> str:
    word = "rule" if kind == "sla" else kind
    if len(names) == 1 or get_language() != ENGLISH:
        return f"{tr(word)} {_join_some(names)}"
    return f"{len(names):,} {word}s ({_join_some(names)})"


def _join_some(words: list[str]) -> str:
    more = len(words) - MAX_NUMBERS
    return ", ".join(words[:MAX_NUMBERS]) + (tr(" and {n:,} more", n=more) if more > 0 else "")


def _describe_requests(counts: RestoreSummary) -> list[tuple[int, str]]:
    words = {
        "cancelled": tr_noop("cancelled"),
        "stay_held": tr_noop("held"),
        "released": tr_noop("released"),
        "deleted": tr_noop("deleted"),
    }
    request_counts = [(counts[name], word) for name, word in words.items() if counts[name]]
    each = [
        (
            tr_n(many, "{n:,} stays {state}", "{n:,} stay {state}", state=tr(word))
            if at
            else tr_n(
                many,
                "{n:,} task {state} since stays {state}",
                "{n:,} tasks {state} since stay {state}",
                state=tr(word),
            )
        )
        for at, (many, word) in enumerate(request_counts)
    ]
    renumbered = ", ".join(
        tr("#{before} is now #{number}", before=was, number=number)
        for was, number in counts["renumbered"][:MAX_NUMBERS]
    )
    more = len(counts["renumbered"]) - MAX_NUMBERS
    return [
        (len(each), ", ".join(each)),
        (
            len(counts["renumbered"]),
            tr(
                "tasks renumbered: {numbers}{more}",
                numbers=renumbered,
                more=tr(" and {n:,} more", n=more) if more > 0 else "",
            ),
        ),
    ]


def _format_numbers(found: list[int]) -> str:
    shown = " ".join(f"#{number}" for number in found[:MAX_NUMBERS])
    more = len(found) - MAX_NUMBERS
    return shown + (tr(" and {n:,} more", n=more) if more > 0 else "")


def _format_backup(backup: RestoreSummary) -> str:
    return tr(
        "{id}, {kind}, of {time}, {age} old",
        id=backup["id"],
        kind=backup["kind"],
        time=time_format.format_clock(backup["at"]),
        age=units.format_age(time_format.seconds_since(backup["at"])),
    )


def _format_state_of_database(summary: RestoreSummary) -> str:
    counted = summary["tasks"]
    each = ", ".join(
        f"{many:,} {tr(status.replace('_', ' '))}" for status, many in sorted(counted.items())
    )
    newest = (
        tr(
            ", newest #{number} of {time}",
            number=summary["newest"],
            time=time_format.format_clock(summary["newest_at"]),
        )
        if summary["newest"]
        else ""
    )
    total = tr_n(sum(counted.values()), "{n:,} task", "{n:,} tasks")
    return f"{total}{f' ({each})' if each else ''}{newest}"


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
            "ID of a backup, its first letters, or a file, or a database kept by a restore or an"
            " upgrade; none: the newest good one"
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
