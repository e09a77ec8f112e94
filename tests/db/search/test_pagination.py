"""Pages of tasks: for every order and filter equal to sorting and filtering in memory."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.filter_query import RowFacts, is_match, parse_query
from app.service.tasks import filters, search_text
from db import raw_sql, timestamps
from db.engine import create_write_engine
from db.queries import reads
from db.search import candidates, pagination
from db.search.pagination import ORDERS, PagePosition
from tests.bench import large_home
from tests.db.search import indexing

COUNT = 1_500
NOW = datetime.now(UTC)

FILTERS = (
    "", "encode", "s07", "7f", "a", "zzzz", '"load orders"', "!encode", "encode !s0",
    "status:failed", "status:active",
    "status:waiting", "status:ended", "status:failed,lost", "!status:succeeded", "status:paused",
    "queue:gpu", "queue:g*,etl",
    "!queue:media",
    "queue:gpu status:failed", "name:ENC*", "name:en*", "name:*5?", "template:train",
    "!template:train", "template:*", "by:ci", "by:c*",
    "tag:env=prod", "tag:env=p*", "tag:env", "!tag:env", "since:2d", "until:20d",
    "since:20d until:2d status:failed", "!since:2d",
    "priority:>5", "priority:0", "!priority:0", "number:100-200", "#42", "!number:100-1490",
    "encode status:failed queue:media by:ann",
    "number:<500 load", "queue:nosuch*", "since:2d encode priority:5-10", "template:train resnet",
    "template:train encode",
)  # fmt: skip


@pytest.fixture(scope="module")
def tasks_path(fresh_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of 1,500 tasks with an incomplete index.

    Some tasks were deleted, renamed or purged after they were indexed, and some are running.
    """
    path = tmp_path_factory.mktemp("browse") / "taskdeck.db"
    path.write_bytes(fresh_database.read_bytes())
    large_home.fill_database(path, COUNT)
    indexing.fill_index_file(path, 5)
    engine = create_write_engine(path)
    with engine.begin() as c:
        c.exec_driver_sql("UPDATE tasks SET deleted_at = created_at WHERE number % 41 = 0")
        c.exec_driver_sql("UPDATE tasks SET name = 'load a renamed one' WHERE number % 97 = 0")
        c.exec_driver_sql("DELETE FROM tasks WHERE number % 53 = 0")
    indexing.fill_index_file(path, 1)
    with engine.begin() as c:
        c.exec_driver_sql("UPDATE tasks SET name = 'one of many' WHERE number % 5 = 0")
    engine.dispose()
    return path


@pytest.fixture
def connection(tasks_path: Path) -> Iterator[Connection]:
    """Open a transaction that is rolled back."""
    engine = create_write_engine(tasks_path)
    indexing.attach_index_file(engine, tasks_path)
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()
    engine.dispose()


@pytest.fixture(scope="module")
def all_rows(tasks_path: Path) -> list[tuple[Any, RowFacts]]:
    engine = create_write_engine(tasks_path)
    with engine.connect() as c:
        found = [(row, to_facts(row)) for row in reads.list_tasks(c)]
    engine.dispose()
    return found


def to_facts(row: Any) -> RowFacts:
    return RowFacts(row.number, row.name, row.status, None, row.queue, row.template,
    row.submitted_by, row.priority,
                 timestamps.to_unix(row.created_at), row.tags,
                 search_text.make_text(row))  # fmt: skip


def sort_numbers(rows: list[Any], order: str, down: bool) -> list[int]:
    """Return the numbers in list order."""
    column = ORDERS[order].column
    valued = sorted(
        (row for row in rows if getattr(row, column) is not None),
        key=lambda row: (getattr(row, column), row.number),
    )
    rest = sorted((row for row in rows if getattr(row, column) is None), key=lambda row: row.number)
    return [row.number for part in (valued, rest) for row in (part[::-1] if down else part)]


def parse_filter(line: str) -> pagination.TaskSelection:
    return filters.to_conditions(parse_query(line, NOW))


def list_positions(c: Connection, found: pagination.TaskPage, order: str) -> list[PagePosition]:
    """Return the keyset position of each row of a page."""
    rows = {
        r.place: r
        for r in pagination.fetch_columns(
            c, ("rowid AS place", f"{ORDERS[order].column} AS value", "number AS n"), found.rowids
        )
    }
    return [PagePosition(rows[rowid].value, rows[rowid].n) for rowid in found.rowids]


def list_all_numbers(
    c: Connection, line: str, order: str, down: bool, back: bool, limit: int
) -> list[int]:
    """Return the numbers of all pages, one page after the other."""
    numbers: list[int] = []
    at: PagePosition | None = None
    for _ in range(COUNT):
        found = pagination.read_page(c, parse_filter(line), order, down, at, back, limit)
        places = list_positions(c, found, order)
        numbers = (
            [p.number for p in places] + numbers if back else numbers + [p.number for p in places]
        )
        more = found.before if back else found.after
        assert (found.after if back else found.before) == (at is not None)
        if found.stopped is None and not more:
            return numbers
        at = found.stopped or places[0 if back else -1]
    raise AssertionError("no end")


def set_small_limits(
    monkeypatch: pytest.MonkeyPatch, sort: int, held: int, many: int, walked: int, later: int = 10
) -> None:
    """Lower the limits, so that these few tasks count as a million."""
    limits = {
        "MAX_SORTED": sort,
        "MAX_SORTED_LATER": later,
        "MAX_CANDIDATES": held,
        "MAX_UNCOUNTED": held,
        "MAX_SLOW": many,
        "WALK_LIMIT": walked,
    }
    for name, value in {**limits, "SMALL": 40, "LARGE": 800}.items():
        monkeypatch.setattr(pagination, name, value)
    monkeypatch.setattr("db.search.candidates.SCAN_SIZE", 700)
    monkeypatch.setattr("db.search.candidates.SHORT_SOURCE", 20)
    monkeypatch.setattr("db.search.candidates.SAMPLE_SIZE", 10)
    monkeypatch.setattr("db.search.candidates.FIRST_SAMPLE", 200)


STRATEGIES = {
    "all is sorted": (10**6, 10**6, 10**6, 10**6),
    "the index of the order is walked along": (10, 10, 10, 10**6),
    "what may match is picked from the index of the order": (10, 10**6, 10**6, 10**6),
    "a walk that found too little goes another way": (10, 10, 10**6, 60),
    "after a walk that found too little all is sorted": (10, 10**6, 10**6, 60, 10**6),
}


@pytest.mark.parametrize("means", STRATEGIES)
@pytest.mark.parametrize("order", ORDERS)
def test_all_pages_together_are_the_sorted_list(
    connection: Connection,
    all_rows: list[tuple[Any, RowFacts]],
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    means: str,
):
    set_small_limits(monkeypatch, *STRATEGIES[means])
    dice = random.Random(f"{order} {means}")

    for line in dice.sample(FILTERS, 9):
        query, down, back = parse_query(line, NOW), dice.random() < 0.5, dice.random() < 0.5
        rows = [row for row, facts in all_rows if is_match(query, facts)]
        assert list_all_numbers(
            connection, line, order, down, back, max(7, len(rows) // 3)
        ) == sort_numbers(rows, order, down), (line, down, back)


@pytest.mark.parametrize("line", FILTERS)
def test_the_database_filters_as_the_in_memory_language_does(
    connection: Connection, all_rows: list[tuple[Any, RowFacts]], line: str
):
    rows = [row for row, facts in all_rows if is_match(parse_query(line, NOW), facts)]

    found = pagination.list_matching(connection, parse_filter(line))

    assert pagination.list_uuids(connection, found) == [row.uuid for row in rows]
    assert pagination.count_matching(connection, parse_filter(line).conditions) in (len(rows), None)
    assert set(
        pagination.filter_matching_uuids(
            connection, parse_filter(line), [row.uuid for row, _ in all_rows]
        )
    ) == {row.uuid for row in rows}


def test_a_walk_that_takes_too_long_stops_and_continues_from_there(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    set_small_limits(monkeypatch, 10, 10, 10, 60)
    monkeypatch.setattr(pagination, "TIME_LIMIT", 0.0)

    found = pagination.read_page(
        connection,
        parse_filter("!encode !load !sha256 !backup !resnet !one"),
        "created",
        True,
        None,
        False,
        5,
    )

    assert (found.rowids, found.after, found.total) == ([], True, None)
    assert found.stopped is not None
    assert list_all_numbers(connection, "s07", "created", True, False, 5) == sort_numbers(
        [row for row in reads.list_tasks(connection) if "s07" in search_text.make_text(row)],
        "created",
        True,
    )


@pytest.mark.parametrize(
    ("line", "along"), [("encode status:failed", "status"), ("s07 status:succeeded", "a word")]
)
def test_the_rarer_of_a_word_and_a_state_drives_the_walk(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, line: str, along: str
):
    set_small_limits(monkeypatch, 10, 10, 10, 10**6)

    best = pagination.PageQuery(connection, parse_filter(line)).ways().best

    assert (
        best.column
        if isinstance(best, candidates.ValueSource)
        else "a word"
        if isinstance(best, candidates.IndexSource)
        else best
    ) == along


def test_a_word_common_only_in_the_newest_tasks_is_walked_along(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    set_small_limits(monkeypatch, 10, 10, 10, 10**6)
    connection.exec_driver_sql(
        "UPDATE tasks SET name = 'sweep' WHERE number > (SELECT value - 200 FROM counters WHERE"
        " name = 'task-number')"
    )

    assert isinstance(
        pagination.PageQuery(connection, parse_filter("sweep status:succeeded")).ways().best,
        candidates.IndexSource,
    )


@pytest.mark.parametrize(
    ("line", "hints"),
    [
        ("template:train load", ("train",)),
        ("template:train", ()),
        ("!template:train load", ()),
        ("name:ENC*S01", ("enc", "s01")),
    ],
)
def test_words_in_every_match_are_looked_up_in_the_text_index(line: str, hints: tuple[str, ...]):
    assert parse_filter(line).hints == hints


def test_a_page_may_begin_where_a_deleted_row_was(connection: Connection):
    newest = list_positions(
        connection,
        pagination.read_page(connection, parse_filter(""), "number", True, None, False, 4),
        "number",
    )
    connection.exec_driver_sql("DELETE FROM tasks WHERE number = ?", (newest[1].number,))

    after = list_positions(
        connection,
        pagination.read_page(connection, parse_filter(""), "number", True, newest[1], False, 2),
        "number",
    )
    before = list_positions(
        connection,
        pagination.read_page(connection, parse_filter(""), "number", True, newest[1], True, 2),
        "number",
    )

    assert (after, before) == (newest[2:], newest[:1])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("down", [True, False])
def test_no_page_sorts_or_scans_the_tasks_table(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, order: str, down: bool
):
    set_small_limits(monkeypatch, 10, 10, 10, 60)
    asked: dict[str, Any] = {}
    plain = raw_sql.execute_on_driver

    def execute(driver: Any, statement: str, given: Any, many: bool = False) -> Any:
        asked.setdefault(statement, given)
        return plain(driver, statement, given, many)

    monkeypatch.setattr(raw_sql, "execute_on_driver", execute)
    for line in ("", "status:failed", "encode", "queue:gpu by:ann", "since:2d"):
        first = pagination.read_page(connection, parse_filter(line), order, down, None, False, 5)
        pagination.read_page(
            connection,
            parse_filter(line),
            order,
            down,
            list_positions(connection, first, order)[-1],
            False,
            5,
        )
    driver: Any = connection.connection.driver_connection
    plans = {
        query: [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {query}", given)]
        for query, given in asked.items()
    }

    walks = {
        query: plan
        for query, plan in plans.items()
        for line in plan
        if _scans_or_sorts(query, line)
    }
    assert walks == {}


def _scans_or_sorts(query: str, line: str) -> bool:
    """Tell whether a plan step reads all tasks or sorts them."""
    if "B-TREE" in line:
        return "json_each" not in query  # rows picked earlier are sorted here
    return re.match(r"SCAN (tasks|t|search_content|k)\b", line) is not None and "LIMIT" not in query
