"""The index of a database, filled at once: within a transaction that has an empty one attached, or as a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from app.service.tasks import search_text
from db.engine import write_engine
from db.search import fts, index_file
from db.search.index_file import Index


def fill(c: Connection, batches: int = 1_000_000) -> None:
    """Index so many batches, by default all, in the index that a writer has in memory."""
    driver: Any = c.connection.driver_connection
    if not fts.known(c).place:
        mark = fts.new_mark()
        driver.execute(index_file.BEGIN, (mark,))
        fts.share(c, mark)
    while batches and (batch := fts.batch(c)) is not None and (batch.rows or batch.changed):
        index_file.write(driver, batch, [(row.number, search_text.stored(row)) for row in batch.rows])
        if batch.mark is not None:
            fts.share(c, batch.mark, batch.stale)
        batches -= 1


def fill_file(path: Path, batches: int = 1_000_000) -> None:
    """Index so many batches, by default all, in the file beside a database."""
    with closing(Index(index_file.beside(path))) as writer, _engine(path) as engine:
        if not writer.path.exists():
            with engine.begin() as c:
                fts.share(c, writer.make())
        attach(engine, path)
        while batches and _step(engine, writer):
            batches -= 1
        while writer.merge():
            pass


@contextmanager
def _engine(path: Path) -> Iterator[Engine]:
    engine = write_engine(path)
    yield engine
    engine.dispose()


def _step(engine: Engine, writer: Index) -> bool:
    """One batch; False when there is nothing to do."""
    with engine.begin() as c:
        batch = fts.batch(c)
        if batch is None or not (batch.rows or batch.changed):
            return False
        writer.store(batch, search_text.stored)
        if batch.mark is not None:
            fts.share(c, batch.mark, batch.stale)
    return True


def attach(engine: Engine, path: Path) -> None:
    """Let a writer's connection have the file, as readers have it."""
    driver: Any = engine.raw_connection().driver_connection
    driver.execute("DETACH found")
    index_file.attach(driver.execute, index_file.beside(path))
