"""Parser of one command's options, with errors that say what to type.

argparse errors become `Usage` with our own wording. Numbers and amounts are checked while they are
parsed, so that a message names the option. Every command loads this module, so imports are few.
"""

from __future__ import annotations

import argparse

from app.cli import output
from app.core.task_groups import parse_group
from app.core.text import units
from app.core.text.joining import end_sentence
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext
    from app.errors import Problem

Args = argparse.Namespace


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal.

    Without a width argparse imports shutil for each parser, which takes 1.5 ms.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=output.get_columns() - 2)

    def _get_help_string(self, action: argparse.Action) -> str:
        return tr((action.help or "").replace("%%", "%")).replace("%", "%%")

    def add_usage(
        self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None
    ) -> None:
        super().add_usage(usage, actions, groups, tr("usage: "))

    def start_section(self, heading: str | None) -> None:
        super().start_section(tr(heading or ""))

    def _split_lines(self, text: str, width: int) -> list[str]:
        from app.core.text.wrap import wrap_words  # only for help

        return wrap_words(" ".join(text.split()), width).split("\n")


def make_sentence(summary: str) -> str:
    """Return a summary in the current language as a sentence."""
    return end_sentence(tr(summary)[:1].upper() + tr(summary)[1:])


class Parser(argparse.ArgumentParser):
    """argparse without output, exit or abbreviations."""

    def __init__(self, prog: str, summary: str = "", examples: str = "", **_: Any) -> None:
        super().__init__(
            prog=prog,
            description=make_sentence(summary) if summary else None,
            epilog=f"{tr('examples:')}\n{examples}" if examples else None,
            formatter_class=_HelpFormatter,
            add_help=False,
            allow_abbrev=False,
            exit_on_error=False,
        )
        self._positionals.title = tr_noop("arguments")
        self._optionals.title = tr_noop("options")
        self.takes_command = False

    def add_option(self, *names: str, **how: Any) -> None:
        """Add an option or argument. A `%` in its help is literal."""
        self.add_argument(
            *names, **{**how, "help": how["help"].replace("%", "%%")} if how.get("help") else how
        )

    def make_usage(self) -> str:
        """Return the default usage line, without the program and the command."""
        ids = "(ID … | [GROUP …] FILTER …)" if "--yes" in self._option_string_actions else "ID …"
        words = [
            ids if a.metavar == "ID" else str(a.metavar) for a in self._get_positional_actions()
        ]
        return " ".join(["[OPTION …]", *filter(None, words)])

    def read(self, words: list[str]) -> Args:
        """Return the parsed options. Raise Usage for invalid words."""
        # `-0` is an option, but `-5` after an option is a number.
        self._has_negative_number_optionals.clear()
        try:
            args, rest = self.parse_known_args(words)
        except argparse.ArgumentError as wrong:
            raise Usage(self._describe_error(wrong), self._explain_value(wrong)) from None
        if rest and not args.help:
            raise self.make_unknown_error(rest[0])
        return args

    def error(self, message: str) -> Any:
        """Raise Usage for errors that argparse does not raise."""
        raise Usage(f"{self.prog}: {sanitize(message)}.", self._make_help_hint())

    def make_unknown_error(self, word: str) -> Usage:
        """Return the error for an unknown word or option."""
        shown, command = (
            truncate(sanitize(word.partition("=")[0] if word[:1] == "-" else word), 60),
            self.prog.partition(" ")[2],
        )
        if word[:1] != "-":
            said = tr('unexpected argument: "{shown}".', shown=shown)
            more = tr("A command comes after --.") if self.takes_command else ""
            return Usage(f"{said} {more}".rstrip(), self._make_help_hint())
        from app.cli.foreign_options import find_hint

        name = word.partition("=")[0]
        hint = find_hint(command, word)
        # Without the dashes, which would make unlike names look alike.
        near = find_nearest(
            name.lstrip("-"), [known[2:] for known in self._option_string_actions if known[2:]]
        )
        if not hint:
            hint = tr("Nearest: {meant}", meant=f"--{near}") if near else self._make_help_hint()
        said = tr("unknown option {shown} of {command}.", shown=shown, command=command)
        return Usage(said, hint)

    def _describe_error(self, wrong: argparse.ArgumentError) -> str:
        name = _get_longest_name(wrong.argument_name or "")
        if wrong.message.startswith("expected"):
            return tr("{name} needs a value. Use: {name}=VALUE", name=name)
        if wrong.message.startswith("ignored explicit argument"):
            return tr("{name} takes no value.", name=name)
        if wrong.message.startswith("not allowed with argument"):
            other = _get_longest_name(wrong.message.removeprefix("not allowed with argument "))
            return tr("{name} and {other} cannot be combined.", name=name, other=other)
        return end_sentence(f"{name} {sanitize(wrong.message)}")

    def _explain_value(self, wrong: argparse.ArgumentError) -> str:
        """Return a hint for a letter that means something else in other tools, or ""."""
        from app.cli.foreign_options import find_hint

        name = _get_longest_name(wrong.argument_name or "")
        return (
            find_hint(self.prog.partition(" ")[2], name) if tr("must be") in wrong.message else ""
        )

    def _make_help_hint(self) -> str:
        return tr("See: {program} --help", program=self.prog)


class Command:
    """Function, options and help of one command.

    `usage` replaces the default usage line. `better` may replace the error for invalid words.
    `asks` returns the verb if its name differs from the command's.
    """

    __slots__ = (
        "arguments",
        "get_verb",
        "improve_error",
        "examples",
        "run",
        "summary",
        "takes_command",
        "usage",
    )

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
        self.summary, self.run, self.arguments, self.get_verb = summary, run, arguments, asks
        self.examples, self.takes_command, self.usage, self.improve_error = (
            examples,
            takes_command,
            usage,
            better,
        )

    def read(self, parser: Parser, given: list[str]) -> Args:
        """Parse the words after the command.

        `args.command` holds the words after `--`, or None without `--`.
        """
        end = given.index("--") if self.takes_command and "--" in given else len(given)
        try:
            args = parser.read(given[:end])
        except Usage as wrong:
            raise (self.improve_error(given, wrong) if self.improve_error else wrong) from None
        args.command = given[end + 1 :] if end < len(given) else None
        return args

    def make_parser(self, name: str) -> Parser:
        """Return the parser of this command."""
        parser = Parser(f"taskdeck {name}", self.summary, self.examples)
        parser.takes_command = self.takes_command
        self.add_options(parser)
        parser.usage = f"{parser.prog} {self.usage or parser.make_usage()}"
        return parser

    def add_options(self, parser: Parser) -> None:
        """Add the options of this command to a parser."""
        if self.arguments:
            self.arguments(parser)
        common = parser.add_argument_group("common options")
        common.add_argument(
            "--home", metavar="DIR", help="home directory (default: TASKDECK_HOME, or XDG data)"
        )
        common.add_argument("-h", "--help", action="store_true", help="show this help")


def add_json_options(parser: Parser) -> None:
    """Add --json, --jsonl and -o."""
    _add_output_options(parser, ("json", "jsonl"), tr_noop("json or jsonl"))


def add_row_options(parser: Parser, named: str = tr_noop("names only, one per line")) -> None:
    """Add the output options of a list; `named` describes what `-o name` prints."""
    _add_output_options(
        parser,
        ("json", "jsonl", "tsv", "name"),
        tr("json, jsonl, tsv (a header and one row per line) or name ({named})", named=tr(named)),
    )
    parser.set_defaults(rows=None)


def _add_output_options(parser: Parser, forms: tuple[str, ...], help_text: str) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("--jsonl", action="store_true", help="print one JSON document per line")
    group.add_argument(
        "-o", "--output", action=_OutputAction, type=OneOf(*forms), metavar="FORMAT", help=help_text
    )


class _OutputAction(argparse.Action):
    """Action of -o: sets the flags of --json and --jsonl, or `rows`."""

    def __call__(
        self, parser: Any, args: Args, value: Any, option_string: str | None = None
    ) -> None:
        args.json, args.jsonl = value == "json", value == "jsonl"
        if value in ("tsv", "name"):
            args.rows = value


class OneOf:
    """argparse type: one of several words."""

    __slots__ = ("words",)

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        if text in self.words:
            return text
        nearest = find_nearest(text, self.words)
        *others, last = self.words
        known = tr("{words} or {last}", words=", ".join(others), last=last)
        near = tr(". Nearest: {meant}", meant=nearest) if nearest else ""
        said = tr("must be {known}, not {text}", known=known, text=units.quote(text))
        raise argparse.ArgumentTypeError(f"{said}{near}")


def add_task_ids(
    parser: Parser, what: str = tr_noop("number, uuid or name of a task, or a group")
) -> None:
    """Add the task arguments."""
    parser.add_option("ids", nargs="*", metavar="ID", help=what)


def add_filters(
    parser: Parser,
    description: str = "",
    queue: tuple[str, ...] = ("--queue", "-q"),
    named: tuple[str, ...] = ("--name", "-n"),
) -> Any:
    """Add the task filters and return their group with a description."""
    group = parser.add_argument_group("filters", description or None)
    group.add_argument(
        "--status",
        action="append",
        metavar="STATE",
        type=parse_statuses,
        help="in this state; repeatable",
    )
    group.add_argument(
        *queue, dest="queue", metavar="QUEUE", type=require_text, help="in this queue"
    )
    group.add_argument(
        *named, dest="name", metavar="NAME", type=require_text, help="with this name"
    )
    group.add_argument(
        "--tag", action="append", metavar="K=V", type=parse_pair, help="with this tag; repeatable"
    )
    group.add_argument(
        "--since", metavar="TIME", type=AGE, help="submitted since 2h (ago), 10:00, yesterday, …"
    )
    group.add_argument(
        "--filter",
        metavar="TEXT",
        help="as in the deck: 'status:failed name:enc* tag:env=prod !word'",
    )
    return group


def add_selectors(parser: Parser, usual: str, **names: tuple[str, ...]) -> None:
    """Add filters and --yes to a command that changes tasks; `usual` names the default states."""
    help_text = tr("alone or after groups; without --status: {usual}", usual=tr(usual))
    add_filters(parser, help_text, **names).add_argument(
        "--yes", action="store_true", help="do not ask"
    )


def collect_filters(args: Args) -> dict[str, Any]:
    """Return the given filters as arguments of a verb.

    Raise Usage if --filter is combined with others.
    """
    chosen = {
        "status": [s for group in args.status for s in group] if args.status else None,
        "queue": args.queue,
        "name": args.name,
        "tag": dict(args.tag) if args.tag else None,
        "since": args.since,
    }
    filters = {key: value for key, value in chosen.items() if value is not None}
    if args.filter is None:
        return filters
    if filters:
        raise Usage(
            "--filter cannot be combined with other filters; use status:failed queue:gpu "
            "… in its text. Nothing was done."
        )
    if not args.filter.strip():
        raise Usage("--filter must not be empty. Nothing was done.")
    return {"filter": args.filter}


def collect_selection(args: Args, verb: str, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return tasks, or filters together with the groups that `words` name.

    Raise Usage if filters come with a word for a task.
    """
    chosen = collect_filters(args)
    if not words or not chosen:
        return words, chosen
    if any(parse_group(word) is None for word in words):
        raise Usage(
            "{verb} takes tasks or filters, not both. Nothing was changed.",
            "A group goes with filters: taskdeck {verb} g12 --status STATE",
            verb=verb,
        )
    if "filter" in chosen:
        return [], {"filter": f"group:{','.join(words)} {chosen['filter']}"}
    return [], {"group": words, **chosen}


def explain_wildcards(chosen: dict[str, Any]) -> str:
    """Return a hint if a name contains `*` or `?`, which are literal here, else ""."""
    name = chosen.get("name") or ""
    if "*" not in name and "?" not in name:
        return ""
    import re
    import shlex

    from app.core.filter_query import quote_word  # loads the filter parser, which few commands need

    pattern = "".join(
        part if part in ("*", "?") else quote_word(part)
        for part in re.split("([*?])", name)
        if part
    )
    return tr(
        "* and ? are literal in --name. To match a pattern: --filter {pattern}",
        pattern=shlex.quote(f"name:{pattern}"),
    )


def make_type(parse: Callable[..., Any], *bounds: int) -> Callable[[str], Any]:
    """Return an argparse type for a parsing function such as those of `units`.

    The error message continues from the name of the option.
    """

    def convert(text: str) -> Any:
        try:
            return parse(text, *bounds)
        except ValueError as wrong:
            raise argparse.ArgumentTypeError(str(wrong)) from None

    return convert


def _parse_age(text: str) -> float:
    from datetime import UTC, datetime

    return units.parse_age(text, datetime.now(UTC))


def parse_statuses(text: str) -> list[str]:
    """Parse task states separated by commas; waiting, active and ended name several."""
    words = text.lower().replace("-", "_").replace(" ", "_").split(",")
    return [status for word in words for status in STATUS_GROUPS.get(word) or [_parse_status(word)]]


STATUSES = (
    "scheduled", "blocked", "held", "queued", "running", "retrying",
    "succeeded", "failed", "timed_out", "cancelled", "lost",
)  # fmt: skip


STATUS_GROUPS = {
    "waiting": ["scheduled", "blocked", "held", "queued", "retrying"],
    "active": ["running"],
    "ended": ["succeeded", "failed", "timed_out", "cancelled", "lost"],
}


def _parse_status(word: str) -> str:
    if word in STATUSES:
        return word
    nearest = find_nearest(word, [*STATUSES, *STATUS_GROUPS])
    if word == "paused":
        near = tr("paused is the state of a run: --filter status:paused")
    elif nearest:
        near = tr("Nearest: {meant}", meant=nearest)
    else:
        near = tr("States: {states}; or waiting, active, ended", states=", ".join(STATUSES))
    said = tr("{word} is no state of a task.", word=units.quote(word))
    raise argparse.ArgumentTypeError(f"{said} {near}")


def parse_pair(text: str) -> tuple[str, str]:
    """Parse KEY=VALUE."""
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise argparse.ArgumentTypeError(
            tr("must be written NAME=VALUE, not {text}", text=units.quote(text))
        )
    return key, value


def require_text(text: str) -> str:
    """Return the text unchanged; reject an empty one, as from an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError(tr("must not be empty"))
    return text


def parse_new_name(text: str) -> str:
    """Return a valid name for something new."""
    wrong = find_name_error(text)
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return text


def require_new_name(args: Args, what: str) -> str:
    """Return the single NAME of something new. Raise Usage."""
    name = require_one_name(args, what)
    wrong = find_name_error(name)
    if wrong:
        raise Usage(
            "the name of a {kind} {wrong}. Nothing was created.", kind=name_kind(what), wrong=wrong
        )
    return name


def name_kind(group: str) -> str:
    """Return the word for what a group of commands manages."""
    return tr(_KINDS.get(group, group))


_KINDS = {
    "queue": tr_noop("queue"),
    "pool": tr_noop("pool"),
    "resource": tr_noop("resource"),
    "limit": tr_noop("limit"),
    "reserve": tr_noop("reservation"),
    "template": tr_noop("template"),
    "schedule": tr_noop("schedule"),
    "sla": tr_noop("rule"),
    "silence": tr_noop("silence"),
}


def require_one_name(args: Args, what: str) -> str:
    """Return the single NAME. Raise Usage."""
    if len(args.names) != 1:
        raise Usage(
            "which {kind}? {rest}. List: taskdeck {what} ls",
            kind=name_kind(what),
            rest=tr("Give one name") if args.names else tr("Give its name"),
            what=what,
        )
    if not args.names[0]:
        raise Usage(
            "the name of a {kind} must not be empty.",
            "List: taskdeck {what} ls",
            kind=name_kind(what),
            what=what,
        )
    return args.names[0]


def _get_longest_name(names: str) -> str:
    return max(names.split("/"), key=len)


PRIORITY = make_type(units.parse_int, -1_000_000, 1_000_000)
RETRIES = make_type(units.parse_int, 0, 10_000)
CAPACITY = make_type(units.parse_int, 0, 100_000)
LIMIT = make_type(units.parse_int, 0, 100_000_000)
DURATION = make_type(units.parse_duration)
TIMEOUT = make_type(units.parse_positive_duration)
AGE = make_type(_parse_age)
"""A past time, as seconds before now."""
SIZE = make_type(units.parse_size)
CPU = make_type(units.parse_cpu)
