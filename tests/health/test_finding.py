"""Tests of suggested commands: every shell reads their words back."""

from __future__ import annotations

import os
import subprocess

import pytest

from app.health.finding import make_command, quote_word
from app.paths import resolve_home

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "word",
    [
        "/srv",
        "/a b",
        "/it's",
        "/$HOME",
        '/"',
        "/`id`",
        "/a\nb",
        "/\x1b[2J",
        "/\udcff",
        "/日本",
        "/'\n\\",
    ],
)
def test_a_quoted_word_is_read_back_by_a_shell_and_is_harmless(word: str):
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quote_word(word)}"], capture_output=True, check=True
    )

    assert done.stdout == os.fsencode(word) and not set(quote_word(word)) & {"\n", "\x1b"}


def test_a_command_names_the_home_unless_it_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TASKDECK_HOME", raising=False)
    assert make_command(resolve_home(None), "status") == "taskdeck status"
    assert make_command("/a b", "status") == "taskdeck --home '/a b' status"

    monkeypatch.setenv("TASKDECK_HOME", "/a b")

    assert make_command("/a b", "status") == "taskdeck --home '/a b' status"
