"""`taskdeck import` of tasks that wait in another queue manager."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext
    from app.cli.imports.take_over import Peer


def import_pueue(context: CommandContext, args: Args) -> int:
    """Show what each task of pueue becomes; with --apply, take the waiting ones over."""
    from app.cli.imports.pueue import Pueue

    if len(args.files) > 1:
        raise Usage("give one FILE. Nothing was changed.")
    return _import(context, args, Pueue(args.files[0] if args.files else None))


def import_task_spooler(context: CommandContext, args: Args) -> int:
    """Show what each job of task-spooler becomes; with --apply, take the queued ones over."""
    from app.cli.imports.task_spooler import TaskSpooler

    return _import(context, args, TaskSpooler())


def import_gflow(context: CommandContext, args: Args) -> int:
    """Show what each job of gflow becomes; with --apply, take the queued ones over."""
    from app.cli.imports.gflow import Gflow

    return _import(context, args, Gflow())


def _import(context: CommandContext, args: Args, peer: Peer) -> int:
    from shlex import join

    from app.cli.imports import report, take_over
    from app.cli.imports.journal import has_journal
    from app.translation import tr

    files: list[str] = getattr(args, "files", [])
    command = None if args.apply else join(["taskdeck", "import", peer.name, *files, "--apply"])
    found = (take_over.apply if args.apply else take_over.preview)(context, peer)
    if args.json or args.jsonl:
        shown = report.make_json(found)
        output.print_json(shown["items"] if args.jsonl else shown, args.jsonl)
    else:
        report.print_report(found, peer.name, command, args.wide)
    if command is not None and has_journal(context.home, peer.name):
        output.print_note(
            tr("an import from there was interrupted. To finish it: {command}", command=command)
        )
    return 1 if found.unclear else 0


def _add_arguments(parser: Parser) -> None:
    add = parser.add_option
    add(
        "--apply", action="store_true", help="take the waiting tasks over; running tasks stay there"
    )
    add("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


def _add_pueue_arguments(parser: Parser) -> None:
    parser.add_option(
        "files", nargs="*", metavar="FILE", help="state of pueue (default: state.json of yours)"
    )
    _add_arguments(parser)


def _choose_verb(args: Args) -> str:
    return "submit" if args.apply else "queue.ls"


PUEUE_EXAMPLES = """\
  taskdeck import pueue
  taskdeck import pueue --apply
  taskdeck import pueue /backup/pueue/state.json --json"""

SPOOLER_EXAMPLES = """\
  taskdeck import task-spooler
  taskdeck import task-spooler --apply
  TS_SOCKET=/tmp/gpu.socket taskdeck import task-spooler --apply"""

GFLOW_EXAMPLES = """\
  taskdeck import gflow
  taskdeck import gflow --apply"""

PEER_COMMANDS = {
    "pueue": Command(
        "show or take over the tasks that wait in pueue",
        import_pueue,
        _add_pueue_arguments,
        PUEUE_EXAMPLES,
        usage="[FILE] [OPTION …]",
        asks=_choose_verb,
    ),
    "task-spooler": Command(
        "show or take over the jobs that are queued in task-spooler (tsp)",
        import_task_spooler,
        _add_arguments,
        SPOOLER_EXAMPLES,
        usage="[OPTION …]",
        asks=_choose_verb,
    ),
    "gflow": Command(
        "show or take over the jobs that are queued in gflow",
        import_gflow,
        _add_arguments,
        GFLOW_EXAMPLES,
        usage="[OPTION …]",
        asks=_choose_verb,
    ),
}
