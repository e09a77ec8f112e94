"""Command-line entry point: words to exit code. Only the module of the command is loaded."""

from __future__ import annotations

import os

from app import cluster, paths, translation
from app.cli import output, registry
from app.cli.context import CommandContext, read_language
from app.core.text.joining import end_sentence
from app.errors import Conflict, Problem, Usage, make_process_limit_error
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from app.cli.parser import Args, Command

EXIT_SIGPIPE = 141
"""128 + SIGPIPE, as a shell reports a writer whose reader is gone."""

_REPLICA_COMMANDS = frozenset({"db promote", "version", "completion", "demo", "help"})
"""Commands allowed in the folder of a replica without --read-only; others would take the folder for
an empty home."""
_HOMELESS_COMMANDS = frozenset({
    "version", "completion", "demo", "doctor", "help", "service install",
    "service uninstall",
})  # fmt: skip
"""Commands that need no home, also where a cluster has it on another host."""
_READ_ONLY_COMMANDS = frozenset(
    {
        "completion",
        "help",
        "mcp",
        "schedule.preview",
        "sla.presets",
        "sla.schema",
        "version",
        "wait",
    }
)
"""Commands that change nothing, besides those whose verb is in `READ_ONLY_VERBS`."""
_GLOBAL_OPTIONS = (
    "--home",
    "--help",
    "--version",
    "--ascii",
    "--plain",
    "--read-only",
    "--in-process",
)


def run(
    argv: list[str],
    deck: Callable[..., int],
    serve: Callable[..., int],
    keys: Callable[..., list[str]],
    agents: Callable[..., int],
) -> int:
    """Execute the command line `argv` (without the program name) and return the exit code.

    `deck` opens the deck, `serve` runs the runtime, `keys` reports faults in the user's key
    bindings, `agents` answers a coding agent. Raise KeyboardInterrupt after an interrupt, when
    everything is closed and flushed.
    """
    output.open_missing_streams()
    translation.use_language(translation.find_language(os.environ, read_language))
    try:
        code = _run_guarded(lambda: _dispatch(argv, deck, serve, keys, agents))
    except KeyboardInterrupt:
        _run_guarded(output.flush)
        raise
    return _run_guarded(output.flush) or code


def _run_guarded(work: Callable[[], int | None]) -> int:
    """Return the exit code of `work`; only KeyboardInterrupt escapes."""
    try:
        return work() or 0
    except Problem as problem:
        output.print_problem(problem)
        return problem.exit_code
    except BrokenPipeError:
        output.discard_output()
        return EXIT_SIGPIPE
    except Exception as error:
        problem = make_process_limit_error(error)
        output.print_note(str(problem) if problem else _format_internal_error(error))
        return 1


def _format_internal_error(error: Exception) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = (
        tr(
            " ({file}, line {line})",
            file=at.tb_frame.f_code.co_filename.rpartition("/app/")[2],
            line=at.tb_lineno,
        )
        if at
        else ""
    )
    return tr(
        "internal error: {kind}: {error}{place}. Please report it.",
        kind=type(error).__name__,
        error=error,
        place=place,
    )


def _dispatch(
    argv: list[str],
    deck: Callable[..., int],
    serve: Callable[..., int],
    keys: Callable[..., list[str]],
    agents: Callable[..., int],
) -> int:
    before, words = _parse_globals(argv)
    if "version" in before:
        words = ["version"]
    if "help" in before:
        words = [*words, "--help"]
    if words[:1] == ["--help"]:
        from app.cli.help_text import format_overview

        return _print_text(format_overview())
    context = CommandContext(
        before.get("home"),
        deck,
        serve,
        keys,
        agents,
        read_only="read-only" in before,
        plain="plain" in before,
    )
    try:
        if "in-process" in before and not {"help", "version"} & before.keys():
            return _run_in_process(context, before, words)
        return (
            _run_without_command(context, before)
            if not words
            else _run_named_command(context, words)
        )
    finally:
        context.close()


def _parse_globals(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        word, sign, value = rest.pop(0).partition("=")
        word = {"-h": "--help", "-V": "--version"}.get(word, word)
        if word not in _GLOBAL_OPTIONS or (sign and word != "--home"):
            raise _make_unknown_option_error(word)
        if word == "--home" and not sign:
            if not rest:
                raise Usage("--home needs a value. Use: --home=DIR")
            value = rest.pop(0)
        found[word[2:]] = value
    return found, rest


def _make_unknown_option_error(word: str) -> Usage:
    from app.cli.foreign_options import find_hint
    from app.core.text.sanitize import find_nearest, sanitize, truncate

    meant = find_nearest(word, _GLOBAL_OPTIONS)
    nearest = tr("Nearest: {meant}", meant=meant) if meant else tr("See: taskdeck --help")
    said = tr("unknown option {shown}.", shown=truncate(sanitize(word), 60))
    return Usage(said, find_hint("", word) or nearest)


def _run_without_command(context: CommandContext, options: dict[str, str]) -> int:
    """Open the deck, or print the status without a terminal."""
    if output.is_stdout_terminal() and output.is_stdin_terminal():
        return _open_deck(context, options)
    return _run_named_command(context, ["status"])


def _run_in_process(context: CommandContext, options: dict[str, str], words: list[str]) -> int:
    """Open the deck with the runtime in the same process."""
    if words:
        raise Usage(
            "--in-process opens the deck and takes no command.", "Use: taskdeck --in-process"
        )
    if context.read_only:
        raise Usage(
            "--in-process runs tasks, so it cannot be read-only.",
            "To view only: taskdeck --read-only",
        )
    if not (output.is_stdout_terminal() and output.is_stdin_terminal()):
        raise Usage(
            "--in-process opens the deck, which needs a terminal.",
            "Without a terminal: taskdeck serve",
        )
    return _open_deck(context, options)


def _open_deck(context: CommandContext, options: dict[str, str]) -> int:
    cluster.require_home(context.home)
    paths.refuse_foreign_home(context.home)
    if not context.read_only:
        paths.refuse_replica(context.home)
    if "in-process" in options:
        cluster.refuse_start(context.home)
    return context.deck(
        context.home,
        ascii="ascii" in options or None,
        read_only=context.read_only,
        plain="plain" in options,
        in_process="in-process" in options,
    )


def _run_named_command(context: CommandContext, words: list[str]) -> int:
    verb, rest = registry.ALIASES.get(words[0], words[0]), words[1:]
    if verb == registry.COMPLETE_COMMAND:
        from app.cli.completion.candidates import print_candidates

        return print_candidates(rest)
    if verb not in registry.COMMAND_INDEX:
        raise registry.make_unknown_error(words[0], rest)
    found = registry.load_commands(verb)
    if verb not in registry.GROUPS:
        return _run_command(context, verb, found[verb], rest)
    if rest[:1] in (["--help"], ["-h"]):
        from app.cli.help_text import format_group_help

        return _print_text(format_group_help(verb, found))
    if not rest:
        raise Usage(
            "{verb} needs a command: {found}.",
            "See: taskdeck {verb} --help",
            verb=verb,
            found=" ".join(found),
        )
    if rest[0][:1] == "-" and "add" in found:  # `reserve --pool gpu …`
        rest = ["add", *rest]
    if rest[0] not in found:
        raise registry.make_unknown_in_group_error(verb, rest[0], found)
    return _run_command(context, f"{verb} {rest[0]}", found[rest[0]], rest[1:])


def _run_command(context: CommandContext, name: str, command: Command, words: list[str]) -> int:
    parser = command.make_parser(name)
    args = command.read(parser, words)
    if args.help:
        return _print_text(parser.format_help().rstrip())
    if context.read_only:
        _refuse_change(name, command, args)
    if args.home is not None:
        context.set_home(args.home)
    if name not in _HOMELESS_COMMANDS:
        cluster.require_home(context.home)
    if name.startswith("db "):  # Other commands use the client, which checks the home.
        paths.refuse_foreign_home(context.home)
    if name not in _REPLICA_COMMANDS:
        _check_replica(context, name, command, args)
    return command.run(context, args)


def _check_replica(context: CommandContext, name: str, command: Command, args: Args) -> None:
    """Print the age of a replica that is read. Raise Conflict for all other uses of one."""
    if not context.read_only:
        return paths.refuse_replica(context.home)
    if not paths.is_replica(context.home):
        return None
    from app.client import READ_ONLY_VERBS
    from app.offline import replica_reads

    paths.refuse_foreign_home(context.home)
    is_answered = _get_verb(name, command, args) in READ_ONLY_VERBS - replica_reads.HOME_VERBS
    if not is_answered or getattr(args, "follow", False):
        raise replica_reads.make_home_needed_error(name, context.home)
    output.print_note(end_sentence(replica_reads.describe_age(context.home)))
    return None


def _refuse_change(name: str, command: Command, args: Args) -> None:
    """Raise Conflict for a command that may change something; a dry run changes nothing."""
    from app.client import READ_ONLY_VERBS

    verb = _get_verb(name, command, args)
    if verb not in READ_ONLY_VERBS | _READ_ONLY_COMMANDS and not getattr(args, "dry_run", False):
        raise Conflict(
            "{name} may change something, which --read-only forbids. Nothing was done.", name=name
        )


def _get_verb(name: str, command: Command, args: Args) -> str:
    return command.get_verb(args) if command.get_verb else name.replace(" ", ".")


def _print_text(text: str) -> int:
    output.print_line(text)
    return 0
