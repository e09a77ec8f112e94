"""What a terminal sends: pastes are text wherever reads are cut, bytes that are no text end nothing, silence ends what is unfinished."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual import events
from textual.message import Message

from app.tui.terminal.input_parser import SILENCE, Keyboard
from tests.acceptance.terminal import Terminal

ROOT = Path(__file__).parents[3]
ENV = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
STREAM = b"a\x1b[200~x \x1b[0m\xc3\xa9\x1bx\x1b[20 \x1b\x1b[201~b\x1b[A"
EVENTS = ["a", "<x \u241b[0mé\u241bx\u241b[20 \u241b>", "b", "up"]


class Clock:
    """Seconds that go by when the test says so."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def told(messages: Iterator[Message]) -> list[str]:
    """Events in short: a key by its name, a paste in brackets."""
    return [m.key if isinstance(m, events.Key) else f"<{m.text}>" if isinstance(m, events.Paste) else str(m) for m in messages]


def heard(pieces: Sequence[bytes]) -> list[str]:
    keyboard = Keyboard(ticks=Clock())
    return [event for piece in pieces for event in (*told(keyboard.feed(piece)), *told(keyboard.tick()))]


@pytest.mark.parametrize("first", range(len(STREAM) + 1))
def test_a_paste_is_text_wherever_reads_are_cut(first: int):
    for second in range(first, len(STREAM) + 1):
        pieces = [STREAM[:first], STREAM[first:second], STREAM[second:]]
        assert heard([piece for piece in pieces if piece]) == EVENTS, pieces


def test_a_paste_that_comes_byte_by_byte_is_text():
    assert heard([bytes([byte]) for byte in STREAM]) == EVENTS


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
def test_bytes_that_are_not_utf_8_stand_for_themselves(data: bytes, said: list[str]):
    shown = [event.replace("replacement_character", "\ufffd") for event in heard([data])]
    assert shown == said


def test_a_paste_whose_end_is_lost_is_over_when_nothing_more_comes():
    clock = Clock()
    keyboard = Keyboard(ticks=clock)
    assert told(keyboard.feed(b"\x1b[200~x\x1b[20")) == told(keyboard.tick()) == []
    clock.at = SILENCE
    assert told(keyboard.tick()) == ["<x\u241b[20>"]
    assert told(keyboard.feed(b"j\x1b[201~k")) == ["j", "k"]


def test_much_is_handed_on_in_pieces_and_none_of_it_is_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.tui.terminal.input_parser.MOST", 5)
    assert heard([b"\x1b[200~abc", b"def\x1b", b"x", b"jk\x1b[201~q"]) == ["<abcdef>", "<\u241bxjk>", "q"]


def test_an_escape_alone_is_told_as_soon_as_nothing_follows():
    clock = Clock()
    keyboard = Keyboard(ticks=clock)
    assert told(keyboard.feed(b"\x1b")) == []
    clock.at = keyboard.pace
    assert told(keyboard.tick()) == ["escape"]


@pytest.fixture
def deck() -> Iterator[Terminal]:
    """The busy deck on a real terminal."""
    with Terminal([sys.executable, "-m", "tests.tui.run_deck", "busy"], ENV, ROOT) as deck:
        yield deck.wait("q quit")


def send(deck: Terminal, data: bytes) -> Terminal:
    os.write(deck.keyboard, data)
    return deck


def test_what_is_no_text_ends_no_deck(deck: Terminal):
    for data in (b"\xe9", b"\xf8", b"\x9bA", b"\xed\xa0\x80", b"\x1b[M \xf0\xf0", b"\xff\xfe"):
        send(deck, data)
    send(deck, b"\x1b[200~caf\xe9 x\x1b[201~")
    send(deck, b"jj/caf").wait("caf")
    deck.type("\x11")
    assert deck.end() == 0


def test_nothing_of_a_paste_acts_on_the_deck(deck: Terminal):
    send(deck, b"\x1b[200~hello \x1b[0m q\x1b").type("q\x1b[201~/").wait("words, status:failed")
    deck.type("\x11")
    assert deck.end() == 0


def test_a_field_has_what_was_typed_pasted_and_typed_in_that_order(deck: Terminal):
    send(deck, b"/").wait("words, status:failed")
    send(deck, b"ab\x1b[200~c\x1b[31m\x1b").type("d\x1b[201~ef").wait("abc\u241b[31m\u241bdef")
    deck.type("\x11")
    assert deck.end() == 0


def test_a_keyboard_that_fails_is_named_in_the_log(tmp_path: Path):
    (tmp_path / "run").mkdir()
    program = (
        "import sys; from pathlib import Path; from app.tui.terminal import driver as terminal; from app.tui.run import run_deck; read = terminal.read;"
        "terminal.read = lambda fd: 1 / 0 if b'j' in (data := read(fd)) else data;"  # what the terminal answers is heard
        f"sys.exit(run_deck(Path({str(tmp_path)!r}), read_only=True))"
    )
    with Terminal([sys.executable, "-c", program], ENV, ROOT) as deck:
        deck.wait("q quit").type("j")
        assert deck.end() == 1
        assert "The deck failed (ZeroDivisionError)" in deck.text.replace("\n", " ")
    log = (tmp_path / "run" / "deck.log").read_text()
    assert "run_input_thread" in log and "ZeroDivisionError: division by zero" in log
