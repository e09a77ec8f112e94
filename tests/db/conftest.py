"""A transaction on a real database, and a builder of tasks in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db.engine import create_write_engine
from tests.db.builders import TaskBuilder


@pytest.fixture
def connection(database_path: Path) -> Iterator[Connection]:
    engine = create_write_engine(database_path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def builder(connection: Connection) -> TaskBuilder:
    return TaskBuilder(connection)
