"""`taskdeck completion`: scripts made by shtab from the same parsers that read the words."""

from __future__ import annotations

from app.cli import output, registry
from app.cli.parser import STATUSES, Args, Command, OneOf, Parser
from app.core.text.sanitize import clean, cut, nearest
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

SHELLS = ("bash", "zsh", "fish")
_NAMES = {"QUEUE": "queue", "POOL": "pool", "TEMPLATE": "template", "SLA": "sla", "OPERATION": "operation"}
"""What there is now, by what a help calls it."""
_IDS = {"alert": "alert", "db": "backup"}
"""What an id is of, by the group of the verb; elsewhere it is a task's."""


def completion(session: Session, args: Args) -> int:
    """Print the script for one shell."""
    if len(args.shell) != 1:
        raise Usage(f"completion for which shell? One of {', '.join(SHELLS)}.", "See: taskdeck completion --help")
    (shell,) = args.shell
    if shell not in SHELLS:
        meant = nearest(shell, SHELLS)
        raise Usage(f'there is no completion for "{cut(clean(shell), 40)}".', f"Nearest: {meant}" if meant else "")
    output.line(script(shell))
    return 0


def script(shell: str) -> str:
    """The completion of one shell: what never changes by shtab, what there is now by asking for it."""
    from shtab import complete

    from app.cli.completion import scripts

    made = complete(everything(), shell, preamble=scripts.BEGINNINGS[shell])
    return (_for_zsh(made) if shell == "zsh" else made) + scripts.ENDS[shell]


def _for_zsh(made: str) -> str:
    """shtab takes the first only of several words, a long option's value only as a word of its own, and a file that is sourced for
    one that is loaded by itself; a shell without completion yet begins it."""
    import re

    from app.cli.completion.scripts import ZSH_SOURCED

    several = made.replace('  "(*)::', '  "*:').replace("if [[ $zsh_eval_context[-1] == eval ]]; then\n", ZSH_SOURCED)
    return re.sub(r'^ .*?"\[.*\]:', lambda spec: re.sub(r'(--[a-z-]+)(?=[,}"])', r"\1=", spec[0]), several, flags=re.MULTILINE)


_WORDS = {
    "STATE": STATUSES,
    "SHELL": SHELLS,
    "SIGNAL": ("TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2", "STOP", "CONT"),
    "ENGINE": ("exec", "shell", "python"),
}
"""What never changes, by what a help calls it."""


def everything() -> Parser:
    """One parser of all verbs, options and groups."""
    top = Parser("taskdeck", "runs the jobs of one server, from the keyboard")
    top.option("--home", metavar="DIR", help="the home to work with")
    top.option("--in-process", action="store_true", help="the deck with the runtime in it")
    top.option("--version", action="store_true", help="which Taskdeck this is")
    top.option("--help", "-h", action="store_true", help="all commands")
    verbs = top.add_subparsers(metavar="COMMAND")
    for verb, (_, summary) in registry.VERBS.items():
        found = registry.commands(verb)
        if verb not in registry.GROUPS:
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
        _completed(action, full)


def _completed(action: Any, full: str) -> None:
    """Tell shtab what the value of an option or a word may be."""
    from shtab import DIRECTORY, FILE

    called, kind = (action.metavar or action.dest).upper(), _kind(action, full)
    if isinstance(action.type, OneOf):
        action.choices = action.type.words
    elif called in _WORDS:
        action.choices = _WORDS[called]
    elif kind:
        action.complete = _asking(kind)
    elif called in ("FILE", "DIR"):
        action.complete = FILE if called == "FILE" else DIRECTORY


def _kind(action: Any, full: str) -> str | None:
    """What of that which there is now may stand there."""
    verb, _, second = full.partition(" ")
    if "-p" in action.option_strings:
        return "parameter"
    if action.dest == "names" and second != "create":
        return verb
    if action.metavar == "ID":
        return _IDS.get(verb, f"task:{'any' if action.option_strings else verb}")
    return _NAMES.get((action.metavar or action.dest).upper())


def _asking(kind: str) -> dict[str, Any]:
    """The function of `app.cli.completion.scripts`, called for a kind, as each shell writes it."""
    name = f"_taskdeck_{kind.replace(':', '_')}"
    return {
        "bash": name,
        "zsh": f"{{_taskdeck_names {kind}}}",
        "fish": f"(__taskdeck_names {kind})",
        "preamble": {"bash": f"{name}() {{ _taskdeck_names {kind}; }}"},
    }


def _arguments(parser: Parser) -> None:
    parser.option("shell", nargs="*", metavar="SHELL", help="bash, zsh or fish")


EXAMPLES = """\
  source <(taskdeck completion bash)                  in ~/.bashrc; with zsh in ~/.zshrc
  taskdeck completion bash > ~/.local/share/bash-completion/completions/taskdeck
  taskdeck completion zsh > ~/.zfunc/_taskdeck        (a directory of fpath)
  taskdeck completion fish > ~/.config/fish/completions/taskdeck.fish"""

COMMANDS = {"completion": Command("a script that completes words", completion, _arguments, EXAMPLES)}
