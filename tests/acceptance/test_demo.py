"""Acceptance tests of the demo: real work in a temporary home, removed at the end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest


@pytest.fixture
def demo_environment(acceptance_home, tmp_path):
    """Return the environment of a demo whose home is in a temporary folder."""
    return {"TMPDIR": str(tmp_path)}


def list_processes(folder):
    """List the command lines of the processes that mention a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def is_removed(tmp_path):
    """Return true if no file and no process of the demo is left."""
    return list(tmp_path.iterdir()) == [] and list_processes(tmp_path) == []


def read_panes(lines):
    """Return the lines of each of the four panes at 120x40."""
    rules = [y for y, line in enumerate(lines) if re.match("[─━][ ▌][134] ", line)]
    if len(rules) < 3:
        return {}
    top, work, alerts = rules[:3]
    return {
        "queues": [line[:63] for line in lines[top + 1 : work]],
        "pools": [line[64:] for line in lines[top + 1 : work]],
        "work": lines[work + 1 : alerts],
        "alerts": lines[alerts + 1 : -2],
    }


def test_every_pane_changes_and_quitting_removes_everything(
    acceptance_home, demo_environment, tmp_path
):
    moved = set()

    with acceptance_home.open_terminal("demo", "--seed", "7", **demo_environment) as deck:
        deck.wait(lambda t: re.search(r"DEMO [1-9]m", t.text) is not None).wait("▲").wait("q quit")
        first = read_panes(deck.lines)
        deck.wait(
            lambda t: (
                moved.update(p for p, now in read_panes(t.lines).items() if now != first[p])
                or len(moved) == 4
            )
        )
        assert list_processes(tmp_path)
        deck.type("q")
        assert deck.end() == 0
        assert "the demo is over" in deck.text

    assert is_removed(tmp_path)


def is_working(deck):
    return re.search("3 Running [1-9]", deck.text)


def test_an_interrupt_ends_it_with_all_its_processes(acceptance_home, demo_environment, tmp_path):
    with acceptance_home.open_terminal("demo", "--seed", "7", **demo_environment) as deck:
        deck.wait("DEMO").wait(is_working)
        os.kill(deck.pid, signal.SIGINT)
        assert deck.end() == 128 + signal.SIGINT

    assert is_removed(tmp_path)


def test_closing_its_terminal_ends_it(acceptance_home, demo_environment, tmp_path):
    with acceptance_home.open_terminal("demo", "--seed", "7", **demo_environment) as deck:
        deck.wait("DEMO").wait(is_working)
        deck.close()

    assert is_removed(tmp_path)


def test_it_needs_a_terminal_or_headless(acceptance_home, demo_environment, tmp_path):
    done = acceptance_home.run_cli("demo", **demo_environment)

    assert done.returncode == 2 and "--headless" in done.stderr
    assert is_removed(tmp_path)
