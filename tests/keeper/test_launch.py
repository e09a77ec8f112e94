"""Tests of a run's environment and its end event."""

import os
import signal
import stat
import subprocess
import sys
import uuid

from tests.runtime_process import is_alive, wait_until


def test_an_exit_code_is_reported_with_times_and_usage(shared_home):
    end = shared_home.run_to_end("sh", "-c", "exit 7")

    assert (end["code"], end["signal"], end["lost"], end["stop"], end["reason"]) == (
        7,
        None,
        False,
        None,
        None,
    )
    assert end["started_at"] <= end["at"] and 0 < end["run_seconds"] < 10
    assert end["cpu"] > 0 and end["maxrss"] > 0 and end["left"] == 0


def test_a_death_by_signal_has_a_signal_and_no_code(shared_home):
    end = shared_home.run_to_end("sh", "-c", "kill -9 $$")

    assert (end["code"], end["signal"]) == (None, signal.SIGKILL)


def test_the_start_is_reported_with_pid_and_start_time(shared_home):
    run = shared_home.spawn("sleep", "60", wait=False)

    start = shared_home.wait_for_event("started", run)

    with open(f"/proc/{start['pid']}/stat") as file:
        assert int(file.read().rpartition(")")[2].split()[19]) == start["ticks"]
    assert start["boot_at"] > 0 and start["stop"] is None


def test_a_missing_program_ends_with_127_and_the_nearest_name(shared_home, tmp_path):
    (tmp_path / "ffmpeg").write_text("")
    (tmp_path / "ffmpeg").chmod(0o755)

    end = shared_home.run_to_end("ffmpg", env={"PATH": str(tmp_path)})

    assert end["code"] == 127 and end["started_at"] is None
    assert end["reason"].startswith('no program "ffmpg" in PATH (/') and end["reason"].endswith(
        "Nearest: ffmpeg"
    )


def test_a_missing_path_ends_with_127(shared_home):
    end = shared_home.run_to_end("./nothing")

    assert (end["code"], end["reason"]) == (127, "no such file: ./nothing")


def test_a_non_executable_file_ends_with_126(shared_home, tmp_path):
    (tmp_path / "data").write_text("")

    assert shared_home.run_to_end("data", env={"PATH": str(tmp_path)})["code"] == 126
    assert shared_home.run_to_end(str(tmp_path))["code"] == 126
    assert (
        shared_home.run_to_end(str(tmp_path / "data"))["reason"]
        == f"not executable: {tmp_path}/data"
    )


def test_a_missing_interpreter_ends_with_126_and_is_named(shared_home, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    end = shared_home.run_to_end(str(script))

    assert end["code"] == 126 and end["reason"].endswith("its interpreter is missing")


def test_a_script_without_shebang_runs_in_sh(shared_home, tmp_path):
    script = tmp_path / "script"
    script.write_text('exit "$1"\n')
    script.chmod(0o755)

    assert shared_home.run_to_end(str(script), "9")["code"] == 9


def test_a_missing_working_directory_ends_with_126_and_is_named(shared_home):
    end = shared_home.run_to_end("true", cwd="/no/such/place")

    assert end["code"] == 126 and "/no/such/place" in end["reason"]


def test_an_argument_with_nul_ends_with_126_and_affects_no_other(shared_home):
    assert shared_home.run_to_end("true", "a\0b")["code"] == 126
    assert shared_home.run_to_end("true")["code"] == 0


def test_the_program_is_found_on_the_runs_path_and_directory(shared_home, tmp_path):
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "only-here"
    tool.write_text("#!/bin/sh\npwd; exit 4\n")
    tool.chmod(0o755)

    end = shared_home.run_to_end("only-here", cwd=str(tmp_path), env={"PATH": "bin"})

    assert end["code"] == 4
    assert shared_home.get_log_path(end["run"]).read_text() == f"{tmp_path}\n"


def test_argv_environment_and_directory_keep_undecodable_bytes(shared_home, tmp_path):
    odd = os.fsdecode(b"caf\xe9 \xff")
    (tmp_path / odd).mkdir()

    end = shared_home.run_to_end(
        "sh",
        "-c",
        'printf "%s|%s|" "$1" "$ODD"; pwd',
        "sh",
        odd,
        cwd=str(tmp_path / odd),
        env={"ODD": odd},
    )

    raw = os.fsencode(odd)
    assert (
        shared_home.get_log_path(end["run"]).read_bytes()
        == raw + b"|" + raw + b"|" + os.fsencode(tmp_path / odd) + b"\n"
    )


def test_the_environment_is_exactly_the_given_one(shared_home):
    end = shared_home.run_to_end("env", env={"A": "1"})

    names = [
        line.split("=")[0] for line in shared_home.get_log_path(end["run"]).read_text().splitlines()
    ]
    assert sorted(names) == ["A", "PATH", "TASKDECK_RUNID"]


def test_output_is_appended_to_the_log_and_the_log_is_private(shared_home):
    run = str(uuid.uuid4())
    # other logs may exist in the folder
    shared_home.get_log_path(run).parent.mkdir(0o700, parents=True, exist_ok=True)
    shared_home.get_log_path(run).write_text("before\n")

    shared_home.run_to_end("sh", "-c", "echo out; echo err >&2", run=run)
    fresh = shared_home.get_log_path(shared_home.run_to_end("true")["run"])

    assert shared_home.get_log_path(run).read_text() == "before\nout\nerr\n"
    assert (
        stat.S_IMODE(fresh.stat().st_mode) == 0o600
        and stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
    )


def test_an_unwritable_log_ends_the_run_with_126(shared_home, tmp_path):
    (tmp_path / "file").write_text("")

    end = shared_home.run_to_end("true", log=str(tmp_path / "file" / "x.log"))

    assert end["code"] == 126 and "cannot write log" in end["reason"]


STATE_SCRIPT = """
import os
fds = {fd: os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
       for fd in os.listdir("/proc/self/fd")
       if os.path.exists(f"/proc/self/fd/{fd}")}
with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file if ":" in line)
wanted = ("Umask", "SigBlk", "SigIgn", "SigCgt", "Groups", "CapEff", "NoNewPrivs")
print(sorted(fds), *[status[name].strip() for name in wanted])
print(open("/proc/self/oom_score_adj").read().strip(), os.getpriority(0, 0),
      os.sched_getaffinity(0))
with open("/proc/self/limits") as file:
    print(*[line for line in file if not line.startswith("Max realtime timeout")])
"""


def test_a_run_inherits_only_its_mark_and_what_a_shell_would_give(shared_home, tmp_path):
    program = [sys.executable, "-I", "-S", "-c", STATE_SCRIPT]
    with open(tmp_path / "shell.log", "w") as log:
        shell = ["sh", "-c", 'umask 022; exec "$0" "$@"', *program]
        subprocess.run(
            shell,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            restore_signals=True,
        )

    end = shared_home.run_to_end(*program)

    assert shared_home.get_log_path(end["run"]).read_text() == (tmp_path / "shell.log").read_text()


def test_a_run_leads_its_own_session_and_reads_nothing(shared_home):
    run = shared_home.spawn("sleep", "60", wait=False)

    pid = shared_home.wait_for_event("started", run)["pid"]

    assert os.getsid(pid) == pid == os.getpgid(pid)
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"


def test_the_umask_is_the_submitters(shared_home, tmp_path):
    shared_home.run_to_end("touch", "made", cwd=str(tmp_path), umask=0o027)

    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640


def test_usage_counts_children(shared_home):
    burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"

    end = shared_home.run_to_end("sh", "-c", f"({burn}); ({burn}); exit 0")

    assert 0.02 < end["cpu"] < end["run_seconds"] * 2 + 0.1


def test_surviving_processes_are_counted_and_left_alone(shared_home):
    script = "sleep 60 & setsid sleep 60 & echo $! ; sleep 0.1"

    end = shared_home.run_to_end("sh", "-c", script)

    assert (end["code"], end["left"]) == (0, 2)
    assert is_alive(int(shared_home.get_log_path(end["run"]).read_text()))
    assert shared_home.run_to_end("true")["left"] == 0


def test_a_run_is_started_once_however_often_requested(shared_home, tmp_path):
    run = shared_home.spawn("sh", "-c", "echo >> ran; sleep 60", cwd=str(tmp_path))
    wait_until((tmp_path / "ran").exists, "the first one runs")

    shared_home.spawn("sh", "-c", "echo >> ran", run=run, cwd=str(tmp_path))
    shared_home.send("stop", run=run, reason="cancel", grace=0)
    shared_home.wait_for_event("ended", run)
    again = shared_home.run_to_end("sh", "-c", "echo >> ran", run=run, cwd=str(tmp_path))

    assert (again["stop"], (tmp_path / "ran").read_text()) == ("cancel", "\n")
