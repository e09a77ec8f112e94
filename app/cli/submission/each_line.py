"""Bulk input of `submit --each` and `submit --from`: one item or JSON document per line.

A bulk submission is stored completely or not at all.
"""

from __future__ import annotations

import os
import sys

from app.core.text.sanitize import sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACEHOLDER = "{}"


def expand_items(task: dict[str, Any], data: bytes, nul: bool) -> list[dict[str, Any]]:
    """Return one task per item of `data`.

    The item replaces `{}` in arguments, parameters, name and tags; without `{}`, it is appended to
    the arguments.
    """
    items = _split_items(data, nul)
    if not items:
        raise Usage(f"--each read no items from standard input. {NOT_SUBMITTED}")
    if "argv" in task:
        return [
            {**task, "argv": _fill_argv(task["argv"], item), **_make_labels(task, item)}
            for item in items
        ]
    texts = task.get("parameter_texts", ())
    if not any(PLACEHOLDER in text for _, text in texts):
        raise Usage(
            f"--each needs a placeholder for its items. {NOT_SUBMITTED}",
            "Use {} in a parameter: -p NAME={}",
        )
    return [
        {
            **task,
            "parameter_texts": [[key, text.replace(PLACEHOLDER, item)] for key, text in texts],
            **_make_labels(task, item),
        }
        for item in items
    ]


def _make_labels(task: dict[str, Any], item: str) -> dict[str, Any]:
    """Return name and tags of the task for an item.

    A path contributes its last part, because a name must not contain a slash.
    """
    found: dict[str, Any] = {}
    if PLACEHOLDER in task.get("name", ""):
        found["name"] = truncate(
            task["name"].replace(PLACEHOLDER, sanitize(item).rstrip("/").rpartition("/")[2]), 200
        )
    if "tags" in task:
        found["tags"] = {key: text.replace(PLACEHOLDER, item) for key, text in task["tags"].items()}
    return found


def _split_items(data: bytes, nul: bool) -> list[str]:
    """Split into non-empty lines, or at NUL bytes."""
    if nul:
        found = data.split(b"\0")
        return [os.fsdecode(item) for item in (found if found[-1] else found[:-1])]
    lines = data.split(b"\n")
    torn = next((at for at, line in enumerate(lines, 1) if b"\0" in line), None)
    if torn:
        raise Usage(
            f"--each: line {torn} contains a NUL byte. {NOT_SUBMITTED}",
            "For NUL-terminated items: --each -0",
        )
    return [os.fsdecode(line) for line in lines if line]


def _fill_argv(argv: list[str], item: str) -> list[str]:
    if any(PLACEHOLDER in word for word in argv):
        return [word.replace(PLACEHOLDER, item) for word in argv]
    return [*argv, item]


def read_lines_file(file: str) -> tuple[str, str]:
    """Return the text of a JSON-lines file and its display name ("" for stdin).

    Bytes that are not UTF-8 become surrogates.
    """
    if file == "-":
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), ""
    shown = truncate(sanitize(file), 200)
    try:
        with open(file, "rb") as source:
            return source.read().decode("utf-8", "surrogateescape"), shown
    except FileNotFoundError:
        raise NotFound(f"{shown} does not exist. {NOT_SUBMITTED}") from None
    except OSError as error:
        raise Usage(
            f"{shown} cannot be read: {(error.strerror or 'unknown').lower()}. {NOT_SUBMITTED}"
        ) from None
