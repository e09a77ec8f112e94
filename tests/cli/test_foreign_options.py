"""Tests of the options of other tools, as errors name ours."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from app.cli import registry
from app.cli.foreign_options import _OPTIONS, explain_numbers, find_hint
from app.cli.parser import Parser
from app.core.slurm.header import NAMES as SBATCH_NAMES

PUEUE_ADD = """--working-directory -w --escape -e --immediate -i --stashed -s --delay -d --group -g
 --after -a --priority -o --label -l --print-task-id -p"""
TASK_SPOOLER = "-n -g -f -m -d -E -L -D -N"
TASK_SPOOLER_ACTIONS = "-K -C -l -S -t -c -p -o -i -s -r -w -k -u -U -B"
GBATCH = """--begin --conda-env -c --gpus -g --gres --shared --priority -p --nice --depends-on -d
 --dependency --depends-on-all --depends-on-any --no-auto-cancel --array --time -t --time-limit
 --timelimit --memory -m --max-mem --max-memory --gpu-memory --max-gpu-mem --name -n --job-name
 --auto-close --param --dry-run --max-concurrent --max-retries --param-file --name-template
 --project -P --notify-email --notify-on"""
SBATCH = """--array -a --account -A --begin -b --comment --cpus-per-gpu --cpus-per-task -c
 --dependency -d --chdir -D --error -e --exclude -x --exclusive --export --constraint -C --gpus -G
 --gpus-per-node --gpus-per-task --gres --hold -H --input -i --job-name -J --licenses -L --mail-type
 --mail-user --mem --mem-per-cpu --mem-per-gpu --nice --nodelist -w --nodes -N --ntasks -n
 --ntasks-per-node --output -o --parsable --partition -p --priority --qos -q --quiet -Q --requeue
 --no-requeue --reservation --signal --test-only --time -t --time-min --wait -W --wckey --wrap"""
SQUEUE = """--user -u --me --job --jobs -j --name -n --partition -p --states -t --account -A
 --format -o --Format -O --sort -S --start --iterate -i --long -l --noheader --json"""
GQUEUE = """--user -u --users --limit --all -a --completed -c --since --sort -r --states -s --jobs
 -j --names -N --project -P --format -f --group -g --tree -t --output -o --watch -w --interval"""
SCANCEL = "--account -A --batch -b --full -f --interactive -i --name -n --partition -p --qos -q"
SCANCEL += " --signal -s --state -t --user -u --me"
PEERS = [
    ("submit", PUEUE_ADD),
    ("submit", TASK_SPOOLER),
    ("", TASK_SPOOLER_ACTIONS),
    ("submit", GBATCH),
    ("submit", SBATCH),
    ("ls", SQUEUE),
    ("ls", GQUEUE),
    ("cancel", SCANCEL),
    ("cancel", "--group -g --all -a --children -c --signal -s"),
    ("logs", "--json -j --lines -l --full --all -a"),
    ("wait", "--group -g --all -a --quiet -q --status -s"),
    (
        "retry",
        "--all-failed -a --failed-in-group -g --start-immediately -k --stashed -s --in-place",
    ),
    ("retry", "-i --not-in-place --edit -e --edit-path --cascade --gpus --time -t --memory -m"),
    ("pause", "--group -g --all -a --wait -w"),
    ("resume", "--group -g --all -a"),
    ("release", "--delay -d --at"),
    ("rm", "--successful-only -s --group -g"),
    ("set", "--label -l --path --gpus --nice --time-limit --memory-limit --depends-on"),
]
PEERS += [("submit", " ".join(f"--{name}" for name in SBATCH_NAMES))]
HINTS = sorted({(command, hint) for command, hints in _OPTIONS.items() for hint in hints.values()})


def make_parser(command: str) -> Parser:
    verb, _, name = command.partition(" ")
    return registry.load_commands(verb)[name or verb].make_parser(command)


@pytest.mark.parametrize(("command", "theirs"), PEERS)
def test_every_option_of_a_peer_is_ours_or_has_a_hint(command: str, theirs: str):
    known = set(make_parser(command)._option_string_actions) if command else set()

    assert [
        word for word in theirs.split() if word not in known and not find_hint(command, word)
    ] == []


def test_every_hint_names_commands_and_options_that_exist():
    wrong = [
        (hint, name)
        for command, hint in HINTS
        for spoken, name in list_options(command, hint)
        if name not in make_parser(spoken)._option_string_actions
    ]

    assert wrong == []


def list_options(command: str, hint: str) -> Iterator[tuple[str, str]]:
    """Yield each option of a hint with its command: `command`, or one that the hint names."""
    for clause in re.split(r"[.;,|:]+(?:\s|$)|\$\(|\)", hint):
        spoken, words = command, shlex.split(clause)
        if "taskdeck" in words:
            verb, *more = words[words.index("taskdeck") + 1 :]
            spoken = f"{verb} {more[0]}" if verb in registry.GROUPS else verb
            assert verb in registry.COMMAND_INDEX or verb == "opens"  # the deck
        for word in words:
            if re.fullmatch(r"--?[A-Za-z][a-z-]*", word):
                yield spoken, word


def test_no_hint_is_for_an_option_that_the_command_has():
    for command, hints in _OPTIONS.items():
        if command:
            known = make_parser(command)._option_string_actions.keys()
            words = {word for names in hints for word in names.split()}
            assert words & known <= ({"-p"} if command == "submit" else set()), command


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["add", "--stashed", "--", "true"], "unknown option --stashed of submit. Held until"),
        (["add", "--delay=3h", "--", "true"], "unknown option --delay of submit. Start time: --at"),
        (["submit", "-dafterok:3", "--", "true"], "Dependency: --after N"),
        (["submit", "-p", "gpu", "--", "true"], "Queue, as a partition: --queue NAME"),
        (["submit", "-c", "4", "job.sh"], "Cores: --cpu 4. -c takes shell text."),
        (["submit", "--after", "1", "2", "--", "true"], "has its own option: --after 2"),
        (["-S", "4"], "unknown option -S. At once: taskdeck queue set default --capacity 2"),
        (["ls", "-u", "me"], "unknown option -u of ls. A home has one user"),
        (["wait", "--all"], "taskdeck wait $(taskdeck ls --status waiting,active -o name)"),
        (["queue", "set", "default", "--parallel", "3"], "Tasks at once: --capacity 2"),
    ],
)
def test_the_error_for_an_option_of_a_peer_names_ours(cli, typed: list[str], answer: str):
    said = cli(*typed)

    assert (said.code, said.out) == (2, "") and answer in said.err and said.err.count("\n") == 1


def test_numbers_that_are_no_work_of_a_peer_get_no_hint():
    assert explain_numbers("sort a", ["encode"], True) == ""
    assert explain_numbers(None, ["7"], False) == ""
