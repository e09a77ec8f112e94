"""Tests of `taskdeck schedule`: what is sent, what is printed, what is refused, and previews."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.cli.commands.definitions import schedules
from app.cli.parser import Parser
from app.cli.submission.options import add_submit_options
from app.errors import Usage
from tests.cli.builders import make_past_time

FIRE = {"schedule": "etl", "fire_time": "2026-11-30T01:00:00.000000Z", "outcome": "submitted",
        "reason": None, "task_id": "u", "number": 7, "status": "succeeded",
        "started_at": "2026-11-30T01:00:00.000000Z",
        "ended_at": "2026-11-30T01:02:00.000000Z"}  # fmt: skip
SCHEDULE: dict[str, Any] = {
    "name": "etl", "status": "active", "state": "active", "kind": "cron",
    "expression": "0 2 * * *", "zone": "Europe/Berlin", "words": "at 02:00 every day",
    "task": {"argv": ["./etl.sh", "a b"], "queue": "night", "parameters": {"n": 3}},
    "cwd": "/srv", "overlap": "skip", "missed": "run-once", "missed_within": 3600.0,
    "jitter": 300.0, "until": None, "exclude": ["bank"], "description": "load",
    "status_by": None, "status_at": None, "paused_until": None,
    "next_fire": "2999-12-01T01:00:00.000000Z",
    "due_at": "2999-12-01T01:02:00.000000Z", "last_success": None, "fires": [
        {**FIRE, "fire_time": "2026-11-30T02:00:00.000000Z", "outcome": "skipped",
         "reason": "#7 had not ended.", "number": None, "status": None}, FIRE],
    "missed_count": 0, "run_seconds": 120.0, "created_at": make_past_time(60),
    "updated_at": make_past_time(60),
}  # fmt: skip
CREATE = ("schedule", "create", "etl")


def test_create_sends_the_definition_with_the_shell_context(fake_runtime, cli):
    runtime = fake_runtime(schedule__create=SCHEDULE)

    said = cli(*CREATE, "--cron", "0 2 * * *", "--tz", "Europe/Berlin", "-q", "night",
               "--timeout", "2h", "--signal", "usr1@5m", "--overlap", "queue", "--tag", "a=b", "--",
               "./etl.sh", "x")  # fmt: skip

    sent = runtime.get_last_args("schedule.create")
    context = {key: sent.pop(key) for key in ("cwd", "umask", "env")}
    assert sent == {
        "name": "etl", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "queue": "night",
        "timeout": 7200.0, "signal": "USR1@5m", "overlap": "queue", "tags": {"a": "b"},
        "argv": ["./etl.sh", "x"],
    }  # fmt: skip
    assert context["cwd"] == os.getcwd() and "PATH" in context["env"]
    assert said.code == 0 and said.out.startswith(
        "schedule etl created: at 02:00 every day (Europe/Berlin); next "
    )


def test_create_without_zone_sends_the_zone_of_this_machine(fake_runtime, cli):
    runtime = fake_runtime(schedule__create=SCHEDULE)

    cli(*CREATE, "--every", "10m", "-c", "true", "-p", "n=3", "-p", "m:=[1]")

    sent = runtime.get_last_args("schedule.create")
    assert sent["timezone"] and sent["script"] == "true"
    assert (sent["parameter_texts"], sent["parameters"]) == ([["n", "3"]], {"m": [1]})


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--", "true"], "when? Give --cron, --every, --at, --rrule or --at-boot"),
        (["--every", "1h"], "what should it run? Give -- COMMAND"),
        (["--every", "1h", "--cron", "@daily", "--", "true"], "only one of --cron and --every"),
        (["--every", "1h", "-c", "true", "--", "true"], "only one of -- COMMAND, -c"),
        (["--cron", "0", "2", "*", "*", "*", "--", "true"], "--cron needs quotes around"),
        (["--every", "1h", "--"], "missing command after --. Nothing was changed."),
        (["--every", "1h", "--", "a | b"], "taskdeck schedule create NAME … -c 'a | b'"),
        (["--every", "1h", "--overlap", "skp", "--", "true"], "Nearest: skip"),
        (["--every", "1h", "--timeout", "soon", "--", "true"], "--timeout must be"),
        (["--every", "1h", "-C", "/no/such", "--", "true"], "does not exist"),
    ],
)
def test_a_wrong_schedule_is_refused_before_it_is_sent(cli, typed: list[str], words: str):
    said = cli(*CREATE, *typed)

    assert (said.code, said.out) == (2, "") and words in said.err
    assert "submitted" not in said.err


def test_set_sends_only_what_changes(fake_runtime, cli):
    runtime = fake_runtime(schedule__set=SCHEDULE)

    said = cli("schedule", "set", "etl", "--until", "", "--timeout", "3h")

    assert runtime.get_last_args("schedule.set") == {"name": "etl", "until": "", "timeout": 10800.0}
    assert said.out.startswith("schedule etl changed")


def test_set_sends_directory_and_variables(fake_runtime, cli, tmp_path, monkeypatch):
    runtime = fake_runtime(schedule__set=SCHEDULE)
    monkeypatch.setenv("KEPT", "1")

    cli("schedule", "set", "etl", "-C", str(tmp_path), "--env", "A=b=c", "--keep-env", "KEPT")

    assert runtime.get_last_args("schedule.set") == {
        "name": "etl", "cwd": str(tmp_path), "env": {"A": "b=c"}, "kept_env": {"KEPT": "1"},
    }  # fmt: skip
    missing = cli("schedule", "set", "etl", "-C", "/no/such")
    assert missing.code == 2 and "does not exist" in missing.err


def test_set_resets_options_with_an_empty_value(fake_runtime, cli):
    runtime = fake_runtime(schedule__set=SCHEDULE)

    cli("schedule", "set", "etl", "--timeout", "", "-q", "", "--overlap=", "--exclude", "",
        "--tag", "")  # fmt: skip

    assert runtime.get_last_args("schedule.set") == {
        "name": "etl", "timeout": "", "queue": "", "overlap": "", "exclude": [], "tags": {},
    }  # fmt: skip


def test_a_script_is_read_from_stdin(fake_runtime, cli):
    runtime = fake_runtime(schedule__create=SCHEDULE)

    cli(*CREATE, "--every", "1h", "-c", "-", feed=b"date\nuptime\n")

    assert runtime.get_last_args("schedule.create")["script"] == "date\nuptime\n"


def test_every_setting_of_submit_is_one_of_schedules():
    """Left out are options about one submission: its time, its parents, and waiting for it.

    Streams of a schedule's tasks are set in its file, since `--output` is the format there.
    """
    submit = list_options(add_submit_options)
    single = {
        "--0", "--after", "--after-any", "--after-failure", "--after-start", "--at", "--dry-run",
        "--each", "--follow", "--from", "--hold", "--json", "--jsonl", "--keep-going", "--wait",
        "--array", "--sweep", "--sweep-file", "--stdin", "--split", "--error", "--max-running",
    }  # fmt: skip

    for word in ("create", "set"):
        found = list_options(schedules.COMMANDS[word].add_options)
        assert submit - found <= single


def list_options(add: Any) -> set[str]:
    parser = Parser("taskdeck x")
    add(parser)
    return {f"--{name.lstrip('-')}" for name in parser._option_string_actions}


def test_ls_shows_the_last_outcomes(fake_runtime, cli):
    fake_runtime(schedule__ls=[SCHEDULE])

    out = cli("schedule", "ls").out

    header, row = out.splitlines()
    assert header.split() == ["SCHEDULE", "STATE", "NEXT", "FIRES", "LAST", "RUNS"]
    for words in ("etl", "active", "at 02:00 every day", "✓ -", "./etl.sh 'a b'"):
        assert words in row


def test_ls_of_an_empty_home_says_so(fake_runtime, cli):
    fake_runtime(schedule__ls=[])

    assert "no schedules yet" in cli("schedule", "ls").err


def test_show_names_rules_and_latest_fires(fake_runtime, cli):
    fake_runtime(schedule__show=SCHEDULE)

    out = cli("schedule", "show", "etl").out

    for words in (
        "at 02:00 every day, time zone Europe/Berlin", "n=3", "/srv", "2m", "queue night",
        "overlap skip, missed run-once within 1h, jitter 5m (here 2m), not on bank",
        "skipped: #7 had not ended.", "#7 succeeded in 2m",
    ):  # fmt: skip
        assert words in out


def test_times_are_those_of_the_zone_of_the_schedule(fake_runtime, cli, utc):
    following = datetime.now(ZoneInfo("Asia/Tokyo")) + timedelta(hours=1)
    at = f"{following.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000000Z"
    tokyo = SCHEDULE | {"zone": "Asia/Tokyo", "next_fire": at, "due_at": at}
    fake_runtime(schedule__ls=[tokyo], schedule__show=tokyo)

    shown = cli("schedule", "show", "etl").out

    assert f"{following:%H:%M} +09:00  at 02:00 every day" in cli("schedule", "ls").out
    assert f"{following:%H:%M} +09:00 (in " in shown
    assert "Mon 30 Nov 10:00:00 +09:00  #7" in shown or "30 Nov 2026 10:00 +09:00  #7" in shown


def test_next_is_the_time_with_the_jitter(fake_runtime, cli, utc):
    due = datetime.now(UTC) + timedelta(hours=2)
    delayed = SCHEDULE | {"zone": "UTC", "due_at": f"{due:%Y-%m-%dT%H:%M:%S}.000000Z"}
    fake_runtime(schedule__ls=[delayed], schedule__show=delayed, schedule__set=delayed)

    for words in (("ls",), ("show", "etl"), ("set", "etl", "--jitter", "5m")):
        assert f"{due:%H:%M}" in cli("schedule", *words).out


def test_an_interval_below_a_minute_shows_seconds(fake_runtime, cli):
    due = (datetime.now(UTC) + timedelta(hours=1)).replace(second=20)
    at = f"{due:%Y-%m-%dT%H:%M:%S}.000000Z"
    often = SCHEDULE | {"zone": "UTC", "kind": "every", "expression": "10", "due_at": at}
    fake_runtime(schedule__ls=[often], schedule__show=often)

    for words in (("ls",), ("show", "etl")):
        assert f"{due:%H:%M}:20" in cli("schedule", *words).out


def test_a_paused_schedule_says_until_when(fake_runtime, cli):
    paused = SCHEDULE | {
        "state": "paused", "paused_until": "2999-12-01T01:00:00.000000Z",
        "before": {"status": "active"},
    }  # fmt: skip
    fake_runtime(
        schedule__pause=paused, schedule__show=paused | {"status_by": "ann"}, schedule__ls=[paused]
    )

    assert cli("schedule", "pause", "etl", "--until", "1h").out.startswith(
        "schedule etl paused until "
    )
    assert "paused by ann until" in cli("schedule", "show", "etl").out
    assert "paused until " in cli("schedule", "ls", "--wide").out


def test_a_pause_that_drops_the_end_of_another_says_so(fake_runtime, cli):
    before = {"status": "paused", "paused_until": "2999-12-01T01:00:00.000000Z"}
    fake_runtime(schedule__pause=SCHEDULE | {"before": before})

    said = cli("schedule", "pause", "etl").out

    assert said.startswith("schedule etl is paused, now without an end (was: until ")


def test_a_state_that_holds_already_is_said(fake_runtime, cli):
    fake_runtime(
        schedule__pause=SCHEDULE | {"before": {"status": "paused"}},
        schedule__resume=SCHEDULE | {"before": {"status": "active"}},
    )

    assert cli("schedule", "pause", "etl").out == "schedule etl is paused already\n"
    assert "schedule etl is active already" in cli("schedule", "resume", "etl").out


def test_run_prints_the_number(fake_runtime, cli):
    fake_runtime(schedule__run={"name": "etl", "number": 42, "uuid": "u"})

    assert cli("schedule", "run", "etl").out == "42\n"


def test_skip_next_names_the_fire_time_left_out(fake_runtime, cli):
    fake_runtime(schedule__skip_next=SCHEDULE | {"skipped": "2999-12-01T01:00:00.000000Z"})

    assert "schedule etl skips " in cli("schedule", "skip-next", "etl").out


def test_resume_names_the_next_fire(fake_runtime, cli):
    fake_runtime(schedule__resume=SCHEDULE | {"before": {"status": "paused"}})

    assert "schedule etl resumed: at 02:00 every day" in cli("schedule", "resume", "etl").out


def test_rm_removes_a_schedule(fake_runtime, cli):
    fake_runtime(schedule__rm={"name": "etl"})

    assert cli("schedule", "rm", "etl").out == "schedule etl removed\n"


def test_rm_removes_several_schedules_and_names_the_others(fake_runtime, cli):
    refused = [{"id": "sk", "message": 'there is no schedule "sk".', "hint": "", "exit_code": 3}]
    answer = {"done": [{"name": "etl"}], "refused": refused, "notes": []}
    runtime = fake_runtime(schedule__rm=answer)

    said = cli("schedule", "rm", "etl", "sk")

    assert runtime.get_last_args("schedule.rm") == {"names": ["etl", "sk"]}
    assert (said.code, said.out) == (
        1,
        "schedule etl removed\n",
    ) and 'there is no schedule "sk"' in said.err


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ('timezone must be x, not "Z"; every must be y.', '--tz must be x, not "Z"; --every must'),
        ("missed_within must be z.", "--missed-within must be z."),
        ("the schedule would never fire.", "the schedule would never fire."),
    ],
)
def test_a_problem_names_options_as_they_are_typed(fake_runtime, cli, problem, said):
    fake_runtime(schedule__set=Usage(problem))

    assert f"taskdeck: {said}" in cli("schedule", "set", "etl", "--every", "1h").err


def test_a_command_without_dashes_before_it_is_explained(cli):
    said = cli("schedule", "create", "etl", "--cron", "0 2 * * *", "true")

    assert 'unexpected argument: "true". A command comes after --. See: taskdeck' in said.err


def test_backfill_prints_numbers_or_times(fake_runtime, cli, utc):
    times = ["2026-11-29T01:00:00.000000Z"]
    runtime = fake_runtime(
        schedule__backfill={"name": "etl", "zone": "UTC", "times": times, "numbers": [8]}
    )
    words = ("schedule", "backfill", "etl", "--from", "2026-11-29", "--to", "2026-11-30")

    assert cli(*words).out == "8\n"
    assert runtime.get_last_args("schedule.backfill") == {
        "name": "etl", "since": "2026-11-29", "until": "2026-11-30",
    }  # fmt: skip

    fake_runtime(schedule__backfill={"name": "etl", "zone": "UTC", "times": times, "numbers": []})
    assert "29 Nov 01:00:00" in cli(*words, "--dry-run").out
    empty = {"name": "etl", "zone": "UTC", "times": [], "numbers": [], "submitted": 0}
    fake_runtime(schedule__backfill=empty)
    assert "there is no fire time in this range" in cli(*words).err
    fake_runtime(schedule__backfill=empty | {"submitted": 1})
    assert "was submitted already" in cli(*words).err
    assert "needs --from and --to" in cli(*words[:3]).err


def test_preview_prints_later_times_with_offset(cli):
    said = cli("schedule", "preview", "30 2 * * *", "--tz", "Europe/Berlin", "--from",
               "2026-10-24T02:30", "--count", "2", "--json")  # fmt: skip

    assert json.loads(said.out) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_preview_takes_the_first_of_two_equal_wall_times(cli):
    said = cli("schedule", "preview", "0 * * * *", "--tz", "Europe/Berlin", "--from",
               "2026-10-25T02:00", "--count", "1", "--json")  # fmt: skip

    assert json.loads(said.out) == ["2026-10-25T02:00:00+01:00"]


def test_preview_says_the_schedule_in_words(cli):
    said = cli("schedule", "preview", "0", "2", "*", "*", "*", "--tz", "UTC", "--from",
               "2026-11-30", "--count", "1")  # fmt: skip

    assert said.out == "at 02:00 every day (UTC)\nMon 2026-11-30 02:00:00+00:00\n"


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        (["--every", "10m"], 5),
        (["--at", "2999-01-01"], 1),
        (["--rrule", "FREQ=MONTHLY;BYDAY=-1FR"], 5),
        (["@daily"], 5),
    ],
)
def test_preview_knows_every_kind(cli, typed: list[str], count: int):
    assert len(json.loads(cli("schedule", "preview", *typed, "--json").out)) == count


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([], "preview needs one expression"),
        (["@daily", "--every", "1h"], "preview needs one expression"),
        (["0 0 0 * * *"], "the expression must have 5 fields"),
        (["99 * * * *"], "wrong minute"),
        (["--rrule", "FREQ=X"], "--rrule must have FREQ="),
        (["@daily", "--tz", "Europe/Berln"], "--tz must be a time zone"),
        (["@daily", "--from", "soon"], "--from must be a time"),
        (["@daily", "--count", "0"], "--count must be"),
    ],
)
def test_a_wrong_preview_is_refused(cli, typed: list[str], words: str):
    said = cli("schedule", "preview", *typed)

    assert (said.code, said.out) == (2, "") and words in said.err


def test_preview_needs_no_runtime(cli, home):
    assert cli("--read-only", "schedule", "preview", "@daily").code == 0
    assert not (home / "run" / "control.sock").exists()
