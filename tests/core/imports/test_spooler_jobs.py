"""Tests of what jobs of task-spooler become, with recorded answers of tsp 1.0.3."""

from __future__ import annotations

import pytest

from app.core.imports.items import choose_items
from app.core.imports.spooler_jobs import (
    SpoolerClient,
    SpoolerJob,
    assign_clients,
    list_numbers,
    make_item,
    parse_command_line,
    parse_job,
)

LIST = """\
ID   State      Output               E-Level  Times(r/u/s)   Command [run=1/1]
0    running    /tmp/ts-out.f0jyLy                         sleep 1000
5    queued     (file)                                       [3]&& [a]b]sh -c echo one
99 queued (file) x
2    finished   /tmp/ts-out.chF03B 0        0.00/0.00/0.00 [lab]echo x y z
4    skipped    (no output)                                  [3]&& echo dep2
"""
FACTS = "Command: sh -c echo one\nSlots required: 7\n99 queued\nSlots required: 2\n\
Enqueue time: Tue Dec  1 01:23:27 2026\n"


def make_client(pid: int, line: str, started: int = 1) -> SpoolerClient:
    options, argv = parse_command_line(line.split()) or ([], [])
    return SpoolerClient(pid, started, argv, options, "/src", 0o077, {"A": "1", "TERM": "x"})


def make_job(number: int, command: str, state: str = "queued", **more) -> SpoolerJob:
    return SpoolerJob(number, state, command, more.pop("slots", 1), 1.0, **more)


def test_a_list_names_jobs_and_maybe_others():
    assert list_numbers(LIST) == [0, 5, 99, 2, 4]


def test_a_command_with_line_breaks_is_read():
    job = parse_job(5, "queued", FACTS)

    assert job is not None
    assert (job.command, job.slots) == ("sh -c echo one\nSlots required: 7\n99 queued", 2)


@pytest.mark.parametrize("text", ["", "Command: x", FACTS.replace("Dec", "Foo")])
def test_other_texts_are_no_job(text):
    assert parse_job(5, "queued", text) is None


@pytest.mark.parametrize("line", ["-l", "-w 3", "-S 2", "-k", "", "-x true", "-N"])
def test_calls_that_submit_nothing_are_no_client(line):
    assert parse_command_line(line.split()) is None


def test_a_job_gets_the_words_and_settings_of_its_client():
    job = make_job(3, "[1]&& python train.py", slots=2)
    assign_clients([job], [make_client(7, "-d -E -m -N 2 -L nightly/x python train.py")])
    item = make_item(job, "q")

    assert item.task == {
        "argv": ["python", "train.py"], "name": "nightly-x", "split": True, "cpu": 2,
    }  # fmt: skip
    assert (item.parents, item.cwd, item.umask, item.env) == ((1,), "/src", 0o077, {"A": "1"})
    assert [loss.split(":")[0] for loss in item.losses] == [
        "-N", "the label has characters that a name cannot have", "-m",
    ]  # fmt: skip


def test_clients_of_the_same_text_belong_to_jobs_in_their_order():
    jobs = [make_job(4, "make"), make_job(2, "make", "running"), make_job(9, "[2]&& make")]
    assign_clients(jobs, [make_client(7, "make", 5), make_client(8, "make", 3),
                        make_client(3, "-D 2 make", 9)])  # fmt: skip

    assert [job.client and job.client.pid for job in jobs] == [7, 8, 3]


def test_a_job_whose_client_is_unknown_stays():
    jobs = [make_job(1, "make"), make_job(2, "make")]
    assign_clients(jobs, [make_client(7, "make")])
    items = [make_item(job, "q") for job in jobs]

    assert choose_items(items) == []
    assert items[0].obstacle == "its client, which has the exact words, is not found"


def test_a_job_that_somebody_waits_for_stays():
    job = make_job(1, "make")
    assign_clients([job], [make_client(7, "-f make")])

    assert make_item(job, "q").obstacle == "somebody waits for its end (-f)"


def test_ended_jobs_tell_how():
    done, failed, skipped = (
        make_item(make_job(n, "make", state, exit_code=code), "q")
        for n, state, code in ((1, "finished", 0), (2, "finished", 3), (3, "skipped", None))
    )

    assert [item.is_done for item in (done, failed, skipped)] == [True, False, False]
    assert (failed.status, skipped.never_ran) == ("finished 3", True)
