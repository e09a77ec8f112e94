"""The only file that prints. stdout is data, stderr is for people; colour only on a terminal, and not with NO_COLOR."""

from __future__ import annotations

import os
import sys

from app.cli import styles
from app.core.text.sanitize import measure_width, sanitize
from app.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TextIO

    from app.cli.table import Column, Line, Span
    from app.core.text.sanitize import Style


def open_missing_streams() -> None:
    """A stream that was closed before we came writes to nowhere."""
    if sys.stdout is None:
        sys.stdout = _open_devnull()
    if sys.stderr is None:
        sys.stderr = _open_devnull()


def _open_devnull() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def is_stdout_terminal() -> bool:
    """Does stdout go to a terminal?"""
    return sys.stdout.isatty()


def is_stderr_terminal() -> bool:
    """Does somebody read stderr on a terminal?"""
    return sys.stderr.isatty()


def is_stdin_terminal() -> bool:
    """Can somebody answer on stdin?"""
    return sys.stdin is not None and sys.stdin.isatty()


def has_colour() -> bool:
    """May stdout be coloured?"""
    return is_stdout_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def is_ascii_only() -> bool:
    """Is the locale one without UTF-8? (Python itself sets LC_CTYPE in the C locale; that is no choice of the
    user's.)"""
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    if chosen == "C.UTF-8" and not os.environ.get("LC_ALL") and os.environ.get("LANG", "C") in ("", "C", "POSIX"):
        return True
    return "utf" not in chosen.lower()


def get_room(wide: bool = False) -> int | None:
    """Cells in a line, or None when nothing is to be cut."""
    return None if wide or not is_stdout_terminal() else get_columns()


def get_columns(stream: TextIO | None = None) -> int:
    """Width of the terminal behind a stream (stdout when none is named); 80 when it does not say."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and 0 < int(said) < 10_000:
        return int(said)
    try:
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def print_line(text: str = "") -> None:
    """A line of data. Its text is cleaned already."""
    write_bytes(f"{text}\n".encode("utf-8", "replace"))


def write_bytes(data: bytes) -> None:
    """Bytes to stdout, as they are, all of them. Raises Problem when they cannot be written."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
    except OSError as error:
        raise _make_write_error(error) from None


def _make_write_error(error: OSError) -> Exception:
    """BrokenPipeError as it is: nobody reads any more. Anything else is a Problem."""
    if isinstance(error, BrokenPipeError):
        return error
    discard_output()
    return Problem(f"the output could not be written: {(error.strerror or 'unknown').lower()}.")


def can_redraw() -> bool:
    """Can stdout be drawn on, line by line?"""
    return is_stdout_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def redraw(found: list[Line], drawn: list[str] | None) -> list[str]:
    """Make these lines the screen, from its top, and leave the cursor below them: what is there from last time (`drawn`, None for
    nothing) is not written again. Lines that do not fit are cut, and what does not fit below is counted. What is there now."""
    from app.cli.table import truncate_line

    wide, high = get_columns(), _get_rows() - 1
    if len(found) > high:
        found = [*found[: high - 1], [(f"… {len(found) - high + 1} more lines", "dim")]]
    now = paint_lines([truncate_line(line, wide) for line in found])
    new = [f"\x1b[{at}H{text}\x1b[K" for at, text in enumerate(now, 1) if not drawn or drawn[at - 1 : at] != [text]]
    if new or len(now) != len(drawn or ()):
        clear = "" if drawn else "\x1b[H\x1b[2J"
        write_bytes(f"\x1b[?2026h{clear}{''.join(new)}\x1b[{len(now) + 1}H\x1b[J\x1b[?2026l".encode("utf-8", "replace"))
        flush()
    return now


def _get_rows() -> int:
    """Lines of the terminal behind stdout; 24 when it does not say."""
    try:
        return max(3, os.get_terminal_size(sys.stdout.fileno()).lines or 24)
    except (OSError, ValueError):
        return 24


def leave_screen() -> None:
    """What a full-screen program that was killed could not undo: alternate screen, hidden cursor, mouse and paste reports."""
    write_bytes(b"\x1b[<u\x1b[?1000l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m")
    flush()


def flush() -> None:
    """Send on what was written; raises BrokenPipeError when nobody reads, and Problem when it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _make_write_error(error) from None


def discard_output() -> None:
    """Nobody reads stdout any more: let nothing else be written to it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_message(text: str) -> None:
    """A line for people, on stderr; on a terminal broken at spaces where it is too long."""
    sys.stdout.flush()
    shown = text.translate(styles.TO_ASCII) if is_ascii_only() else text
    if is_stderr_terminal():
        shown = "\n".join(wrap_words(line, get_columns(sys.stderr)) for line in shown.split("\n"))
    try:
        sys.stderr.buffer.write(f"{shown}\n".encode("utf-8", "replace"))
        sys.stderr.flush()
    except OSError:
        pass  # what people cannot be told changes nothing of what was done


def wrap_words(text: str, cells: int) -> str:
    """A line as several of at most `cells`, broken at spaces; a word that is longer stays whole."""
    if measure_width(text) <= cells:
        return text
    first, *words = text.split(" ")
    found = [first]
    for word in words:
        if measure_width(found[-1]) + 1 + measure_width(word) <= cells:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return "\n".join(found)


def print_problem(what: Problem) -> None:
    """The one form of every refusal."""
    print_note(str(what))


def print_note(text: str) -> None:
    """Something that a verb tells while it works, or beside its answer. Commands in it are for the home that was asked for."""
    print_message(f"taskdeck: {add_home_option(sanitize(text))}")


def add_home_option(text: str) -> str:
    """Cleaned text with its commands for the home that was asked for."""
    if not _home:
        return text
    import re

    return re.sub(r"(?<![\w/.-])taskdeck(?= [a-z]|$)", lambda _: get_program(), text)


def get_program() -> str:
    """How a command to type begins."""
    if not _home:
        return "taskdeck"
    import shlex

    return f"taskdeck --home {sanitize(shlex.quote(_home))}"


def set_home_option(home: str | None) -> None:
    """A home was named by option; without it, commands that are told would mean another."""
    global _home
    _home = home or ""


_home = ""


def ask_yes_no(question: str) -> bool:
    """A yes or no from the person at the terminal; anything but y is no."""
    shown = question.translate(styles.TO_ASCII) if is_ascii_only() else question
    sys.stderr.buffer.write(f"{wrap_words(f'{shown} [y/N]', get_columns(sys.stderr))} ".encode("utf-8", "replace"))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_json(value: Any, by_line: bool = False) -> None:
    """JSON: one document, or with `by_line` an item a line. On a terminal it is ASCII and indented."""
    if by_line and isinstance(value, list):
        for item in value:
            write_bytes(_encode_json(item, None))
        return
    write_bytes(_encode_json(value, 2 if is_stdout_terminal() and not by_line else None))


def _encode_json(value: Any, indent: int | None) -> bytes:
    import json

    if not is_stdout_terminal():
        try:
            return f"{json.dumps(value, ensure_ascii=False, indent=indent)}\n".encode()
        except UnicodeEncodeError:  # bytes that are no UTF-8, kept as surrogates
            pass
    return f"{json.dumps(value, indent=indent)}\n".replace("\x7f", "\\u007f").encode()


def print_rows(fields: Sequence[str], found: Iterable[Sequence[Any]], form: str) -> None:
    """A list for programs: `tsv`, or the `name` of each row, which is its first field. On a terminal it cannot drive that."""
    from app.cli import tsv

    text = tsv.format_names(found) if form == "name" else tsv.format_tsv(fields, found)
    if is_stdout_terminal():
        text = "".join("\t".join(map(sanitize, line.split("\t"))) + "\n" for line in text.split("\n")[:-1])
    write_bytes(text.encode("utf-8", "surrogateescape"))


def print_lines(found: Iterable[Line]) -> None:
    """Lines of spans, coloured where that is allowed, in ASCII where the locale wants it."""
    text = "\n".join(paint_lines(found))
    if text:
        print_line(text)


def paint_lines(found: Iterable[Line]) -> list[str]:
    """Lines of spans as text, with colours where they are allowed and in ASCII where the locale wants it."""
    coloured, plain = has_colour(), is_ascii_only()
    texts = ["".join(_paint_span(span, coloured) for span in one).rstrip(" ") for one in found]
    return [text.translate(styles.TO_ASCII) for text in texts] if plain else texts


def print_table(heads: list[Column], rows: list[list[Span]], wide: bool = False) -> None:
    """An aligned table that fits the terminal."""
    from app.cli import table as layout

    if has_colour():
        return print_lines(layout.format_table(heads, rows, get_room(wide)))
    text = layout.format_plain_table(heads, rows, get_room(wide))
    print_line(text.translate(styles.TO_ASCII) if is_ascii_only() else text)


def _paint_span(span: Span, coloured: bool) -> str:
    text, style = span
    return f"\x1b[{styles.SGR_CODES[style]}m{text}\x1b[0m" if coloured and style and text.strip() else text


def format_coloured(spans: list[tuple[str, Style]]) -> str:
    """A line of a program's output, with its own colours where stdout may have them."""
    if not has_colour():
        return "".join(text for text, _ in spans)
    return "".join(f"\x1b[{codes}m{text}\x1b[0m" if (codes := _make_sgr(style)) else text for text, style in spans if text)


def _make_sgr(style: Style) -> str:
    codes = [code for code, on in (("1", style.bold), ("2", style.dim), ("3", style.italic), ("4", style.underline),
                                   ("7", style.reverse), ("9", style.strike)) if on]  # fmt: skip
    for base, found in ((38, style.fg), (48, style.bg)):
        if isinstance(found, int):
            codes.append(f"{base};5;{found}")
        elif found:
            codes.append(f"{base};2;{found[0]};{found[1]};{found[2]}")
    return ";".join(codes)
