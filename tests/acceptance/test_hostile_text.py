"""Acceptance tests of hostile names, parameters, paths and output: shown as plain text."""

from __future__ import annotations

import json
import re

import pytest

from tests.acceptance import hostile_text
from tests.acceptance.escape_sequences import find_faults


@pytest.fixture(scope="module")
def hostile_home(shared_home):
    """Yield a home with hostile names, parameters, tags, paths, reasons, output and alerts."""
    house, name = shared_home, hostile_text.HOSTILE_NAME
    (house.work / "output").write_bytes(hostile_text.HOSTILE_OUTPUT)
    place = house.work / hostile_text.ALL_TEXT.replace("/", "|")[:80]
    place.mkdir()
    template = {
        "engine": "shell",
        "schema": {"script": "sleep 300"},
        "parameters": {"properties": {"word": {"type": "string"}}},
    }
    (house.work / "definitions.yaml").write_text(json.dumps({"templates": {name: template}}))
    house.run_ok("apply", "-f", "definitions.yaml")
    house.run_ok(
        "sla", "create", "late [bold]", "--finishes-within", "0.1s", "--severity", "critical"
    )
    house.run_ok("queue", "create", name, "--capacity", "1")
    house.submit(
        "-n",
        name,
        "-q",
        name,
        "--tag",
        f"word={hostile_text.MARKUP}",
        "--",
        "sh",
        "-c",
        hostile_text.make_writer_script("output"),
    )
    house.submit(name, "-p", f"word={hostile_text.ALL_TEXT}", "-q", name)
    house.submit("-q", name, "--after", "1", "--", "echo", hostile_text.ALL_TEXT, cwd=place)
    house.submit("--", "sh", "-c", "cat output; exit 3")
    house.submit("--", f"no such program {hostile_text.ALL_TEXT}")
    house.run_cli("wait", 4, 5)
    return house


ANNOUNCEMENT = re.compile(
    rb"\x07(?:\x1b\[22;2t)?\x1b\]2;CRITICAL [^\x00-\x1f\x7f]*\x07|\x1b\[23;2t"
)


def check_harmless(terminal):
    """Check that only text and known sequences reached the terminal; return the screen.

    A new critical alert rings the bell and sets the title, which is restored later.
    """
    raw = ANNOUNCEMENT.sub(b"", bytes(terminal.raw))
    assert find_faults(raw) == []
    return terminal.text


def is_on_deck(terminal):
    """Return true if the deck is on top without a dialog."""
    return "Next to start" in terminal.text and "┌" not in terminal.text


def test_every_screen_shows_hostile_text_as_text(hostile_home):
    with hostile_home.open_terminal() as deck:
        deck.wait("[|red]").wait("▲ CRIT").wait("exit 127").wait("exit 3")
        for _ in range(5):
            deck.type("w").wait("┌").type("q").wait(is_on_deck)
            deck.type("\r").wait("─ History").type("q").wait(is_on_deck)
            deck.type("l").wait("› log").type("q").wait(is_on_deck).type("j")
        deck.type("1").wait("━▌1 Queues").type("4").wait("━▌4 SLA").type("3g").wait("━▌3 Running")
        deck.type("?").wait("┌").type("q").wait(is_on_deck)
        deck.type(":").wait("┌").type("\x1b").wait(is_on_deck)
        deck.type("x").wait("work lost").type("n").wait(is_on_deck)
        deck.type("n").wait("Command").type("\x1b").wait(is_on_deck).type("q")
        assert deck.end() == 0

    assert "[|red]" in bytes(deck.raw).decode()
    check_harmless(deck)


def test_the_log_view_shows_only_final_state_and_colours(hostile_home):
    with hostile_home.open_terminal(columns=80, rows=24) as deck:
        deck.wait("[|red]").type("l").wait("end of output").wait("progress 2%")
        deck.type("/").wait("esc close").type("progress\r").wait("match 1 of 1")
        deck.type("wG").wait("end of output").type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert "progress 1%" not in deck.text
    check_harmless(deck)


@pytest.mark.parametrize(
    "command", ["ls", "status", "show 1", "show 2", "show 3", "show 5", "why 2", "why", "logs 4",
    "instances", "queue ls",
                "template ls", "alert ls", "operations"]
)  # fmt: skip
def test_every_reading_command_shows_hostile_text_as_text(hostile_home, command):
    with hostile_home.open_terminal(*command.split()) as terminal:
        code = terminal.end()

    assert code == 0
    assert check_harmless(terminal)


def test_a_piped_log_is_exactly_the_programs_output(hostile_home):
    (run,) = hostile_home.run_json("instances", 4)

    assert run["log_bytes"] == len(hostile_text.HOSTILE_OUTPUT)
    assert hostile_home.run_shell("taskdeck logs 4 | cmp - output").returncode == 0


def test_errors_quote_hostile_words_safely(hostile_home):
    for words in (
        ["submit", hostile_text.ALL_TEXT],
        ["show", hostile_text.ALL_TEXT],
        [hostile_text.ALL_TEXT],
        ["submit", "-q", hostile_text.ALL_TEXT, "--", "true"],
    ):
        with hostile_home.open_terminal(*words) as terminal:
            assert terminal.end() in (2, 3)
        assert check_harmless(terminal)
