"""The help of every command in Simplified Chinese: width, and no English left."""

from __future__ import annotations

import re

import pytest

from app.cli import help_text, registry
from app.core.text.sanitize import measure_width
from app.translation import ENGLISH, SIMPLIFIED_CHINESE
from tests.languages import speak

COMMANDS = [
    (verb, name)
    for verb in registry.COMMAND_INDEX
    for name in (registry.load_commands(verb) if verb in registry.GROUPS else [verb])
]
_ENGLISH_WORDS = re.compile(r"[a-z]{2,} [a-z]{2,}")
_KEPT = re.compile(
    r"taskdeck( [a-z-]+)*|-{1,2}[a-z-]+( [a-z]+)?|'[^']*('|$)|#[a-z]\w*|[a-z_]+(, [a-z_]+)+"
    r"|mon-fri Europe/Berlin|sla (create|presets|schema)|queue (pause|media)|help http"
)
"""Commands to type, options with a value, quoted values and lists of words."""


@pytest.fixture(autouse=True)
def width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def format_help(verb: str, name: str) -> str:
    """Return the help of a command in the current language."""
    command = registry.load_commands(verb)[name]
    return help_text.format_command_help(verb if verb == name else f"{verb} {name}", command)


def find_wide_lines(text: str) -> int:
    """Return the number of lines that 80 columns do not hold."""
    return sum(measure_width(line) > 80 for line in text.split("\n"))


def find_english(text: str) -> list[str]:
    """Return pairs of English words outside of the usage, commands, options and examples."""
    body = text.partition("\n")[2].partition("\n示例：")[0]
    return [line for line in body.split("\n") if _ENGLISH_WORDS.search(_KEPT.sub("", line))]


@pytest.mark.parametrize(("verb", "name"), COMMANDS)
def test_the_help_of_a_command_is_chinese_and_fits(verb, name):
    with speak(ENGLISH):
        english = format_help(verb, name)
    with speak(SIMPLIFIED_CHINESE):
        chinese = format_help(verb, name)

    assert find_english(chinese) == []
    assert find_wide_lines(chinese) <= find_wide_lines(english)


@pytest.mark.parametrize("group", registry.GROUPS)
def test_the_help_of_a_group_is_chinese_and_fits(group):
    with speak(SIMPLIFIED_CHINESE):
        text = help_text.format_group_help(group, registry.load_commands(group))

    assert find_english(text) == []
    assert find_wide_lines(text.partition("\n另见：")[0]) == 0


def test_the_overview_is_chinese_and_fits():
    with speak(SIMPLIFIED_CHINESE):
        text = help_text.format_overview()

    assert find_english(text.partition("\n入门：")[0]) == []
    assert find_wide_lines(text) == 0
