"""Parser of EXPLAIN QUERY PLAN: indexes used, tables scanned, missing indexes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

_INDEX = re.compile(r"USING (?:COVERING )?INDEX (\S+)")
_SCAN = re.compile(r"^[\s]*SCAN (\w+)(?: AS (\w+))?(.*)$")
_TABLE_NAME = re.compile(
    r'\b(?:FROM|JOIN|UPDATE|INTO|,)\s+"?(\w+)"?(?:\s+(?:AS\s+)?"?(\w+)"?)?', re.I
)
_WHERE = re.compile(r"\bWHERE\b(.*)", re.I | re.S)
_COLUMN = re.compile(r'(?:"?(\w+)"?\.)?"?(\w+)"?')
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
_INSTR = re.compile(r"\binstr\s*\(", re.I)
_LIKE = re.compile(r'(?:"?\w+"?\.)?"?\w+"?\s+(?:NOT\s+)?LIKE\b', re.I)
_CONDITION_ENDS = re.compile(r"\b(?:ORDER BY|GROUP BY|LIMIT|RETURNING|UNION)\b", re.I)


class TableScan(NamedTuple):
    """A table scanned by a plan: all its rows, or (`by`) all entries of an index."""

    table: str
    by: str | None


def format_plan(rows: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Return the lines (id, parent, text) of a plan, indented by depth."""
    depth = {0: 0}
    lines = []
    for ident, parent, text in rows:
        depth[ident] = depth.get(parent, 0) + 1
        lines.append("  " * depth.get(parent, 0) + text)
    return tuple(lines)


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


def find_condition_columns(statement: str, table: str, columns: Sequence[str]) -> list[str]:
    """Return the columns of a table in a statement's conditions, in order.

    Columns searched by `instr` or LIKE are left out: no index would help.
    """
    aliases = {name for name, table_name in map_aliases(statement).items() if table_name == table}
    found: dict[str, None] = {}
    for condition in _WHERE.findall(_strip_searches(statement)):
        for owner, name in _COLUMN.findall(_CONDITION_ENDS.split(condition)[0]):
            if name in columns and (not owner or owner in aliases):
                found[name] = None
    return list(found)


def _strip_searches(statement: str) -> str:
    """Return a statement without its `instr` and LIKE terms."""
    kept, at = [], 0
    for call in _INSTR.finditer(statement):
        if call.start() >= at:
            kept.append(statement[at : call.start()])
            at = _find_closing(statement, call.end())
    return _LIKE.sub("", "".join([*kept, statement[at:]]))


def _find_closing(statement: str, at: int) -> int:
    """Return the position after the closing parenthesis."""
    depth = 1
    while depth and at < len(statement):
        depth += {"(": 1, ")": -1}.get(statement[at], 0)
        at += 1
    return at


def find_missing_indexes(
    rows: Iterable[tuple[str, str | None]],
    columns: Mapping[str, Sequence[str]],
    partial: Collection[str] = (),
) -> dict[tuple[str, tuple[str, ...]], int]:
    """Return {(table, condition columns): slow statements that scan it}.

    Scans along an index count too, except along a `partial` index, which holds only wanted rows.
    """
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for statement, plan in rows:
        for scan in find_scans((plan or "").split("\n"), statement):
            asked = tuple(
                find_condition_columns(statement, scan.table, columns.get(scan.table, ()))
            )
            if asked and scan.by not in partial:
                found[scan.table, asked] += 1
    return dict(found)
