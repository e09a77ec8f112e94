"""Tests of the cgroup acquired by a runtime whose keeper has none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.keeper import cgroups
from app.runtime import systemd_scope
from app.runtime.dispatch.keeper_cgroup import acquire_cgroup
from app.runtime.dispatch.keeper_client import KeeperClient
from app.service import enforced_limits
from tests.keeper.keeper_home import KeeperHome
from tests.runtime.dispatch.test_keeper_client import EventCollector, make_run


@pytest.fixture
async def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[KeeperClient, EventCollector, KeeperHome]]:
    """Yield a connection whose hellos tell what can be enforced, without systemd."""
    monkeypatch.setattr(systemd_scope, "SYSTEMD_FOLDER", tmp_path / "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    home, events = KeeperHome(tmp_path / "home"), EventCollector()

    def note(event: dict[str, Any]) -> None:
        if event["is"] == "hello":
            enforced_limits.set_cgroups(event["cgroups"])
        events(event)

    found = await KeeperClient.open(home.path, note)
    try:
        yield found, events, home
    finally:
        await found.close()
        enforced_limits.set_cgroups(None)
        home.kill_all()


@pytest.fixture
def setting(tmp_path: Path, cgroup_tree: Path) -> Path:
    """Let the configuration name a folder of the kernel's tree; return the folder."""
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text(f'cgroup = "{cgroup_tree}"\n')
    return cgroup_tree


async def test_without_systemd_and_setting_nothing_is_tried(client: Any):
    keeper, _, _ = client
    pid = keeper.pid

    lack = await acquire_cgroup(keeper, ["memory"])

    assert lack and "no systemd" in lack.why and "cgroup = " in lack.cure
    assert (keeper.pid, keeper.delegates) == (pid, False)


async def test_an_idle_keeper_starts_anew_in_a_cgroup(client: Any, setting: Path):
    keeper, _, _ = client
    pid = keeper.pid

    lack = await acquire_cgroup(keeper, ["memory"])

    assert keeper.pid != pid
    there = (setting / "cgroup.controllers").read_text().split()
    assert (lack is None) == ("memory" in there)
    assert f"/{cgroups.KEEPER}\n" in Path(f"/proc/{keeper.pid}/cgroup").read_text()


async def test_a_keeper_with_runs_is_left_alone(client: Any, setting: Path):
    keeper, events, home = client
    run = make_run(home, "sleep", "300")
    home.runs.append(run["run"])
    keeper.spawn(run)
    await events.wait_for("started", run["run"])
    pid = keeper.pid

    lack = await acquire_cgroup(keeper, ["memory"])

    assert lack and "has runs now" in lack.why
    assert (keeper.pid, keeper.delegates) == (pid, False)
