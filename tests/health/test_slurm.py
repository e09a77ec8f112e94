"""Health check of Slurm pools, with programs in place of Slurm's commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.health import slurm
from app.paths import get_config_path

pytestmark = pytest.mark.process
POOLS = {"pools": [{"name": "big", "kind": "slurm"}, {"name": "default", "kind": "local"}]}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a config.toml that does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))
    path = Path(get_config_path())
    path.parent.mkdir(parents=True)
    return path


def write_commands(folder: Path, ping: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in slurm.COMMANDS:
        (folder / name).write_text(f"#!/bin/sh\n{ping}\n")
        (folder / name).chmod(0o755)


TROUBLED = {"pools": [{"name": "big", "kind": "slurm", "outer": {"trouble": "another spool"}}]}


def read_texts(status: dict | None = POOLS) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in slurm.check_slurm(status)]


def test_a_home_without_slurm_pools_is_not_checked(settings: Path):
    assert read_texts({"pools": [POOLS["pools"][1]]}) == read_texts(None) == []


def test_a_slurm_pool_without_a_spool_is_told(settings: Path):
    text = "pool big is of kind slurm, but config.toml has no [slurm] spool"
    assert read_texts() == [("broken", text)]


def test_commands_controller_and_spool_are_checked(settings: Path, tmp_path: Path):
    spool, commands = tmp_path / "spool", tmp_path / "bin"
    settings.write_text(f'[slurm]\nspool = "{spool}"\ncommands = "{commands}"\n')
    commands.mkdir()
    missing = "sbatch, squeue, scancel, sinfo, scontrol not found in"
    assert read_texts()[0][1].startswith(missing)

    write_commands(commands, "echo 'Slurmctld(primary) at ctl1 is DOWN'; exit 1")
    assert [state for state, _ in read_texts()] == ["broken", "well"]
    write_commands(commands, "echo 'Slurmctld(primary) at ctl1 is UP'")
    assert read_texts() == [
        ("well", "Slurmctld(primary) at ctl1 is UP"), ("well", f"spool {spool} can be written")
    ]  # fmt: skip
    assert read_texts(TROUBLED)[2:] == [("broken", "the runtime: another spool")]

    settings.write_text(f'[slurm]\nspool = "{tmp_path}/gone/spool"\ncommands = "{commands}"\n')
    _, found = slurm.check_slurm(POOLS)
    assert found.state == "broken" and "cannot be used: no such file or directory" in found.text
    assert found.cure == f"mkdir -p {tmp_path}/gone"


def test_a_partition_that_slurm_does_not_have_is_told(settings: Path, tmp_path: Path):
    commands = tmp_path / "bin"
    settings.write_text(f'[slurm]\nspool = "{tmp_path}/spool"\ncommands = "{commands}"\n')
    write_commands(commands, "case $0 in *sinfo) echo main; echo gpu;; *) echo ctl1 is UP;; esac")

    pool = {"name": "big", "kind": "slurm", "partition": "main,long"}
    _, found, _ = slurm.check_slurm({"pools": [pool]})
    text = "pool big: Slurm has no partition long. There are: main, gpu"
    assert (found.state, found.text) == ("broken", text)
    assert found.cure == "taskdeck pool set big --partition NAME"

    pool["partition"] = "gpu"
    assert len(list(slurm.check_slurm({"pools": [pool]}))) == 2
