"""Tests of reading traces: both formats, what is left out, and errors with their line."""

from __future__ import annotations

import pytest

from tests.trials.replays.job_trace import TraceError, fit_jobs, read_trace
from tests.trials.replays.replay import TraceJob

SACCT = "JobID|Submit|Start|End|NCPUS|ReqMem|AllocTRES|Timelimit|Priority"


def swf(number: int, submit: float, run: float, procs: int = 1, **also: float) -> str:
    """Return a line of a workload file."""
    facts = {"requested": -1, "limit": -1, "memory": -1} | also
    head = [number, submit, -1, run, procs, -1, -1, facts["requested"], facts["limit"]]
    return " ".join(map(str, [*head, facts["memory"], *[-1] * 8]))


def sacct(job_id: str = "7", **also: str) -> str:
    """Return a line of an accounting file with the columns of SACCT."""
    facts = {
        "submit": "2026-01-05T08:00:00",
        "start": "2026-01-05T08:10:00",
        "end": "2026-01-05T09:10:00",
        "ncpus": "8",
        "reqmem": "",
        "tres": "",
        "limit": "1-02:00:00",
        "priority": "",
    } | also
    return "|".join([job_id, *facts.values()])


def test_a_workload_file_gives_processors_estimates_and_memory():
    trace = read_trace(
        [
            "; Version: 2.2\n",
            "; MaxNodes: 32 (of 2)\n",
            ";MaxProcs: 128\n",
            "\n",
            f"{swf(1, 0, 60.5, 4, requested=8, limit=3600, memory=2048)}\n",
            f"{swf(2, 9, 60, 4)}\r\n",
        ]
    )

    assert (trace.cpu, trace.has_priorities, trace.lines) == (128, False, [5, 6])
    assert trace.jobs == [
        TraceJob(1, 0, 60.5, 3600, {"cpu": 8, "memory": 16}),
        TraceJob(2, 9, 60, None, {"cpu": 4, "memory": 0}),
    ]


@pytest.mark.parametrize(
    ("header", "cpu"),
    [
        (["; MaxNodes: 256"], 256),
        (["; MaxNodes: -1", "; MaxProcs: 128"], 128),
        (["; MaxProcs: 128", "; MaxNodes: 8"], 128),
        (["; MaxProcs: unknown"], None),
        ([], None),
    ],
)
def test_the_header_names_the_processors(header: list[str], cpu: float | None):
    assert read_trace([*header, swf(1, 0, 1)]).cpu == cpu


def test_what_cannot_be_replayed_is_counted_with_its_first_line():
    trace = read_trace(
        [swf(1, 0, 5, 99), swf(2, 0, 0), swf(3, 0, -1), swf(4, 0, 5, -1), swf(5, 0, 5)]
    )

    assert [job.number for job in fit_jobs(trace, {"cpu": 64})] == [5]
    assert {reason: (one.count, one.first_line) for reason, one in trace.skipped.items()} == {
        "never ran": (2, 2),
        "named no number of processors": (1, 4),
        "needed more than the machine has": (1, 1),
    }


def test_a_slurm_file_gives_allotted_resources_and_limits():
    trace = read_trace(
        [
            SACCT,
            sacct(tres="billing=9,cpu=4,gres/gpu=2,license/matlab=1,mem=62.50G,node=1"),
            sacct("7.batch"),
            sacct("8_3", reqmem="2147486648Mn", limit="UNLIMITED", priority="900"),
            sacct("9", reqmem="2000Mc", limit="Partition_Limit"),
            sacct("10", reqmem="4G", limit="30:00"),
            sacct("11", start="Unknown", end="Unknown"),
            sacct("12", end="Unknown"),
            sacct("13", end="2026-01-05T08:10:00"),
        ]
    )

    begun = trace.jobs[0].submit
    assert trace.has_priorities
    assert trace.jobs == [
        TraceJob(7, begun, 3600, 93600, {"cpu": 4, "gpu": 2, "license.matlab": 1, "memory": 64000}),
        TraceJob(8, begun, 3600, None, {"cpu": 8, "memory": 24000}, 900),
        TraceJob(9, begun, 3600, None, {"cpu": 8, "memory": 16000}),
        TraceJob(10, begun, 3600, 1800, {"cpu": 8, "memory": 4096}),
    ]
    assert {reason: (one.count, one.first_line) for reason, one in trace.skipped.items()} == {
        "ran as a step of a job": (1, 3),
        "never ran": (2, 7),
        "had not ended": (1, 8),
    }


def test_the_columns_of_xdmod_need_no_names():
    fields = ["7"] * 26
    fields[10:14] = "2017-01-01T00:00:00", "", "2017-01-01T00:00:05", "2017-01-01T00:00:09"
    fields[20:24] = "100Mn", "", "cpu=2,mem=200M", "00:10:00"

    assert read_trace(["|".join(fields)]).jobs[0].needs == {"cpu": 2, "memory": 200}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "the file has no jobs"),
        (["; MaxProcs: 4"], "the file has no jobs"),
        ([swf(1, 0, 1), "2 0 -1 5"], 'line 2: 18 columns expected, 4 found: "2 0 -1 5"'),
        ([swf(1, 0, 1).replace("0", "x", 1)], 'line 1: column 2 must be a number, not "x"'),
        ([swf(1, 0, 1).replace("0", "nan", 1)], 'line 1: column 2 must be a number, not "nan"'),
        (["1|2|3"], "line 1: the names of the columns are missing"),
        (["JobID|Submit|End|NCPUS"], "line 1: the column start is missing; run sacct with"),
        (["JobID|Submit|Start|End"], "line 1: no column has the cores"),
        ([SACCT, sacct(), "7|8"], 'line 3: 9 columns expected, 2 found: "7|8"'),
        ([SACCT, sacct(end="soon")], 'line 2: end must be a time, not "soon"'),
        ([SACCT, sacct(limit="long")], "line 2: timelimit must be a duration"),
        ([SACCT, sacct(tres="cpu=x")], 'line 2: cpu must be a number, not "x"'),
        ([SACCT, sacct(reqmem="lots")], "line 2: memory must be a size"),
        ([SACCT, sacct("x")], 'line 2: the job id must begin with a number, not "x"'),
    ],
)
def test_an_error_names_its_line(lines: list[str], message: str):
    with pytest.raises(TraceError) as error:
        read_trace(lines)

    assert str(error.value).startswith(message)
