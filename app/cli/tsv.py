r"""Tab-separated values, or row names, for other programs.

Each row is one line. Backslash, tab, newline and carriage return are written `\\`, `\t`, `\n` and
`\r`. Unknown values are empty; values other than text, numbers and booleans are JSON. The header
holds database names.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def format_tsv(fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return the header and the rows, each with a newline."""
    return "".join(
        [
            _join_cells(fields),
            *(_join_cells([_format_cell(value) for value in row]) for row in rows),
        ]
    )


def format_names(rows: Iterable[Sequence[Any]]) -> str:
    """Return the first cell of each row."""
    return "".join([f"{row[0]}\n" for row in rows])


def _join_cells(cells: Sequence[str]) -> str:
    return "\t".join(cells) + "\n"


def _format_cell(value: Any) -> str:
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if value is None:
        return ""
    import json

    return json.dumps(value, ensure_ascii=False).translate(_ESCAPES)
