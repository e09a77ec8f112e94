"""Tests of SLA rules: lateness and wording."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import sla

MINUTE, HOUR = 60.0, 3600.0
FINISHES = sla.parse_conditions(
    {"preset": "finishes-within", "value": "45m", "match": {"template": "encode"}}
)
STARTS = sla.parse_conditions({"preset": "starts-within", "value": "30m"})


@pytest.mark.parametrize(
    ("rule", "facts", "now", "late", "text", "short"),
    [
        (
            FINISHES,
            sla.TaskTimes(0, None, 1),
            57 * MINUTE,
            True,
            "running 57m, allowed 45m",
            "57m > 45m",
        ),
        (
            FINISHES,
            sla.TaskTimes(0, None, 40 * MINUTE),
            57 * MINUTE,
            True,
            "waited 40m, running 17m, allowed 45m",
            "57m > 45m",
        ),
        (
            FINISHES,
            sla.TaskTimes(0),
            57 * MINUTE,
            True,
            "waiting 57m, allowed 45m in all",
            "57m > 45m",
        ),
        (
            FINISHES,
            sla.TaskTimes(0, None, 1, 50 * MINUTE),
            9 * HOUR,
            True,
            "took 50m, allowed 45m",
            "50m > 45m",
        ),
        (
            FINISHES,
            sla.TaskTimes(0, None, 1, 40 * MINUTE),
            9 * HOUR,
            False,
            "took 40m, allowed 45m",
            "40m > 45m",
        ),
        (
            FINISHES,
            sla.TaskTimes(0, None, 1),
            44 * MINUTE,
            False,
            "running 44m, allowed 45m",
            "44m > 45m",
        ),
        (STARTS, sla.TaskTimes(0), 132 * MINUTE, True, "waiting 2h12m, allowed 30m", "2h12m > 30m"),
        (
            STARTS,
            sla.TaskTimes(0, HOUR),
            80 * MINUTE,
            False,
            "waiting 20m, allowed 30m",
            "20m > 30m",
        ),
        (
            STARTS,
            sla.TaskTimes(0, HOUR),
            95 * MINUTE,
            True,
            "waiting 35m, allowed 30m",
            "35m > 30m",
        ),
        (
            STARTS,
            sla.TaskTimes(0, None, 40 * MINUTE),
            9 * HOUR,
            True,
            "waited 40m, allowed 30m",
            "40m > 30m",
        ),
        (
            STARTS,
            sla.TaskTimes(0, None, None, 10 * MINUTE),
            9 * HOUR,
            False,
            "waited 10m, allowed 30m",
            "10m > 30m",
        ),
    ],
)
def test_a_task_is_late_after_its_limit_and_the_text_says_how(
    rule: sla.SlaRule, facts: sla.TaskTimes, now: float, late: bool, text: str, short: str
) -> None:
    verdict = sla.judge_task(rule, facts, now)
    assert (verdict.late, verdict.text, verdict.short) == (late, text, short)


TIMES = st.integers(0, 10_000).map(float)


@pytest.mark.parametrize(
    ("limit", "took", "short"),
    [
        (4.0, 4.02, "4.02s > 4s"),
        (45 * MINUTE, 45 * MINUTE + 0.4, "45m00.4s > 45m"),
        (4.0, 9.0, "9s > 4s"),
        (90.0, 94.0, "1m34s > 1m30s"),
        (0.1, 2.4, "2.4s > 0.1s"),
    ],
)
def test_a_time_that_reads_like_its_limit_has_more_digits(
    limit: float, took: float, short: str
) -> None:
    verdict = sla.judge_task(
        sla.SlaRule("finishes-within", limit), sla.TaskTimes(0, None, 0, took), took
    )

    assert verdict.late and verdict.short == short
    assert verdict.text.startswith(f"took {short.partition(' ')[0]}, allowed ")


@settings(deadline=None)
@given(TIMES, st.none() | TIMES, st.none() | TIMES, TIMES)
def test_an_ended_task_is_judged_the_same_at_any_later_time(
    created: float, not_before: float | None, waited: float | None, ran: float
) -> None:
    started = None if waited is None else max(created, not_before or 0) + waited
    facts = sla.TaskTimes(
        created, not_before, started, (started if started is not None else created) + ran
    )
    for rule in (FINISHES, STARTS):
        assert sla.judge_task(rule, facts, 20_000.0) == sla.judge_task(rule, facts, 90_000.0)


@settings(deadline=None)
@given(TIMES, st.none() | TIMES)
def test_an_open_task_is_late_from_its_due_time_on(
    created: float, not_before: float | None
) -> None:
    for rule in (FINISHES, STARTS):
        due = sla.judge_task(rule, sla.TaskTimes(created, not_before), created).due
        assert not sla.judge_task(rule, sla.TaskTimes(created, not_before), due - 0.001).late
        assert sla.judge_task(rule, sla.TaskTimes(created, not_before), due).late


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (3, "conditions must be a table"),
        ({"preset": "finishes"}, "preset must be finishes-within or starts-within"),
        ({"preset": "starts-within"}, "value must be a duration"),
        ({"preset": "starts-within", "value": "-1s"}, "value must be 0 or more"),
        ({"preset": "starts-within", "value": True}, "value must be a duration"),
        ({"preset": "starts-within", "value": "1s", "when": 1}, 'unknown key "when"'),
        (
            {"preset": "starts-within", "value": "1s", "match": {"queue": "a/b"}},
            "queue must be a name",
        ),
        (
            {"preset": "starts-within", "value": "1s", "match": {"tag": "x"}},
            "tag must be KEY=VALUE",
        ),
        ({"preset": "starts-within", "value": "1s", "match": "media"}, "match must be a table"),
        (
            {"preset": "starts-within", "value": "1s", "metric": "wal-size"},
            "metric goes with preset stays-below, not with starts-within",
        ),
        (
            {"preset": "stays-below", "value": "1s"},
            "stays-below needs a metric: replica-lag, backup-age,",
        ),
        (
            {"preset": "stays-below", "value": "1s", "metric": "replica-lga"},
            'unknown metric "replica-lga". Nearest: replica-lag',
        ),
        ({"preset": "stays-below", "value": "1s", "metric": ["wal-size"]}, "unknown metric"),
        (
            {
                "preset": "stays-below",
                "value": "5m",
                "metric": "replica-lag",
                "match": {"queue": "a", "tag": "k=v"},
            },
            "match: replica-lag is one value for the whole home, so it takes no queue or tag",
        ),
    ],
)
def test_invalid_conditions_are_refused_with_their_key(conditions: object, words: str) -> None:
    with pytest.raises(ValueError, match="conditions") as caught:
        sla.parse_conditions(conditions)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("replica-lag", "64M", 'must be a duration such as 5m for replica-lag, not "64M"'),
        ("backup-age", "20%", "must be a duration"),
        ("backup-age", "-1h", "must be 0 or more"),
        ("lock-wait", "0ms", 'must be above 0, not "0ms"'),
        ("lock-wait", "9999999h", "must be at most 10 years"),
        ("replica-lag", None, "must be a duration such as 45m"),
        ("wal-size", "5m", 'must be a size such as 64M for wal-size, not "5m"'),
        ("wal-size", "2h", "must be a size"),
        ("wal-size", "-1G", "must be 0 or more"),
        ("wal-size", 0, "must be above 0"),
        ("wal-size", "9999T", "must be at most"),
        ("wal-size", True, "must be a size such as 64M"),
        ("slow-queries", "5m", "must be a count such as 20"),
        ("slow-queries", 2.5, "must be a count"),
        ("slow-queries", -3, "must be above 0"),
        ("slow-queries", "0", "must be above 0"),
        ("slow-queries", 10**30, "at most 1,000,000,000"),
        ("slow-queries", float("nan"), "must be a count"),
    ],
)
def test_a_limit_needs_its_metrics_unit(metric: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match="conditions: value must") as caught:
        sla.normalize_conditions({"preset": "stays-below", "metric": metric, "value": value})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "value", "limit", "stored", "words"),
    [
        ("replica-lag", "5m", 300.0, "5m", "replica-lag stays below 5m"),
        ("replica-lag", 90, 90.0, "90s", "replica-lag stays below 1m30s"),
        ("lock-wait", "250ms", 0.25, "250ms", "lock-wait stays below 250ms"),
        ("backup-age", "1d2h", 93600.0, "1d2h", "backup-age stays below 1d02h"),
        ("slow-queries", "20", 20.0, 20, "slow-queries stays below 20"),
        ("slow-queries", 20, 20.0, 20, "slow-queries stays below 20"),
        ("wal-size", "64M", 64.0 * 2**20, "64M", "wal-size stays below 64M"),
        ("wal-size", 64, 64.0 * 2**20, "64M", "wal-size stays below 64M"),
    ],
)
def test_a_metric_rule_is_stored_and_read_in_its_unit(
    metric: str, value: object, limit: float, stored: object, words: str
) -> None:
    conditions = sla.normalize_conditions(
        {"preset": "stays-below", "metric": metric, "value": value}
    )
    rule = sla.parse_conditions(conditions)
    assert (
        conditions
        == {"preset": "stays-below", "metric": metric, "value": stored}
        == sla.normalize_conditions(conditions)
    )
    assert (rule.value, sla.describe_rule(rule)) == (limit, words)


@pytest.mark.parametrize(
    ("metric", "value", "figure", "late", "text", "short"),
    [
        ("replica-lag", "5m", 7 * MINUTE, True, "replica 7m old, allowed 5m", "7m > 5m"),
        ("replica-lag", "5m", 299.9, False, "replica 4m old, allowed 5m", "4m > 5m"),
        ("replica-lag", "5m", 300.0, True, "replica 5m old, allowed 5m", "5m > 5m"),
        ("replica-lag", "90s", 95.0, True, "replica 1m35s old, allowed 1m30s", "1m35s > 1m30s"),
        ("replica-lag", "5m", None, False, "no replica", "no replica"),
        ("backup-age", "2h", 3 * HOUR, True, "backup 3h old, allowed 2h", "3h > 2h"),
        ("backup-age", "2h", None, False, "no backup", "no backup"),
        (
            "lock-wait",
            "250ms",
            1.25,
            True,
            "longest wait for the lock 1.2s, allowed 250ms",
            "1.2s > 250ms",
        ),
        (
            "lock-wait",
            "250ms",
            0.0,
            False,
            "longest wait for the lock 0s, allowed 250ms",
            "0s > 250ms",
        ),
        ("slow-queries", 20, 21.0, True, "slow statements in an hour: 21, allowed 20", "21 > 20"),
        (
            "wal-size",
            "64M",
            300.0 * 2**20,
            True,
            "the database's log 300M, allowed 64M",
            "300M > 64M",
        ),
    ],
)
def test_a_value_at_its_limit_is_too_high(
    metric: str, value: object, figure: float | None, late: bool, text: str, short: str
) -> None:
    standing = sla.judge_metric(
        sla.parse_conditions({"preset": "stays-below", "metric": metric, "value": value}),
        figure,
        1000.0,
    )
    assert (standing.late, standing.text, standing.short) == (late, text, short)


def test_an_age_is_late_since_its_limit_and_other_metrics_since_now() -> None:
    lag, size = (
        {"preset": "stays-below", "metric": m, "value": v}
        for m, v in (("replica-lag", "5m"), ("wal-size", "1M"))
    )
    assert (
        sla.judge_metric(sla.parse_conditions(lag), 7 * MINUTE, 1000.0).since == 1000.0 - 2 * MINUTE
    )
    assert sla.judge_metric(sla.parse_conditions(size), 2.0**21, 1000.0).since == 1000.0


def test_a_rule_reads_as_a_sentence() -> None:
    rule = sla.parse_conditions(
        {"preset": "starts-within", "value": 1800, "match": {"queue": "gpu", "tag": "team=ml"}}
    )
    assert sla.describe_rule(rule) == "starts within 30m, queue gpu, tag team=ml"
    assert sla.describe_rule(FINISHES) == "finishes within 45m, template encode"


@pytest.mark.parametrize(
    ("priority", "word"),
    [(0, "info"), (1, "info"), (2, "warning"), (3, "critical"), (9, "critical")],
)
def test_a_higher_priority_is_more_severe(priority: int, word: str) -> None:
    assert sla.get_severity(priority) == word


@pytest.mark.parametrize(
    ("limit", "took", "said"),
    [
        (2700.0, 2700.2, "45m00.2s > 45m"),
        (2700.0, 2700.04, "45m00.04s > 45m"),
        (3600.0, 3600.001, "60m00.001s > 1h"),
        (5.0, 5.25, "5.2s > 5s"),
        (5.0, 5.004, "5.004s > 5s"),
        (90.0, 90.0000001, "1m30.000000s > 1m30s"),
    ],
)
def test_a_time_just_over_its_limit_shows_the_digit_that_decides(
    limit: float, took: float, said: str
) -> None:
    rule = sla.SlaRule("finishes-within", limit)

    verdict = sla.judge_task(rule, sla.TaskTimes(0.0, None, 1.0, took), 9e9)

    assert (verdict.late, verdict.short) == (True, said)
