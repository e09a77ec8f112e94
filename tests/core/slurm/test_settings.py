"""The section `slurm` of config.toml."""

from __future__ import annotations

from app.core.slurm.settings import SlurmSettings, parse_slurm


def test_spool_commands_and_seconds_are_read():
    given = {
        "spool": "/shared/spool/",
        "commands": "/opt/slurm/bin",
        "conf": "/etc/s",
        "poll": "5s",
    }

    found = parse_slurm(given)

    assert found == (SlurmSettings("/shared/spool", "/opt/slurm/bin", "/etc/s", 5.0), [])


def test_faulty_settings_are_told_and_have_their_defaults():
    settings, faults = parse_slurm({"spool": "shared", "poll": 0.01, "spol": "/x"})

    assert settings == SlurmSettings()
    assert [one.message for one in faults] == [
        "slurm.spool: must be an absolute path in quotes.",
        "slurm.poll: must be between 0.5s and 1h.",
        'slurm: there is no setting "spol". Nearest: spool. There are: spool, commands, conf,'
        " poll.",
    ]
    assert parse_slurm(["x"])[1][0].message == "slurm: must be a table."
