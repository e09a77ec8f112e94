"""New tasks as lists of columns, which JSON can hold until they are inserted."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT = (
    "uuid", "name", "template", "type", "priority", "timeout", "queue", "cpu", "memory", "retries",
    "retry_delay", "grace", "not_before", "hold", "held_by", "log_limit",
    "notify", "resources", "early_signal", "output", "stdin", "split",
    "error", "retry_on_oom",
    "group_index", "sweep",
)  # fmt: skip
_JSON = ("parameters", "tags", "launch", "env")
COMMON_COLUMNS = ("env_id", "umask", "submitted_by", "group_number")
"""Last columns of a packed task, which are equal in all tasks of a submission."""
COLUMNS = (*_TEXT, *_JSON, "cwd", *COMMON_COLUMNS)
NOT_BEFORE, HOLD, CWD, QUEUE = map(COLUMNS.index, ("not_before", "hold", "cwd", "queue"))
GROUP = COLUMNS.index("group_number")
UNTOLD_COLUMNS = (
    *_TEXT[: _TEXT.index("stdin")], *_JSON, "cwd", "env_id", "umask", "submitted_by"
)  # fmt: skip
"""Columns of the files of earlier versions, which do not tell them."""
_get_text_columns = itemgetter(*_TEXT)
_get_common_columns = itemgetter(*COMMON_COLUMNS)


def pack_task(task: dict[str, Any]) -> list[Any]:
    """Return the columns of a new task as a list that JSON can hold, with the uuid first.

    A bulk submission spends much of its time here, so each column is written by hand.
    """
    return [
        *_get_text_columns(task),
        _to_json(task["parameters"]),
        _to_json(task["tags"]),
        _to_json(task["launch"]),
        _to_json(task["env"]),
        task["cwd"],
        *_get_common_columns(task),
    ]


def _to_json(value: Any) -> str | None:
    if value and len(value) == 1 and "argv" in value:
        # A call of json.dumps makes an encoder, which takes longer than the encoding.
        return f'{{"argv": [{", ".join(map(encode_basestring_ascii, value["argv"]))}]}}'
    return "{}" if value == {} else None if value is None else json.dumps(value)


def arrange_row(row: list[Any], columns: Sequence[str]) -> list[Any]:
    """Return a packed task of another version with the columns of this one; new ones are None."""
    known = dict(zip(columns, row, strict=True))
    return [known.get(name) for name in COLUMNS]
