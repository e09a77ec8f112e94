"""What is typed in the form, as a specification, its faults, and the command line that does the same."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.tui import equal, origin
from app.tui.draft import Draft, faults, prefill, shell_signs, spec
from tests.tui.answers import task

NOW = datetime(2026, 11, 25, 10, 42, tzinfo=UTC)


def command(text: str, **values: str) -> Draft:
    return Draft(command=text, values=values)


def test_a_command_is_split_as_a_shell_would_split_it() -> None:
    draft = command('ffmpeg -i "/srv/in/S02 E09.mkv" out.mp4', queue="media", cpu=" 2 ", after="#12, 13", cwd="~/x")

    assert spec(draft) == {
        "argv": ["ffmpeg", "-i", "/srv/in/S02 E09.mkv", "out.mp4"],
        "queue": "media",
        "cpu": "2",
        "after": ["#12", "13"],
        "cwd": str(Path("~/x").expanduser()),
    }


def test_shell_text_and_hold_go_as_they_are() -> None:
    assert spec(Draft(kind="shell", script="sort a | uniq > b", hold=True)) == {
        "script": "sort a | uniq > b",
        "hold": True,
    }


def test_a_template_gets_the_texts_that_were_filled_in() -> None:
    draft = Draft(kind="template", template="encode", parameters={"encode": {"crf": "20"}, "other": {"x": "1"}})

    assert spec(draft) == {"template": "encode", "parameter_texts": [["crf", "20"]]}


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("sort a | uniq > b", ["|", ">"]),
        ("echo '$HOME' \"a|b\" a\\|b", []),
        ("echo $HOME && ls *.mkv", ["$", "&&", "*"]),
        ("ffmpeg -i a.mkv", []),
    ],
)
def test_shell_signs_are_seen_outside_of_quotes_only(text: str, signs: list[str]) -> None:
    assert shell_signs(text) == signs


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    draft = command("true 'x", cwd=str(tmp_path / "meda"), priority="high", cpu="-1", memory="lots", timeout="5x",
                    retries="1.5", at="someday", name="a/b")  # fmt: skip
    found = faults(draft, "/", NOW)

    assert found[0] == "Command: no closing quotation"
    assert found[1] == f"In: {tmp_path}/meda does not exist. Did you mean {tmp_path}/media?"
    assert [text.split()[0] for text in found[2:]] == [
        "Name",
        "Priority",
        "CPU",
        "Memory",
        "Timeout",
        "Retries",
        "Start",
    ]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "x").touch()

    assert faults(command("true", cwd="x"), str(tmp_path), NOW) == [f"In: {tmp_path}/x is no directory."]


def test_a_good_draft_has_no_faults(tmp_path: Path) -> None:
    draft = command("true", cwd=str(tmp_path), priority="-5", cpu="0.5", memory="2G", timeout="1h30m", retries="2",
                    retry_delay="5m", at="tomorrow 02:00", name="夜间备份")  # fmt: skip

    assert faults(draft, "/", NOW) == []


@pytest.mark.parametrize(
    ("schema", "kinds", "text"),
    [
        ({"default": "medium"}, {"string"}, "medium"),
        ({"default": 23}, {"integer"}, "23"),
        ({"default": True}, {"boolean"}, "true"),
        ({"default": ["a"]}, {"array"}, '["a"]'),
        ({}, {"string"}, ""),
    ],
)
def test_a_field_begins_with_its_default_as_it_would_be_typed(
    schema: dict[str, object], kinds: set[str], text: str
) -> None:
    assert prefill(schema, frozenset(kinds)) == text


def test_the_equal_line_is_read_back_by_a_shell_as_the_same_words() -> None:
    words = equal.submit_words({"argv": ["echo", "it's", "a b", "$x"], "queue": "a b", "after": ["12"], "hold": True})

    assert shlex.split(equal.quoted(words)) == words
    assert words == ["taskdeck", "submit", "-q", "a b", "--after", "12", "--hold", "--", "echo", "it's", "a b", "$x"]


def test_the_equal_line_shows_no_secret_and_no_control_character() -> None:
    line = equal.quoted(
        equal.submit_words({"template": "t", "parameter_texts": [["api_key", "s3cr3t"], ["x", "\x1b]52;"]]})
    )

    assert "s3cr3t" not in line
    assert "\x1b" not in line


def test_a_task_is_submitted_again_with_what_it_asked_for() -> None:
    words = equal.submit_words(equal.spec_of(task(timeout=5400.0, memory=1536.0, cpu=0.5)))

    assert words[2:-7] == ["-q", "gpu", "-P", "5", "-t", "90m", "--cpu", "0.5", "--memory", "1536M", "--retries", "1", "-C",
                           "/home/ann/sweep"]  # fmt: skip
    assert words[-7:] == ["--", "python", "train.py", "--lr", "0.01", "--seed", "8"]


def test_a_submission_inherits_the_environment_less_the_terminal_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX_PANE", "SSH_CONNECTION", "TERM", "BASH_FUNC_x%%", "MY_NAME"):
        monkeypatch.setenv(name, "x")
    here = origin.here()

    assert here["env"].get("MY_NAME") == "x"
    assert not {"TMUX_PANE", "SSH_CONNECTION", "TERM", "BASH_FUNC_x%%", "LINES", "ESCDELAY"} & here["env"].keys()
    assert 0 <= here["umask"] <= 0o777
