"""Acceptance tests that the README's commands and examples work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.cli import registry
from app.config import read
from app.tui.keymap import validate_keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SHELL_OPERATORS = {"|", ";", "&&", "done"}


def find_code_blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def list_commands():
    """List every Taskdeck command line of the README without the program's name."""
    lines = [line for block in find_code_blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(taskdeck [a-z][^`]*)`", README)
    for line in lines:
        shell = shlex.shlex(line, posix=True, punctuation_chars=True)
        shell.whitespace_split, shell.commenters = True, "#"
        found = list(shell)
        for at, word in enumerate(found):
            if word.rpartition("/")[2] == "taskdeck":
                rest = found[at + 1 :]
                yield rest[
                    : next((n for n, word in enumerate(rest) if word in SHELL_OPERATORS), len(rest))
                ]


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=" ".join(given)) for given in list_commands() if given]
)
def test_every_command_of_the_readme_parses(given):
    verb, *rest = given[2:] if given[0] == "--home" else given
    found = registry.load_commands(verb)
    name = rest.pop(0) if verb in registry.GROUPS else verb
    command = found[name]

    args = command.read(command.make_parser(name), rest)

    assert args.help is ("--help" in given)


def test_the_settings_example_is_accepted(tmp_path):
    settings, _, _ = find_code_blocks("toml")
    path = tmp_path / "config.toml"
    path.write_text(settings)

    found = read(str(path)).settings

    assert (found.theme, found.unfocused, validate_keys(found.keys, str(path))) == (
        "quiet",
        "still",
        {"task.cancel": "c"},
    )


def test_the_maintenance_example_is_accepted(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(next(text for text in find_code_blocks("toml") if "[backup]" in text))

    found = read(str(path)).maintenance

    assert (found.backup.keep, found.retention.queues["scratch"].keep) == (14 * 86400, 86400)


def test_the_definitions_example_applies_idempotently(acceptance_home):
    _, example, _ = find_code_blocks("toml")
    (acceptance_home.work / "deck.toml").write_text(example)

    assert "encode" in acceptance_home.run_ok("apply", "-f", "deck.toml")
    assert {
        change["change"]
        for change in acceptance_home.run_json("apply", "-f", "deck.toml")["changes"]
    } == {"same"}
    assert [row["name"] for row in acceptance_home.run_json("sla", "ls")] == ["encode-on-time"]
    refused = acceptance_home.run_cli(
        "submit", "encode", "-p", "input=a.mkv", "-p", "output=a.mp4", "-p", "crf=99"
    )
    assert refused.returncode == 2 and "crf" in refused.stderr


def test_every_named_picture_and_module_exists():
    named = re.findall(r"\]\((screenshots/[^)]+)\)", README) + re.findall(
        r"`((?:app|db)/[\w/]+\.py)`", README
    )

    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_code_walk_through_is_short():
    (walk,) = re.findall(r"^## How it works\n(.*?)^`db/`", README, re.MULTILINE | re.DOTALL)

    assert len(walk.strip().splitlines()) - 2 <= 15
