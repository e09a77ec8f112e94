"""Tests of `ls`, `instances` and `operations`: tables on a terminal and in a pipe."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from app.cli.commands.tasks.ls import FIELDS as LISTED
from app.cli.commands.tasks.ls import TaskRowFormatter
from app.core.text.sanitize import measure_width
from db import timestamps
from tests.acceptance.terminal import Terminal
from tests.cli.builders import make_group, make_list_answer, make_past_time, make_run, make_task
from tests.cli.fake_control_server import AnswerSequence
from tests.cli.terminal_command import run_on_terminal


def make_sample_tasks():
    """Build the rows of the expected table."""
    return [
        make_task(1062, "vacuum archive", "scheduled", age=360, wait_short="at 23:30"),
        make_task(
            1053,
            "encode S02E06.mkv",
            "queued",
            queue="media",
            age=2460,
            wait_short="queue full",
            expected_in=(240.0, 540.0),
        ),
        make_task(
            1047,
            "nightly-etl",
            "running",
            queue="etl",
            age=9100,
            started=9100,
            timeout=7200,
            run_limit=10800,
        ),
        make_task(
            1048,
            "thumbs S02",
            "failed",
            queue="media",
            age=720,
            started=123.2,
            ended=120,
            reason="exit 1",
        ),
        make_task(
            1045,
            "crawl shop-b",
            "timed_out",
            age=1860,
            started=1800,
            ended=1200,
            reason="limit 10m",
        ),
        make_task(
            1046, "encode S02E03.mkv", "succeeded", queue="media", age=4200, started=3600, ended=958
        ),
    ]


EXPECTED_TABLE = """\
  ID  STATE        NAME               QUEUE      AGE     TIME  WHY / RESULT
1062  ◔ scheduled  vacuum archive     default     6m        –  at 23:30
1053  ○ queued     encode S02E06.mkv  media      41m  in 4–9m  queue full
1047  ● running    nightly-etl        etl      2h31m    2h31m  84% of 3h
1048  ✗ failed     thumbs S02         media      12m     3.2s  exit 1
1045  ◷ timed out  crawl shop-b       default    31m      10m  limit 10m
1046  ✓ succeeded  encode S02E03.mkv  media    1h10m   44m02s  –
"""


def test_ls_prints_the_expected_table(fake_runtime, cli):
    fake_runtime(ls=make_list_answer(make_sample_tasks(), 6, 1204))

    said = cli("ls")

    assert said.out == EXPECTED_TABLE
    assert (
        said.err
        == "6 of 1,204 tasks (running first). More: --limit 0, --status failed, --since 2h\n"
    )


def test_a_group_is_one_line_before_the_tasks_of_its_state(fake_runtime, cli):
    groups = [make_group(12, "running", running=4, rate=12.4, eta=300.0), make_group(11, "failed")]
    tasks = [make_task(1, "a", "queued"), make_task(2, "b", "succeeded", started=9, ended=5)]
    runtime = fake_runtime(ls={**make_list_answer(tasks, 2, 1204), "groups": groups})

    said = cli("ls")

    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["g12", "1", "g11", "2"]
    assert "g12  ● running    grid ␛[2J" in said.out
    assert "37/100, 2 failed, 4 running, 12/min, ~5m left" in said.out
    assert said.err == (
        "2 tasks and 2 groups of 200 tasks. Tasks of a group: taskdeck ls g12. All: --tasks\n"
    )
    for words in (["--tasks"], ["-o", "name"], ["--json"], ["--queue", "q"]):
        cli("ls", *words)
        assert "fold" not in runtime.get_last_args("ls")


def test_the_tasks_of_a_group_are_told_apart(fake_runtime, cli):
    one, *others = make_sample_tasks()
    row = {**one, "group_number": 12, "group_index": 3, "sweep": {"lr": "0.1\x1b"}}
    fake_runtime(browse=make_pages([row, *others]))

    assert f"{one['name']} lr=0.1␛ " in cli("ls", "g12", "--wide").out


def test_groups_are_listed_on_request(fake_runtime, cli):
    groups = [make_group(12, "running", running=4, rate=0.42, eta=30.0)]
    runtime = fake_runtime(group__ls=groups)

    line = cli("ls", "--groups").out.splitlines()[1]
    assert " ".join(line.split()) == "g12 ● running grid ␛[2J 5m 37/100 2 4 0.42/min ~30s"
    assert json.loads(cli("ls", "--groups", "--json").out)[0]["group"] == "g12"
    assert runtime.get_last_args("group.ls") == {"limit": 100}
    assert "goes with --limit" in cli("ls", "--groups", "--status", "failed").err


def test_a_group_as_argument_is_a_filter(fake_runtime, cli):
    first, *others = make_sample_tasks()
    runtime = fake_runtime(browse=make_pages([{**first, "group_number": 12}, *others]))

    said = cli("ls", "g12", "g13", "--filter", "encode", "--json")

    found = {row["number"]: row["group"] for row in json.loads(said.out)}
    assert found[first["number"]] == "g12" and [*found.values()].count(None) == len(others)
    assert "group_number" not in said.out
    assert runtime.get_last_args("browse")["filter"] == "group:g12,g13 encode"
    for words in (["g12", "42"], ["g12", "42", "--status", "failed"]):
        found = cli("ls", *words)
        assert found.code == 2 and "takes filters and groups such as g12, not names" in found.err


def test_groups_and_filters_list_the_tasks_that_match_both(fake_runtime, cli):
    task = {**make_task(3, "grid", "failed", started=9, ended=5), "group_index": 7}
    runtime = fake_runtime(ls=make_list_answer([task], 1, 60))

    said = cli("ls", "g12", "g13", "--status", "failed", "--queue", "q")

    assert "grid [7]" in said.out and said.err == ""
    chosen = {"group": ["g12", "g13"], "status": ["failed"], "queue": "q"}
    assert runtime.get_last_args("ls").items() >= chosen.items()


def test_ls_lists_recent_tasks_without_filters_and_all_with_filters(fake_runtime, cli):
    runtime = fake_runtime(ls=make_list_answer([], 0, 5))

    cli("ls")
    assert runtime.get_last_args("ls") == {
        "limit": 100,
        "recent": True,
        "brief": True,
        "fold": True,
    }
    cli(
        "ls",
        "--status",
        "failed,timed-out",
        "--status",
        "lost",
        "--queue",
        "q",
        "--tag",
        "a=b",
        "--since",
        "2h",
        "--limit",
        "0",
    )
    assert runtime.get_last_args("ls") == {"status": ["failed", "timed_out", "lost"], "queue": "q",
    "tag": {"a": "b"}, "since": 7200,
                                  "limit": 0, "recent": False, "brief": True}  # fmt: skip


def test_a_truncated_list_is_reported_with_json_too(fake_runtime, cli):
    fake_runtime(ls={"tasks": make_sample_tasks()[:1], "total": 300, "of": 1204})

    said = cli("ls", "--json", "--limit", "1", "--queue", "media")

    assert [t["number"] for t in json.loads(said.out)] == [1062]
    assert said.err.startswith("1 of 1,204 tasks (newest first, 300 match)")


def test_used_filters_are_not_suggested(fake_runtime, cli):
    fake_runtime(ls={"tasks": make_sample_tasks()[:1], "total": 300, "of": 1204})

    said = cli("ls", "--json", "--limit", "1", "--status", "failed")

    assert said.err == "1 of 1,204 tasks (newest first, 300 match). More: --limit 0, --since 2h\n"


def test_a_complete_list_has_no_notice(fake_runtime, cli):
    fake_runtime(ls=make_list_answer(make_sample_tasks(), 6, 1204))
    assert (
        cli("ls", "--status", "failed").err == ""
        and cli("ls", "--queue", "media", "-o", "name").err == ""
    )
    fake_runtime(browse=make_pages(make_sample_tasks()))
    assert cli("ls", "--filter", "x", "--limit", "6").err == ""

    fake_runtime(
        browse=AnswerSequence(
            [
                {**answer, "total": None, "more_after": bool(answer["rows"])}
                for answer in make_pages(make_sample_tasks())
            ]
        )
    )
    assert (
        cli("ls", "--filter", "x", "--limit", "6").err
        == "6 of 1,204 tasks (running first). More: --limit 0\n"
    )


def test_jsonl_prints_one_document_per_line(fake_runtime, cli):
    fake_runtime(ls={"tasks": make_sample_tasks(), "total": 6, "of": 6})

    assert [json.loads(line)["number"] for line in cli("ls", "--jsonl").out.splitlines()] == [
        t["number"] for t in make_sample_tasks()
    ]


@pytest.mark.process
@pytest.mark.parametrize("columns", [72, 80, 100])
def test_lines_fit_the_terminal_and_the_name_shrinks_first(fake_runtime, home, columns):
    short = "needs 12.0G memory, 2.0G free; #1042 frees"
    long = make_task(7, "夜间备份 " * 12, "queued", queue="media", wait_short=short)
    fake_runtime(ls=make_list_answer([*make_sample_tasks(), long], 7, 7))

    lines = (
        run_on_terminal(home, "ls", columns=columns, NO_COLOR="1")
        .decode()
        .replace("\r", "")
        .splitlines()
    )

    assert len(lines) == 9 and all(measure_width(line) <= columns for line in lines[:8])
    assert "encode S02E03.mkv" in lines[6] or columns < 80


@pytest.mark.process
def test_colours_are_used_only_on_colour_terminals(fake_runtime, cli, home):
    fake_runtime(ls=make_list_answer(make_sample_tasks(), 6, 6))

    assert b"\x1b[1;31m\xe2\x9c\x97 failed" in run_on_terminal(home, "ls")
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b" not in run_on_terminal(home, "ls", **env)
    assert "\x1b" not in cli("ls").out


def test_without_utf8_the_glyphs_are_ascii(fake_runtime, cli, monkeypatch):
    fake_runtime(ls=make_list_answer(make_sample_tasks(), 6, 6))
    monkeypatch.setenv("LC_ALL", "C")

    out = cli("ls").out

    assert out.isascii() and "X failed" in out and "* running" in out


@pytest.mark.process
def test_hostile_text_adds_no_rows_or_escapes(fake_runtime, cli, home):
    evil = "\x1b[2J\u009b31m\u202e\nFAKE ROW\r"
    fake_runtime(ls=make_list_answer([make_task(1, evil, "failed", queue=evil, reason=evil)], 1, 1))

    assert len(cli("ls").out.splitlines()) == 2
    assert b"\x1b[2J" not in run_on_terminal(home, "ls") and b"\x1b" not in run_on_terminal(
        home, "ls", "--json"
    )


@pytest.mark.process
def test_json_on_a_terminal_is_ascii(fake_runtime, home):
    fake_runtime(ls={"tasks": [make_task(1, "夜\x7f\udcff", "failed")], "total": 1, "of": 1})

    out = run_on_terminal(home, "ls", "--json").partition(b"1 task")[0]

    assert out.isascii() and b"\x7f" not in out
    assert json.loads(out)[0]["name"] == "夜\x7f\udcff"


def test_json_in_a_pipe_is_utf8_unless_bytes_are_invalid(fake_runtime, cli):
    fake_runtime(ls={"tasks": [make_task(1, "夜", "failed")], "total": 1, "of": 1})
    assert "夜" in cli("ls", "--json").out


def test_name_output_lists_all_task_numbers(fake_runtime, cli):
    runtime = fake_runtime(ls=make_list_answer(make_sample_tasks(), 6, 1204))

    said = cli("ls", "-o", "name", "--status", "failed")

    assert said.out.split() == [str(task["number"]) for task in make_sample_tasks()]
    assert runtime.get_last_args("ls")["limit"] == 0 and runtime.get_last_args("ls")["brief"]
    cli("ls", "-o", "name", "--limit", "5")
    assert runtime.get_last_args("ls")["limit"] == 5


@pytest.mark.process
def test_tsv_has_a_header_and_one_line_per_task(fake_runtime, cli, home):
    evil = "a\tb\nc\\d\r\x1b[2J"
    fake_runtime(
        ls={
            "tasks": [make_task(1, evil, "failed", tags={"k": evil}, attempts=2, reason=None)],
            "total": 1,
            "of": 1,
        }
    )

    answer = cli("ls", "-o", "tsv")

    assert answer.code == 0, answer.err
    header, row, *rest = answer.out.split("\n")

    found = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (
        rest == [""]
        and found["number"] == "1"
        and found["reason"] == ""
        and found["attempts"] == "2"
    )
    assert found["name"] == "a\\tb\\nc\\\\d\\r\x1b[2J"
    assert b"\x1b" not in run_on_terminal(home, "ls", "-o", "tsv")


def test_an_empty_table_still_has_its_header(fake_runtime, cli):
    fake_runtime(ls={"tasks": [], "total": 0, "of": 3})

    assert cli("ls", "-o", "tsv").out.startswith("number\tstatus\tname\t")


def test_json_is_an_output_format_too(fake_runtime, cli):
    row = make_task(7, "x", "failed", created_at="then", updated_at="then")
    fake_runtime(ls={"tasks": [row], "total": 1, "of": 1}, show=row)

    for form in ("json", "jsonl"):
        assert cli("ls", "-o", form) == cli("ls", f"--{form}")
        assert cli("show", "7", "--output", form).out == cli("show", "7", f"--{form}").out
    assert "Nearest: json" in cli("show", "7", "-o", "jsn").err
    assert "must be json or jsonl" in cli("show", "7", "-o", "tsv").err


def test_runs_and_operations_have_machine_readable_lists(fake_runtime, cli):
    row = {"id": 31, "at": "2026-11-25T10:00:00.000000Z", "by": "ann", "verb": "set",
    "object": "task #7", "before": {"cpu": 1},
           "after": None}  # fmt: skip
    fake_runtime(instances=[make_run(2, "failed", exit_code=1)], operations=[row])

    assert (
        cli("instances", "-o", "name").out == "run-2\n"
        and cli("operations", "-o", "name").out == "31\n"
    )
    header, line = cli("operations", "-o", "tsv").out.splitlines()
    assert header.startswith("id\tat\tby\tverb\tobject\tname\tbefore\tafter\t")
    assert line.split("\t")[2:8] == ["ann", "set", "task #7", "", '{"cpu": 1}', ""]
    assert cli("instances", "-o", "tsv").out.splitlines()[1].split("\t")[:6] == [
        "run-2",
        "1",
        "x",
        "default",
        "2",
        "failed",
    ]


def test_an_id_out_of_range_names_no_operation(fake_runtime, cli):
    fake_runtime(operations=[])

    for number in ("0", "9" * 24):
        said = cli("operations", number)
        assert said.code == 2 and said.err.startswith("taskdeck: ID must be 1 to ")


def test_backup_operations_show_a_readable_size(fake_runtime, cli):
    fake_runtime(operations=[{"id": 31, "at": "2026-11-25T10:00:00.000000Z", "by": "ann",
    "verb": "db backup", "object": "backup x",
                           "before": None, "after": {"bytes": 376832}}])  # fmt: skip

    assert cli("operations").out.rstrip().endswith("backup x  368K")


def test_operations_are_filtered_by_user_verb_and_time(fake_runtime, cli):
    runtime = fake_runtime(operations=[])

    said = cli(
        "operations",
        "gpu",
        "!set",
        "--by",
        "ann",
        "--object",
        "#42",
        "--since",
        "2h",
        "--verb",
        "hold",
        "--limit",
        "0",
    )

    assert runtime.get_last_args("operations") == {"limit": 0, "by": "ann", "verb": "hold",
    "object": "task #42", "since": 7200,
                                          "words": ["gpu", "!set"]}  # fmt: skip
    assert said.err == "no matching operations\n"
    cli("operations", "--object", "queue media")
    assert runtime.get_last_args("operations") == {"limit": 50, "object": "queue media"}


UNDO = {
    "done": [
        {
            "id": 31,
            "verb": "hold",
            "text": "hold of #12 x: status queued → held",
            "back": "hold of #12 x: status held → queued",
        },
        {"id": 32, "verb": "hold", "text": "hold of #13 y"},
    ],
    "refused": [],
    "notes": [],
}


def test_an_operation_is_undone_by_number(fake_runtime, cli):
    runtime = fake_runtime(undo=UNDO)

    assert (
        cli("undo", "31", "#32").out
        == "undone: hold of #12 x: status held → queued\nundone: hold of #13 y\n"
    )
    assert runtime.get_last_args("undo") == {"ids": [31, 32]}
    assert cli("undo", "x").code == 2


def test_undo_of_a_given_submission_asks(fake_runtime, cli):
    submission = {
        "id": 31,
        "verb": "submit",
        "text": "submit of 3 tasks #1–#3",
        "back": "submit of 3 tasks #1–#3, by cancelling 2 tasks",
    }
    runtime = fake_runtime(undo={"done": [submission], "refused": [], "notes": ["#1 has started."]})

    said = cli("undo", "31")
    assert said.code == 2 and "by cancelling 2 tasks. #1 has started. Nothing was" in said.err
    assert [args for _, args in runtime.asked] == [{"dry_run": True, "ids": [31]}]
    assert cli("undo", "31", "--yes").code == 0
    assert runtime.get_last_args("undo") == {"ids": [31]}


def test_undo_of_an_act_of_several_operations_asks(fake_runtime, cli):
    fake_runtime(undo=UNDO)

    asked = cli("undo", "31")

    assert asked.code == 2 and "this would undo 2 operations" in asked.err
    assert cli("undo", "31", "--yes").code == 0


@pytest.mark.process
def test_undo_names_the_last_operation_first(fake_runtime, cli, home):
    runtime = fake_runtime(undo=UNDO)

    said = cli("undo")
    assert (
        said.code == 2
        and "this would undo 2 operations, hold of #12 x: status held → queued; hold of #13 y."
        in said.err
    )
    assert [args for _, args in runtime.asked] == [{"dry_run": True}]

    shown = run_on_terminal(home, "undo", typed=b"y\n", columns=200).decode()
    assert "Undo 2 operations, hold of #12 x: status held → queued; hold of #13 y? [y/N]" in shown
    assert runtime.get_last_args("undo") == {"ids": [31, 32]}
    fake_runtime(
        undo={
            "done": [],
            "refused": [{"message": "it was undone already", "exit_code": 4}],
            "notes": [],
        }
    )
    assert cli("undo", "--yes").code == 4


@pytest.mark.process
def test_undo_names_irreversible_parts_before_and_after(fake_runtime, cli, home):
    left = {
        "message": (
            "#3 has changed since: status held → queued by bob, 2s ago. It was left as it is."
        ),
        "exit_code": 4,
    }
    runtime = fake_runtime(undo=AnswerSequence([UNDO | {"refused": [left]}, UNDO]))

    said = cli("undo", "--yes")

    assert (said.code, said.err) == (1, f"taskdeck: {left['message']}\n")
    assert said.out == "undone: hold of #12 x: status held → queued\nundone: hold of #13 y\n"
    assert runtime.get_last_args("undo") == {"ids": [31, 32]}
    fake_runtime(undo=UNDO | {"refused": [left]})
    assert (
        f"hold of #13 y. 1 cannot be undone: {left['message']} Nothing was changed."
        in cli("undo").err
    )
    shown = run_on_terminal(home, "undo", typed=b"n\n", columns=250).decode()
    assert f"1 cannot be undone: {left['message']} Undo 2 operations" in shown


@pytest.mark.process
def test_an_interrupt_at_a_question_ends_by_sigint_for_the_shell(fake_runtime, home):
    runtime = fake_runtime(undo=UNDO)
    undo = f"{shlex.quote(sys.executable)} -P -m taskdeck undo"
    env = {
        "PATH": os.environ["PATH"],
        "TASKDECK_HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
    }

    with Terminal(["bash", "-c", f"{undo}; echo went on"], env, Path.cwd(), 200, 24) as terminal:
        terminal.wait("[y/N]").type("\x03")
        code = terminal.end()

    assert code == -signal.SIGINT and "went on" not in terminal.text
    assert [args for _, args in runtime.asked] == [{"dry_run": True}]


@pytest.mark.process
def test_possibly_stale_states_are_reported_without_a_runtime(run_cli, runtime):
    held = runtime.submit("true", hold=True)
    assert run_cli("ls").stderr == "1 task\n"
    runtime.kill()

    done = run_cli("ls")

    assert (
        held in done.stdout
        and "no runtime is running; states of unfinished tasks may be stale." in done.stderr
    )


def test_an_empty_home_explains_how_to_begin(fake_runtime, cli):
    fake_runtime(ls=make_list_answer([], 0, 0))

    assert cli("ls") == (
        0,
        "",
        "there are no tasks yet. To submit a task: taskdeck submit -- COMMAND\n",
    )


def test_runs_are_listed_with_their_usage(fake_runtime, cli):
    runs = [
        make_run(2, "failed", exit_code=1, cpu_seconds=2.9, max_rss=84.0, run_seconds=3.2),
        make_run(1, "succeeded", exit_code=0),
    ]
    runtime = fake_runtime(instances=runs)

    lines = cli("instances", "#7").out.splitlines()

    assert runtime.get_last_args("instances") == {"id": "#7", "limit": 100}
    assert lines[1].split()[-5:] == ["3.2s", "2.9s", "84M", "exit", "1"] and lines[2].endswith("–")


def test_operations_show_their_changes(fake_runtime, cli):
    row = {
        "id": 1,
        "at": make_past_time(5),
        "by": "ann",
        "verb": "set priority",
        "object": "task #7",
        "before": {"priority": 0},
        "after": {"priority": 5},
    }
    fake_runtime(operations=[row])

    assert (
        cli("operations").out.splitlines()[1].endswith("ann  set priority  task #7  priority 0 → 5")
    )
    submission = {"verb": "submit", "before": None, "after": {"first": 7, "last": 7}}
    fake_runtime(operations=[row | submission | {"name": "nightly etl"}])
    assert cli("operations").out.splitlines()[1].endswith("ann  submit  task #7  nightly etl")
    rule = {"conditions": {"preset": "finishes-within", "value": "45m"}, "actions": {}}
    fake_runtime(
        operations=[row | {"verb": "sla create", "object": "sla a", "before": None, "after": rule}]
    )
    assert "{" not in cli("operations").out and cli("operations").out.splitlines()[1].endswith(
        "sla a  finishes within 45m"
    )


def make_pages(*pages):
    """Build the answers to successive `browse` calls: pages of active tasks, and no others."""
    columns = [*LISTED, "group_number", "group_index", "sweep", "run", "run_reason",
               "why", "expected", "expected_in", "run_limit", "at"]  # fmt: skip
    rows = [
        [[*[task.get(name) for name in columns[:-1]], task["number"]] for task in page]
        for page in (*pages, [], [])
    ]
    return AnswerSequence(
        {
            "columns": columns,
            "rows": page,
            "more_after": at + 1 < len(pages),
            "total": 3 if page else 0,
            "of": 1204,
            "complete": True,
            "stopped": None,
        }
        for at, page in enumerate(rows)
    )


def test_a_filter_query_is_parsed_as_in_the_deck(fake_runtime, cli):
    waits = make_task(
        1053, "encode S02E06.mkv", "queued", queue="media", age=2460, why="queue full ~2m"
    )
    runtime = fake_runtime(browse=make_pages([waits, *make_sample_tasks()[2:3]]))

    said = cli("ls", "--filter", "name:enc* !word")

    assert [(args["filter"], args["down"], args["limit"]) for _, args in runtime.asked] == [
        ("status:active name:enc* !word", True, 100),
        ("status:waiting name:enc* !word", False, 98),
        ("status:ended name:enc* !word", True, 98),
    ]
    assert said.out.splitlines()[1].endswith("queue full ~2m") and "nightly-etl" in said.out
    assert said.err == "2 of 1,204 tasks (running first, 3 match). More: --limit 0\n"


def test_all_matches_of_a_filter_query_are_fetched_by_page(fake_runtime, cli):
    runtime = fake_runtime(browse=make_pages(make_sample_tasks()[:2], make_sample_tasks()[2:3]))

    assert cli("ls", "--filter", "x", "-o", "name").out == "1062\n1053\n1047\n"
    assert [args["at"] for verb, args in runtime.asked] == [None, [1053, 1053], None, None]
    runtime = fake_runtime(browse=make_pages(make_sample_tasks()[:1]))
    assert json.loads(cli("ls", "--filter", "x", "--json").out)[0]["number"] == 1062
    assert (runtime.asked[-1][1]["filter"], runtime.asked[-1][1]["down"]) == ("x", True)
    fake_runtime(browse=make_pages(make_sample_tasks()[:1]))
    assert (
        cli("ls", "--filter", "x", "-o", "tsv").out.splitlines()[1].startswith("1062\tscheduled\t")
    )


def test_a_filter_query_excludes_other_filters(cli):
    for words in (("--filter", "x", "--queue", "q"), ("--filter", " ")):
        said = cli("ls", *words)
        assert said.code == 2 and "--filter" in said.err


def test_a_wait_in_slurm_without_a_reason_has_no_limit_in_its_place():
    then = timestamps.from_unix(0)
    row = ["t", 1, "sim", "running", "sims", 0, None, then, None, then, None, None]
    note = ("in slurm", "", None, None, None, None)
    (line,) = TaskRowFormatter({"t": note}, 9.0).format_rows([row])
    assert [text for text, _ in line[-2:]] == ["–", "waits in Slurm"]
