"""Registry of verbs: module, summary, and names used by other tools."""

from __future__ import annotations

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.parser import Command

VERBS: dict[str, tuple[str, str]] = {
    "submit": ("submit", "queue a command, shell text or a template"),
    "ls": ("ls", "list tasks"),
    "show": ("show", "everything about one task"),
    "why": ("why", "why tasks wait, and when they may start"),
    "logs": ("logs", "what a task wrote"),
    "wait": ("wait", "wait for tasks to end, and exit with their code"),
    "cancel": ("task_actions", "end tasks, running or waiting"),
    "pause": ("task_actions", "make running tasks stand still"),
    "resume": ("task_actions", "let paused tasks go on"),
    "hold": ("task_actions", "keep waiting tasks from starting"),
    "release": ("task_actions", "let held tasks start"),
    "retry": ("task_actions", "run ended tasks again"),
    "rm": ("task_actions", "forget ended tasks"),
    "set": ("task_actions", "change what waiting tasks ask for"),
    "front": ("task_actions", "move tasks to the head of their queue"),
    "instances": ("instances", "list runs"),
    "queue": ("queues", "where tasks wait"),
    "pool": ("pools", "CPU and memory that tasks share"),
    "template": ("templates", "reusable definitions"),
    "sla": ("slas", "how late is too late"),
    "alert": ("alerts", "what is too late now"),
    "apply": ("apply_export", "make queues, pools, templates and SLAs as a file says"),
    "export": ("apply_export", "all definitions as one file"),
    "status": ("status", "runtime, queues, pools and alerts on one screen"),
    "operations": ("operations", "who did what"),
    "undo": ("operations", "take back what was done"),
    "serve": ("runtime", "run the runtime here or in the background; in a deck: --in-process"),
    "stop": ("runtime", "end the runtime; running tasks go on"),
    "service": ("service", "have systemd keep the runtime up"),
    "doctor": ("doctor", "look for what could go wrong on this machine"),
    "demo": ("demo", "a busy deck to play with, in a throw-away home"),
    "db": ("db", "look after the database"),
    "completion": ("completion", "a script that completes words in bash, zsh or fish"),
    "version": ("runtime", "which Taskdeck this is"),
}
COMPLETE_VERB = "__complete"
"""Hidden verb called by the completion scripts."""

ALIASES = {"add": "submit"}
GROUPS = ("queue", "pool", "template", "sla", "alert", "db", "service")

SECTIONS = (
    ("tasks", "submit ls show why logs wait cancel pause resume hold release retry rm set front instances"),
    ("definitions", "queue pool template sla alert apply export"),
    ("the whole", "status operations undo serve stop service doctor demo db completion version"),
)

_FOREIGN_WORDS = {
    "ls": "ps list squeue get",
    "show": "describe scontrol",
    "logs": "log tail",
    "logs -f": "follow",
    "cancel": "kill scancel",
    "submit": "run sbatch exec",
    "submit --follow": "srun",
    "retry": "restart requeue rerun",
    "hold": "stash",
    "release": "enqueue",
    "pause": "suspend",
    "resume": "unpause continue",
    "rm": "remove clean delete",
    "set": "edit update",
    "front": "switch",
    "serve --detach": "start up",
    "stop": "down",
    "status": "info sinfo",
    "operations": "history",
    "queue ls": "queues",
    "pool ls": "pools",
    "template ls": "templates",
    "sla ls": "slas",
    "alert ls": "alerts",
    "apply": "import",
}
FOREIGN_VERBS = {theirs: ours for ours, words in _FOREIGN_WORDS.items() for theirs in words.split()}
"""Our equivalents of verbs of other tools."""

_TASK_VERBS = ("logs", "cancel", "retry", "hold", "release", "pause", "resume", "rm", "show", "set", "front")


def load_commands(verb: str) -> dict[str, Command]:
    """Import the module of a verb and return its commands by name, or by second word in a group."""
    return __import__(f"app.cli.commands.{VERBS[verb][0]}", fromlist=["COMMANDS"]).COMMANDS


def make_unknown_error(verb: str, rest: list[str]) -> Usage:
    """Return the error for an unknown first word."""
    shown = truncate(sanitize(verb), 60)
    if verb == "top":
        return Usage('"top" is not a command.', "Did you mean taskdeck (the deck), or taskdeck front 42?")
    if verb in FOREIGN_VERBS:
        return Usage(f'"{shown}" is not a command.', f"Did you mean: taskdeck {_append_words(FOREIGN_VERBS[verb], rest)}")
    meant = find_nearest(verb, VERBS)
    return Usage(f'"{shown}" is not a command.', f"Nearest: {meant}" if meant else "All commands: taskdeck --help")


def make_unknown_in_group_error(group: str, verb: str, found: dict[str, Command]) -> Usage:
    """Return the error for an unknown second word of a group."""
    meant = find_nearest(verb, found)
    near = f"Nearest: taskdeck {group} {meant}." if meant else ""
    return Usage(f'{group} has no command "{truncate(sanitize(verb), 60)}". {near}'.strip(), f"It has: {' '.join(found)}")


def _append_words(ours: str, rest: list[str]) -> str:
    """Append the given words to our verb if they are few and plain."""
    words = " ".join(rest)
    plain = words.isprintable() and words.isascii() and len(words) <= 40
    return f"{ours} {words}" if rest and plain and ours.split()[0] in _TASK_VERBS else ours
