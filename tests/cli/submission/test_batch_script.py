"""`taskdeck submit script.sh` with #SBATCH lines."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = """\
#!/bin/bash -l
#SBATCH -c 2 --time=10 -o %x-%a.out
#SBATCH -p night
set -e
echo "{index}"
#SBATCH --nodes=4
"""
STORED = [
    {"uuid": "u7", "number": 7, "name": "job.sh", "queue": "night", "status": "queued"},
]  # fmt: skip
QUEUES = [{"name": "default"}, {"name": "night"}]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "job.sh"
    path.write_text(SCRIPT)
    return path


def test_the_text_runs_in_its_shell_with_the_options_of_its_lines(fake_runtime, cli, script):
    runtime = fake_runtime(submit=STORED, queue__ls=QUEUES)

    said = cli("submit", "job.sh", "a", "--", "b c")

    (task,) = runtime.get_last_args("submit")["tasks"]
    shell, text, words = task["argv"][:3], task["argv"][3], task["argv"][4:]
    assert (said.code, said.out, shell) == (0, "7\n", ["/bin/bash", "-l", "-c"])
    assert words == ["job.sh", "a", "b c"] and text == SCRIPT
    del task["argv"]
    assert task.pop("env")["SLURM_CPUS_PER_TASK"] == "2"
    assert task == {
        "name": "job.sh", "cpu": 2, "timeout": 600.0, "output": "{name}-0.out", "queue": "night",
    }  # fmt: skip
    assert "job.sh: -c 2 → --cpu 2" in said.err and "not read, as in Slurm: line 6" in said.err


def test_options_of_the_command_line_win(fake_runtime, cli, script):
    runtime = fake_runtime(submit=STORED)

    said = cli("submit", "-q", "fast", "--cpu", "8", "-n", "x", "job.sh")

    (task,) = runtime.get_last_args("submit")["tasks"]
    assert (task["queue"], task["cpu"], task["name"], task["timeout"]) == ("fast", 8, "x", 600.0)
    assert "job.sh: -p night (the command line decides)" in said.err


def test_an_array_replaces_nothing_in_the_script(fake_runtime, cli, script):
    runtime = fake_runtime(submit=STORED)

    cli("submit", "-q", "fast", "--array", "1-2", "job.sh")

    sent = runtime.get_last_args("submit")
    assert [task["output"] for task in sent["tasks"]] == ["{name}-1.out", "{name}-2.out"]
    assert all('echo "{index}"' in task["argv"][3] for task in sent["tasks"])
    assert sent["group"]["indexes"] == [1, 2]
    env = sent["tasks"][0]["env"]
    names = ("COUNT", "MIN", "MAX", "STEP")
    assert [env[f"SLURM_ARRAY_TASK_{name}"] for name in names] == ["2", "1", "2", "1"]


def test_all_refused_lines_are_named_at_once(fake_runtime, cli, script):
    fake_runtime(queue__ls=QUEUES[:1], notify__ls={"channels": []})
    script.write_text(SCRIPT.replace("set -e", "#SBATCH --exclusive --mail-type=END\nset -e"))

    said = cli("submit", "job.sh")

    told = " ".join(said.err.split())
    assert said.code == 4 and "job.sh line 3: --partition=night is refused: there is no" in told
    assert "Queues: default; choose one with -q; line 4: --exclusive is refused:" in told
    assert "line 4: --mail-type is refused: there is no default channel." in told


def test_a_script_of_another_language_runs_from_its_file(fake_runtime, cli, script):
    runtime = fake_runtime(submit=STORED)
    script.write_text("#!/usr/bin/env python3\n#SBATCH -c 2\nprint()\n")

    said = cli("submit", "job.sh")

    (task,) = runtime.get_last_args("submit")["tasks"]
    assert task["argv"] == ["/usr/bin/env", "python3", str(script)]
    assert "its file is read when the task starts" in said.err


CLUSTER_SCRIPT = """\
#!/bin/bash
#SBATCH -c 2
# srun in a comment
module load cuda
echo "srun ./a" && srun ./a
"""
LOCAL = {"queue__ls": [{"name": "default", "pool": "default"}],
         "pool__ls": [{"name": "default", "kind": "local"}]}  # fmt: skip


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder of PATH, without a module system in the environment."""
    (folder := tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("MODULESHOME", "LMOD_CMD", "BASH_FUNC_module%%"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_calls_of_missing_cluster_commands_are_warned_of(fake_runtime, cli, script, bare_path):
    fake_runtime(submit=STORED, **LOCAL)
    script.write_text(CLUSTER_SCRIPT)

    said = cli("submit", "job.sh")

    told = " ".join(said.err.split())
    assert (said.code, said.out) == (0, "7\n")
    assert "job.sh: line 4 calls module, which this machine does not have." in told
    assert "job.sh: line 5 calls srun, which this machine does not have. Call the program" in told


def test_present_cluster_commands_are_not_warned_of(
    fake_runtime, cli, script, bare_path: Path, monkeypatch
):
    fake_runtime(submit=STORED)
    script.write_text(CLUSTER_SCRIPT)
    (srun := bare_path / "srun").touch()
    srun.chmod(0o755)
    monkeypatch.setenv("MODULESHOME", "/opt/modules")

    assert "does not have" not in cli("submit", "job.sh").err


def test_a_script_for_a_cluster_is_not_warned_of(fake_runtime, cli, script, bare_path):
    kinds = [{"name": "default", "kind": "slurm"}]
    fake_runtime(submit=STORED, **LOCAL | {"pool__ls": kinds})
    script.write_text(CLUSTER_SCRIPT)

    assert "does not have" not in cli("submit", "job.sh").err


def test_a_script_without_such_lines_is_no_batch_script(fake_runtime, cli, script):
    fake_runtime(submit=STORED)
    script.write_text("#!/bin/sh\nls\n")

    assert "SBATCH" not in cli("submit", "./job.sh").err


def test_a_script_comes_from_standard_input(fake_runtime, cli):
    runtime = fake_runtime(submit=STORED, queue__ls=QUEUES)

    said = cli("submit", "-", "--", "a", feed=SCRIPT.encode())

    (task,) = runtime.get_last_args("submit")["tasks"]
    assert (said.out, task["name"], task["queue"], task["cpu"]) == ("7\n", "sbatch", "night", 2.0)
    assert task["argv"] == ["/bin/bash", "-l", "-c", SCRIPT, "sbatch", "a"]
    assert "standard input: #SBATCH after the first command is not read" in said.err
    cli("submit", "-", feed=b"#!/bin/sh\ntrue\n")
    (task,) = runtime.get_last_args("submit")["tasks"]
    assert task["argv"] == ["/bin/sh", "-c", "#!/bin/sh\ntrue\n", "sbatch"]


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("-",), b" \n", "is empty. Nothing was submitted."),
        (("-",), b"#!/bin/sh\n\0", "from standard input contains a NUL byte"),
        (("-",), b"#!/usr/bin/env python3\n#SBATCH -c 2\n", "must be a shell script"),
        (("-c", "-"), b"#SBATCH -c 2\ntrue\n", "To read them: taskdeck submit - < FILE"),
    ],
)
def test_standard_input_that_is_no_batch_script_is_told(fake_runtime, cli, words, text, said):
    fake_runtime(submit=STORED, queue__ls=QUEUES)

    assert said in cli("submit", *words, feed=text).err


@pytest.mark.parametrize(
    ("group", "after", "named"),
    [("g7", [], "g7"), ("g7", [{"number": 48}], "48"), (None, [], "48")],
)
def test_the_number_of_an_array_means_all_its_tasks(
    fake_runtime, cli, script, group: str | None, after: list[dict[str, int]], named: str
):
    tasks = [{"number": 48, "after": []}, {"number": 49, "after": after}]
    runtime = fake_runtime(submit=STORED, flow={"group": group, "tasks": tasks})
    script.write_text("#!/bin/sh\n#SBATCH -d afternotok:48,afterany:g3\necho\n")

    said = cli("submit", "job.sh")

    (task,) = runtime.get_last_args("submit")["tasks"]
    assert (task["after_failure"], task["after_any"]) == ([named], ["g3"])
    told = "48 is the first task of array g7, so all its tasks are meant: --after-failure g7"
    assert (told in " ".join(said.err.split())) == (named == "g7")


def test_each_task_of_a_sweep_has_an_output_of_its_own(fake_runtime, cli, script):
    runtime = fake_runtime(submit=STORED)

    cli("submit", "-q", "fast", "--sweep", "lr=1,2", "job.sh")

    tasks = runtime.get_last_args("submit")["tasks"]
    assert [task["output"] for task in tasks] == ["{name}-1.out", "{name}-2.out"]
