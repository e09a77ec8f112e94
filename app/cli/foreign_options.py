"""Options of other tools, and what Taskdeck has in their place.

The parser looks here once it has met an unknown option, so no command pays for the table. Each hint
names the purpose, then what to type. A letter that means several things names the tool of each.
"""

from __future__ import annotations

_DEPENDENCY = "Dependency: --after N, --after-any, --after-failure or --after-start"
_BY_SCHEDULE = "Repeatedly: taskdeck schedule create NAME --cron EXPR -- COMMAND"
_ONE_MACHINE = "A task runs on one machine. On a cluster: taskdeck help slurm-pools"
_ONE_USER = "A home has one user, so all tasks are yours: taskdeck ls"
_WHOLE_GPU = "A task has its GPUs for itself: --gpu 1"
_LABEL = "Mark tasks: --tag account=NAME"
_NOTIFY = "Message: --notify CHANNEL, after taskdeck help notifications"
_ONLY_NUMBER = "stdout has only the number of the task. More: --json"
_ORDER = "First in its queue: taskdeck front N, or --priority 100"
_PAUSE_QUEUE = "A queue, whose running tasks go on: taskdeck queue pause NAME"
_RESUME_QUEUE = "A queue: taskdeck queue resume NAME"
_OF_QUEUE = "Of a queue: --queue NAME"
_SLOTS = "At once: taskdeck queue set default --capacity 2"
_NEW_TASK = "Another command is another task: taskdeck submit -- COMMAND"
_LIVE = "Live: taskdeck opens the deck; or watch taskdeck ls"

_SUBMIT = {
    "--delay --begin -b": "Start time: --at 5m, or --at 'tomorrow 08:00'",
    "--template": "A template comes first: taskdeck submit TEMPLATE",
    "--depends --depends-on --depends-on-all --dependency": _DEPENDENCY,
    "--depends-on-any": "A task waits for all that --after names. After an end: --after-any N",
    "--no-auto-cancel --kill-on-invalid-dep": "A failed parent cancels what waits for it. Start"
    " after any end: --after-any N",
    "-d": f"{_DEPENDENCY}. Delay in pueue: --at 5m",
    "-a": "After a task in pueue: --after N. Array in Slurm: --array 1-9",
    "-D": "After a task in task-spooler: --after N. Directory in Slurm: -C DIR",
    "--mem --max-mem --max-memory --mem-per-cpu --mem-per-gpu": "Memory: --memory 4G",
    "-m": "Memory in gflow: --memory 4G. Mail in task-spooler: --notify CHANNEL",
    "--cpus --cpus-per-task --cpus-per-gpu --cores --slots --ntasks --mincpus": "Cores: --cpu N",
    "--ntasks-per-node --ntasks-per-core --ntasks-per-gpu": "Cores of a task: --cpu N",
    "-N": "Slots in task-spooler: --cpu N. Nodes in Slurm: a task runs on one machine",
    "--nodes --nodelist --exclude --constraint -x -F -M --clusters --prefer": _ONE_MACHINE,
    "--gpus-per-node --gpus-per-task --gpus-per-socket -G": "GPUs: --gpu 1",
    "--shared --gpu-memory --max-gpu-mem --max-gpu-memory": _WHOLE_GPU,
    "-g": "Group in pueue: -q QUEUE. GPUs in gflow: --gpu 1",
    "--licenses": "Licences: --resource license.NAME=1",
    "-L": "Label in task-spooler: -n NAME. Licences in Slurm: --resource license.NAME=1",
    "--conda-env": "Conda: taskdeck submit -- conda run -n ENV COMMAND",
    "--time --time-limit --timelimit --walltime --time-min": "Limit: --timeout 2h",
    "--partition": "Queue: --queue NAME. One of Slurm is for a pool: taskdeck help slurm-pools",
    "--reservation --exclusive": "Reserve for a tag: taskdeck help limits",
    "--job-name --label -J -l": "Name: --name NAME",
    "--name-template": "Name with a value: --name 'train {lr}'",
    "--group": "Group in pueue: --queue NAME. Mark tasks: --tag group=NAME",
    "--nice": "Order: --priority N",
    "-o": "Priority in pueue: -P N. Output in Slurm: --output FILE",
    "-e": "Errors in Slurm: --error FILE. Shell text unlike pueue: only in -c 'TEXT'",
    "-E": "Error output apart: --split",
    "--escape": "Words after -- are never shell text. Shell text: -c 'TEXT'",
    "--stashed -s -H": "Held until taskdeck release N: --hold",
    "--immediate --start-immediately -i": _ORDER,
    "--print-task-id --parsable --quiet -Q": _ONLY_NUMBER,
    "--working-directory --chdir --workdir -w": "Directory: -C DIR",
    "-f": "Until its end: --wait; with the output: --follow",
    "-W": "Until its end: --wait",
    "-B": "A queue takes any number of tasks. At once: taskdeck queue set default --capacity 2",
    "-S": _SLOTS,
    "--jobs -j": "At once, with --array, --sweep or --each: --max-running 4",
    "--max-concurrent --parallel": "At once, with --array, --sweep or --each: --max-running 4",
    "--max-retries --requeue --no-requeue": "Further attempts: --retries 3",
    "--param": "One task per value: --sweep lr=0.1,0.01",
    "--param-file": "One task per row: --sweep-file grid.csv",
    "--project --account -A --qos --comment --wckey": _LABEL,
    "--notify-email --mail-user --mail-type": _NOTIFY,
    "--auto-close": "Nothing to close: runs need no tmux. Their output: taskdeck logs -f N",
    "--wrap": "A command comes after --, shell text after -c: taskdeck submit -c 'TEXT'",
    "--export --export-file --get-user-env": "Variables: --env NAME=VALUE, --keep-env none",
    "--test-only": "Show and submit nothing: --dry-run",
    "--input": "Redirect it: -c 'COMMAND < FILE'",
    "--cron --every": _BY_SCHEDULE,
    "-p": "Queue, as a partition: --queue NAME. Priority: -P N",
}
_SELECTORS = {
    "--group -g --partition -p": _OF_QUEUE,
    "--state --states -t": "In a state: --status running",
    "--names -N": "By name: --name NAME",
    "--project -P --account -A --qos": "With a tag: --tag account=NAME",
    "--user --users -u --me": _ONE_USER,
}
_OPTIONS: dict[str, dict[str, str]] = {
    "submit": _SUBMIT,
    "ls": {
        **_SELECTORS,
        "--job --jobs -j": "One task: taskdeck show N",
        "--all -a": "Without a limit: --limit 0",
        "-s": "In a state: --status running",
        "--completed -c": "Ended tasks: --status ended",
        "--long -l": "Whole columns: --wide",
        "--watch --iterate --interval -w -i": _LIVE,
        "--format --Format -f -O --noheader": "Columns with tabs: -o tsv; fields: --json",
        "--sort -r -S": "Sort: taskdeck ls -o tsv | sort; or taskdeck opens the deck",
        "--start": "Expected start: taskdeck why N",
        "--starttime -E --endtime": "From a time on: --since 2h",
        "--tree": "Dependencies: taskdeck flow g1",
    },
    "logs": {
        "--lines -l": "Last lines: --tail 20",
        "--full": "A log is shown as a whole: taskdeck logs N",
        "--all -a": "Several tasks: taskdeck logs N N",
        "-j": "As JSON: --json",
        "-e -E": "Error output: --stderr",
    },
    "wait": {
        "--group -g": "Of a queue: taskdeck wait $(taskdeck ls -q NAME --status active -o name)",
        "--all -a": "All tasks: taskdeck wait $(taskdeck ls --status waiting,active -o name)",
        "--quiet -q": "wait prints no output of a task. Its end as an exit code: taskdeck wait N",
        "--status -s": "For a start: taskdeck submit --after-start N -- COMMAND",
    },
    "cancel": {
        **_SELECTORS,
        "--all -a": "All: taskdeck cancel --filter status:active,waiting --yes",
        "--children -c": "The whole process tree ends: taskdeck cancel N",
        "-9 -KILL": "Signal: --signal KILL",
        "-15 -TERM -2 -INT": "Signal: --signal INT, then KILL after the grace",
        "--batch -b --full -f": "The whole process tree ends: taskdeck cancel N",
        "--interactive -i": "Look first: --dry-run",
    },
    "retry": {
        **_SELECTORS,
        "--all-failed -a": "All that failed: taskdeck retry --status failed --yes",
        "--failed-in-group": "Of a queue: taskdeck retry --status failed --queue NAME --yes",
        "--in-place --not-in-place -i": "A retry is a run of the same task with a log of its own:"
        " taskdeck retry N",
        "--start-immediately --immediate -k": "Then first: taskdeck front N",
        "--stashed -s": "Then hold it: taskdeck hold N",
        "--edit --edit-path --edit-label -e -l": _NEW_TASK,
        "--cascade": "Its dependents, too: --with-dependents",
        "--time -t --time-limit": "Limit: --timeout 2h",
        "--mem -m": "Memory: --memory 4G",
    },
    "pause": {**_SELECTORS, "--group -g --all -a --wait -w": _PAUSE_QUEUE},
    "resume": {**_SELECTORS, "--group -g --all -a": _RESUME_QUEUE},
    "hold": _SELECTORS,
    "release": {
        **_SELECTORS,
        "--delay -d --at": "At a time: taskdeck set N --at 2h, then taskdeck release N",
    },
    "rm": {
        **_SELECTORS,
        "--successful-only -s": "Those that succeeded: taskdeck rm --status succeeded --yes",
    },
    "front": _SELECTORS,
    "set": {
        "--label -l --job-name": "Name: --name NAME",
        "--path -p --working-directory -w": "Directory: --cwd DIR",
        "--command --edit -e": "Command: taskdeck set N -- COMMAND, or -c 'TEXT'",
        "--time --time-limit --timelimit": "Limit: --timeout 2h",
        "--mem --memory-limit -m": "Memory: --memory 4G",
        "--cpus --cpus-per-task": "Cores: --cpu N",
        "--begin --delay -d": "Start time: --at 2h",
        "--depends-on --depends-on-all --dependency --after": "Dependencies are set when a task is"
        " submitted: taskdeck submit --after N -- COMMAND",
        "--partition --group -g": "Queue: --queue NAME",
        "--nice": "Order: --priority N",
        "--max-concurrent --max-retries": "At once: --max-running 4. Attempts: --retries 3",
    },
    "show": {
        "--details -d --oneliner": "As JSON: --json",
        "--job -j": "One task: taskdeck show N",
        "-e --env": "The environment is in: taskdeck show N --json",
    },
    "status": {"--group -g": "Tasks of a queue: taskdeck ls -q NAME", "-j": "As JSON: --json"},
    "usage": {
        "--user --users -u --all-users -a": "By user: --by user",
        "--starttime -S -t": "From a time on: --since 7d",
    },
    "queue create": {"--parallel -p -j --slots": "Tasks at once: --capacity 2"},
    "queue set": {"--parallel -p -j --slots": "Tasks at once: --capacity 2"},
    "schedule create": {
        "--user -u --mailto": "A schedule runs as you. Mail: --notify CHANNEL",
        "--timezone --time-zone": "Time zone: --tz Europe/Berlin",
    },
    "": {  # before any command, as task-spooler has them
        "-l": "List: taskdeck ls",
        "-C": "Delete ended tasks: taskdeck rm --status ended --yes",
        "-K": "Stop the runtime; tasks go on: taskdeck stop",
        "-S": _SLOTS,
        "-t": "Output: taskdeck logs -f N",
        "-c": "Output: taskdeck logs N. Shell text: taskdeck submit -c 'TEXT'",
        "-o -p -i -s": "State, pid and log file: taskdeck show N",
        "-r -k": "End or drop a task: taskdeck cancel N",
        "-w": "Wait: taskdeck wait N",
        "-u -U": "First in its queue: taskdeck front N",
        "-n -g -f -m -d -D -L -N -E -B": "Options follow the command: taskdeck submit --help",
    },
}


def explain_numbers(script: str | None, words: list[str], has_parents: bool) -> str:
    """Return what to type where a number took the place of work to submit, or ""."""
    if script is not None and script.isdecimal():
        return f"Cores: --cpu {script}. -c takes shell text."
    if has_parents and words and all(word.isdecimal() for word in words):
        return f"Each task to wait for has its own option: --after {words[0]}"
    return ""


def find_hint(command: str, word: str) -> str:
    """Return what Taskdeck has instead of an option of another tool, or "".

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
    return hints.get(name) or hints.get(short, "")
