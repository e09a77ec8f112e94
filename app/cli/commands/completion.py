"""`taskdeck completion`: shell completion scripts, built by shtab from the commands' parsers."""

from __future__ import annotations

from app.cli import output, registry
from app.cli.parser import STATUSES, Args, Command, OneOf, Parser
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage
from app.help import list_topics
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

SHELLS = ("bash", "zsh", "fish")
_KINDS = {
    "QUEUE": "queue",
    "POOL": "pool",
    "TEMPLATE": "template",
    "RULE": "sla",
    "OPERATION": "operation",
    "SILENCE": "silence",
}
"""Kind of candidates by metavar."""
_ID_KINDS = {"alert": "alert", "db": "backup"}
"""Kind of an ID by group of commands; elsewhere an ID names a task."""


def print_completion(context: CommandContext, args: Args) -> int:
    """Print the script for one shell."""
    if len(args.shell) != 1:
        raise Usage(
            "completion for which shell? Choose one of {shells}.",
            "See: taskdeck completion --help",
            shells=", ".join(SHELLS),
        )
    (shell,) = args.shell
    if shell not in SHELLS:
        meant = find_nearest(shell, SHELLS)
        raise Usage(
            tr('there is no completion for "{shell}".', shell=truncate(sanitize(shell), 40)),
            tr("Nearest: {meant}", meant=meant) if meant else "",
        )
    output.print_line(build_script(shell))
    return 0


def build_script(shell: str) -> str:
    """Return the completion script of one shell.

    shtab supplies the fixed words; the script asks the runtime for names and numbers.
    """
    from shtab import complete

    from app.cli.completion import scripts

    script = complete(build_full_parser(), shell, preamble=scripts.PREAMBLES[shell])
    return (_patch_zsh(script) if shell == "zsh" else script) + scripts.EPILOGUES[shell]


def _patch_zsh(script: str) -> str:
    """Work around limits of shtab's zsh output.

    shtab completes only the first of several words, takes the value of a long option only as a
    separate word, and treats a sourced file as an autoloaded one. The script also loads completion
    in a shell that has not done so.
    """
    import re

    from app.cli.completion.scripts import ZSH_SOURCED

    several = script.replace('  "(*)::', '  "*:').replace(
        "if [[ $zsh_eval_context[-1] == eval ]]; then\n", ZSH_SOURCED
    )
    return re.sub(
        r'^ .*?"\[.*\]:',
        lambda spec: re.sub(r'(--[a-z-]+)(?=[,}"])', r"\1=", spec[0]),
        several,
        flags=re.MULTILINE,
    )


_FIXED_WORDS = {
    "STATE": STATUSES,
    "SHELL": SHELLS,
    "TOPIC": (*list_topics(), *registry.COMMAND_INDEX),
    "SIGNAL": ("TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2", "STOP", "CONT"),
    "ENGINE": ("exec", "shell", "python"),
}
"""Fixed words by metavar."""


def build_full_parser() -> Parser:
    """Return one parser of all commands, options and groups."""
    top = Parser("taskdeck", "run the jobs of one server from the keyboard")
    top.add_option("--home", metavar="DIR", help="home directory of Taskdeck")
    top.add_option("--in-process", action="store_true", help="run the runtime inside the deck")
    top.add_option("--version", action="store_true", help="show the version")
    top.add_option("--help", "-h", action="store_true", help="show all commands")
    verbs = top.add_subparsers(metavar="COMMAND")
    for verb, (_, summary) in registry.COMMAND_INDEX.items():
        found = registry.load_commands(verb)
        if verb not in registry.GROUPS:
            _add_verb(verbs, verb, found[verb], verb)
            continue
        group = verbs.add_parser(verb, help=tr(summary), prog=f"taskdeck {verb}").add_subparsers(
            metavar="COMMAND"
        )
        for name, command in found.items():
            _add_verb(group, name, command, f"{verb} {name}")
    return top


def _add_verb(verbs: Any, name: str, command: Command, full: str) -> None:
    parser = verbs.add_parser(name, help=tr(command.summary), prog=f"taskdeck {full}")
    command.add_options(parser)
    for action in parser._actions:
        action.help = tr((action.help or "").replace("%%", "%")).replace("%", "%%")
        _attach_completion(action, full)


def _attach_completion(action: Any, full: str) -> None:
    from shtab import DIRECTORY, FILE

    called, kind = (action.metavar or action.dest).upper(), _find_kind(action, full)
    if isinstance(action.type, OneOf):
        action.choices = action.type.words
    elif called in _FIXED_WORDS:
        action.choices = _FIXED_WORDS[called]
    elif kind:
        action.complete = _make_query(kind)
    elif called in ("FILE", "DIR"):
        action.complete = FILE if called == "FILE" else DIRECTORY


def _find_kind(action: Any, full: str) -> str | None:
    verb, _, second = full.partition(" ")
    if "-p" in action.option_strings:
        return "parameter"
    if action.dest == "names" and second not in ("create", "preview"):
        return verb
    if action.metavar == "ID":
        return _ID_KINDS.get(verb, f"task:{'any' if action.option_strings else verb}")
    return _KINDS.get((action.metavar or action.dest).upper())


def _make_query(kind: str) -> dict[str, Any]:
    """Return the shell functions that query candidates of a kind, for each shell."""
    name = f"_taskdeck_{kind.replace(':', '_')}"
    return {
        "bash": name,
        "zsh": f"{{_taskdeck_names {kind}}}",
        "fish": f"(__taskdeck_names {kind})",
        "preamble": {"bash": f"{name}() {{ _taskdeck_names {kind}; }}"},
    }


def _add_arguments(parser: Parser) -> None:
    parser.add_option("shell", nargs="*", metavar="SHELL", help="bash, zsh or fish")


EXAMPLES = """\
  source <(taskdeck completion bash)                  in ~/.bashrc; with zsh in ~/.zshrc
  taskdeck completion bash > ~/.local/share/bash-completion/completions/taskdeck
  taskdeck completion zsh > ~/.zfunc/_taskdeck        (a directory in fpath)
  taskdeck completion fish > ~/.config/fish/completions/taskdeck.fish"""

COMMANDS = {
    "completion": Command(
        "print a completion script for bash, zsh or fish",
        print_completion,
        _add_arguments,
        EXAMPLES,
    )
}
