"""A search index filled at once: in memory within a transaction, or as a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from app.service.tasks import search_text
from db.engine import create_write_engine
from db.search import fts, index_file
from db.search.index_file import IndexWriter


def fill_attached_index(c: Connection, batches: int = 1_000_000) -> None:
    """Index `batches` batches, by default all, in the writer's index in memory."""
    driver: Any = c.connection.driver_connection
    if not fts.read_state(c).mark_position:
        mark = fts.make_mark()
        driver.execute(index_file.INSERT_FIRST_MARK, (mark,))
        fts.record_batch(c, mark)
    while batches and (batch := fts.read_batch(c)) is not None and (batch.rows or batch.changed):
        index_file.write_batch(
            driver, batch, [(row.number, search_text.make_stored_text(row)) for row in batch.rows]
        )
        if batch.mark is not None:
            fts.record_batch(c, batch.mark, batch.stale)
        batches -= 1


def fill_index_file(path: Path, batches: int = 1_000_000) -> None:
    """Index `batches` batches, by default all, in the file beside the database."""
    with (
        closing(IndexWriter(index_file.get_index_path(path))) as writer,
        _open_engine(path) as engine,
    ):
        if not writer.path.exists():
            with engine.begin() as c:
                fts.record_batch(c, writer.create())
        attach_index_file(engine, path)
        while batches and _index_one_batch(engine, writer):
            batches -= 1
        while writer.merge():
            pass


@contextmanager
def _open_engine(path: Path) -> Iterator[Engine]:
    engine = create_write_engine(path)
    yield engine
    engine.dispose()


def _index_one_batch(engine: Engine, writer: IndexWriter) -> bool:
    """Index one batch; return False when nothing is left to do."""
    with engine.begin() as c:
        batch = fts.read_batch(c)
        if batch is None or not (batch.rows or batch.changed):
            return False
        writer.store(batch, search_text.make_stored_text)
        if batch.mark is not None:
            fts.record_batch(c, batch.mark, batch.stale)
    return True


def attach_index_file(engine: Engine, path: Path) -> None:
    """Attach the index file to a writer's connection, as for a reader."""
    driver: Any = engine.raw_connection().driver_connection
    driver.execute("DETACH found")
    index_file.attach_index(driver.execute, index_file.get_index_path(path))
