"""What a terminal sends, made into events: keys and clicks by Textual's parser, pastes by what marks their two ends.

Textual looks for keys in a paste too, and ends with a byte that is not UTF-8. Here a paste is text up to its end, whatever stands in
it, and wherever reads are cut; bytes that are no text stand as U+FFFD.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from time import monotonic

from textual import constants, events
from textual._xterm_parser import BRACKETED_PASTE_END as END
from textual._xterm_parser import BRACKETED_PASTE_START as START
from textual._xterm_parser import XTermParser
from textual.message import Message

SILENCE = 1.0
"""Seconds without a byte after which a paste whose end was lost is over, and the start of a sequence is taken as it is."""
MOST = 1024 * 1024
"""Characters of a paste that are kept before they are handed on."""


class Keyboard:
    """The bytes of one terminal, in their order. While none come, `tick` is to be called every `pace` seconds."""

    def __init__(self, debug: bool = False, ticks: Callable[[], float] = monotonic) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = XTermParser(debug)
        self._ticks = ticks
        self._held = ""
        """The last characters, when they may be the first ones of a mark."""
        self._paste: list[str] | None = None
        self._size = 0
        self._heard = ticks()

    @property
    def pace(self) -> float:
        """Seconds until the next look."""
        return constants.ESCAPE_DELAY if self._held else 0.1

    def feed(self, data: bytes) -> Iterator[Message]:
        """The events that these bytes complete."""
        text, self._held = self._held + self._decode(data), ""
        while text:
            if self._paste is None:
                keys, start, text = self._cut(text, START)
                yield from self._keys(keys)
                self._paste = [] if start else None
            else:
                piece, end, text = self._cut(text, END)
                yield from self._pasted(piece, over=bool(end))
        self._heard = self._ticks()

    def tick(self) -> Iterator[Message]:
        """The events that come of silence: a lone escape, a paste whose end does not come."""
        yield from self._parser.tick()
        lone = self._paste is None and len(self._held) == 1
        if self._ticks() - self._heard < (constants.ESCAPE_DELAY if lone else SILENCE):
            return
        held, self._held = self._held, ""
        if self._paste is not None:
            yield from self._pasted(held, over=True)
        elif lone:
            yield events.Key("escape", held)
        else:
            yield from self._keys(held)

    def _cut(self, text: str, mark: str) -> tuple[str, str, str]:
        """What stands before the mark, the mark, what follows; the beginning of a mark at the end is held back."""
        before, found, after = text.partition(mark)
        if not found:
            size = next((size for size in range(len(mark) - 1, 0, -1) if before.endswith(mark[:size])), 0)
            before, self._held = before[: len(before) - size], before[len(before) - size :]
        return before, found, after

    def _keys(self, text: str) -> Iterator[Message]:
        if text:  # to the parser nothing is the end of all
            yield from self._parser.feed(text)

    def _pasted(self, piece: str, over: bool) -> Iterator[Message]:
        """Collect; hand on what is complete, or is much."""
        paste = self._paste or []
        paste.append(piece)
        self._size += len(piece)
        self._paste = None if over else paste
        if over or self._size > MOST:
            from app.tui.widgets.paste import pasted

            yield events.Paste(pasted("".join(paste)))
            paste.clear()
            self._size = 0
