"""New tasks as lists of columns, which JSON can hold until they are inserted."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any

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
GROUP_IN_COMMON = COMMON_COLUMNS.index("group_number")
COLUMNS = (*_TEXT, *_JSON, "cwd", *COMMON_COLUMNS)
NOT_BEFORE, HOLD, CWD, QUEUE = map(COLUMNS.index, ("not_before", "hold", "cwd", "queue"))
GROUP = COLUMNS.index("group_number")
PACKED_WIDTH = len(COLUMNS)
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
