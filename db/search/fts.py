"""Full-text index of tasks: content and updates.

`search.index_file` holds the file. A task's text is what `text_of` makes of its row
(`app.service.tasks.search_text`: lower-cased, without secrets). The virtual table `search` stores
the text by task number, with FTS5's trigram tokenizer. `terms` lists the trigrams; a shorter word
is searched as all trigrams that begin with it. A submission does not write the index, which would
cost a quarter of its speed; a duty of the runtime does. The index is complete up to its highest
number, except for `stale_texts`, which triggers fill. Searches read newer tasks directly, so no
answer misses a task.

Tasks and texts are in two files, which one transaction may see at different moments. Each batch
that replaces or deletes texts therefore has a random mark. The mark is stored with the texts, then
in the database (`counters`), in the transaction that removes the tasks from `stale_texts`. The
table `about` keeps the latest marks: how far the index was complete before each, and whose texts
came with the batch. A transaction may see an older mark: a batch was just stored, the runtime was
killed between the two writes, or an older copy was restored. Such a transaction learns from `about`
which texts may differ. A transaction whose mark is missing in `about` uses no text.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps

TextOf = Callable[[Any], str]
"""Function that makes the text of a row of `TEXT_COLUMNS`."""

BATCH = 250
"""Tasks stored in one index transaction, about 5 ms."""

TEXT_COLUMNS = "number, name, template, tags, parameters, launch"


class IndexState(NamedTuple):
    """The part of the index that a transaction may use, beside `stale_texts`."""

    mark_position: int
    """Position of the mark in `about`; 0 if the index belongs to another database."""
    upto: int
    """Highest number up to which the index is complete; later texts are ignored."""
    stale_tasks: tuple[int, ...]
    """Tasks whose texts are newer than the transaction."""


NO_STATE = IndexState(0, 0, ())

_STATE = """
SELECT mine.place, (SELECT max(id) FROM search_content) AS last, later.upto, later.changed
FROM about mine LEFT JOIN about later ON later.place > mine.place
WHERE mine.place = (SELECT place FROM about
  WHERE mark = (SELECT value FROM counters WHERE name = 'search')) ORDER BY later.place
"""


def read_state(c: Connection) -> IndexState:
    """Return the part of the index that this transaction may use."""
    found = raw_sql.fetch_rows(c, _STATE)
    if not found:
        return NO_STATE
    first = found[0]
    if first.upto is None:
        return IndexState(first.place, first.last or 0, ())
    return IndexState(
        first.place,
        first.upto,
        tuple(sorted({number for row in found for number in json.loads(row.changed)})),
    )


def count_unindexed(c: Connection) -> int:
    """Return the approximate number of tasks to index."""
    last, found = raw_sql.fetch_value(c, "SELECT max(number) FROM tasks") or 0, read_state(c)
    return (
        max(0, last - found.upto)
        + len(found.stale_tasks)
        + raw_sql.fetch_value(c, "SELECT count(*) FROM stale_texts")
    )


class IndexBatch(NamedTuple):
    """Texts to store together."""

    known: IndexState
    stale: list[tuple[int, int]]
    """Rows of `stale_texts`: task number, and change count when the task was read."""
    rows: list[Any]
    mark: int | None
    """Mark of the batch, if it has one."""

    @property
    def changed(self) -> list[int]:
        """Tasks whose texts are replaced or deleted."""
        return sorted({*self.known.stale_tasks, *(number for number, _ in self.stale)})


def read_batch(c: Connection, marked: bool = False) -> IndexBatch | None:
    """Return the next batch, empty if there is nothing to store.

    Return None without an index of this database. `marked` adds a mark even to a batch that only
    adds texts.
    """
    found = read_state(c)
    if not found.mark_position:
        return None
    stale = [
        (row.number, row.changes)
        for row in raw_sql.fetch_rows(
            c, "SELECT number, changes FROM stale_texts LIMIT ?", (BATCH,)
        )
    ]
    new = IndexBatch(found, stale, [], None)
    rows = [*_read_changed(c, new), *_read_new(c, found.upto, BATCH - len(stale))]
    return new._replace(rows=rows, mark=make_mark() if new.changed or rows and marked else None)


def _read_changed(c: Connection, wanted: IndexBatch) -> list[Any]:
    if not wanted.changed:
        return []
    found = (
        f"SELECT {TEXT_COLUMNS} FROM tasks WHERE number IN (SELECT value FROM json_each(?)) AND"
        " number <= ?"
    )
    return raw_sql.fetch_rows(c, found, (json.dumps(wanted.changed), wanted.known.upto))


def _read_new(c: Connection, upto: int, limit: int) -> list[Any]:
    return raw_sql.fetch_rows(
        c,
        f"SELECT {TEXT_COLUMNS} FROM tasks WHERE number > ? ORDER BY number LIMIT ?",
        (upto, limit),
    )


def make_mark() -> int:
    """Return a random mark."""
    return secrets.randbits(62)


def record_batch(c: Connection, mark: int, stale: Sequence[tuple[int, int]] = ()) -> None:
    """Record in the database that a batch is stored.

    Tasks that changed again since their row was read stay in `stale_texts`.
    """
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('search', ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (mark, now, now),
    )
    raw_sql.execute_statements(c, "DELETE FROM stale_texts WHERE number = ? AND changes = ?", stale)


MAX_TERMS = 4
"""Maximum number of trigrams in a query: each is a list to read, and the rarest leave few tasks."""

_RAREST = """
SELECT three.value FROM json_each(?) three ORDER BY (
    SELECT CASE count(*) WHEN 64 THEN min(rowid) ELSE count(*) - 64 END
    FROM (SELECT rowid FROM search WHERE search MATCH three.value ORDER BY rowid DESC LIMIT 64)
) LIMIT ?
"""
"""Rarity of a trigram: the distance back to its 64th latest task."""


def build_match(c: Connection, words: Sequence[str]) -> str | None:
    """Return the FTS5 query that finds all texts with these words, and few others.

    Return None if the words are too short and too common.
    """
    threes = dict.fromkeys(word[at : at + 3] for word in words for at in range(len(word) - 2))
    terms = [_quote(trigram) for trigram in threes] or [
        found for word in words if (found := _build_short_match(c, word))
    ]
    rarest = (
        terms
        if len(terms) <= MAX_TERMS
        else raw_sql.fetch_column(c, _RAREST, (json.dumps(terms), MAX_TERMS))
    )
    return " AND ".join(rarest) or None


TEXT_END = "\n\n"
"""End of each indexed text, so that every letter of the text begins a trigram."""
SAMPLE, COMMON = 2_000, 200
"""Latest texts sampled, and the hits from which scanning texts finds a short word quickly."""
MAX_SHORT_TERMS = 256
"""Maximum number of trigrams for a short word; more would be a long list to read."""

_COUNT_HITS = (
    "SELECT count(*) FROM (SELECT c0 FROM search_content ORDER BY id DESC LIMIT ?) WHERE instr(c0,"
    " ?) > 0"
)
_WITH_PREFIX = "SELECT term FROM terms WHERE term >= ? AND term <= ? LIMIT ?"


def _build_short_match(c: Connection, word: str) -> str | None:
    """Return the query for a word of one or two letters.

    Return None if scanning the texts would be as fast.
    """
    if raw_sql.fetch_value(c, _COUNT_HITS, (SAMPLE, word)) > COMMON:
        return None
    groups = raw_sql.fetch_column(
        c, _WITH_PREFIX, (word, word + 2 * chr(sys.maxunicode), MAX_SHORT_TERMS + 1)
    )
    if len(groups) > MAX_SHORT_TERMS:
        return None
    none = word.ljust(3)  # any text with the word would have produced a trigram
    return f"({' OR '.join(map(_quote, groups or [none]))})"


def _quote(trigram: str) -> str:
    return '"{}"'.format(trigram.replace('"', '""'))
