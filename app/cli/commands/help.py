"""`taskdeck help`: help topics, the help of commands, or a list of both."""

from __future__ import annotations

from app import help as topics
from app.cli import help_text, output, registry, styles
from app.cli.parser import Args, Command, Parser
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage
from app.translation import ENGLISH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext

MAX_WIDTH = 100
"""Cells of a line on a wide terminal."""


def print_help(context: CommandContext, args: Args) -> int:
    """Print a topic, the help of a command, or the overview with the list of topics."""
    if not args.words:
        output.print_line(f"{help_text.format_overview()}\n\n{help_text.format_topic_list()}")
    elif len(args.words) == 1 and (topic := _find_topic(args.words[0])) is not None:
        language = ENGLISH if _needs_ascii() else ""
        _print_topic(topics.read_topic(topic, language), context.plain or args.plain)
    elif registry.ALIASES.get(args.words[0], args.words[0]) in registry.COMMAND_INDEX:
        output.print_line(help_text.format_help(args.words))
    else:
        raise _make_unknown_error(*args.words)
    return 0


_SYNONYMS = {
    "reservation": "limits",
    "reservations": "limits",
    "pueue": "from-pueue",
    "tsp": "from-task-spooler",
    "task-spooler": "from-task-spooler",
    "gflow": "from-gflow",
    "gbatch": "from-gflow",
    "sbatch": "from-slurm",
    "cron": "crontab",
}
"""Other words for help topics."""


def _find_topic(word: str) -> str | None:
    topic = _SYNONYMS.get(word, word)
    return topic if topic in topics.list_topics() else None


def _print_topic(text: str, plain: bool) -> None:
    """Print a topic: laid out and paged on a terminal, else as Markdown."""
    if plain or not output.is_stdout_terminal():
        output.print_line(_to_locale(text.rstrip("\n")))
        return
    from app.core.text.markdown import lay_out

    width = min(output.get_columns(), MAX_WIDTH)
    output.print_pages(lay_out(_to_locale(text), width, keep_ticks=not output.has_colour()))


def _to_locale(text: str) -> str:
    """Return the text in ASCII if the terminal needs it."""
    if not _needs_ascii():
        return text
    return text.translate(styles.TO_ASCII | _SIGNS).encode("ascii", "replace").decode()


def _needs_ascii() -> bool:
    return output.is_stdout_terminal() and output.is_ascii_only()


_SIGNS = {
    **{ord(sign[0]): sign[1] for sign in styles.GLYPHS.values()},
    **str.maketrans({"←": "left", "→": "right", "↑": "up", "↓": "down"}),
}
"""ASCII replacements of the signs of states, and of the cursor keys."""


def _make_unknown_error(word: str, *rest: str) -> Usage:
    from app.cli.foreign_words import FOREIGN_COMMANDS

    if word in FOREIGN_COMMANDS:
        return registry.make_unknown_error(word, list(rest))
    found = topics.list_topics()
    meant = find_nearest(word, [*found, *registry.COMMAND_INDEX])
    return Usage(
        'there is no help topic or command "{word}".',
        "{rest}Topics: {found}",
        word=truncate(sanitize(word), 60),
        rest=f"Nearest: {meant}. " if meant else "",
        found=", ".join(found),
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_option("words", nargs="*", metavar="TOPIC", help="topic, or words of a command")
    parser.add_option(
        "--plain", action="store_true", help="print a topic as Markdown text, without a pager"
    )


EXAMPLES = """\
  taskdeck help
  taskdeck help backup
  taskdeck help queue pause"""

COMMANDS = {
    "help": Command(
        "explain a topic or a command",
        print_help,
        _add_arguments,
        EXAMPLES,
        usage="[OPTION …] [TOPIC | COMMAND …]",
    )
}
