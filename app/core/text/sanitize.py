"""Sanitizing and measuring of untrusted text, validation of names, detection of secrets.

All external text (names, parameters, logs, errors, terminal data) passes through here before it is
drawn. Characters that could control a terminal or hide are replaced by a visible one-cell
character: C0 controls and DEL by control pictures (U+2400…), the rest (C1, bidi and zero-width
format characters, lone surrogates, unassigned and private-use characters) by `�`. Terminals
disagree on the width of emoji sequences. Variation selectors, skin tones, keycaps and the joiners
between emoji are therefore dropped, and the halves of a flag become letters. Marks are composed
with their characters (NFC), because few terminals compose Hangul syllables. Every command imports
this module, so it uses only the standard library.
"""

from __future__ import annotations

import re
from functools import lru_cache

from app.translation import tr

TYPE_CHECKING = False  # importing typing costs a command 1 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "•••"
"""Replacement for the value of a secret in every output."""

_REPLACEMENT = "�"
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_EMOJI_JOINER = f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])"
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
_NAME_WORD = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+"
"""One word of a name such as `db_password`, `apiKey` or `API-key2`."""
_SECRET_WORDS = (
    r"(?:token|(?:secret|password|passphrase|credential|cookie)s?|passwd"
    r"|(?:api|access|private|secret|auth)_?(?:key|token)s?)_|_pass_$"
)
"""Ends of secret words, in a name whose words are in lower case and each followed by `_`."""
# Wide since Unicode 16, which the oldest supported Python does not know.
_NEW_WIDE = (
    (0x2630, 0x2637),
    (0x268A, 0x268F),
    (0x4DC0, 0x4DFF),
    (0x1D300, 0x1D356),
    (0x1D360, 0x1D376),
)
_JAMO = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))
_MAX_MARKS = 8
"""Maximum number of marks on one character; more are dropped."""
_MAX_COLUMN = 1000
"""Column beyond which no sequence moves the cursor."""
_replacement_cache: dict[str, str] = {}
_width_cache: dict[str, int] = {}
_zero_width_seen: set[str] = set()
"""Zero-width characters seen so far."""


def sanitize(text: str) -> str:
    """Return one line that is safe on any terminal.

    Newlines and tabs are replaced too.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\u200d" in text:
        text = re.sub(_EMOJI_JOINER, "", text)
    safe = "".join(
        [
            _replacement_cache.get(c) or _find_replacement(c) if c not in _DROPPED else ""
            for c in text
        ]
    )
    return safe if _zero_width_seen.isdisjoint(safe) else _compose_marks(safe)


def sanitize_paste(text: str) -> str:
    """Return pasted text with unsafe characters replaced; newlines and tabs stay."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("\t".join(sanitize(part) for part in line.split("\t")) for line in lines)


def sanitize_lines(text: str) -> str:
    """Return several safe lines.

    Newlines stay, tabs are expanded, and carriage returns overwrite the start of their line.
    """
    return "\n".join(_apply_returns(line) for line in text.split("\n"))


def measure_width(text: str) -> int:
    """Return the terminal cells of sanitized text."""
    if text.isascii():
        return len(text)
    return sum([_width_cache[c] if c in _width_cache else _measure_char(c) for c in text])


def truncate(text: str, cells: int, ellipsis: str = "…") -> str:
    """Return sanitized text cut to `cells`, with `ellipsis` at the end if shortened."""
    if len(text) <= cells and text.isascii() or measure_width(text) <= cells:
        return text
    room = cells - measure_width(ellipsis)
    return _take_cells(text, room) + ellipsis if room >= 0 else ""


def truncate_middle(text: str, cells: int, ellipsis: str = "…") -> str:
    """Return both ends of sanitized text, with `ellipsis` between them if shortened."""
    if measure_width(text) <= cells:
        return text
    room = cells - measure_width(ellipsis)
    if room < 0:
        return ""
    head = _take_cells(text, room - room // 2)
    tail = _take_cells(text[::-1], room - measure_width(head))[::-1]
    return head + ellipsis + tail


def pad(text: str, cells: int, align: str = "<") -> str:
    """Fill sanitized text with spaces to `cells`; `align` is "<" or ">".

    Longer text is kept.
    """
    fill = " " * (cells - measure_width(text))
    return fill + text if align == ">" else text + fill


def find_name_error(name: str) -> str | None:
    """Return why a name is invalid, to follow "--name: ", or None for a valid name.

    A name has 1 to 200 printable characters, no `/` and no leading dot.
    """
    if not name.strip():
        return tr("must not be empty")
    if len(name) > 200:
        return tr("must have at most 200 characters, not {n:,}", n=len(name))
    if has_hidden(name):
        return tr(
            'must not contain control or invisible characters, as "{name}" does',
            name=truncate(sanitize(name), 40),
        )
    if "/" in name:
        return tr('must not contain "/", as "{name}" does', name=truncate(sanitize(name), 40))
    return (
        tr('must not begin with a dot, as "{name}" does', name=truncate(sanitize(name), 40))
        if name[0] == "."
        else None
    )


def has_hidden(text: str) -> bool:
    """Return True if the text has control or invisible characters."""
    return not (text.isascii() and text.isprintable()) and any(map(_is_hidden, text))


def find_nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` probably means, or None."""
    from difflib import get_close_matches

    by_fold = {c.casefold(): c for c in candidates}
    found = get_close_matches(word[:100].casefold(), by_fold, n=1, cutoff=0.7)
    return by_fold[found[0]] if found else None


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Return True if a variable or parameter of this name probably holds a secret.

    Whole words count: `token`, `password` and the like, `pass` as the last of several words, and
    `key` after api, access, private, secret or auth. `tokens` are a number of tokens, unless one of
    these words precedes them.
    """
    words = "".join(f"{word}_" for word in re.findall(_NAME_WORD, name)).lower()
    return re.search(_SECRET_WORDS, words) is not None


class Style:
    """Immutable color and attributes of a piece of output.

    `fg` and `bg` are a palette index from 0 to 255, an (r, g, b) triple, or None.
    """

    __slots__ = ("bg", "bold", "dim", "fg", "italic", "reverse", "strike", "underline")

    fg: int | tuple[int, int, int] | None
    bg: int | tuple[int, int, int] | None
    bold: bool
    dim: bool
    italic: bool
    underline: bool
    reverse: bool
    strike: bool

    def __init__(self, **values: object) -> None:
        for name in self.__slots__:
            object.__setattr__(
                self, name, values.get(name, None if name in ("fg", "bg") else False)
            )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Style is immutable; cannot set {name}")

    def replace(self, **values: object) -> Style:
        """Return this style with some values replaced."""
        return Style(**{**{name: getattr(self, name) for name in self.__slots__}, **values})

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Style) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        shown = {
            name: getattr(self, name)
            for name in self.__slots__
            if getattr(self, name) not in (None, False)
        }
        return f"Style({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


PLAIN = Style()


def parse_sgr_line(line: bytes | str, before: Style = PLAIN) -> list[tuple[str, Style]]:
    """Convert one line of program output, without its newline, into safe styled text.

    Supported: SGR colors, wide characters, and controls that move or erase within the line
    (carriage return, backspace, tab, cursor left, right and to a column, erase, insert, delete).
    Other escape sequences are dropped; other controls become visible replacements. The line starts
    in the style `before`. The last span, whose text may be empty, has the style for the start of
    the next line.
    """
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    if not any(c in text for c in "\x1b\r\b\t"):
        return [(sanitize(text), before)]
    row, style = _TerminalLine(), before
    for piece, sequence in _split_sequences(text):
        row.write(piece, style)
        if sequence[:2] == "\x1b[" and sequence[-1:] == "m":
            style = _apply_sgr(style, sequence[2:-1])
        else:
            row.apply_control(sequence)
    return row.to_spans(style)


class _TerminalLine:
    """Cells of one line during output.

    Each cell holds one text; the second cell of a wide character holds "".
    """

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.styles: list[Style] = []
        self.at = 0

    def write(self, text: str, style: Style) -> None:
        """Write text at the cursor."""
        safe = sanitize(text)
        if safe.isascii():
            return self._write_cells(list(safe), style)
        for c, cells in _iterate_cells(safe):
            if cells:
                self._write_cells([c, *[""] * (cells - 1)], style)
            elif self.at and self.at <= len(self.cells):
                self._combine_mark(c)

    def _write_cells(self, new: list[str], style: Style) -> None:
        if not new:
            return
        end = self.at + len(new)
        self._split_wide(self.at)
        self._split_wide(end)
        self._extend_to(self.at)
        self.cells[self.at : end] = new
        self.styles[self.at : end] = [style] * len(new)
        self.at = end

    def _combine_mark(self, mark: str) -> None:
        at = self.at - 1
        while at and self.cells[at] == "":
            at -= 1
        if len(self.cells[at]) <= _MAX_MARKS:
            self.cells[at] += mark

    def _extend_to(self, column: int) -> None:
        missing = column - len(self.cells)
        self.cells += [" "] * missing
        self.styles += [PLAIN] * missing

    def apply_control(self, sequence: str) -> None:
        """Apply a control that moves or erases within the line; ignore all others."""
        if sequence == "\r":
            self.at = 0
        elif sequence == "\b":
            self.at = max(0, self.at - 1)
        elif sequence == "\t":
            self.at += 8 - self.at % 8
            self._extend_to(self.at)
        elif sequence[:2] == "\x1b[":
            self._apply_csi(sequence[-1:], sequence[2:-1])

    def _apply_csi(self, last: str, argument: str) -> None:
        count = _parse_code(argument.split(";")[0])
        if last == "K":
            self._erase(argument)
        elif last in "CaDG`" and count >= 0:
            step = max(count, 1)
            self._move_to(
                self.at + step if last in "Ca" else self.at - step if last == "D" else step - 1
            )
        elif last in "XP@" and count >= 0:
            self._edit_cells(last, min(max(count, 1), _MAX_COLUMN))

    def _move_to(self, column: int) -> None:
        """Move the cursor to a column, limited to a plausible screen width."""
        self.at = max(0, min(column, max(self.at, _MAX_COLUMN)))

    def _edit_cells(self, how: str, count: int) -> None:
        """Blank, delete or insert `count` cells at the cursor."""
        end = min(self.at + count, len(self.cells))
        if self.at >= end:
            return
        for edge in (self.at, end):
            self._split_wide(edge)
        if how != "@":
            del self.cells[self.at : end], self.styles[self.at : end]
        if how != "P":
            blanks = end - self.at if how == "X" else count
            self.cells[self.at : self.at] = [" "] * blanks
            self.styles[self.at : self.at] = [PLAIN] * blanks
        if how == "@":  # insertion pushes cells off the right edge of a screen
            del self.cells[max(_MAX_COLUMN, len(self.cells) - count) :]
            del self.styles[len(self.cells) :]

    def _split_wide(self, column: int) -> None:
        """Blank a wide character that crosses the left edge of a column."""
        if 0 < column < len(self.cells) and self.cells[column] == "":
            self.cells[column - 1] = self.cells[column] = " "

    def _erase(self, argument: str) -> None:
        if argument in ("", "0"):
            self._split_wide(self.at)
            del self.cells[self.at :], self.styles[self.at :]
        elif argument == "2":
            del self.cells[:], self.styles[:]
        elif argument == "1":
            end = self.at + 1
            self._split_wide(end)
            self._extend_to(end)
            self.cells[:end] = [" "] * end
            self.styles[:end] = [PLAIN] * end

    def to_text(self) -> str:
        return "".join(self.cells)

    def to_spans(self, last: Style) -> list[tuple[str, Style]]:
        """Return spans of one style each, with an empty one last if `last` differs."""
        found: list[tuple[str, Style]] = []
        begin = 0
        for at in range(1, len(self.cells) + 1):
            if (
                at == len(self.cells)
                or self.styles[at] is not self.styles[begin]
                and self.styles[at] != self.styles[begin]
            ):
                found.append(("".join(self.cells[begin:at]), self.styles[begin]))
                begin = at
        if not found or found[-1][1] != last:
            found.append(("", last))
        return found


def _apply_returns(line: str) -> str:
    if "\r" not in line and "\t" not in line:
        return sanitize(line)
    row, begin = _TerminalLine(), 0
    for at, c in enumerate(line):
        if c in "\r\t":
            row.write(line[begin:at], PLAIN)
            row.apply_control(c)
            begin = at + 1
    row.write(line[begin:], PLAIN)
    return row.to_text()


def _iterate_cells(text: str) -> Iterator[tuple[str, int]]:
    """Yield each character of sanitized text with its cells."""
    for c in text:
        yield c, _width_cache[c] if c in _width_cache else _measure_char(c)


def _split_sequences(text: str) -> Iterator[tuple[str, str]]:
    """Yield pieces of text, each with the control sequence after it ("" at the end)."""
    import re

    # CSI, OSC and other string sequences with their terminators, then two-character escapes. A
    # truncated sequence matches the last alternative, so the rest of its text shows.
    pattern = (
        r"\x1b\[[0-?]*["
        r" -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
        r"|\x1b[ -/]*[0-~]|[\r\b\t]"
    )
    begin = 0
    for found in re.finditer(pattern, text):
        yield text[begin : found.start()], found[0]
        begin = found.end()
    yield text[begin:], ""


_ATTRIBUTES_ON = {
    1: "bold",
    2: "dim",
    3: "italic",
    4: "underline",
    7: "reverse",
    9: "strike",
    21: "underline",
}
_ATTRIBUTES_OFF = {23: "italic", 24: "underline", 27: "reverse", 29: "strike"}


def _apply_sgr(style: Style, parameters: str) -> Style:
    """Return `style` after an SGR sequence. Unknown parameters are ignored."""
    codes, at = _parse_codes(parameters), 0
    while at < len(codes):
        code = codes[at]
        if code in (38, 48):
            colour, used = _parse_color(codes[at + 1 : at + 6])
            style = style.replace(**{"fg" if code == 38 else "bg": colour}) if used else style
            at += used
        else:
            style = _apply_simple_code(style, code)
        at += 1
    return style


def _parse_codes(parameters: str) -> list[int]:
    """Return the numbers of an SGR sequence.

    Groups with colons (`4:3`, `38:5:n`, `38:2::r:g:b`) are read as if written with semicolons.
    """
    codes: list[int] = []
    for group in parameters.split(";")[:64]:
        parts = [_parse_code(p) for p in group.split(":")]
        if len(parts) == 1 or parts[0] in (38, 48):
            codes += [*parts[:2], *parts[-3:]] if parts[1:2] == [2] and len(parts) > 5 else parts
        else:
            codes.append(24 if parts[:2] == [4, 0] else parts[0])
    return codes


def _parse_code(text: str) -> int:
    """Parse one SGR number: 0 for empty text, -1 for invalid text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else -1 if text else 0


def _parse_color(codes: list[int]) -> tuple[int | tuple[int, int, int] | None, int]:
    """Return the color after code 38 or 48 and the codes used (0 if unknown)."""
    if codes[:1] == [5] and len(codes) > 1 and 0 <= codes[1] <= 255:
        return codes[1], 2
    if codes[:1] == [2] and len(codes) > 3 and all(0 <= c <= 255 for c in codes[1:4]):
        return (codes[1], codes[2], codes[3]), 4
    return None, 0


def _apply_simple_code(style: Style, code: int) -> Style:
    if code == 0:
        return PLAIN
    if code in _ATTRIBUTES_ON:
        return style.replace(**{_ATTRIBUTES_ON[code]: True})
    if code in _ATTRIBUTES_OFF:
        return style.replace(**{_ATTRIBUTES_OFF[code]: False})
    if code == 22:
        return style.replace(bold=False, dim=False)
    if 30 <= code <= 37 or 90 <= code <= 97:
        return style.replace(fg=code - 30 if code < 90 else code - 82)
    if 40 <= code <= 47 or 100 <= code <= 107:
        return style.replace(bg=code - 40 if code < 100 else code - 92)
    return style.replace(fg=None) if code == 39 else style.replace(bg=None) if code == 49 else style


def _take_cells(text: str, cells: int) -> str:
    """Return the longest start that fits, with the marks of its last character."""
    used = 0
    for at, (_, more) in enumerate(_iterate_cells(text)):
        used += more
        if used > cells:
            return text[:at]
    return text


def _is_in_ranges(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(low <= code <= high for low, high in ranges)


_DROPPED = frozenset(
    map(chr, (0x20E3, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x1F3FB, 0x1F400)))
)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


def _is_hidden(c: str) -> bool:
    """Return True if `sanitize` replaces the character. All kinds of spaces are kept."""
    if c.isprintable():
        return c in _FILLERS
    from unicodedata import category

    return category(c) != "Zs"


def _find_replacement(c: str) -> str:
    """Return and cache the text shown for a character."""
    code = ord(c)
    if _is_hidden(c):
        shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else _REPLACEMENT
    else:
        shown = chr(ord("A") + code - _FLAG_LETTERS.start) if code in _FLAG_LETTERS else c
    _replacement_cache[c] = shown
    if not _measure_char(shown):
        _zero_width_seen.add(shown)
    return shown


def _compose_marks(text: str) -> str:
    """Compose marks with their characters, keeping at most `_MAX_MARKS` per character.

    Parts of a Hangul syllable that do not compose are replaced.
    """
    from unicodedata import normalize

    kept: list[str] = []
    run = 0
    for c in normalize("NFC", text):
        if _is_in_ranges(ord(c), _JAMO):
            c = _REPLACEMENT
        run = 0 if measure_width(c) else run + 1
        if run <= _MAX_MARKS:
            kept.append(c)
    return "".join(kept)


def _measure_char(c: str) -> int:
    """Return and cache the cells of one character (East Asian Width; marks take none)."""
    from unicodedata import category, east_asian_width

    code = ord(c)
    if category(c) in ("Mn", "Me", "Mc", "Cf") or _is_in_ranges(code, _JAMO):
        cells = 0
    else:
        cells = 2 if east_asian_width(c) in "WF" or _is_in_ranges(code, _NEW_WIDE) else 1
    _width_cache[c] = cells
    return cells
