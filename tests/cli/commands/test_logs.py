"""`logs`: bytes to a pipe, safe and coloured lines to a terminal, and what comes later."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.fake_runtime import Several
from tests.cli.terminal_command import on_terminal


def log(status, *runs, why=None):
    """What the verb answers; a run is (attempt, path) or (attempt, path, stored text)."""
    rows = [{"runid": f"r{r[0]}", "attempt": r[0], "status": status, "path": str(r[1]), "logs": (r + (None,))[2], "log_bytes": None,
             "exit_code": 0, "signal": None, "reason": None} for r in runs]  # fmt: skip
    return {"number": 7, "uuid": "u7", "name": "x", "status": status, "why": why, "runs": rows}


@pytest.fixture
def written(tmp_path):
    """A log file of every byte."""
    path = tmp_path / "run.log"
    path.write_bytes(bytes(range(256)) * 4 + b"\r\nend")
    return path


def test_a_pipe_gets_the_bytes_as_written(answering, home, written):
    answering(log=log("succeeded", (1, written)))

    done = subprocess.run(
        [sys.executable, "-P", "-m", "app", "--home", home, "logs", "7"], capture_output=True, check=True
    )

    assert (done.stdout, done.stderr) == (written.read_bytes(), b"")


def test_a_terminal_gets_safe_lines_with_their_colours(answering, home, tmp_path):
    path = tmp_path / "run.log"
    path.write_bytes(b"\x1b[31mred\nstill red\x1b[0m\r\n 5%\r50%\n\x1b]52;c;aGk=\x07\x1b[2Jplain\x00\nno end")
    answering(log=log("succeeded", (1, path)))

    assert on_terminal(home, "logs", "7").split(b"\r\n") == [
        b"\x1b[38;5;1mred\x1b[0m", b"\x1b[38;5;1mstill red\x1b[0m", b"50%", "plain␀".encode(), b"no end", b"",
    ]  # fmt: skip
    assert b"\x1b" not in on_terminal(home, "logs", "7", NO_COLOR="1")


@pytest.mark.parametrize(("last", "shown"), [("0", ""), ("1", "c"), ("2", "b\nc"), ("9", "a\nb\nc")])
def test_the_tail_is_so_many_lines(answering, cli, tmp_path, last, shown):
    (tmp_path / "log").write_text("a\nb\nc")
    answering(log=log("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "--tail", last, "7").out == shown


def test_the_tail_of_a_large_log_ends_with_its_newline(answering, cli, tmp_path):
    (tmp_path / "log").write_text("".join(f"line {n}\n" for n in range(50_000)))
    answering(log=log("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "--tail", "2", "7").out == "line 49998\nline 49999\n"


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("failed", 'exit 127: no program "nope" in PATH', 'taskdeck: #7 x wrote nothing: failed, exit 127: no program "nope" in PATH\n'),
        ("timed_out", None, "taskdeck: #7 x wrote nothing: timed out\n"),
        ("succeeded", None, ""),
        ("running", None, ""),
    ],
)
def test_why_there_is_no_log_is_said_beside_it(answering, cli, tmp_path, status, reason, said):
    found = log(status, (1, tmp_path / "none", ""))
    found["runs"][0] |= {"log_bytes": 0, "reason": reason}
    answering(log=found)

    assert cli("logs", "7") == (0, "", said)


def test_a_log_whose_file_has_gone_is_shown_as_it_was_kept(answering, cli, tmp_path):
    answering(log=log("failed", (1, tmp_path / "gone", "kept\nlines\n")))

    assert cli("logs", "7").out == "kept\nlines\n"
    assert cli("logs", "--tail", "1", "7").out == "lines\n"


def test_what_was_kept_of_a_log_that_has_gone_is_shown_to_be_a_part(answering, cli, tmp_path):
    found = log("succeeded", (1, tmp_path / "gone", "b\rc\nd\n"))
    found["runs"][0]["log_bytes"] = 4096
    answering(log=found)

    for words, shown in ((("logs", "7"), "b\rc\nd\n"), (("logs", "-f", "7"), "b\rc\nd\n"), (("logs", "--tail", "2", "7"), "b\rc\nd\n")):
        said = cli(*words)
        assert said.out == shown, words
        assert said.err == "taskdeck: the log file has gone; of its 4.0K the last 6B were kept.\n"


def test_all_attempts_are_shown_one_after_the_other(answering, cli, tmp_path):
    for n in (1, 2):
        (tmp_path / f"{n}").write_text(f"try {n}\n")
    runtime = answering(log=log("failed", (1, tmp_path / "1"), (2, tmp_path / "2")))

    assert cli("logs", "--attempt", "all", "7") == (0, "try 1\ntry 2\n", "attempt 1: failed\nattempt 2: failed\n")
    assert runtime.args("log") == {"id": "7", "attempt": "all"}


def test_a_task_that_has_not_started_says_why(answering, cli):
    answering(log=log("queued", why="queue media is full (2 of 2)"))

    assert cli("logs", "7") == (0, "", "taskdeck: #7 x has not started: queue media is full (2 of 2)\n")


def test_json_has_the_whole_text(answering, cli, tmp_path):
    (tmp_path / "log").write_bytes(b"a\xff\n")
    answering(log=log("failed", (1, tmp_path / "log")))

    assert json.loads(cli("logs", "7", "--json").out)["runs"][0]["text"] == "a\ufffd\n"


def test_following_tells_why_it_waits_then_shows_each_attempt_to_the_end(answering, cli, tmp_path):
    for n in (1, 2):
        (tmp_path / f"{n}").write_text(f"try {n}\n")
    one, two = (1, tmp_path / "1"), (2, tmp_path / "2")
    answering(log=Several([log("queued", why="queue full"), log("queued", why="queue full"), log("running", one),
                           log("retrying", one, why="attempt 2 in ~1s"), log("succeeded", one, two)]))  # fmt: skip

    said = cli("logs", "-f", "7")

    assert (said.code, said.out) == (0, "try 1\ntry 2\n")
    assert said.err == "taskdeck: #7 x waits: queue full\ntaskdeck: #7 x waits: attempt 2 in ~1s\nattempt 2\n"


def test_following_begins_with_the_tail(answering, cli, tmp_path):
    (tmp_path / "log").write_text("a\nb\nc\n")
    answering(log=log("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "-f", "--tail", "1", "7").out == "c\n"


def test_what_never_ran_is_said_to(answering, cli):
    answering(log=log("cancelled"))

    assert cli("logs", "-f", "7") == (0, "", "taskdeck: #7 x never ran (cancelled).\n")


def test_follow_and_json_do_not_go_together(cli):
    assert cli("logs", "-f", "--json", "7").code == 2
