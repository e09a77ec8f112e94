"""Acceptance tests that the commands and examples of the help topics work."""

from __future__ import annotations

import re
import shlex

import pytest

from app.config import read
from app.help import list_topics, read_topic
from tests.acceptance.doc_commands import (
    find_code_blocks,
    list_commands,
    list_shell_lines,
    parse_command,
    run_line,
)

TOPICS = list(list_topics())
EMPTY_HOMES = [topic for topic in TOPICS if list_shell_lines(read_topic(topic))]
SETTINGS = [
    pytest.param(block, id=topic)
    for topic in TOPICS
    for block in find_code_blocks(read_topic(topic), "toml")
    if not any(word in block for word in ("conditions", "[schedules.", "[resources."))
]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_command_of_a_topic_parses(topic):
    for words in list_commands(read_topic(topic)):
        parse_command(words)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.startswith("from-")])
def test_every_counterpart_of_a_peers_command_parses(topic):
    tables = find_code_blocks(read_topic(topic), "text")
    counterparts = re.findall(r"^(?!taskdeck).*? {2,}taskdeck (.*)", "".join(tables), re.MULTILINE)

    assert len(counterparts) > 15
    for words in counterparts:
        parse_command(shlex.split(words))


@pytest.mark.parametrize("topic", EMPTY_HOMES)
def test_every_shell_line_of_a_topic_works_in_an_empty_home(acceptance_home, topic):
    failed = []
    for line in list_shell_lines(read_topic(topic)):
        code, said = run_line(acceptance_home, line)
        failed += [(line, code, said)] if code else []

    acceptance_home.run_cli("--home", "other", "stop")
    assert failed == []


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_settings_example_is_accepted(tmp_path, settings):
    path = tmp_path / "config.toml"
    path.write_text(settings)

    assert read(str(path)).faults == ()


@pytest.mark.parametrize("topic", ["schedules", "templates", "sla", "resources"])
def test_a_definitions_example_applies_idempotently(acceptance_home, topic):
    (example,) = find_code_blocks(read_topic(topic), "toml")
    (acceptance_home.work / "deck.toml").write_text(example)

    acceptance_home.run_ok("queue", "create", "media")
    acceptance_home.run_ok("apply", "-f", "deck.toml")
    again = acceptance_home.run_json("apply", "-f", "deck.toml")

    assert {change["change"] for change in again["changes"]} == {"same"}


def test_the_template_of_the_example_checks_its_parameters(acceptance_home):
    (example,) = find_code_blocks(read_topic("templates"), "toml")
    (acceptance_home.work / "deck.toml").write_text(example)
    acceptance_home.run_ok("apply", "-f", "deck.toml")

    files = ("-p", "input=a.mkv", "-p", "output=a.mp4")
    acceptance_home.run_ok("submit", "encode", *files, "--dry-run")
    refused = acceptance_home.run_cli("submit", "encode", *files, "-p", "crf=99")

    assert refused.returncode == 2 and "crf" in refused.stderr
