"""Registry of commands: module, summary, and names used by other tools."""

from __future__ import annotations

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.parser import Command

COMMAND_INDEX: dict[str, tuple[str, str]] = {
    "submit": ("tasks.submit", "queue a command, a shell script or a template"),
    "ls": ("tasks.ls", "list tasks"),
    "show": ("tasks.show", "show one task in detail"),
    "why": ("tasks.why", "explain why tasks wait and when they may start"),
    "logs": ("tasks.logs", "show the output of a task"),
    "wait": ("tasks.wait", "wait for tasks to end and exit with their code"),
    "cancel": ("tasks.task_actions", "cancel running or waiting tasks"),
    "pause": ("tasks.task_actions", "suspend running tasks"),
    "resume": ("tasks.task_actions", "continue paused tasks"),
    "hold": ("tasks.task_actions", "keep waiting tasks from starting"),
    "release": ("tasks.task_actions", "let held tasks start"),
    "retry": ("tasks.task_actions", "run ended tasks again"),
    "rm": ("tasks.task_actions", "delete ended tasks"),
    "set": ("tasks.task_actions", "change the settings of waiting tasks"),
    "attach": ("tasks.attach", "follow the output of a task and type its input"),
    "send": ("tasks.send", "write to the input of a running task"),
    "front": ("tasks.task_actions", "move tasks to the front of their queue"),
    "what-if": ("tasks.what_if", "forecast waits and ends as if something were changed"),
    "instances": ("tasks.instances", "list runs"),
    "flow": ("tasks.flow", "show tasks in a tree of dependencies, with the critical path"),
    "usage": ("tasks.usage", "show what tasks used: hours of CPU, memory and GPUs, waits"),
    "queue": ("definitions.queues", "manage queues"),
    "pool": ("definitions.pools", "manage pools of CPU and memory"),
    "resource": (
        "definitions.shared_resources",
        "manage resources that all pools share, as licences",
    ),
    "limit": ("definitions.limits", "limit what the running tasks of a tag take together"),
    "reserve": (
        "definitions.reserve",
        "reserve amounts of a pool for a tag, from a time to a time",
    ),
    "template": ("definitions.templates", "manage templates"),
    "schedule": ("definitions.schedules", "submit tasks at fixed times, as cron does"),
    "sla": ("definitions.slas", "manage SLA rules"),
    "alert": ("definitions.alerts", "list and acknowledge alerts"),
    "checkin": ("definitions.checkin", "report the success of a program outside of Taskdeck"),
    "notify": ("definitions.notify", "list and test the channels of notifications"),
    "apply": (
        "definitions.apply_export",
        "apply a definitions file (queues, templates, schedules, rules, …)",
    ),
    "export": ("definitions.apply_export", "print all definitions as one file"),
    "import": (
        "definitions.imports",
        "take over a crontab, or what waits in pueue, task-spooler or gflow",
    ),
    "status": ("status", "show runtime, queues, pools and alerts"),
    "replay": ("replay", "run a recorded job trace through the plan in virtual time"),
    "operations": ("operations", "show the operation log"),
    "undo": ("operations", "undo operations"),
    "serve": ("runtime", "run the runtime in the foreground or background"),
    "stop": ("runtime", "stop the runtime; running tasks continue"),
    "mcp": ("mcp", "offer tools to a coding agent (Model Context Protocol)"),
    "service": ("service", "run the runtime under systemd or Pacemaker"),
    "http": ("http", "print the dashboard and alert rules for monitoring"),
    "doctor": ("doctor", "check this machine for problems"),
    "demo": ("demo", "start a busy demo deck in a temporary home"),
    "db": ("db", "back up, check and maintain the database"),
    "completion": ("completion", "print a completion script for bash, zsh or fish"),
    "help": ("help", "explain a topic or a command"),
    "version": ("runtime", "print the version"),
}
COMPLETE_COMMAND = "__complete"
"""Hidden command called by the completion scripts."""

ALIASES = {"add": "submit"}
GROUPS = (
    "queue", "pool", "resource", "limit", "reserve", "template", "schedule", "sla", "alert",
    "notify", "import", "db", "service", "http",
)  # fmt: skip

SECTIONS = (
    (
        "tasks",
        (
            "submit ls show why logs wait cancel pause resume hold release retry rm set front"
            " send attach what-if instances flow usage"
        ),
    ),
    (
        "definitions",
        "queue pool resource limit reserve template schedule sla alert checkin notify apply export"
        " import",
    ),
    (
        "runtime and maintenance",
        "status replay operations undo serve stop service http mcp doctor demo db completion help"
        " version",
    ),
)


def load_commands(verb: str) -> dict[str, Command]:
    """Import a command's module; return its commands by name, or by second word in a group."""
    return __import__(f"app.cli.commands.{COMMAND_INDEX[verb][0]}", fromlist=["COMMANDS"]).COMMANDS


def make_unknown_error(verb: str, rest: list[str]) -> Usage:
    """Return the error for an unknown first word."""
    shown = truncate(sanitize(verb), 60)
    if verb == "top":
        return Usage(
            '"top" is not a command.', "Did you mean taskdeck (the deck), or taskdeck front 42?"
        )
    from app.cli.foreign_words import find_command

    ours = find_command(verb, rest, frozenset(COMMAND_INDEX))
    if ours is not None:
        return Usage(
            '"{shown}" is not a command.', "Did you mean: taskdeck {ours}", shown=shown, ours=ours
        )
    from app.help import list_topics

    if verb in list_topics():
        return Usage(
            '"{shown}" is not a command.',
            "Help topic: taskdeck help {verb}",
            shown=shown,
            verb=verb,
        )
    meant = find_nearest(verb, COMMAND_INDEX)
    return Usage(
        f'"{shown}" is not a command.',
        f"Nearest: {meant}" if meant else "All commands: taskdeck --help",
    )


def make_unknown_in_group_error(group: str, verb: str, commands: dict[str, Command]) -> Usage:
    """Return the error for an unknown second word of a group."""
    meant = find_nearest(verb, commands)
    near = f"Nearest: taskdeck {group} {meant}." if meant else ""
    return Usage(
        f'{group} has no command "{truncate(sanitize(verb), 60)}". {near}'.strip(),
        f"Commands: {' '.join(commands)}",
    )
