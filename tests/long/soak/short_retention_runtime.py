"""`python -m tests.long.soak.short_retention_runtime HOME`: the runtime in the foreground, with the rule of thirty days made seconds.

Everything else is as in a home of any user: what a day would remove over a month goes within the trial.
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
"""Seconds between two rounds of the cleanup."""


class FrequentCleanup(periodic.Duties):
    """The duties, with a cleanup that comes often."""

    def list_duties(self) -> tuple[periodic.Duty, ...]:
        """All of them."""
        return tuple(replace(duty, every=CLEANUP_INTERVAL) if duty.name == "cleanup" else duty for duty in super().list_duties())


if __name__ == "__main__":
    periodic.KEPT = RETENTION
    serving.Duties = FrequentCleanup
    sys.exit(serving.serve(Path(sys.argv[1])))
