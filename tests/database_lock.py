"""A process that holds SQLite's write lock, like `sqlite3` in another terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_SCRIPT = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN IMMEDIATE")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def hold_write_lock(path: Path) -> Iterator[int]:
    """Hold the write lock of a database and yield the holder's pid."""
    command = [sys.executable, "-c", _LOCK_SCRIPT, os.fspath(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None and program.stdout is not None
        program.stdout.readline()
        try:
            yield program.pid
        finally:
            program.stdin.close()
