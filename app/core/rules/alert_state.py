"""State of a rule for one subject, as a pure step: inactive, pending, firing, resolved."""

from __future__ import annotations

from typing import NamedTuple

PENDING, FIRING = "pending", "firing"


class Timing(NamedTuple):
    """Seconds that a rule waits before it fires, resolves and escalates."""

    wait: float = 0.0
    keep: float = 0.0
    escalate_after: float | None = None


class SubjectState(NamedTuple):
    """Memory of a rule about a subject; inactive subjects have none.

    `since` is when the condition became true, `clear_since` when it became false again.
    """

    phase: str
    since: float
    fired_at: float | None = None
    clear_since: float | None = None
    is_escalated: bool = False


class Step(NamedTuple):
    """Next state, None if inactive; the change of the alert; when to look again.

    `change` is `fire`, `resolve`, `escalate` or "".
    """

    state: SubjectState | None
    change: str = ""
    next_at: float | None = None


def advance(
    state: SubjectState | None,
    truth: bool,
    since: float,
    now: float,
    timing: Timing,
    is_inhibited: bool = False,
) -> Step:
    """Return the next state of a subject at a UNIX time.

    `since` is when a true condition became true. An inhibited rule stays pending, and fires once
    the inhibition ends.
    """
    if truth:
        if state is None:
            state = SubjectState(PENDING, min(since, now))
        if state.phase == PENDING:
            return _wait(state, now, timing, is_inhibited)
        return _keep_firing(state._replace(clear_since=None), now, timing)
    if state is None or state.phase == PENDING:
        return Step(None)
    cleared = now if state.clear_since is None else state.clear_since
    if now >= cleared + timing.keep:
        return Step(None, "resolve")
    return Step(state._replace(clear_since=cleared), "", cleared + timing.keep)


def _wait(state: SubjectState, now: float, timing: Timing, is_inhibited: bool) -> Step:
    due = state.since + timing.wait
    if now < due:
        return Step(state, "", due)
    if is_inhibited:
        return Step(state)
    fired = SubjectState(FIRING, state.since, due)
    return Step(fired, "fire", _find_escalation(fired, timing))


def _keep_firing(state: SubjectState, now: float, timing: Timing) -> Step:
    due = _find_escalation(state, timing)
    if due is None or now < due:
        return Step(state, "", due)
    return Step(state._replace(is_escalated=True), "escalate")


def _find_escalation(state: SubjectState, timing: Timing) -> float | None:
    if timing.escalate_after is None or state.is_escalated or state.fired_at is None:
        return None
    return state.fired_at + timing.escalate_after
