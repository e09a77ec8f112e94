"""Acceptance tests that a job runs like the same command in the submitter's shell.

Some differences are meant: a job reads /dev/null, writes to its log, leads its own session (a
cancel must reach all of it, a hang-up must not), and has four variables that identify it. Variables
that a terminal or shell keeps for itself (TERM, SHLVL, …) are ignored.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.runtime_process import is_alive

PROBE = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
names = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd",
         "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed",
         "Mems_allowed", "TracerPid", "CoreDumping", "THP_enabled")
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass
limits = {name: resource.getrlimit(getattr(resource, name))
          for name in dir(resource) if name.startswith("RLIMIT_")}
read = lambda name: open("/proc/self/" + name).read().strip()
print(json.dumps({
    "status": {name: status[name].strip() for name in names if name in status},
    "descriptors": fds,
    "limits": limits,
    "oom_score_adj": read("oom_score_adj"),
    "personality": read("personality"),
    "cgroup": read("cgroup"),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "scheduler": [os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))],
    "directory": os.getcwd(),
    "root": os.readlink("/proc/self/root"),
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0),
    "environment": dict(os.environ),
}))
"""
RUN_VARIABLES = {"TASKDECK_RUNID", "TASKDECK_TASK", "TASKDECK_ATTEMPT", "TASKDECK_HOME"}
TERMINAL_VARIABLES = {"TERM", "SHLVL", "OLDPWD", "_"}

ODD_LAUNCHER = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
os.umask(0)
for number in range(20, 24):
    os.dup2(os.open("/dev/zero", os.O_RDONLY), number, inheritable=True)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command with unusual signals, umask and descriptors."""


SHELL = ["/bin/sh", "-c", 'umask 022; exec "$@"', "sh"]
"""The plain shell of a submitter."""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a command that prints its process state as JSON."""
    path = tmp_path_factory.mktemp("probe") / "probe.py"
    path.write_text(PROBE)
    return [sys.executable, "-I", "-S", str(path)]


def probe_in_shell(house: AcceptanceHome, argv: list[str]) -> dict[str, Any]:
    """Return the probe's output from the submitter's plain shell."""
    line = [*SHELL, "/bin/sh", "-c", '"$@" < /dev/null > said.json 2>&1', "sh", *argv]
    subprocess.run(line, cwd=house.work, env=house.env, check=True)
    return json.loads((house.work / "said.json").read_text())


def probe_as_job(house: AcceptanceHome, argv: list[str], *through: str) -> dict[str, Any]:
    """Return the probe's output as a job, optionally submitted through another command."""
    line = [*SHELL, *through, str(PROGRAM), "submit", "--wait", "--", *argv]
    done = subprocess.run(
        line,
        cwd=house.work,
        env=house.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(house.run_ok("logs", done.stdout.split()[0]))


def find_differences(job: dict[str, Any], shell: dict[str, Any]) -> dict[str, Any]:
    """Return the unexpected differences as {name: (job, shell)}."""
    its, plain = deepcopy(job), deepcopy(shell)
    assert its.pop("leads") is True and plain.pop("leads") is False
    for said, output in ((its, ".log"), (plain, "said.json")):
        del said["limits"]["RLIMIT_RTTIME"]  # the mark of a run
        fds = said["descriptors"]
        assert (
            fds.pop("0") == "/dev/null"
            and fds.pop("1").endswith(output)
            and fds.pop("2").endswith(output)
        )
        said["descriptors"] = {
            number: path for number, path in fds.items() if not path.startswith("/proc/")
        }
    variables = its.pop("environment")
    assert variables.keys() >= RUN_VARIABLES
    its["environment"] = {
        name: value for name, value in variables.items() if name not in RUN_VARIABLES
    }
    plain["environment"] = {
        name: value
        for name, value in plain["environment"].items()
        if name not in TERMINAL_VARIABLES | RUN_VARIABLES
    }
    return {what: (its[what], plain[what]) for what in plain if its[what] != plain[what]}


def test_only_the_umask_of_an_odd_submitter_reaches_a_job(
    shared_home: AcceptanceHome, probe: list[str]
):
    through = [sys.executable, "-I", "-S", "-c", ODD_LAUNCHER]
    plain = probe_in_shell(shared_home, probe)

    # the first one also starts the runtime
    first, second = (probe_as_job(shared_home, probe, *through) for _ in range(2))

    for job in (first, second):
        assert job["status"].pop("Umask") == "0000"
        assert (
            find_differences(
                job | {"status": job["status"] | {"Umask": plain["status"]["Umask"]}}, plain
            )
            == {}
        )


def test_a_job_equals_the_same_command_in_a_shell(shared_home: AcceptanceHome, probe: list[str]):
    assert (
        find_differences(probe_as_job(shared_home, probe), probe_in_shell(shared_home, probe)) == {}
    )


def start_runtime_oddly(house: AcceptanceHome, before: str) -> None:
    """Start the runtime from a prepared shell, within a run of another home."""
    env = house.env | {
        "TASKDECK_RUNID": "another",
        "TASKDECK_TASK": "9",
        "TASKDECK_ATTEMPT": "3",
        "PATH": f"/nowhere:{house.env['PATH']}",
    }
    script = f"{before}; exec {PROGRAM} serve --detach"
    subprocess.run(["/bin/sh", "-c", script], cwd="/", env=env, check=True, capture_output=True)


def test_a_job_inherits_neither_the_runtimes_start_nor_its_later_state(
    acceptance_home: AcceptanceHome, probe: list[str]
):
    plain = probe_in_shell(acceptance_home, probe)

    start_runtime_oddly(
        acceptance_home,
        'umask 077; trap "" INT PIPE HUP; exec 3< /dev/zero; echo 500 > /proc/self/oom_score_adj',
    )

    assert find_differences(probe_as_job(acceptance_home, probe), plain) == {}
    runtime = acceptance_home.run_json("status")["runtime"]["pid"]
    Path(f"/proc/{runtime}/oom_score_adj").write_text("600")
    os.setpriority(os.PRIO_PROCESS, runtime, 5)
    assert find_differences(probe_as_job(acceptance_home, probe), plain) == {}


def test_a_job_that_submits_passes_on_nothing_of_its_run(
    shared_home: AcceptanceHome, probe: list[str]
):
    plain = probe_in_shell(shared_home, probe)
    outer = shared_home.submit("--", *SHELL, str(PROGRAM), "submit", "--wait", "--", *probe)
    shared_home.run_ok("wait", outer)
    inner = str(int(outer) + 1)

    job = json.loads(shared_home.run_ok("logs", inner))

    assert find_differences(job, plain) == {}
    assert (job["environment"]["TASKDECK_TASK"], job["environment"]["TASKDECK_ATTEMPT"]) == (
        inner,
        "1",
    )


@pytest.fixture
def task_with_daemons(shared_home: AcceptanceHome) -> Iterator[tuple[str, list[int]]]:
    """Yield a task that ended and left two processes, one in another session, and their pids."""
    script = "sleep 60 & echo $!; setsid sleep 60 & echo $!; sleep 0.1"
    task = shared_home.submit("--", "/bin/sh", "-c", script)
    shared_home.run_ok("wait", task)
    left = [int(pid) for pid in shared_home.run_ok("logs", task).split()]
    yield task, left
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_daemons_left_after_a_normal_end_are_not_killed(
    shared_home: AcceptanceHome, task_with_daemons: tuple[str, list[int]]
):
    task, left = task_with_daemons
    shared_home.run_ok("submit", "--wait", "--", "true")

    assert shared_home.run_json("show", task)["status"] == "succeeded"
    assert len(left) == 2 and all(map(is_alive, left))


def test_an_event_counts_the_daemons_left(
    shared_home: AcceptanceHome, task_with_daemons: tuple[str, list[int]]
):
    notes = [
        event["note"] or ""
        for event in shared_home.run_json("show", task_with_daemons[0])["events"]
    ]

    assert any("2 processes" in note for note in notes), notes


def test_a_log_beyond_its_limit_ends_the_run(shared_home: AcceptanceHome):
    lines = shared_home.work / "tasks.jsonl"
    lines.write_text(
        json.dumps(
            {"argv": ["/bin/sh", "-c", "yes | head -c 3000000; sleep 60"], "log_limit": "1M"}
        )
        + "\n"
    )
    task = shared_home.run_ok("submit", "--from", lines).strip()

    shared_home.run_cli("wait", task)

    found = shared_home.run_json("show", task)
    assert (found["status"], found["reason"]) == ("failed", "log limit 1.0M")


def test_cpu_and_peak_memory_cover_the_whole_process_tree(shared_home: AcceptanceHome):
    burn = (
        "t=__import__('time'); b=bytearray(60 << 20); e=t.process_time()+0.3\nwhile"
        " t.process_time()<e: pass"
    )
    child = f'{sys.executable} -I -S -c "{burn}"'

    task = shared_home.submit("--", "/bin/sh", "-c", f"({child}) & ({child}); wait; exit 0")
    shared_home.run_ok("wait", task)

    (run,) = shared_home.run_json("show", task)["instances"]
    assert run["cpu_seconds"] >= 0.6 and 60 < run["max_rss"] < 120


def test_the_runtime_is_not_counted_in_a_small_jobs_peak(shared_home: AcceptanceHome):
    task = shared_home.submit("--", "/bin/true")
    shared_home.run_ok("wait", task)

    (run,) = shared_home.run_json("show", task)["instances"]
    assert 0 < run["max_rss"] < 4
