"""Bulk input of `submit --each` and `submit --from`: one item or JSON document per line.

A bulk submission is stored completely or not at all.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress

from app import paths
from app.cli.output import open_stdin
from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Storage, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


def split_items(data: bytes, nul: bool) -> list[str]:
    """Split into non-empty lines, or at NUL bytes."""
    if nul:
        found = data.split(b"\0")
        return [os.fsdecode(item) for item in (found if found[-1] else found[:-1])]
    lines = data.split(b"\n")
    torn = next((at for at, line in enumerate(lines, 1) if b"\0" in line), None)
    if torn:
        raise Usage(
            "--each: line {torn} contains a NUL byte. {not_submitted}",
            "For NUL-terminated items: --each -0",
            torn=torn,
            not_submitted=tr(NOT_SUBMITTED),
        )
    return [os.fsdecode(line) for line in lines if line]


MAX_TEXT = 16 * 1024
"""Maximum bytes of lines sent in a request; the runtime reads longer input from a file."""


@contextmanager
def open_lines(file: str, home: str, name: str) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the arguments that carry the lines of a file, and its shown name ("" for stdin).

    Bytes that are not UTF-8 become surrogates. Many lines go into the file `name` in the home.
    This process removes the file at the end; the runtime removes that of a killed process.
    """
    shown = "" if file == "-" else truncate(sanitize(file), 200)
    with ExitStack() as stack:
        source = (
            open_stdin("JSON lines") if file == "-" else stack.enter_context(_open(file, shown))
        )
        head = _read(source, shown)
        if len(head) <= MAX_TEXT:
            yield {"text": head.decode("utf-8", "surrogateescape")}, shown
            return
        try:
            stack.enter_context(_copy_lines(head, source, home, name))
        except OSError as error:
            reason = (error.strerror or "unknown").lower()
            raise Storage(
                "the lines cannot be copied to {home}/run: {reason}. {not_submitted}",
                home=sanitize(home),
                reason=reason,
                not_submitted=tr(NOT_SUBMITTED),
            ) from None
        yield {"file": name}, shown


@contextmanager
def _copy_lines(head: bytes, source: BinaryIO, home: str, name: str) -> Iterator[None]:
    """Copy lines to a locked file in the home and remove it at the end."""
    from pathlib import Path

    paths.make_home(Path(home))
    folder = os.path.join(home, "run", paths.SUBMISSIONS)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{name}.lines")
    with paths.open_locked(path) as copy:
        try:
            while head:
                copy.write(head)
                head = source.read(1 << 20)
            copy.flush()
            yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _read(source: BinaryIO, shown: str) -> bytes:
    try:
        return source.read(MAX_TEXT + 1)
    except OSError as error:
        raise _make_read_error(error, shown) from None


def _make_read_error(error: OSError, shown: str) -> Usage:
    return Usage(
        "{shown} cannot be read: {reason}. {not_submitted}",
        shown=shown,
        reason=(error.strerror or "unknown").lower(),
        not_submitted=tr(NOT_SUBMITTED),
    )


def _open(file: str, shown: str) -> BinaryIO:
    try:
        return open(file, "rb")
    except FileNotFoundError:
        raise NotFound(
            "{shown} does not exist. {not_submitted}", shown=shown, not_submitted=tr(NOT_SUBMITTED)
        ) from None
    except OSError as error:
        raise _make_read_error(error, shown) from None
