"""What the index of the tasks' texts knows, and what it is to learn next. The file it is in: `db.index`.

A task's text is what `text_of` makes of its row (`app.service.tasks.search_text`: folded, without secrets). The virtual table `search` keeps it by
the task's number and knows which texts hold each three letters in a row (FTS5, tokenizer trigram). `terms` lists these groups, and a
shorter word is looked for as all those that begin with it. The index is not written by a submission, which would cost that a quarter of
its speed, but by a duty: up to the greatest number it holds it is complete, but for `stale_texts`, which triggers fill; what lies above
is read from the tasks themselves by whoever searches. So nothing is ever missing from an answer.

Tasks and texts are in two files, of which a transaction may see different moments. Each batch that replaces texts, or takes them away,
has a mark, a number drawn at random. It is stored with the texts, and then in the database (`counters`) by the transaction that takes
these tasks off `stale_texts`. The table `about` remembers the last marks: how far the index was complete before each, and whose texts
came with it. Who sees the database at an older mark (a batch was stored a moment ago; the runtime was killed between the two; an older
copy was put back) knows by that which texts may be others than it would see. Who sees a mark that `about` has not, uses no text at all.
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
"""The text of a row of `READ`."""

BATCH = 250
"""Tasks that one transaction of the index stores: some 5 ms."""

TEXT_COLUMNS = "number, name, template, tags, parameters, launch"


class IndexState(NamedTuple):
    """Which texts of the index are those of the tasks as a transaction sees them, beside `stale_texts`."""

    place: int
    """Of the mark in `about`; 0 when the index is not this database's."""
    upto: int
    """The number up to which it is complete; what it has beyond is not to be used."""
    changed: tuple[int, ...]
    """Tasks whose texts came later than what the transaction sees."""


NO_STATE = IndexState(0, 0, ())

_STATE = """
SELECT mine.place, (SELECT max(id) FROM search_content) AS last, later.upto, later.changed
FROM about mine LEFT JOIN about later ON later.place > mine.place
WHERE mine.place = (SELECT place FROM about WHERE mark = (SELECT value FROM counters WHERE name = 'search')) ORDER BY later.place
"""


def read_state(c: Connection) -> IndexState:
    """What may be used of the index."""
    found = raw_sql.fetch_rows(c, _STATE)
    if not found:
        return NO_STATE
    first = found[0]
    if first.upto is None:
        return IndexState(first.place, first.last or 0, ())
    return IndexState(first.place, first.upto, tuple(sorted({number for row in found for number in json.loads(row.changed)})))


def count_unindexed(c: Connection) -> int:
    """About how many tasks are to be indexed."""
    last, found = raw_sql.fetch_value(c, "SELECT max(number) FROM tasks") or 0, read_state(c)
    return max(0, last - found.upto) + len(found.changed) + raw_sql.fetch_value(c, "SELECT count(*) FROM stale_texts")


class IndexBatch(NamedTuple):
    """Texts to be stored at once."""

    known: IndexState
    stale: list[tuple[int, int]]
    """Rows of `stale_texts`: a task's number, and how often it had changed when its row was read."""
    rows: list[Any]
    mark: int | None
    """Its mark, where it has one."""

    @property
    def changed(self) -> list[int]:
        """Tasks whose texts are replaced, or go."""
        return sorted({*self.known.changed, *(number for number, _ in self.stale)})


def read_batch(c: Connection, marked: bool = False) -> IndexBatch | None:
    """What is to be stored next, without rows or changes when that is nothing; None when there is no index of this database.

    `marked`: give it a mark though it only adds texts."""
    found = read_state(c)
    if not found.place:
        return None
    stale = [(row.number, row.changes) for row in raw_sql.fetch_rows(c, "SELECT number, changes FROM stale_texts LIMIT ?", (BATCH,))]
    new = IndexBatch(found, stale, [], None)
    rows = [*_read_changed(c, new), *_read_new(c, found.upto, BATCH - len(stale))]
    return new._replace(rows=rows, mark=make_mark() if new.changed or rows and marked else None)


def _read_changed(c: Connection, wanted: IndexBatch) -> list[Any]:
    if not wanted.changed:
        return []
    found = f"SELECT {TEXT_COLUMNS} FROM tasks WHERE number IN (SELECT value FROM json_each(?)) AND number <= ?"
    return raw_sql.fetch_rows(c, found, (json.dumps(wanted.changed), wanted.known.upto))


def _read_new(c: Connection, upto: int, limit: int) -> list[Any]:
    return raw_sql.fetch_rows(c, f"SELECT {TEXT_COLUMNS} FROM tasks WHERE number > ? ORDER BY number LIMIT ?", (upto, limit))


def make_mark() -> int:
    """A mark that no index has yet."""
    return secrets.randbits(62)


def record_batch(c: Connection, mark: int, stale: Sequence[tuple[int, int]] = ()) -> None:
    """Note in the database that a batch is stored. What has changed again since its row was read stays in `stale_texts`."""
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('search', ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (mark, now, now),
    )
    raw_sql.execute_statements(c, "DELETE FROM stale_texts WHERE number = ? AND changes = ?", stale)


MAX_TERMS = 4
"""Groups of three letters that the index is asked for at once: each is a list to go through, and the rarest leave few tasks to look at."""

_RAREST = """
SELECT three.value FROM json_each(?) three ORDER BY (
    SELECT CASE count(*) WHEN 64 THEN min(rowid) ELSE count(*) - 64 END
    FROM (SELECT rowid FROM search WHERE search MATCH three.value ORDER BY rowid DESC LIMIT 64)
) LIMIT ?
"""
"""How far back one must go for the last 64 tasks that have them tells how rare they are."""


def build_match(c: Connection, words: Sequence[str]) -> str | None:
    """What to ask `search` for, so that it finds all texts that hold these words, and few others; None when they are too short and too
    common."""
    threes = dict.fromkeys(word[at : at + 3] for word in words for at in range(len(word) - 2))
    asked = [_quote(three) for three in threes] or [found for word in words if (found := _build_short_match(c, word))]
    rarest = asked if len(asked) <= MAX_TERMS else raw_sql.fetch_column(c, _RAREST, (json.dumps(asked), MAX_TERMS))
    return " AND ".join(rarest) or None


TEXT_END = "\n\n"
"""What each text in the index ends with, so that a group of three letters begins at each of its own."""
SAMPLE, COMMON = 2_000, 200
"""A short word that so many of the last texts hold is soon found by looking through texts."""
MAX_SHORT_TERMS = 256
"""Groups that may begin with a short word; more are a long list for the index to go through."""

_COUNT_HITS = "SELECT count(*) FROM (SELECT c0 FROM search_content ORDER BY id DESC LIMIT ?) WHERE instr(c0, ?) > 0"
_WITH_PREFIX = "SELECT term FROM terms WHERE term >= ? AND term <= ? LIMIT ?"


def _build_short_match(c: Connection, word: str) -> str | None:
    """What to ask for a word of one or two letters; None where that would be no quicker than to look through the texts."""
    if raw_sql.fetch_value(c, _COUNT_HITS, (SAMPLE, word)) > COMMON:
        return None
    groups = raw_sql.fetch_column(c, _WITH_PREFIX, (word, word + 2 * chr(sys.maxunicode), MAX_SHORT_TERMS + 1))
    if len(groups) > MAX_SHORT_TERMS:
        return None
    none = word.ljust(3)  # it would be among them, if any text held it
    return f"({' OR '.join(map(_quote, groups or [none]))})"


def _quote(three: str) -> str:
    return '"{}"'.format(three.replace('"', '""'))
