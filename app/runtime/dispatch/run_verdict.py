"""Verdict on an ended run: its state, reason and retry."""

from __future__ import annotations

from typing import Any

from app.cluster import STOP_REASON
from app.core.oom_retry import (
    choose_memory,
    describe_kill,
    describe_retry,
    is_out_of_memory,
    parse_oom_retry,
)
from app.core.scheduling.retry import compute_retry_delay
from app.core.text.exit_text import format_exit
from app.core.text.sanitize import sanitize
from app.core.text.units import format_duration, format_memory
from app.runtime.duties.usage import LOG_LIMIT
from db.queries.tasks.run_end import RunFacts, RunVerdict
from db.rows import get_run_limit
from db.states import RunStatus

_STOP_STATES = {
    "cancel": RunStatus.CANCELLED,
    "timeout": RunStatus.TIMED_OUT,
    "log limit": RunStatus.FAILED,
    STOP_REASON: RunStatus.LOST,
}


def judge_run(run: RunFacts, end: dict[str, Any]) -> RunVerdict:
    """Return the verdict on an ended run.

    `end` is the keeper's record: code, signal, reason, stop, lost, again (false if the run may
    still be alive, so that no retry starts it twice). A requested stop overrides a later clean
    exit. A cancel overrides all retries, even if the run was lost.
    """
    status = _find_status(run, end)
    stop_reason = run.stop_reason or end.get("stop")
    cancelled = (
        stop_reason and _STOP_STATES.get(stop_reason, RunStatus.CANCELLED) is RunStatus.CANCELLED
    )
    retries = run.retries if end.get("again", True) and not cancelled else 0
    retry_in = compute_retry_delay(run.failures + 1, retries, run.retry_delay, status.value)
    reason = _format_reason(status, run, end)
    if is_out_of_memory(end, run.memory or 0.0, bool(stop_reason)):
        if run.retry_on_oom:
            return _judge_out_of_memory(run, end, reason or "", retry_in)
        reason = f"{reason}; {describe_kill(end, run.memory)}"
    # Program and folder names in the keeper's record may contain any bytes.
    return RunVerdict(status, None if reason is None else sanitize(reason), retry_in)


def _judge_out_of_memory(
    run: RunFacts, end: dict[str, Any], reason: str, retry_in: float | None
) -> RunVerdict:
    """Return the verdict on a run that was killed for memory: a retry with more, once."""
    used = (end.get("maxrss") or 0) / 1024
    before = max(run.memory, used)
    rule = parse_oom_retry(run.retry_on_oom or "")
    memory = choose_memory(rule, run.memory, used, run.pool_memory)
    if run.oom_memory is not None:
        note = f"out of memory again at {format_memory(before)}"
    elif memory is None:
        limit = f"its limit {format_memory(rule.most)}" if rule.most else "the pool"
        note = f"out of memory at {format_memory(before)}, and {limit} allows no more"
    else:
        note, retry_in = describe_retry(before, memory), run.retry_delay
    memory = None if run.oom_memory is not None else memory
    return RunVerdict(RunStatus.FAILED, f"{reason}; {note}", retry_in, memory, memory and before)


def _find_status(run: RunFacts, end: dict[str, Any]) -> RunStatus:
    if end.get("lost"):
        return RunStatus.LOST
    stop_reason = run.stop_reason or end.get("stop")
    if stop_reason:
        return _STOP_STATES.get(stop_reason, RunStatus.CANCELLED)
    return RunStatus.SUCCEEDED if end.get("code") == 0 else RunStatus.FAILED


def _format_reason(status: RunStatus, run: RunFacts, end: dict[str, Any]) -> str | None:
    if status is RunStatus.SUCCEEDED:
        return None
    if status is RunStatus.LOST:
        if end.get("stop") == STOP_REASON and not end.get("lost"):
            return "ended by the cluster, which took the home off its host"
        return end.get("reason") or "the outcome cannot be known"
    if end.get("by") == "slurm" and not run.stop_reason and end.get("reason"):
        return end["reason"]
    if status is RunStatus.CANCELLED:
        return f"cancelled by {run.stopped_by or 'taskdeck'}"
    if status is RunStatus.TIMED_OUT:
        return f"limit {format_duration(get_run_limit(run.start_time, run.deadline, run.timeout))}"
    if (run.stop_reason or end.get("stop")) == "log limit":
        return f"log limit {format_memory(LOG_LIMIT if run.log_limit is None else run.log_limit)}"
    return format_exit(end.get("code"), end.get("signal"), end.get("reason"))
