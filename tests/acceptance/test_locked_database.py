"""Acceptance tests of a database that another program has locked."""

from __future__ import annotations

import re
import subprocess

from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.acceptance.terminal import Terminal
from tests.database_lock import hold_write_lock


def read_lock_seconds(deck: Terminal) -> int | None:
    """Return the lock time in the header, or None."""
    found = re.search(r"db LOCKED (\d+)s", deck.text)
    return int(found[1]) if found else None


def test_a_deck_counts_the_lock_time_and_a_verb_names_its_reason(shared_home: AcceptanceHome):
    house = shared_home
    house.submit("--hold", "-n", "waits", "--", "true")
    with house.open_terminal() as deck:
        deck.wait("⊟ waits").wait("db ok")
        with hold_write_lock(house.home / "taskdeck.db") as pid:
            told = re.compile(
                r"Waiting for the database, which another program holds \(python\S*, pid"
                rf" {pid}\)\."
            )
            deck.type("p").wait(lambda t: told.search(t.text))
            first = read_lock_seconds(deck.wait(lambda t: read_lock_seconds(t) is not None))
            assert first is not None
            deck.wait(lambda t: (read_lock_seconds(t) or 0) > first)
            deck.type("5").wait("WHY / RESULT").wait("waits").type("q").wait("3 Running")
        deck.wait("Released #1 waits.").wait(
            lambda t: "db ok" in t.text and "⊟ waits" not in t.text
        )
        deck.type("q")
        assert deck.end() == 0


def test_a_command_names_the_lock_and_finishes_when_it_is_released(shared_home: AcceptanceHome):
    house = shared_home
    command = [PROGRAM, "release", house.submit("--hold", "--", "true")]
    with hold_write_lock(house.home / "taskdeck.db") as pid:
        asked = subprocess.Popen(
            command, env=house.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert asked.stderr is not None
        said = asked.stderr.readline()
    out, rest = asked.communicate(timeout=20)

    assert (
        said.startswith("taskdeck: waiting for the database, which another program holds (python")
        and f", pid {pid})" in said
    )
    assert (asked.returncode, rest) == (0, ""), out
