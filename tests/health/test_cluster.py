"""Tests of the doctor's check of cluster mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.health.cluster import check_cluster
from app.health.processes import check_runtime


def test_the_passive_host_has_no_runtime_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("cluster = true\n")
    home = tmp_path / "home"

    found = check_runtime(str(home), {"state": "none"})
    (home / "run").mkdir(parents=True)
    lacking = check_runtime(str(home), {"state": "none"})

    assert (found.state, lacking.state) == ("well", "broken")
    assert lacking.cure == "pcs resource enable taskdeck"


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
