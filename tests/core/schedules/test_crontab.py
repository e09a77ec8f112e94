"""Tests of the parser of crontabs, and of the schedules that its entries become."""

from __future__ import annotations

import json
import subprocess

import pytest

from app.core.schedules.crontab import (
    Account,
    CrontabEntry,
    comment_out,
    find_obstacle,
    get_mailto,
    list_notes,
    make_definition,
    map_comments,
    parse_crontab,
    split_input,
)
from app.core.schedules.definition import ScheduleDefinition
from tests.core.scheduling.trace_files import CASES

ANN = Account("ann", "/home/ann")
FOLDER = CASES / "jobs" / "crontabs" if CASES else None
EXPECTED = (
    json.loads((FOLDER / "expected.json").read_text())["files"]
    if FOLDER and FOLDER.is_dir()
    else {}
)


def parse_one(text: str, is_system: bool = False) -> CrontabEntry:
    found = parse_crontab(text, is_system)
    assert not found.faults
    return found.entries[-1]


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_crontabs_have_the_expected_entries(name):
    assert FOLDER
    expected = EXPECTED[name]

    found = parse_crontab((FOLDER / name).read_text(), "system" in expected["kind"])

    assert [entry._asdict() for entry in found.entries] == expected["entries"]
    assert found.faults == ()


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_entries_become_valid_schedules(name):
    assert FOLDER
    found = parse_crontab((FOLDER / name).read_text(), "system" in EXPECTED[name]["kind"])

    for entry in found.entries:
        ScheduleDefinition.model_validate(make_definition(entry, ANN, "Europe/Berlin"))


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("A=b", "A", "b"),
        ("A = b c  ", "A", "b c"),
        ('A=" b "', "A", " b "),
        ("A='it is'  ", "A", "it is"),
        ('"A B" = c', "A B", "c"),
        ("'A'=c", "A", "c"),
        ('A=b "c" d', "A", 'b "c" d'),
        ("A=$HOME/x # no comment", "A", "$HOME/x # no comment"),
        ("A=", "A", ""),
        ('A=""', "A", ""),
        ("A=b=c", "A", "b=c"),
        ("\t A=b\r", "A", "b"),
    ],
)
def test_variables_are_read_as_by_cron(line, name, value):
    assert parse_one(f"{line}\n* * * * * true\n").env == {name: value}


def test_variables_hold_for_later_lines_only():
    found = parse_crontab("A=1\n@daily x\nA=2\nB=3\n@daily y\n")

    assert [entry.env for entry in found.entries] == [{"A": "1"}, {"A": "2", "B": "3"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("60 * * * * x", "wrong minute"),
        ("* 24 * * * x", "wrong hour"),
        ("* * 0 * * x", "wrong day of the month"),
        ("* * * 13 * x", "wrong month"),
        ("* * * * 8 x", "wrong day of the week"),
        ("* * * *", "only 4 of 5 time fields"),
        ("hello", "no NAME=VALUE"),
        ("* * * * *", "no command"),
        ("* * * * *  \t", "no command"),
        ("* * * * * \u00a0", "no command"),
        ("@reboot \f", "no command"),
        ("@daily", "no command"),
        ("@fortnightly x", "must be one of @hourly"),
        ('A="b" c', "quotes must enclose"),
        ("A='b", "quotes must enclose"),
        ("0 0 31 2 * x", "never fires"),
        ("@daily a\0b", "NUL"),
        ("@daily a\r@daily b", "carriage return"),
        ("@daily %input", "no command"),
        ("0 22-2 * * * x", "no range goes down"),
        ("0 22-26 * * * x", "(allowed: 0 to 23)"),
    ],
)
def test_malformed_lines_are_named_with_the_wrong_field(line, words):
    found = parse_crontab(f"# first\n\n{line}\n@daily y\n")

    assert [entry.line for entry in found.entries] == [4]
    (fault,) = found.faults
    assert fault.line == 3
    assert words in fault.reason


@pytest.mark.parametrize("line", ["@daily", "@daily ann", "* * * * *", "0 2 * * * ann "])
def test_system_crontabs_need_user_and_command(line):
    found = parse_crontab(line, is_system=True)

    assert not found.entries
    assert "no command" in found.faults[0].reason


def test_the_user_column_is_read_from_system_crontabs_only():
    line = "0 2 * * *\tann  nice  /opt/x\n"

    assert parse_one(line, is_system=True)[1:4] == ("0 2 * * *", "ann", "nice  /opt/x")
    assert parse_one(line)[2:4] == (None, "ann  nice  /opt/x")


def test_a_byte_order_mark_and_capital_letters_change_nothing():
    found = parse_crontab("\ufeff0 2 * * * x\n@REBOOT y")
    assert [entry.schedule for entry in found.entries] == ["0 2 * * *", "@reboot"]


@pytest.mark.parametrize(
    ("line", "words"),
    [("SHELL=", "SHELL is empty"), ("HOME=rel", "HOME must be a whole path"), ("A=b", "")],
)
def test_what_cron_cannot_run_is_named(line: str, words: str):
    reason = find_obstacle(parse_one(f"{line}\n@daily x"), ANN) or ""
    assert words in reason and bool(words) is bool(reason)


def test_a_last_line_without_line_break_counts():
    assert parse_one("@daily x").command == "x"


@pytest.mark.parametrize(
    ("command", "text", "data"),
    [
        ("date +\\%F", "date +%F", None),
        ("a%b", "a", "b\n"),
        ("a%b%%c\\%d", "a", "b\n\nc%d\n"),
        ("a%", "a", ""),
        ("a%b%", "a", "b\n"),
        ("a \\n b", "a \\n b", None),
    ],
)
def test_percent_signs_separate_command_and_input(command, text, data):
    assert split_input(command) == (text, data)


@pytest.mark.process
def test_input_reaches_the_command_by_its_shell():
    entry = parse_one('SHELL=/bin/bash\n@daily echo "it\'s $BASH"; cat%one%END%$two\n')

    script = make_definition(entry, ANN, "UTC")["script"]
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True)

    assert done.stdout == "it's /bin/bash\none\nEND\n$two\n"


def test_a_schedule_has_the_small_environment_of_cron():
    found = make_definition(parse_one("LOGNAME=bob\nX=1\n0 2 * * * ./x\n"), ANN, "UTC")

    assert found["env"] == {
        "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "HOME": "/home/ann", "LOGNAME": "ann",
        "X": "1",
    }  # fmt: skip
    assert (found["cwd"], found["script"], found["missed"]) == ("/home/ann", "./x", "skip")
    assert (found["cron"], found["timezone"]) == ("0 2 * * *", "UTC")


def test_variables_of_the_crontab_replace_those_of_cron():
    text = "SHELL=/bin/bash\nPATH=/opt/bin\nHOME=/srv\n@hourly ./x\n"
    found = make_definition(parse_one(text), ANN, "UTC")

    assert found["argv"] == ["/bin/bash", "-c", "./x"]
    assert found["cwd"] == found["env"]["HOME"] == "/srv"
    assert found["env"]["PATH"] == "/opt/bin"


def test_reboot_becomes_a_schedule_at_boot():
    found = make_definition(parse_one("@reboot ./x\n"), ANN, "UTC")

    assert found["at_boot"] is True
    assert "cron" not in found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CRON_TZ=Asia/Tokyo", "only a variable of the command"),
        ("TZ=Asia/Tokyo", "not to the fire times"),
        ("LOGNAME=bob", "LOGNAME stays ann"),
    ],
)
def test_notes_say_what_is_not_kept(line, words):
    (note,) = list_notes(parse_one(f"{line}\n@daily x\n"), ANN)

    assert words in note


@pytest.mark.parametrize("line", ['MAILTO=""', "LOGNAME=ann", "A=b"])
def test_notes_are_left_out_where_nothing_differs(line):
    assert list_notes(parse_one(f"{line}\n@daily x\n"), ANN) == []


@pytest.mark.parametrize(
    ("line", "mailto"),
    [
        ("A=b", None),
        ('MAILTO=""', ""),
        ("MAILTO=', '", ""),
        ("MAILTO=';\u00a0'", ""),
        ("MAILTO=ops, ann", "ops, ann"),
    ],
)
def test_the_mail_goes_where_mailto_says(line, mailto):
    assert get_mailto(parse_one(f"{line}\n@daily x\n")) == mailto


def test_a_comment_belongs_to_the_line_below():
    assert map_comments("# one\n@daily x\n\n \t#two\n#three\n") == {2: " one", 5: "two", 6: "three"}


def test_lines_are_commented_out_and_others_stay():
    text = "A=b\n@daily x\n\n@daily y"

    assert comment_out(text, {2}) == "A=b\n#taskdeck @daily x\n\n@daily y"
    assert [e.command for e in parse_crontab(comment_out(text, {2})).entries] == ["y"]
