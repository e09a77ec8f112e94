"""What the README tells people to type is what Taskdeck understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.cli import registry
from app.config import read
from app.tui.keymap import checked

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ENDS = {"|", ";", "&&", "done"}


def blocks(kind):
    """The fenced blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    """Every command line of Taskdeck in the README, as its words without the program's."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(taskdeck [a-z][^`]*)`", README)
    for line in lines:
        shell = shlex.shlex(line, posix=True, punctuation_chars=True)
        shell.whitespace_split, shell.commenters = True, "#"
        found = list(shell)
        for at, word in enumerate(found):
            if word.rpartition("/")[2] == "taskdeck":
                rest = found[at + 1 :]
                yield rest[: next((n for n, word in enumerate(rest) if word in ENDS), len(rest))]


@pytest.mark.parametrize("given", [pytest.param(given, id=" ".join(given)) for given in commands() if given])
def test_every_command_of_the_readme_parses(given):
    verb, *rest = given[2:] if given[0] == "--home" else given
    found = registry.commands(verb)
    name = rest.pop(0) if verb in registry.GROUPS else verb
    command = found[name]

    args = command.read(command.parser(name), rest)

    assert args.help is ("--help" in given)


def test_the_example_of_settings_is_one_that_is_taken(tmp_path):
    settings, _, _ = blocks("toml")
    path = tmp_path / "config.toml"
    path.write_text(settings)

    found = read(str(path)).settings

    assert (found.theme, found.unfocused, checked(found.keys, str(path))) == ("quiet", "still", {"task.cancel": "c"})


def test_the_example_of_upkeep_is_one_that_is_taken(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(next(text for text in blocks("toml") if "[backup]" in text))

    found = read(str(path)).upkeep

    assert (found.backup.keep, found.retention.queues["scratch"].keep) == (14 * 86400, 86400)


def test_the_example_of_definitions_applies_and_then_changes_nothing(house):
    _, example, _ = blocks("toml")
    (house.work / "deck.toml").write_text(example)

    assert "encode" in house.ok("apply", "-f", "deck.toml")
    assert {change["change"] for change in house.json("apply", "-f", "deck.toml")["changes"]} == {"same"}
    assert [row["name"] for row in house.json("sla", "ls")] == ["encode-on-time"]
    refused = house.td("submit", "encode", "-p", "input=a.mkv", "-p", "output=a.mp4", "-p", "crf=99")
    assert refused.returncode == 2 and "crf" in refused.stderr


def test_every_picture_and_every_module_it_names_is_there():
    named = re.findall(r"\]\((screenshots/[^)]+)\)", README) + re.findall(r"`((?:app|db)/[\w/]+\.py)`", README)

    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_walk_through_the_code_is_short():
    (walk,) = re.findall(r"^## How it works\n(.*?)^`db/`", README, re.MULTILINE | re.DOTALL)

    assert len(walk.strip().splitlines()) - 2 <= 15
