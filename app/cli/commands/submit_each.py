"""Many tasks from one input: an item a line, or a JSON document a line. All or nothing."""

from __future__ import annotations

import os
import sys

from app.core.text.sanitize import clean, cut
from app.errors import NOT_SUBMITTED, NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = "{}"


def each(task: dict[str, Any], data: bytes, nul: bool) -> list[dict[str, Any]]:
    """One task an item of `data`, the item put where `{}` stands in its arguments or parameters, or at the end; and in name and tags."""
    items = _items(data, nul)
    if not items:
        raise Usage(f"--each found nothing on standard input. {NOT_SUBMITTED}")
    if "argv" in task:
        return [{**task, "argv": _argv(task["argv"], item), **_called(task, item)} for item in items]
    texts = task.get("parameter_texts", ())
    if not any(HERE in text for _, text in texts):
        raise Usage(f"--each has no place for what it reads. {NOT_SUBMITTED}", "Give a parameter the value {}: -p NAME={}")
    return [{**task, "parameter_texts": [[key, text.replace(HERE, item)] for key, text in texts], **_called(task, item)} for item in items]


def _called(task: dict[str, Any], item: str) -> dict[str, Any]:
    """Name and tags of the item's task. Of a path a name has the last part, since no name has a slash."""
    found: dict[str, Any] = {}
    if HERE in task.get("name", ""):
        found["name"] = cut(task["name"].replace(HERE, clean(item).rstrip("/").rpartition("/")[2]), 200)
    if "tags" in task:
        found["tags"] = {key: text.replace(HERE, item) for key, text in task["tags"].items()}
    return found


def _items(data: bytes, nul: bool) -> list[str]:
    """Lines without the empty ones, or what NULs end."""
    if nul:
        found = data.split(b"\0")
        return [os.fsdecode(item) for item in (found if found[-1] else found[:-1])]
    lines = data.split(b"\n")
    torn = next((at for at, line in enumerate(lines, 1) if b"\0" in line), None)
    if torn:
        raise Usage(f"--each: line {torn} holds a NUL byte. {NOT_SUBMITTED}", "For items that end in NUL: --each -0")
    return [os.fsdecode(line) for line in lines if line]


def _argv(argv: list[str], item: str) -> list[str]:
    if any(HERE in word for word in argv):
        return [word.replace(HERE, item) for word in argv]
    return [*argv, item]


def lines_of(file: str) -> tuple[str, str]:
    """The text of a file of JSON lines (bytes that are no UTF-8 as surrogates), and its name for messages ("" for
    stdin)."""
    if file == "-":
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), ""
    shown = cut(clean(file), 200)
    try:
        with open(file, "rb") as source:
            return source.read().decode("utf-8", "surrogateescape"), shown
    except FileNotFoundError:
        raise NotFound(f"{shown} does not exist. {NOT_SUBMITTED}") from None
    except OSError as error:
        raise Usage(f"{shown} cannot be read: {(error.strerror or 'unknown').lower()}. {NOT_SUBMITTED}") from None
