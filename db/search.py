"""The index of the tasks' texts: filled after they were submitted, in batches, and complete with what it does not hold yet.

A task's text is what `text_of` makes of its row (`app.service.texts`: folded, without secrets). The virtual table `search` keeps it by
the task's number and knows where each three letters in a row stand (FTS5, tokenizer trigram). It is not written by a submission, which
would cost that a quarter of its speed, but by a duty: up to the greatest number it holds it is complete, but for `stale_texts`, which
triggers fill; what lies above is read from the tasks themselves by whoever searches. So nothing is ever missing from an answer.

Measured at 1,000,000 tasks: 155 MB (a fifth of the whole file; with `detail = full` 288 MB and no faster), 15 s of work to fill.
`columnsize = 0`, since nothing is ranked. Merging is asked for in steps of `MERGED` pages, each a transaction: left to itself FTS5 holds
the writer for 45 ms now and then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from db import sql

TextOf = Callable[[Any], str]
"""The text of a row of `READ`."""

BATCH = 250
"""Tasks that one transaction reads and stores: some 5 ms on the writer thread."""
MERGED = 16
"""Pages that one transaction merges."""

READ = "number, name, template, tags, parameters, launch"


def indexed_to(c: Connection) -> int:
    """The number up to which the index is complete, but for `stale_texts`."""
    return sql.value(c, "SELECT max(id) FROM search_content") or 0


def behind(c: Connection) -> int:
    """About how many tasks are to be indexed."""
    last = sql.value(c, "SELECT max(number) FROM tasks") or 0
    return max(0, last - indexed_to(c)) + sql.value(c, "SELECT count(*) FROM stale_texts")


def fill(c: Connection, text_of: TextOf) -> bool:
    """Store a batch of texts: first those that changed, then the oldest of the new ones. False when there is nothing left to do."""
    stale = sql.column(c, "SELECT number FROM stale_texts LIMIT ?", (BATCH,))
    if stale:
        _renew(c, stale, text_of)
        return True
    rows = sql.rows(c, f"SELECT {READ} FROM tasks WHERE number > ? ORDER BY number LIMIT ?", (indexed_to(c), BATCH))
    _store(c, rows, text_of)
    return len(rows) == BATCH


def _renew(c: Connection, numbers: list[int], text_of: TextOf) -> None:
    listed, last = json.dumps(numbers), indexed_to(c)
    sql.run(c, "DELETE FROM search WHERE rowid IN (SELECT value FROM json_each(?))", (listed,))
    rows = sql.rows(c, f"SELECT {READ} FROM tasks WHERE number IN (SELECT value FROM json_each(?)) AND number <= ?", (listed, last))
    _store(c, rows, text_of)
    sql.run(c, "DELETE FROM stale_texts WHERE number IN (SELECT value FROM json_each(?))", (listed,))


def _store(c: Connection, rows: Iterable[Any], text_of: TextOf) -> None:
    sql.run_many(c, "INSERT INTO search (rowid, text) VALUES (?, ?)", [(row.number, text_of(row)) for row in rows])


def merge(c: Connection) -> bool:
    """A step of merging what was stored; False when there is none to do."""
    before = sql.value(c, "SELECT total_changes()")
    sql.run(c, "INSERT INTO search (search, rank) VALUES ('merge', ?)", (MERGED,))
    return sql.value(c, "SELECT total_changes()") - before > 1


def match(words: Iterable[str]) -> str | None:
    """What to ask `search` for, so that it finds all texts that hold these words, and few others; None when they are too short."""
    found = dict.fromkeys(word[at : at + 3] for word in words for at in range(len(word) - 2))
    return " AND ".join(f'"{three.replace(chr(34), chr(34) * 2)}"' for three in found) or None
