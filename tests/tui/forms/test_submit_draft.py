"""Submission draft: its specification, faults and shell command."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.tui.actions import shell_command
from app.tui.forms import submit_calls
from app.tui.forms.submit_draft import (
    SubmitDraft,
    build_spec,
    drop_fields,
    find_faults,
    find_shell_operators,
    find_shell_word,
    make_draft,
)
from tests.tui.fake_runtime import make_task_row

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 25, 10, 42, tzinfo=UTC)


def make_command_draft(text: str, **values: str) -> SubmitDraft:
    return SubmitDraft(command=text, values=values)


def test_a_command_is_split_as_a_shell_would_split_it() -> None:
    draft = make_command_draft(
        'ffmpeg -i "/srv/in/S02 E09.mkv" out.mp4',
        queue="media",
        cpu=" 2 ",
        after="#12, 13 any:14, failure:15 start:etl, at:home any:",
        cwd="~/x",
    )

    assert build_spec(draft) == {
        "argv": ["ffmpeg", "-i", "/srv/in/S02 E09.mkv", "out.mp4"],
        "queue": "media",
        "cpu": "2",
        "after": ["#12", "13", "at:home", "any:"],
        "after_any": ["14"],
        "after_failure": ["15"],
        "after_start": ["etl"],
        "cwd": str(Path("~/x").expanduser()),
    }


def test_shell_text_and_hold_are_passed_through() -> None:
    assert build_spec(SubmitDraft(kind="shell", script="sort a | uniq > b", hold=True)) == {
        "script": "sort a | uniq > b",
        "hold": True,
    }


def test_a_template_gets_its_parameters() -> None:
    draft = SubmitDraft(kind="template", template="encode")

    assert build_spec(draft, {"parameter_texts": [["crf", "20"]]}) == {
        "template": "encode",
        "parameter_texts": [["crf", "20"]],
    }


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("for i in a b; do echo $i; done", "for"),
        ("export A=1", "export"),
        ("A=1 make", "A=1"),
        ("(make)", "(make)"),
        ("true", ""),
        ("'for", ""),
        ("env A=1 make", ""),
        ("", ""),
    ],
)
def test_a_shell_keyword_is_detected(command: str, word: str) -> None:
    assert find_shell_word(command) == word


def test_a_program_may_be_named_like_a_shell_keyword(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "select").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_shell_word("select -a") == ""


def test_shell_text_as_command_is_a_fault() -> None:
    [fault] = find_faults(make_command_draft("for i in *; do echo $i; done"), "/", NOW).values()

    assert fault == 'Command: "for" is a shell word, not a program. Choose Run: shell text.'


def test_a_channel_is_sent_and_copied_from_a_task() -> None:
    told = {"channel": "ops", "on": "failed", "default": False}
    draft = make_draft(make_task_row(notify=told))
    assert draft.values["notify"] == "failed ops"
    spec = build_spec(draft)
    assert (spec["notify"], spec["notify_on"]) == ("ops", "failed")


def test_a_task_is_converted_to_typed_texts() -> None:
    draft = make_draft(
        make_task_row(
            timeout=5400.0,
            tags={"env": "prod"},
            grace=9.0,
            retry_delay=300.0,
            early_signal="USR1@5m",
            retry_on_oom="1.5,max=64G",
            output="a.log",
        )
    )

    assert (draft.kind, draft.command) == ("command", "python train.py --lr 0.01 --seed 8")
    assert draft.values["signal"] == "USR1@5m" and "retry_on_oom" not in draft.other_options
    assert build_spec(draft) == {
        "argv": ["python", "train.py", "--lr", "0.01", "--seed", "8"], "name": "resnet50-sweep-08",
        "queue": "gpu",
        "priority": "5", "cpu": "4", "memory": "12G", "timeout": "90m", "retries": "1",
        "retry_delay": "300",
        "cwd": "/home/ann/sweep", "tags": {"env": "prod"}, "grace": 9.0,
        "signal": "USR1@5m", "retry_on_oom": "1.5,max=64G", "output": "a.log",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("sort a | uniq > b", ["|", ">"]),
        ("echo '$HOME' \"a|b\" a\\|b", []),
        ("echo $HOME && ls *.mkv", ["$", "&&", "*"]),
        ("ffmpeg -i a.mkv", []),
    ],
)
def test_shell_operators_are_detected_only_outside_quotes(text: str, signs: list[str]) -> None:
    assert find_shell_operators(text) == signs


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    draft = make_command_draft("true 'x", cwd=str(tmp_path / "meda"), priority="high", cpu="-1",
    memory="lots", timeout="5x",
                    retries="1.5", signal="KILL@5m", retry_on_oom="0.5",
                    at="someday", name="a/b")  # fmt: skip
    faulty = find_faults(draft, "/", NOW)
    found = list(faulty.values())

    assert list(faulty) == [
        "command",
        "cwd",
        "name",
        "priority",
        "cpu",
        "memory",
        "timeout",
        "retries",
        "signal",
        "retry_on_oom",
        "at",
    ]
    assert build_spec(drop_fields(draft, faulty)) == {"argv": ["true"]}
    assert found[0] == "Command: no closing quotation"
    assert found[1] == f"In: {tmp_path}/meda does not exist. Did you mean {tmp_path}/media?"
    assert [text.split()[0] for text in found[2:]] == [
        "Name",
        "Priority",
        "CPU",
        "Memory",
        "Timeout",
        "Retries",
        "Signal",
        "On",
        "Start",
    ]


def test_a_file_as_directory_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x").touch()

    assert find_faults(make_command_draft("true", cwd="x"), str(tmp_path), NOW) == {
        "cwd": f"In: {tmp_path}/x is not a directory."
    }


def test_a_good_draft_has_no_faults(tmp_path: Path) -> None:
    draft = make_command_draft("true", cwd=str(tmp_path), priority="-5", cpu="0.5", memory="2G",
    timeout="1h30m", retries="2",
                    retry_delay="5m", at="tomorrow 02:00", name="夜间备份")  # fmt: skip

    assert find_faults(draft, "/", NOW) == {}


def test_a_shell_parses_the_command_into_the_same_words() -> None:
    words = shell_command.build_submit_words(
        {"argv": ["echo", "it's", "a b", "$x"], "queue": "a b", "after": ["12"], "hold": True}
    )

    assert shlex.split(shell_command.quote_words(words)) == words
    assert words == [
        "taskdeck",
        "submit",
        "-q",
        "a b",
        "--after",
        "12",
        "--hold",
        "--",
        "echo",
        "it's",
        "a b",
        "$x",
    ]


def test_the_command_has_no_control_character() -> None:
    line = shell_command.quote_words(
        shell_command.build_submit_words({"template": "t", "parameter_texts": [["x", "\x1b]52;"]]})
    )

    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a b", "x=a b"),
        ("2", 'x:="2"'),
        ("true", 'x:="true"'),
        (2, "x:=2"),
        ({"a": [1]}, 'x:={"a": [1]}'),
        ("null", 'x:="null"'),
    ],
)
def test_a_value_is_written_so_that_it_keeps_its_type(value: object, word: str) -> None:
    assert shell_command.build_submit_words({"template": "t", "parameters": {"x": value}})[3:] == [
        "-p",
        word,
    ]


def test_a_reference_to_a_secret_may_be_shown() -> None:
    words = shell_command.build_submit_words(
        {"template": "t", "parameters": {"api_key": {"secret": {"env": "KEY"}}}}
    )

    assert words[3:] == ["-p", 'api_key:={"secret": {"env": "KEY"}}']


def test_the_command_of_a_task_has_its_requests() -> None:
    words = shell_command.build_submit_words(
        shell_command.build_spec_from_task(make_task_row(timeout=5400.0, memory=1536.0, cpu=0.5))
    )

    assert words[2:4] == ["-n", "resnet50-sweep-08"]
    assert words[4:-7] == ["-q", "gpu", "-P", "5", "-t", "90m", "--cpu", "0.5", "--memory", "1536M",
    "--retries", "1", "-C",
                           "/home/ann/sweep"]  # fmt: skip
    assert words[-7:] == ["--", "python", "train.py", "--lr", "0.01", "--seed", "8"]


def test_the_command_keeps_shell_text_verbatim() -> None:
    launch = {"argv": ["/bin/sh", "-c", "echo hi; exit 3"], "script": "echo hi; exit 3"}

    assert shell_command.build_submit_words(
        shell_command.build_spec_from_task(make_task_row(launch=launch))
    )[-2:] == ["-c", "echo hi; exit 3"]


def test_a_submission_inherits_the_environment_without_terminal_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TMUX_PANE", "SSH_CONNECTION", "TERM", "BASH_FUNC_x%%", "MY_NAME"):
        monkeypatch.setenv(name, "x")
    here = submit_calls.capture_context()

    assert here["env"].get("MY_NAME") == "x"
    assert (
        not {"TMUX_PANE", "SSH_CONNECTION", "TERM", "BASH_FUNC_x%%", "LINES", "ESCDELAY"}
        & here["env"].keys()
    )
    assert 0 <= here["umask"] <= 0o777


def test_named_resources_are_sent_and_kept_by_a_repeated_task():
    draft = SubmitDraft(command="true", values={"resources": "gpu=2, tape=0"})
    assert build_spec(draft)["resources"] == {"gpu": 2, "tape": 0}
    again = make_draft(make_task_row() | {"resources": {"gpu": 2}})
    assert again.get_text("resources") == "gpu=2"
