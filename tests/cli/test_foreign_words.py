"""Tests of the commands of other tools, as errors name ours."""

from __future__ import annotations

import pytest

from app.cli import registry
from app.cli.foreign_words import FOREIGN_COMMANDS, find_command

OURS = frozenset(registry.COMMAND_INDEX)
PUEUE = """add remove switch stash enqueue start restart pause kill send edit env group status
 format-status log follow wait clean reset shutdown parallel completions rm re fo cleanup clear"""
SLURM = """sbatch srun salloc squeue scancel sinfo sacct scontrol sprio sshare sreport sstat sdiag
 sacctmgr scrontab strigger sattach"""
GFLOW = "gbatch gqueue gcancel ginfo gjob gctl gstats gflowd redo hold release show update quota"
CRON = "crontab cron at atq atrm batch"


@pytest.mark.parametrize(
    "tool", [PUEUE, SLURM, GFLOW, CRON], ids=["pueue", "slurm", "gflow", "cron"]
)
def test_every_command_of_a_peer_leads_to_one_of_ours(tool: str):
    unknown = [
        word
        for word in tool.split()
        if word not in OURS | registry.ALIASES.keys() and not find_command(word, [], OURS)
    ]

    assert unknown == []


def test_every_foreign_verb_leads_to_an_existing_command():
    for ours in FOREIGN_COMMANDS.values():
        verb, *more = ours.split()
        found = registry.load_commands(verb)
        assert more[0] in found if verb in registry.GROUPS else verb in found


def test_no_foreign_verb_hides_a_command():
    assert not FOREIGN_COMMANDS.keys() & (OURS | registry.ALIASES.keys())


def test_a_quoted_line_becomes_shell_text():
    assert find_command("exec", ["ls | wc"], OURS) == "submit -c 'ls | wc'"


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("gjob log 3", "logs 3"),
        ("gjob hold 3", "hold 3"),
        ("scontrol hold 4", "hold 4"),
        ("scontrol show job 4", "show 4"),
        ("scontrol requeue 4", "retry 4"),
        ("pueue status", "status"),
        ("pueue", "help from-pueue"),
        ("pueue add ls", "submit -- ls"),
        ("group add gpu", "queue create NAME --capacity 2"),
        ("group", "queue ls"),
        ("parallel 4", "queue set default --capacity 2"),
        ("start 4", "resume 4, or taskdeck release 4"),
        ("start", "serve --detach"),
        ("clean -s", "rm --status ended --yes"),
        ("follow 4", "logs -f 4"),
        ("crontab -e", "schedule create NAME --cron '0 2 * * *' -- COMMAND"),
        ("squeue -u me", "ls"),
        ("run ls -la", "submit -- ls -la"),
        ("sbatch job.sh", "submit job.sh"),
        ("sbatch -p gpu job.sh", "submit"),
        ("srun hostname", "submit --follow -- hostname"),
        ("kill 4\x1b]0;x\x07", "cancel"),
        ("pueue nothing", None),
        ("sumbit", None),
    ],
)
def test_words_of_another_tool_become_a_command_line_of_ours(typed: str, ours: str | None):
    verb, *rest = typed.split()

    assert find_command(verb, rest, OURS) == ours
