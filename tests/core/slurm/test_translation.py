"""Translation of batch scripts: every option is kept, left out or refused by name."""

from __future__ import annotations

import pytest

from app.core.slurm.header import NAMES, read_header
from app.core.slurm.translation import Translation, translate
from tests.core.scheduling.trace_files import CASES


def translate_lines(*options: str, given: set[str] | None = None) -> Translation:
    text = "".join(f"#SBATCH {option}\n" for option in options)
    return translate(read_header(f"#!/bin/bash\n{text}"), given or set(), "ann")


def test_options_become_settings_of_submit():
    found = translate_lines(
        "-J train -c 4", "--mem-per-cpu=1G", "-t 1:00:00", "--gres=gpu:2", "-p gpu",
        "-d afterok:3", "-o %x.out -e %x-%a.err", "--account=abc", "--nice=5", "--export=ALL,A=1",
        "--signal=USR1@60", "--mail-type=FAIL", "--hold", "--array=1-3", "--chdir=/srv",
    )  # fmt: skip

    assert found.settings == {
        "name": "train", "cpu": 4, "memory": 4096.0, "timeout": 3600.0, "queue": "gpu",
        "after": ["3"], "output": "{name}.out",
        "error": "{name}-{index}.err", "priority": -5, "signal": "USR1@60s",
        "notify_on": "failed", "hold": True, "array": "1-3", "cwd": "/srv",
    }  # fmt: skip
    assert (found.resources, found.tags, found.env) == (
        {"gpu": 2},
        {"account": "abc"},
        [("A", "1")],
    )
    assert found.notes[:3] == [
        "-J train → --name train",
        "-c 4 → --cpu 4",
        "--mem-per-cpu=1G → --memory 4096M",
    ]
    assert found.lines["memory"] == 3 and found.faults == []


def test_the_same_file_keeps_both_streams_together():
    assert translate_lines("-o x.log", "-e x.log").settings == {"output": "x.log"}


def test_gpus_scale_memory_and_cores():
    found = translate_lines("--gpus=a100:2", "--mem-per-gpu=8G", "--cpus-per-gpu=6")

    assert (found.settings, found.resources) == ({"memory": 16384.0, "cpu": 12}, {"gpu": 2})


@pytest.mark.parametrize(
    ("option", "note"),
    [
        ("--gres=gpu:a100:2", "→ --gpu 2 (the type a100 is left out: resources have no types)"),
        ("--gpus=a100", "→ --gpu 1 (the type a100 is left out: resources have no types)"),
        ("--gpus-per-node=2", "→ --gpu 2"),
        ("--gpus-per-task=a100:1,v100:2",
         "→ --gpu 3 (the types a100 and v100 are left out: resources have no types)"),
        ("--gres=tape,gpu:v100:1",
         "→ --resource tape=1 --gpu 1 (the type v100 is left out: resources have no types)"),
    ],
)  # fmt: skip
def test_the_model_of_a_gpu_is_told_as_left_out(option: str, note: str):
    assert translate_lines(option).notes == [f"{option} {note}"]


def test_amounts_for_each_gpu_count_for_one_without_gpus():
    found = translate_lines("--mem-per-gpu=8G", "--cpus-per-gpu=6")

    assert found.settings == {"memory": 8192.0, "cpu": 6}


def test_the_command_line_decides_also_over_wrong_values():
    found = translate_lines("--time=TAG", "--ntasks=8", given={"timeout", "cpu"})

    assert (found.settings, found.faults) == ({}, [])
    assert found.notes == [
        "--time=TAG (the command line decides)",
        "--ntasks=8 (has no effect here)",
    ]


def test_what_one_machine_cannot_do_is_refused_with_its_line():
    found = translate_lines("--nodes=2", "--ntasks-per-node=1", "--exclusive", "-t x", "--bogus")

    assert [(line, text.split(";")[0]) for line, text in found.faults] == [
        (2, "--nodes=2 is refused: a task runs on one machine"),
        (4, "--exclusive is refused: nothing reserves a machine"),
        (5, '-t x must be a time such as 90, 1:30:00 or 2-12, not "x"'),
        (6, "--bogus is no option of sbatch"),
    ]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_option_is_told_or_refused(name: str):
    found = translate_lines(f"--{name}" + ("=1" if name not in ("hold", "wait") else ""))

    assert len(found.notes) + len(found.faults) == 1


@pytest.mark.skipif(CASES is None, reason="no recorded cases")
def test_no_option_of_a_recorded_script_is_lost():
    assert CASES is not None
    for path in (CASES / "jobs" / "sbatch").iterdir():
        header = read_header(path.read_text(errors="replace"))
        found = translate(header, set(), "ann")
        names = {one.name for one in header.directives}
        assert len(found.notes) + len(found.faults) == len(names) + len(header.faults), path.name
