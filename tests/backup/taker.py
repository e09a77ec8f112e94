"""A process that takes backups until it is killed: `python -m tests.backup.taker DATABASE FOLDER`; it says a byte before each."""

from __future__ import annotations

import sys
from pathlib import Path

from db.backup.taking import Rules, take

if __name__ == "__main__":
    while True:
        sys.stdout.buffer.raw.write(b".")  # type: ignore[attr-defined]
        take(Path(sys.argv[1]), Path(sys.argv[2]), Rules(), beside={"config": b"theme = 'dark'\n"})
