"""Limits of a definitions file, checked before or while it is parsed.

A parser may need far more time and memory than its text has bytes: tomllib takes quadratic time for
a long dotted key, and YAML merges multiply.
"""

from __future__ import annotations

import re
from typing import Any

from app.core.json_types import is_array, is_dict
from app.errors import Usage

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 64
"""Maximum number of tables and arrays inside each other, and of names in a dotted key."""
_MAX_SIZE = f"{MAX_BYTES // 1024 // 1024}M"
_TEXTS = re.compile(
    r'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+(?:"{3,5}|\\?\Z)'
    r"|'''[^']*+(?:'(?!'')[^']*+)*+(?:'{3,5}|\Z)"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+["\\]?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Strings, closed or not, and comments of TOML."""
_WORDS = re.compile(r"[\w \t+-]++")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def make_too_many() -> Usage:
    """Return the refusal of a document with too many values."""
    return Usage(
        "holds more than {max_nodes:,} values: split it. Nothing was changed.", max_nodes=MAX_NODES
    )


def make_too_deep() -> Usage:
    """Return the refusal of a document with too deep values."""
    return Usage(
        "is nested more than {max_depth} levels deep. Nothing was changed.", max_depth=MAX_DEPTH
    )


def check_length(text: str) -> None:
    """Raise Usage if a text is too long to be parsed."""
    if len(text) > MAX_BYTES:
        raise Usage("the file is larger than {limit}. Nothing was changed.", limit=_MAX_SIZE)


def check_toml(text: str) -> None:
    """Raise Usage if a TOML text has too many values or too deep keys, without parsing it.

    Signs inside strings and comments do not count. The limit of keys, tables and parts of dotted
    keys is half of that of values. A key counts as a value, too, and a table or a part takes a
    kilobyte or more during parsing.
    """
    signs = _WORDS.sub("", _TEXTS.sub("", text))
    if max(map(signs.count, ",{")) > MAX_NODES or max(map(signs.count, "=.[")) > MAX_NODES // 2:
        raise make_too_many()
    if "." * MAX_DEPTH in signs or "[" * MAX_DEPTH in signs:
        raise make_too_deep()


def check_values(document: Any) -> None:
    """Check that a document is a table, its size and depth, and that all strings can be stored.

    YAML aliases repeat a text, so the length of all texts together is limited, too.
    """
    if not is_dict(document):
        raise Usage("must hold tables such as queues and templates. Nothing was changed.")
    pending, count, length = [(document, 0)], 0, 0
    while pending:
        node, depth = pending.pop()
        count += 1
        length += len(node) if isinstance(node, str) else 0
        if count > MAX_NODES:
            raise make_too_many()
        if length > MAX_BYTES:
            raise Usage("holds more than {limit} of text. Nothing was changed.", limit=_MAX_SIZE)
        if depth > MAX_DEPTH:
            raise make_too_deep()
        if isinstance(node, str) and _HALF_CHARACTER.search(node):
            raise Usage("holds half a character (a lone surrogate). Nothing was changed.")
        if is_dict(node):
            pending.extend((key, depth) for key in node)
        inner = node.values() if is_dict(node) else node if is_array(node) else ()
        pending.extend((value, depth + 1) for value in inner)
