"""Line and column of a fault in a definitions document, for the cursor of an editor."""

from __future__ import annotations

import re
import tomllib

from app.core.definitions import size_limits
from app.errors import Usage
from app.translation import tr

_LINE = re.compile(r"line ([0-9]{1,9})\b")
_COLUMN = re.compile(r"\(at line ([0-9]{1,9}), column ([0-9]{1,9})\)$")
_ABOUT = re.compile(r"(?P<table>[a-z]+\.\S+): (?P<rest>.*)", re.DOTALL)
_VALUE = re.compile(r"""["']([^"']{1,200})["']""")
_FIRST = re.compile(r"[A-Za-z_][\w.-]*")

TextPosition = tuple[int, int]
"""Line and column, from 1."""


def find_syntax_error(text: str) -> TextPosition | None:
    """Return the position of a TOML syntax error, or None if there is none."""
    try:
        size_limits.check_toml(text)
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _COLUMN.search(str(error))
        return (int(found[1]), int(found[2])) if found else _find_end(text)
    except (RecursionError, ValueError, Usage):
        return None
    return None


def _find_end(text: str) -> TextPosition:
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1


def locate_fault(text: str, fault: str) -> TextPosition | None:
    """Return the position that a fault message refers to.

    Candidates in order: the line it names, an unknown key, a quoted value, its first key, its
    table.
    """
    if line := _LINE.match(fault):
        return int(line[1]), 1
    about = _ABOUT.match(fault)
    table, rest = (about["table"], about["rest"]) if about else ("", fault)
    if unknown := _find_unknown(rest):
        return _locate_key(text, unknown) or _locate_table(text, table)
    first = _FIRST.match(rest)
    return (
        locate_quoted(text, rest)
        or _locate_key(text, first[0] if first else "")
        or _locate_table(text, table)
    )


def _find_unknown(fault: str) -> str:
    """Return the unknown key or table that a fault names, or ""."""
    begins = (
        tr("unknown key {where}{advice}", where="", advice=""),
        tr("unknown table {kind}{near}", kind="", near=""),
    )
    found = re.match(rf'(?:{"|".join(map(re.escape, begins))})"([^"]+)"', fault)
    return found[1] if found else ""


def locate_quoted(text: str, message: str) -> TextPosition | None:
    """Return the position of the first quoted value that occurs exactly once."""
    for value in _VALUE.findall(message):
        found = [match.start() for match in re.finditer(rf"[\"']{re.escape(value)}[\"']", text)]
        if len(found) == 1:
            return _to_position(text, found[0])
    return None


def _locate_key(text: str, path: str) -> TextPosition | None:
    """Return the first key of this name: bare, in a dotted key, or in a table header."""
    steps = [step for step in path.split(".") if step]
    if not steps:
        return None
    name = re.escape(steps[-1])
    found = re.search(rf"""(?m)(?:^|(?<=[\s{{,.\["']))(?P<key>{name})["']?\s*(?:[=:.\]])""", text)
    return _to_position(text, found.start("key")) if found else None


def _locate_table(text: str, table: str) -> TextPosition | None:
    """Return the header of a table, in YAML its name."""
    kind, _, name = table.partition(".")
    found = (
        re.search(rf"(?m)^\s*\[{re.escape(kind)}\.[\"']?{re.escape(name)}[\"']?\]", text)
        if name
        else None
    )
    return (
        _to_position(text, found.end() - len(found[0].lstrip()))
        if found
        else _locate_key(text, name)
        if name
        else None
    )


def _to_position(text: str, offset: int) -> TextPosition:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
