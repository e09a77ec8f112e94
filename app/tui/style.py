"""Text styling: state signs, glyphs, bars, sparklines and rules for one terminal.

A state is shown by glyph, word and style, never by colour alone. A `Look` is chosen once at start
(Unicode or ASCII, with or without colours). Everything drawn becomes a `Strip` here, from spans of
(text, style name), without markup.
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
from app.translation import tr

Span = tuple[str, str]
"""Text and style name (a key of `STYLES`, "" for none)."""


class Sign(NamedTuple):
    """A sign of `core.text.status_glyphs`: one-cell glyph, ASCII replacement, word, style name."""

    glyph: str
    ascii: str
    english: str
    style: str = ""

    @property
    def word(self) -> str:
        """The word in the user's language."""
        return tr(self.english)


STATES = {status: Sign(*sign) for status, sign in status_glyphs.STATES.items()}
ALERTS = {status: Sign(*sign) for status, sign in status_glyphs.ALERTS.items()}
SCHEDULES = {state: Sign(*sign) for state, sign in status_glyphs.SCHEDULES.items()}
FIRES = {outcome: Sign(*sign) for outcome, sign in status_glyphs.FIRES.items()}
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
    "calm": Style(color="cyan"),
    "busy": Style(color="yellow"),
    "over": Style(color="red", bold=True),
    "cursor": Style(reverse=True),
    "title": Style(bold=True),
    "cursor-mark": Style(reverse=True, bold=True),
}
_COLOURLESS = {
    "alive": Style(), "well": Style(), "warn": Style(bold=True), "late": Style(bold=True),
    "broken": Style(bold=True),
    "unknown": Style(bold=True),
    "calm": Style(), "busy": Style(bold=True), "over": Style(bold=True),
}  # fmt: skip

BUSY_SHARE = 0.9
"""Share of a limit from which a load is busy."""
_TEXTURES = {"calm": "█", "busy": "▓", "over": "!"}
"""Filling of bars by load where colours are not used."""

_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII_SPARKS = "0123568#"
_TO_ASCII = str.maketrans({
    "–": "-", "…": "~", "·": ".", "‹": "<", "›": ">", "↵": "enter", "█": "#", "▒": "=", "‖": '"',
    "▓": "%", "■": "#", "□": "=", "∞": "inf", "→": "->", "│": "|",
    "─": "-", "━": "=", "▌": "[", "✗": "X", "✓": "+", "●": "*", "○": "o", "┌": "+", "┐": "+",
    "└": "+", "┘": "+",
    "−": "-", "×": "x", "•": "*",
    "▸": ">", "◆": "#",
    "←": "<-", "↑": "up", "↓": "down", "▲": "!", "△": "'", "？": "?", "：": ":", "／": "/",
})  # fmt: skip

_WITHOUT_BLOCKS = str.maketrans("█▒·", "   ")
"""Bar characters that explain a column in its heading; plain looks show words instead of bars."""


def get_load_style(part: float | None, whole: float | None) -> str:
    """Return the style of a load: calm, busy from `BUSY_SHARE` of the whole on, over beyond it."""
    part, whole = part or 0.0, whole or 0.0
    if not part:
        return "calm"
    return "over" if part > whole * 1.001 else "busy" if part >= BUSY_SHARE * whole else "calm"


@lru_cache(maxsize=8192)
def sanitize_cached(text: str) -> str:
    """Sanitize untrusted text to one line, cached."""
    return cleaning.sanitize(text)


@lru_cache(maxsize=2048)
def strip_colours(text: str) -> str:
    """Return a line of program output as a terminal shows it, without colours, cached."""
    return "".join([piece for piece, _ in cleaning.parse_sgr_line(text)])


class Look(NamedTuple):
    """Display capabilities of the terminal.

    `ascii` avoids line and block characters, `colour` and `utf8` (names in other scripts) tell what
    is supported. `plain`, with `ascii`, is for screen readers: words instead of signs and bars, no
    lines or sparklines.
    """

    ascii: bool = False
    colour: bool = True
    utf8: bool = True
    plain: bool = False

    @property
    def ellipsis(self) -> str:
        return "~" if self.ascii else "…"

    def adapt_text(self, text: str) -> str:
        """Return Taskdeck's own text in supported characters.

        Plain looks omit the marks before words.
        """
        if self.plain:
            text = text.replace("✗ ", "wrong: ").replace("✓ ", "")
        return text.translate(_TO_ASCII) if self.ascii else text

    def sanitize(self, text: str) -> str:
        """Return untrusted text, sanitized and in supported characters."""
        shown = sanitize_cached(text)
        return shown if self.utf8 else shown.encode("ascii", "replace").decode()

    def sanitize_output(self, text: str) -> str:
        """Return a line of program output, sanitized, carriage returns applied, without colours."""
        return self.sanitize(strip_colours(text))

    def style(self, name: str) -> Style:
        """Return the style with this name."""
        if not self.colour and name in _COLOURLESS:
            return _COLOURLESS[name]
        return STYLES[name]

    def glyph(self, sign: Sign) -> str:
        """Return the glyph of a sign; its word in plain looks."""
        if self.plain:
            return sign.word
        return sign.ascii if self.ascii else sign.glyph

    def state(self, sign: Sign) -> str:
        """Return a sign with its word; only the word in plain looks."""
        return sign.word if self.plain else f"{self.glyph(sign)} {sign.word}"

    def cut(self, text: str, cells: int, at: str = "end") -> str:
        """Cut sanitized text to `cells` at its "end" or in the "middle"."""
        return (
            cleaning.truncate_middle(text, cells, self.ellipsis)
            if at == "middle"
            else cleaning.truncate(text, cells, self.ellipsis)
        )

    def draw_bar(self, part: float, whole: float, cells: int) -> str:
        """Draw a bar of whole cells: not empty unless zero, not full unless complete."""
        if self.plain:
            return tr("{percent} full", percent=_format_percent(part, whole))[:cells]
        filled = _count_filled(part, whole, cells)
        full = self._get_filling(get_load_style(part, whole))
        return self.adapt_text(full * filled + "·" * (cells - filled))

    def _get_filling(self, load: str) -> str:
        """Return the character that fills a bar; without colours its texture shows the load."""
        return "█" if self.colour and not self.ascii else _TEXTURES[load]

    def draw_two_tone(
        self, used: float, reserved: float, total: float, cells: int, load: str = "calm"
    ) -> str:
        """Draw measured `█`, reserved but unused `▒` and free `·`.

        Use beyond the reservation is drawn as measured. `load` is a style of `get_load_style`.
        """
        if self.plain:
            return tr("{percent} used", percent=_format_percent(used, total))[:cells]
        dark = _count_filled(used, total, cells)
        grey = max(0, _count_filled(reserved, total, cells) - dark)
        full = self._get_filling(load)
        return self.adapt_text(full * dark + "▒" * grey + "·" * (cells - dark - grey))

    def draw_sparkline(self, values: Sequence[float], cells: int, top: float | None = None) -> str:
        """Draw the last `cells` values, one cell each, scaled to `top` or to their maximum.

        Missing values are blank.
        """
        if self.plain:
            return ""
        shown = values[-cells:]
        high = top or max(shown, default=0.0)
        steps = _ASCII_SPARKS if self.ascii else _SPARKS
        return "".join(steps[_scale_spark(v, high)] for v in shown).rjust(cells)

    def draw_rule(
        self, width: int, heads: Iterable[tuple[int, str]], tail: str = "", focused: bool = False
    ) -> str:
        """Draw a title rule with headings at their cells and `tail` at its right end if it fits."""
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
        """Make a line of exactly `width` cells from sanitized spans; `under` is the base style."""
        base = self.style(under)
        segments, left = [], width
        for text, name in spans:
            shown = (
                text
                if cleaning.measure_width(text) <= left
                else cleaning.truncate(text, left, self.ellipsis)
            )
            left -= cleaning.measure_width(shown)
            if shown:
                segments.append(Segment(shown, base + self.style(name)))
        if left > 0:
            segments.append(Segment(" " * left, base))
        return Strip(Segment.simplify(segments), width)


def _split_cells(text: str) -> list[str]:
    """Split sanitized text by cell: a wide character is followed by "", a mark joins its base."""
    cells: list[str] = []
    for c in text:
        width = 1 if c.isascii() else cleaning.measure_width(c)
        if width or not cells:
            cells += [c, *[""] * (width - 1)]
        else:
            cells[-1] += c
    return cells


def measure_spans(spans: Iterable[Span]) -> int:
    """Return the width in cells of sanitized spans."""
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
    """Return 0 for nothing, 1 to 7 for a share of `top`."""
    return 0 if value <= 0 or top <= 0 else min(7, max(1, round(value / top * 7)))
