"""`doctor` finds what is broken, also where nothing works."""

from __future__ import annotations

import json

import pytest

from app.cli import doctor
from app.errors import Problem, Storage, Usage
from tests.cli.test_showing import STATUS


def findings(cli):
    """What doctor found, by check."""
    said = cli("doctor", "--json")
    return said.code, {one["check"]: one for one in json.loads(said.out)}


def test_a_home_that_is_well_passes(answering, cli, home):
    home.chmod(0o700)
    answering(status={**STATUS, "keeper": {"pid": 1, "guard_pid": 1}})

    said = cli("doctor")

    assert (
        said.code == 0 and f"✓ home      {home}, private to you\n" in said.out and "✓ runtime   pid 4120\n" in said.out
    )
    assert findings(cli)[1]["versions"]["text"].startswith("Taskdeck ")


def test_a_home_that_was_never_made_passes(cli, tmp_path):
    said = cli("doctor", "--home", str(tmp_path / "new"))

    assert said.code == 0 and "not made yet" in said.out and not (tmp_path / "new").exists()


def test_a_home_that_others_can_read_gets_a_hint(answering, cli, home):
    home.chmod(0o755)
    answering(status={**STATUS, "keeper": {"pid": 1, "guard_pid": 1}})

    code, found = findings(cli)

    assert code == 0 and found["home"] == {"check": "home", "ok": True, "hint": True, "text": f"{home} can be read by others",
                                          "cure": f"chmod 700 {home}"}  # fmt: skip


def test_a_keeper_that_is_not_there_is_broken(answering, cli):
    answering(status={**STATUS, "keeper": {"pid": None, "guard_pid": None}})

    code, found = findings(cli)

    assert code == 1 and not found["keeper"]["ok"]


def test_a_database_that_cannot_be_read_is_broken_and_the_rest_is_still_told(answering, cli):
    answering(status=Storage("the database is damaged."))

    code, found = findings(cli)

    assert (
        code == 1 and "damaged" in found["database"]["text"] and {"versions", "home", "disk", "files"} <= found.keys()
    )


def test_a_home_that_is_a_file_is_broken(cli, tmp_path):
    (tmp_path / "file").touch()

    said = cli("doctor", "--home", str(tmp_path / "file"))

    assert said.code == 1 and "is no directory" in said.out


@pytest.mark.parametrize(
    ("kind", "broken"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)]
)
def test_a_network_file_system_is_no_place_for_a_database(kind, broken):
    assert kind.startswith(doctor.REMOTE) is broken


def test_the_file_system_of_a_path_is_that_of_the_longest_mount_above_it():
    assert doctor.kind_of("/proc/self") == "proc"
    assert doctor.kind_of("/process") != "proc"


@pytest.mark.parametrize(
    ("problem", "check", "cure"),
    [
        (Usage("config.toml is no TOML.", "Mend it."), "config", "Mend it."),
        (Problem("it has not answered.", "If it is stopped: kill -CONT 7"), "runtime", "If it is stopped: kill -CONT 7"),
        (Storage("the database is damaged."), "database", "taskdeck db check"),
    ],
)
def test_what_keeps_it_from_looking_is_told_by_its_name_with_its_own_cure(answering, cli, problem, check, cure):
    answering(status=problem)

    assert findings(cli)[1][check]["cure"] == cure
