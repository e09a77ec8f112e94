"""Tests of the cgroups of runs: on the kernel's own tree where it may be used, else on files.

A tree without the controller of memory shows everything but the limit itself, which files show.
"""

import inspect
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.keeper import cgroups, launch
from app.keeper.cgroups import KEEPER, RUN, CgroupError, Cgroups, RunCgroup
from app.keeper.programs import StartError
from app.keeper.requests import SpawnRequest
from tests.keeper.keeper_home import NO_LIMITS, CgroupKeeperHome
from tests.runtime_process import is_alive, wait_until

MAKE_FOLDER = os.mkdir
DAEMON = "setsid env -i sh -c 'echo $$ > {0}; exec sleep 300' & while [ ! -s {0} ]; do :; done"
"""Shell code that starts a daemon without session, parent or environment of the run."""


def read_cgroup(pid: int) -> str:
    """Return the name of the cgroup of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if line.startswith("0::")).rpartition("/")[2]


@pytest.fixture(scope="module")
def module_cgroup_home(cgroup_tree: Path, tmp_path_factory) -> Iterator[CgroupKeeperHome]:
    """Yield a home with one keeper for the tests of this module."""
    home = CgroupKeeperHome(tmp_path_factory.mktemp("grouped") / "home")
    home.place = cgroup_tree
    try:
        assert home.start_keeper() == 0
        home.greet()
        if not os.path.isdir(home.root / KEEPER):
            pytest.skip(home.hello["cgroups"]["why"])
        yield home
    finally:
        home.kill_all()


@pytest.fixture
def cgroup_home(module_cgroup_home: CgroupKeeperHome) -> CgroupKeeperHome:
    module_cgroup_home.greet()
    return module_cgroup_home


def test_the_first_instruction_runs_in_the_cgroup_of_its_run(cgroup_home):
    run = cgroup_home.spawn("cat", "/proc/self/cgroup", wait=False, limits=NO_LIMITS)
    cgroup_home.wait_for_event("ended", run)

    assert f"/{RUN}{run}\n" in cgroup_home.get_log_path(run).read_text()
    assert {read_cgroup(cgroup_home.hello[who]) for who in ("pid", "guard")} == {KEEPER}
    cgroup_home.forget(run)


def test_a_daemon_ends_with_its_run(cgroup_home, tmp_path):
    told = tmp_path / "pid"
    run = cgroup_home.spawn("sh", "-c", DAEMON.format(told), wait=False, limits=NO_LIMITS)

    end = cgroup_home.wait_for_event("ended", run)

    daemon = int(told.read_text())
    wait_until(lambda: not is_alive(daemon), "the daemon has ended")
    assert (end["code"], end["left"]) == (0, 0)
    cgroup_home.forget(run)


def test_a_stop_gives_the_processes_of_a_cgroup_their_grace(cgroup_home, tmp_path):
    told, done = tmp_path / "pid", tmp_path / "done"
    script = f"trap 'echo > {done}; exit' TERM; echo $$ > {told}; while :; do sleep 0.01; done"
    daemon = f'setsid env -i sh -c "{script}" & while [ ! -s {told} ]; do :; done; exec sleep 300'
    run = cgroup_home.spawn("sh", "-c", daemon, limits=NO_LIMITS)
    wait_until(lambda: told.exists() and told.read_text(), "the daemon runs")

    cgroup_home.send("stop", run=run, reason="cancel", grace=60)

    cgroup_home.wait_for_event("ended", run)
    assert done.exists()
    cgroup_home.forget(run)


def test_the_figures_count_daemons_and_agree_with_wait4(cgroup_home):
    burn = "import os; a = os.times\nwhile a()[0] + a()[1] < 0.2: pass"
    run = cgroup_home.spawn(sys.executable, "-Sc", burn, wait=False)
    alone = cgroup_home.wait_for_event("ended", run)
    run = cgroup_home.spawn(sys.executable, "-Sc", burn, wait=False, limits=NO_LIMITS)
    grouped = cgroup_home.wait_for_event("ended", run)
    lost = f"{sys.executable} -Sc '{burn}'"
    script = f'setsid env -i sh -c "{lost} ; echo > $0" & while [ ! -e $0 ]; do sleep .01; done'
    told = str(cgroup_home.path / "burnt")
    run = cgroup_home.spawn("sh", "-c", script, told, wait=False, limits=NO_LIMITS)
    daemon = cgroup_home.wait_for_event("ended", run)

    assert alone["cpu"] == pytest.approx(grouped["cpu"], abs=0.1)
    assert daemon["cpu"] > 0.2


@pytest.mark.parametrize("program", ["/no/such/program", "/etc/passwd", "/"])
def test_a_start_that_fails_leaves_no_cgroup(cgroup_home, program):
    end = cgroup_home.run_to_end(program, limits=NO_LIMITS)

    assert end["code"] in (126, 127) and RUN + end["run"] not in cgroup_home.list_folders()
    assert read_cgroup(cgroup_home.hello["pid"]) == KEEPER


@pytest.mark.parametrize("who", ["pid", "guard", "both"])
def test_a_survivor_ends_the_cgroup_of_a_run(cgroup_home, tmp_path, who):
    told = tmp_path / "pid"
    script = f"({DAEMON.format(told)}); while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"
    run = cgroup_home.spawn("sh", "-c", script, limits=NO_LIMITS)
    wait_until(lambda: told.exists() and told.read_text(), "the daemon runs")
    if who == "both":
        cgroup_home.kill_both()
        cgroup_home.restart()
    else:
        cgroup_home.kill_one(who)

    (tmp_path / "go").touch()

    cgroup_home.wait_for_event("ended", run)
    cgroup_home.forget(run)
    wait_until(lambda: not is_alive(int(told.read_text())), "the daemon has ended")
    assert read_cgroup(cgroup_home.hello["pid"]) == KEEPER


def test_a_new_keeper_removes_folders_of_unknown_runs(cgroup_home):
    folder = cgroup_home.root / f"{RUN}of-an-earlier-keeper"
    folder.mkdir()

    cgroup_home.kill_one("pid")

    wait_until(lambda: not folder.exists(), "the folder is gone")


def test_a_deep_tree_of_cgroups_below_a_run_is_removed(cgroup_home):
    folder = cgroup_home.root / f"{RUN}of-a-deep-tree"
    deepest = str(folder) + "/a" * 300
    os.makedirs(deepest)
    depth = len(inspect.stack())

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 100)
    try:
        assert cgroups.remove_folder(str(folder))
    finally:
        sys.setrecursionlimit(limit)

    assert not folder.exists()


def test_without_a_delegated_tree_nothing_starts(shared_home):
    run = shared_home.spawn("true", wait=False, limits={"memory": 1024, "cpu": None})

    failed = shared_home.wait_for_event("error", run)

    assert failed["code"] == "no-cgroup" and "without a cgroup of its own" in failed["message"]
    assert shared_home.greet()["cgroups"]["controllers"] == []
    assert run not in [event["run"] for event in shared_home.hello["runs"]]


def test_a_lost_tree_starts_nothing_without_its_limit(cgroup_home):
    run = str(uuid.uuid4())
    (cgroup_home.root / f"{RUN}{run}").mkdir()  # so that the keeper cannot make it

    cgroup_home.spawn("true", run=run, wait=False, limits=NO_LIMITS)

    assert cgroup_home.wait_for_event("error", run)["code"] == "no-cgroup"
    assert cgroup_home.greet() and cgroup_home.find_known(run) is None


def test_a_run_id_that_is_no_name_of_a_folder_is_refused(shared_home):
    shared_home.spawn("true", run="../x", wait=False, limits=NO_LIMITS)

    assert shared_home.wait_for_event("error", "../x")["code"] == "bad-request"


# --- limits, as files in a folder -------------------------------------------------------

FILES = {
    "cgroup.procs": "", "cgroup.kill": "", "cpu.weight": "100", "memory.max": "max",
    "memory.oom.group": "0", "memory.peak": "8388608\n",
    "memory.events": "low 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    "cgroup.controllers": "cpuset cpu io memory\n", "cgroup.subtree_control": "io\n",
}  # fmt: skip


def fill(folder: Path) -> None:
    """Make a folder with files as the kernel would."""
    MAKE_FOLDER(folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Let new folders look like cgroups; return what is written, with the last folder's name."""
    fill(tmp_path / "tree")
    fill(tmp_path / "tree" / KEEPER)
    found, write = list[tuple[str, str]](), cgroups._write

    def note(path: str, value: str) -> None:
        if value[0] == "+":
            Path(path).write_text(f"{Path(path).read_text().strip()} {value[1:]}\n")
        else:
            write(path, value)
        found.append(("/".join(path.split("/")[-2:]), value))

    monkeypatch.setattr(cgroups, "_write", note)
    monkeypatch.setattr(cgroups.os, "mkdir", lambda path, mode=0: fill(Path(path)))
    return found


@pytest.mark.unit
def test_limits_of_a_request_become_a_record(tmp_path):
    found = Cgroups(str(tmp_path))

    assert found.make_record("a1", {"memory": 65536, "cpu": 2.5}) == {
        "path": f"{tmp_path}/run-a1",
        "memory": 65536,
        "weight": 250,
    }
    weights = [cgroups.compute_weight(cores) for cores in (0.001, 1, 64, 500)]
    assert weights == [1, 100, 6400, 10_000]


@pytest.mark.unit
def test_a_claimed_folder_tells_what_it_can_enforce(tmp_path, written):
    found = Cgroups(str(tmp_path / "tree"))
    found.divide()

    assert found.controllers == ["memory", "cpu"] and not found.why
    assert found.find_lack({"memory": 1024, "cpu": 1.0}) == ""
    assert [name for name, _ in written[:3]] == [
        "keeper/cgroup.procs", "tree/cgroup.subtree_control", "tree/cgroup.subtree_control",
    ]  # fmt: skip
    found.controllers = ["cpu"]
    assert "no controller memory" in found.find_lack({"memory": 1024, "cpu": None})


def test_the_limits_follow_once_the_keeper_has_left(tmp_path, written):
    record = {"path": f"{tmp_path}/tree/run-a", "memory": 65536, "weight": 200}

    request = make_request("true")
    pid = launch.spawn_inside(RunCgroup(record), b"/bin/true", request, {})

    os.waitpid(pid, 0)
    assert written == [
        ("run-a/cpu.weight", "10000"),
        ("run-a/memory.oom.group", "0"),
        ("run-a/memory.max", "max"),
        ("run-a/cgroup.procs", "0"),
        ("keeper/cgroup.procs", "0"),
        ("run-a/cpu.weight", "200"),
        ("run-a/memory.oom.group", "1"),
        ("run-a/memory.max", "67108864"),
    ]


def test_a_run_whose_limit_cannot_be_written_ends_at_once(tmp_path, written, monkeypatch):
    record = {"path": f"{tmp_path}/tree/run-a", "memory": 65536, "weight": None}
    leave, spawn, pids = RunCgroup.leave, launch.spawn, list[int]()

    def start(*words: Any) -> int:
        pids.append(spawn(*words))
        return pids[0]

    def lose(self: RunCgroup) -> None:
        leave(self)
        Path(self.path, "memory.max").unlink()

    monkeypatch.setattr(RunCgroup, "leave", lose)
    monkeypatch.setattr(launch, "spawn", start)

    with pytest.raises(StartError, match="cannot set its limits"):
        launch.spawn_inside(RunCgroup(record), b"/bin/sleep", make_request("sleep", "300"), {})

    assert not is_alive(pids[0])


@pytest.mark.unit
def test_a_folder_that_cannot_be_made_is_an_error_of_the_cgroup(tmp_path):
    record = {"path": f"{tmp_path}/gone/run-a", "memory": None, "weight": None}

    with pytest.raises(CgroupError, match="No such file"):
        RunCgroup(record).enter()


@pytest.mark.unit
def test_the_end_of_a_run_has_the_figures_of_the_kernel(tmp_path):
    fill(tmp_path / "run-a")
    cgroup = RunCgroup({"path": str(tmp_path / "run-a"), "memory": 1, "weight": None})

    assert cgroup.end(kills=True) == {"cpu": 1.5, "rss": 8192, "oom": True}
    assert (tmp_path / "run-a" / "cgroup.kill").read_text() == "1"
    assert RunCgroup({"path": "/gone", "memory": 1, "weight": None}).end(kills=True) == {}


def make_request(*argv: str) -> SpawnRequest:
    """Return a request to start a program."""
    env = {"PATH": os.environ["PATH"]}
    ask = {"run": "a", "argv": argv, "cwd": "/", "env": env, "umask": 18, "log": "/dev/null"}
    return SpawnRequest(ask | {"grace": 1.0, "limits": {"memory": 65536, "cpu": 2}})
