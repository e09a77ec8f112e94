"""A database whose content after each step is known, so that any copy can be verified."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

TEXT_WIDTH = 300


def make_text(step: int) -> str:
    """Return the text of a step: as long as a task row, and unique."""
    return f"{step * 2654435761 % 2**32:08x}" * (TEXT_WIDTH // 8)


def create_database(path: Path, steps: int) -> None:
    """Create a database in WAL mode with the given number of steps."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        c.execute("PRAGMA journal_mode=WAL")
        c.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, said TEXT NOT NULL)")
        c.execute("CREATE TABLE last (step INTEGER NOT NULL)")
        c.execute("INSERT INTO last VALUES (0)")
        c.execute("CREATE TABLE home (uuid TEXT NOT NULL, parent TEXT, created_at TEXT NOT NULL)")
        c.execute(
            "INSERT INTO home VALUES (?, NULL, '2026-01-01T00:00:00.000000Z')", (str(uuid4()),)
        )
        c.execute("BEGIN")
        for step in range(1, steps + 1):
            write_step(c, step)
        c.execute("COMMIT")


def write_step(c: sqlite3.Connection, step: int) -> None:
    """Insert one row and change an older one."""
    c.execute("INSERT INTO steps VALUES (?, ?)", (step, make_text(step)))
    c.execute("UPDATE steps SET said = ? WHERE id = ?", (make_text(step + 7), step // 2))
    c.execute("UPDATE last SET step = ?", (step,))


def write_steps(path: Path, steps: int) -> None:
    """Write more steps, each in its own transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        c.execute("PRAGMA synchronous=OFF")
        (last,) = c.execute("SELECT step FROM last").fetchone()
        for step in range(last + 1, last + 1 + steps):
            c.execute("BEGIN IMMEDIATE")
            write_step(c, step)
            c.execute("COMMIT")


def change_behind_index(path: Path, index: str, change: str) -> None:
    """Run a statement that leaves an index as it is."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        c.execute("PRAGMA writable_schema = ON")
        row = c.execute("SELECT * FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        c.execute("DELETE FROM sqlite_master WHERE name = ?", (index,))
        c.execute("PRAGMA writable_schema = RESET")
        c.execute(change)
        c.execute("PRAGMA writable_schema = ON")
        c.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)


@contextmanager
def run_writer(path: Path) -> Iterator[None]:
    """Write some hundred steps a second in a thread.

    A faster writer would make the database too large to verify.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.01):
            write_steps(path, 5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def assert_exact(image: Path) -> int:
    """Check that the database matches its step, and return the step."""
    with closing(sqlite3.connect(f"file:{image}?mode=ro&immutable=1", uri=True)) as c:
        (last,) = c.execute("SELECT step FROM last").fetchone()
        expected = {step: make_text(step) for step in range(1, last + 1)}
        for step in range(1, last + 1):
            if step // 2 in expected:
                expected[step // 2] = make_text(step + 7)
        assert dict(c.execute("SELECT id, said FROM steps")) == expected
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return last
