"""Conditions on lists of any length, which SQLite reads from one JSON parameter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, func, select, text


def is_any_of(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of these values.

    A parameter for each value would exceed SQLite's maximum for long lists.
    """
    listed = func.json_each(json.dumps(list(values)))
    return column.in_(select(text("value")).select_from(listed))
