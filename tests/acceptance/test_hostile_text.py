"""Names, parameters, paths and output that try to drive the terminal: shown as text, in every pane and by every command."""

from __future__ import annotations

import json

import pytest

from tests.acceptance import hostile_text
from tests.acceptance.escape_sequences import faults


@pytest.fixture(scope="module")
def trapped(shared_house):
    """A home in which everything that can be hostile is: names, parameters, tags, paths, reasons, output, an alert."""
    house, name = shared_house, hostile_text.NAME
    (house.work / "output").write_bytes(hostile_text.OUTPUT)
    place = house.work / hostile_text.EVERYTHING.replace("/", "|")[:80]
    place.mkdir()
    template = {
        "engine": "shell",
        "schema": {"script": "sleep 300"},
        "parameters": {"properties": {"word": {"type": "string"}}},
    }
    (house.work / "definitions.yaml").write_text(json.dumps({"templates": {name: template}}))
    house.ok("apply", "-f", "definitions.yaml")
    house.ok("sla", "create", "late [bold]", "--finishes-within", "0.1s", "--severity", "critical")
    house.ok("queue", "create", name, "--capacity", "1")
    house.submit("-n", name, "-q", name, "--tag", f"word={hostile_text.MARKUP}", "--", "sh", "-c", hostile_text.writer("output"))
    house.submit(name, "-p", f"word={hostile_text.EVERYTHING}", "-q", name)
    house.submit("-q", name, "--after", "1", "--", "echo", hostile_text.EVERYTHING, cwd=place)
    house.submit("--", "sh", "-c", "cat output; exit 3")
    house.submit("--", f"no such program {hostile_text.EVERYTHING}")
    house.td("wait", 4, 5)
    return house


def harmless(terminal):
    """Nothing but text and known sequences reached it. Returns what it shows."""
    assert faults(bytes(terminal.raw)) == []
    return terminal.text


def on_deck(terminal):
    """The deck is on top, and nothing stands before it."""
    return "Next to start" in terminal.text and "┌" not in terminal.text


def test_every_pane_and_screen_of_the_deck_shows_hostile_text_as_text(trapped):
    with trapped.terminal() as deck:
        deck.wait("[|red]").wait("▲ CRIT").wait("no such program").wait("exit 3")
        for _ in range(5):
            deck.type("w").wait("┌").type("q").wait(on_deck)
            deck.type("\r").wait("─ History").type("q").wait(on_deck)
            deck.type("l").wait("› log").type("q").wait(on_deck).type("j")
        deck.type("1").wait("━▌1 Queues").type("4").wait("━▌4 SLA").type("3g").wait("━▌3 Running")
        deck.type("?").wait("┌").type("q").wait(on_deck)
        deck.type(":").wait("┌").type("\x1b").wait(on_deck)
        deck.type("x").wait("keep").type("n").wait(on_deck)
        deck.type("n").wait("Command").type("\x1b").wait(on_deck).type("q")
        assert deck.end() == 0

    assert "[|red]" in bytes(deck.raw).decode()
    harmless(deck)


def test_the_log_view_shows_the_last_state_of_hostile_output_and_its_colours_only(trapped):
    with trapped.terminal(columns=80, rows=24) as deck:
        deck.wait("[|red]").type("l").wait("end of output").wait("progress 2%")
        deck.type("/").wait("esc as before").type("progress\r").wait("match 1 of 1")
        deck.type("wG").wait("end of output").type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert "progress 1%" not in deck.text
    harmless(deck)


@pytest.mark.parametrize(
    "command", ["ls", "status", "show 1", "show 2", "show 3", "show 5", "why 2", "why", "logs 4", "instances", "queue ls",
                "template ls", "alert ls", "operations"]
)  # fmt: skip
def test_every_reading_command_shows_hostile_text_as_text_on_a_terminal(trapped, command):
    with trapped.terminal(*command.split()) as terminal:
        code = terminal.end()

    assert code == 0
    assert harmless(terminal)


def test_a_log_through_a_pipe_is_exactly_what_the_program_wrote(trapped):
    (run,) = trapped.json("instances", 4)

    assert run["log_bytes"] == len(hostile_text.OUTPUT)
    assert trapped.shell("taskdeck logs 4 | cmp - output").returncode == 0


def test_refusals_quote_hostile_words_safely(trapped):
    for words in (
        ["submit", hostile_text.EVERYTHING],
        ["show", hostile_text.EVERYTHING],
        [hostile_text.EVERYTHING],
        ["submit", "-q", hostile_text.EVERYTHING, "--", "true"],
    ):
        with trapped.terminal(*words) as terminal:
            assert terminal.end() in (2, 3)
        assert harmless(terminal)
