"""What the tests on a real terminal share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.house import House
from tests.core.traces import CASES

collect_ignore = [] if CASES and (CASES / "terminal").is_dir() else ["test_recordings.py"]


@contextmanager
def opened() -> Iterator[House]:
    """A home of its own, emptied of processes afterwards. Its path is short: it stands on screens."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = House(Path(root))
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def house() -> Iterator[House]:
    """A home for one test."""
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def shared_house() -> Iterator[House]:
    """A home for the tests of a module, which only look at it."""
    with opened() as found:
        yield found
