"""Tests of the choice of tasks that are taken over."""

from __future__ import annotations

import pytest

from app.core.imports.items import PeerItem, PeerPhase, choose_items, clean_name


def make_item(number: int, *parents: int, phase: PeerPhase = PeerPhase.WAITING, **more) -> PeerItem:
    return PeerItem(
        id=number, created=1.0, command="true", status="queued", phase=phase, queue="q",
        parents=parents, **more,
    )  # fmt: skip


def list_chosen(*items: PeerItem) -> list[int]:
    return [item.id for item in choose_items(items)]


def test_parents_come_first_and_others_keep_their_order():
    assert list_chosen(make_item(5), make_item(2, 9), make_item(9), make_item(1)) == [5, 9, 2, 1]


def test_a_task_stays_with_what_runs_before_it():
    running, child, grandchild = (
        make_item(1, phase=PeerPhase.ACTIVE),
        make_item(2, 1),
        make_item(3, 2),
    )

    assert list_chosen(running, child, grandchild, make_item(4)) == [4]
    assert child.obstacle == "waits for 1, which runs there"
    assert grandchild.obstacle == "waits for 2, which stays"


def test_a_parent_stays_with_its_child():
    parent, child = make_item(1), make_item(2, 1, obstacle="is being edited there")

    assert list_chosen(parent, child) == []
    assert parent.obstacle == "2 waits for it and stays"


def test_a_parent_that_has_succeeded_is_no_dependency_any_more():
    child = make_item(2, 1)

    assert list_chosen(make_item(1, phase=PeerPhase.ENDED, is_done=True), child) == [2]
    assert child.parents == ()


@pytest.mark.parametrize(
    ("parents", "reason"),
    [
        ([make_item(1, phase=PeerPhase.ENDED)], "waits for 1, which has not succeeded"),
        ([], "waits for 1, which is not there any more"),
    ],
)
def test_a_task_whose_parent_cannot_succeed_stays(parents, reason):
    child = make_item(2, 1)

    assert list_chosen(*parents, child) == []
    assert child.obstacle == reason


def test_tasks_that_wait_for_each_other_stay():
    assert list_chosen(make_item(1, 2), make_item(2, 1), make_item(3, 2), make_item(4)) == [4]


def test_a_long_chain_is_chosen_in_linear_time():
    items = [make_item(n, n - 1) if n else make_item(n) for n in range(20_000)]

    assert len(choose_items(items[::-1])) == 20_000


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/b", "a-b"), (".x\x1b[31m", "x [31m"), ("  ", None), (None, None), ("é" * 300, "é" * 200)],
)
def test_a_label_becomes_a_valid_name(text, name):
    assert clean_name(text) == name
