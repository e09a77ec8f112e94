"""Searchable text of a task: name, template, tags and command, without secrets."""

from __future__ import annotations

import json
from typing import Any

from app.core.filter_query import fold_case
from app.service.tasks.inspection import views
from db.rows import TaskRow

MAX_COMMAND_LENGTH = 4_000
"""Searchable characters of a command."""


def make_stored_text(row: Any) -> str:
    """Return the text of a raw database row (`fts.TEXT_COLUMNS`)."""
    return _join_text(
        row.name,
        row.template,
        _parse_json(row.tags),
        _parse_json(row.parameters),
        _parse_json(row.launch),
    )


def make_text(row: TaskRow) -> str:
    """Return the text of a task."""
    return _join_text(row.name, row.template, row.tags, row.parameters, row.launch)


def _parse_json(text: str) -> dict[str, Any]:
    return json.loads(text) if text != "{}" else {}


def _join_text(
    name: str,
    template: str | None,
    tags: dict[str, str],
    parameters: dict[str, Any],
    launch: dict[str, Any],
) -> str:
    shown = views.mask_task(parameters, launch)["launch"]
    command = shown.get("script") or " ".join(shown.get("argv", ()))
    lines = [
        name,
        template or "",
        *(f"{key}={value}" for key, value in tags.items()),
        command[:MAX_COMMAND_LENGTH],
    ]
    return fold_case("\n".join(line for line in lines if line))
