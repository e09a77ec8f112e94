"""Runs of the spool, as a restore sees them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.errors import Refused
from app.outer.spool import Spool
from app.paths import get_config_path
from app.service.database import outer_journal

RUN, OTHER = (f"0198c0de-0000-7000-8000-0000000000{n:02}" for n in (1, 2))


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """Return the spool that config.toml names."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))
    path = Path(get_config_path())
    path.parent.mkdir(parents=True)
    path.write_text(f'[slurm]\nspool = "{tmp_path}/spool"\n')
    return Spool(tmp_path / "spool")


def make_order(tmp_path: Path, run: str, home: str, **env: Any) -> dict[str, Any]:
    env |= {"TASKDECK_HOME": f"{tmp_path}/{home}"}
    order = {"run": run, "argv": ["true"], "cwd": "/", "env": env, "umask": 0o22}
    return order | {"log": f"{tmp_path}/spool/{run}.log", "timeout": None, "grace": 5.0}


def test_runs_of_this_home_are_known_with_their_tasks(spool: Spool, tmp_path: Path):
    spool.prepare()
    own = make_order(tmp_path, RUN, "home", TASKDECK_TASK="12", TASKDECK_ATTEMPT="3")
    spool.write_order(RUN, own)
    spool.write_order(OTHER, make_order(tmp_path, OTHER, "elsewhere", TASKDECK_TASK="1"))

    (found,) = outer_journal.list_outer_runs(tmp_path / "home")

    assert (found.runid, found.number, found.attempt, found.is_outer) == (RUN, 12, 3, True)
    assert found.is_active
    spool.refuse(RUN)
    assert outer_journal.list_outer_runs(tmp_path / "home") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": 5},
        {"argv": [["x"], 1]},
        {"argv": [], "cwd": 7},
        {"argv": ["\0\ud800"], "cwd": "/\ud800"},
    ],
)
def test_an_order_that_a_job_has_changed_is_read(
    spool: Spool, tmp_path: Path, fields: dict[str, Any]
):
    spool.prepare()
    order = make_order(tmp_path, RUN, "home", TASKDECK_TASK="9" * 5000, TASKDECK_ATTEMPT="x")
    spool.write_order(RUN, order | fields)

    (found,) = outer_journal.list_outer_runs(tmp_path / "home")

    assert (found.number, found.attempt, found.cwd) == (None, 1, "/")


def test_without_the_spool_of_its_jobs_a_home_is_not_restored(spool: Spool, tmp_path: Path):
    (tmp_path / "home/run").mkdir(parents=True)
    outer_journal.write_identity(tmp_path / "home", spool.prepare())
    assert outer_journal.list_outer_runs(tmp_path / "home") == []

    (spool.root / "identity").unlink()
    spool.prepare()
    with pytest.raises(Refused, match="is not the one with the jobs of this home"):
        outer_journal.list_outer_runs(tmp_path / "home")
    Path(get_config_path()).unlink()
    with pytest.raises(Refused, match=r"config.toml names no spool"):
        outer_journal.list_outer_runs(tmp_path / "home")
    (tmp_path / "home/run/spool").unlink()
    assert outer_journal.list_outer_runs(tmp_path / "home") == []


def test_a_spool_that_is_gone_refuses_the_restore(spool: Spool, tmp_path: Path):
    with pytest.raises(Refused, match="cannot be read: no such file or directory"):
        outer_journal.list_outer_runs(tmp_path / "home")
