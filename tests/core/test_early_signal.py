"""Tests of the signal before a timeout."""

from __future__ import annotations

import pytest

from app.core.early_signal import EarlySignal, find_conflict, normalize, parse_early_signal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("usr1@5m", "USR1@5m"),
        ("SIGUSR2@90", "USR2@1m30s"),
        ("10", "USR1@1m"),
        ("TERM@1h", "TERM@1h"),
    ],
)
def test_a_text_is_read_as_slurm_reads_it(text: str, stored: str):
    assert normalize(text) == stored
    assert str(parse_early_signal(stored)) == stored


def test_a_stored_text_is_a_number_and_seconds():
    assert parse_early_signal("USR1@5m") == EarlySignal(10, 300.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("USR3@5m", "Nearest: USR"),
        ("KILL@5m", "that a program can handle"),
        ("19", "that a program can handle"),
        ("USR1@", "must"),
        ("USR1@soon", "must"),
        ("@5m", "must be SIGNAL@TIME"),
        ("99", "must be SIGNAL@TIME"),
    ],
)
def test_an_unusable_signal_is_refused(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        normalize(text)


def test_a_signal_must_come_between_start_and_timeout():
    assert find_conflict(None, None) == find_conflict("USR1@5m", 301.0) == ""
    assert "there is no timeout" in find_conflict("USR1@5m", None)
    assert "before the start: the timeout is 5m" in find_conflict("USR1@5m", 300.0)
