"""Terminal input: pastes split across reads, invalid UTF-8, and unfinished sequences."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual import events
from textual.message import Message

from app.tui.terminal.input_parser import SILENCE_TIMEOUT, InputParser
from tests.acceptance.terminal import Terminal
from tests.long.input.trials import KNOWN_FAILURES, check_sequences

ROOT = Path(__file__).parents[3]
ENV = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
INPUT_BYTES = b"a\x1b[200~x \x1b[0m\xc3\xa9\x1bx\x1b[20 \x1b\x1b[201~b\x1b[A"
INPUT_EVENTS = ["a", "<x \u241b[0mé\u241bx\u241b[20 \u241b>", "b", "up"]


class Clock:
    """Seconds that pass only when a test moves them."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def format_events(messages: Iterator[Message]) -> list[str]:
    """Return events in short form: the name of a key, or a paste in angle brackets."""
    return [
        (
            m.key
            if isinstance(m, events.Key)
            else f"<{m.text}>"
            if isinstance(m, events.Paste)
            else str(m)
        )
        for m in messages
    ]


def parse_pieces(pieces: Sequence[bytes]) -> list[str]:
    keyboard = InputParser(ticks=Clock())
    return [
        event
        for piece in pieces
        for event in (*format_events(keyboard.feed(piece)), *format_events(keyboard.tick()))
    ]


@pytest.mark.parametrize("first", range(len(INPUT_BYTES) + 1))
def test_a_paste_is_text_wherever_reads_are_cut(first: int):
    for second in range(first, len(INPUT_BYTES) + 1):
        pieces = [INPUT_BYTES[:first], INPUT_BYTES[first:second], INPUT_BYTES[second:]]
        assert parse_pieces([piece for piece in pieces if piece]) == INPUT_EVENTS, pieces


def test_a_paste_received_byte_by_byte_is_text():
    assert parse_pieces([bytes([byte]) for byte in INPUT_BYTES]) == INPUT_EVENTS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xe9j", ["\ufffd", "j"]),
        (b"\xf8j", ["\ufffd", "j"]),
        (b"\xed\xa0\x80a", ["\ufffd", "\ufffd", "\ufffd", "a"]),
        (b"\xff\xfe", ["\ufffd", "\ufffd"]),
        (b"\x1b[200~caf\xe9 x\x1b[201~", ["<caf\ufffd x>"]),
    ],
)
def test_invalid_utf_8_becomes_replacement_characters(data: bytes, said: list[str]):
    shown = [event.replace("replacement_character", "\ufffd") for event in parse_pieces([data])]
    assert shown == said


@pytest.mark.parametrize("sequence", KNOWN_FAILURES)
def test_a_sequence_with_an_impossible_key_is_dropped(sequence: bytes):
    assert parse_pieces([b"a" + sequence + b"b"]) == ["a", "b"]


def test_an_impossible_size_in_the_input_is_dropped():
    assert parse_pieces([b"a\x1b[48;99999999;99999999;1;1tb"]) == ["a", "b"]


def test_random_sequences_do_not_fail():
    for seed in range(300):
        check_sequences(random.Random(seed), 20)


def test_a_paste_without_its_end_marker_ends_after_a_pause():
    clock = Clock()
    keyboard = InputParser(ticks=clock)
    assert (
        format_events(keyboard.feed(b"\x1b[200~x\x1b[20")) == format_events(keyboard.tick()) == []
    )
    clock.at = SILENCE_TIMEOUT
    assert format_events(keyboard.tick()) == ["<x\u241b[20>"]
    assert format_events(keyboard.feed(b"j\x1b[201~k")) == ["j", "k"]


def test_a_large_paste_is_delivered_in_pieces_and_never_as_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.tui.terminal.input_parser.MAX_PASTE", 5)
    assert parse_pieces([b"\x1b[200~abc", b"def\x1b", b"x", b"jk\x1b[201~q"]) == [
        "<abcdef>",
        "<\u241bxjk>",
        "q",
    ]


def test_a_lone_escape_is_delivered_once_nothing_follows():
    clock = Clock()
    keyboard = InputParser(ticks=clock)
    assert format_events(keyboard.feed(b"\x1b")) == []
    clock.at = keyboard.poll_interval
    assert format_events(keyboard.tick()) == ["escape"]


@pytest.fixture
def deck_terminal() -> Iterator[Terminal]:
    """Start the busy deck on a real terminal."""
    with Terminal([sys.executable, "-m", "tests.tui.run_deck", "busy"], ENV, ROOT) as deck:
        yield deck.wait("q quit")


def send_bytes(deck: Terminal, data: bytes) -> Terminal:
    os.write(deck.keyboard, data)
    return deck


def test_invalid_input_does_not_end_the_deck(deck_terminal: Terminal):
    for data in (b"\xe9", b"\xf8", b"\x9bA", b"\xed\xa0\x80", b"\x1b[M \xf0\xf0", b"\xff\xfe"):
        send_bytes(deck_terminal, data)
    for sequence in KNOWN_FAILURES:
        send_bytes(deck_terminal, sequence)
    send_bytes(deck_terminal, b"\x1b[200~caf\xe9 x\x1b[201~")
    send_bytes(deck_terminal, b"jj/caf").wait("caf")
    deck_terminal.type("\x11")
    assert deck_terminal.end() == 0


def test_a_paste_triggers_no_keys_on_the_deck(deck_terminal: Terminal):
    send_bytes(deck_terminal, b"\x1b[200~hello \x1b[0m q\x1b").type("q\x1b[201~/").wait(
        "words, status:failed"
    )
    deck_terminal.type("\x11")
    assert deck_terminal.end() == 0


def test_a_field_keeps_typed_and_pasted_text_in_order(deck_terminal: Terminal):
    send_bytes(deck_terminal, b"/").wait("words, status:failed")
    send_bytes(deck_terminal, b"ab\x1b[200~c\x1b[31m\x1b").type("d\x1b[201~ef").wait(
        "abc\u241b[31m\u241bdef"
    )
    deck_terminal.type("\x11")
    assert deck_terminal.end() == 0


def test_a_failing_input_parser_is_logged(tmp_path: Path):
    (tmp_path / "run").mkdir()
    program = (
        "import sys; from pathlib import Path; from app.tui.terminal import driver as terminal;"
        " from app.tui.run import run_deck; read = terminal.read_input;"
        # The terminal's replies still arrive.
        "terminal.read_input = lambda fd: 1 / 0 if b'j' in (data := read(fd)) else data;"
        f"sys.exit(run_deck(Path({str(tmp_path)!r}), read_only=True))"
    )
    with Terminal([sys.executable, "-c", program], ENV, ROOT) as deck:
        deck.wait("q quit").type("j")
        assert deck.end() == 1
        assert "The deck failed (ZeroDivisionError)" in deck.text.replace("\n", " ")
    log = (tmp_path / "run" / "deck.log").read_text()
    assert "run_input_thread" in log and "ZeroDivisionError: division by zero" in log
