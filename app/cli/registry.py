"""Registry of commands: module, summary, and names used by other tools."""

from __future__ import annotations

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.parser import Command

COMMAND_INDEX: dict[str, tuple[str, str]] = {
    "submit": ("tasks.submit", tr_noop("queue a command, a shell script or a template")),
    "ls": ("tasks.ls", tr_noop("list tasks")),
    "show": ("tasks.show", tr_noop("show one task in detail")),
    "why": ("tasks.why", tr_noop("explain why tasks wait and when they may start")),
    "logs": ("tasks.logs", tr_noop("show the output of a task")),
    "wait": ("tasks.wait", tr_noop("wait for tasks to end and exit with their code")),
    "cancel": ("tasks.task_actions", tr_noop("cancel running or waiting tasks")),
    "pause": ("tasks.task_actions", tr_noop("suspend running tasks")),
    "resume": ("tasks.task_actions", tr_noop("continue paused tasks")),
    "hold": ("tasks.task_actions", tr_noop("keep waiting tasks from starting")),
    "release": ("tasks.task_actions", tr_noop("let held tasks start")),
    "retry": ("tasks.task_actions", tr_noop("run ended tasks again")),
    "rm": ("tasks.task_actions", tr_noop("delete ended tasks")),
    "set": ("tasks.task_actions", tr_noop("change the settings of waiting tasks")),
    "attach": ("tasks.attach", tr_noop("follow the output of a task and type its input")),
    "send": ("tasks.send", tr_noop("write to the input of a running task")),
    "front": ("tasks.task_actions", tr_noop("move tasks to the front of their queue")),
    "what-if": ("tasks.what_if", tr_noop("forecast waits and ends as if something were changed")),
    "instances": ("tasks.instances", tr_noop("list runs")),
    "flow": ("tasks.flow", tr_noop("show tasks in a tree of dependencies, with the critical path")),
    "usage": ("tasks.usage", tr_noop("show what tasks used: hours of CPU, memory and GPUs, waits")),
    "queue": ("definitions.queues", tr_noop("manage queues")),
    "pool": ("definitions.pools", tr_noop("manage pools of CPU and memory")),
    "resource": (
        "definitions.shared_resources",
        tr_noop("manage resources that all pools share, as licences"),
    ),
    "limit": ("definitions.limits", tr_noop("limit what the running tasks of a tag take together")),
    "reserve": (
        "definitions.reserve",
        tr_noop("reserve amounts of a pool for a tag, from a time to a time"),
    ),
    "template": ("definitions.templates", tr_noop("manage templates")),
    "schedule": ("definitions.schedules", tr_noop("submit tasks at fixed times, as cron does")),
    "sla": ("definitions.slas", tr_noop("manage SLA rules")),
    "alert": ("definitions.alerts", tr_noop("list and acknowledge alerts")),
    "checkin": (
        "definitions.checkin",
        tr_noop("report the success of a program outside of Taskdeck"),
    ),
    "notify": ("definitions.notify", tr_noop("list and test the channels of notifications")),
    "apply": (
        "definitions.apply_export",
        tr_noop("apply a definitions file (queues, templates, schedules, rules, …)"),
    ),
    "export": ("definitions.apply_export", tr_noop("print all definitions as one file")),
    "import": (
        "definitions.imports",
        tr_noop("take over a crontab, or what waits in pueue, task-spooler or gflow"),
    ),
    "status": ("status", tr_noop("show runtime, queues, pools and alerts")),
    "operations": ("operations", tr_noop("show the operation log")),
    "undo": ("operations", tr_noop("undo operations")),
    "serve": ("runtime", tr_noop("run the runtime in the foreground or background")),
    "stop": ("runtime", tr_noop("stop the runtime; running tasks continue")),
    "mcp": ("mcp", tr_noop("offer tools to a coding agent (Model Context Protocol)")),
    "service": ("service", tr_noop("run the runtime under systemd or Pacemaker")),
    "http": ("http", tr_noop("print the dashboard and alert rules for monitoring")),
    "doctor": ("doctor", tr_noop("check this machine for problems")),
    "demo": ("demo", tr_noop("start a busy demo deck in a temporary home")),
    "db": ("db", tr_noop("back up, check and maintain the database")),
    "completion": ("completion", tr_noop("print a completion script for bash, zsh or fish")),
    "help": ("help", tr_noop("explain a topic or a command")),
    "version": ("runtime", tr_noop("print the version")),
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
        tr_noop("tasks"),
        (
            "submit ls show why logs wait cancel pause resume hold release retry rm set front"
            " send attach what-if instances flow usage"
        ),
    ),
    (
        tr_noop("definitions"),
        "queue pool resource limit reserve template schedule sla alert checkin notify apply export"
        " import",
    ),
    (
        tr_noop("runtime and maintenance"),
        "status operations undo serve stop service http mcp doctor demo db completion help version",
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
        from app.cli.foreign_options import find_hint

        advice = find_hint(ours.split()[0], rest[0]) if rest else ""
        hint = (
            tr("{advice}. Did you mean: taskdeck {ours}", advice=advice, ours=ours)
            if advice
            else tr("Did you mean: taskdeck {ours}", ours=ours)
        )
        return Usage('"{shown}" is not a command.', hint, shown=shown)
    from app.help import list_topics

    if verb in list_topics():
        return Usage(
            '"{shown}" is not a command.',
            "Help topic: taskdeck help {verb}",
            shown=shown,
            verb=verb,
        )
    meant = find_nearest(verb, COMMAND_INDEX)
    hint = tr("Nearest: {meant}", meant=meant) if meant else tr("All commands: taskdeck --help")
    return Usage('"{shown}" is not a command.', hint, shown=shown)


def make_unknown_in_group_error(group: str, verb: str, commands: dict[str, Command]) -> Usage:
    """Return the error for an unknown second word of a group."""
    from app.cli.foreign_words import FOREIGN_SECOND_WORDS

    meant = FOREIGN_SECOND_WORDS.get(f"{group} {verb}") or find_nearest(verb, commands)
    near = tr("Nearest: taskdeck {group} {meant}.", group=group, meant=meant) if meant else ""
    if group == "import" and verb in ("slurm", "sbatch"):
        near = tr("Scripts run unchanged: taskdeck help from-slurm.")
    said = tr('{group} has no command "{verb}".', group=group, verb=truncate(sanitize(verb), 60))
    return Usage(f"{said} {near}".rstrip(), tr("Commands: {commands}", commands=" ".join(commands)))
