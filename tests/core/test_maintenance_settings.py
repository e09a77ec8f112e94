"""The sections of config.toml about the data: what they may say, their defaults, and how what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.maintenance_settings import DAY, Backup, BadSetting, Retention, Rule, Slow, Upkeep, parse, taken


def test_nothing_said_is_what_the_owner_asked_for():
    assert parse({}) == Upkeep()
    assert (Upkeep().backup.full, Upkeep().backup.increment, Upkeep().backup.keep) == (DAY, 3600.0, 30 * DAY)
    assert Upkeep().retention.all == Rule(keep=30 * DAY)


def test_everything_can_be_said():
    found = parse(
        {
            "backup": {"full": "12h", "increment": "10m", "keep": "7d", "folder": "/mnt/second", "after": ["rsync", "-a"]},
            "retention": {
                "keep": "20d", "runs": 5000, "logs": "10G", "operations": "90d",
                "queue": {"scratch": {"keep": "1d"}}, "template": {"encode": {"runs": 100}},
            },
            "slow": {"threshold": 0.2},
        }
    )  # fmt: skip
    assert found.backup == Backup(12 * 3600.0, 600.0, 7 * DAY, "/mnt/second", ("rsync", "-a"))
    queues, templates = {"scratch": Rule(keep=DAY)}, {"encode": Rule(runs=100)}
    assert found.retention == Retention(Rule(20 * DAY, 5000, 10240.0), queues, templates, 90 * DAY)
    assert found.slow == Slow(0.2)


@pytest.mark.parametrize(
    ("section", "value", "says"),
    [
        ("backup", {"kep": "1d"}, 'backup: there is no setting "kep". Nearest: keep. There are: full, increment, keep, folder, after, '),
        ("backup", {"keep": "soon"}, "backup.keep: must be a duration"),
        ("backup", {"full": "0s"}, "backup.full: must be longer than nothing."),
        ("backup", {"folder": "here"}, "backup.folder: must be an absolute path."),
        ("backup", {"after": "rsync -a"}, "backup.after: must be a program with its arguments"),
        ("backup", {"enabled": 1}, "backup.enabled: must be true or false."),
        ("backup", 3, "backup: must be a table."),
        ("retention", {"keep": True}, "retention.keep: must be a duration"),
        ("retention", {"runs": 0}, "retention.runs: must be a whole number from 1 to 1,000,000,000."),
        ("retention", {"runs": 2**63 + 1}, "retention.runs: must be a whole number from 1 to 1,000,000,000."),
        ("retention", {"logs": "lots"}, "retention.logs: must be a size"),
        ("retention", {"queues": {}}, 'retention: there is no setting "queues". Nearest: queue.'),
        ("retention", {"queue": {"gpu": {"kee": "1d"}}}, 'retention.queue.gpu: there is no setting "kee". Nearest: keep.'),
        ("retention", {"template": {"\x1b[2J": {"runs": "x"}}}, "retention.template."),
        ("slow", {"ms": 10}, 'slow: there is no setting "ms". There are: threshold.'),
        ("retention", {"xyz": 1}, 'retention: there is no setting "xyz". There are: keep, runs, logs, operations, queue, template.'),
        ("slow", {"threshold": "0"}, "slow.threshold: must be longer than nothing."),
    ],
)
def test_what_is_wrong_is_named(section: str, value: Any, says: str):
    with pytest.raises(BadSetting) as error:
        parse({section: value})
    assert str(error.value).startswith(says) and str(error.value).isprintable()


@pytest.mark.parametrize("bare", [30, 30.5, "30", " 30 "])
@pytest.mark.parametrize(
    ("section", "inside"),
    [
        ("retention", lambda value: {"keep": value}), ("retention", lambda value: {"operations": value}),
        ("retention", lambda value: {"queue": {"gpu": {"keep": value}}}), ("backup", lambda value: {"keep": value}),
        ("backup", lambda value: {"full": value}), ("backup", lambda value: {"increment": value}),
    ],
)  # fmt: skip
def test_a_bare_number_is_no_time_where_people_mean_days(section: str, inside: Any, bare: Any):
    with pytest.raises(BadSetting, match='needs a unit, such as 30d or 12h, not ".*30.*"'):
        parse({section: inside(bare)})


def test_a_threshold_is_of_milliseconds_or_of_bare_seconds():
    assert (parse({"slow": {"threshold": "10ms"}}).slow, parse({"slow": {"threshold": 0.01}}).slow) == (Slow(0.01), Slow(0.01))


def test_what_is_wrong_is_left_out_and_all_of_it_is_named():
    retention = {"keep": 30, "runs": 5, "queue": {"a": {"runs": 0, "keep": "1d"}}}

    found, wrong = taken({"backup": {"folder": "/mnt/x", "full": 3}, "retention": retention})

    assert (found.backup, found.retention.all, found.retention.queues) == (Backup(folder="/mnt/x"), Rule(runs=5), {"a": Rule(keep=DAY)})
    assert [one.where for one in wrong] == [("backup", "full"), ("retention", "keep"), ("retention", "queue", "a", "runs")]
