"""What the tests on a real terminal share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.house import House


@pytest.fixture
def house() -> Iterator[House]:
    """A home of its own, emptied of processes afterwards. Its path is short: it stands on screens."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = House(Path(root))
        try:
            yield found
        finally:
            found.close()
