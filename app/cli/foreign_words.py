"""Commands of other tools, and those of Taskdeck in their place.

Only the error for an unknown command reads this table.
"""

from __future__ import annotations

from app.translation import tr

_FOREIGN_WORDS = {
    "ls": "ps list squeue get gqueue qstat bjobs format-status atq",
    "show": "describe gjob sstat",
    "logs": "log tail",
    "logs -f": "follow fo sattach",
    "cancel": "kill scancel gcancel qdel bkill atrm",
    "submit": "run sbatch exec gbatch qsub bsub tsp ts nohup",
    "submit --follow": "srun salloc",
    "submit --at 23:30": "at batch",
    "retry": "restart requeue rerun redo re qrerun",
    "hold": "stash qhold bstop",
    "release": "enqueue qrls bresume",
    "pause": "suspend",
    "resume": "unpause continue",
    "rm": "remove delete",
    "rm --status ended --yes": "clean cleanup clear",
    "cancel --filter status:active,waiting --yes": "reset killall",
    "set": "edit update qalter env",
    "front": "switch urgent",
    "why": "sprio",
    "flow": "tree deps dependencies",
    "serve --detach": "start up daemon pueued gflowd slurmctld slurmd",
    "stop": "down shutdown",
    "status": "info sinfo ginfo sdiag",
    "operations": "history",
    "usage": "sreport sacct sshare accounting gstats stats",
    "what-if": "whatif forecast simulate",
    "queue ls": "queues group groups",
    "queue set default --capacity 2": "parallel slots",
    "pool ls": "pools gctl partition partitions nodes gpus show-gpus",
    "limit ls": "limits quota quotas sacctmgr",
    "limit set team=a --running 4": "set-limit",
    "resource ls": "resources license licenses licence licences",
    "reserve ls": "reservation reservations booking bookings",
    "template ls": "templates",
    "schedule ls": "schedules crontab cron scrontab timer timers list-timers",
    "schedule create NAME --cron '0 2 * * *' -- COMMAND": "every daily hourly",
    "sla ls": "slas rule rules",
    "alert ls": "alerts",
    "notify ls": "channels notifications strigger",
    "help hooks": "hook hooks",
    "completion bash": "completions",
    "help from-pueue": "pueue",
    "help from-task-spooler": "task-spooler",
    "help from-gflow": "gflow",
    "help from-slurm": "scontrol",
}
FOREIGN_COMMANDS = {
    theirs: ours for ours, words in _FOREIGN_WORDS.items() for theirs in words.split()
}
"""Equivalents of commands of other tools."""
FOREIGN_SECOND_WORDS = {
    "import tsp": "task-spooler",
    "import ts": "task-spooler",
    "import runqd": "gflow",
    "import gflowd": "gflow",
    "import pueued": "pueue",
    "import cron": "crontab",
}
"""Second words that other people use, and those of Taskdeck."""

_FOREIGN_PAIRS = {
    "pueue add": "submit",
    "group add": "queue create NAME --capacity 2",
    "group remove": "queue rm NAME",
    "env set": "set N --env NAME=VALUE",
    "crontab -e": "schedule create NAME --cron '0 2 * * *' -- COMMAND",
    "show job": "show",
}
"""Equivalents of commands of two words."""

_FIRST_WORDS = frozenset({"pueue", "gjob", "gctl", "gflow", "scontrol", "systemctl"})
"""Programs of other tools whose next word is a command."""
_SUBMITTING = frozenset({"submit", "submit --follow"})
_TASK_VERBS = (
    "logs",
    "cancel",
    "retry",
    "hold",
    "release",
    "pause",
    "resume",
    "rm",
    "show",
    "set",
    "front",
)


def find_command(verb: str, rest: list[str], known: frozenset[str]) -> str | None:
    """Return the command line of Taskdeck for words of another tool, or None.

    `known` are the commands of Taskdeck, which mean the same after the name of such a tool.
    """
    ours = _FOREIGN_PAIRS.get(f"{verb} {rest[0]}") if rest else None
    if ours is not None:
        return _append_words(ours, rest[1:])
    if verb in _FIRST_WORDS:
        if not rest:
            return FOREIGN_COMMANDS.get(verb, "status")
        found = find_command(rest[0], rest[1:], known)
        return found or (_append_words(rest[0], rest[1:]) if rest[0] in known else None)
    if verb == "start" and rest:
        return tr(
            "{resume}, or taskdeck {release}",
            resume=_append_words("resume", rest),
            release=_append_words("release", rest),
        )
    ours = FOREIGN_COMMANDS.get(verb)
    return None if ours is None else _append_words(ours, rest)


def _append_words(command: str, rest: list[str]) -> str:
    """Append the typed words to the equivalent command if they are few and plain."""
    from shlex import join

    words = join(rest)
    if not words or not words.isprintable() or not words.isascii() or len(words) > 40:
        return command
    if command in _SUBMITTING and rest[0][:1] != "-":
        if rest[0].endswith((".sh", ".sbatch", ".slurm")):
            return f"{command} {words}"
        is_shell_text = len(rest) == 1 and " " in rest[0]
        return f"{command} {'-c' if is_shell_text else '--'} {words}"
    is_whole = command.partition(" ")[2] in ("", "-f") and command.split()[0] in _TASK_VERBS
    return f"{command} {words}" if is_whole else command
