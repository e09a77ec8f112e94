"""Pane heights, at default and chosen sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.screens.deck.pane_heights import BOTTOM, compute_layout, resize_pane

pytestmark = pytest.mark.unit

SIZES = st.dictionaries(st.sampled_from(["queues", "pools", "alerts"]), st.integers(-60, 60))


@given(
    st.integers(80, 240), st.integers(24, 80), st.sampled_from([0, 1, 2]), st.integers(0, 40),
    st.integers(0, 20),
    st.integers(0, 200), SIZES,
)  # fmt: skip
def test_the_panes_fill_the_screen_whatever_sizes_were_chosen(
    width: int,
    height: int,
    banner: int,
    queues: int,
    pools: int,
    alerts: int,
    sizes: dict[str, int],
):
    found = compute_layout(width, height, banner, queues, pools, alerts, sizes)
    assert found.header + banner + found.top + found.work + found.alerts + BOTTOM == height
    assert min(found.queues, found.pools, found.alerts) >= 2
    assert found.work >= 3


def test_a_growing_pane_takes_its_line_from_the_work_pane():
    usual = compute_layout(80, 40, 0, 5, 2, 3)
    taller = compute_layout(80, 40, 0, 5, 2, 3, resize_pane({}, "queues", 1))
    assert (taller.queues, taller.work) == (usual.queues + 1, usual.work - 1)


def test_the_work_pane_grows_at_the_expense_of_alerts():
    usual = compute_layout(120, 40, 0, 5, 2, 3)
    taller = compute_layout(120, 40, 0, 5, 2, 3, resize_pane({}, "work", 1))
    assert (taller.alerts, taller.work) == (usual.alerts - 1, usual.work + 1)
