"""Tests of `--read-only`: reading commands run, others are refused before any change."""

from __future__ import annotations

import pytest

from app.cli import registry

READING_COMMANDS = frozenset({
    "ls", "show", "why", "logs", "wait", "instances", "export", "status", "operations", "doctor",
    "completion", "flow", "help", "mcp", "usage", "version", "what-if",
    "queue ls", "queue show", "pool ls", "pool show", "resource ls", "limit ls", "limit show",
    "reserve ls",
    "template ls", "template show", "sla ls",
    "sla show", "alert ls", "alert show", "alert silences", "notify ls", "schedule ls",
    "schedule show", "schedule preview", "sla presets", "sla checkins", "sla schema", "sla test",
    "db check", "db backups", "db verify", "db slow", "db stats",
})  # fmt: skip
"""Commands that `--read-only` accepts unchanged."""
MIXED = frozenset(
    {"db replica", "import crontab", "import gflow", "import pueue", "import task-spooler"}
)
"""Commands that change something only with some options."""


def list_commands() -> list[str]:
    names = [
        (verb, name) for verb in registry.COMMAND_INDEX for name in registry.load_commands(verb)
    ]
    return sorted(
        f"{verb} {name}" if verb in registry.GROUPS else verb
        for verb, name in names
        if verb in registry.GROUPS or name == verb
    )


@pytest.mark.parametrize(
    "name", [name for name in list_commands() if name not in {*READING_COMMANDS, *MIXED}]
)
def test_changing_commands_are_refused_before_any_change(cli, home, name):
    before = sorted(home.rglob("*"))

    said = cli("--read-only", *name.split())

    assert (said.code, said.out) == (4, "")
    assert said.err == (
        f"taskdeck: {name} may change something, which --read-only forbids. Nothing was done.\n"
    )
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("name", sorted(READING_COMMANDS))
def test_reading_commands_are_accepted(cli, name):
    assert "--read-only" not in cli("--read-only", *name.split()).err


@pytest.mark.parametrize(
    "typed",
    [
        "what-if --apply --cancel 1",
        "db check --repair",
        "db slow --clear",
        "db replica set /mnt/x",
        "db replica off",
        "import crontab --apply",
        "cancel --queue q --yes",
        "submit --each -- true",
    ],
)
def test_an_option_or_argument_can_decide(cli, typed):
    assert cli("--read-only", *typed.split()).code == 4


@pytest.mark.parametrize(
    "typed",
    ["ls", "status", "db replica", "db replica status", "db stats", "operations", "export", "why"],
)
def test_reading_starts_no_runtime(cli, home, typed):
    said = cli("--read-only", *typed.split())

    assert said.code == 0, said
    assert not (home / "run" / "control.sock").exists()


def test_a_dry_run_starts_no_runtime(cli):
    said = cli("--read-only", "submit", "--dry-run", "--", "true")

    assert (said.code, said.err) == (
        4,
        "taskdeck: no runtime is running. Nothing was done. Start it: taskdeck serve --detach\n",
    )


def test_a_dry_run_counts_as_reading(fake_runtime, cli):
    fake_runtime(apply={"changes": []})

    assert cli("--read-only", "apply", "--dry-run", "-f", "-", feed=b"").code == 0


def test_the_help_of_every_command_is_accepted(cli):
    assert "usage: taskdeck submit" in cli("--read-only", "submit", "--help").out
