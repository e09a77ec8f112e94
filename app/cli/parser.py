"""How the words after a verb are read: one small parser for the verb that was named, and errors that say what to type.

argparse reads; what it finds wrong becomes a `Usage` here, in our words. Numbers and amounts are checked while they are
read, so that a message names the option. Everything here is on the way of every command: imports are few on purpose.
"""

from __future__ import annotations

import argparse

from app.core.text import units
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext
    from app.errors import Problem

Args = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """argparse with no output, no exit and no guessing of its own."""

    def __init__(self, prog: str, summary: str = "", examples: str = "", **_: Any) -> None:
        super().__init__(
            prog=prog,
            description=f"{summary[:1].upper()}{summary[1:]}." if summary else None,
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
            exit_on_error=False,
        )
        self._positionals.title = "what"

    def add_option(self, *names: str, **how: Any) -> None:
        """One option; `%` in its help is text, not a format."""
        self.add_argument(*names, **{**how, "help": how["help"].replace("%", "%%")} if how.get("help") else how)

    def make_usage(self) -> str:
        """The first line of most helps, after the verb."""
        words = [f"{a.metavar} …" if a.metavar == "ID" else str(a.metavar) for a in self._get_positional_actions()]
        return " ".join(["[OPTION …]", *filter(None, words)])

    def read(self, words: list[str]) -> Args:
        """The options of these words; raises Usage when they make no sense."""
        # `-0` is an option of ours; `-5` after an option is a number all the same.
        self._has_negative_number_optionals.clear()
        try:
            args, rest = self.parse_known_args(words)
        except argparse.ArgumentError as wrong:
            raise Usage(self._describe_error(wrong)) from None
        if rest and not args.help:
            raise self.make_unknown_error(rest[0])
        return args

    def error(self, message: str) -> Any:
        """Called by argparse for what it raises nothing for."""
        raise Usage(f"{self.prog}: {sanitize(message)}.", self._make_help_hint())

    def make_unknown_error(self, word: str) -> Usage:
        """What to say about a word that is no option of this verb."""
        shown, verb = truncate(sanitize(word.partition("=")[0] if word[:1] == "-" else word), 60), self.prog.partition(" ")[2]
        if word[:1] != "-":
            return Usage(f'{verb} has no use for the word "{shown}".', self._make_help_hint())
        meant = find_nearest(word.partition("=")[0], [name for name in self._option_string_actions if len(name) > 2])
        return Usage(f"{verb} has no option {shown}.", f"Nearest: {meant}" if meant else self._make_help_hint())

    def _describe_error(self, wrong: argparse.ArgumentError) -> str:
        name = _get_longest_name(wrong.argument_name or "")
        if wrong.message.startswith("expected"):
            return f"{name} needs a value. Type: {name}=VALUE"
        if wrong.message.startswith("ignored explicit argument"):
            return f"{name} takes no value."
        if wrong.message.startswith("not allowed with argument"):
            return f"{name} and {_get_longest_name(wrong.message.removeprefix('not allowed with argument '))} are one too many."
        return f"{name} {sanitize(wrong.message)}."

    def _make_help_hint(self) -> str:
        return f"See: {self.prog} --help"


class Command:
    """One verb: what reads its options, what does it, and how its help begins and ends.

    `usage` is the first line of the help after the verb, where the usual one would not say it all; `better` may know a
    better answer to words that cannot be read; `asks` says which verb of the runtime it is, where its name does not.
    """

    __slots__ = ("arguments", "asks", "better", "examples", "run", "summary", "takes_command", "usage")

    def __init__(
        self,
        summary: str,
        run: Callable[[CommandContext, Args], int],
        arguments: Callable[[Parser], None] | None = None,
        examples: str = "",
        takes_command: bool = False,
        usage: str = "",
        better: Callable[[list[str], Usage], Problem] | None = None,
        asks: Callable[[Args], str] | None = None,
    ) -> None:
        self.summary, self.run, self.arguments, self.asks = summary, run, arguments, asks
        self.examples, self.takes_command, self.usage, self.better = examples, takes_command, usage, better

    def read(self, parser: Parser, given: list[str]) -> Args:
        """The options in the words after the verb; `args.command` is what stands after `--`, None without one."""
        end = given.index("--") if self.takes_command and "--" in given else len(given)
        try:
            args = parser.read(given[:end])
        except Usage as wrong:
            raise (self.better(given, wrong) if self.better else wrong) from None
        args.command = given[end + 1 :] if end < len(given) else None
        return args

    def make_parser(self, name: str) -> Parser:
        """The parser of this verb alone."""
        parser = Parser(f"taskdeck {name}", self.summary, self.examples)
        self.add_options(parser)
        parser.usage = f"{parser.prog} {self.usage or parser.make_usage()}"
        return parser

    def add_options(self, parser: Parser) -> None:
        """Give a parser the options of this verb."""
        if self.arguments:
            self.arguments(parser)
        common = parser.add_argument_group("everywhere")
        common.add_argument("--home", metavar="DIR", help="the home to work with (TASKDECK_HOME, or XDG data)")
        common.add_argument("-h", "--help", action="store_true", help="this text")


def add_json_options(parser: Parser) -> None:
    """--json, --jsonl and -o, which every reading command takes."""
    _add_output_options(parser, ("json", "jsonl"), "json or jsonl")


def add_row_options(parser: Parser, named: str = "names only, one a line") -> None:
    """The same for a list, which can also be a table for programs, or only what its rows are `named` by."""
    _add_output_options(parser, ("json", "jsonl", "tsv", "name"), f"json, jsonl, tsv (a header, then a row a line) or name ({named})")
    parser.set_defaults(rows=None)


def _add_output_options(parser: Parser, forms: tuple[str, ...], told: str) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="one JSON document")
    group.add_argument("--jsonl", action="store_true", help="a JSON document a line")
    group.add_argument("-o", "--output", action=_OutputAction, type=OneOf(*forms), metavar="FORMAT", help=told)


class _OutputAction(argparse.Action):
    """-o FORMAT: sets what --json and --jsonl set, or `rows`."""

    def __call__(self, parser: Any, args: Args, value: Any, option_string: str | None = None) -> None:
        args.json, args.jsonl = value == "json", value == "jsonl"
        if value in ("tsv", "name"):
            args.rows = value


class OneOf:
    """A type for argparse: one of these words."""

    __slots__ = ("words",)

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        if text in self.words:
            return text
        meant = find_nearest(text, self.words)
        known = f"{', '.join(self.words[:-1])} or {self.words[-1]}"
        near = f". Nearest: {meant}" if meant else ""
        raise argparse.ArgumentTypeError(f"must be {known}, not {units.quote(text)}{near}")


def add_task_ids(parser: Parser, what: str = "its number, uuid or name") -> None:
    """The tasks that a verb is about."""
    parser.add_option("ids", nargs="*", metavar="ID", help=what)


def add_filters(
    parser: Parser, told: str = "", queue: tuple[str, ...] = ("--queue", "-q"), named: tuple[str, ...] = ("--name", "-n")
) -> Any:
    """Which tasks: by state, queue, name, tag, age. The group, for more; `told` stands above it in the help."""
    group = parser.add_argument_group("which tasks", told or None)
    group.add_argument("--status", action="append", metavar="STATE", type=parse_statuses, help="in this state; may repeat")
    group.add_argument(*queue, dest="queue", metavar="QUEUE", type=require_text, help="in this queue")
    group.add_argument(*named, dest="name", metavar="NAME", type=require_text, help="with this name")
    group.add_argument("--tag", action="append", metavar="K=V", type=parse_pair, help="with this tag; may repeat")
    group.add_argument("--since", metavar="TIME", type=DURATION, help="submitted in the last 2h, 3d, …")
    group.add_argument("--filter", metavar="TEXT", help="as in the deck: 'status:failed name:enc* tag:env=prod !word'")
    return group


def add_selectors(parser: Parser, usual: str, **names: tuple[str, ...]) -> None:
    """The filters in place of ids, for verbs that change tasks; `usual` are the states that are meant without --status."""
    told = f"in place of ID; without --status, what is {usual}"
    add_filters(parser, told, **names).add_argument("--yes", action="store_true", help="do not ask")


def collect_filters(args: Args) -> dict[str, Any]:
    """The filters that were given, as the verbs take them; empty when there are none. Raises Usage for a line beside others."""
    chosen = {
        "status": [s for group in args.status for s in group] if args.status else None,
        "queue": args.queue,
        "name": args.name,
        "tag": dict(args.tag) if args.tag else None,
        "since": args.since,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    if args.filter is None:
        return given
    if given:
        raise Usage("--filter takes the place of the other filters: write status:failed queue:gpu … in it. Nothing was done.")
    if not args.filter.strip():
        raise Usage("--filter must not be empty. Nothing was done.")
    return {"filter": args.filter}


def explain_wildcards(chosen: dict[str, Any]) -> str:
    """What to say of a name with a `*` or a `?`, which stand for themselves here; "" of any other."""
    name = chosen.get("name") or ""
    if "*" not in name and "?" not in name:
        return ""
    import re
    import shlex

    from app.core.filter_query import quote_word  # with all it takes to read a filter, which few lines need

    pattern = "".join(part if part in ("*", "?") else quote_word(part) for part in re.split("([*?])", name) if part)
    return f"a name means itself here, its * and ? too. For all that it is a pattern of: --filter {shlex.quote(f'name:{pattern}')}"


def make_type(parse: Callable[..., Any], *bounds: int) -> Callable[[str], Any]:
    """A type for argparse from one of `amounts`' parsers, whose refusal goes on from the option's name."""

    def convert(text: str) -> Any:
        try:
            return parse(text, *bounds)
        except ValueError as wrong:
            raise argparse.ArgumentTypeError(str(wrong)) from None

    return convert


def parse_statuses(text: str) -> list[str]:
    """One state of a task, or several with commas."""
    return [_parse_status(word) for word in text.lower().replace("-", "_").replace(" ", "_").split(",")]


STATUSES = (
    "scheduled", "blocked", "held", "queued", "running", "retrying",
    "succeeded", "failed", "timed_out", "cancelled", "lost",
)  # fmt: skip


def _parse_status(word: str) -> str:
    if word in STATUSES:
        return word
    meant = find_nearest(word, STATUSES)
    near = f"Nearest: {meant}" if meant else f"States: {', '.join(STATUSES)}"
    if word == "paused":
        near = "That is the state of a run: --filter status:paused"
    raise argparse.ArgumentTypeError(f"must be the state of a task, not {units.quote(word)}. {near}")


def parse_pair(text: str) -> tuple[str, str]:
    """KEY=VALUE."""
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise argparse.ArgumentTypeError(f"must be written NAME=VALUE, not {units.quote(text)}")
    return key, value


def require_text(text: str) -> str:
    """The name of something that is there, or a path: an empty one, as of a variable that is not set, never means the usual one."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def parse_new_name(text: str) -> str:
    """A name for something new."""
    wrong = find_name_error(text)
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return text


def require_new_name(args: Args, what: str) -> str:
    """The one NAME that was given for something new; raises Usage that begins with what it is for."""
    given = require_one_name(args, what)
    wrong = find_name_error(given)
    if wrong:
        raise Usage(f"the name of a {what} {wrong}. Nothing was created.")
    return given


def require_one_name(args: Args, what: str) -> str:
    """The one word that was given."""
    if len(args.names) != 1:
        raise Usage(f"which {what}? {'One at a time' if args.names else 'Give its name'}. List: taskdeck {what} ls")
    if not args.names[0]:
        raise Usage(f"the name of a {what} must not be empty.", f"List: taskdeck {what} ls")
    return args.names[0]


def _get_longest_name(names: str) -> str:
    return max(names.split("/"), key=len)


PRIORITY = make_type(units.parse_int, -1_000_000, 1_000_000)
RETRIES = make_type(units.parse_int, 0, 10_000)
CAPACITY = make_type(units.parse_int, 0, 100_000)
LIMIT = make_type(units.parse_int, 0, 100_000_000)
DURATION = make_type(units.parse_duration)
SIZE = make_type(units.parse_size)
CPU = make_type(units.parse_cpu)
