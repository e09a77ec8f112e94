"""Tests of usage errors, help and the command registry."""

from __future__ import annotations

import pytest

from app.cli import registry
from app.cli.commands.completion import build_full_parser
from app.help import list_topics


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["sumbit", "--", "true"], "Nearest: submit"),
        (["ps"], "Did you mean: taskdeck ls"),
        (["sbatch", "--mem", "4G", "a.sh"], "Memory: --memory 4G. Did you mean: taskdeck submit"),
        (["kill", "42"], "Did you mean: taskdeck cancel 42"),
        (["kill", "-s", "9", "42"], "Did you mean: taskdeck cancel -s 9 42"),
        (["describe", "42"], "Did you mean: taskdeck show 42"),
        (["top"], "Did you mean taskdeck (the deck), or taskdeck front 42?"),
        (["xyzzy"], "All commands: taskdeck --help"),
        (["queue", "craete", "x"], "Nearest: taskdeck queue create"),
        (["import", "tsp"], "Nearest: taskdeck import task-spooler"),
        (["import", "slurm"], "Scripts run unchanged: taskdeck help from-slurm"),
        (["queue"], "queue needs a command: ls show create"),
        (["--hoem", "x"], "Nearest: --home"),
        (["--home"], "--home needs a value"),
        (["ls", "--stauts", "failed"], "unknown option --stauts of ls. Nearest: --status"),
        (["ls", "--status", "faild"], "Nearest: failed"),
        (["submit", "--sbatch"], "unknown option --sbatch of submit. See: taskdeck submit --help"),
        (["submit", "--delay", "5"], "unknown option --delay of submit. Start time: --at 5m"),
        (["submit", "--template", "x"], "A template comes first: taskdeck submit TEMPLATE"),
        (["submit", "--cron", "x"], "Repeatedly: taskdeck schedule create NAME"),
        (["ls", "42"], "taskdeck show 42"),
        (["show", "1", "2"], "show which task"),
        (["show", "--wide=3", "1"], "--wide takes no value"),
        (["wait"], "wait for which task?"),
        (["cancel"], "cancel which task? Give a number, or filters"),
        (["pause"], "pause which task? Give a number, or filters"),
        (["cancel", "--signal", "KIL", "1"], "Nearest: KILL"),
        (["set", "42"], "set what?"),
        (["completion", "bsh"], "Nearest: bash"),
        (["completion"], "completion for which shell?"),
        (["apply"], "apply which file?"),
        (["export", "--format", "xml"], "--format must be toml or yaml"),
        (["sla", "create", "x"], "needs --finishes-within, --starts-within, --preset"),
        (
            ["sla", "create", "x", "--finishes-within", "1h", "--severity", "criticl"],
            "Nearest: critical",
        ),
        (
            ["sla", "create", "x", "--metric", "replica-lga", "--stays-below", "5m"],
            "--metric must be replica-lag, backup-age,",
        ),
        (
            ["sla", "create", "x", "--metric", "replica-lga", "--stays-below", "5m"],
            "Nearest: replica-lag",
        ),
        (
            ["sla", "create", "x", "--stays-below", "5m"],
            "--metric and --stays-below require each other",
        ),
        (["sla", "create", "x", "--metric", "wal-size"], "or --metric with --stays-below"),
        (
            ["sla", "create", "x", "--metric", "wal-size", "--finishes-within", "5m"],
            "--metric and --stays-below require each other",
        ),
        (["sla", "create", "x", "--conditions", "[" * 100_000], "nested too deeply"),
        (["pool", "create", "x", "--cpu", "1"], "needs both --cpu and --memory"),
        (["queue", "show", "a", "b"], "Give one name"),
        (["demo"], "taskdeck demo --headless"),
        (["logs"], "logs of which task?"),
        (["submit", "-q", "", "--", "true"], "--queue must not be empty"),
        (["submit", "-C", "", "--", "true"], "--cwd must not be empty"),
        (["submit", "--after", "", "--", "true"], "--after must not be empty"),
        (["submit", ""], "the name of the template must not be empty"),
        (["ls", "--queue="], "--queue must not be empty"),
        (["cancel", "--name", "", "--yes"], "--name must not be empty"),
        (["set", "1", "--queue", ""], "--queue must not be empty"),
        (["queue", "create", "x", "--pool", ""], "--pool must not be empty"),
        (["queue", "pause", ""], "the name of a queue must not be empty"),
        (["template", "create", "x", "-q", "", "--", "true"], "--queue must not be empty"),
        (
            ["sla", "create", "x", "--finishes-within", "1h", "--queue", ""],
            "--queue must not be empty",
        ),
        (["apply", "-f", ""], "--file must not be empty"),
    ],
)
def test_a_typo_is_a_usage_error_with_a_suggestion(cli, typed, answer):
    said = cli(*typed)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("taskdeck: ") and answer in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    "typed", [["x\x1b[2J\u202e"], ["show", "--\x1b]0;x\x07"], ["queue", "a\nb"], ["--\u009bx"]]
)
def test_echoed_input_cannot_drive_the_terminal(cli, typed):
    said = cli(*typed)

    assert said.code == 2 and said.err.rstrip("\n").isprintable()


def test_the_overview_names_every_command_and_option_once(cli):
    said = cli("--help")

    assert said.code == 0 and said.err == ""
    listed = [
        line.split()[0]
        for line in said.out.splitlines()
        if line.startswith("  ") and not line.startswith("  taskdeck")
    ]
    options = {"--home", "--read-only", "--ascii", "--plain", "--in-process"}
    assert listed == list(dict.fromkeys(listed)) and set(listed) == {
        *registry.COMMAND_INDEX,
        *options,
    }
    assert all(len(line) <= 80 for line in said.out.splitlines())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("show", "[OPTION …] ID"),
        ("logs", "[OPTION …] ID …"),
        ("instances", "[OPTION …] [ID]"),
        ("pause", "[OPTION …] (ID … | [GROUP …] FILTER …)"),
        ("cancel", "[OPTION …] (ID … | [GROUP …] FILTER …)"),
    ],
)
def test_usage_tells_how_many_ids_a_command_takes(cli, command, words):
    assert cli(command, "--help").out.startswith(f"usage: taskdeck {command} {words}\n")


@pytest.mark.parametrize("verb", sorted(registry.COMMAND_INDEX))
def test_every_command_has_its_help(cli, verb):
    said = cli(verb, "--help")

    assert said.code == 0 and said.err == ""
    assert said.out.startswith(f"usage: taskdeck {verb}")
    if verb not in list_topics():
        assert cli("help", verb) == said


@pytest.mark.parametrize(
    ("verb", "word"), [("operations", "[WORD …]"), ("undo", "[OPERATION …]"), ("why", "[ID …]")]
)
def test_optional_arguments_are_shown_in_brackets(cli, verb, word):
    assert cli(verb, "--help").out.startswith(f"usage: taskdeck {verb} [OPTION …] {word}\n")


def test_the_help_of_submit_has_examples(cli):
    assert "taskdeck submit -- ffmpeg" in cli("submit", "--help").out


def test_the_version_is_available_as_verb_and_option(cli):
    assert cli("--version") == cli("version")
    assert cli("version").out.startswith("taskdeck ")


def test_every_reading_command_has_json():
    parser = build_full_parser()
    (verbs,) = parser._get_positional_actions()
    for verb in (
        "ls",
        "show",
        "why",
        "wait",
        "logs",
        "instances",
        "flow",
        "usage",
        "what-if",
        "status",
        "operations",
        "undo",
        "doctor",
        "cancel",
        "version",
    ):
        assert "--json" in verbs.choices[verb]._option_string_actions, verb
    for group in {*registry.GROUPS} - {"http"}:  # its files have formats of their own
        (second,) = verbs.choices[group]._get_positional_actions()
        assert all("--json" in p._option_string_actions for p in second.choices.values()), group


def test_the_home_is_accepted_before_or_after_the_verb(cli, tmp_path):
    for typed in (
        ["--home", str(tmp_path / "a"), "ls"],
        [f"--home={tmp_path / 'a'}", "ls"],
        ["ls", "--home", str(tmp_path / "a")],
    ):
        assert "no tasks yet" in cli(*typed).err


@pytest.mark.parametrize("words", [("--home", "", "ls"), ("--home=", "ls"), ("ls", "--home", "")])
def test_an_empty_home_is_not_the_default_home(cli, words):
    said = cli(*words)

    assert said.code == 2 and "--home must not be empty" in said.err
