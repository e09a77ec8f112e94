"""How things look: the signs of states, and the glyphs, bars, sparklines and rules drawn with one `Look`.

A state is never colour alone: glyph, word, style. A `Look` is chosen once at start (Unicode or ASCII, colours or none);
everything that reaches the screen becomes a `Strip` here, from spans of (text, style name), with no markup parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app.core.text import sanitize as cleaning
from app.core.text import status_glyphs

Span = tuple[str, str]
"""A text and the name of its style (a key of `STYLES`, "" for none)."""


class Sign(NamedTuple):
    """A sign of `core.signs`: a one-cell glyph, its ASCII twin, the word, the name of a style."""

    glyph: str
    ascii: str
    word: str
    style: str = ""


STATES = {status: Sign(*sign) for status, sign in status_glyphs.STATES.items()}
ALERTS = {status: Sign(*sign) for status, sign in status_glyphs.ALERTS.items()}
QUEUES = {word: Sign(*sign) for word, sign in status_glyphs.QUEUES.items()}
UNKNOWN = Sign(*status_glyphs.UNKNOWN)

STYLES: dict[str, Style] = {
    "": Style(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "alive": Style(color="cyan"),
    "well": Style(color="green"),
    "warn": Style(color="yellow"),
    "late": Style(color="red"),
    "broken": Style(color="red", bold=True),
    "unknown": Style(color="magenta", bold=True),
    "cursor": Style(reverse=True),
    "title": Style(bold=True),
    "cursor-mark": Style(reverse=True, bold=True),
}
_COLOURLESS = {
    "alive": Style(), "well": Style(), "warn": Style(bold=True), "late": Style(bold=True), "broken": Style(bold=True),
    "unknown": Style(bold=True),
}  # fmt: skip

_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII_SPARKS = "0123568#"
_TO_ASCII = str.maketrans({
    "–": "-", "…": "~", "·": ".", "‹": "<", "›": ">", "↵": "enter", "█": "#", "▒": "=", "‖": '"', "∞": "inf", "→": "->", "│": "|",
    "─": "-", "━": "=", "▌": "[", "✗": "X", "✓": "+", "●": "*", "○": "o", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "−": "-", "×": "x", "•": "*",
    "←": "<-", "↑": "up", "↓": "down", "▲": "!", "△": "'", "？": "?", "：": ":", "／": "/",
})  # fmt: skip

_WITHOUT_BLOCKS = str.maketrans("█▒·", "   ")
"""What of a head explains a bar, which in a plain look is words."""


@lru_cache(maxsize=8192)
def sanitize_cached(text: str) -> str:
    """Text from outside as one safe line, remembered."""
    return cleaning.sanitize(text)


@lru_cache(maxsize=2048)
def strip_colours(text: str) -> str:
    """A line of a program's output as a terminal would show it, without its colours, remembered."""
    return "".join([piece for piece, _ in cleaning.parse_sgr_line(text)])


class Look(NamedTuple):
    """What this terminal can show: `ascii` for no line and block characters, `colour`, `utf8` for names in other scripts; `plain`
    is for whoever has the screen read out: words for signs and bars, no lines, no sparklines (with `ascii`)."""

    ascii: bool = False
    colour: bool = True
    utf8: bool = True
    plain: bool = False

    @property
    def ellipsis(self) -> str:
        return "~" if self.ascii else "…"

    def adapt_text(self, text: str) -> str:
        """A text of ours in the characters this terminal has; in plain looks without the marks that stand before words."""
        if self.plain:
            text = text.replace("✗ ", "wrong: ").replace("✓ ", "")
        return text.translate(_TO_ASCII) if self.ascii else text

    def sanitize(self, text: str) -> str:
        """A text from outside, safe and in the characters this terminal has."""
        shown = sanitize_cached(text)
        return shown if self.utf8 else shown.encode("ascii", "replace").decode()

    def sanitize_output(self, text: str) -> str:
        """A line of a program's output, safe: its carriage returns obeyed, its colours dropped."""
        return self.sanitize(strip_colours(text))

    def style(self, name: str) -> Style:
        """The style behind a name."""
        if not self.colour and name in _COLOURLESS:
            return _COLOURLESS[name]
        return STYLES[name]

    def glyph(self, sign: Sign) -> str:
        """The one cell of a sign; in plain looks its word."""
        if self.plain:
            return sign.word
        return sign.ascii if self.ascii else sign.glyph

    def state(self, sign: Sign) -> str:
        """A sign with its word; in plain looks the word, once."""
        return sign.word if self.plain else f"{self.glyph(sign)} {sign.word}"

    def cut(self, text: str, cells: int, at: str = "end") -> str:
        """Safe text, at most `cells` wide, cut at its "end" or in the "middle"."""
        return (
            cleaning.truncate_middle(text, cells, self.ellipsis) if at == "middle" else cleaning.truncate(text, cells, self.ellipsis)
        )

    def draw_bar(self, part: float, whole: float, cells: int) -> str:
        """A bar of whole cells: at least one when anything is there, full only when full."""
        if self.plain:
            return f"{_format_percent(part, whole)} full"[:cells]
        filled = _count_filled(part, whole, cells)
        return self.adapt_text("█" * filled + "·" * (cells - filled))

    def draw_two_tone(self, used: float, reserved: float, total: float, cells: int) -> str:
        """Measured `█`, reserved but idle `▒`, free `·`; what is measured beyond the reservation shows as measured."""
        if self.plain:
            return f"{_format_percent(used, total)} used"[:cells]
        dark = _count_filled(used, total, cells)
        grey = max(0, _count_filled(reserved, total, cells) - dark)
        return self.adapt_text("█" * dark + "▒" * grey + "·" * (cells - dark - grey))

    def draw_sparkline(self, values: Sequence[float], cells: int, top: float | None = None) -> str:
        """The last `cells` values as one cell each, scaled to `top` or to their own maximum; blank where there is none."""
        if self.plain:
            return ""
        shown = values[-cells:]
        high = top or max(shown, default=0.0)
        steps = _ASCII_SPARKS if self.ascii else _SPARKS
        return "".join(steps[_scale_spark(v, high)] for v in shown).rjust(cells)

    def draw_rule(self, width: int, heads: Iterable[tuple[int, str]], tail: str = "", focused: bool = False) -> str:
        """A title rule with heads set into it at their cells, `tail` at its right end when it fits."""
        line = [" " if self.plain else "━" if focused else "─"] * width
        end = 0
        for at, head in heads:
            cells = _split_cells(head.translate(_WITHOUT_BLOCKS) if self.plain else head)
            if head and at > end and at + len(cells) <= width:
                line[at - 1 : at + len(cells) + 1] = [" ", *cells, " "]
                end = at + len(cells)
        cells = _split_cells(tail)
        if tail and width - len(cells) - 3 > end:
            line[width - len(cells) - 3 : width - 1] = [" ", *cells, " "]
        if focused and not self.plain:
            line[1:2] = "▌"
        return self.adapt_text("".join(line[:width]))

    def strip(self, spans: Iterable[Span], width: int, under: str = "") -> Strip:
        """One line of exactly `width` cells from spans of safe text; `under` is the style below all of them."""
        base = self.style(under)
        segments, left = [], width
        for text, name in spans:
            shown = text if cleaning.measure_width(text) <= left else cleaning.truncate(text, left, self.ellipsis)
            left -= cleaning.measure_width(shown)
            if shown:
                segments.append(Segment(shown, base + self.style(name)))
        if left > 0:
            segments.append(Segment(" " * left, base))
        return Strip(Segment.simplify(segments), width)


def _split_cells(text: str) -> list[str]:
    """Safe text by the cell: a wide character has an empty one behind it, a mark stands in the cell before it."""
    cells: list[str] = []
    for c in text:
        taken = 1 if c.isascii() else cleaning.measure_width(c)
        if taken or not cells:
            cells += [c, *[""] * (taken - 1)]
        else:
            cells[-1] += c
    return cells


def measure_spans(spans: Iterable[Span]) -> int:
    """The cells that spans of safe text take."""
    return sum(cleaning.measure_width(text) for text, _ in spans)


def _format_percent(part: float, whole: float) -> str:
    return f"{int(part / whole * 100) if whole > 0 else 0}%"


def _count_filled(part: float, whole: float, cells: int) -> int:
    if whole <= 0 or part <= 0:
        return 0
    if part >= whole:
        return cells
    return min(cells - 1, max(1, round(part / whole * cells)))


def _scale_spark(value: float, top: float) -> int:
    """0 for nothing, 1 to 7 for a share of `top`."""
    return 0 if value <= 0 or top <= 0 else min(7, max(1, round(value / top * 7)))
