"""What the end of a run means: its state, its reason in words, and whether the task tries again."""

from __future__ import annotations

from typing import Any

from app.core.scheduling.retry import next_attempt
from app.core.text.exit_text import exit_words
from app.core.text.sanitize import clean
from app.core.text.units import duration, memory
from app.runtime.usage import LOG_LIMIT
from db import timestamps
from db.queries.transitions import RunFacts, Verdict
from db.states import Run

_STOPPED = {"cancel": Run.CANCELLED, "timeout": Run.TIMED_OUT, "log limit": Run.FAILED}


def judge(run: RunFacts, end: dict[str, Any]) -> Verdict:
    """`end` is the keeper's record: code, signal, reason, stop, lost, again (false: it may live on, and no retry is to start it a second
    time). A stop that was asked for wins over a clean exit after it, and a cancel over all retries, though the run was lost meanwhile."""
    status = _status(run, end)
    asked = run.stop_reason or end.get("stop")
    cancelled = asked and _STOPPED.get(asked, Run.CANCELLED) is Run.CANCELLED
    retries = run.retries if end.get("again", True) and not cancelled else 0
    retry_in = next_attempt(run.failures + 1, retries, run.retry_delay, status.value)
    reason = _reason(status, run, end)
    # The keeper names programs and folders as they are, of any bytes.
    return Verdict(status, None if reason is None else clean(reason), retry_in)


def _status(run: RunFacts, end: dict[str, Any]) -> Run:
    if end.get("lost"):
        return Run.LOST
    asked = run.stop_reason or end.get("stop")
    if asked:
        return _STOPPED.get(asked, Run.CANCELLED)
    return Run.SUCCEEDED if end.get("code") == 0 else Run.FAILED


def _reason(status: Run, run: RunFacts, end: dict[str, Any]) -> str | None:
    if status is Run.SUCCEEDED:
        return None
    if status is Run.LOST:
        return end.get("reason") or "the outcome cannot be known"
    if status is Run.CANCELLED:
        return f"cancelled by {run.stopped_by or 'taskdeck'}"
    if status is Run.TIMED_OUT:
        return f"limit {duration(_limit(run))}"
    if (run.stop_reason or end.get("stop")) == "log limit":
        return f"log limit {memory(LOG_LIMIT if run.log_limit is None else run.log_limit)}"
    return exit_words(end.get("code"), end.get("signal"), end.get("reason"))


def _limit(run: RunFacts) -> float | None:
    """The limit that the run was started with: that of its task may have been changed meanwhile."""
    if run.deadline is None or run.start_time is None:
        return run.timeout
    return timestamps.unix(run.deadline) - timestamps.unix(run.start_time)
