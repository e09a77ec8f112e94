"""The table of paths: verbs that only read, arguments of `browse`, cursors."""

from __future__ import annotations

from typing import Any

import pytest

from app.client import READ_ONLY_VERBS
from app.errors import Usage
from app.http.endpoints import (
    ENDPOINTS,
    ORDERS,
    TASK_PARAMETERS,
    format_cursor,
    make_browse_arguments,
    parse_cursor,
    shape_task_page,
)
from app.http.parameters import parse_parameters
from app.service.registry import VERBS
from db.search import pagination


def make_arguments(*query: tuple[str, str]) -> dict[str, Any]:
    return make_browse_arguments(parse_parameters(TASK_PARAMETERS, {}, query))


def test_no_path_reaches_a_verb_that_writes():
    assert {one.verb for one in ENDPOINTS} <= READ_ONLY_VERBS & VERBS.keys()


def test_each_path_and_name_is_unique():
    assert len({one.path for one in ENDPOINTS}) == len({one.name for one in ENDPOINTS})
    assert len({one.path for one in ENDPOINTS}) == len(ENDPOINTS)


def test_tasks_can_be_sorted_by_every_order_of_a_page():
    assert set(ORDERS) == set(pagination.ORDERS)


def test_conditions_become_one_filter():
    found = make_arguments(
        ("filter", "encode !old"),
        ("status", "failed"),
        ("status", "timed_out"),
        ("queue", "g*u"),
        ("name", "a, b"),
        ("tag", "env=prod"),
        ("since", "2h"),
    )

    assert found["filter"] == (
        'encode !old status:failed,timed-out queue:"g*u" name:"a, b" tag:"env"="prod" since:"2h"'
    )
    assert (found["order"], found["down"], found["limit"], found["at"]) == (
        "number",
        True,
        100,
        None,
    )


@pytest.mark.parametrize("query", [("queue", 'a" status:held "'), ("tag", 'a="b'), ("name", '"')])
def test_a_value_cannot_leave_its_quotes(query: tuple[str, str]):
    with pytest.raises(Usage, match="does not have the form"):
        make_arguments(query)


def test_a_cursor_is_read_again():
    place = ["2026-01-31 é", 42]

    assert parse_cursor(format_cursor(place)) == place
    assert make_arguments(("after", format_cursor([7, 7])))["at"] == [7, 7]


@pytest.mark.parametrize("text", ["x", "AAAA", "e30", "W1", "MTIz", "W1tb" * 900])
def test_a_faulty_cursor_is_refused(text: str):
    with pytest.raises(Usage, match="after is no cursor"):
        parse_cursor(text)


def make_reply(rows: list[list[Any]], **more: Any) -> dict[str, Any]:
    reply = {"columns": ["number", "group_number", "at"], "rows": rows, "total": 9, "of": 9}
    return reply | {"more_after": False, "stopped": None} | more


def test_a_page_names_the_next_one_until_the_last():
    page = shape_task_page(make_reply([[7, 2, 7], [6, None, 6]], more_after=True), {})

    assert page["tasks"] == [
        {"number": 7, "at": 7, "group": "g2"},
        {"number": 6, "at": 6, "group": None},
    ]
    assert parse_cursor(page["next"]) == [6, 6]
    assert shape_task_page(make_reply([[7, 2, 7]]), {})["next"] is None


def test_a_search_that_stopped_early_goes_on_where_it_stopped():
    page = shape_task_page(make_reply([], stopped=[5, 5], more_after=True), {})

    assert page["tasks"] == [] and parse_cursor(page["next"]) == [5, 5]
