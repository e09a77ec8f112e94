"""Tests of the maintenance sections of config.toml: values, defaults and errors."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.maintenance_settings import (
    DAY,
    BackupSettings,
    MaintenanceSettings,
    RetentionRule,
    RetentionSettings,
    SettingError,
    SlowSettings,
    parse_lenient,
    parse_settings,
)


def test_defaults_match_the_specification():
    assert parse_settings({}) == MaintenanceSettings()
    assert (
        MaintenanceSettings().backup.full,
        MaintenanceSettings().backup.increment,
        MaintenanceSettings().backup.keep,
    ) == (DAY, 3600.0, 30 * DAY)
    assert MaintenanceSettings().retention.all == RetentionRule(keep=30 * DAY)


def test_all_settings_can_be_set():
    found = parse_settings(
        {
            "backup": {"full": "12h", "increment": "10m", "keep": "7d", "folder": "/mnt/second",
            "after": ["rsync", "-a"]},
            "retention": {
                "keep": "20d", "runs": 5000, "logs": "10G", "operations": "90d",
                "queue": {"scratch": {"keep": "1d"}}, "template": {"encode": {"runs": 100}},
            },
            "slow": {"threshold": 0.2},
        }
    )  # fmt: skip
    assert found.backup == BackupSettings(
        12 * 3600.0, 600.0, 7 * DAY, "/mnt/second", ("rsync", "-a")
    )
    queues, templates = {"scratch": RetentionRule(keep=DAY)}, {"encode": RetentionRule(runs=100)}
    assert found.retention == RetentionSettings(
        RetentionRule(20 * DAY, 5000, 10240.0), queues, templates, 90 * DAY
    )
    assert found.slow == SlowSettings(0.2)


@pytest.mark.parametrize(
    ("section", "value", "says"),
    [
        (
            "backup",
            {"kep": "1d"},
            (
                'backup: there is no setting "kep". Nearest: keep. There are: full, increment,'
                " keep, folder, after, "
            ),
        ),
        ("backup", {"keep": "soon"}, "backup.keep: must be a duration"),
        ("backup", {"full": "0s"}, "backup.full: must be more than 0."),
        ("backup", {"folder": "here"}, "backup.folder: must be an absolute path."),
        ("backup", {"after": "rsync -a"}, "backup.after: must be a program with its arguments"),
        ("backup", {"enabled": 1}, "backup.enabled: must be true or false."),
        ("backup", 3, "backup: must be a table."),
        ("retention", {"keep": True}, "retention.keep: must be a duration"),
        (
            "retention",
            {"runs": 0},
            "retention.runs: must be a whole number from 1 to 1,000,000,000.",
        ),
        (
            "retention",
            {"runs": 2**63 + 1},
            "retention.runs: must be a whole number from 1 to 1,000,000,000.",
        ),
        ("retention", {"logs": "lots"}, "retention.logs: must be a size"),
        ("retention", {"queues": {}}, 'retention: there is no setting "queues". Nearest: queue.'),
        (
            "retention",
            {"queue": {"gpu": {"kee": "1d"}}},
            'retention.queue.gpu: there is no setting "kee". Nearest: keep.',
        ),
        ("retention", {"template": {"\x1b[2J": {"runs": "x"}}}, "retention.template."),
        ("slow", {"ms": 10}, 'slow: there is no setting "ms". There are: threshold.'),
        (
            "retention",
            {"xyz": 1},
            (
                'retention: there is no setting "xyz". There are: keep, runs, logs, operations,'
                " queue, template."
            ),
        ),
        ("slow", {"threshold": "0"}, "slow.threshold: must be more than 0."),
    ],
)
def test_an_error_names_its_setting(section: str, value: Any, says: str):
    with pytest.raises(SettingError) as error:
        parse_settings({section: value})
    assert str(error.value).startswith(says) and str(error.value).isprintable()


@pytest.mark.parametrize("bare", [30, 30.5, "30", " 30 "])
@pytest.mark.parametrize(
    ("section", "inside"),
    [
        ("retention", lambda value: {"keep": value}),
        ("retention", lambda value: {"operations": value}),
        ("retention", lambda value: {"queue": {"gpu": {"keep": value}}}),
        ("backup", lambda value: {"keep": value}),
        ("backup", lambda value: {"full": value}), ("backup", lambda value: {"increment": value}),
    ],
)  # fmt: skip
def test_a_number_without_unit_is_refused_where_days_are_usual(
    section: str, inside: Any, bare: Any
):
    with pytest.raises(SettingError, match='needs a unit, such as 30d or 12h, not ".*30.*"'):
        parse_settings({section: inside(bare)})


def test_a_threshold_is_milliseconds_or_bare_seconds():
    assert (
        parse_settings({"slow": {"threshold": "10ms"}}).slow,
        parse_settings({"slow": {"threshold": 0.01}}).slow,
    ) == (SlowSettings(0.01), SlowSettings(0.01))


def test_invalid_settings_are_left_out_and_all_named():
    retention = {"keep": 30, "runs": 5, "queue": {"a": {"runs": 0, "keep": "1d"}}}

    found, wrong = parse_lenient(
        {"backup": {"folder": "/mnt/x", "full": 3}, "retention": retention}
    )

    assert (found.backup, found.retention.all, found.retention.queues) == (
        BackupSettings(folder="/mnt/x"),
        RetentionRule(runs=5),
        {"a": RetentionRule(keep=DAY)},
    )
    assert [one.where for one in wrong] == [
        ("backup", "full"),
        ("retention", "keep"),
        ("retention", "queue", "a", "runs"),
    ]
