"""Acceptance tests that the README and CONTRIBUTING are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.help import list_topics
from tests.acceptance.doc_commands import (
    ROOT,
    find_code_blocks,
    list_commands,
    list_shell_lines,
    parse_command,
    run_line,
)

README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CLONE = "git clone https://taskdeck.example/source taskdeck && cd taskdeck"
SET_UP = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/taskdeck demo",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
)
"""The commands that `.ci/run` reads from the README and executes."""
NOT_RUN = {CLONE, *SET_UP, "taskdeck stop && taskdeck db restore"}
"""Lines that fetch or install the program, or ask a question; the others run."""
FILES = {
    "big.log": "b\na\n",
    "small.log": "a\n",
    "one.wav": "",
    "jobs.jsonl": '{"argv": ["true"]}\n',
}
"""Files that the lines of the README need."""


def test_the_readme_is_short_and_has_the_set_up_commands():
    assert len(README.splitlines()) <= 150
    assert find_code_blocks(README, "sh")[0].splitlines() == [CLONE, *SET_UP]
    assert find_code_blocks(CONTRIBUTING, "sh")[0].splitlines() == [*SET_UP]


@pytest.mark.parametrize(
    "words", [pytest.param(words, id=" ".join(words)) for words in list_commands(README)]
)
def test_every_command_of_the_readme_parses(words):
    parse_command(words)


def test_every_shell_line_of_the_readme_works(acceptance_home):
    for name, text in FILES.items():
        (acceptance_home.work / name).write_text(text)
    failed = []
    for line in list_shell_lines(README):
        if line not in NOT_RUN:
            code, said = run_line(acceptance_home, line)
            failed += [(line, code, said)] if code else []

    assert failed == []


def test_every_linked_file_exists():
    linked = re.findall(r"\]\(([^):]+)\)", README)

    assert len(linked) > 10
    assert [path for path in linked if not (ROOT / path).is_file()] == []


def test_the_readme_lists_every_help_topic_in_five_groups():
    groups = re.findall(r"^- \*\*[\w ]+\*\*: ([a-z0-9,\s-]+)$", README, re.MULTILINE)

    assert len(groups) == 5
    topics = [name for group in groups for name in re.split(r",\s+", group.strip())]
    assert sorted(topics) == [*list_topics()]


PLACEHOLDERS = {"app/help/TOPIC.md"}


def test_every_path_in_contributing_exists():
    named = [
        path
        for path in re.findall(r"`((?:app|db|tests|screenshots|\.ci)/[\w./-]*)`", CONTRIBUTING)
        if path not in PLACEHOLDERS
    ]

    assert len(named) > 60
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_program_in_contributing_exists():
    programs = re.findall(r"`python -m ([\w.]+)(?=[ `])", CONTRIBUTING)

    assert len(programs) > 4
    assert [name for name in programs if not _is_program(ROOT / name.replace(".", "/"))] == []


def _is_program(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_every_function_beside_a_path_in_contributing_is_in_that_file():
    pairs = re.findall(r"`((?:app|db|tests)/[\w/]+\.py)`:\s+`(?:\w+\.)?(\w+)`", CONTRIBUTING)

    assert len(pairs) > 30
    assert [pair for pair in pairs if not _defines(ROOT / pair[0], pair[1])] == []


def _defines(path: Path, name: str) -> bool:
    return bool(
        re.search(rf"^\s*(?:async def|def|class) {name}\b|^{name}\b", path.read_text(), re.M)
    )
