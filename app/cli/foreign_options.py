"""Options of other tools, and those of Taskdeck in their place.

The parser loads this module for an unknown option only. Each hint names the purpose, then the words
to type. The hint of a letter with several meanings names the tool of each.
"""

from __future__ import annotations

from app.translation import tr, tr_noop

_DEPENDENCY = tr_noop("Dependency: --after N, --after-any, --after-failure or --after-start")
_BY_SCHEDULE = tr_noop("Repeatedly: taskdeck schedule create NAME --cron EXPR -- COMMAND")
_ONE_MACHINE = tr_noop("A task runs on one machine. On a cluster: taskdeck help slurm-pools")
_ONE_USER = tr_noop("A home has one user, so all tasks are yours: taskdeck ls")
_WHOLE_GPU = tr_noop("A task has its GPUs for itself: --gpu 1")
_LABEL = tr_noop("Mark tasks: --tag account=NAME")
_NOTIFY = tr_noop("Message: --notify CHANNEL, after taskdeck help notifications")
_ONLY_NUMBER = tr_noop("stdout has only the number of the task. More: --json")
_ORDER = tr_noop("First in its queue: taskdeck front N, or --priority 100")
_PAUSE_QUEUE = tr_noop("A queue, whose running tasks go on: taskdeck queue pause NAME")
_RESUME_QUEUE = tr_noop("A queue: taskdeck queue resume NAME")
_OF_QUEUE = tr_noop("Of a queue: --queue NAME")
_SLOTS = tr_noop("At once: taskdeck queue set default --capacity 2")
_NEW_TASK = tr_noop("Another command is another task: taskdeck submit -- COMMAND")
_NO_COUNTERPART = tr_noop("Slurm's option has no counterpart here: taskdeck help from-slurm")
_LIVE = tr_noop("Live: taskdeck opens the deck; or watch taskdeck ls")

_SUBMIT = {
    "--delay --begin -b": tr_noop("Start time: --at 5m, or --at 'tomorrow 08:00'"),
    "--template": tr_noop("A template comes first: taskdeck submit TEMPLATE"),
    "--depends --depends-on --depends-on-all --dependency": _DEPENDENCY,
    "--depends-on-any": tr_noop(
        "A task waits for all that --after names. After an end: --after-any N"
    ),
    "--no-auto-cancel --kill-on-invalid-dep": tr_noop(
        "A failed parent cancels what waits for it. Start after any end: --after-any N"
    ),
    "-d": tr_noop("Dependency: --after N. Delay in pueue: --at 5m"),
    "-a": tr_noop("After a task in pueue: --after N. Array in Slurm: --array 1-9"),
    "-D": tr_noop("After a task in task-spooler: --after N. Directory in Slurm: -C DIR"),
    "--mem --max-mem --max-memory --mem-per-cpu --mem-per-gpu": tr_noop("Memory: --memory 4G"),
    "-m": tr_noop("Memory in gflow: --memory 4G. Mail in task-spooler: --notify CHANNEL"),
    "--cpus --cpus-per-task --cpus-per-gpu --cores --slots --ntasks --mincpus": tr_noop(
        "Cores: --cpu N"
    ),
    "--ntasks-per-node --ntasks-per-core --ntasks-per-gpu": tr_noop("Cores of a task: --cpu N"),
    "-N": tr_noop("Slots in task-spooler: --cpu N. Nodes in Slurm: a task runs on one machine"),
    "--nodes --nodelist --exclude --constraint -x -F -M --clusters --prefer": _ONE_MACHINE,
    "--gpus-per-node --gpus-per-task --gpus-per-socket -G": tr_noop("GPUs: --gpu 1"),
    "--shared --gpu-memory --max-gpu-mem --max-gpu-memory": _WHOLE_GPU,
    "-g": tr_noop("Group in pueue: -q QUEUE. GPUs in gflow: --gpu 1"),
    "--licenses": tr_noop("Licences: --resource license.NAME=1"),
    "-L": tr_noop("Label in task-spooler: -n NAME. Licences in Slurm: --resource license.NAME=1"),
    "--conda-env": tr_noop("Conda: taskdeck submit -- conda run -n ENV COMMAND"),
    "--time --time-limit --timelimit --walltime --time-min": tr_noop("Limit: --timeout 2h"),
    "--partition": tr_noop(
        "Queue: --queue NAME. One of Slurm is for a pool: taskdeck help slurm-pools"
    ),
    "--reservation --exclusive": tr_noop("Reserve for a tag: taskdeck help limits"),
    "--job-name --label -J -l": tr_noop("Name: --name NAME"),
    "--name-template": tr_noop("Name with a value: taskdeck help groups"),
    "--group": tr_noop("Group in pueue: --queue NAME. Mark tasks: --tag group=NAME"),
    "--nice": tr_noop("Order: --priority N"),
    "-o": tr_noop("Priority in pueue: -P N. Output in Slurm: --output FILE"),
    "-e": tr_noop("Errors in Slurm: --error FILE. Shell text unlike pueue: only in -c 'TEXT'"),
    "-E": tr_noop("Error output apart: --split"),
    "--escape": tr_noop("Words after -- are never shell text. Shell text: -c 'TEXT'"),
    "--stashed -s -H": tr_noop("Held until taskdeck release N: --hold"),
    "--immediate --start-immediately -i": _ORDER,
    "--print-task-id --parsable --quiet -Q": _ONLY_NUMBER,
    "--working-directory --chdir --workdir -w": tr_noop("Directory: -C DIR"),
    "-f": tr_noop("Until its end: --wait; with the output: --follow"),
    "-W": tr_noop("Until its end: --wait"),
    "-B": tr_noop(
        "A queue takes any number of tasks. At once: taskdeck queue set default --capacity 2"
    ),
    "-S": _SLOTS,
    "--jobs -j": tr_noop("At once, with --array, --sweep or --each: --max-running 4"),
    "--max-concurrent --parallel": tr_noop(
        "At once, with --array, --sweep or --each: --max-running 4"
    ),
    "--max-retries --requeue --no-requeue": tr_noop("Further attempts: --retries 3"),
    "--param": tr_noop("One task per value: --sweep lr=0.1,0.01"),
    "--param-file": tr_noop("One task per row: --sweep-file grid.csv"),
    "--project --account -A --qos --comment --wckey": _LABEL,
    "--notify-email --mail-user --mail-type": _NOTIFY,
    "--auto-close": tr_noop(
        "Nothing to close: runs need no tmux. Their output: taskdeck logs -f N"
    ),
    "--wrap": tr_noop("A command comes after --, shell text after -c: taskdeck submit -c 'TEXT'"),
    "--export --export-file --get-user-env": tr_noop(
        "Variables: --env NAME=VALUE, --keep-env none"
    ),
    "--test-only": tr_noop("Show and submit nothing: --dry-run"),
    "--input": tr_noop("Redirect it: -c 'COMMAND < FILE'"),
    "--cron --every": _BY_SCHEDULE,
    "-p": tr_noop("Queue, as a partition: --queue NAME. Priority: -P N"),
}
_SELECTORS = {
    "--group -g --partition -p": _OF_QUEUE,
    "--state --states -t": tr_noop("In a state: --status running"),
    "--names -N": tr_noop("By name: --name NAME"),
    "--project -P --account -A --qos": tr_noop("With a tag: --tag account=NAME"),
    "--user --users -u --me": _ONE_USER,
}
_OPTIONS: dict[str, dict[str, str]] = {
    "submit": _SUBMIT,
    "ls": {
        **_SELECTORS,
        "--job --jobs -j": tr_noop("One task: taskdeck show N"),
        "--all -a": tr_noop("Without a limit: --limit 0"),
        "-s": tr_noop("In a state: --status running"),
        "--completed -c": tr_noop("Ended tasks: --status ended"),
        "--long -l": tr_noop("Whole columns: --wide"),
        "--watch --iterate --interval -w -i": _LIVE,
        "--format --Format -f -O --noheader": tr_noop("Columns with tabs: -o tsv; fields: --json"),
        "--sort -r -S": tr_noop("Sort: taskdeck ls -o tsv | sort; or taskdeck opens the deck"),
        "--start": tr_noop("Expected start: taskdeck why N"),
        "--starttime -E --endtime": tr_noop("From a time on: --since 2h"),
        "--tree": tr_noop("Dependencies: taskdeck flow g1"),
    },
    "logs": {
        "--lines -l": tr_noop("Last lines: --tail 20"),
        "--full": tr_noop("A log is shown as a whole: taskdeck logs N"),
        "--all -a": tr_noop("Several tasks: taskdeck logs N N"),
        "-j": tr_noop("As JSON: --json"),
        "-e -E": tr_noop("Error output: --stderr"),
    },
    "wait": {
        "--group -g": tr_noop(
            "Of a queue: taskdeck wait $(taskdeck ls -q NAME --status active -o name)"
        ),
        "--all -a": tr_noop(
            "All tasks: taskdeck wait $(taskdeck ls --status waiting,active -o name)"
        ),
        "--quiet -q": tr_noop(
            "wait prints no output of a task. Its end as an exit code: taskdeck wait N"
        ),
        "--status -s": tr_noop("For a start: taskdeck submit --after-start N -- COMMAND"),
    },
    "cancel": {
        **_SELECTORS,
        "--all -a": tr_noop("All: taskdeck cancel --filter status:active,waiting --yes"),
        "--children -c": tr_noop("The whole process tree ends: taskdeck cancel N"),
        "-9 -KILL": tr_noop("Signal: --signal KILL"),
        "-15 -TERM -2 -INT": tr_noop("Signal: --signal INT, then KILL after the grace"),
        "--batch -b --full -f": tr_noop("The whole process tree ends: taskdeck cancel N"),
        "--interactive -i": tr_noop("Look first: --dry-run"),
    },
    "retry": {
        **_SELECTORS,
        "--all-failed -a": tr_noop("All that failed: taskdeck retry --status failed --yes"),
        "--failed-in-group": tr_noop(
            "Of a queue: taskdeck retry --status failed --queue NAME --yes"
        ),
        "--in-place --not-in-place -i": tr_noop(
            "A retry is a run of the same task with a log of its own: taskdeck retry N"
        ),
        "--start-immediately --immediate -k": tr_noop("Then first: taskdeck front N"),
        "--stashed -s": tr_noop("Then hold it: taskdeck hold N"),
        "--edit --edit-path --edit-label -e -l": _NEW_TASK,
        "--cascade": tr_noop("Its dependents, too: --with-dependents"),
        "--time -t --time-limit": tr_noop("Limit: --timeout 2h"),
        "--mem -m": tr_noop("Memory: --memory 4G"),
    },
    "pause": {**_SELECTORS, "--group -g --all -a --wait -w": _PAUSE_QUEUE},
    "resume": {**_SELECTORS, "--group -g --all -a": _RESUME_QUEUE},
    "hold": _SELECTORS,
    "release": {
        **_SELECTORS,
        "--delay -d --at": tr_noop("At a time: taskdeck set N --at 2h, then taskdeck release N"),
    },
    "rm": {
        **_SELECTORS,
        "--successful-only -s": tr_noop(
            "Those that succeeded: taskdeck rm --status succeeded --yes"
        ),
    },
    "front": _SELECTORS,
    "set": {
        "--label -l --job-name": tr_noop("Name: --name NAME"),
        "--path -p --working-directory -w": tr_noop("Directory: --cwd DIR"),
        "--command --edit -e": tr_noop("Command: taskdeck set N -- COMMAND, or -c 'TEXT'"),
        "--time --time-limit --timelimit": tr_noop("Limit: --timeout 2h"),
        "--mem --memory-limit -m": tr_noop("Memory: --memory 4G"),
        "--cpus --cpus-per-task": tr_noop("Cores: --cpu N"),
        "--begin --delay -d": tr_noop("Start time: --at 2h"),
        "--depends-on --depends-on-all --dependency --after": tr_noop(
            "Dependencies are set when a task is submitted: taskdeck submit --after N -- COMMAND"
        ),
        "--partition --group -g": tr_noop("Queue: --queue NAME"),
        "--nice": tr_noop("Order: --priority N"),
        "--max-concurrent --max-retries": tr_noop(
            "At once: --max-running 4. Attempts: --retries 3"
        ),
    },
    "show": {
        "--details -d --oneliner": tr_noop("As JSON: --json"),
        "--job -j": tr_noop("One task: taskdeck show N"),
    },
    "status": {
        "--group -g": tr_noop("Tasks of a queue: taskdeck ls -q NAME"),
        "-j": tr_noop("As JSON: --json"),
    },
    "usage": {
        "--user --users -u --all-users -a": tr_noop("By user: --by user"),
        "--starttime -S -t": tr_noop("From a time on: --since 7d"),
    },
    "queue create": {"--parallel -p -j --slots": tr_noop("Tasks at once: --capacity 2")},
    "queue set": {"--parallel -p -j --slots": tr_noop("Tasks at once: --capacity 2")},
    "schedule create": {
        "--user -u --mailto": tr_noop("A schedule runs as you. Mail: --notify CHANNEL"),
        "--timezone --time-zone": tr_noop("Time zone: --tz Europe/Berlin"),
    },
    "": {  # before any command, as task-spooler has them
        "-l": tr_noop("List: taskdeck ls"),
        "-C": tr_noop("Delete ended tasks: taskdeck rm --status ended --yes"),
        "-K": tr_noop("Stop the runtime; tasks go on: taskdeck stop"),
        "-S": _SLOTS,
        "-t": tr_noop("Output: taskdeck logs -f N"),
        "-c": tr_noop("Output: taskdeck logs N. Shell text: taskdeck submit -c 'TEXT'"),
        "-o -p -i -s": tr_noop("State, with pid: taskdeck show N --json. Output: taskdeck logs N"),
        "-r -k": tr_noop("End or drop a task: taskdeck cancel N"),
        "-w": tr_noop("Wait: taskdeck wait N"),
        "-u -U": tr_noop("First in its queue: taskdeck front N"),
        "-n -g -f -m -d -D -L -N -E -B": tr_noop(
            "Options follow the command: taskdeck submit --help"
        ),
    },
}


def explain_numbers(script: str | None, words: list[str], has_parents: bool) -> str:
    """Return a hint for a number in place of a command to submit, or ""."""
    if script is not None and script.isdecimal():
        return tr("Cores: --cpu {cores}. -c takes shell text.", cores=script)
    if has_parents and words and all(word.isdecimal() for word in words):
        return tr("Each task to wait for has its own option: --after {number}", number=words[0])
    return ""


def find_hint(command: str, word: str) -> str:
    """Return the hint for an option of another tool, or "".

    `command` is "" for an option before any command. `word` may have a value, as in --mem=4G or
    -d3.
    """
    name = word.partition("=")[0]
    hints = {
        theirs: hint
        for names, hint in _OPTIONS.get(command, {}).items()
        for theirs in names.split()
    }
    short = name[:2] if name[:1] == "-" and name[:2] != "--" else name
    return hints.get(name) or hints.get(short) or _find_slurm_hint(command, name)


def _find_slurm_hint(command: str, name: str) -> str:
    """Return a hint for the other options of sbatch, or ""."""
    from app.core.slurm.header import NAMES

    return _NO_COUNTERPART if command == "submit" and name.removeprefix("--") in NAMES else ""
