"""Query plans: indexes used, tables scanned, missing indexes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.statement_timer import BoundShape

_INDEX = re.compile(r"USING (?:COVERING )?INDEX (\S+)")
_SCAN = re.compile(r"^[\s]*SCAN (\w+)(?: AS (\w+))?(.*)$")
_TABLE_NAME = re.compile(
    r'\b(?:FROM|JOIN|UPDATE|INTO|,)\s+"?(\w+)"?(?:\s+(?:AS\s+)?"?(\w+)"?)?', re.I
)
_WHERE = re.compile(r"\bWHERE\b(.*)", re.I | re.S)
_COMPARED = re.compile(r'(?:"?(\w+)"?\.)?"?(\w+)"?\s*(?:=|<(?!>)|>|\bIN\b|\bBETWEEN\b)', re.I)
_KEYWORDS = {
    "where",
    "on",
    "set",
    "order",
    "group",
    "limit",
    "left",
    "join",
    "inner",
    "cross",
    "indexed",
    "not",
    "using",
    "values",
    "select",
}


class TableScan(NamedTuple):
    """A table scanned by a plan: all its rows, or (`by`) all entries of an index."""

    table: str
    by: str | None


def explain_statement(c: Connection, text: str, shape: BoundShape) -> tuple[str, ...] | None:
    """Return the lines of a statement's plan, or None if SQLite cannot explain it.

    The bound values are placeholders, since a plan does not depend on them.
    """
    values: Any = (None,) * shape if isinstance(shape, int) else dict.fromkeys(shape)
    try:
        rows = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
    except DBAPIError:
        return None
    return format_plan([(row[0], row[1], row[3]) for row in rows])


def format_plan(rows: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Return the lines (id, parent, text) of a plan, indented by depth."""
    depth = {0: 0}
    lines = []
    for ident, parent, text in rows:
        depth[ident] = depth.get(parent, 0) + 1
        lines.append("  " * depth.get(parent, 0) + text)
    return tuple(lines)


def count_index_uses(c: Connection, statements: Mapping[str, BoundShape]) -> Counter[str]:
    """Return {index: statements whose plan uses it}."""
    return Counter(
        index
        for text, shape in statements.items()
        for index in find_indexes(explain_statement(c, text, shape) or ())
    )


def find_indexes(plan: Iterable[str]) -> set[str]:
    """Return the indexes that a plan uses."""
    return {found for line in plan for found in _INDEX.findall(line)}


def find_scans(plan: Iterable[str], statement: str) -> list[TableScan]:
    """Return the scans of a plan. Aliases are resolved through the statement."""
    names, found = map_aliases(statement), []
    for line in plan:
        if match := _SCAN.match(line):
            index = _INDEX.search(match[3])
            found.append(TableScan(names.get(match[1], match[1]), index[1] if index else None))
    return found


def map_aliases(statement: str) -> dict[str, str]:
    """Return {name in the statement: table}."""
    found = {}
    for table, alias in _TABLE_NAME.findall(statement):
        found[table] = table
        if alias and alias.lower() not in _KEYWORDS:
            found[alias] = table
    return found


def find_compared_columns(statement: str, table: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table that conditions compare with a value, in order.

    An index serves no other condition, such as a search within a text.
    """
    names = map_aliases(statement)
    compared = (match for text in _WHERE.findall(statement) for match in _COMPARED.findall(text))
    return tuple(
        dict.fromkeys(
            column
            for owner, column in compared
            if column in columns and (not owner or names.get(owner) == table)
        )
    )


def find_missing_indexes(
    rows: Iterable[tuple[str, str | None]],
    columns: Mapping[str, Sequence[str]],
    partial: Collection[str] = (),
) -> Counter[tuple[str, tuple[str, ...]]]:
    """Return {(table, compared columns): slow statements that scan it}.

    Scans along an index count too, except along a `partial` index, which holds only wanted rows.
    """
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for statement, plan in rows:
        for scan in find_scans((plan or "").split("\n"), statement):
            asked = find_compared_columns(statement, scan.table, columns.get(scan.table, ()))
            if asked and scan.by not in partial:
                found[scan.table, asked] += 1
    return found
