"""A runtime with a retention of seconds: `python -m tests.long.soak.short_retention_runtime HOME`.

Everything else equals a user's home: rows that a month would delete are deleted within the test.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import app.runtime.serve as serving
from app.runtime import periodic

RETENTION = timedelta(seconds=15)
CLEANUP_INTERVAL = 3
"""Seconds between two cleanups."""


class FrequentCleanup(periodic.Duties):
    """Periodic jobs with frequent cleanups."""

    def list_duties(self) -> tuple[periodic.Duty, ...]:
        return tuple(
            replace(duty, every=CLEANUP_INTERVAL) if duty.name == "cleanup" else duty
            for duty in super().list_duties()
        )


if __name__ == "__main__":
    periodic.KEPT = RETENTION
    serving.Duties = FrequentCleanup
    sys.exit(serving.serve(Path(sys.argv[1])))
