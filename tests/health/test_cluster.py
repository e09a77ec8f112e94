"""Tests of the doctor's check of cluster mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Problem
from app.health.cluster import check_cluster
from app.health.runner import HOME_CHECKS, run_checks


def test_the_passive_host_is_checked_without_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OCF_ROOT", str(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("cluster = true\n")

    found = {one.check: one for one in run_checks(f"{tmp_path}/home", Problem("no home"))}

    assert found.keys().isdisjoint(HOME_CHECKS)
    assert found["cluster"].state == "broken" and "versions" in found
    assert not (tmp_path / "home").exists()


def test_cluster_mode_needs_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OCF_ROOT", str(tmp_path))
    assert list(check_cluster("/srv/home")) == []

    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("cluster = true\n")
    (without,) = check_cluster("/srv/home")
    agent = tmp_path / "resource.d" / "taskdeck" / "home"
    agent.parent.mkdir(parents=True)
    agent.touch(0o755)
    (found,) = check_cluster("/srv/home")

    assert (without.state, found.state) == ("broken", "well")
    assert without.cure == "sudo taskdeck --home /srv/home service install --pacemaker"
