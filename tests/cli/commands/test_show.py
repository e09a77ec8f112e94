"""`show`, `why` and `status`: one thing on one screen."""

from __future__ import annotations

import json
import os
import socket

import pytest

from app.core.text.sanitize import width
from tests.cli.builders import a_run, a_task, ago
from tests.cli.terminal_command import on_terminal

THUMBS = {
    **a_task(1048, "thumbs S02", "failed", queue="media", age=720, started=123, ended=120, reason="exit 1", template="thumbs",
             parameters={"input": "/srv/in/S02E09.mkv", "width": 320}, memory=512.0, timeout=600.0, retries=1, retry_delay=300.0,
             cwd="/srv/media", launch={"argv": ["/usr/bin/python3", "thumbs.py", "a b.mkv"]}),
    "pool": "main", "parents": [], "children": [], "place": None, "env_names": 20, "events": [],
    "last_lines": ['  File "thumbs.py", line 41\r', "\x1b[31mFileNotFoundError\x1b[0m: No such file"],
    "instances": [a_run(1, "failed", exit_code=1, run_seconds=3.0, cpu_seconds=2.8, max_rss=84.0, log_bytes=2150),
                  a_run(2, "failed", exit_code=1, run_seconds=3.2, cpu_seconds=2.9, max_rss=84.0, log_bytes=2150)],
}  # fmt: skip


def test_show_tells_how_a_task_ran(answering, cli):
    answering(show=THUMBS)

    out = cli("show", "1048").out

    for text in (
        "#1048 thumbs S02  ✗ failed, exit 1, 2m ago", "  command    /usr/bin/python3 thumbs.py 'a b.mkv'", "  in         /srv/media",
        "  template   thumbs   input=/srv/in/S02E09.mkv width=320", "  queue      media (pool main)     priority 0     by ann",
        "  asked      cpu 1   memory 512M   timeout 10m   retries 1 every 5m", "  last lines of attempt 2",
        "    FileNotFoundError: No such file",
        "  taskdeck logs 1048      taskdeck retry 1048      taskdeck show 1048 --json",
    ):  # fmt: skip
        assert f"{text}\n" in out
    assert [line.split()[-5:] for line in out.splitlines() if "✗ failed  " in line] == [
        ["3.0s", "1", "2.8s", "84M", "2.1K"],
        ["3.2s", "1", "2.9s", "84M", "2.1K"],
    ]


def test_show_tells_what_a_running_task_uses(answering, cli):
    use = {"cpu": 1.52, "memory": 900.0, "processes": 3, "most_cpu": 1.9, "most_memory": 2048.0}
    answering(show=THUMBS | {"status": "running", "use": use, "instances": [a_run(1, "running")]})

    assert "  uses       cpu 1.5   memory 900M, at most 1.9 and 2.0G   3 processes\n" in cli("show", "1048").out


def test_show_says_that_a_task_is_pinned(answering, cli):
    answering(show=THUMBS | {"pinned": True})

    assert "  pinned     no cleanup takes it\n" in cli("show", "1048").out


def test_show_fits_a_narrow_terminal(answering, home):
    answering(
        show={**THUMBS, "name": "n" * 150, "launch": {"script": "\n".join(["x" * 200] * 40)}, "reason": "r" * 200}
    )

    lines = on_terminal(home, "show", "1048", NO_COLOR="1").decode().replace("\r", "").splitlines()

    assert all(width(line) <= 80 for line in lines) and any("28 more lines" in line for line in lines)


def test_show_of_a_waiting_task_says_why(answering, cli):
    why = [
        {
            "number": 7,
            "status": "queued",
            "reasons": [{"code": "queue-full", "text": "queue media is full (2 of 2)", "short": "full"}],
        }
    ]
    waiting = {
        **THUMBS,
        **a_task(7, "x", "queued"),
        "instances": [],
        "last_lines": [],
        "place": {"position": 0, "total": 14},
    }
    answering(show=waiting, why=why)

    out = cli("show", "7").out

    assert "queue media is full (2 of 2); first of 14 in its queue\n" in out and "taskdeck why 7" in out


def test_how_long_a_task_is_scheduled_does_not_read_as_when_it_starts(answering, cli):
    why = {"number": 7, "name": "x", "status": "scheduled", "queue": "media", "waits": 120.0, "reasons": []}
    answering(show={**THUMBS, **a_task(7, "x", "scheduled", age=120), "instances": [], "last_lines": []}, why=[why])

    assert "#7 x  ◔ scheduled, submitted 2m ago\n" in cli("show", "7").out
    assert cli("why", "7").out.startswith("#7 x is scheduled in media, submitted 2m ago.")


def test_show_json_is_the_answer_itself(answering, cli):
    runtime = answering(show=THUMBS)

    assert json.loads(cli("show", "1048", "--json").out) == runtime.told[-1]


WAITING = {
    "number": 1049, "name": "resnet50-sweep-08", "status": "queued", "queue": "gpu", "waits": 7920.0, "expected_start": "10:43–10:55",
    "expected_in": [60, 780], "reasons": [
        {"code": "pool-memory", "text": "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m", "short": "memory"},
        {"code": "reservation", "text": "its place is reserved", "short": "reserved"},
    ],
}  # fmt: skip


def test_why_numbers_its_reasons_and_tells_the_expected_start(answering, cli):
    answering(why=[WAITING])

    assert cli("why", "1049").out == (
        "#1049 resnet50-sweep-08 is queued in gpu for 2h12m. Expected start 10:43–10:55.\n\n"
        "  1  Needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m.\n"
        "  2  Its place is reserved.\n"
    )


def test_why_offers_what_could_help_as_commands_to_type(answering, cli):
    cures = [
        {"command": ["taskdeck", "set", "1049", "--name", "a b\x1b[2J"], "gain": "it starts at once"},
        {"command": [], "gain": "is only said"},
    ]
    answering(why=[WAITING | {"cures": cures}])
    shown = cli("why", "1049").out
    assert shown.endswith("  Could help:\n    taskdeck set 1049 --name 'a b␛[2J'\n      it starts at once\n")


def test_why_says_where_nothing_could_help(answering, cli):
    answering(why=[WAITING | {"cures": [{"command": [], "gain": "needs 1 cpu, 0 free"}, {"command": [], "gain": "a\x1b"}]}])

    assert cli("why", "1049").out.endswith("\n\n  Nothing here would start it sooner: needs 1 cpu, 0 free; a␛.\n")


def test_commands_to_type_name_the_home_that_was_asked_for(answering, cli, home):
    cures = [{"command": ["taskdeck", "set", "1049", "--name", "taskdeck ls"], "gain": "it starts at once"}]
    reasons = [{"code": "queue-paused", "text": "queue gpu is paused: taskdeck queue resume gpu", "short": "paused"}]
    groups = {"groups": [{"text": "no runtime is up: taskdeck serve --detach", "count": 2}], "total": 2}
    answering(why=[WAITING | {"cures": cures, "reasons": reasons}], show=THUMBS)

    said = cli("why", "--home", str(home), "1049").out
    assert f"    taskdeck --home {home} set 1049 --name 'taskdeck ls'\n" in said
    assert f"paused: taskdeck --home {home} queue resume gpu." in said
    program = f"  taskdeck --home {home}"
    assert f"{program} logs 1048    {program} retry 1048    {program} show 1048 --json\n" in cli("show", "--home", str(home), "1048").out
    answering(why=groups)
    assert cli("why", "--home", str(home)).out == f"2 wait: no runtime is up: taskdeck --home {home} serve --detach\n"
    assert json.loads(cli("why", "--home", str(home), "--json").out) == groups


def test_what_to_type_next_stands_in_a_line_each_where_one_is_too_short(answering, home):
    answering(show=THUMBS)

    lines = on_terminal(home, "show", "--home", str(home), "1048", NO_COLOR="1").decode().replace("\r", "").splitlines()

    assert lines[-3:] == [f"  taskdeck --home {home} {rest}" for rest in ("logs 1048", "retry 1048", "show 1048 --json")]


def test_why_of_one_task_is_one_document(answering, cli):
    answering(why=[WAITING])

    assert json.loads(cli("why", "1049", "--json").out) == WAITING
    assert json.loads(cli("why", "1049", "--jsonl").out) == WAITING


def test_why_of_nothing_groups_the_whole_queue(answering, cli):
    answering(
        why={
            "groups": [{"text": "wait for queue media (full)", "count": 14}, {"text": "are held", "count": 2}],
            "total": 16,
        }
    )

    assert cli("why").out == "14 wait for queue media (full)\n 2 are held\n"
    ones = [{"text": text, "count": 1} for text in ("wait for a set time", "are held", "no runtime is up")]
    answering(why={"groups": ones, "total": 3})
    assert cli("why").out == "1 waits for a set time\n1 is held\n1 waits: no runtime is up\n"


def test_why_also_answers_for_what_runs_and_has_ended(answering, cli):
    runs = {**WAITING, "status": "running", "reasons": [{"code": "running", "text": "it runs, attempt 1", "short": ""}]}
    ended = {
        **WAITING,
        "status": "failed",
        "reasons": [{"code": "ended", "text": "it has ended, failed: exit 1", "short": ""}],
        "last_lines": ["one", "\x1b[31mno such file\x1b]0;x\x07", ""],
    }
    answering(why=[runs, ended])

    assert cli("why", "1", "2").out == (
        "#1049 resnet50-sweep-08: it runs, attempt 1.\n\n#1049 resnet50-sweep-08: it has ended, failed: exit 1.\n  no such file\n"
    )


STATUS = {
    "version": "0.1.0", "home": "/home/ann/deck", "host": "render01", "counts": {"running": 7, "queued": 22, "held": 2, "succeeded": 900},
    "runtime": {"state": "running", "pid": 4120, "since": ago(6 * 86400 + 3 * 3600 + 5), "by": "ann", "tick_lag": 0.003, "halted": None},
    "keeper": {"pid": 4122, "guard_pid": 4123}, "database": {"size": 312 * 2**20, "state": "ok"},
    "backup": {"at": ago(41 * 60 + 5), "late": False, "folder": "/home/ann/deck/backups", "gone": None},
    "replica": {"target": None, "at": None, "lag": None, "late": False, "problem": None, "promoted": False},
    "today": {"ok": 141, "failed": 3},
    "queues": [
        {"name": "media", "current_load": 2, "capacity": 2, "waiting": 14, "oldest_at": ago(2465), "status": "active", "word": "full",
         "pool": "main", "priority": 0},
        {"name": "gpu", "current_load": 2, "capacity": 4, "waiting": 5, "oldest_at": ago(7925), "status": "active", "word": "no room",
         "pool": "gpu", "priority": 0},
        {"name": "backup", "current_load": 0, "capacity": 1, "waiting": 2, "oldest_at": ago(34805), "status": "paused", "word": "paused",
         "status_by": "ann", "pool": "main", "priority": 0},
    ],
    "pools": [{"name": "gpu", "total_cpu": 8.0, "used_cpu": 6.0, "measured_cpu": 5.1, "total_memory": 32768.0, "used_memory": 30720.0,
               "measured_memory": 25395.2, "status": "active"}],
    "alerts": [{"id": 1, "sla": "encode-on-time", "severity": "critical", "status": "firing", "object": "#1039 encode S02E04.mkv",
                "why": "running 57m, allowed 45m", "short": "57m > 45m", "since": ago(725), "number": 1039, "by": None}],
}  # fmt: skip


def test_status_is_one_screen(answering, cli):
    answering(status=STATUS)

    assert (
        cli("status").out
        == """\
Taskdeck on render01, home /home/ann/deck
  runtime   ● pid 4120 (ann), up 6d03h, dispatch tick 3 ms behind
  keeper    ● pid 4122, guard 4123, 7 jobs
  database  ● 312M, ok; backup 41m ago, verified

  running 7  queued 22  held 2   today 141 ok, 3 failed

  QUEUE   RUNNING  WAITING  OLDEST  STATE                POOL
  media   2/2      14       41m     full                 main
  gpu     2/4      5        2h12m   no room in pool gpu  gpu
  backup  0/1      2        9h40m   paused by ann        main

  POOL  CPU RESERVED  USED  MEMORY RESERVED   USED
  gpu          6.0/8   5.1         30.0/32G  24.8G

  ALERT                   ON                       SINCE  STATE   WHY
  ▲ CRIT  encode-on-time  #1039 encode S02E04.mkv    12m  firing  57m > 45m
"""
    )


COPY = {"target": "bob@far:/srv/deck", "at": ago(40), "lag": 40.0, "late": False, "problem": None, "promoted": False}


@pytest.mark.parametrize(
    ("copy", "says"),
    [
        (COPY, "  replica   ● bob@far:/srv/deck, 40s old\n"),
        (COPY | {"lag": 3605.0, "late": True, "problem": "no\x1b route"}, "  replica   ▲ bob@far:/srv/deck, 1h old, late: no␛ route\n"),
        (COPY | {"lag": None, "late": True, "problem": "no route"}, "  replica   ▲ bob@far:/srv/deck, never copied yet, late: no route\n"),
    ],
)
def test_status_has_a_line_of_the_replica_where_one_is_set(answering, cli, copy, says):
    answering(status=STATUS | {"replica": copy})
    assert says in cli("status").out
    answering(status=STATUS)
    assert "replica" not in cli("status").out


def test_a_backup_whose_file_is_gone_is_none_and_one_that_is_late_is_not_called_verified(answering, cli):
    backup = STATUS["backup"]
    answering(status=STATUS | {"backup": backup | {"at": None, "late": True, "gone": "its folder is gone"}})
    assert "● 312M, ok; backup none: its folder is gone\n" in cli("status").out
    answering(status=STATUS | {"backup": backup | {"at": None, "late": True, "gone": "its file is gone"}})
    assert "● 312M, ok; backup lost: its file is gone\n" in cli("status").out
    answering(status=STATUS | {"backup": backup | {"late": True}})
    assert "● 312M, ok; backup 41m ago, late\n" in cli("status").out


LONG = {**STATUS["alerts"][0], "sla": "backup-after", "severity": "warning", "object": "the runtime",
        "short": "the folder for backups cannot be used (/proc/nope): not a directory"}  # fmt: skip


@pytest.mark.parametrize("words", [("status",), ("alert", "ls")])
def test_the_name_of_an_alert_is_not_cut_at_80_cells(answering, cli, monkeypatch, words):
    """What it is about gives way: its name is what one types to acknowledge it."""
    monkeypatch.setattr("app.cli.output.room", lambda wide=False: 80)
    answering(**{"status": STATUS | {"alerts": [LONG]}, "alert.ls": [LONG]})

    shown = cli(*words).out

    assert "warn  backup-after" in shown and all(len(line) <= 80 for line in shown.splitlines())


def test_status_in_one_line_and_as_a_check(answering, cli):
    quiet = {**STATUS, "alerts": []}
    down = {
        **quiet,
        "runtime": {**STATUS["runtime"], "state": "none", "pid": None, "tick_lag": None},
        "keeper": {"pid": None, "guard_pid": None},
    }
    for found, code, line in (
        (STATUS, 1, "7r 22q 1! tick 3ms\n"),
        (quiet, 0, "7r 22q tick 3ms\n"),
        (down, 1, "no runtime\n"),
        ({**quiet, "runtime": {**STATUS["runtime"], "halted": "disk full"}}, 0, "7r 22q halted tick 3ms\n"),
    ):
        answering(status=found)
        assert cli("status", "--check").code == code
        assert cli("status", "--line") == (0, line, "")


def test_for_tmux_what_is_wrong_is_coloured(answering, cli):
    answering(status=STATUS)

    assert cli("status", "--line", "--tmux").out == "7r 22q #[fg=red]1!#[default] tick 3ms\n"
    assert cli("status", "--tmux").code == 2


def test_the_line_needs_no_runtime_and_starts_none(cli, home):
    assert cli("status", "--line") == (0, "no runtime\n", "")
    assert cli("status", "--line", "--check").code == 1
    (home / "run" / "stopped").write_text("#(reboot)\n10:31\n")
    assert cli("status", "--line", "--tmux").out == "#[fg=yellow]stopped#[default]\n"
    assert not (home / "taskdeck.db").exists()


def test_a_status_bar_is_not_kept_waiting_by_a_runtime_that_hangs(cli, home, monkeypatch):
    monkeypatch.setattr("app.cli.commands.status_line.PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / "control.sock"))
        silent.listen()

        assert cli("status", "--line") == (0, "no answer\n", "")


def test_a_word_less_command_without_a_terminal_is_the_status(answering, cli):
    answering(status=STATUS)

    assert cli() == cli("status")
