"""Output. The only module that prints: data on stdout, messages on stderr.

Colour is used on a terminal only, and not with NO_COLOR.
"""

from __future__ import annotations

import os
import sys

from app.cli import styles
from app.core.text.sanitize import sanitize
from app.errors import Problem
from app.translation import ENGLISH, get_language, tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, BinaryIO, TextIO

    from app.cli.table_layout import Column, Line, Span
    from app.core.text.sanitize import Style


def open_missing_streams() -> None:
    """Replace streams that were closed before the start by /dev/null."""
    if sys.stdout is None:
        sys.stdout = _open_devnull()
    if sys.stderr is None:
        sys.stderr = _open_devnull()


def _open_devnull() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def is_stdout_terminal() -> bool:
    """Return True if stdout is a terminal."""
    return sys.stdout.isatty()


def is_stderr_terminal() -> bool:
    """Return True if stderr is a terminal."""
    return sys.stderr.isatty()


def is_stdin_terminal() -> bool:
    """Return True if stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def has_colour() -> bool:
    """Return True if stdout may be coloured."""
    return (
        is_stdout_terminal()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def open_stdin(what: str) -> BinaryIO:
    """Return standard input. If that is a terminal, ask the person to type the input."""
    if is_stdin_terminal():
        print_note(tr("reading {what} from the terminal; end with Ctrl-D.", what=tr(what)))
    return sys.stdin.buffer


def read_some_input(most: int) -> bytes:
    """Return the next bytes of standard input as soon as there are any, b"" at its end.

    A buffered read in a thread would hold a lock that the interpreter needs at its end.
    """
    source: Any = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return source.read(most) or b""


def read_stdin(what: str) -> bytes:
    """Return all of standard input, as `open_stdin` does."""
    return open_stdin(what).read()


def is_ascii_only() -> bool:
    """Return True if the locale lacks UTF-8, and no language was chosen that needs it.

    Python itself sets LC_CTYPE in the C locale; the user did not choose that value.
    """
    if get_language() != ENGLISH:
        return False
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    if (
        chosen == "C.UTF-8"
        and not os.environ.get("LC_ALL")
        and os.environ.get("LANG", "C") in ("", "C", "POSIX")
    ):
        return True
    return "utf" not in chosen.lower()


def get_room(wide: bool = False) -> int | None:
    """Return the cells per line, or None if nothing needs truncation."""
    return None if wide or not is_stdout_terminal() else get_columns()


def get_columns(stream: TextIO | None = None) -> int:
    """Return the width of a stream's terminal (default: stdout), or 80 if unknown."""
    value = os.environ.get("COLUMNS", "")
    if value.isdigit() and 0 < int(value) < 10_000:
        return int(value)
    try:
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def print_line(text: str = "") -> None:
    """Print a line of data. The text must be sanitized."""
    write_bytes(f"{text}\n".encode("utf-8", "replace"))


def write_bytes(data: bytes) -> None:
    """Write all bytes to stdout unchanged. Raise Problem on failure."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
    except OSError as error:
        raise _make_write_error(error) from None


def _make_write_error(error: OSError) -> Exception:
    """Return BrokenPipeError unchanged, and any other error as a Problem."""
    if isinstance(error, BrokenPipeError):
        return error
    discard_output()
    return Problem(
        "the output could not be written: {reason}.", reason=(error.strerror or "unknown").lower()
    )


def can_redraw() -> bool:
    """Return True if stdout supports cursor movement."""
    return is_stdout_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def redraw(lines: list[Line], drawn: list[str] | None) -> list[str]:
    """Draw lines from the top of the screen and return what is drawn.

    Lines equal to those in `drawn` (None for nothing) are not written again. Lines that do not fit
    are truncated, and surplus lines are counted. The cursor ends below the last line.
    """
    from app.cli.table_layout import truncate_line

    wide, high = get_columns(), _get_rows() - 1
    if len(lines) > high:
        lines = [*lines[: high - 1], [(tr("… {n} more lines", n=len(lines) - high + 1), "dim")]]
    now = paint_lines([truncate_line(line, wide) for line in lines])
    new = [
        f"\x1b[{at}H{text}\x1b[K"
        for at, text in enumerate(now, 1)
        if not drawn or drawn[at - 1 : at] != [text]
    ]
    if new or len(now) != len(drawn or ()):
        clear = "" if drawn else "\x1b[H\x1b[2J"
        write_bytes(
            f"\x1b[?2026h{clear}{''.join(new)}\x1b[{len(now) + 1}H\x1b[J\x1b[?2026l".encode(
                "utf-8", "replace"
            )
        )
        flush()
    return now


def _get_rows() -> int:
    try:
        return max(3, os.get_terminal_size(sys.stdout.fileno()).lines or 24)
    except (OSError, ValueError):
        return 24


def leave_screen() -> None:
    """Reset the terminal after a killed full-screen program.

    Leave the alternate screen, show the cursor, and turn off mouse and paste reports.
    """
    write_bytes(
        b"\x1b[<u\x1b[?1000l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
    )
    flush()


def flush() -> None:
    """Flush stdout. Raise BrokenPipeError without a reader, else Problem on failure."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _make_write_error(error) from None


def discard_output() -> None:
    """Redirect stdout to /dev/null when its reader is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_message(text: str) -> None:
    """Print a message on stderr, wrapped at spaces on a terminal."""
    sys.stdout.flush()
    shown = text.translate(styles.TO_ASCII) if is_ascii_only() else text
    if is_stderr_terminal():
        from app.core.text.wrap import wrap_words  # not for output into a pipe

        shown = "\n".join(wrap_words(line, get_columns(sys.stderr)) for line in shown.split("\n"))
    try:
        sys.stderr.buffer.write(f"{shown}\n".encode("utf-8", "replace"))
        sys.stderr.flush()
    except OSError:
        pass  # a lost message must not change the outcome


def print_problem(what: Problem) -> None:
    """Print a problem with its hint."""
    print_note(str(what))


def print_note(text: str) -> None:
    """Print a message. Commands in the message get the --home option in use."""
    print_message(f"taskdeck: {add_home_option(sanitize(text))}")


def add_home_option(text: str) -> str:
    """Add the --home option in use to the commands in a sanitized text."""
    if not _home:
        return text
    import re

    return re.sub(
        r"(?<![\w/.-])(?<!resource enable )(?<!resource disable )taskdeck(?= [a-z]|$)",
        lambda _: get_program(),
        text,
    )


def get_program() -> str:
    """Return the beginning of a command to type."""
    if not _home:
        return "taskdeck"
    import shlex

    return f"taskdeck --home {sanitize(shlex.quote(_home))}"


def set_home_option(home: str | None) -> None:
    """Set the --home option, which commands in messages must repeat."""
    global _home
    _home = home or ""


_home = ""


def ask_yes_no(question: str) -> bool:
    """Ask the person at the terminal; anything but y, yes or 是 means no."""
    from app.core.text.wrap import wrap_words

    shown = question.translate(styles.TO_ASCII) if is_ascii_only() else question
    sys.stderr.buffer.write(
        f"{wrap_words(f'{shown} [y/N]', get_columns(sys.stderr))} ".encode("utf-8", "replace")
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes", "是")


def print_json(value: Any, by_line: bool = False, indented: bool = False) -> None:
    """Print JSON: one document, or one item per line with `by_line`.

    On a terminal the JSON is ASCII and indented; `indented` indents it in a pipe too.
    """
    if by_line and isinstance(value, list):
        for item in value:
            write_bytes(_encode_json(item, None))
        return
    indented = indented or is_stdout_terminal()
    write_bytes(_encode_json(value, 2 if indented and not by_line else None))


def _encode_json(value: Any, indent: int | None) -> bytes:
    import json

    if not is_stdout_terminal():
        try:
            return f"{json.dumps(value, ensure_ascii=False, indent=indent)}\n".encode()
        except UnicodeEncodeError:  # bytes that are not UTF-8, kept as surrogates
            pass
    return f"{json.dumps(value, indent=indent)}\n".replace("\x7f", "\\u007f").encode()


def print_rows(fields: Sequence[str], found: Iterable[Sequence[Any]], form: str) -> None:
    """Print a list for programs: `tsv`, or the `name` of each row, its first field.

    Text is sanitized on a terminal.
    """
    from app.cli import tsv

    text = tsv.format_names(found) if form == "name" else tsv.format_tsv(fields, found)
    if is_stdout_terminal():
        text = "".join(
            "\t".join(map(sanitize, line.split("\t"))) + "\n" for line in text.split("\n")[:-1]
        )
    write_bytes(text.encode("utf-8", "surrogateescape"))


def print_lines(found: Iterable[Line]) -> None:
    """Print styled lines, in colour or ASCII as the terminal requires."""
    text = "\n".join(paint_lines(found))
    if text:
        print_line(text)


def paint_lines(found: Iterable[Line]) -> list[str]:
    """Return styled lines as text, in colour or ASCII as the terminal requires."""
    coloured, plain = has_colour(), is_ascii_only()
    texts = ["".join(_paint_span(span, coloured) for span in one).rstrip(" ") for one in found]
    return [text.translate(styles.TO_ASCII) for text in texts] if plain else texts


def print_pages(found: Iterable[Line]) -> None:
    """Print styled lines through a pager: $PAGER, else `less -R` if installed.

    Print them directly without a terminal or a pager.
    """
    text = "\n".join(paint_lines(found))
    pager = _find_pager()
    if not pager or not _run_pager(pager, f"{text}\n".encode("utf-8", "replace")):
        print_line(text)


def _find_pager() -> str:
    if not can_redraw():
        return ""
    if "PAGER" in os.environ:
        return os.environ["PAGER"].strip()
    import shutil

    return "less -R" if shutil.which("less") else ""


def _run_pager(pager: str, data: bytes) -> bool:
    """Show the data in a pager; return False if the pager could not be executed."""
    import signal
    import subprocess

    flush()
    before = signal.signal(signal.SIGINT, lambda *_: None)  # ctrl+c is a key of the pager
    try:
        # F: no waiting for a short text. X: the text stays on the screen.
        env = {"LESS": "FRX", **os.environ}
        return subprocess.run(pager, shell=True, input=data, env=env).returncode not in (126, 127)
    finally:
        signal.signal(signal.SIGINT, before)


def print_table(heads: list[Column], rows: list[list[Span]], wide: bool = False) -> None:
    """Print an aligned table that fits the terminal."""
    from app.cli import table_layout as layout

    if has_colour():
        return print_lines(layout.format_table(heads, rows, get_room(wide)))
    text = layout.format_plain_table(heads, rows, get_room(wide))
    print_line(text.translate(styles.TO_ASCII) if is_ascii_only() else text)


def _paint_span(span: Span, coloured: bool) -> str:
    text, style = span
    return (
        f"\x1b[{styles.SGR_CODES[style]}m{text}\x1b[0m"
        if coloured and style and text.strip()
        else text
    )


def format_coloured(spans: list[tuple[str, Style]]) -> str:
    """Return a line of program output, with its colours if stdout allows them."""
    if not has_colour():
        return "".join(text for text, _ in spans)
    return "".join(
        f"\x1b[{codes}m{text}\x1b[0m" if (codes := _make_sgr(style)) else text
        for text, style in spans
        if text
    )


def _make_sgr(style: Style) -> str:
    codes = [code for code, on in (("1", style.bold), ("2", style.dim), ("3", style.italic), ("4",
    style.underline),
                                   ("7", style.reverse), ("9", style.strike)) if on]  # fmt: skip
    for base, found in ((38, style.fg), (48, style.bg)):
        if isinstance(found, int):
            codes.append(f"{base};5;{found}")
        elif found:
            codes.append(f"{base};2;{found[0]};{found[1]};{found[2]}")
    return ";".join(codes)
