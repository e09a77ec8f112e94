"""Terminal probe before the deck starts: locale, then one query to the terminal.

The probe writes a `─` and requests the cursor position (CPR). An advance of one cell means Unicode,
two a terminal with wide box characters (common in CJK set-ups), anything else no UTF-8. Without a
reply within `REPLY_TIMEOUT` the locale decides. Uses only the standard library, since it runs while
other modules load.
"""

from __future__ import annotations

import locale
import os
import re
import select
import termios
import time
import tty

REPLY_TIMEOUT = 0.15
"""Seconds to wait for the terminal's reply."""
_QUERY = "\r─\x1b[6n".encode()
_ERASE = b"\r\x1b[K"
_ANSWER = re.compile(rb"\x1b\[\d+;(\d+)R")
_PLAIN_TERMINALS = ("dumb", "linux", "vt")


def detect_characters(fd_in: int, fd_out: int) -> tuple[bool, bool]:
    """Return (draw in ASCII, names may be in any script) for a terminal."""
    utf8 = locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"
    if os.environ.get("TERM", "").startswith(_PLAIN_TERMINALS):
        return True, utf8
    advance = measure_rule_character(fd_in, fd_out)
    if advance is None:
        return not utf8, utf8
    return advance != 1, utf8 and advance in (1, 2)


def measure_rule_character(fd_in: int, fd_out: int, patience: float = REPLY_TIMEOUT) -> int | None:
    """Return the cells that `─` takes on the terminal; None without a reply."""
    try:
        before = termios.tcgetattr(fd_in)
    except termios.error:
        return None
    try:
        tty.setcbreak(fd_in, termios.TCSANOW)
        os.write(fd_out, _QUERY)
        return _read_answer(fd_in, time.monotonic() + patience)
    finally:
        os.write(fd_out, _ERASE)
        termios.tcsetattr(fd_in, termios.TCSANOW, before)


def _read_answer(fd: int, until: float) -> int | None:
    answer = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            return None
        answer += os.read(fd, 64)
        if found := _ANSWER.search(answer):
            return int(found[1]) - 1
    return None


def can_use_colour() -> bool:
    """Return True if colours may be used: no NO_COLOR, no colourless terminal."""
    return "NO_COLOR" not in os.environ and not os.environ.get("TERM", "").startswith(
        _PLAIN_TERMINALS
    )
