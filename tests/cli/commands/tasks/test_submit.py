"""Tests of `submit`: the request it builds, and refusals before any request."""

from __future__ import annotations

import json
import os
import re

import pytest

from app.core.ids import make_following_id
from app.errors import NotFound, Usage

STORED_TASK = {
    "uuid": "u1",
    "number": 7,
    "name": "true",
    "queue": "default",
    "status": "queued",
    "position": 0,
    "total": 1,
    "short": "",
}


def submit_one(answering, cli, *words, feed=b""):
    """Return the task that a command line submits."""
    runtime = answering(submit=[STORED_TASK])
    assert cli("submit", *words, feed=feed).code == 0
    (found,) = runtime.get_last_args("submit")["tasks"]
    return found


def test_a_command_is_sent_unchanged_and_only_its_number_printed(fake_runtime, cli):
    runtime = fake_runtime(submit=[STORED_TASK])

    said = cli("submit", "--", "sh", "-c", "echo $HOME", "--", "--json", "")

    assert said == (0, "7\n", "")
    assert runtime.get_last_args("submit")["tasks"] == [
        {"argv": ["sh", "-c", "echo $HOME", "--", "--json", ""]}
    ]


def test_a_submission_has_directory_umask_and_environment(fake_runtime, cli, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLAVOUR", "plum")
    for name in (
        "TERM",
        "SSH_TTY",
        "TMUX_PANE",
        "BASH_FUNC_x%%",
        "TASKDECK_RUNID",
        "XDG_SESSION_ID",
    ):
        monkeypatch.setenv(name, "session")
    runtime = fake_runtime(submit=[STORED_TASK])
    before = os.umask(0o027)

    cli("submit", "--env", "MORE=a=b", "--", "true")

    assert os.umask(before) == 0o027, "the umask itself was not changed"
    args = runtime.get_last_args("submit")
    assert (args["cwd"], args["umask"]) == (str(tmp_path), 0o027)
    assert args["env"]["FLAVOUR"] == "plum" and "MORE" not in args["env"]
    assert args["tasks"][0]["env"] == {"MORE": "a=b"}, "where it wins over CUDA_VISIBLE_DEVICES"
    assert "session" not in args["env"].values()
    assert len(args["uuid"]) == 36


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("none", set()), ("FLAVOUR,TERM", {"FLAVOUR", "TERM"}), ("all", {"FLAVOUR", "TERM", "PATH"})],
)
def test_keep_env_selects_the_environment(fake_runtime, cli, monkeypatch, keep, kept):
    monkeypatch.setenv("FLAVOUR", "plum")
    monkeypatch.setenv("TERM", "xterm")
    runtime = fake_runtime(submit=[STORED_TASK])

    cli("submit", "--keep-env", keep, "--", "true")

    env = runtime.get_last_args("submit")["env"]
    assert kept <= env.keys() and (keep == "all" or env.keys() == kept)
    assert "TASKDECK_HOME" not in env


def test_options_are_sent_as_numbers(fake_runtime, cli):
    words = ("-n", "a name", "-q", "gpu", "-P", "-5", "-t", "1h30m", "--cpu", "0.5", "--memory",
    "1.5G", "--retries", "2",
             "--retry-delay", "5m", "--grace", "2s", "--after", "4", "--after", "#5", "--after-any",
             "6", "--after-failure", "7", "--after-start", "8", "--tag", "k=v=w",
             "--hold", "--log-limit", "4G")  # fmt: skip

    assert submit_one(fake_runtime, cli, *words, "--", "true") == {
        "argv": ["true"], "name": "a name", "queue": "gpu", "priority": -5, "timeout": 5400,
        "cpu": 0.5, "memory": 1536,
        "retries": 2, "retry_delay": 300, "grace": 2, "after": ["4", "#5"], "after_any": ["6"],
        "after_failure": ["7"], "after_start": ["8"],
        "tags": {"k": "v=w"}, "hold": True, "log_limit": 4096,
    }  # fmt: skip


def test_a_local_time_is_sent_with_its_zone(fake_runtime, cli, monkeypatch):
    import time

    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert (
            submit_one(fake_runtime, cli, "--at", "2099-01-31T08:00", "--", "true")["at"]
            == "2099-01-30T23:00:00+00:00"
        )
    time.tzset()


def test_parameters_are_text_or_json(fake_runtime, cli):
    found = submit_one(
        fake_runtime, cli, "greet", "-p", "who=$(x)=y", "-p", "times:=3", "-p", "empty="
    )

    assert found == {
        "template": "greet",
        "parameter_texts": [["who", "$(x)=y"], ["empty", ""]],
        "parameters": {"times": 3},
    }


def test_shell_text_becomes_a_script(fake_runtime, cli):
    assert submit_one(fake_runtime, cli, "-c", "sort a | uniq > b") == {
        "script": "sort a | uniq > b"
    }


def test_shell_text_is_read_from_stdin(fake_runtime, cli):
    assert submit_one(fake_runtime, cli, "-c", "-", feed=b"echo \xff\n") == {
        "script": "echo \udcff\n"
    }


def test_each_inserts_items_at_the_braces_or_the_end(fake_runtime, cli):
    runtime = fake_runtime(submit=[STORED_TASK, STORED_TASK])

    said = cli("submit", "--each", "--", "cp", "{}", "/b/{}", feed=b"x y\n\n$(z)\n")

    assert said.out == "7\n7\n"
    assert [t["argv"] for t in runtime.get_last_args("submit")["tasks"]] == [
        ["cp", "x y", "/b/x y"],
        ["cp", "$(z)", "/b/$(z)"],
    ]
    cli("submit", "--each", "-0", "--", "gzip", feed=b"a\nb\0c\0")
    assert [t["argv"] for t in runtime.get_last_args("submit")["tasks"]] == [
        ["gzip", "a\nb"],
        ["gzip", "c"],
    ]


def test_each_inserts_items_into_names_and_tags(fake_runtime, cli):
    runtime = fake_runtime(submit=[STORED_TASK, STORED_TASK])

    cli(
        "submit",
        "--each",
        "-n",
        "enc {}",
        "--tag",
        "of={}",
        "--tag",
        "a=b",
        "--",
        "x",
        feed=b"in/1.mkv\n\x1b2\n",
    )
    assert [(t["name"], t["tags"]) for t in runtime.get_last_args("submit")["tasks"]] == [
        ("enc 1.mkv", {"of": "in/1.mkv", "a": "b"}), ("enc ␛2", {"of": "\x1b2", "a": "b"}),
    ]  # fmt: skip
    cli("submit", "--each", "enc", "-p", "in={}", "-n", "{}", feed=b"a\n")
    assert [t["name"] for t in runtime.get_last_args("submit")["tasks"]] == ["a"]


def test_json_lines_are_sent_as_one_text(fake_runtime, cli, tmp_path):
    (tmp_path / "jobs.jsonl").write_bytes(b'{"argv": ["a\xff"]}\n')
    runtime = fake_runtime(submit__lines={"numbers": [3, 4], "refused": []})

    assert cli("submit", "--from", str(tmp_path / "jobs.jsonl")).out == "3\n4\n"
    assert runtime.get_last_args("submit.lines")["text"] == '{"argv": ["a\udcff"]}\n'


def test_many_lines_are_sent_as_a_file_of_the_home(fake_runtime, cli, tmp_path):
    lines = b'{"argv": ["true"], "name": "a long line"}\n' * 1000
    (tmp_path / "jobs.jsonl").write_bytes(lines)
    runtime = fake_runtime(submit__lines={"spans": [[0, 5, 2], [3, 9, 1]], "refused": []})

    said = cli("submit", "--from", str(tmp_path / "jobs.jsonl"), "--jsonl")

    asked = runtime.get_last_args("submit.lines")
    assert asked["file"] == asked["uuid"] and "text" not in asked
    stored = [json.loads(line) for line in said.out.splitlines()]
    assert [row["number"] for row in stored] == [5, 6, 9]
    assert [row["uuid"] for row in stored] == [
        make_following_id(asked["uuid"], at) for at in (0, 1, 3)
    ]
    assert not [*tmp_path.rglob("*.lines")]
    assert cli("submit", "--from", "-", feed=lines).out == "5\n6\n9\n"


def test_an_invalid_line_is_reported_with_its_file(fake_runtime, cli, tmp_path):
    (tmp_path / "jobs.jsonl").write_text("x\n")
    fake_runtime(submit__lines=Usage("line 1: is no JSON. It was not stored."))

    said = cli("submit", "--from", str(tmp_path / "jobs.jsonl"))

    assert (
        said.code == 2
        and said.err == f"taskdeck: {tmp_path}/jobs.jsonl line 1: is no JSON. It was not stored.\n"
    )


def test_keep_going_lists_invalid_lines_and_exits_1(fake_runtime, cli):
    fake_runtime(submit__lines={"numbers": [3], "refused": [{"line": 2, "message": "is no JSON"}]})

    said = cli("submit", "--from", "-", "--keep-going", feed=b"{}\nx\n")

    assert said == (1, "3\n", "taskdeck: line 2: is no JSON\n")


def test_json_prints_uuid_and_number(fake_runtime, cli):
    fake_runtime(submit=[STORED_TASK])

    assert cli("submit", "--json", "--", "true").out == '{"uuid": "u1", "number": 7}\n'


def test_wait_exits_with_the_code_of_the_task(fake_runtime, cli):
    end = {
        "number": 7,
        "name": "true",
        "status": "failed",
        "exit_code": 42,
        "signal": None,
        "reason": "exit 42",
        "code": 42,
    }
    fake_runtime(submit=[STORED_TASK], wait=[end])

    assert cli("submit", "--wait", "--", "false") == (42, "7\n", "")


@pytest.mark.parametrize(
    ("words", "feed", "code", "answer"),
    [
        ([], b"", 2, "submit needs a command"),
        (["--"], b"", 2, "missing command after --"),
        (["--", ""], b"", 2, "missing command after --"),
        (["--", "sort a | uniq"], b"", 2,
        "As a shell script: taskdeck submit -c 'sort a | uniq'. Nothing was submitted."),
        (["-c", "x", "--", "y"], b"", 2, "give only one of a command after --, -c, and a template"),
        (["--priorty", "3", "--", "true"], b"", 2,
        "unknown option --priorty of submit. Nearest: --priority"),
        (["--cpu=-1", "--", "true"], b"", 2, "--cpu must be 0 or more"),
        (["--memory", "4 parsecs", "--", "true"], b"", 2, "--memory must be a size"),
        (["--timeout", "soon", "--", "true"], b"", 2, "--timeout must be a duration"),
        (["--retries", "1.5", "--", "true"], b"", 2, "--retries must be a whole number"),
        (["--at", "yesterweek", "--", "true"], b"", 2, "--at must be a time"),
        (["--at", "2020-01-01", "--", "true"], b"", 2, "--at must be in the future, not"),
        (["--tag", "novalue", "--", "true"], b"", 2, "--tag must be written NAME=VALUE"),
        (["--name", "a/b", "--", "true"], b"", 2, '--name must not contain "/"'),
        (["--name"], b"", 2, "--name needs a value"),
        (["--cwd", "/no/such/dir", "--", "true"], b"", 2, "/no/such/dir does not exist on"),
        (["--output", "/no/a/x.log", "--", "true"], b"", 2, "/no/a does not exist. Nothing was"),
        (["--error", "/no/a/x.log", "--", "true"], b"", 2, "Make it: mkdir -p /no/a"),
        (["--keep-env", "NO_SUCH_NAME_HERE", "--", "true"], b"", 2, "which is not set here"),
        (["greet", "ann"], b"", 2, '"ann" is unexpected'),
        (["greet", "-p", "x"], b"", 2, "-p must be written NAME=VALUE"),
        (["greet", "-p", "x:={"], b"", 2, "must be followed by JSON"),
        (["-p", "x=1", "--", "true"], b"", 2, "-p requires a template"),
        (["--each", "--", "echo"], b"", 2, "--each read no items from standard input"),
        (["--each", "--", "echo"], b"a\nb\0c\n", 2, "line 2 contains a NUL byte"),
        (["--each"], b"a\n", 2, "submit needs a command"),
        (["--each", "-c", "gzip {}"], b"a\n", 2,
        "--each cannot insert items into a shell script"),
        (["--each", "greet"], b"a\n", 2, "-p NAME={}"),
        (["-0", "--", "true"], b"", 2, "-0 requires --each"),
        (["--from", "no-such-file"], b"", 3, "no-such-file does not exist"),
        (["--from", "/"], b"", 2, "/ cannot be read: is a directory"),
        (["--from", "-", "--queue", "gpu"], b"", 2, "--from cannot be combined"),
        (["no-such-program", "-c"], b"", 2, "-c needs a value"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_refused_before_any_request(
    fake_runtime, cli, words, feed, code, answer
):
    runtime = fake_runtime()

    said = cli("submit", *words, feed=feed)

    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("taskdeck: ") and answer in said.err and said.err.count("\n") == 1
    assert runtime.asked == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "job.txt",
            '"job.txt" is a file without #SBATCH lines. To run it: taskdeck submit -- bash',
        ),
        ("./missing", 'the script "./missing" does not exist.'),
        ("jobb.sbatch", 'the script "jobb.sbatch" does not exist.'),
    ],
)
def test_a_script_mistaken_for_a_template_is_named(
    fake_runtime, cli, tmp_path, monkeypatch, word, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.txt").write_text("echo\n")
    fake_runtime(submit=NotFound(f'there is no template "{word}".', "List: taskdeck template ls"))

    found = cli("submit", word)

    assert found.code == 3 and said in found.err


def test_a_program_mistaken_for_a_template_gets_a_suggestion(fake_runtime, cli):
    fake_runtime(submit=NotFound('there is no template "sh".', "List: taskdeck template ls"))

    assert (
        cli("submit", "sh").err
        == 'taskdeck: "sh" is a program, not a template. To run it: taskdeck submit -- sh\n'
    )
    said = cli("submit", "sh", "-x", "script.sh")
    assert said.code == 3 and "taskdeck submit -- sh -x script.sh" in said.err


def test_an_unknown_template_keeps_the_runtimes_answer(fake_runtime, cli):
    fake_runtime(
        submit=NotFound(
            'there is no template "gret". Nearest: greet.', "List: taskdeck template ls"
        )
    )

    said = cli("submit", "gret")

    assert (said.code, said.err) == (
        3,
        'taskdeck: there is no template "gret". Nearest: greet. List: taskdeck template ls\n',
    )


def test_a_missing_directory_suggests_the_nearest(fake_runtime, cli, tmp_path):
    (tmp_path / "media" / "in").mkdir(parents=True)
    fake_runtime()

    assert (
        f"Nearest: {tmp_path}/media. Nothing was submitted."
        in cli("submit", "-C", f"{tmp_path}/meda/in", "--", "true").err
    )


def test_a_file_with_an_odd_name_is_an_ordinary_command(fake_runtime, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my job").touch()

    assert submit_one(fake_runtime, cli, "--", "./my job")["argv"] == ["./my job"]


def test_the_alias_add_still_submits(fake_runtime, cli):
    fake_runtime(submit=[STORED_TASK])

    assert cli("add", "--", "true").out == "7\n"


def test_a_dry_run_prints_the_task_and_no_number(fake_runtime, cli):
    runtime = fake_runtime(
        submit=[{**STORED_TASK, "number": None, "cwd": "/srv", "launch": {"argv": ["echo", "a b"]}}]
    )

    said = cli("submit", "--dry-run", "--", "echo", "a b")

    assert runtime.get_last_args("submit")["dry_run"] is True
    assert (
        said.code == 0
        and said.out == "true  queue default  in /srv  echo 'a b'\n"
        and "Nothing was submitted" in said.err
    )


def test_a_dry_run_prints_other_options(fake_runtime, cli, monkeypatch):
    import time

    wishes = {"not_before": "2099-01-30T23:00:00.000000Z", "priority": -2, "cpu": 0.5,
    "memory": 1536.0, "timeout": 5400.0,
              "retries": 2, "retry_delay": 300.0, "grace": 5.0, "hold": True}  # fmt: skip
    fake_runtime(submit=[{**STORED_TASK, **wishes, "cwd": "/srv", "launch": {"argv": ["true"]}}])
    words = (
        "--at",
        "2099-01-31T08:00",
        "--after",
        "4",
        "--after",
        "#5",
        "--after-any",
        "name",
        "--retry-delay",
        "5m",
        "--tag",
        "k=v=w",
    )

    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        said = cli("submit", "--dry-run", *words, "--", "true")
    time.tzset()

    assert said.out == (
        "true  queue default  at 31 Jan 2099 08:00  after #4 #5  after any name  priority "
        "-2  cpu 0.5  memory 1.5G  timeout 1h30m  retries 2  retry delay 5m  tag k=v=w  "
        "held  in /srv  true\n"
    )


def test_on_a_terminal_the_position_and_reason_are_printed(fake_runtime, cli, monkeypatch):
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: True)

    def said(**more):
        fake_runtime(submit=[STORED_TASK | more])
        return " ".join(cli("submit", "--", "true").err.split())

    paused = {
        "queue": "night",
        "position": 1,
        "total": 2,
        "short": "queue night is paused by ann since 14:02",
    }
    assert (
        said(**paused)
        == "#7 true is queued in night, second of 2: queue night is paused by ann since 14:02"
    )
    full = {"position": 1, "total": 2, "short": "queue full 2/2; 2nd of 2"}
    assert said(**full) == "#7 true is queued in default: queue full 2/2; 2nd of 2"


def test_on_a_terminal_the_start_time_is_echoed(fake_runtime, cli, monkeypatch):
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: True)
    in_23_hours = r"(\w{3} )?\d\d:\d\d \(in 23h\)"

    def said(*words, feed=b"", **more):
        fake_runtime(submit=[STORED_TASK | more] * (feed.count(b"\n") or 1))
        return " ".join(cli("submit", "--at", "23h", *words, feed=feed).err.split())

    assert re.fullmatch(
        f"#7 true is scheduled in default: at {in_23_hours}",
        said("--", "true", status="scheduled", short="at 18:09"),
    )
    held = said("--hold", "--", "true", status="held", short="held by ann")
    assert re.fullmatch(f"#7 true is held in default: held by ann; not before {in_23_hours}", held)
    assert re.fullmatch(
        f"taskdeck: starts no earlier than {in_23_hours}\\.",
        said("--each", "--", "true", feed=b"a\nb\n"),
    )
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: False)
    assert said("--", "true", status="scheduled", short="at 18:09") == ""


def test_the_wait_reason_is_requested_only_for_terminals(fake_runtime, cli, monkeypatch):
    runtime = fake_runtime(submit=[STORED_TASK])

    cli("submit", "--", "true")
    assert "explain" not in runtime.get_last_args("submit")
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: True)
    cli("submit", "--", "true")
    assert runtime.get_last_args("submit")["explain"] is True
    cli("submit", "--json", "--", "true")
    assert "explain" not in runtime.get_last_args("submit")


def test_invalid_json_of_a_parameter_is_not_printed(fake_runtime, cli):
    fake_runtime()

    said = cli("submit", "greet", "-p", "token:=hunter2")

    assert said.code == 2 and "token:= must be followed by JSON" in said.err
    assert "hunter2" not in said.err


def test_a_dry_run_of_a_file_reports_each_bad_line(fake_runtime, cli, tmp_path):
    (tmp_path / "jobs.jsonl").write_text("{}\n")
    answer = {"numbers": [], "valid": 3, "refused": [{"line": 2, "message": "argv is empty"}]}
    runtime = fake_runtime(submit__lines=answer)

    said = cli("submit", "--dry-run", "--from", str(tmp_path / "jobs.jsonl"))

    assert (said.code, said.out) == (1, "")
    assert "jobs.jsonl line 2: argv is empty" in said.err
    assert "dry run: 3 lines are valid, 1 is not. Nothing was submitted." in said.err
    assert runtime.get_last_args("submit.lines")["dry_run"] is True


@pytest.mark.parametrize("words", [["--from", "FILE"], ["--each", "--", "echo"]])
def test_accepted_tasks_without_numbers_end_well_except_with_wait(
    fake_runtime, cli, tmp_path, words
):
    fake_runtime(submit=[], **{"submit.lines": {"spans": [], "refused": []}})
    (tmp_path / "lines").write_text('{"argv": ["true"]}\n')
    words = [str(tmp_path / "lines") if word == "FILE" else word for word in words]

    assert cli("submit", *words, feed=b"1\n") == (0, "", "")
    assert cli("submit", "--json", *words, feed=b"1\n") == (0, "[]\n", "")
    waited = cli("submit", "--wait", *words, feed=b"1\n")
    assert waited.code == 5 and "They are accepted." in waited.err
