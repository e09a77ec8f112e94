"""Tests of names of groups, indexes of arrays, variables of runs, and progress."""

from __future__ import annotations

import pytest

from app.core import task_groups


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("1-4", [1, 2, 3, 4]),
        ("7", [7]),
        ("7,1,3,1", [1, 3, 7]),
        ("0-10:5", [0, 5, 10]),
        ("0-1, 8-9", [0, 1, 8, 9]),
        ("1-3,2-4", [1, 2, 3, 4]),
        ("1-60000,1-60000", [*range(1, 60_001)]),
    ],
)
def test_an_array_is_a_list_of_indexes_and_ranges(text: str, indexes: list[int]):
    assert task_groups.parse_array(text) == (indexes, None)
    assert task_groups.parse_array(f"{text}%8") == (indexes, 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1-",
        "-1",
        "5-1",
        "1-5:0",
        "1,,2",
        "0-1000000",
        "1-9999999999",
        "1.5",
        "٣",
        "1%",
        "1%0",
        "1%x",
        "%8",
        "1%9999999999",
    ],
)
def test_a_wrong_array_is_refused(text: str):
    with pytest.raises(ValueError, match=r"^(must|ends|has|is) "):
        task_groups.parse_array(text)


def test_a_name_of_a_group_is_g_and_a_number():
    assert task_groups.parse_group("g12") == 12
    assert task_groups.format_group(12) == "g12"
    for word in ("g", "g0", "g012", "G12", "12", "g1x", "g" + "9" * 19):
        assert task_groups.parse_group(word) is None
    assert all(map(task_groups.is_similar, ("G12", "g", "g#12", "g012")))
    assert not task_groups.is_similar("gzip")


def test_a_run_of_a_group_gets_its_place_and_parameters():
    assert task_groups.make_variables(3, 0, {"lr": "0.1"}) == {
        "TASKDECK_GROUP": "g3",
        "TASKDECK_ARRAY_INDEX": "0",
        "TASKDECK_PARAM_lr": "0.1",
    }


@pytest.mark.parametrize(
    ("counts", "ended_lately", "age", "found"),
    [
        ({"running": 2, "queued": 6, "failed": 1, "succeeded": 1}, 4, 120, ("running", 2.0, 240)),
        ({"running": 1, "queued": 9, "succeeded": 90}, 20, 9000, ("running", 2.0, 300)),
        ({"held": 3, "succeeded": 1}, 1, 60, ("held", 1.0, None)),
        ({"running": 3}, 0, 60, ("running", None, None)),
        ({"succeeded": 3, "lost": 1}, 4, 60, ("failed", None, None)),
        ({"succeeded": 3, "cancelled": 1}, 4, 60, ("cancelled", None, None)),
        ({"succeeded": 3}, 3, 60, ("succeeded", None, None)),
        ({"cancelled": 3}, 3, 60, ("cancelled", None, None)),
    ],
)
def test_a_group_has_one_status_a_rate_and_an_expected_end(
    counts: dict[str, int], ended_lately: int, age: float, found: tuple[object, ...]
):
    progress = task_groups.measure_progress(counts, ended_lately, age)

    assert (progress.status, progress.rate, progress.eta) == found
    assert progress.total == sum(counts.values())
