"""Search for the program of a run, on the run's own PATH.

The keeper imports this module, so it uses only the standard library.
"""

from __future__ import annotations

import os


class StartError(Exception):
    """A program cannot be started. `code` is the exit code of a shell."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def format_bytes(value: bytes, most: int = 120) -> str:
    """Return bytes as text for a message, truncated if long."""
    text = value.decode("utf-8", "surrogateescape")
    return text if len(text) <= most else text[: most - 1] + "…"


def find_program(name: bytes, env: dict[bytes, bytes]) -> bytes:
    """Find a program on the run's own PATH. Raise StartError."""
    if b"/" in name:
        return check_program(name)
    path = env.get(b"PATH", os.fsencode(os.defpath))
    folders = [folder or b"." for folder in path.split(b":")]
    places = [folder + b"/" + name for folder in folders]
    files = [place for place in places if os.path.isfile(place)]
    for place in files:
        if os.access(place, os.X_OK):
            return place
    if files:
        raise StartError(126, f"not executable: {format_bytes(files[0])}")
    raise StartError(
        127,
        f'no program "{format_bytes(name)}" in PATH'
        f" ({format_bytes(path, 60)}){suggest_program(name, folders)}",
    )


def check_program(program: bytes) -> bytes:
    """Check a program given by path. Raise StartError."""
    if not os.path.lexists(program):
        raise StartError(127, f"no such file: {format_bytes(program)}")
    if not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise StartError(126, f"not executable: {format_bytes(program)}")
    return program


def suggest_program(name: bytes, folders: list[bytes]) -> str:
    """Return a hint with the first program one typing error away, or ""."""
    close = generate_near_names(name)
    for folder in folders:
        try:
            names = sorted(close.intersection(os.listdir(folder)))
        except OSError:
            continue
        for found in names:
            if os.access(folder + b"/" + found, os.X_OK):
                return f". Nearest: {format_bytes(found)}"
    return ""


def generate_near_names(name: bytes) -> set[bytes]:
    """Return all names one typing error away: a letter missing, added, wrong or swapped."""
    if not 1 < len(name) <= 64:
        return set()
    letters = [bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz0123456789-_.+"]
    splits = [(name[:i], name[i:]) for i in range(len(name) + 1)]
    missing = {a + b[1:] for a, b in splits if b}
    swapped = {a + b[1:2] + b[:1] + b[2:] for a, b in splits if len(b) > 1}
    return (
        missing
        | swapped
        | {a + c + rest for a, b in splits for c in letters for rest in (b, b[1:])}
    )
