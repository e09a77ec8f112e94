"""`taskdeck completion`: scripts made by shtab from the same parsers that read the words."""

from __future__ import annotations

from app.cli import output, words
from app.cli.options import Args, Command, Parser
from app.core.clean import clean, cut, nearest
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

SHELLS = ("bash", "zsh", "fish")
_FILES = ("file", "lines", "home", "cwd")
"""Options whose value is a path."""


def completion(session: Session, args: Args) -> int:
    """Print the script for one shell."""
    if len(args.shell) != 1:
        raise Usage(f"completion for which shell? One of {', '.join(SHELLS)}.", "See: taskdeck completion --help")
    (shell,) = args.shell
    if shell not in SHELLS:
        meant = nearest(shell, SHELLS)
        raise Usage(f'there is no completion for "{cut(clean(shell), 40)}".', f"Nearest: {meant}" if meant else "")
    from shtab import complete

    output.line(complete(everything(), shell))
    return 0


def everything() -> Parser:
    """One parser of all verbs, options and groups."""
    top = Parser("taskdeck", "runs the jobs of one server, from the keyboard")
    top.option("--home", metavar="DIR", help="the home to work with")
    top.option("--in-process", action="store_true", help="the deck with the runtime in it")
    top.option("--version", action="store_true", help="which Taskdeck this is")
    top.option("--help", "-h", action="store_true", help="all commands")
    verbs = top.add_subparsers(metavar="COMMAND")
    for verb, (_, summary) in words.VERBS.items():
        found = words.commands(verb)
        if verb not in words.GROUPS:
            _add(verbs, verb, found[verb], verb)
            continue
        group = verbs.add_parser(verb, help=summary, prog=f"taskdeck {verb}").add_subparsers(metavar="COMMAND")
        for name, command in found.items():
            _add(group, name, command, f"{verb} {name}")
    return top


def _add(verbs: Any, name: str, command: Command, full: str) -> None:
    parser = verbs.add_parser(name, help=command.summary, prog=f"taskdeck {full}")
    command.fill(parser)
    for action in parser._actions:
        if action.dest in _FILES:
            from shtab import DIRECTORY, FILE

            action.complete = DIRECTORY if action.dest in ("home", "cwd") else FILE


def _arguments(parser: Parser) -> None:
    parser.option("shell", nargs="*", metavar="SHELL", help="bash, zsh or fish")


EXAMPLES = """\
  taskdeck completion bash > ~/.local/share/bash-completion/completions/taskdeck
  taskdeck completion zsh > ~/.zfunc/_taskdeck        (a directory of fpath)
  taskdeck completion fish > ~/.config/fish/completions/taskdeck.fish"""

COMMANDS = {"completion": Command("a script that completes words", completion, _arguments, EXAMPLES)}
