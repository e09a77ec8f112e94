"""A transaction on a real database, and tasks to move in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db.engine import write_engine
from tests.db.builders import Made


@pytest.fixture
def c(database: Path) -> Iterator[Connection]:
    """One open transaction, as a move gets it."""
    engine = write_engine(database)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def made(c: Connection) -> Made:
    """Makes tasks and runs in the transaction."""
    return Made(c)
