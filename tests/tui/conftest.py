"""Apps under test are looked at more often: Textual's own pace, fifty times a second, is most of what these tests take."""

from __future__ import annotations

import pytest
from textual import _wait

OFTEN = 1 / 125
"""Seconds between two looks at whether an app has come to rest."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait for rest looks this often."""
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", OFTEN)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", OFTEN / 20)
