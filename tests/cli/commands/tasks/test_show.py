"""Tests of `show`, `why` and `status`."""

from __future__ import annotations

import json
import os
import socket

import pytest

from app.core.text.left_text import describe_left
from app.core.text.sanitize import measure_width
from app.errors import NotFound
from tests.cli.builders import make_group, make_past_time, make_run, make_task
from tests.cli.terminal_command import run_on_terminal

THUMBS = {
    **make_task(1048, "thumbs S02", "failed", queue="media", age=720, started=123, ended=120,
    reason="exit 1", template="thumbs",
             parameters={"input": "/srv/in/S02E09.mkv", "width": 320}, memory=512.0, timeout=600.0,
             retries=1, retry_delay=300.0,
             cwd="/srv/media", launch={"argv": ["/usr/bin/python3", "thumbs.py", "a b.mkv"]}),
    "pool": "main", "parents": [], "children": [], "place": None, "env_names": 20, "events": [],
    "last_lines": ['  File "thumbs.py", line 41\r',
    "\x1b[31mFileNotFoundError\x1b[0m: No such file"],
    "instances": [make_run(1, "failed", exit_code=1, run_seconds=3.0, cpu_seconds=2.8, max_rss=84.0,
    log_bytes=2150),
                  make_run(2, "failed", exit_code=1, run_seconds=3.2, cpu_seconds=2.9, max_rss=84.0,
                  log_bytes=2150)],
}  # fmt: skip


def test_show_prints_the_progress_of_a_group(fake_runtime, cli):
    failure = {
        "number": 7,
        "name": "a\x1b[2J",
        "status": "failed",
        "member": "lr=0.1",
        "reason": "exit 1",
        "ended_at": make_past_time(60),
    }
    fake_runtime(
        group__show=make_group(12, "running", rate=12.0, eta=90.0, failure=failure, max_running=8)
    )

    assert cli("show", "g12").out.splitlines() == [
        "g12 grid ␛[2J  ● running",
        "",
        "  done         37/100 (37%)",
        "  tasks        2 failed, 35 succeeded, 59 queued, 4 running",
        "  rate         12/min, ~1m left",
        "  at once      8",
        "  first failed #7 a␛[2J lr=0.1 failed 1m ago: exit 1",
        "  submitted    5m ago by ann",
        "",
        "  taskdeck ls g12",
        "  taskdeck retry --failed g12",
        "  taskdeck logs -f g12",
        "  taskdeck wait g12",
        "  taskdeck cancel g12",
    ]
    assert json.loads(cli("show", "g12", "--json").out)["failure"]["number"] == 7


def test_a_task_named_like_a_group_is_shown(fake_runtime, cli):
    fake_runtime(group__show=NotFound('there is no group "g12".'), show=THUMBS)

    assert "#1048 thumbs S02" in cli("show", "g12").out


def test_why_counts_the_reasons_of_a_group(fake_runtime, cli):
    groups = [
        {"text": "wait for queue media (full)", "count": 12},
        {"text": "are held", "count": 1},
    ]
    fake_runtime(why={"group": "g12", "name": "x", "groups": groups, "total": 13, "explained": 13})

    assert cli("why", "g12").out == "12 wait for queue media (full)\n 1 is held\n"
    assert json.loads(cli("why", "g12", "--json").out)["group"] == "g12"


def test_show_prints_the_runs_of_a_task(fake_runtime, cli):
    fake_runtime(show=THUMBS)

    out = cli("show", "1048").out

    for text in (
        "#1048 thumbs S02  ✗ failed, exit 1, 2m ago",
        "  command    /usr/bin/python3 thumbs.py 'a b.mkv'", "  in         /srv/media",
        "  template   thumbs   input=/srv/in/S02E09.mkv width=320",
        "  queue      media (pool main)     priority 0     by ann",
        "  requests   cpu 1   memory 512M   timeout 10m   retries 1 every 5m",
        "  last lines of attempt 2",
        "    FileNotFoundError: No such file",
        "  taskdeck logs 1048      taskdeck retry 1048      taskdeck show 1048 --json",
    ):  # fmt: skip
        assert f"{text}\n" in out
    assert [line.split()[-5:] for line in out.splitlines() if "✗ failed  " in line] == [
        ["3.0s", "1", "2.8s", "84M", "2.1K"],
        ["3.2s", "1", "2.9s", "84M", "2.1K"],
    ]


def test_show_prints_the_signal_before_the_timeout_and_the_copy(fake_runtime, cli):
    fake_runtime(show=THUMBS | {"early_signal": "USR1@5m", "output": "thumbs-{number}.log"})

    out = cli("show", "1048").out

    assert "   timeout 10m (USR1@5m)   " in out
    assert "  output     thumbs-{number}.log\n" in out


def test_show_and_instances_name_the_gpus_of_each_run(fake_runtime, cli):
    uuid = "GPU-5f2c81d0-1111-2222-3333-444444444444"
    runs = [make_run(1, "failed", devices=[uuid]), make_run(2, "running", devices=["0", "3"])]
    fake_runtime(show=THUMBS | {"instances": runs}, instances=runs)

    for verb in (("show", "1048"), ("instances",)):
        cells = [line.split()[-1] for line in cli(*verb).out.splitlines() if "GPU" in line]
        assert cells == ["GPU", "GPU-5f2c81d0"]
        assert any(line.endswith(" 0,3") for line in cli(*verb).out.splitlines())
    rows = cli("instances", "-o", "tsv").out.splitlines()
    assert [row.split("\t")[-1] for row in rows] == ["devices", uuid, "0,3"]


def test_show_prints_the_usage_of_a_running_task(fake_runtime, cli):
    use = {"cpu": 1.52, "memory": 900.0, "processes": 3, "most_cpu": 1.9, "most_memory": 2048.0}
    fake_runtime(
        show=THUMBS | {"status": "running", "use": use, "instances": [make_run(1, "running")]}
    )

    assert (
        "  uses       cpu 1.5   memory 900M, at most 1.9 and 2.0G   3 processes\n"
        in cli("show", "1048").out
    )


def test_show_names_left_processes_and_the_command_that_ends_them(fake_runtime, cli):
    left = [
        {"pid": 41, "name": "sleep", "certain": True},
        {"pid": 43, "name": "s\x1bh", "certain": False},
        {"pid": 47, "name": "cat", "certain": False},
    ]
    fake_runtime(show=THUMBS | {"left": left})

    out = cli("show", "1048").out

    certain = "1 process of this task keeps running: pid 41 (sleep). To end: kill 41\n"
    uncertain = "2 processes, which may be of this task, keep running: pid 43 (s␛h), 47 (cat)."
    assert f"  left       {certain}" in out
    assert f"  left       {uncertain} To end: kill 43 47\n" in out


def test_at_most_eight_left_processes_are_named():
    left = [{"pid": pid, "name": "sh", "certain": True} for pid in range(10, 20)]

    (text,) = describe_left(left)

    assert " and 2 more. To end: kill 10 11 12 13 14 15 16 17" in text


def test_show_marks_a_pinned_task(fake_runtime, cli):
    fake_runtime(show=THUMBS | {"pinned": True})

    assert "  pinned     excluded from cleanup\n" in cli("show", "1048").out


@pytest.mark.process
def test_show_fits_a_narrow_terminal(fake_runtime, home):
    fake_runtime(
        show={
            **THUMBS,
            "name": "n" * 150,
            "launch": {"script": "\n".join(["x" * 200] * 40)},
            "reason": "r" * 200,
        }
    )

    lines = (
        run_on_terminal(home, "show", "1048", NO_COLOR="1").decode().replace("\r", "").splitlines()
    )

    assert all(measure_width(line) <= 80 for line in lines) and any(
        "28 more lines" in line for line in lines
    )


def test_show_explains_a_waiting_task(fake_runtime, cli):
    why = [
        {
            "number": 7,
            "status": "queued",
            "reasons": [
                {"code": "queue-full", "text": "queue media is full (2 of 2)", "short": "full"}
            ],
        }
    ]
    waiting = {
        **THUMBS,
        **make_task(7, "x", "queued"),
        "instances": [],
        "last_lines": [],
        "place": {"position": 0, "total": 14},
    }
    fake_runtime(show=waiting, why=why)

    out = cli("show", "7").out

    assert (
        "queue media is full (2 of 2); first of 14 in its queue\n" in out
        and "taskdeck why 7" in out
    )


def test_show_gives_the_place_in_the_queue_once(fake_runtime, cli):
    reason = {"code": "queue-full", "text": "queue media is full (2 of 2); first of 14"}
    waiting = {
        **THUMBS,
        **make_task(7, "x", "queued"),
        "instances": [],
        "last_lines": [],
        "place": {"position": 0, "total": 14},
    }
    fake_runtime(show=waiting, why=[{"reasons": [reason], "cures": []}])

    assert cli("show", "7").out.count("first of 14") == 1


def test_the_age_of_a_scheduled_task_is_not_its_start_time(fake_runtime, cli):
    why = {
        "number": 7,
        "name": "x",
        "status": "scheduled",
        "queue": "media",
        "waits": 120.0,
        "reasons": [],
    }
    fake_runtime(
        show={
            **THUMBS,
            **make_task(7, "x", "scheduled", age=120),
            "instances": [],
            "last_lines": [],
        },
        why=[why],
    )

    assert "#7 x  ◔ scheduled, submitted 2m ago\n" in cli("show", "7").out
    assert cli("why", "7").out.startswith("#7 x is scheduled in media, submitted 2m ago.")


def test_show_json_is_the_raw_answer(fake_runtime, cli):
    runtime = fake_runtime(show=THUMBS)

    assert json.loads(cli("show", "1048", "--json").out) == runtime.told[-1]


WAITING = {
    "number": 1049, "name": "resnet50-sweep-08", "status": "queued", "queue": "gpu",
    "waits": 7920.0, "expected_start": "10:43–10:55",
    "expected_in": [60, 780], "reasons": [
        {"code": "pool-memory",
        "text": "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m",
        "short": "memory"},
        {"code": "reservation", "text": "it has a reservation", "short": "reserved"},
    ],
}  # fmt: skip


def test_why_numbers_reasons_and_prints_the_expected_start(fake_runtime, cli):
    fake_runtime(why=[WAITING])

    assert (
        cli("why", "1049").out == "#1049 resnet50-sweep-08 is queued in gpu for 2h12m."
        " Expected start 10:43–10:55 (in 1–13m).\n\n"
        "  1  Needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m.\n"
        "  2  It has a reservation.\n"
    )


def test_why_prints_suggestions_as_commands(fake_runtime, cli):
    cures = [
        {
            "command": ["taskdeck", "set", "1049", "--name", "a b\x1b[2J"],
            "gain": "it starts at once",
        },
        {"command": [], "gain": "is only said"},
    ]
    fake_runtime(why=[WAITING | {"cures": cures}])
    shown = cli("why", "1049").out
    assert shown.endswith(
        "  Suggestions:\n    taskdeck set 1049 --name 'a b␛[2J'\n      it starts at once\n"
    )


def test_why_of_a_task_far_back_gives_a_rough_start(fake_runtime, cli):
    outlook = {"before": 73_480, "starts": 2000, "seconds": 1200.0}
    fake_runtime(why=[WAITING | {"outlook": outlook}])
    assert cli("why", "1049").out.endswith(
        "\n\n  Too far back to estimate: 73.5k tasks are before it in queue gpu, which started"
        " 2,000 in the last 20m. At that rate its turn comes in ~12h15m.\n"
    )

    fake_runtime(why=[WAITING | {"outlook": {"before": 1}}])
    assert cli("why", "1049").out.endswith(": 1 task is before it in queue gpu.\n")


def test_why_says_if_nothing_would_help(fake_runtime, cli):
    fake_runtime(
        why=[
            WAITING
            | {
                "cures": [
                    {"command": [], "gain": "needs 1 cpu, 0 free"},
                    {"command": [], "gain": "a\x1b"},
                ]
            }
        ]
    )

    assert cli("why", "1049").out.endswith(
        "\n\n  No change here would start the task sooner: needs 1 cpu, 0 free; a␛.\n"
    )


def test_suggested_commands_name_the_given_home(fake_runtime, cli, home):
    cures = [
        {
            "command": ["taskdeck", "set", "1049", "--name", "taskdeck ls"],
            "gain": "it starts at once",
        }
    ]
    reasons = [
        {
            "code": "queue-paused",
            "text": "queue gpu is paused: taskdeck queue resume gpu",
            "short": "paused",
        }
    ]
    groups = {
        "groups": [{"text": "no runtime is running: taskdeck serve --detach", "count": 2}],
        "total": 2,
    }
    fake_runtime(why=[WAITING | {"cures": cures, "reasons": reasons}], show=THUMBS)

    said = cli("why", "--home", str(home), "1049").out
    assert f"    taskdeck --home {home} set 1049 --name 'taskdeck ls'\n" in said
    assert f"paused: taskdeck --home {home} queue resume gpu." in said
    program = f"  taskdeck --home {home}"
    assert (
        f"{program} logs 1048    {program} retry 1048    {program} show 1048 --json\n"
        in cli("show", "--home", str(home), "1048").out
    )
    fake_runtime(why=groups)
    assert (
        cli("why", "--home", str(home)).out
        == f"2 wait: no runtime is running: taskdeck --home {home} serve --detach\n"
    )
    assert json.loads(cli("why", "--home", str(home), "--json").out) == groups


@pytest.mark.process
def test_suggested_commands_get_a_line_each_if_one_is_too_short(fake_runtime, home):
    fake_runtime(show=THUMBS)

    lines = (
        run_on_terminal(home, "show", "--home", str(home), "1048", NO_COLOR="1")
        .decode()
        .replace("\r", "")
        .splitlines()
    )

    assert lines[-3:] == [
        f"  taskdeck --home {home} {rest}"
        for rest in ("logs 1048", "retry 1048", "show 1048 --json")
    ]


def test_why_of_one_task_is_one_document(fake_runtime, cli):
    fake_runtime(why=[WAITING])

    assert json.loads(cli("why", "1049", "--json").out) == WAITING
    assert json.loads(cli("why", "1049", "--jsonl").out) == WAITING


def test_why_without_arguments_groups_the_whole_queue(fake_runtime, cli):
    fake_runtime(
        why={
            "groups": [
                {"text": "wait for queue media (full)", "count": 14},
                {"text": "are held", "count": 2},
            ],
            "total": 16,
        }
    )

    assert cli("why").out == "14 wait for queue media (full)\n 2 are held\n"
    ones = [
        {"text": text, "count": 1}
        for text in ("wait for a set time", "are held", "no runtime is running")
    ]
    fake_runtime(why={"groups": ones, "total": 3})
    assert cli("why").out == "1 waits for a set time\n1 is held\n1 waits: no runtime is running\n"


def test_why_answers_for_running_and_ended_tasks(fake_runtime, cli):
    runs = {
        **WAITING,
        "status": "running",
        "reasons": [{"code": "running", "text": "running, attempt 1", "short": ""}],
    }
    ended = {
        **WAITING,
        "status": "failed",
        "reasons": [{"code": "ended", "text": "failed: exit 1", "short": ""}],
        "last_lines": ["one", "\x1b[31mno such file\x1b]0;x\x07", ""],
    }
    fake_runtime(why=[runs, ended])

    assert (
        cli("why", "1", "2").out
        == "#1049 resnet50-sweep-08: running, attempt 1.\n\n#1049 resnet50-sweep-08: failed:"
        " exit 1.\n  no such file\n"
    )


STATUS = {
    "version": "0.1.0", "home": "/home/ann/deck", "host": "render01",
    "counts": {"running": 7, "queued": 22, "held": 2, "succeeded": 900},
    "runtime": {"state": "running", "pid": 4120, "since": make_past_time(6 * 86400 + 3 * 3600 + 5),
    "by": "ann", "tick_lag": 0.003, "halted": None},
    "keeper": {"pid": 4122, "guard_pid": 4123}, "database": {"size": 312 * 2**20, "state": "ok"},
    "backup": {"at": make_past_time(41 * 60 + 5), "late": False, "folder": "/home/ann/deck/backups",
    "gone": None},
    "replica": {"target": None, "at": None, "lag": None, "late": False, "problem": None,
    "promoted": False},
    "today": {"ok": 141, "failed": 3},
    "queues": [
        {"name": "media", "current_load": 2, "capacity": 2, "waiting": 14,
        "oldest_at": make_past_time(2465), "status": "active", "word": "full",
         "pool": "main", "priority": 0},
        {"name": "gpu", "current_load": 2, "capacity": 4, "waiting": 5,
        "oldest_at": make_past_time(7925), "status": "active", "word": "no room",
         "pool": "gpu", "priority": 0},
        {"name": "backup", "current_load": 0, "capacity": 1, "waiting": 2,
        "oldest_at": make_past_time(34805), "status": "paused", "word": "paused",
         "status_by": "ann", "pool": "main", "priority": 0},
    ],
    "pools": [{"name": "gpu", "total_cpu": 8.0, "used_cpu": 6.0, "measured_cpu": 5.1,
    "total_memory": 32768.0, "used_memory": 30720.0,
               "measured_memory": 25395.2, "status": "active"}],
    "alerts": [{"id": 1, "sla": "encode-on-time", "severity": "critical", "status": "firing",
    "object": "#1039 encode S02E04.mkv",
                "why": "running 57m, allowed 45m", "short": "57m > 45m",
                "since": make_past_time(725), "number": 1039, "by": None}],
}  # fmt: skip


def test_status_is_one_screen(fake_runtime, cli):
    fake_runtime(status=STATUS)

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


REPLICA = {
    "target": "bob@far:/srv/deck",
    "at": make_past_time(40),
    "lag": 40.0,
    "late": False,
    "problem": None,
    "promoted": False,
}


@pytest.mark.parametrize(
    ("copy", "says"),
    [
        (REPLICA, "  replica   ● bob@far:/srv/deck, 40s old\n"),
        (
            REPLICA | {"lag": 3605.0, "late": True, "problem": "no\x1b route"},
            "  replica   ▲ bob@far:/srv/deck, 1h old, late: no␛ route\n",
        ),
        (
            REPLICA | {"lag": None, "late": True, "problem": "no route"},
            "  replica   ▲ bob@far:/srv/deck, not copied yet, late: no route\n",
        ),
    ],
)
def test_status_shows_a_configured_replica(fake_runtime, cli, copy, says):
    fake_runtime(status=STATUS | {"replica": copy})
    assert says in cli("status").out
    fake_runtime(status=STATUS)
    assert "replica" not in cli("status").out


def test_a_missing_backup_file_and_a_late_backup_are_not_called_good(fake_runtime, cli):
    backup = STATUS["backup"]
    fake_runtime(
        status=STATUS
        | {"backup": backup | {"at": None, "late": True, "gone": "its folder is gone"}}
    )
    assert "● 312M, ok; backup none: its folder is gone\n" in cli("status").out
    fake_runtime(
        status=STATUS | {"backup": backup | {"at": None, "late": True, "gone": "its file is gone"}}
    )
    assert "● 312M, ok; backup lost: its file is gone\n" in cli("status").out
    fake_runtime(status=STATUS | {"backup": backup | {"late": True}})
    assert "● 312M, ok; backup 41m ago, late\n" in cli("status").out


LONG = {**STATUS["alerts"][0], "sla": "backup-after", "severity": "warning",
"object": "the runtime",
        "short": "the folder for backups cannot be used (/proc/nope): not a directory"}  # fmt: skip


@pytest.mark.parametrize("words", [("status",), ("alert", "ls")])
def test_alert_names_are_not_truncated_at_80_columns(fake_runtime, cli, monkeypatch, words):
    """Check that the object is shortened instead: users type the name to acknowledge the alert."""
    monkeypatch.setattr("app.cli.output.get_room", lambda wide=False: 80)
    fake_runtime(**{"status": STATUS | {"alerts": [LONG]}, "alert.ls": [LONG]})

    shown = cli(*words).out

    assert "warn  backup-after" in shown and all(len(line) <= 80 for line in shown.splitlines())


def test_status_as_one_line_and_as_a_check(fake_runtime, cli):
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
        (
            {**quiet, "runtime": {**STATUS["runtime"], "halted": "disk full"}},
            0,
            "7r 22q halted tick 3ms\n",
        ),
    ):
        fake_runtime(status=found)
        assert cli("status", "--check").code == code
        assert cli("status", "--line") == (0, line, "")


def test_the_tmux_line_colours_problems(fake_runtime, cli):
    fake_runtime(status=STATUS)

    assert cli("status", "--line", "--tmux").out == "7r 22q #[fg=red]1!#[default] tick 3ms\n"
    assert cli("status", "--tmux").code == 2
    assert cli("status", "--here").code == cli("status", "--here", "--check", "--line").code == 2


def test_the_status_line_needs_and_starts_no_runtime(cli, home):
    assert cli("status", "--line") == (0, "no runtime\n", "")
    assert cli("status", "--line", "--check").code == 1
    (home / "run" / "stopped").write_text("#(reboot)\n10:31\n")
    assert cli("status", "--line", "--tmux").out == "#[fg=yellow]stopped#[default]\n"
    assert not (home / "taskdeck.db").exists()


def test_a_hanging_runtime_does_not_delay_the_status_line(cli, home, monkeypatch):
    monkeypatch.setattr("app.cli.status.line.TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / "control.sock"))
        silent.listen()

        assert cli("status", "--line") == (0, "no answer\n", "")


def test_no_command_without_a_terminal_prints_the_status(fake_runtime, cli):
    fake_runtime(status=STATUS)

    assert cli() == cli("status")
