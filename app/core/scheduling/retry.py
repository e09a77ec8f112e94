"""Whether a task gets another attempt, and when."""

RETRIED_STATES = frozenset({"failed", "timed_out", "lost"})


def compute_retry_delay(attempt: int, retries: int, delay: float, outcome: str) -> float | None:
    """Seconds until the next attempt, or None when there is none.

    `attempt` counts from 1 and has just ended with `outcome` (a terminal status); `retries` is how many further
    attempts the task allows. A cancel is a person's word and is never retried.
    """
    return delay if outcome in RETRIED_STATES and attempt <= retries else None
