"""When a task is late, and how that reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import sla

MINUTE, HOUR = 60.0, 3600.0
FINISHES = sla.parse({"preset": "finishes-within", "value": "45m", "match": {"template": "encode"}})
STARTS = sla.parse({"preset": "starts-within", "value": "30m"})


@pytest.mark.parametrize(
    ("rule", "facts", "now", "late", "text", "short"),
    [
        (FINISHES, sla.Facts(0, None, 1), 57 * MINUTE, True, "running 57m, allowed 45m", "57m > 45m"),
        (
            FINISHES,
            sla.Facts(0, None, 40 * MINUTE),
            57 * MINUTE,
            True,
            "waited 40m, running 17m, allowed 45m",
            "57m > 45m",
        ),
        (FINISHES, sla.Facts(0), 57 * MINUTE, True, "waiting 57m, allowed 45m in all", "57m > 45m"),
        (FINISHES, sla.Facts(0, None, 1, 50 * MINUTE), 9 * HOUR, True, "took 50m, allowed 45m", "50m > 45m"),
        (FINISHES, sla.Facts(0, None, 1, 40 * MINUTE), 9 * HOUR, False, "took 40m, allowed 45m", "40m > 45m"),
        (FINISHES, sla.Facts(0, None, 1), 44 * MINUTE, False, "running 44m, allowed 45m", "44m > 45m"),
        (STARTS, sla.Facts(0), 132 * MINUTE, True, "waiting 2h12m, allowed 30m", "2h12m > 30m"),
        (STARTS, sla.Facts(0, HOUR), 80 * MINUTE, False, "waiting 20m, allowed 30m", "20m > 30m"),
        (STARTS, sla.Facts(0, HOUR), 95 * MINUTE, True, "waiting 35m, allowed 30m", "35m > 30m"),
        (STARTS, sla.Facts(0, None, 40 * MINUTE), 9 * HOUR, True, "waited 40m, allowed 30m", "40m > 30m"),
        (STARTS, sla.Facts(0, None, None, 10 * MINUTE), 9 * HOUR, False, "waited 10m, allowed 30m", "10m > 30m"),
    ],
)
def test_a_task_is_late_when_its_time_is_up_and_the_words_say_what_it_did(
    rule: sla.Rule, facts: sla.Facts, now: float, late: bool, text: str, short: str
) -> None:
    verdict = sla.judge(rule, facts, now)
    assert (verdict.late, verdict.text, verdict.short) == (late, text, short)


TIMES = st.integers(0, 10_000).map(float)


@settings(deadline=None)
@given(TIMES, st.none() | TIMES, st.none() | TIMES, TIMES)
def test_a_task_that_did_what_is_asked_is_judged_the_same_for_ever(
    created: float, not_before: float | None, waited: float | None, ran: float
) -> None:
    started = None if waited is None else max(created, not_before or 0) + waited
    facts = sla.Facts(created, not_before, started, (started if started is not None else created) + ran)
    for rule in (FINISHES, STARTS):
        assert sla.judge(rule, facts, 20_000.0) == sla.judge(rule, facts, 90_000.0)


@settings(deadline=None)
@given(TIMES, st.none() | TIMES)
def test_an_open_task_is_late_from_its_due_moment_on(created: float, not_before: float | None) -> None:
    for rule in (FINISHES, STARTS):
        due = sla.judge(rule, sla.Facts(created, not_before), created).due
        assert not sla.judge(rule, sla.Facts(created, not_before), due - 0.001).late
        assert sla.judge(rule, sla.Facts(created, not_before), due).late


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (3, "conditions must be a table"),
        ({"preset": "finishes"}, "preset must be finishes-within or starts-within"),
        ({"preset": "starts-within"}, "value must be a duration"),
        ({"preset": "starts-within", "value": "-1s"}, "value must not be negative"),
        ({"preset": "starts-within", "value": True}, "value must be a duration"),
        ({"preset": "starts-within", "value": "1s", "when": 1}, 'unknown key "when"'),
        ({"preset": "starts-within", "value": "1s", "match": {"queue": "a/b"}}, "queue must be a name"),
        ({"preset": "starts-within", "value": "1s", "match": {"tag": "x"}}, "tag must be KEY=VALUE"),
        ({"preset": "starts-within", "value": "1s", "match": "media"}, "match must be a table"),
    ],
)
def test_conditions_that_make_no_sense_are_refused_by_their_key(conditions: object, words: str) -> None:
    with pytest.raises(ValueError, match="conditions") as caught:
        sla.parse(conditions)
    assert words in str(caught.value)


def test_a_rule_reads_as_a_sentence() -> None:
    rule = sla.parse({"preset": "starts-within", "value": 1800, "match": {"queue": "gpu", "tag": "team=ml"}})
    assert sla.describe(rule) == "starts within 30m, queue gpu, tag team=ml"
    assert sla.describe(FINISHES) == "finishes within 45m, template encode"


@pytest.mark.parametrize(
    ("priority", "word"), [(0, "info"), (1, "info"), (2, "warning"), (3, "critical"), (9, "critical")]
)
def test_a_higher_priority_is_more_severe(priority: int, word: str) -> None:
    assert sla.severity(priority) == word
