"""Tests of `logs`: raw bytes to a pipe, safe lines to a terminal, and following."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from app.cli import several_logs
from app.cli.commands.tasks import logs
from tests.cli.fake_control_server import AnswerSequence
from tests.cli.terminal_command import run_on_terminal


def make_log_answer(status, *runs, why=None):
    """Build the answer of `log`; a run is (attempt, path) or (attempt, path, stored text)."""
    rows = [{"runid": f"r{r[0]}", "attempt": r[0], "status": status, "path": str(r[1]),
    "logs": (r + (None,))[2], "log_bytes": None,
             "exit_code": 0, "signal": None, "reason": None} for r in runs]  # fmt: skip
    return {"number": 7, "uuid": "u7", "name": "x", "status": status, "why": why, "runs": rows}


@pytest.fixture
def log_path(tmp_path):
    """Return a log file that contains every byte."""
    path = tmp_path / "run.log"
    path.write_bytes(bytes(range(256)) * 4 + b"\r\nend")
    return path


@pytest.mark.process
def test_a_pipe_gets_raw_bytes(fake_runtime, home, log_path):
    fake_runtime(log=make_log_answer("succeeded", (1, log_path)))

    done = subprocess.run(
        [sys.executable, "-P", "-m", "taskdeck", "--home", home, "logs", "7"],
        capture_output=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == (log_path.read_bytes(), b"")


@pytest.mark.process
def test_a_terminal_gets_safe_coloured_lines(fake_runtime, home, tmp_path):
    path = tmp_path / "run.log"
    path.write_bytes(
        b"\x1b[31mred\nstill red\x1b[0m\r\n 5%\r50%\n\x1b]52;c;aGk=\x07\x1b[2Jplain\x00\nno end"
    )
    fake_runtime(log=make_log_answer("succeeded", (1, path)))

    assert run_on_terminal(home, "logs", "7").split(b"\r\n") == [
        b"\x1b[38;5;1mred\x1b[0m", b"\x1b[38;5;1mstill red\x1b[0m", b"50%", "plain␀".encode(),
        b"no end", b"",
    ]  # fmt: skip
    assert b"\x1b" not in run_on_terminal(home, "logs", "7", NO_COLOR="1")


@pytest.mark.process
def test_a_terminal_gets_rewritten_lines_once(fake_runtime, home, tmp_path):
    """A docker pull redraws its layers by moving the cursor up."""
    path = tmp_path / "run.log"
    states = b"".join(
        b"\x1b[2A\x1b[2K\rone %d%%\x1b[2B\r\x1b[1A\x1b[2K\rtwo %d%%\x1b[1B\r" % (n, n)
        for n in range(101)
    )
    fake_runtime(log=make_log_answer("succeeded", (1, path)))

    shown = [b"pulling", b"one 100%", b"two 100%"]
    for end, last in ((b"", []), (b"done\n\x1b[1Aall done", [b"all done"])):
        path.write_bytes(b"pulling\none\ntwo\n" + states + end)
        assert run_on_terminal(home, "logs", "7").split(b"\r\n") == [*shown, *last, b""]


def test_a_printer_keeps_what_may_be_rewritten(monkeypatch):
    printed: list[str] = []
    monkeypatch.setattr(logs.output, "print_line", printed.append)
    monkeypatch.setattr(logs.output, "format_coloured", lambda spans: spans[0][0])
    printer = logs.LogPrinter()

    printer.write(b"a\nb 1\n\x1b[1Ab 2")
    assert printed == ["a"]
    printer.write(b"\n")
    printer.end()
    assert printed == ["a", "b 2"]


@pytest.mark.parametrize("kind", ["fifo", "link"])
@pytest.mark.parametrize("options", [(), ("--tail", "5"), ("--json",), ("-f",)])
def test_a_replaced_log_is_refused_at_once(fake_runtime, cli, log_path, tmp_path, kind, options):
    replaced = tmp_path / "replaced.log"
    os.mkfifo(replaced) if kind == "fifo" else replaced.symlink_to(log_path)
    fake_runtime(log=make_log_answer("succeeded", (1, replaced)))

    code, out, err = cli("logs", "7", *options)

    assert (code, out) == (4, "")
    assert "is not a regular file: a program replaced this log. Nothing was read." in err


@pytest.mark.parametrize(
    ("last", "shown"), [("0", ""), ("1", "c"), ("2", "b\nc"), ("9", "a\nb\nc")]
)
def test_tail_prints_the_given_number_of_lines(fake_runtime, cli, tmp_path, last, shown):
    (tmp_path / "log").write_text("a\nb\nc")
    fake_runtime(log=make_log_answer("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "--tail", last, "7").out == shown


def test_the_tail_of_a_large_log_ends_with_its_newline(fake_runtime, cli, tmp_path):
    (tmp_path / "log").write_text("".join(f"line {n}\n" for n in range(50_000)))
    fake_runtime(log=make_log_answer("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "--tail", "2", "7").out == "line 49998\nline 49999\n"


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (
            "failed",
            'exit 127: no program "nope" in PATH',
            'taskdeck: #7 x wrote nothing: failed, exit 127: no program "nope" in PATH\n',
        ),
        ("timed_out", None, "taskdeck: #7 x wrote nothing: timed out\n"),
        ("succeeded", None, ""),
        ("running", None, ""),
    ],
)
def test_a_missing_log_is_explained(fake_runtime, cli, tmp_path, status, reason, said):
    found = make_log_answer(status, (1, tmp_path / "none", ""))
    found["runs"][0] |= {"log_bytes": 0, "reason": reason}
    fake_runtime(log=found)

    assert cli("logs", "7") == (0, "", said)


def test_a_deleted_log_is_shown_from_the_stored_text(fake_runtime, cli, tmp_path):
    fake_runtime(log=make_log_answer("failed", (1, tmp_path / "gone", "kept\nlines\n")))

    assert cli("logs", "7").out == "kept\nlines\n"
    assert cli("logs", "--tail", "1", "7").out == "lines\n"


def test_a_partial_stored_log_is_marked(fake_runtime, cli, tmp_path):
    found = make_log_answer("succeeded", (1, tmp_path / "gone", "b\rc\nd\n"))
    found["runs"][0]["log_bytes"] = 4096
    fake_runtime(log=found)

    for words, shown in (
        (("logs", "7"), "b\rc\nd\n"),
        (("logs", "-f", "7"), "b\rc\nd\n"),
        (("logs", "--tail", "2", "7"), "b\rc\nd\n"),
    ):
        said = cli(*words)
        assert said.out == shown, words
        assert said.err == "taskdeck: the log file is gone; the last 6B of 4.0K were kept.\n"


def test_all_attempts_are_shown_in_order(fake_runtime, cli, tmp_path):
    for n in (1, 2):
        (tmp_path / f"{n}").write_text(f"try {n}\n")
    runtime = fake_runtime(log=make_log_answer("failed", (1, tmp_path / "1"), (2, tmp_path / "2")))

    assert cli("logs", "--attempt", "all", "7") == (
        0,
        "try 1\ntry 2\n",
        "attempt 1: failed\nattempt 2: failed\n",
    )
    assert runtime.get_last_args("log") == {"id": "7", "attempt": "all"}


def test_an_unstarted_task_says_why_it_waits(fake_runtime, cli):
    fake_runtime(log=make_log_answer("queued", why="queue media is full (2 of 2)"))

    assert cli("logs", "7") == (
        0,
        "",
        "taskdeck: #7 x has not started: queue media is full (2 of 2)\n",
    )


def test_json_contains_the_whole_text(fake_runtime, cli, tmp_path):
    (tmp_path / "log").write_bytes(b"a\xff\n")
    fake_runtime(log=make_log_answer("failed", (1, tmp_path / "log")))

    assert json.loads(cli("logs", "7", "--json").out)["runs"][0]["text"] == "a\ufffd\n"


def test_following_explains_the_wait_then_shows_each_attempt(fake_runtime, cli, tmp_path):
    for n in (1, 2):
        (tmp_path / f"{n}").write_text(f"try {n}\n")
    one, two = (1, tmp_path / "1"), (2, tmp_path / "2")
    fake_runtime(log=AnswerSequence([make_log_answer("queued", why="queue full"),
    make_log_answer("queued", why="queue full"), make_log_answer("running", one),
                           make_log_answer("retrying", one, why="attempt 2 in ~1s"),
                           make_log_answer("succeeded", one, two)]))  # fmt: skip

    said = cli("logs", "-f", "7")

    assert (said.code, said.out) == (0, "try 1\ntry 2\n")
    assert (
        said.err
        == "taskdeck: #7 x waits: queue full\ntaskdeck: #7 x waits: attempt 2 in ~1s\nattempt 2\n"
    )


def test_following_begins_with_the_tail(fake_runtime, cli, tmp_path):
    (tmp_path / "log").write_text("a\nb\nc\n")
    fake_runtime(log=make_log_answer("succeeded", (1, tmp_path / "log")))

    assert cli("logs", "-f", "--tail", "1", "7").out == "c\n"


def test_a_task_that_never_ran_says_so(fake_runtime, cli):
    fake_runtime(log=make_log_answer("cancelled"))

    assert cli("logs", "-f", "7") == (0, "", "taskdeck: #7 x never ran (cancelled).\n")


def test_follow_and_json_are_exclusive(cli):
    assert cli("logs", "-f", "--json", "7").code == 2


# --- several tasks


def make_logs(folder, status, text, **more):
    """Build the answer about #3 and #12, whose logs lie in `folder`."""
    tasks = []
    for number in (3, 12):
        path = folder / f"{number}.log"
        path.write_bytes(text)
        run = {"runid": f"r{number}", "attempt": 1, "status": status, "path": str(path), "logs": ""}
        tasks.append({"number": number, "name": "x", "status": status, "runs": [run]})
    return {"tasks": tasks, "after": None, "more": False, "left": 0, **more}


def test_each_line_of_several_logs_has_its_number(fake_runtime, cli, tmp_path):
    runtime = fake_runtime(logs=make_logs(tmp_path, "succeeded", b"a\n10%\r20%\n\xff"))

    said = cli("logs", "g12", "3")

    assert said.out.encode("utf-8", "surrogateescape").count(b"| 10%\r20%\n") == 2
    assert said.out.startswith("#3 | a\n#3 | 10%")
    assert runtime.get_last_args("logs") == {"ids": ["g12", "3"], "after": None}


def test_several_logs_are_followed_until_all_tasks_ended(fake_runtime, cli, tmp_path):
    one = make_logs(tmp_path, "running", b"a\nb", left=2, after="x")
    runtime = fake_runtime(logs=AnswerSequence([one, make_logs(tmp_path, "failed", b"a\nb")]))

    assert cli("logs", "-f", "g12").out == "#3 | a\n#12 | a\n#3 | b\n#12 | b\n"
    assert runtime.get_last_args("logs")["after"] == "x"
    fake_runtime(logs=make_logs(tmp_path, "failed", b"a\nb\n"))
    assert cli("logs", "g12", "--tail", "1").out == "#3 | b\n#12 | b\n"


def test_several_logs_have_the_latest_attempts_and_later_ones(fake_runtime, cli, tmp_path):
    one = make_logs(tmp_path, "failed", b"new\n", left=1)
    two = make_logs(tmp_path, "failed", b"new\n")
    for at, reply in enumerate((one, two)):
        (tmp_path / f"{at}.log").write_bytes(f"{at}\n".encode())
        run = {"runid": f"x{at}", "path": str(tmp_path / f"{at}.log"), "status": "failed"}
        reply["tasks"][0]["runs"].insert(0, run)
    two["tasks"][0]["runs"] = [one["tasks"][0]["runs"][0], *two["tasks"][0]["runs"][::-1]]
    fake_runtime(logs=AnswerSequence([one, two]))

    assert cli("logs", "-f", "g12").out == "#3 | new\n#12 | new\n#3 | 1\n"


def test_a_line_without_an_end_is_printed_in_pieces(fake_runtime, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(several_logs, "BLOCK_SIZE", 4)
    monkeypatch.setattr(several_logs, "MAX_LINE", 5)
    fake_runtime(logs=make_logs(tmp_path, "failed", b"123456789\na"))

    assert cli("logs", "g12").out == "".join(
        f"{head} | {piece}\n" for head in ("#3", "#12") for piece in ("12345678", "9", "a")
    )


def test_the_stored_end_replaces_a_log_that_is_gone(fake_runtime, cli, tmp_path):
    answer = make_logs(tmp_path, "failed", b"")
    for task in answer["tasks"]:
        task["runs"][0] |= {"path": str(tmp_path / "gone"), "logs": "kept"}
    fake_runtime(logs=answer)

    assert cli("logs", "g12").out == "#3 | kept\n#12 | kept\n"


@pytest.mark.process
def test_several_logs_on_a_terminal_are_sanitized(fake_runtime, home, tmp_path):
    fake_runtime(logs=make_logs(tmp_path, "failed", b"a\x1b[2Jb\n"))

    out = run_on_terminal(home, "logs", "g12")

    assert b"#3 | a" in out and b"\x1b[2J" not in out


@pytest.mark.parametrize("words", [["--json"], ["--attempt", "1"]])
def test_several_logs_take_few_options(fake_runtime, cli, words):
    fake_runtime()

    said = cli("logs", "g12", *words)

    assert said.code == 2 and "go with -f and --tail only" in said.err
