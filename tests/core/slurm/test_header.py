"""`#SBATCH` lines, also of recorded scripts."""

from __future__ import annotations

import json

import pytest

from app.core.slurm.header import read_header
from tests.core.scheduling.trace_files import CASES

SCRIPT = """\
#!/bin/bash
#SBATCH -J "two words"   # a comment
#SBATCH -c4 --mem 2G --out=x.log
##SBATCH --exclusive
 #SBATCH --nodes=2

#SBATCH --nice --hold --tasks-per-node=1
echo go
#SBATCH --nodes=4
"""


def test_options_before_the_first_command_are_read():
    header = read_header(SCRIPT)

    assert [(one.line, one.name, one.value) for one in header.directives] == [
        (2, "job-name", "two words"),
        (3, "cpus-per-task", "4"),
        (3, "mem", "2G"),
        (3, "output", "x.log"),
        (7, "nice", ""),
        (7, "hold", ""),
        (7, "ntasks-per-node", "1"),
    ]
    assert (header.faults, header.unread) == ([], [9])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("--tim=3", "--tim is no option of sbatch. Nearest: --time"),
        ("hetjob", '"hetjob" is no option of sbatch'),
        ("--mem", "--mem has no value"),
        ("--hold=1", "--hold takes no value"),
        ('-J "x', "has a quote that does not end"),
    ],
)
def test_a_wrong_line_is_a_fault(line: str, fault: str):
    assert read_header(f"#!/bin/sh\n#SBATCH {line}\n").faults == [(2, fault)]


@pytest.mark.skipif(CASES is None, reason="no recorded cases")
def test_recorded_scripts_are_read_as_by_slurm():
    assert CASES is not None
    folder = CASES / "jobs" / "sbatch"
    known = json.loads((folder / "expected.json").read_text())["files"]

    for name, about in known.items():
        header = read_header((folder / name).read_text(errors="replace"))
        found = {one.name: one.value or True for one in header.directives}
        assert found == about["expected"]["options"], name
        assert all("hetjob" in text for _, text in header.faults), name
