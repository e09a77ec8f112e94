"""Fixtures of the tests of rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.rules.virtual_home import VirtualHome, open_virtual_home


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    """Open a home with a virtual clock."""
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        yield found
