"""Tests that all SQL is written in db, below the application."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import app

APP_FOLDER = Path(app.__path__[0])
VERBS = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|PRAGMA|CREATE|ALTER|DROP|BEGIN|COMMIT|ROLLBACK"
    r"|SAVEPOINT|EXPLAIN|VACUUM|ANALYZE|REINDEX|ATTACH|DETACH)\b"
)
DRIVER_CALLS = {"exec_driver_sql", "executescript", "executemany"}


def find_sql(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of string constants that begin like SQL, and of calls to the driver."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if VERBS.match(node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.Attribute) and node.attr in DRIVER_CALLS:
            yield node.lineno, node.attr


def test_the_application_contains_no_sql():
    found = [
        f"{path.relative_to(APP_FOLDER.parent)}:{line}: {text[:60]}"
        for path in sorted(APP_FOLDER.rglob("*.py"))
        for line, text in find_sql(ast.parse(path.read_bytes()))
    ]

    assert found == [], "\n".join(found)


def test_sql_is_recognized_in_plain_and_formatted_strings():
    source = 'f"SELECT {name} FROM tasks"\nc.exec_driver_sql(GOOD)\n"Select a task"\n"""Delete."""'

    assert [line for line, _ in find_sql(ast.parse(source))] == [1, 2]
