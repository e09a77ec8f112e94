"""What a cure is made of: words that any shell reads back as they are."""

from __future__ import annotations

import os
import subprocess

import pytest

from app.health.finding import quote, taskdeck
from app.paths import home_from


@pytest.mark.parametrize("word", ["/srv", "/a b", "/it's", "/$HOME", '/"', "/`id`", "/a\nb", "/\x1b[2J", "/\udcff", "/日本", "/'\n\\"])
def test_a_word_is_read_back_by_a_shell_as_it_is_and_drives_no_terminal(word: str):
    done = subprocess.run(["bash", "-c", f"printf %s {quote(word)}"], capture_output=True, check=True)

    assert done.stdout == os.fsencode(word) and not set(quote(word)) & {"\n", "\x1b"}


def test_a_command_names_the_home_unless_it_is_the_usual_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TASKDECK_HOME", raising=False)
    assert taskdeck(home_from(None), "status") == "taskdeck status"
    assert taskdeck("/a b", "status") == "taskdeck --home '/a b' status"

    monkeypatch.setenv("TASKDECK_HOME", "/a b")

    assert taskdeck("/a b", "status") == "taskdeck --home '/a b' status"
