"""Tests of cluster mode: what it refuses, and the commands that it advises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app import cluster, paths
from app.cli import cluster_stop
from app.errors import Problem, Refused
from app.home.lock import hold_lock

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the settings of a user in cluster mode."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()
    path.write_text("cluster = true\n")
    return path


def test_a_missing_home_is_refused_and_not_made(home: Path):
    cluster.require_home(str(home))
    os.rmdir(home / "run")
    with pytest.raises(Refused, match="is not on this host") as raised:
        cluster.require_home(str(home))
    assert raised.value.hint.startswith("See which host has it: pcs status")
    assert cluster.advise_start(str(home)).endswith("See which host has it: pcs status")
    assert not (home / "run").exists()


def test_a_replica_may_become_the_home(home: Path):
    os.rmdir(home / "run")
    (home / paths.REPLICA).touch()

    cluster.require_home(str(home))


def test_without_a_cluster_nothing_is_refused(home: Path, settings: Path):
    settings.unlink()

    cluster.require_home(f"{home}/none")
    cluster.refuse_start(str(home))
    cluster.refuse_stop()
    assert cluster.advise_start(str(home)) == "Start it: taskdeck serve --detach"


def test_start_and_stop_name_the_commands_of_the_cluster(home: Path):
    with pytest.raises(Refused) as start:
        cluster.refuse_start(str(home))
    with pytest.raises(Refused) as stop:
        cluster.refuse_stop()

    assert "pcs resource enable taskdeck" in start.value.hint
    assert "pcs resource disable taskdeck" in stop.value.hint


def test_the_stop_mark_names_the_resource(home: Path, settings: Path):
    settings.unlink()
    paths.write_stop_marker(home, cluster.STOPPED_BY, "10:31", "td of ann")

    assert paths.read_stop_marker(home) == ("the cluster", "10:31", "td of ann")
    assert cluster.advise_start(str(home)).endswith("pcs resource enable 'td of ann'")


def test_a_drain_by_the_cluster_admits_no_replacement(home: Path, settings: Path):
    cluster.refuse_replacement(str(home))
    paths.write_stop_marker(home, "ann", "10:31", "")
    cluster.refuse_replacement(str(home))
    paths.write_stop_marker(home, cluster.STOPPED_BY, "10:31", "td")

    with pytest.raises(Refused) as raised:
        cluster.refuse_replacement(str(home))
    assert raised.value.hint == "The cluster stops or moves it: pcs status"
    settings.unlink()  # the home has left the cluster
    cluster.refuse_replacement(str(home))


def test_a_home_in_use_without_an_answer_prevents_the_stop(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_stop, "END_TIMEOUT", 0.05)

    with hold_lock(home), pytest.raises(Problem, match="a process that does not answer"):
        cluster_stop.leave_host(str(home), "td", 1.0, True)
    cluster_stop.leave_host(str(home), "td", 1.0, True)


def test_a_mark_of_an_older_version_has_no_resource(home: Path):
    Path(paths.get_stop_marker_path(home)).write_text("bob\n10:31\n")

    assert paths.read_stop_marker(home) == ("bob", "10:31", "")
