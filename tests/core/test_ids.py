"""Tests that identifiers sort by creation time."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from app.core.ids import make_following_id, make_uuid7


def test_identifiers_are_uuids_of_version_7() -> None:
    made = UUID(make_uuid7())
    assert (made.version, made.variant) == (7, RFC_4122) and str(made) == str(UUID(str(made)))


def test_later_identifiers_sort_later() -> None:
    made = []
    for _ in range(50):
        made.append(make_uuid7())
        before = made[-1]
        while make_uuid7()[:18] == before[:18]:
            pass
    assert made == sorted(made) and len(set(made)) == 50


def test_ids_derived_from_one_are_distinct_and_ordered() -> None:
    first = make_uuid7()
    found = [make_following_id(first, i) for i in range(10_000)]
    assert found[0] == first and found == sorted(set(found)) and UUID(found[-1]).version == 7
