"""Tests of the terminal's identity: equal within a session, different elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from app.core import shell_context

pytestmark = pytest.mark.process

TERMINAL_SCRIPT = "from app.core.shell_context import identify_terminal; print(identify_terminal())"


def run_script(**how: object) -> str:
    """Return the terminal that a new process reports."""
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL_SCRIPT], check=True, capture_output=True, text=True, **how
    )  # type: ignore[call-overload]
    return done.stdout.strip()


def test_a_child_belongs_to_the_session():
    assert run_script() == shell_context.identify_terminal()


def test_another_session_is_another_terminal():
    first, second = run_script(start_new_session=True), run_script(start_new_session=True)

    assert len({first, second, shell_context.identify_terminal()}) == 3
    assert first.startswith("- ")


def test_a_terminal_is_identified_by_name():
    ours, theirs = pty.openpty()
    open_it = f"import os; os.open({os.ttyname(theirs)!r}, os.O_RDWR); "
    done = subprocess.run(
        [sys.executable, "-c", open_it + TERMINAL_SCRIPT],
        check=True,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    os.close(ours), os.close(theirs)

    name, leader, began = done.stdout.split()
    assert name.startswith("pts/") and int(leader) > 1 and int(began) > 0
