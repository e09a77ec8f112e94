"""`taskdeck http`: files for monitoring, printed as they are."""

from __future__ import annotations

import json
import re

import yaml

from app.cli.registry import COMMAND_INDEX, load_commands


def test_the_dashboard_is_printed_as_json(cli):
    said = cli("http", "dashboard")

    assert (said.code, said.err, json.loads(said.out)["title"]) == (0, "", "Taskdeck")


def test_the_rules_are_printed_as_yaml(cli):
    said = cli("http", "rules")

    (group,) = yaml.safe_load(said.out)["groups"]
    assert (said.code, said.err, group["name"]) == (0, "", "taskdeck")


def test_the_rules_name_commands_that_exist(cli):
    text = cli("http", "rules").out

    for verb, second in re.findall(r"taskdeck ([a-z]+)(?: ([a-z]+))?\b", text):
        assert verb in COMMAND_INDEX
        if verb in ("db", "alert", "pool", "http"):
            assert second in load_commands(verb)


def test_a_missing_second_word_lists_the_files(cli):
    said = cli("http")

    assert said.code == 2 and "dashboard" in said.err + said.out
