"""Hostile text: escape sequences, markup and misleading characters."""

from __future__ import annotations

MARKUP = "[/red][bold]x[@click=app.bell()]y[/] {0} %s $(id)"
CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"
TITLE = "\x1b]0;owned\x1b\\"
SCREEN = "\x1b[2J\x1b[H\x1b[?1049l\x1b[31m\x1bc"
QUERIES = '\x1b[6n\x1b[c\x1bP$q"p\x1b\\'
C1 = "\x9b31m\x9d52;c;ZXZpbA==\x9c\x90q\x9c"
BIDI = "\u202etxt.exe\u2066\u200b\u2069\u061c\ufeff\U000e0041"
WIDE = "夜间备份 ‮ é́ 👩‍👩‍👧 ﷽"
ALL_TEXT = MARKUP + CLIPBOARD + TITLE + SCREEN + QUERIES + C1 + BIDI + WIDE
HOSTILE_NAME = "[|red] [bold]夜间 {0} %s é"
"""As hostile as a name may be: printable, and without a slash."""

HOSTILE_OUTPUT = b"\n".join([
    ALL_TEXT.encode(),
    b"\x9b2J raw C1 \xff\xfe\xc3( \x00 nul \x07 bell \x08 \x0c \x0e so",
    b"progress 1%\rprogress 2%\r",
    b"A" * 1_000_000,
    b"\x1b[31mred\x1b[0m end of output",
])  # fmt: skip


def make_writer_script(path: str) -> str:
    """Return a shell script that writes a file and stays until the file `stop` exists."""
    return f"cat '{path}'; while [ ! -e stop ]; do sleep 0.1; done"
