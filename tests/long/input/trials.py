"""Random terminal input: byte sequences near those that terminals send, and their check."""

from __future__ import annotations

import random

from textual import events

from app.tui.terminal.input_parser import SILENCE_TIMEOUT, InputParser

NUMBERS = (
    "", "0", "1", "2", "27", "97", "127", "200", "201", "255", "2048", "55296", "57343", "57441",
    "65535", "1114111", "1114112", "4294967296", "99999999999999", "9" * 40, "-1", "x",
)  # fmt: skip
FINALS = "ABCDEFHPQRSZ~umMtyctnIO$ \x1b"
INTRODUCERS = ("\x1b[", "\x1b[<", "\x1b[?", "\x1bO", "\x1b", "\x1b\x1b[", "\x1b]", "\x1bP", "\x9b")
MARKS = ("\x1b[200~", "\x1b[201~", "\x1b[M", "\x1b[I", "\x1b[O")
KNOWN_FAILURES = (
    b"\x1b[99999999999999A",
    b"\x1b[9999999999999u",
    b"\x1b[1114112u",
    b"\x1b[97;5:3;55296u",
    b"\x1b[27;5;1114112~",
)
"""Sequences on which Textual's parser fails, or which it turns into a surrogate."""


class Ticks:
    """Seconds that pass only when a trial moves them."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def make_sequence(dice: random.Random) -> bytes:
    """Return a random sequence: a key or mouse report, a mark, text, or random bytes."""
    kind = dice.random()
    if kind < 0.7:
        return _make_report(dice).encode()
    if kind < 0.8:
        return dice.choice(MARKS).encode()
    if kind < 0.9:
        return dice.choice(("a", "\r", "é", "漢", "\x00", "\x1b", "\U0010ffff")).encode()
    return dice.randbytes(dice.randint(1, 12))


def check_sequences(dice: random.Random, count: int) -> None:
    """Feed sequences to one parser.

    Raise AssertionError if an event is not valid, or if a key typed afterwards does not arrive.
    """
    ticks = Ticks()
    parser = InputParser(ticks=ticks)
    sent = [make_sequence(dice) for _ in range(count)]
    for sequence in sent:
        cut = dice.randint(0, len(sequence))
        for piece in (sequence[:cut], sequence[cut:]):
            _check_events([*parser.feed(piece), *parser.tick()])
    ticks.at += SILENCE_TIMEOUT
    _check_events(list(parser.tick()))
    # The first bytes end an open paste or sequence.
    typed = list(parser.feed(b"\x1b[A" * 20 + b"j"))
    assert any(isinstance(event, events.Key) and event.key == "j" for event in typed), sent


def _make_report(dice: random.Random) -> str:
    fields = [
        ":".join(dice.choice(NUMBERS) for _ in range(dice.choice((1, 1, 1, 2, 3))))
        for _ in range(dice.randint(0, 5))
    ]
    return dice.choice(INTRODUCERS) + ";".join(fields) + dice.choice(FINALS)


def _check_events(found: list[object]) -> None:
    for event in found:
        assert not isinstance(event, events.Resize)
        if isinstance(event, events.Key):
            f"{event.key}{event.character or ''}".encode()
        elif isinstance(event, events.Paste):
            event.text.encode()
