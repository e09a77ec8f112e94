"""Tests of `doctor`: findings, also where nothing works, with commands to type."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.errors import Problem, Storage, Usage
from app.health import processes, procfs
from db.errors import OlderDatabase
from tests.cli.commands.tasks.test_show import STATUS
from tests.runtime_process import RuntimeProcess, wait_until

PROCESS_PAIR = {"pid": os.getpid(), "guard_pid": os.getppid()}
"""A process and its parent."""
HEALTHY_STATUS = {**STATUS, "keeper": PROCESS_PAIR,
"pools": [{"name": "default", "total_cpu": 1.0, "total_memory": 1.0}],
        "queues": [{"name": "default", "pool": "default", "capacity": 1}]}  # fmt: skip


def run_doctor(cli, *words):
    """Return the exit code and the findings by check."""
    said = cli("doctor", "--json", *words)
    return said.code, {one["check"]: one for one in json.loads(said.out)}


def test_a_healthy_home_passes(fake_runtime, cli, home):
    fake_runtime(status=HEALTHY_STATUS, browse={"columns": [], "rows": []})

    said = cli("doctor")

    assert (
        said.code == 0
        and f"✓ home      {home}, private to you\n" in said.out
        and "✓ runtime   pid 4120\n" in said.out
    )
    assert f"✓ keeper    pid {os.getpid()}, guard {os.getppid()}, journal 0B\n" in said.out
    assert run_doctor(cli)[1]["versions"]["text"].startswith("Taskdeck ")


def test_a_missing_home_passes_and_is_not_created(cli, tmp_path):
    said = cli("doctor", "--home", str(tmp_path / "new"))

    assert said.code == 0 and "does not exist yet" in said.out and not (tmp_path / "new").exists()


def test_a_home_readable_by_others_gets_a_hint(fake_runtime, cli, home):
    home.chmod(0o755)
    fake_runtime(status=HEALTHY_STATUS, browse={"columns": [], "rows": []})

    code, found = run_doctor(cli)

    assert code == 0 and found["home"] == {"check": "home", "ok": True, "hint": True,
    "text": f"{home} is readable by other users",
                                          "cure": f"chmod 700 {home}"}  # fmt: skip


@pytest.mark.parametrize(
    "pair", [{"pid": None, "guard_pid": None}, {"pid": 1 << 30, "guard_pid": os.getppid()}]
)
def test_a_keeper_without_guard_is_broken(fake_runtime, cli, home, pair):
    fake_runtime(status={**HEALTHY_STATUS, "keeper": pair}, browse={"columns": [], "rows": []})

    code, found = run_doctor(cli)

    assert code == 1 and not found["keeper"]["ok"]
    assert found["keeper"]["cure"] == f"taskdeck --home {home} serve --replace --detach"


def test_a_keeper_that_is_not_a_child_of_its_guard_is_broken(fake_runtime, cli):
    fake_runtime(
        status={**HEALTHY_STATUS, "keeper": {"pid": os.getppid(), "guard_pid": os.getpid()}},
        browse={"columns": [], "rows": []},
    )

    assert "is not a child of its guard" in run_doctor(cli)[1]["keeper"]["text"]


def test_a_halted_runtime_is_broken_but_a_draining_one_is_not(fake_runtime, cli):
    runtime = {**HEALTHY_STATUS["runtime"], "halted": "disk read-only since 10:31"}
    fake_runtime(status={**HEALTHY_STATUS, "runtime": runtime}, browse={"columns": [], "rows": []})
    assert run_doctor(cli)[0] == 1

    fake_runtime(
        status={**HEALTHY_STATUS, "runtime": {**runtime, "halted": "the runtime is draining"}},
        browse={"columns": [], "rows": []},
    )

    assert run_doctor(cli)[0] == 0


def test_an_unreadable_database_is_broken_and_other_checks_run(fake_runtime, cli):
    fake_runtime(status=Storage("the database is damaged."))

    code, found = run_doctor(cli)

    assert code == 1 and "damaged" in found["database"]["text"]
    assert {"versions", "home", "disk", "files", "clock", "limits"} <= found.keys()


def test_an_older_database_gets_a_hint_to_migrate(fake_runtime, cli, home):
    fake_runtime(status=OlderDatabase(home / "taskdeck.db", "0001", "0002"))

    code, found = run_doctor(cli)

    assert (code, found["database"]["cure"]) == (0, f"taskdeck --home {home} db migrate")


def test_the_command_for_a_damaged_database_moves_it_aside(cli, database_path, home):
    database_path.write_bytes(b"no database at all, but text that is long enough")

    code, found = run_doctor(cli)
    os.system(found["database"]["cure"])

    assert (code, run_doctor(cli)[0]) == (1, 0) and (home / "damaged" / "taskdeck.db").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            '"task.cancle" = "ctrl+e"',
            'there is no action "task.cancle". Nearest: task.cancel; ignored.',
        ),
        ('"task.cancel" = "ctrl+ee"', 'there is no key "ctrl+ee".'),
        (
            '"task.cancel" = "p"',
            "p would be both task.cancel and task.pause. Default keys are used.",
        ),
        ('"task.cancel" = "f9"', None),
    ],
)
def test_invalid_keys_are_reported_with_the_file(fake_runtime, cli, tmp_path, keys, said):
    path = tmp_path / "config" / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f"[keys]\n{keys}\n")
    fake_runtime(status=HEALTHY_STATUS, browse={"columns": [], "rows": []})

    found = run_doctor(cli)[1]["config"]

    assert (
        found["ok"] == (said is None)
        and found["text"].startswith(str(path))
        and (said or "") in found["text"]
    )
    assert said is None or found["cure"].endswith(str(path))


def test_a_home_that_is_a_file_is_broken(cli, tmp_path):
    (tmp_path / "file").touch()

    said = cli("doctor", "--home", str(tmp_path / "file"))

    assert said.code == 1 and "is not a directory" in said.out


def test_a_home_of_another_user_is_reported_with_its_owner(cli, home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    code, found = run_doctor(cli)

    assert (
        code == 1
        and "not to you" in found["home"]["text"]
        and found["home"]["cure"].startswith("sudo -u ")
    )


def test_a_home_that_others_can_replace_is_broken_with_its_fix(cli, tmp_path):
    tmp_path.chmod(0o777)

    code, found = run_doctor(lambda *words: cli(*words, "--home", str(tmp_path / "home")))

    assert code == 1 and not found["runtime"]["ok"]
    assert found["runtime"]["cure"] == f"chmod +t {tmp_path}"


def test_a_failing_check_is_reported_and_the_others_run(fake_runtime, cli, monkeypatch):
    def fail():
        raise RuntimeError("no such luck")

    monkeypatch.setattr("app.health.home.check_versions", fail)
    fake_runtime(status=HEALTHY_STATUS, browse={"columns": [], "rows": []})

    code, found = run_doctor(cli)

    assert (
        code == 1
        and found["versions"]["text"] == "the check failed (RuntimeError: no such luck)"
        and found["home"]["ok"]
    )


@pytest.mark.parametrize(
    ("problem", "check", "cure"),
    [
        (
            Usage("config.toml is no TOML.", "Mend it, or move it away."),
            "config",
            '"${EDITOR:-vi}" ',
        ),
        (
            Problem("it has not answered.", "If it is suspended, continue it: kill -CONT 7"),
            "runtime",
            "kill -CONT 7",
        ),
        (
            Storage("the database was made by 0.5.", "Upgrade: pipx upgrade taskdeck"),
            "database",
            "pipx upgrade taskdeck",
        ),
    ],
)
def test_an_obstacle_is_reported_by_name_with_one_command(fake_runtime, cli, problem, check, cure):
    fake_runtime(status=problem)

    found = run_doctor(cli)[1][check]

    assert not found["ok"] and found["cure"].startswith(cure)


def test_a_home_without_queues_is_broken_and_fixed_by_the_command(cli, database_path, home):
    with closing(sqlite3.connect(database_path)) as c:
        c.executescript("DELETE FROM queues; DELETE FROM pools")

    code, found = run_doctor(cli, "--home", str(home))
    assert code == 1 and found["queues"]["text"] == "there is no queue, so no task can be submitted"
    assert found["pools"]["cure"] == found["queues"]["cure"]
    assert cli(*shlex.split(found["queues"]["cure"])[1:]).code == 0

    assert not {"pools", "queues"} & run_doctor(cli, "--home", str(home))[1].keys()


@pytest.mark.process
def test_a_real_home_is_healthy_while_running_and_after_stop(runtime: RuntimeProcess, run_cli):
    runtime.submit("true")

    living = {one["check"]: one for one in json.loads(run_cli("doctor", "--json").stdout)}
    assert [check for check, one in living.items() if not one["ok"]] == []
    assert living["cgroups"]["text"].startswith("the keeper is in /")

    run_cli("stop")
    stopped = {one["check"]: one for one in json.loads(run_cli("doctor", "--json").stdout)}
    assert shlex.split(stopped["runtime"]["cure"])[-2:] == ["serve", "--detach"]


@pytest.mark.process
def test_a_keeper_without_runtime_is_reported(runtime: RuntimeProcess, run_cli):
    number = runtime.submit("sleep", "300")
    runtime.wait_for_status(number, "running")
    runtime.kill(signal.SIGKILL)

    said = run_cli("doctor")

    assert "running jobs continue, and their ends are kept for the next runtime" in said.stdout


@pytest.mark.process
def test_runtimes_of_other_homes_are_listed_with_user_and_pid(
    runtime: RuntimeProcess, tmp_path: Path
):
    # parallel tests have their own runtimes, and only a few are named
    there = [one for one in procfs.find_taskdeck_processes() if one.home == str(runtime.home)]

    (found,) = processes.find_other_homes(str(tmp_path / "mine"), there)

    assert found.text.endswith(f": runtime pid {runtime.pid}, home {runtime.home}")
    assert list(processes.find_other_homes(str(runtime.home), there)) == []


@pytest.mark.process
def test_processes_without_a_running_task_are_named(
    runtime: RuntimeProcess, run_cli, tmp_path: Path
):
    plain = f"(setsid sh -c 'echo $$ > {tmp_path}/%s; exec sleep 300' &); "
    daemon = plain.replace("setsid", "setsid env -i")
    ended = runtime.submit("sh", "-c", daemon % "ended" + plain % "plain")
    runtime.wait_for_end(ended)
    running = runtime.submit("sh", "-c", daemon % "running" + daemon % "hidden" + "exec sleep 300")
    runtime.wait_for_status(running, "running")
    pids = {
        name: int(wait_until(lambda name=name: read_line(tmp_path / name), name))
        for name in ("ended", "plain", "running", "hidden")
    }
    resource.prlimit(pids["hidden"], resource.RLIMIT_RTTIME, (1000, 1000))
    try:
        found = {one["check"]: one for one in json.loads(run_cli("doctor", "--json").stdout)}
        left = {task: runtime.show(task)["left"] for task in (ended, running)}
        page = run_cli("show", ended).stdout
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)

    text = found["left"]["text"]
    assert text.startswith("3 processes that jobs started belong to no running task: pid ")
    assert all(f"pid {pids[name]} (" in text for name in ("ended", "plain", "hidden"))
    assert str(pids["running"]) not in text
    assert make_left(pids["plain"], certain=True) in left[ended]
    assert make_left(pids["ended"], certain=False) in left[ended]
    assert make_left(pids["hidden"], certain=False) in left[running]
    assert all(one["pid"] != pids["running"] for one in [*left[ended], *left[running]])
    assert f"To end: kill {pids['plain']}\n" in page


def make_left(pid: int, *, certain: bool) -> dict[str, Any]:
    return {"pid": pid, "name": "sleep", "certain": certain}


def read_line(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    return text.strip() if text.endswith("\n") else ""
