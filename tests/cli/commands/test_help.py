"""Tests of `taskdeck help`."""

from __future__ import annotations

import re

import pytest

from app.cli import registry
from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic
from app.translation import ENGLISH
from tests.cli.terminal_command import run_on_terminal


def test_without_words_the_overview_and_the_topics_are_listed(cli):
    said = cli("help")

    assert said.code == 0 and said.err == ""
    assert said.out.startswith(cli("--help").out.rstrip("\n"))
    for name, summary in list_topics().items():
        assert f"  {name} " in said.out and summary[1:] in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_the_overview_mentions_the_topics(cli):
    assert "taskdeck help TOPIC" in cli("--help").out


@pytest.mark.parametrize("name", list_topics())
def test_a_topic_into_a_pipe_is_its_markdown(cli, name):
    assert cli("help", name) == (0, read_topic(name), "")


def test_a_chinese_locale_gets_the_chinese_topics(cli, monkeypatch):
    monkeypatch.setattr("app.translation._process_language", ENGLISH)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    topics = cli("help").out

    assert cli("help", "backup").out.startswith("# 备份\n")
    assert re.search("^  backup +自动备份，以及备份的检查和设置$", topics, re.MULTILINE)
    assert max(map(measure_width, topics.splitlines())) <= 80


@pytest.mark.parametrize(
    ("word", "topic"), [("reservations", "limits"), ("tsp", "from-task-spooler")]
)
def test_another_word_leads_to_the_topic(cli, word, topic):
    assert cli("help", word).out == read_topic(topic)
    assert "taskdeck help limits" in cli("help", "reserve").out


@pytest.mark.parametrize(
    "words", [["queue", "pause"], ["db", "backup"], ["queue"], ["ls"], ["add"]]
)
def test_a_command_gets_its_help(cli, words):
    assert cli("help", *words) == cli(*words, "--help")


@pytest.mark.parametrize("name", sorted(list_topics().keys() & registry.COMMAND_INDEX.keys()))
def test_a_topic_goes_before_a_command_of_the_same_name(cli, name):
    assert cli("help", name).out == read_topic(name)
    assert f"taskdeck {name} --help" in read_topic(name)
    assert f"taskdeck help {name}" in cli(name, "--help").out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["bakcup"], "Nearest: backup. Topics: agents, backup,"),
        (["sumbit"], "Nearest: submit. Topics: agents"),
        (["xyzzy"], '"xyzzy". Topics: agents'),
        (["ps"], "Did you mean: taskdeck ls"),
        (["queue", "puase"], "Nearest: taskdeck queue pause"),
        (["__complete"], "there is no help topic or command"),
        (["--wide"], "unknown option --wide of help"),
    ],
)
def test_a_typo_gets_the_nearest_name(cli, words, answer):
    said = cli("help", *words)

    assert (said.code, said.out) == (2, "") and answer in said.err


def test_the_summaries_of_a_group_stand_in_one_column(cli):
    lines = cli("import", "--help").out.splitlines()
    summaries = [line for line in lines if line.startswith("  ")]

    assert {line.index(" s") for line in summaries} == {len("  task-spooler")}


def test_a_topic_typed_as_a_command_is_recognised(cli):
    assert "Help topic: taskdeck help restore" in cli("restore").err


def test_help_works_in_the_folder_of_a_replica(cli, home):
    (home / "replica.db").touch()

    assert cli("help", "replica").code == 0


@pytest.mark.process
def test_a_terminal_gets_a_wrapped_page_with_bold_headings(home):
    said = run_on_terminal(home, "help", "backup", columns=60, PAGER="").decode()

    assert said.startswith("\x1b[1mBackup\x1b[0m\r\n")
    assert "\r\n  taskdeck db verify\r\n" in said and "`" not in said
    shown = said.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(len(line) for line in shown if not line.startswith("  ")) <= 60


@pytest.mark.process
@pytest.mark.parametrize("chosen", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_page_without_colour_keeps_the_backticks(home, chosen):
    said = run_on_terminal(home, "help", "backup", PAGER="", **chosen).decode()

    assert "\x1b" not in said and said.startswith("Backup\r\n") and "`db verify`" in said


@pytest.mark.process
@pytest.mark.parametrize("words", [["--plain", "help", "sla"], ["help", "--plain", "sla"]])
def test_plain_output_is_markdown_without_a_pager(home, words):
    said = run_on_terminal(home, *words, PAGER="exit 1").decode().replace("\r\n", "\n")

    assert said == read_topic("sla")


@pytest.mark.process
def test_the_pager_of_the_user_gets_the_page(home):
    said = run_on_terminal(home, "help", "backup", PAGER="head -n 1; echo paged").decode()

    assert said == "\x1b[1mBackup\x1b[0m\r\npaged\r\n"


@pytest.mark.process
def test_a_pager_that_is_missing_costs_nothing(home):
    said = run_on_terminal(home, "help", "tmux", PAGER="no-such-pager").decode()

    assert "\x1b[1mtmux\x1b[0m\r\n" in said


@pytest.mark.process
def test_a_terminal_without_utf8_gets_ascii(home):
    said = run_on_terminal(home, "help", "states", PAGER="", LC_ALL="C")

    assert said.isascii() and b"=\x1b[0m held" in said
