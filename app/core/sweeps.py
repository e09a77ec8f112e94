"""Sweeps: named parameters with the values of each task, and the placeholders `{name}`."""

from __future__ import annotations

import csv
import io
import re
from itertools import product
from math import prod

from app.core.task_groups import MAX_TASKS
from app.core.text.sanitize import sanitize, truncate
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{\}|(?<!\$)\{([A-Za-z_][A-Za-z0-9_]*|[1-9][0-9]*)\}")
MAX_VALUE = 120_000
"""Maximum bytes of a value, which Linux passes to a program as one variable."""
MAX_NAME = 100

Row = dict[str, str]
"""Values of one task by the name of their placeholder: `""` for an item, `1` for its column."""


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with known placeholders replaced. Others stay, and so does `${lr}`."""
    if "{" not in text:
        return text
    return _PLACEHOLDER.sub(lambda found: values.get(found[1] or "", found[0]), text)


def find_placeholders(text: str) -> set[str]:
    """Return the names in braces in a text."""
    return {found[1] or "" for found in _PLACEHOLDER.finditer(text)}


def locate_placeholders(text: str) -> list[tuple[int, str]]:
    """Return position and name of each placeholder in a text."""
    return [(found.start(), found[1] or "") for found in _PLACEHOLDER.finditer(text)]


def parse_sweep(text: str) -> tuple[str, list[str]]:
    """Return name and values of `lr=0.1,0.01`; values are quoted as CSV. Raise ValueError."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(tr("must be NAME=VALUE,VALUE, not {said}", said=_quote(text)))
    _check_name(name)
    try:
        rows = list(csv.reader([values], skipinitialspace=True, strict=True))
    except csv.Error:
        raise ValueError(tr("{name} has a quote that does not end", name=_quote(name))) from None
    found = rows[0] if rows else []
    if not found or "" in found:
        raise ValueError(
            tr("{name} has an empty value", name=_quote(name))
            if any(found)
            else tr("{name} has no values", name=_quote(name))
        )
    for value in found:
        _check_value(name, value)
    return name, found


def expand_product(sweeps: Sequence[tuple[str, Sequence[str]]]) -> list[Row]:
    """Return all combinations; the last parameter changes fastest. Raise ValueError."""
    names = [name for name, _ in sweeps]
    _check_unique(names)
    total = prod(len(values) for _, values in sweeps)
    if total > MAX_TASKS:
        raise ValueError(
            tr(
                "has {total:,} combinations; at most {max_tasks:,} are possible",
                total=total,
                max_tasks=MAX_TASKS,
            )
        )
    return [dict(zip(names, row, strict=True)) for row in product(*(each for _, each in sweeps))]


def parse_grid(data: bytes) -> list[Row]:
    """Return the rows of a CSV file whose header names the parameters.

    Blank lines do not count, nor do blanks after a comma. Columns are separated by commas, or by
    tabs if the header has no comma. Raise ValueError with a part of a sentence.
    """
    if b"\0" in data:
        raise ValueError(tr("contains a NUL byte"))
    text = data.decode("utf-8-sig", "surrogateescape")
    head = text.lstrip("\r\n").split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if "\t" in head and "," not in head else ",",
        skipinitialspace=True, strict=True,
    )  # fmt: skip
    try:
        return _read_rows((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise ValueError(
            tr("line {line_num}: {error}", line_num=reader.line_num, error=error)
        ) from None


def _read_rows(lines: Iterator[tuple[int, list[str]]]) -> list[Row]:
    _, header = next(lines, (0, list[str]()))
    names = [name.strip() for name in header]
    if not names:
        raise ValueError(tr("is empty; its first line must name the parameters"))
    for name in names:
        _check_name(name)
    _check_unique(names)
    found: list[Row] = []
    for line, row in lines:
        if len(row) != len(names):
            columns = tr_n(len(row), "{n} column", "{n} columns")
            raise ValueError(
                tr(
                    "line {line} has {columns}, the header has {n}",
                    line=line,
                    columns=columns,
                    n=len(names),
                )
            )
        if len(found) == MAX_TASKS:
            raise ValueError(tr("has more than {max_tasks:,} rows", max_tasks=MAX_TASKS))
        for name, value in zip(names, row, strict=True):
            _check_value(name, value)
        found.append(dict(zip(names, row, strict=True)))
    if not found:
        raise ValueError(tr("has no row below its header"))
    return found


def split_columns(item: str) -> Row:
    """Return the values of an item: itself, and its columns between spaces or tabs from 1."""
    words = item.split("\t") if "\t" in item else item.split()
    return {"": item, **{str(at): word for at, word in enumerate(words, 1)}}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ValueError(
            tr(
                "names a parameter {name}; a name has letters, digits and _, no digit first",
                name=_quote(name),
            )
        )


def _check_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(tr("names {name} twice", name=_quote(name)))
        seen.add(name)


def _check_value(name: str, value: str) -> None:
    if len(value.encode("utf-8", "surrogateescape")) > MAX_VALUE or "\0" in value:
        raise ValueError(
            tr("has a value of {name} that is too long or contains a NUL byte", name=_quote(name))
        )


def _quote(text: str) -> str:
    return f'"{truncate(sanitize(text), 40)}"'
