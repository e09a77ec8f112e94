"""Worker that takes backups until killed.

Run with `python -m tests.long.backup.backup_worker DATABASE FOLDER`. The parent forks a worker for
each input line. A worker prints its pid, and `.` before each backup; the parent prints `x` once the
worker was killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from db.backup.create import BackupRules, take_backup


def take_backups(database: Path, folder: Path) -> None:
    """Take backups forever."""
    os.write(1, f"{os.getpid()}\n".encode())
    while True:
        os.write(1, b".")
        take_backup(database, folder, BackupRules(), companions={"config": b"theme = 'dark'\n"})


if __name__ == "__main__":
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            take_backups(Path(sys.argv[1]), Path(sys.argv[2]))
        os.waitpid(pid, 0)
        os.write(1, b"x")
