"""The life of an alert: waiting, firing, escalation, and the time that it is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.rules.alert_state import FIRING, PENDING, Step, SubjectState, Timing, advance


def run(truths: list[tuple[float, bool]], timing: Timing) -> list[tuple[float, str]]:
    """Return the changes of a sequence of (time, condition)."""
    state, found = None, []
    for now, truth in truths:
        step = advance(state, truth, now, now, timing)
        state = step.state
        found += [(now, step.change)] if step.change else []
    return found


def test_a_condition_must_hold_for_its_time():
    timing = Timing(wait=60)
    assert run([(0, True), (59, True), (60, True)], timing) == [(60, "fire")]
    assert run([(0, True), (59, False), (60, True), (119, True)], timing) == []


def test_a_short_clear_does_not_resolve():
    timing = Timing(keep=30)
    steps = [(0, True), (10, False), (20, True), (30, False), (59, False), (60, False)]
    assert run(steps, timing) == [(0, "fire"), (60, "resolve")]


def test_an_alert_escalates_once():
    timing = Timing(escalate_after=100)
    assert run([(0, True), (99, True), (100, True), (200, True)], timing) == [
        (0, "fire"), (100, "escalate"),
    ]  # fmt: skip


def test_an_inhibited_rule_waits_and_then_fires():
    waiting = advance(None, True, 0, 0, Timing(), is_inhibited=True)
    assert waiting == Step(SubjectState(PENDING, 0))
    assert advance(waiting.state, True, 5, 5, Timing()).change == "fire"
    firing = SubjectState(FIRING, 0, 0)
    assert advance(firing, True, 9, 9, Timing(), is_inhibited=True).change == ""


def test_a_fire_has_the_time_at_which_it_was_due():
    step = advance(None, True, 10, 500, Timing(wait=60))
    assert step.state == SubjectState(FIRING, 10, 70)


TIMINGS = st.builds(
    Timing, st.floats(0, 100), st.floats(0, 100), st.none() | st.floats(0, 500)
)  # fmt: skip


@given(st.lists(st.tuples(st.floats(0.001, 100), st.booleans())), TIMINGS)
def test_changes_alternate_and_keep_their_times(
    steps: list[tuple[float, bool]], timing: Timing
):  # fmt: skip
    now, state, true_since, false_since, last = 0.0, None, None, None, "resolve"
    for gap, truth in steps:
        now += gap
        true_since = (now if true_since is None else true_since) if truth else None
        false_since = None if truth else (now if false_since is None else false_since)
        step = advance(state, truth, now, now, timing)
        if step.change == "fire":
            assert last == "resolve" and true_since is not None and now >= true_since + timing.wait
        if step.change == "resolve":
            assert false_since is not None and now >= false_since + timing.keep
        if step.change == "escalate":
            assert last == "fire" and truth
        if step.change:
            last = step.change
        # the same moment again changes nothing
        again = advance(step.state, truth, now, now, timing)
        assert again.change in ("", "escalate") and (again.state is None) == (step.state is None)
        state = step.state
