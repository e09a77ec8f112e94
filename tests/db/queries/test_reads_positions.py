"""Places of queued tasks in their queue, counted for many at once."""

from __future__ import annotations

from sqlalchemy import Connection

from db.queries import reads
from tests.db.builders import Made


def test_places_of_many_are_those_of_each_alone_whatever_stands_before_and_behind(c: Connection, made: Made):
    uuids = [made.task(priority=(0, 5, -5)[at % 3] if at % 7 else 9) for at in range(90)]
    rows = reads.by_uuids(c, uuids)
    each = {row.number: reads.position(c, row) for row in rows}

    assert sorted(each.values()) == list(range(90))
    for wanted in ([90], [1], [1, 2, 3, 45, 88, 89, 90], list(each)):
        asked = [row for row in rows if row.number in wanted]
        assert reads.positions(c, "default", asked, 90) == {number: each[number] for number in wanted}


def test_what_was_moved_to_the_front_is_counted_with_the_others(c: Connection, made: Made):
    uuids = [made.task() for _ in range(20)]
    c.exec_driver_sql("UPDATE tasks SET front = number - 15 WHERE number > 15")
    rows = reads.by_uuids(c, uuids)
    each = {row.number: reads.position(c, row) for row in rows}

    assert (each[20], each[16], each[1]) == (0, 4, 5)
    asked = [row for row in rows if row.number in (1, 2, 17)]
    assert reads.positions(c, "default", asked, 20) == {row.number: each[row.number] for row in asked}
