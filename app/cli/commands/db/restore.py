"""`taskdeck db restore`: a backup in the place of the database, or in a file of its own."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.commands.db.backup import WHICH
from app.cli.parser import Args, Command, Parser, as_json, read
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Conflict, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

    Told = dict[str, Any]

SHOWN = 10
"""Numbers of tasks that are named; more are counted."""


def restore(session: Session, args: Args) -> int:
    """Say what would change, ask, and do it."""
    if len(args.ids) > 1 or args.ids and args.at:
        raise Usage("one backup at a time: its ID, or --at TIME. Nothing was done.", "List: taskdeck db backups")
    if "" in args.ids:
        raise Usage("the ID of a backup must not be empty. Nothing was done.", "List: taskdeck db backups. The newest good one: no ID")
    ident = args.ids[0] if args.ids else None
    if args.to is not None:
        return _to_file(session, args, ident, args.at)
    if not (args.yes or args.dry_run or output.keyboard() and output.people()):
        from app.offline import backup_picker as offline_backup_picker

        what = offline_backup_picker.named(session.home, ident, args.at)["id"]
        raise Usage(f"this would put {clean(what)} in the place of the database. Nothing was done.", "See it: --dry-run. To do it: --yes")
    return _in_place(session, args, ident, args.at)


def _to_file(session: Session, args: Args, ident: str | None, at: str | None) -> int:
    import os

    if not args.to:
        raise Usage("--to must not be empty. Nothing was done.", "Type: --to=FILE")
    if args.to == "-":
        raise Usage("--to takes a file: a database is not written to stdout. Nothing was done.", "Type: --to=FILE (--to=./- for that name)")
    if args.dry_run:
        raise Usage("--to changes nothing, so there is nothing to try out. Nothing was done.", "Leave out --dry-run")
    from app.offline import restore as offline_restore

    done = offline_restore.restore_to(session.home, ident, at, os.path.abspath(args.to))
    if args.json or args.jsonl:
        output.document(done, args.jsonl)
    else:
        output.line(f"{_which(done['backup'])} restored into {clean(done['to'])}: {_stand(done['after'])}")
    return 0


def _in_place(session: Session, args: Args, ident: str | None, at: str | None) -> int:
    from app.offline import restore as restore_module

    quiet = args.json or args.jsonl

    def agree(told: Told) -> bool:
        if not quiet:
            for line in changes(told):
                output.line(clean(line))
            output.flush()
        if args.dry_run:
            return False
        if args.yes or output.ask("Put it in the place of the database?"):
            return True
        raise Usage("nothing was changed.")

    try:
        done = restore_module.restore_home(session.home, ident, at, agree, args.dry_run, asks=not (args.yes or args.dry_run))
    except Conflict as problem:
        raise _held_by(session.home, problem) from None
    if quiet:
        output.document(done, args.jsonl)
    elif done["restored"]:
        kept = f"; the one before is {clean(done['kept'])}, to go back to: taskdeck db restore FILE" if done["kept"] else ""
        output.line(f"restored{kept}")
        output.note("no runtime is up yet. Start it: taskdeck serve --detach")
    return 0


def _held_by(home: str, problem: Conflict) -> Conflict:
    """The same, where a runtime has the home. Any other command that has it cannot be stopped like one, and comes to its end by itself."""
    from app.client import dial

    if problem.code != "runtime-exists":
        return problem
    line = dial(home)
    if line is not None:
        line.close()
        return problem
    said = problem.message.replace("a runtime already has", "another command, or a runtime that is not up yet, has", 1)
    return Conflict(said, "Try again in a moment.")


def changes(told: Told) -> list[str]:
    """What a restore changes, a sentence a line."""
    carried = told["carried"]
    return [
        f"backup  {_which(told['backup'])}",
        f"now     {_stand(told['before']) if told['before'] else 'cannot be read'}{_state(told['present'])}",
        f"then    {_stand(told['after'])}",
        *(line for many, line in _carried(carried) if many),
        *_left(carried),
        f"the next task will be #{carried['next']}",
    ]


def _state(present: str) -> str:
    return "" if present == "whole" else f" ({present})"


def _carried(carried: Told) -> list[tuple[int, str]]:
    """What is brought over from the time since, and what cannot be."""
    tasks, ended, lost, unreadable = carried["tasks"], carried["ended"], carried["lost"], carried["unreadable"]
    alone = carried["adopted"]
    return [
        (len(tasks), f"{_count(len(tasks), 'task')} submitted since {_is(len(tasks))} brought over: {_numbers(tasks)}"),
        (len(ended), f"{_count(len(ended), 'task')} ended since and {_is(len(ended))} not run again: {_numbers(ended)}"),
        *_wishes(carried),
        (carried["alive"], f"{_count(carried['alive'], 'run')} {'goes' if carried['alive'] == 1 else 'go'} on"),
        (len(alone), f"{_count(len(alone), 'job')} {'goes on whose task is' if len(alone) == 1 else 'go on whose tasks are'} lost, made "
                     f"anew as {_numbers(alone)}; to end one: taskdeck cancel TASK"),
        (len(lost), f"{'up to ' if carried['at_most'] else ''}{_count(len(lost), 'task')} submitted since cannot be read and "
                    f"{_is(len(lost))} lost: {_numbers(lost)}"),
        (len(unreadable), f"{_count(len(unreadable), 'task')} submitted since cannot be read and {_is(len(unreadable))} left out: "
                          f"{_numbers(unreadable)}"),
        (carried["aside"], f"what cannot be read of the rest is set aside ({carried['aside']:,}): taskdeck operations"),
        (carried["unknown"], f"{_count(carried['unknown'], 'run')} that the backup does not know: of which task cannot be told"),
        (carried["held"], f"so {_count(carried['held'], 'waiting task')} may have run and {_is(carried['held'])} held; to let one go: "
                          "taskdeck release TASK"),
    ]  # fmt: skip


def _left(carried: Told) -> list[str]:
    """What the present database has and the restored one will not have."""
    made = [_named(kind, names) for kind, names in carried["dropped"].items()]
    undone = [f"{many:,} {verb}" for verb, many in carried["undone"].items()]
    lines = [f"not brought over, made since: {', '.join(made)}"] if made else []
    if carried["operations"]:
        lost = f"; what they changed is lost: {_some(undone)}" if undone else ""
        lines.append(f"{_count(carried['operations'], 'operation')} since {_is(carried['operations'])} not in its log{lost}")
    return lines


def _named(kind: str, names: list[str]) -> str:
    """`queue night`, `2 rules (late, slow)`."""
    word = "rule" if kind == "sla" else kind
    return f"{word} {names[0]}" if len(names) == 1 else f"{_count(len(names), word)} ({_some(names)})"


def _some(words: list[str]) -> str:
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _wishes(carried: Told) -> list[tuple[int, str]]:
    """What people asked for since, and which numbers could not stay."""
    words = {"cancelled": "cancelled", "stay_held": "held", "released": "released", "deleted": "deleted"}
    wishes = [(carried[name], word) for name, word in words.items() if carried[name]]
    each = [
        f"{many:,} {_stay(many)} {word}" if at else f"{_count(many, 'task')} {word} since {_stay(many)} {word}"
        for at, (many, word) in enumerate(wishes)
    ]
    anew = ", ".join(f"#{was} is now #{number}" for was, number in carried["renumbered"][:SHOWN])
    more = len(carried["renumbered"]) - SHOWN
    return [
        (len(each), ", ".join(each)),
        (len(carried["renumbered"]), f"numbers that the backup has given to others: {anew}{f' and {more:,} more' if more > 0 else ''}"),
    ]


def _stay(many: int) -> str:
    return "stays" if many == 1 else "stay"


def _count(many: int, what: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def _is(many: int) -> str:
    return "is" if many == 1 else "are"


def _numbers(found: list[int]) -> str:
    shown = " ".join(f"#{number}" for number in found[:SHOWN])
    return shown if len(found) <= SHOWN else f"{shown} and {len(found) - SHOWN:,} more"


def _which(backup: Told) -> str:
    return f"{backup['id']}, {backup['kind']}, of {time_format.clock(backup['at'])}, {units.age(time_format.since(backup['at']))} old"


def _stand(stand: Told) -> str:
    """`12 tasks (3 queued, 9 succeeded), newest #12 of 10:42`."""
    counted = stand["tasks"]
    each = ", ".join(f"{many:,} {status.replace('_', ' ')}" for status, many in sorted(counted.items()))
    newest = f", newest #{stand['newest']} of {time_format.clock(stand['newest_at'])}" if stand["newest"] else ""
    return f"{_count(sum(counted.values()), 'task')}{f' ({each})' if each else ''}{newest}"


def _moment(text: str) -> str:
    """A time that is over, as it is stored: a time of day is the last one, a duration so long ago."""
    from app.offline import backup_picker

    return backup_picker.moment(text)


def _arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help=f"{WHICH} or one that a restore or an upgrade kept; none: the newest good one")
    parser.option(
        "--at", metavar="TIME", type=read(_moment),
        help="the newest good one of that time or before: 10:00, 'yesterday 10:00', 2026-01-31T08:00, or 2h for so long ago",
    )  # fmt: skip
    parser.option("--to", metavar="FILE", help="into a new file; nothing else is touched")
    parser.option("--dry-run", action="store_true", help="only say what would change")
    parser.option("--yes", action="store_true", help="do not ask")
    as_json(parser)


COMMANDS = {
    "restore": Command(
        "put a backup in the place of the database", restore, _arguments,
        "  taskdeck db restore --dry-run\n  taskdeck stop && taskdeck db restore --at 10:00\n  taskdeck db restore --to /tmp/then.db",
        usage="[OPTION …] [ID]",
    ),
}  # fmt: skip
