"""`doctor` finds what is broken, also where nothing works, and says what to type."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import Problem, Storage, Usage
from app.health import processes, procfs
from db.errors import OlderDatabase
from tests.cli.commands.test_show import STATUS
from tests.runtime_process import Living

PAIR = {"pid": os.getpid(), "guard_pid": os.getppid()}
"""Two processes of which one is above the other."""
WELL = {**STATUS, "keeper": PAIR, "pools": [{"name": "default", "total_cpu": 1.0, "total_memory": 1.0}],
        "queues": [{"name": "default", "pool": "default", "capacity": 1}]}  # fmt: skip


def findings(cli, *words):
    """What doctor found, by check."""
    said = cli("doctor", "--json", *words)
    return said.code, {one["check"]: one for one in json.loads(said.out)}


def test_a_home_that_is_well_passes(answering, cli, home):
    answering(status=WELL, ls={"tasks": []})

    said = cli("doctor")

    assert said.code == 0 and f"✓ home      {home}, private to you\n" in said.out and "✓ runtime   pid 4120\n" in said.out
    assert f"✓ keeper    pid {os.getpid()}, guard {os.getppid()}, journal 0B\n" in said.out
    assert findings(cli)[1]["versions"]["text"].startswith("Taskdeck ")


def test_a_home_that_was_never_made_passes_and_is_not_made(cli, tmp_path):
    said = cli("doctor", "--home", str(tmp_path / "new"))

    assert said.code == 0 and "not made yet" in said.out and not (tmp_path / "new").exists()


def test_a_home_that_others_can_read_gets_a_hint(answering, cli, home):
    home.chmod(0o755)
    answering(status=WELL, ls={"tasks": []})

    code, found = findings(cli)

    assert code == 0 and found["home"] == {"check": "home", "ok": True, "hint": True, "text": f"{home} can be read by others",
                                          "cure": f"chmod 700 {home}"}  # fmt: skip


@pytest.mark.parametrize("pair", [{"pid": None, "guard_pid": None}, {"pid": 1 << 30, "guard_pid": os.getppid()}])
def test_half_a_keeper_is_broken(answering, cli, home, pair):
    answering(status={**WELL, "keeper": pair}, ls={"tasks": []})

    code, found = findings(cli)

    assert code == 1 and not found["keeper"]["ok"]
    assert found["keeper"]["cure"] == f"taskdeck --home {home} serve --replace --detach"


def test_a_keeper_that_is_not_below_its_guard_is_broken(answering, cli):
    answering(status={**WELL, "keeper": {"pid": os.getppid(), "guard_pid": os.getpid()}}, ls={"tasks": []})

    assert "is not below its guard" in findings(cli)[1]["keeper"]["text"]


def test_a_runtime_that_starts_nothing_is_broken_and_one_that_drains_is_not(answering, cli):
    runtime = {**WELL["runtime"], "halted": "disk read-only since 10:31"}
    answering(status={**WELL, "runtime": runtime}, ls={"tasks": []})
    assert findings(cli)[0] == 1

    answering(status={**WELL, "runtime": {**runtime, "halted": "the runtime is draining"}}, ls={"tasks": []})

    assert findings(cli)[0] == 0


def test_a_database_that_cannot_be_read_is_broken_and_the_rest_is_still_told(answering, cli):
    answering(status=Storage("the database is damaged."))

    code, found = findings(cli)

    assert code == 1 and "damaged" in found["database"]["text"]
    assert {"versions", "home", "disk", "files", "clock", "limits"} <= found.keys()


def test_a_database_of_an_earlier_version_is_a_hint_with_what_upgrades_it(answering, cli, home):
    answering(status=OlderDatabase(home / "taskdeck.db", "0001", "0002"))

    code, found = findings(cli)

    assert (code, found["database"]["cure"]) == (0, f"taskdeck --home {home} db migrate")


def test_the_cure_of_a_damaged_database_keeps_it_aside_and_lets_a_new_one_be_made(cli, database, home):
    database.write_bytes(b"no database at all, but text that is long enough")

    code, found = findings(cli)
    os.system(found["database"]["cure"])

    assert (code, findings(cli)[0]) == (1, 0) and (home / "damaged" / "taskdeck.db").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('"task.cancle" = "ctrl+e"', 'no action "task.cancle". Nearest: task.cancel; passed over.'),
        ('"task.cancel" = "ctrl+ee"', 'there is no key "ctrl+ee".'),
        ('"task.cancel" = "p"', "p would be both task.cancel and task.pause. Usual keys hold."),
        ('"task.cancel" = "f9"', None),
    ],
)
def test_keys_that_do_not_hold_are_told_with_the_file_to_mend(answering, cli, tmp_path, keys, said):
    path = tmp_path / "config" / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f"[keys]\n{keys}\n")
    answering(status=WELL, ls={"tasks": []})

    found = findings(cli)[1]["config"]

    assert found["ok"] == (said is None) and found["text"].startswith(str(path)) and (said or "") in found["text"]
    assert said is None or found["cure"].endswith(str(path))


def test_a_home_that_is_a_file_is_broken(cli, tmp_path):
    (tmp_path / "file").touch()

    said = cli("doctor", "--home", str(tmp_path / "file"))

    assert said.code == 1 and "is no directory" in said.out


def test_a_home_of_somebody_else_is_told_with_its_owner(cli, home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    code, found = findings(cli)

    assert code == 1 and "not to you" in found["home"]["text"] and found["home"]["cure"].startswith("sudo -u ")


def test_a_look_that_fails_says_so_and_the_others_go_on(answering, cli, monkeypatch):
    def fail():
        raise RuntimeError("no such luck")

    monkeypatch.setattr("app.health.home.versions", fail)
    answering(status=WELL, ls={"tasks": []})

    code, found = findings(cli)

    assert code == 1 and found["versions"]["text"] == "could not be looked at (RuntimeError: no such luck)" and found["home"]["ok"]


@pytest.mark.parametrize(
    ("problem", "check", "cure"),
    [
        (Usage("config.toml is no TOML.", "Mend it, or move it away."), "config", '"${EDITOR:-vi}" '),
        (Problem("it has not answered.", "If it is stopped, let it go on: kill -CONT 7"), "runtime", "kill -CONT 7"),
        (Storage("the database was made by 0.5.", "Upgrade: pipx upgrade taskdeck"), "database", "pipx upgrade taskdeck"),
    ],
)
def test_what_keeps_it_from_looking_is_told_by_its_name_with_one_command(answering, cli, problem, check, cure):
    answering(status=problem)

    found = findings(cli)[1][check]

    assert not found["ok"] and found["cure"].startswith(cure)


def test_a_home_that_can_take_nothing_is_broken_and_mended_by_the_cure(cli, database, home):
    with closing(sqlite3.connect(database)) as c:
        c.executescript("DELETE FROM queues; DELETE FROM pools")

    code, found = findings(cli, "--home", str(home))
    assert code == 1 and found["queues"]["text"] == "there is no queue at all, so no task can be submitted"
    assert found["pools"]["cure"] == found["queues"]["cure"]
    assert cli(*shlex.split(found["queues"]["cure"])[1:]).code == 0

    assert not {"pools", "queues"} & findings(cli, "--home", str(home))[1].keys()


def test_a_real_home_is_well_while_it_lives_and_after_it_was_stopped(runtime: Living, td):
    runtime.submit("true")

    living = {one["check"]: one for one in json.loads(td("doctor", "--json").stdout)}
    assert [check for check, one in living.items() if not one["ok"]] == []
    assert living["cgroups"]["text"].startswith("the keeper is in /")

    td("stop")
    stopped = {one["check"]: one for one in json.loads(td("doctor", "--json").stdout)}
    assert shlex.split(stopped["runtime"]["cure"])[-2:] == ["serve", "--detach"]


def test_a_keeper_that_goes_on_without_a_runtime_is_told(runtime: Living, td):
    number = runtime.submit("sleep", "300")
    runtime.reach(number, "running")
    runtime.kill(signal.SIGKILL)

    said = td("doctor")

    assert "what runs goes on, and its end is kept for the next runtime" in said.stdout


def test_a_runtime_of_another_home_is_told_with_its_user_and_pid(runtime: Living, tmp_path: Path):
    there = [one for one in procfs.all_ours() if one.home == str(runtime.home)]  # tests beside have theirs, and only a few are named

    (found,) = processes.neighbours(str(tmp_path / "mine"), there)

    assert found.text.endswith(f": runtime pid {runtime.pid}, home {runtime.home}")
    assert list(processes.neighbours(str(runtime.home), there)) == []
