"""The sections of config.toml about the data: what they may say, their defaults, and how what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.upkeep import DAY, Backup, BadSetting, Retention, Rule, Slow, Upkeep, parse


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
        ("backup", {"kep": "1d"}, 'backup: there is no setting "kep". Nearest: keep.'),
        ("backup", {"keep": "soon"}, "backup.keep: must be a duration"),
        ("backup", {"full": "0s"}, "backup.full: must be longer than nothing."),
        ("backup", {"folder": "here"}, "backup.folder: must be an absolute path."),
        ("backup", {"after": "rsync -a"}, "backup.after: must be a program with its arguments"),
        ("backup", {"enabled": 1}, "backup.enabled: must be true or false."),
        ("backup", 3, "backup: must be a table."),
        ("retention", {"keep": True}, "retention.keep: must be a duration"),
        ("retention", {"runs": 0}, "retention.runs: must be a whole number from 1 on."),
        ("retention", {"logs": "lots"}, "retention.logs: must be a size"),
        ("retention", {"queues": {}}, 'retention: there is no setting "queues". Nearest: queue.'),
        ("retention", {"queue": {"gpu": {"kee": "1d"}}}, 'retention.queue.gpu: there is no setting "kee". Nearest: keep.'),
        ("retention", {"template": {"\x1b[2J": {"runs": "x"}}}, "retention.template."),
        ("slow", {"threshold": "0"}, "slow.threshold: must be longer than nothing."),
    ],
)
def test_what_is_wrong_is_named(section: str, value: Any, says: str):
    with pytest.raises(BadSetting) as error:
        parse({section: value})
    assert str(error.value).startswith(says) and str(error.value).isprintable()
