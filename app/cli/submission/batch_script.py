"""Slurm's batch scripts: `taskdeck submit script.sh` reads their `#SBATCH` lines.

With `-` the script comes from standard input, as with `sbatch < script.sh`.

The text of a shell script is stored with the task, as Slurm does. Options of the command line win.
"""

from __future__ import annotations

import os
import shlex
from math import inf

from app.cli import output
from app.core.dependency_kinds import AFTER_FIELDS
from app.core.text.joining import join_clauses
from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Problem, Refused, Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext
    from app.cli.parser import Args
    from app.core.slurm.translation import Translation

_SHELLS = ("sh", "bash", "dash", "ksh", "zsh")
MAX_SCRIPT = 120_000
"""Maximum bytes of a script that is stored; Linux passes no longer argument to a program."""
MAX_NAMED = 10
STDIN = "-"
STDIN_NAME = "sbatch"
"""Name of a task whose script comes from standard input, as in Slurm."""
_MISSING = {
    "srun": tr_noop(
        "{file}: line {line} calls srun, which this machine does not have. Call the program"
        " itself, without srun."
    ),
    "module": tr_noop(
        "{file}: line {line} calls module, which this machine does not have. Set PATH and other"
        " variables in the script instead."
    ),
}
"""Warnings of commands that clusters have."""


def read_script(path: str) -> str | None:
    """Return the text of a file that has #SBATCH lines, else None.

    Standard input may lack such lines. Raise Usage if it is empty.
    """
    if path == STDIN:
        text = os.fsdecode(output.read_stdin("a batch script"))
        if not text.strip():
            raise Usage(
                "the script from standard input is empty. {not_submitted}",
                not_submitted=tr(NOT_SUBMITTED),
            )
        _refuse_nul(text, tr("standard input"))
        return text
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read())
    except OSError:
        return None
    if not has_header(text):
        return None
    _refuse_nul(text, truncate(sanitize(path), 200))
    return text


def _refuse_nul(text: str, shown: str) -> None:
    if "\0" in text:
        raise Usage(
            "the script from {shown} contains a NUL byte, so it is no text. {not_submitted}",
            shown=shown,
            not_submitted=tr(NOT_SUBMITTED),
        )


def has_header(text: str) -> bool:
    """Return True for a text with #SBATCH lines."""
    return text.startswith("#SBATCH") or "\n#SBATCH" in text


def apply_script(context: CommandContext, args: Args, text: str) -> list[str]:
    """Set the options that the script has and the command line lacks; return its command.

    Tell on stderr what each line became. Raise Problem with all lines that are refused.
    """
    from app.core.slurm.header import read_header
    from app.core.slurm.translation import translate

    if args.each:
        raise Usage(
            "a batch script takes --array or --sweep, not --each. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    path, *words = [*args.words, *(args.command or ())]
    shown = tr("standard input") if path == STDIN else truncate(sanitize(path), 200)
    header = read_header(text)
    given = {name for name, value in vars(args).items() if value}
    found = translate(header, given, os.environ.get("USER", "user"))
    _complete(context, args, found)
    if found.faults:
        raise _make_problem(shown, sorted(found.faults))
    _name_arrays(context, found)
    for name, value in found.settings.items():
        setattr(args, name, value)
    args.resources = [*found.resources.items(), *(args.resources or ())] or None
    args.tags = [*found.tags.items(), *(args.tags or ())] or None
    args.name = args.name or (STDIN_NAME if path == STDIN else os.path.basename(path))
    args.env = [*_list_variables(args), *found.env, *(args.env or ())]
    for note in found.notes:
        output.print_note(f"{shown}: {sanitize(note)}")
    if header.unread:
        lines = ", ".join(map(str, header.unread[:MAX_NAMED]))
        output.print_note(
            tr(
                "{file}: #SBATCH after the first command is not read, as in Slurm: line {lines}",
                file=shown,
                lines=lines,
            )
        )
    args.words, args.command = [], ["sh", path]  # the caller replaces it
    is_group = args.array or args.sweep or args.sweep_file
    for name in () if is_group else ("output", "error"):
        if pattern := getattr(args, name):
            setattr(args, name, pattern.replace("{index}", "0"))
    shell = _read_shell(text, shown)
    if _is_shell(shell):
        _warn_of_missing_commands(context, args, text, shown)
    return _make_command(shell, path, text, words, shown)


def _complete(context: CommandContext, args: Args, found: Translation) -> None:
    """Parse what only options of submit can parse, and check queue and channel."""
    from app.cli.submission.options import parse_array, parse_at

    for name, parse in (("array", parse_array), ("at", parse_at)):
        try:
            if name in found.settings:
                found.settings[name] = parse(found.settings[name])
        except ValueError as error:
            found.faults.append((found.lines[name], f"{name} {error}"))
    queue = found.settings.get("queue")
    names = [row["name"] for row in context.call("queue.ls")] if queue else []
    if queue and queue not in names:
        found.faults.append(
            (
                found.lines["queue"],
                tr(
                    "--partition={queue} is refused: there is no such queue. Queues: {names};"
                    " choose one with -q",
                    queue=sanitize(queue),
                    names=", ".join(map(sanitize, names)),
                ),
            )
        )
    if found.settings.get("notify_on") in ("failed", "ended"):
        channels = context.call("notify.ls")["channels"]
        usual = next((one["name"] for one in channels if one["default"]), None)
        if usual is None:
            found.faults.append(
                (
                    found.lines["notify_on"],
                    tr(
                        "--mail-type is refused: there is no default channel. Choose one: --notify"
                        " NAME, or --notify-on never; see: taskdeck help notifications"
                    ),
                )
            )


def _name_arrays(context: CommandContext, found: Translation) -> None:
    """Let the number of the first task of an array mean all its tasks, as the id of Slurm does."""
    for field in AFTER_FIELDS:
        named = found.settings.get(field, ())
        groups = {word: _find_array(context, word) for word in named if word.isdigit()}
        for word, group in groups.items():
            if group is not None:
                found.notes.append(
                    tr(
                        "{number} is the first task of array {group}, so all its tasks are meant:"
                        " --{option} {group}",
                        number=word,
                        group=group,
                        option=field.replace("_", "-"),
                    )
                )
        if named:
            found.settings[field] = [groups.get(word) or word for word in named]


def _find_array(context: CommandContext, number: str) -> str | None:
    """Return the group whose first task has the number, unless its tasks wait for one another."""
    try:
        flow = context.call("flow", id=number)
    except NotFound:
        return None  # the submission names it
    numbers = {task["number"] for task in flow["tasks"]}
    parents = {one["number"] for task in flow["tasks"] for one in task["after"]}
    is_array = flow["group"] and int(number) == min(numbers) and not parents & numbers
    return flow["group"] if is_array else None


def _list_variables(args: Args) -> list[tuple[str, str]]:
    """Return the variables of Slurm that do not change from run to run."""
    from app.core.slurm.variables import MARK, make_array_variables

    cores = str(max(1, int(args.cpu or 1)))
    found = {
        MARK: args.name, "SLURM_CPUS_PER_TASK": cores, "SLURM_CPUS_ON_NODE": cores,
        "SLURM_NTASKS": "1", "SLURM_NPROCS": "1", "SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1",
        "SLURM_SUBMIT_DIR": os.getcwd(),
    }  # fmt: skip
    return list((found | (make_array_variables(args.array[0]) if args.array else {})).items())


def _warn_of_missing_commands(context: CommandContext, args: Args, text: str, shown: str) -> None:
    """Warn of commands of clusters that the script calls, unless it may run on a cluster."""
    from app.core.shell_commands import find_commands

    calls = find_commands(text)
    path = dict(args.env or ()).get("PATH")
    missing = [word for word in _MISSING if word in calls and not _has_command(word, path)]
    sourced = min(calls.get(word, inf) for word in (".", "source"))
    if sourced < calls.get("module", 0) and "module" in missing:
        missing.remove("module")  # the file may define it
    if missing and not _is_for_cluster(context, args.queue):
        for word in missing:
            output.print_note(tr(_MISSING[word], file=shown, line=calls[word]))


def _has_command(word: str, path: str | None) -> bool:
    from shutil import which

    if which(word, path=path) is not None:
        return True
    marks = ("MODULESHOME", "LMOD_CMD", "BASH_FUNC_module")
    return word == "module" and any(name.startswith(marks) for name in os.environ)


def _is_for_cluster(context: CommandContext, queue: str | None) -> bool:
    """Return True if a queue hands its tasks over to Slurm."""
    name = queue or "default"
    pools = {row["name"] for row in context.call("pool.ls") if row["kind"] != "local"}
    return any(row["pool"] in pools for row in context.call("queue.ls") if row["name"] == name)


def _read_shell(text: str, shown: str) -> list[str]:
    """Return the words of the interpreter that the first line of a script names."""
    first = text.partition("\n")[0]
    try:
        shell = shlex.split(first[2:]) if first.startswith("#!") else ["/bin/sh"]
    except ValueError:
        shell = []
    if not shell:
        raise Usage(
            "{shown} line 1: names no interpreter. {not_submitted}",
            shown=shown,
            not_submitted=tr(NOT_SUBMITTED),
        )
    return shell


def _is_shell(words: list[str]) -> bool:
    names = [os.path.basename(word) for word in words[:2]]
    return names[0] in _SHELLS or (names[0] == "env" and names[-1] in _SHELLS)


def _make_command(
    shell: list[str], path: str, text: str, words: list[str], shown: str
) -> list[str]:
    """Return the command that runs the script: its text in its shell, or else its file."""
    if _is_shell(shell) and len(os.fsencode(text)) <= MAX_SCRIPT:
        return [*shell, "-c", text, STDIN_NAME if path == STDIN else path, *words]
    if path == STDIN:
        raise Usage(
            "a script from standard input must be a shell script of at most {max_script:,} bytes.",
            "Store it in a file: taskdeck submit FILE. {not_submitted}",
            max_script=MAX_SCRIPT,
            not_submitted=tr(NOT_SUBMITTED),
        )
    output.print_note(tr("{file}: its file is read when the task starts, so keep it.", file=shown))
    return [*shell, os.path.abspath(path), *words]


def _make_problem(shown: str, faults: list[tuple[int, str]]) -> Problem:
    said = [
        tr("line {line}: {text}", line=line, text=text.rstrip(".。"))
        for line, text in faults[:MAX_NAMED]
    ]
    more = [tr("and {n:,} more", n=len(faults) - MAX_NAMED)] if faults[MAX_NAMED:] else []
    kind = Refused if any(tr(" is refused: ") in text for _, text in faults) else Usage
    problems = join_clauses([*said, *more])
    return kind(tr("{file} {problems}. Nothing was submitted.", file=shown, problems=problems))
