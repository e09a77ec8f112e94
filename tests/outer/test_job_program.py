"""Tests of the job program, which they start as an engine does."""

from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.keeper import programs
from app.keeper.processes import list_children
from app.outer import job_program
from app.outer.spool import Spool
from app.runtime.dispatch.run_verdict import judge_run
from db.queries.tasks.run_end import RunFacts, make_end_row
from db.states import RunStatus

RUN = "01990a5e-0000-7000-8000-0000000000ab"
SECONDS = 60.0
"""Limit of each wait, for slow machines."""


def wait_until(is_done: Callable[[], Any]) -> Any:
    limit = time.monotonic() + SECONDS
    while not (found := is_done()):
        assert time.monotonic() < limit
        time.sleep(0.005)
    return found


class Site:
    """A spool and the jobs that run from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.spool = folder, Spool(folder / "spool")
        self.spool.prepare()
        self.log = folder / "logs" / "run.log"
        self.jobs: list[subprocess.Popen[bytes]] = []

    def order(self, *argv: str, **more: Any) -> None:
        order = {"run": RUN, "argv": argv, "cwd": str(self.folder), "umask": 0o22, "beat": 0.02}
        order |= {"env": {"PATH": os.environ["PATH"]}, "log": str(self.log), "timeout": None}
        self.spool.write_order(RUN, order | {"grace": 30.0, "early": None} | more)

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self.spool.build_command(RUN)[1:]]
        self.jobs.append(subprocess.Popen(command, env={**os.environ, **env}))
        return self.jobs[-1]

    def run(self, *argv: str, **more: Any) -> dict[str, Any]:
        """Run a task to its end, and return the end."""
        self.order(*argv, **more)
        self.start().wait(SECONDS)
        end = self.spool.read_end(RUN)
        assert end is not None
        return end

    def read_log(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill_job(self, job: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal from a process that is not the parent of the job."""
        subprocess.run(["kill", f"-{number}", str(job.pid)], check=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for job in made.jobs:
        job.kill()
        job.wait()


def test_a_task_runs_and_its_end_is_recorded(site: Site):
    end = site.run("sh", "-c", "echo out; echo err >&2; pwd; umask; exit 7")

    assert site.read_log() == f"out\nerr\n{site.folder}\n0022\n"
    assert (end["code"], end["signal"], end["stop"], end["lost"]) == (7, None, None, False)
    assert end["started_at"] <= end["at"] and end["run_seconds"] > 0
    assert end["cpu"] >= 0 and 100 < end["maxrss"] < 100_000 and end["pid"] > 1
    verdict = judge_run(make_facts(), end)
    row = make_end_row(end, make_facts(), verdict)
    assert verdict.status is RunStatus.FAILED and row["run_seconds"] == end["run_seconds"]
    assert row["max_rss"] == end["maxrss"] / 1024 and row["start_time"] <= row["end_time"]


def make_facts(timeout: float | None = None) -> RunFacts:
    return RunFacts(RUN, "t", "running", None, None, 0, 0, 0.0, timeout, None, None, "main", None)


# --- the gate ---------------------------------------------------------------------------


def test_of_two_starts_one_runs_and_the_other_ends_at_once(site: Site):
    site.order("sh", "-c", "echo began; until [ -e go ]; do sleep 0.01; done; exit 3")
    jobs = [site.start(), site.start()]
    wait_until(lambda: {0} & {job.poll() for job in jobs} and site.read_log())
    (site.folder / "go").touch()

    assert sorted(job.wait(SECONDS) for job in jobs) == [0, 3]
    assert site.read_log() == "began\n" and site.start().wait(SECONDS) == 0


RACE = """
import sys
from pathlib import Path
from app.keeper import programs
from app.keeper.processes import list_children
from app.outer import job_program
from app.outer.spool import Spool
spool, kind = Spool(Path(sys.argv[1])), sys.argv[2]
runs = sorted(spool.list_runs())
print("ready", flush=True)
sys.stdin.readline()
for run in runs:
    base = f"{spool.root}/runs/{run[-2:]}/{run}"
    print(spool.refuse(run) if kind == "refuse" else job_program.take_gate(base + ".started"))
"""


def test_of_starts_and_a_refusal_exactly_one_wins(site: Site):
    for number in range(100):
        run = f"{RUN[:-4]}{number:04x}"
        site.spool.write_order(run, {"run": run, "log": str(site.log)})
    words = [sys.executable, "-c", RACE, str(site.spool.root)]
    racers = [
        subprocess.Popen([*words, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for kind in ("refuse", "start", "start", "start")
    ]
    assert [racer.stdout and racer.stdout.readline() for racer in racers] == ["ready\n"] * 4
    answers = []
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        answers.append(racer.communicate(timeout=SECONDS)[0].split())

    assert [list(row).count("True") for row in zip(*answers, strict=True)] == [1] * 100


def test_a_refused_run_never_starts(site: Site):
    site.order("touch", "began")

    assert site.spool.refuse(RUN) and site.start().wait(SECONDS) == 0
    assert not (site.folder / "began").exists() and site.spool.read_end(RUN) is None


def test_a_start_that_was_killed_before_its_gate_leaves_the_run_startable(site: Site):
    site.order("true")
    folder = site.spool.root / "runs" / "ab"
    (folder / f"{RUN}.started.0123456789abcdef").write_text("{}")
    (folder / f"{RUN}.ended.0123456789abcdef").write_text('{"code": 0}')

    assert site.spool.read_gate(RUN) is None and site.spool.read_end(RUN) is None
    assert site.run("sh", "-c", "exit 4")["code"] == 4


def test_the_gate_names_job_and_node(site: Site):
    site.order("true")
    site.start(SLURM_JOB_ID="812", SLURMD_NODENAME="n1").wait(SECONDS)

    gate = site.spool.read_gate(RUN)
    assert gate is not None and (gate.job, gate.node, gate.refused) == ("812", "n1", False)
    assert abs(time.time() - gate.started_at) < SECONDS


def test_a_forgotten_run_does_not_start(site: Site):
    site.order("touch", "began")
    site.spool.forget([RUN])

    assert site.start().wait(SECONDS) == 0
    assert site.spool.list_runs() == set() and not (site.folder / "began").exists()
    # forgotten between its gate and its order
    assert job_program.run_task(f"{site.spool.root}/runs/ab/{RUN}", RUN) is None


def test_a_host_without_the_spool_starts_nothing(site: Site):
    site.order("true")
    command = [sys.executable, job_program.__file__, str(site.folder / "unmounted"), RUN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == job_program.NOT_STARTED and "No such file" in done.stderr


def test_only_a_run_id_becomes_a_path(site: Site):
    command = [sys.executable, job_program.__file__, str(site.spool.root), "../../x"]

    assert b"no run id" in subprocess.run(command, capture_output=True, check=False).stderr


# --- the start --------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["no-such-program"], ["/no/such/file"], ["/etc/passwd"]])
def test_a_missing_program_is_told_in_the_words_of_the_keeper(site: Site, argv: list[str]):
    end = site.run(*argv)

    with pytest.raises(programs.StartError) as local:
        programs.find_program(os.fsencode(argv[0]), {b"PATH": os.fsencode(os.environ["PATH"])})
    assert (end["code"], end["reason"]) == (local.value.code, local.value.reason)
    assert end["started_at"] is None and end["pid"] is None


def test_a_missing_directory_ends_the_run(site: Site):
    end = site.run("true", cwd="/no/such/directory")

    words = "cannot enter directory /no/such/directory: No such file or directory"
    assert (end["code"], end["reason"]) == (126, words)


def test_a_log_that_cannot_be_written_ends_the_run(site: Site):
    site.order("true")
    shutil.rmtree(site.log.parent)
    site.start().wait(SECONDS)

    end = site.spool.read_end(RUN)
    assert end is not None and not site.log.parent.exists()
    assert end["reason"] == f"cannot write log {site.log}: No such file or directory"


@pytest.mark.parametrize("order", ["", "[]", '{"argv": ["true"]}', '{"argv": [], "env": {}}'])
def test_an_order_that_cannot_be_read_ends_the_run(site: Site, order: str):
    site.order("true")
    (site.spool.root / "runs" / "ab" / f"{RUN}.order").write_text(order)
    site.start().wait(SECONDS)

    end = site.spool.read_end(RUN)
    assert end is not None and end["code"] == 126
    assert end["reason"].startswith("cannot read the order: ")


def test_a_script_runs_by_its_interpreter_or_by_sh(site: Site):
    for name, line in (("plain", ""), ("odd", "#!/no/such/interpreter\n")):
        (site.folder / name).write_text(line + 'echo "$@"; exit 5\n')
        (site.folder / name).chmod(0o755)

    assert site.run(str(site.folder / "plain"), "a b")["code"] == 5
    assert site.read_log() == "a b\n"
    site.spool.forget([RUN])
    end = site.run(str(site.folder / "odd"))
    assert (end["code"], end["reason"]) == (
        126, f"cannot run {site.folder / 'odd'}: its interpreter is missing"
    )  # fmt: skip


def test_the_environment_is_that_of_the_order_and_of_the_engine(site: Site):
    odd = {"ODD": b"\xff\n".decode("utf-8", "surrogateescape"), "PATH": os.environ["PATH"]}
    site.order("env", "-0", env=odd)
    site.start(SLURM_JOB_ID="8", CUDA_VISIBLE_DEVICES="1", LEAKED="no").wait(SECONDS)

    assert set(site.log.read_bytes().split(b"\0")) == {
        *(b"ODD=\xff\n", b"PATH=" + os.fsencode(os.environ["PATH"]), b""),
        *(b"SLURM_JOB_ID=8", b"CUDA_VISIBLE_DEVICES=1"),
    }


def test_the_program_has_default_signals_and_no_input(site: Site):
    end = site.run("sh", "-c", "cat; grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd")

    lines = site.read_log().split()
    assert end["code"] == 0
    assert lines == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16, "0", "1", "2", "3"]


def test_secrets_are_in_the_order_alone(site: Site):
    script = "tr '\\0' ' ' </proc/$PPID/cmdline; exit 1"
    site.run("sh", "-c", script, env={"PATH": os.environ["PATH"], "TOKEN": "hunter2"})

    folder = site.spool.root / "runs" / "ab"
    assert [p.name for p in folder.iterdir() if "hunter2" in p.read_text()] == [f"{RUN}.order"]
    assert "job-program" in site.read_log() and "hunter2" not in site.read_log()


# --- the end ----------------------------------------------------------------------------


def test_a_signal_that_ended_the_program_is_recorded(site: Site):
    end = site.run("sh", "-c", "kill -SEGV $$")

    assert (end["code"], end["signal"]) == (None, signal.SIGSEGV)
    assert judge_run(make_facts(), end).reason == "signal 11 (SEGV)"


def test_a_task_ends_at_its_timeout(site: Site):
    end = site.run("sleep", "1000", timeout=0.05)

    assert (end["signal"], end["stop"]) == (signal.SIGTERM, "timeout")
    assert judge_run(make_facts(timeout=0.05), end).status is RunStatus.TIMED_OUT


def test_a_task_that_ignores_term_is_killed_after_the_grace(site: Site):
    script = "trap '' TERM; echo began; while :; do sleep 0.01; done"
    site.order("sh", "-c", script, grace=0.1)
    job = site.start()
    wait_until(site.read_log)
    site.kill_job(job, signal.SIGTERM)

    assert job.wait(SECONDS) == 128 + signal.SIGKILL


CHILD = 'trap "echo child; exit" TERM; echo ready; while :; do sleep 0.01; done'
PARENT = f"trap 'echo term; wait; exit 9' TERM; sh -c '{CHILD}' & wait; exit 1"


def test_term_by_hand_reaches_all_processes_of_the_task(site: Site):
    site.order("sh", "-c", PARENT)
    job = site.start()
    wait_until(lambda: "ready" in site.read_log())
    site.kill_job(job, signal.SIGTERM)

    assert job.wait(SECONDS) == 9
    assert set(site.read_log().split()) >= {"ready", "term", "child"}


def test_a_stop_is_asked_through_the_spool(site: Site):
    site.order("sh", "-c", "trap 'exit 3' TERM; echo began; while :; do sleep 0.01; done")
    job = site.start()
    wait_until(site.read_log)
    site.spool.ask_stop(RUN, "cancel", 30.0)

    assert job.wait(SECONDS) == 3  # seen at a beat
    end = site.spool.read_end(RUN)
    assert end is not None and end["stop"] == "cancel"


def test_a_later_stop_shortens_the_grace(site: Site):
    site.order("sh", "-c", "trap 'echo term' TERM; echo began; while :; do sleep 0.01; done")
    job = site.start()
    wait_until(site.read_log)
    site.spool.ask_stop(RUN, "cancel", 1000.0)
    wait_until(lambda: "term" in site.read_log())
    site.spool.ask_stop(RUN, "cancel", 0.1)  # read again at each beat, which does not lengthen it

    assert job.wait(SECONDS) == 128 + signal.SIGKILL
    assert site.read_log().count("term") == 1


DAEMON = """
setsid sh -c 'trap "" TERM; echo daemon; while :; do sleep 0.01; done' &
until grep -q daemon "$0"; do sleep 0.01; done
echo began; exec sleep 1000
"""


def test_a_stop_ends_daemons_too(site: Site):
    env = {"PATH": os.environ["PATH"], "TASKDECK_RUNID": RUN}
    site.order("sh", "-c", DAEMON, str(site.log), env=env)
    job = site.start()
    wait_until(lambda: "began" in site.read_log())
    assert len(job_program.list_members(-1, RUN)) >= 2
    site.spool.ask_stop(RUN, "cancel", 0.2)

    assert job.wait(SECONDS) == 128 + signal.SIGTERM
    assert job_program.list_members(-1, RUN) == []
    end = site.spool.read_end(RUN)
    assert end is not None and end["left"] == 0


EARLY = """
sh -c 'trap "echo saved; exit 6" USR2; echo began; while :; do sleep 0.01; done'; exit $?
"""


def test_a_program_ends_with_its_job(site: Site):
    site.order("sh", "-c", "echo $$; while :; do sleep 0.01; done")
    job = site.start()
    pid = int(wait_until(site.read_log))
    job.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_the_early_signal_reaches_who_handles_it(site: Site):
    site.order("sh", "-c", EARLY, timeout=1000.0, early=[signal.SIGUSR2, 1.0])
    job = site.start()
    wait_until(site.read_log)
    site.spool.ask_early(RUN)  # the limit was shortened

    assert job.wait(SECONDS) == 6 and "saved" in site.read_log()


def test_the_early_signal_is_sent_once_before_the_timeout(site: Site):
    site.order("sh", "-c", EARLY, timeout=1000.0, early=[signal.SIGUSR2, 990.0])
    base = f"{site.spool.root}/runs/ab/{RUN}"
    order = job_program.read_order(f"{base}.order")
    assert order is not None and job_program.take_gate(f"{base}.started")
    with site.log.open("wb") as log:
        program = subprocess.Popen(["sh", "-c", EARLY], stdout=log, start_new_session=True)
    site.jobs.append(program)
    wait_until(site.read_log)
    task = job_program.RunningTask(base, order, program.pid, time.monotonic() - 10.0)
    task.do_due()

    assert task.early_at == job_program.NEVER and program.wait(SECONDS) == 6


def test_the_gate_is_touched_while_the_task_runs(site: Site):
    site.order("sh", "-c", "echo began; until [ -e go ]; do sleep 0.01; done")
    job = site.start()
    wait_until(site.read_log)
    beats = {site.spool.read_beat(RUN)}
    wait_until(lambda: beats.add(site.spool.read_beat(RUN)) or len(beats) > 2)
    (site.folder / "go").touch()

    assert job.wait(SECONDS) == 0


def test_a_run_that_counts_as_lost_ends(site: Site):
    site.order("sh", "-c", "echo began; exec sleep 1000")
    job = site.start()
    wait_until(site.read_log)
    site.spool.forget([RUN])

    assert job.wait(SECONDS) == 128 + signal.SIGTERM
    assert site.spool.list_runs() == set()


def test_an_end_waits_for_a_spool_that_is_gone(site: Site):
    site.order("sh", "-c", "echo began; until [ -e go ]; do sleep 0.01; done; exit 7")
    job = site.start()
    wait_until(site.read_log)
    away = site.spool.root.rename(site.folder / "away")
    (site.folder / "go").touch()
    wait_until(lambda: not list_children(job.pid))
    assert job.poll() is None
    away.rename(site.spool.root)

    assert job.wait(SECONDS) == 7
    end = site.spool.read_end(RUN)
    assert end is not None and end["code"] == 7


def test_an_end_is_given_up_after_its_time(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_program, "RECORD_SECONDS", 0.1)

    assert not job_program.record_end(f"{site.folder}/gone/{RUN}", {"code": 0})


FULL = """
mount -t tmpfs -o size=64k tmpfs "$1/spool" || exit
cp -r "$1/before/." "$1/spool"
"$2" -I -S "$3" "$1/spool" "$4" &
echo $! >"$1/pid"
read line
"$2" -c "$5" "$1/spool" "$1/log"
rm "$1/spool/filler"
wait
cat "$1"/spool/runs/*/*.ended
"""


ORDER = """
import sys
from pathlib import Path
from app.outer.spool import Spool
spool = Spool(Path(sys.argv[1]))
try:
    spool.write_order("run-ab", {"log": sys.argv[2]})
except OSError as error:
    print(error.errno, spool.has_order("run-ab"))
"""


def test_an_end_waits_for_space_and_an_order_does_not(site: Site):
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    site.order("sh", "-c", "head -c 1000000 /dev/zero >spool/filler; echo full; exit 8")
    site.spool.root.rename(site.folder / "before")
    site.spool.root.mkdir()
    words = ["sh", "-c", FULL, "sh", str(site.folder), sys.executable, job_program.__file__, RUN]
    words.append(ORDER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    job = subprocess.Popen([*unshare, *words], **pipes)
    site.jobs.append(job)
    wait_until(lambda: "full" in site.read_log())
    wait_until(lambda: not list_children(int((site.folder / "pid").read_text())))
    order, end = job.communicate(b"\n", timeout=SECONDS)[0].splitlines()

    assert order == b"%d False" % errno.ENOSPC
    assert json.loads(end)["code"] == 8
    assert "No space left" in site.read_log()


# --- the file ---------------------------------------------------------------------------


def test_the_job_program_is_python_3_6():
    text = Path(job_program.__file__).read_text()

    tree = ast.parse(text, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names}  # fmt: skip
    usual = {"errno", "json", "os", "re", "resource", "signal", "socket", "sys", "time"}
    assert imported <= usual | {"ctypes"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
