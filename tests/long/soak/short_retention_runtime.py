"""A runtime with frequent cleanups: `python -m tests.long.soak.short_retention_runtime HOME`.

The configuration keeps ended tasks for seconds, so that the test includes deletions, which in a
user's home begin after a month.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import app.runtime.serve as serving
from app.runtime.duties import periodic

RETENTION = timedelta(seconds=15)
"""Time for which ended tasks are kept. `write_configuration` stores it."""
CLEANUP_INTERVAL = 3
"""Seconds between two cleanups."""


class FrequentCleanup(periodic.Duties):
    """Periodic jobs with frequent cleanups."""

    def list_duties(self) -> tuple[periodic.Duty, ...]:
        return tuple(
            replace(duty, every=CLEANUP_INTERVAL) if duty.name == "cleanup" else duty
            for duty in super().list_duties()
        )


def write_configuration(folder: Path) -> None:
    """Write the configuration below a folder for XDG_CONFIG_HOME."""
    path = folder / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'[retention]\nkeep = "{RETENTION.total_seconds():g}s"\n')


if __name__ == "__main__":
    serving.Duties = FrequentCleanup
    sys.exit(serving.serve(Path(sys.argv[1])))
