"""`python -m tests.soak.serving HOME`: the runtime in the foreground, with the rule of thirty days made seconds.

Everything else is as in a home of any user: what a day would remove over a month goes within the trial.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import app.runtime.serve as serving
from app.runtime import duties

KEPT = timedelta(seconds=15)
EVERY = 3
"""Seconds between two rounds of the cleanup."""


class Hasty(duties.Duties):
    """The duties, with a cleanup that comes often."""

    def table(self) -> tuple[duties.Duty, ...]:
        """All of them."""
        return tuple(replace(duty, every=EVERY) if duty.name == "cleanup" else duty for duty in super().table())


if __name__ == "__main__":
    duties.KEPT = KEPT
    serving.Duties = Hasty
    sys.exit(serving.serve(Path(sys.argv[1])))
