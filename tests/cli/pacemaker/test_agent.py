"""Tests of the resource agent's text, its place and the `pcs` lines."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from app import cluster
from app.cli.pacemaker import agent

HOSTILE = "/srv/a b'c\"d$(touch x)`e`;f\\"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the agent below an empty OCF_ROOT."""
    monkeypatch.setenv("OCF_ROOT", str(tmp_path / "ocf"))
    return tmp_path / "ocf" / "resource.d" / "taskdeck" / "home"


def test_the_default_place_is_that_of_pacemaker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OCF_ROOT", raising=False)

    assert cluster.get_agent_path() == "/usr/lib/ocf/resource.d/taskdeck/home"


def test_the_program_is_one_word_of_the_agent():
    line = next(
        line for line in agent.make_agent(HOSTILE).splitlines() if line.startswith("program=")
    )

    assert shlex.split(line) == [f"program={HOSTILE}"]


def test_install_writes_an_executable_agent_once(cli, place: Path):
    first, second = (cli("service", "install", "--pacemaker") for _ in range(2))

    assert (first.code, second.code) == (0, 0) and os.access(place, os.X_OK)
    assert place.read_text().startswith("#!/bin/sh\n") and "@PROGRAM@" not in place.read_text()
    assert first.err.startswith(f"taskdeck: wrote {place}.") and "is up to date" in second.err
    assert list(place.parent.iterdir()) == [place]


def test_the_pcs_lines_quote_the_home(cli, place: Path):
    said = cli("--home", HOSTILE, "service", "install", "--pacemaker").out

    (line,) = [one for one in said.splitlines() if "ocf:taskdeck:home" in one]
    words = shlex.split(line)
    assert words[:5] == ["pcs", "resource", "create", "taskdeck", "ocf:taskdeck:home"]
    assert words[5] == f"home={HOSTILE}" and words[-1] == "taskdeck-group"
    assert "ocf:linbit:drbd" in said and "/dev/disk/by-label/taskdeck" in said


def test_the_pcs_lines_name_the_owner_of_a_home(home: Path):
    assert any(" user=" in line for line in agent.list_pcs_lines(str(home)))
    assert not any(" user=" in line for line in agent.list_pcs_lines(f"{home}/none"))


def test_another_agent_is_neither_replaced_nor_removed(cli, place: Path):
    place.parent.mkdir(parents=True)
    place.write_text("#!/bin/sh\n# of somebody else\n")

    for verb, unchanged in (("install", "was not changed"), ("uninstall", "Nothing was removed")):
        said = cli("service", verb, "--pacemaker")
        assert said.code == 4 and unchanged in said.err
    assert "somebody else" in place.read_text()


def test_uninstall_removes_the_agent(cli, place: Path):
    cli("service", "install", "--pacemaker")

    said, again = (cli("service", "uninstall", "--pacemaker") for _ in range(2))

    assert (said.out, place.exists()) == ("pcs resource delete taskdeck\n", False)
    assert (again.code, again.out) == (0, "") and "is not there" in again.err


def test_an_unwritable_place_names_the_command_for_root(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OCF_ROOT", str(tmp_path / "file"))

    said = cli("service", "install", "--pacemaker")

    assert said.code == 1 and f"As root: sudo env OCF_ROOT={tmp_path}/file " in said.err


def test_no_unit_is_written_beside_a_cluster(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("cluster = true\n")

    said = cli("service", "install", "--user")

    assert said.code == 4 and "No unit was written" in said.err
    assert not (tmp_path / "systemd").exists()
