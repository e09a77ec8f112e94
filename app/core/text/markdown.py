"""Layout of simple Markdown: headings, paragraphs, lists, code blocks and inline code.

The help topics use no more than these, and both the command line and the deck draw them.
"""

from __future__ import annotations

import re

from app.core.text.sanitize import measure_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Block = tuple[str, list[str]]
    """Kind (heading, paragraph, item or code) and source lines without their marks."""
    Span = tuple[str, str]
    Line = list[Span]
    Word = tuple[str, Line]
    """Gap before the word, a space or nothing, and its spans."""

CODE_INDENT = 2

_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60"
"""Han characters, kana and their punctuation, which are written without spaces."""
_OPENING = "（「『《【"
_CLOSING = "，。、；：！？）」』》】"
_BREAK = re.compile(
    f"(?<![{_OPENING}“‘])(?:"
    f"(?<=[{_WIDE}”’])\\n?(?=[{_WIDE}])|(?<=[{_WIDE}])\\n?(?=[“‘])"
    f"|(?<=[{_CLOSING}])\\n?(?=\\S)|(?<=\\S)\\n?(?=[{_OPENING}]))"
    f"(?![{_CLOSING}”’…—])"
)
"""Places at wide characters where a line may end, with the line break of the source, if any."""
_MARK = "\u200b"
"""Stands for such a place in the text."""


def lay_out(text: str, width: int, keep_ticks: bool = False) -> list[Line]:
    """Return Markdown as lines of spans (text and style name), at most `width` cells wide.

    Code blocks are indented and never wrapped. `keep_ticks` keeps the backticks of inline code, for
    terminals without bold text.
    """
    lines: list[Line] = []
    last = ""
    for kind, source in _split_blocks(text):
        if lines and not kind == last == "item":
            lines.append([])
        lines += _lay_out_block(kind, source, width, keep_ticks)
        last = kind
    return lines


def _lay_out_block(kind: str, source: list[str], width: int, keep_ticks: bool) -> list[Line]:
    if kind == "code":
        return [[(" " * CODE_INDENT + line, "")] for line in source]
    text = _BREAK.sub(_MARK, "\n".join(source)).replace("\n", " ")
    words = _split_words(text, "bold" if kind == "heading" else "", keep_ticks)
    if kind != "item":
        return _wrap(words, width)
    return [[("  " if at else "- ", ""), *line] for at, line in enumerate(_wrap(words, width - 2))]


def _split_blocks(text: str) -> Iterator[Block]:
    block: Block = ("", [])
    is_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            if block[1] or is_code:
                yield block
            is_code = not is_code
            block = ("code" if is_code else "", [])
        elif is_code:
            block[1].append(line)
        elif line.startswith(("#", "- ")) or not line.strip() or not block[1]:
            if block[1]:
                yield block
            block = _begin_block(line)
        else:
            block[1].append(line.strip())
    if block[1]:
        yield block


def _begin_block(line: str) -> Block:
    if not line.strip():
        return "", []
    if line.startswith("#"):
        return "heading", [line.lstrip("#").strip()]
    return ("item", [line[2:]]) if line.startswith("- ") else ("paragraph", [line.strip()])


def _split_words(text: str, style: str, keep_ticks: bool) -> list[Word]:
    """Return the words of a text; inline code is bold."""
    words: list[Word] = [("", [])]
    for at, part in enumerate(text.split("`")):
        is_code = at % 2
        if is_code and keep_ticks:
            part = f"`{part}`"
        for piece in re.split(f"([ {_MARK}])", part):
            if piece in (" ", _MARK):
                words.append(("" if piece == _MARK else " ", []))
            elif piece:
                words[-1][1].append((piece, "bold" if is_code else style))
    return [word for word in words if word[1]]


def _wrap(words: list[Word], width: int) -> list[Line]:
    lines: list[Line] = [[]]
    room = width
    for gap, spans in words:
        cells = sum(measure_width(text) for text, _ in spans)
        if lines[-1] and cells + len(gap) > room:
            lines.append([])
            room = width
        if lines[-1] and gap:
            _append(lines[-1], gap, spans[0][1] if spans[0][1] == lines[-1][-1][1] else "")
            room -= len(gap)
        for text, style in spans:
            _append(lines[-1], text, style)
        room -= cells
    return lines


def _append(line: Line, text: str, style: str) -> None:
    """Append text to a line, to its last span if that has the same style."""
    if line and line[-1][1] == style:
        line[-1] = (line[-1][0] + text, style)
    else:
        line.append((text, style))
