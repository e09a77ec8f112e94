"""Tests of retries."""

import pytest

from app.core.scheduling.retry import compute_retry_delay


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "lost"])
def test_a_failure_is_retried_after_the_delay_as_often_as_allowed(outcome: str):
    assert [compute_retry_delay(attempt, 2, 5.0, outcome) for attempt in (1, 2, 3)] == [
        5.0,
        5.0,
        None,
    ]


@pytest.mark.parametrize("outcome", ["succeeded", "cancelled"])
def test_a_success_and_a_cancel_are_final(outcome: str):
    assert compute_retry_delay(1, 9, 5.0, outcome) is None


def test_a_lost_run_is_retried_only_if_the_task_allows_retries():
    assert compute_retry_delay(1, 0, 0.0, "lost") is None


def test_a_retry_without_delay_is_due_at_once():
    assert compute_retry_delay(1, 1, 0.0, "failed") == 0.0
