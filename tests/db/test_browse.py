"""Pages of tasks: in every order, with every filter, they are what sorting and filtering everything in memory gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.query import Facts, matches, parse
from app.service import filters, texts
from db import browse, clock, reads, search
from db.browse import ORDERS, At
from db.engine import write_engine
from tests.bench import million

COUNT = 3_000
NOW = datetime.now(UTC)

FILTERS = (
    "", "encode", "s07", "7f", "a", "zzzz", '"load orders"', "!encode", "encode !s0", "status:failed", "status:active",
    "status:waiting", "status:ended", "status:failed,lost", "!status:succeeded", "status:paused", "queue:gpu", "queue:g*,etl", "!queue:media",
    "queue:gpu status:failed", "name:ENC*", "name:en*", "name:*5?", "template:train", "!template:train", "template:*", "by:ci", "by:c*",
    "tag:env=prod", "tag:env=p*", "tag:env", "!tag:env", "since:2d", "until:20d", "since:20d until:2d status:failed", "!since:2d",
    "priority:>5", "priority:0", "!priority:0", "number:100-200", "#42", "!number:100-2990", "encode status:failed queue:media by:ann",
    "number:<500 load", "queue:nosuch*", "since:2d encode priority:5-10",
)  # fmt: skip


@pytest.fixture(scope="module")
def path(fresh_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 3,000 tasks: some without a text in the index yet, some removed, renamed or purged since, some of them running."""
    path = tmp_path_factory.mktemp("browse") / "taskdeck.db"
    path.write_bytes(fresh_database.read_bytes())
    million.fill(path, COUNT)
    engine = write_engine(path)
    with engine.begin() as c:
        for _ in range(10):
            search.fill(c, texts.stored)
        c.exec_driver_sql("UPDATE tasks SET deleted_at = created_at WHERE number % 41 = 0")
        c.exec_driver_sql("UPDATE tasks SET name = 'load a renamed one' WHERE number % 97 = 0")
        c.exec_driver_sql("DELETE FROM tasks WHERE number % 53 = 0")
        c.exec_driver_sql("UPDATE tasks SET name = 'one of many' WHERE number % 5 = 0")
    engine.dispose()
    return path


@pytest.fixture
def c(path: Path) -> Iterator[Connection]:
    """A look at it, which leaves it as it was."""
    engine = write_engine(path)
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()
    engine.dispose()


def facts(row: Any) -> Facts:
    """A task as the language sees it."""
    return Facts(row.number, row.name, row.status, None, row.queue, row.template, row.submitted_by, row.priority,
                 clock.unix(row.created_at), row.tags, texts.of(row))  # fmt: skip


def kept(c: Connection, line: str) -> list[Any]:
    """All tasks that a line keeps, by memory alone."""
    query = parse(line, NOW)
    return [row for row in reads.list_tasks(c) if matches(query, facts(row))]


def in_order(rows: list[Any], order: str, down: bool) -> list[int]:
    """Their numbers as a list in that order shows them."""
    column = ORDERS[order].column
    valued = sorted((row for row in rows if getattr(row, column) is not None), key=lambda row: (getattr(row, column), row.number))
    rest = sorted((row for row in rows if getattr(row, column) is None), key=lambda row: row.number)
    return [row.number for part in (valued, rest) for row in (part[::-1] if down else part)]


def wanted(line: str) -> browse.Wanted:
    """A line as the database understands it."""
    return filters.wanted(parse(line, NOW))


def shown(c: Connection, found: browse.Page, order: str) -> list[At]:
    """The places of a page's rows."""
    rows = {r.place: r for r in browse.fetch(c, ("rowid AS place", f"{ORDERS[order].column} AS value", "number AS n"), found.rowids)}
    return [At(rows[rowid].value, rows[rowid].n) for rowid in found.rowids]


def through(c: Connection, line: str, order: str, down: bool, back: bool, limit: int) -> list[int]:
    """The numbers of all pages, one after the other."""
    numbers: list[int] = []
    at: At | None = None
    for _ in range(COUNT):
        found = browse.page(c, wanted(line), order, down, at, back, limit)
        places = shown(c, found, order)
        numbers = [p.number for p in places] + numbers if back else numbers + [p.number for p in places]
        more = found.before if back else found.after
        assert (found.after if back else found.before) == (at is not None)
        if found.stopped is None and not more:
            return numbers
        at = found.stopped or places[0 if back else -1]
    raise AssertionError("no end")


def small(monkeypatch: pytest.MonkeyPatch, sort: int, held: int, many: int, walked: int) -> None:
    """As if three thousand tasks were a million."""
    for name, value in (("SORTED", sort), ("HELD", held), ("BLINDLY", held), ("MANY", many), ("WALKED", walked), ("SMALL", 40), ("LARGE", 800)):
        monkeypatch.setattr(browse, name, value)
    monkeypatch.setattr("db.sources.SCANNED", 700)
    monkeypatch.setattr("db.sources.SHORT", 20)


MEANS = {
    "all is sorted": (10**6, 10**6, 10**6, 10**6),
    "the index of the order is walked along": (10, 10, 10, 10**6),
    "what may match is picked from the index of the order": (10, 10**6, 10**6, 10**6),
    "a walk that found too little goes another way": (10, 10, 10**6, 60),
}


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("order", ORDERS)
def test_all_pages_together_are_what_was_asked_for_in_its_order(c: Connection, monkeypatch: pytest.MonkeyPatch, order: str, means: str):
    small(monkeypatch, *MEANS[means])
    dice = random.Random(f"{order} {means}")

    for line in FILTERS:
        rows, down = kept(c, line), dice.random() < 0.5
        for back in (False, True):
            assert through(c, line, order, down, back, max(7, len(rows) // 4)) == in_order(rows, order, down), (line, down, back)
