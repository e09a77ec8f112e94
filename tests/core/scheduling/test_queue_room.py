"""Queues that limit more than their pool does."""

from __future__ import annotations

import pytest

from app.core.scheduling.queue_room import is_outgrown


@pytest.mark.parametrize(
    ("capacity", "cores", "new_cores", "expected"),
    [
        (2, 2.0, 16.0, True),
        (2, 0.0, 2.9, False),
        (2, 1.0, 3.0, True),
        (1000, 2.0, 16.0, False),
        (1, 4.0, 8.0, False),
        (4, 4.0, 4.9, False),
        (4, 4.0, 2.0, False),
        (0, 0.0, 0.0, False),
    ],
)
def test_a_pool_outgrows_a_queue_that_did_not_limit_before(capacity, cores, new_cores, expected):
    assert is_outgrown(capacity, cores, new_cores) is expected
