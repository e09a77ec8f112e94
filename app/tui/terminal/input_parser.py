"""Terminal input: keys and clicks by Textual's parser, pastes by their start and end marks.

Textual looks for keys inside pastes and fails on bytes that are not UTF-8. Here a paste is text up
to its end mark, wherever reads are split; invalid bytes become U+FFFD. A sequence that makes
Textual's parser fail is dropped, and the next character begins a new parser.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic

from textual import constants, events
from textual._xterm_parser import BRACKETED_PASTE_END as END
from textual._xterm_parser import BRACKETED_PASTE_START as START
from textual._xterm_parser import XTermParser
from textual.message import Message

from app.core.text.sanitize import sanitize_paste

SILENCE_TIMEOUT = 1.0
"""Seconds without input after which an unterminated paste or sequence is complete."""
MAX_COLUMNS, MAX_LINES = 1000, 500
"""Largest size drawn; a wrong size of millions of lines would take all memory."""
MAX_PASTE = 1024 * 1024
"""Maximum characters of a paste collected before they are sent."""


class InputParser:
    """Parser for the bytes of one terminal.

    While there is no input, call `tick` every `poll_interval` seconds.
    """

    def __init__(self, debug: bool = False, ticks: Callable[[], float] = monotonic) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._debug = debug
        self._parser = XTermParser(debug)
        self._ticks = ticks
        self._partial_mark = ""
        """Last characters if they may begin a mark."""
        self._paste: list[str] | None = None
        self._size = 0
        self._last_input = ticks()

    @property
    def poll_interval(self) -> float:
        """Seconds until the next call of `tick`."""
        return constants.ESCAPE_DELAY if self._partial_mark else 0.1

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the events completed by these bytes."""
        text, self._partial_mark = self._partial_mark + self._decode(data), ""
        while text:
            if self._paste is None:
                keys, start, text = self._split_at_mark(text, START)
                yield from self._parse_keys(keys)
                self._paste = [] if start else None
            else:
                piece, end, text = self._split_at_mark(text, END)
                yield from self._collect_paste(piece, over=bool(end))
        self._last_input = self._ticks()

    def tick(self) -> Iterator[Message]:
        """Yield the events caused by silence: a lone escape, an unterminated paste."""
        yield from self._guard_parser(self._parser.tick)
        lone = self._paste is None and len(self._partial_mark) == 1
        if self._ticks() - self._last_input < (constants.ESCAPE_DELAY if lone else SILENCE_TIMEOUT):
            return
        held, self._partial_mark = self._partial_mark, ""
        if self._paste is not None:
            yield from self._collect_paste(held, over=True)
        elif lone:
            yield events.Key("escape", held)
        else:
            yield from self._parse_keys(held)

    def _split_at_mark(self, text: str, mark: str) -> tuple[str, str, str]:
        """Split the text at a mark; an incomplete mark at the end is held back."""
        before, found, after = text.partition(mark)
        if not found:
            size = next(
                (size for size in range(len(mark) - 1, 0, -1) if before.endswith(mark[:size])), 0
            )
            before, self._partial_mark = before[: len(before) - size], before[len(before) - size :]
        return before, found, after

    def _parse_keys(self, text: str) -> Iterator[Message]:
        for character in text:  # single characters, so a failure costs only its sequence
            yield from self._guard_parser(partial(self._parser.feed, character))

    def _guard_parser(self, parse: Callable[[], Iterable[Message]]) -> Iterator[Message]:
        """Yield the valid events of a parser call; begin a new parser if the call fails.

        Textual's parser fails on code points out of range, such as `ESC [1114112u`.
        """
        try:
            found = [event for event in parse() if _is_valid(event)]
        except Exception:
            self._parser = XTermParser(self._debug)
            return
        yield from found

    def _collect_paste(self, piece: str, over: bool) -> Iterator[Message]:
        """Collect pasted text; yield it if complete or large."""
        paste = self._paste or []
        paste.append(piece)
        self._size += len(piece)
        self._paste = None if over else paste
        if over or self._size > MAX_PASTE:
            yield events.Paste(sanitize_paste("".join(paste)))
            paste.clear()
            self._size = 0


def _is_valid(event: Message) -> bool:
    """Return False for an impossible size, and for a key that is not UTF-8 text."""
    if isinstance(event, events.Key):
        text = event.key + (event.character or "")
        return not any("\ud800" <= character <= "\udfff" for character in text)
    if isinstance(event, events.Resize):
        return 0 < event.size.width <= MAX_COLUMNS and 0 < event.size.height <= MAX_LINES
    return True
