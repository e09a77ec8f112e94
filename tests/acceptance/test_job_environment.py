"""A job is as the same command run from a plain shell by the submitter: nothing of ours, or of the runtime's past, shows in it.

What differs is meant to: a job reads /dev/null, writes to its log, leads a session of its own (a cancel must reach all
of it, and no terminal's hang-up may), and has the four variables by which it can be told. What a terminal or a shell
keeps for itself (TERM, SHLVL, …) is left out of the environment.
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

from tests.acceptance.acceptance_home import PROGRAM, House
from tests.runtime_process import alive

PROBE = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
names = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "CapInh", "CapPrm", "CapEff", "CapBnd",
         "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Mems_allowed", "TracerPid", "CoreDumping", "THP_enabled")
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass
limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
read = lambda name: open("/proc/self/" + name).read().strip()
print(json.dumps({
    "status": {name: status[name].strip() for name in names if name in status}, "descriptors": fds, "limits": limits,
    "oom_score_adj": read("oom_score_adj"), "personality": read("personality"), "cgroup": read("cgroup"),
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "scheduler": [os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))],
    "directory": os.getcwd(), "root": os.readlink("/proc/self/root"), "leads": os.getsid(0) == os.getpid() == os.getpgid(0),
    "environment": dict(os.environ),
}))
"""
RUN = {"TASKDECK_RUNID", "TASKDECK_TASK", "TASKDECK_ATTEMPT", "TASKDECK_HOME"}
TERMINALS = {"TERM", "SHLVL", "OLDPWD", "_"}

NOHUP = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
os.umask(0)
for number in range(20, 24):
    os.dup2(os.open("/dev/zero", os.O_RDONLY), number, inheritable=True)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command as no sane shell would."""


SHELL = ["/bin/sh", "-c", 'umask 022; exec "$@"', "sh"]
"""The plain shell of a submitter."""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that says as JSON what it is."""
    path = tmp_path_factory.mktemp("probe") / "probe.py"
    path.write_text(PROBE)
    return [sys.executable, "-I", "-S", str(path)]


def in_a_shell(house: House, argv: list[str]) -> dict[str, Any]:
    """What the command says when the submitter runs it from a plain shell."""
    line = [*SHELL, "/bin/sh", "-c", '"$@" < /dev/null > said.json 2>&1', "sh", *argv]
    subprocess.run(line, cwd=house.work, env=house.env, check=True)
    return json.loads((house.work / "said.json").read_text())


def as_a_job(house: House, argv: list[str], *through: str) -> dict[str, Any]:
    """What it says as a job, submitted through another command or not."""
    line = [*SHELL, *through, str(PROGRAM), "submit", "--wait", "--", *argv]
    done = subprocess.run(line, cwd=house.work, env=house.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(house.ok("logs", done.stdout.split()[0]))


def differences(job: dict[str, Any], shell: dict[str, Any]) -> dict[str, Any]:
    """What differs and is not meant to: {what: (job, shell)}."""
    its, plain = deepcopy(job), deepcopy(shell)
    assert its.pop("leads") is True and plain.pop("leads") is False
    for said, output in ((its, ".log"), (plain, "said.json")):
        fds = said["descriptors"]
        assert fds.pop("0") == "/dev/null" and fds.pop("1").endswith(output) and fds.pop("2").endswith(output)
        said["descriptors"] = {number: path for number, path in fds.items() if not path.startswith("/proc/")}
    variables = its.pop("environment")
    assert variables.keys() >= RUN
    its["environment"] = {name: value for name, value in variables.items() if name not in RUN}
    plain["environment"] = {name: value for name, value in plain["environment"].items() if name not in TERMINALS | RUN}
    return {what: (its[what], plain[what]) for what in plain if its[what] != plain[what]}


def test_of_an_odd_submitter_only_the_umask_reaches_a_job(shared_house: House, probe: list[str]):
    through = [sys.executable, "-I", "-S", "-c", NOHUP]
    plain = in_a_shell(shared_house, probe)

    first, second = (as_a_job(shared_house, probe, *through) for _ in range(2))  # the first also brings the runtime up

    for job in (first, second):
        assert job["status"].pop("Umask") == "0000"
        assert differences(job | {"status": job["status"] | {"Umask": plain["status"]["Umask"]}}, plain) == {}


def test_a_job_is_what_the_same_command_is_in_a_shell(shared_house: House, probe: list[str]):
    assert differences(as_a_job(shared_house, probe), in_a_shell(shared_house, probe)) == {}


def served(house: House, before: str) -> None:
    """Bring the runtime up from a shell in which something was done before, within a run of another home."""
    env = house.env | {
        "TASKDECK_RUNID": "another",
        "TASKDECK_TASK": "9",
        "TASKDECK_ATTEMPT": "3",
        "PATH": f"/nowhere:{house.env['PATH']}",
    }
    script = f"{before}; exec {PROGRAM} serve --detach"
    subprocess.run(["/bin/sh", "-c", script], cwd="/", env=env, check=True, capture_output=True)


def test_a_job_gets_neither_what_the_runtime_was_started_with_nor_what_it_became_after_it_was_up(house: House, probe: list[str]):
    plain = in_a_shell(house, probe)

    served(house, 'umask 077; trap "" INT PIPE HUP; exec 3< /dev/zero; echo 500 > /proc/self/oom_score_adj')

    assert differences(as_a_job(house, probe), plain) == {}
    runtime = house.json("status")["runtime"]["pid"]
    Path(f"/proc/{runtime}/oom_score_adj").write_text("600")
    os.setpriority(os.PRIO_PROCESS, runtime, 5)
    assert differences(as_a_job(house, probe), plain) == {}


def test_a_job_that_submits_gives_nothing_of_its_own_run_to_the_other(shared_house: House, probe: list[str]):
    plain = in_a_shell(shared_house, probe)
    outer = shared_house.submit("--", *SHELL, str(PROGRAM), "submit", "--wait", "--", *probe)
    shared_house.ok("wait", outer)
    inner = str(int(outer) + 1)

    job = json.loads(shared_house.ok("logs", inner))

    assert differences(job, plain) == {}
    assert (job["environment"]["TASKDECK_TASK"], job["environment"]["TASKDECK_ATTEMPT"]) == (inner, "1")


@pytest.fixture
def leaving(shared_house: House) -> Iterator[tuple[str, list[int]]]:
    """A task that has ended normally and left two processes, one of its session and one of another; its number and their pids."""
    script = "sleep 60 & echo $!; setsid sleep 60 & echo $!; sleep 0.1"
    task = shared_house.submit("--", "/bin/sh", "-c", script)
    shared_house.ok("wait", task)
    left = [int(pid) for pid in shared_house.ok("logs", task).split()]
    yield task, left
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_daemons_left_after_a_normal_end_are_not_killed(shared_house: House, leaving: tuple[str, list[int]]):
    task, left = leaving
    shared_house.ok("submit", "--wait", "--", "true")

    assert shared_house.json("show", task)["status"] == "succeeded"
    assert len(left) == 2 and all(map(alive, left))


def test_an_event_says_how_many_daemons_a_task_left(shared_house: House, leaving: tuple[str, list[int]]):
    notes = [event["note"] or "" for event in shared_house.json("show", leaving[0])["events"]]

    assert any("2 processes" in note for note in notes), notes


def test_a_log_that_outgrows_its_limit_ends_the_run_with_that_reason(shared_house: House):
    lines = shared_house.work / "tasks.jsonl"
    lines.write_text(
        json.dumps({"argv": ["/bin/sh", "-c", "yes | head -c 3000000; sleep 60"], "log_limit": "1M"}) + "\n"
    )
    task = shared_house.ok("submit", "--from", lines).strip()

    shared_house.td("wait", task)

    found = shared_house.json("show", task)
    assert (found["status"], found["reason"]) == ("failed", "log limit 1.0M")


def test_cpu_and_peak_are_those_of_the_whole_tree(shared_house: House):
    burn = "t=__import__('time'); b=bytearray(60 << 20); e=t.process_time()+0.3\nwhile t.process_time()<e: pass"
    child = f'{sys.executable} -I -S -c "{burn}"'

    task = shared_house.submit("--", "/bin/sh", "-c", f"({child}) & ({child}); wait; exit 0")
    shared_house.ok("wait", task)

    (run,) = shared_house.json("show", task)["instances"]
    assert run["cpu_seconds"] >= 0.6 and 60 < run["max_rss"] < 120


def test_the_runtime_does_not_show_as_the_peak_of_a_small_job(shared_house: House):
    task = shared_house.submit("--", "/bin/true")
    shared_house.ok("wait", task)

    (run,) = shared_house.json("show", task)["instances"]
    assert 0 < run["max_rss"] < 4
