"""Retry decision of an ended attempt."""

RETRIED_STATES = frozenset({"failed", "timed_out", "lost"})


def compute_retry_delay(attempt: int, retries: int, delay: float, outcome: str) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    `attempt` counts from 1 and has just ended with `outcome`, a terminal status. `retries` is the
    number of further attempts allowed. A cancelled attempt is never retried.
    """
    return delay if outcome in RETRIED_STATES and attempt <= retries else None
