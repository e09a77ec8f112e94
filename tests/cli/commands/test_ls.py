"""`ls`, `instances` and `operations`: tables that fit a terminal and are whole in a pipe."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from app.cli.commands.ls import FIELDS as LISTED
from app.core.text.sanitize import width
from tests.acceptance.terminal import Terminal
from tests.cli.builders import a_run, a_task, ago, listed
from tests.cli.fake_runtime import Several
from tests.cli.terminal_command import on_terminal


def drawn():
    """The rows of the picture."""
    return [
        a_task(1062, "vacuum archive", "scheduled", age=360, wait_short="at 23:30"),
        a_task(1053, "encode S02E06.mkv", "queued", queue="media", age=2460, wait_short="queue full ~2m"),
        a_task(1047, "nightly-etl", "running", queue="etl", age=9100, started=9100, timeout=10800, expected=9825),
        a_task(1048, "thumbs S02", "failed", queue="media", age=720, started=123.2, ended=120, reason="exit 1"),
        a_task(1045, "crawl shop-b", "timed_out", age=1860, started=1800, ended=1200, reason="limit 10m"),
        a_task(1046, "encode S02E03.mkv", "succeeded", queue="media", age=4200, started=3600, ended=958),
    ]


PICTURE = """\
  ID  STATE        NAME               QUEUE      AGE    TIME  WHY / RESULT
1062  ◔ scheduled  vacuum archive     default     6m       –  at 23:30
1053  ○ queued     encode S02E06.mkv  media      41m       –  queue full ~2m
1047  ● running    nightly-etl        etl      2h31m   2h31m  84% of 3h ~12m
1048  ✗ failed     thumbs S02         media      12m    3.2s  exit 1
1045  ◷ timed out  crawl shop-b       default    31m     10m  limit 10m
1046  ✓ succeeded  encode S02E03.mkv  media    1h10m  44m02s  –
"""


def test_ls_looks_as_it_is_drawn(answering, cli):
    answering(ls=listed(drawn(), 6, 1204))

    said = cli("ls")

    assert said.out == PICTURE
    assert said.err == "6 of 1,204 tasks (newest first). More: --limit 0, --status failed, --since 2h\n"


def test_ls_without_filters_asks_for_what_is_recent_and_with_any_for_all(answering, cli):
    runtime = answering(ls=listed([], 0, 5))

    cli("ls")
    assert runtime.args("ls") == {"limit": 100, "recent": True, "brief": True}
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
    assert runtime.args("ls") == {"status": ["failed", "timed_out", "lost"], "queue": "q", "tag": {"a": "b"}, "since": 7200,
                                  "limit": 0, "recent": False, "brief": True}  # fmt: skip


def test_a_cut_list_is_never_silent_with_json_either(answering, cli):
    answering(ls={"tasks": drawn()[:1], "total": 300, "of": 1204})

    said = cli("ls", "--json", "--limit", "1", "--queue", "media")

    assert [t["number"] for t in json.loads(said.out)] == [1062]
    assert said.err.startswith("1 of 1,204 tasks (newest first, 300 match)")


def test_filters_that_were_used_are_not_suggested(answering, cli):
    answering(ls={"tasks": drawn()[:1], "total": 300, "of": 1204})

    said = cli("ls", "--json", "--limit", "1", "--status", "failed")

    assert said.err == "1 of 1,204 tasks (newest first, 300 match). More: --limit 0, --since 2h\n"


def test_nothing_is_said_when_all_that_match_are_listed(answering, cli):
    answering(ls=listed(drawn(), 6, 1204))
    assert cli("ls", "--status", "failed").err == "" and cli("ls", "--queue", "media", "-o", "name").err == ""
    answering(browse=paged(drawn()))
    assert cli("ls", "--filter", "x", "--limit", "6").err == ""

    answering(browse=Several([{**paged(drawn())[0], "total": None, "more_after": True}]))
    assert cli("ls", "--filter", "x", "--limit", "6").err == "6 of 1,204 tasks (newest first). More: --limit 0\n"


def test_jsonl_prints_a_document_a_line(answering, cli):
    answering(ls={"tasks": drawn(), "total": 6, "of": 6})

    assert [json.loads(line)["number"] for line in cli("ls", "--jsonl").out.splitlines()] == [
        t["number"] for t in drawn()
    ]


@pytest.mark.parametrize("columns", [72, 80, 100])
def test_on_a_terminal_every_line_fits_and_the_name_shrinks_first(answering, home, columns):
    short = "needs 12.0G memory, 2.0G free; #1042 frees"
    long = a_task(7, "夜间备份 " * 12, "queued", queue="media", wait_short=short)
    answering(ls=listed([*drawn(), long], 7, 7))

    lines = on_terminal(home, "ls", columns=columns, NO_COLOR="1").decode().replace("\r", "").splitlines()

    assert len(lines) == 9 and all(width(line) <= columns for line in lines[:8])
    assert "encode S02E03.mkv" in lines[6] or columns < 80


def test_colours_are_for_terminals_that_want_them(answering, cli, home):
    answering(ls=listed(drawn(), 6, 6))

    assert b"\x1b[1;31m\xe2\x9c\x97 failed" in on_terminal(home, "ls")
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b" not in on_terminal(home, "ls", **env)
    assert "\x1b" not in cli("ls").out


def test_without_utf8_the_glyphs_are_ascii(answering, cli, monkeypatch):
    answering(ls=listed(drawn(), 6, 6))
    monkeypatch.setenv("LC_ALL", "C")

    out = cli("ls").out

    assert out.isascii() and "X failed" in out and "* running" in out


def test_hostile_text_makes_no_rows_and_no_escapes(answering, cli, home):
    evil = "\x1b[2J\u009b31m\u202e\nFAKE ROW\r"
    answering(ls=listed([a_task(1, evil, "failed", queue=evil, reason=evil)], 1, 1))

    assert len(cli("ls").out.splitlines()) == 2
    assert b"\x1b[2J" not in on_terminal(home, "ls") and b"\x1b" not in on_terminal(home, "ls", "--json")


def test_json_on_a_terminal_is_ascii(answering, home):
    answering(ls={"tasks": [a_task(1, "夜\x7f\udcff", "failed")], "total": 1, "of": 1})

    out = on_terminal(home, "ls", "--json").partition(b"1 task")[0]

    assert out.isascii() and b"\x7f" not in out
    assert json.loads(out)[0]["name"] == "夜\x7f\udcff"


def test_json_in_a_pipe_is_utf8_unless_there_are_bytes_that_are_none(answering, cli):
    answering(ls={"tasks": [a_task(1, "夜", "failed")], "total": 1, "of": 1})
    assert "夜" in cli("ls", "--json").out


def test_names_of_tasks_are_their_numbers_and_all_of_them(answering, cli):
    runtime = answering(ls=listed(drawn(), 6, 1204))

    said = cli("ls", "-o", "name", "--status", "failed")

    assert said.out.split() == [str(task["number"]) for task in drawn()]
    assert runtime.args("ls")["limit"] == 0 and runtime.args("ls")["brief"]
    cli("ls", "-o", "name", "--limit", "5")
    assert runtime.args("ls")["limit"] == 5


def test_tab_separated_tasks_have_a_header_and_one_line_each(answering, cli, home):
    evil = "a\tb\nc\\d\r\x1b[2J"
    answering(ls={"tasks": [a_task(1, evil, "failed", tags={"k": evil}, attempts=2, reason=None)], "total": 1, "of": 1})

    header, row, *rest = cli("ls", "-o", "tsv").out.split("\n")

    found = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert rest == [""] and found["number"] == "1" and found["reason"] == "" and found["attempts"] == "2"
    assert found["name"] == "a\\tb\\nc\\\\d\\r\x1b[2J"
    assert b"\x1b" not in on_terminal(home, "ls", "-o", "tsv")


def test_an_empty_table_still_has_its_header(answering, cli):
    answering(ls={"tasks": [], "total": 0, "of": 3})

    assert cli("ls", "-o", "tsv").out.startswith("number\tstatus\tname\t")


def test_json_may_be_asked_for_as_an_output_too(answering, cli):
    row = a_task(7, "x", "failed", created_at="then", updated_at="then")
    answering(ls={"tasks": [row], "total": 1, "of": 1}, show=row)

    for form in ("json", "jsonl"):
        assert cli("ls", "-o", form) == cli("ls", f"--{form}")
        assert cli("show", "7", "--output", form).out == cli("show", "7", f"--{form}").out
    assert "Nearest: json" in cli("show", "7", "-o", "jsn").err
    assert "must be json or jsonl" in cli("show", "7", "-o", "tsv").err


def test_runs_and_operations_are_lists_for_programs_too(answering, cli):
    row = {"id": 31, "at": "2026-11-25T10:00:00.000000Z", "by": "ann", "verb": "set", "object": "task #7", "before": {"cpu": 1},
           "after": None}  # fmt: skip
    answering(instances=[a_run(2, "failed", exit_code=1)], operations=[row])

    assert cli("instances", "-o", "name").out == "run-2\n" and cli("operations", "-o", "name").out == "31\n"
    header, line = cli("operations", "-o", "tsv").out.splitlines()
    assert header.startswith("id\tat\tby\tverb\tobject\tname\tbefore\tafter\t")
    assert line.split("\t")[2:8] == ["ann", "set", "task #7", "", '{"cpu": 1}', ""]
    assert cli("instances", "-o", "tsv").out.splitlines()[1].split("\t")[:6] == ["run-2", "1", "x", "default", "2", "failed"]


def test_how_large_a_backup_is_stands_in_its_operation_as_people_read_it(answering, cli):
    answering(operations=[{"id": 31, "at": "2026-11-25T10:00:00.000000Z", "by": "ann", "verb": "db backup", "object": "backup x",
                           "before": None, "after": {"bytes": 376832}}])  # fmt: skip

    assert cli("operations").out.rstrip().endswith("backup x  368K")


def test_operations_are_asked_for_by_who_what_and_when(answering, cli):
    runtime = answering(operations=[])

    said = cli("operations", "gpu", "!set", "--by", "ann", "--object", "#42", "--since", "2h", "--verb", "hold", "--limit", "0")

    assert runtime.args("operations") == {"limit": 0, "by": "ann", "verb": "hold", "object": "task #42", "since": 7200,
                                          "words": ["gpu", "!set"]}  # fmt: skip
    assert said.err == "nothing of the kind was done\n"
    cli("operations", "--object", "queue media")
    assert runtime.args("operations") == {"limit": 50, "object": "queue media"}


UNDO = {
    "done": [
        {"id": 31, "text": "hold of #12 x: status queued → held", "back": "hold of #12 x: status held → queued"},
        {"id": 32, "text": "hold of #13 y"},
    ],
    "refused": [],
    "notes": [],
}


def test_an_operation_is_taken_back_by_its_number(answering, cli):
    runtime = answering(undo=UNDO)

    assert cli("undo", "31", "#32").out == "undone: hold of #12 x: status held → queued\nundone: hold of #13 y\n"
    assert runtime.args("undo") == {"ids": [31, 32]}
    assert cli("undo", "x").code == 2


def test_the_last_thing_is_named_before_it_is_taken_back(answering, cli, home):
    runtime = answering(undo=UNDO)

    said = cli("undo")
    assert said.code == 2 and "this would undo 2 operations, hold of #12 x: status held → queued; hold of #13 y." in said.err
    assert [args for _, args in runtime.asked] == [{"dry_run": True}]

    shown = on_terminal(home, "undo", typed=b"y\n", columns=200).decode()
    assert "Undo 2 operations, hold of #12 x: status held → queued; hold of #13 y? [y/N]" in shown
    assert runtime.args("undo") == {"ids": [31, 32]}
    answering(undo={"done": [], "refused": [{"message": "it was taken back already", "exit_code": 4}], "notes": []})
    assert cli("undo", "--yes").code == 4


def test_what_of_the_last_thing_cannot_be_undone_is_named_before_and_after(answering, cli, home):
    left = {"message": "#3 has changed since: status held → queued by bob, 2s ago. It was left as it is.", "exit_code": 4}
    runtime = answering(undo=Several([UNDO | {"refused": [left]}, UNDO]))

    said = cli("undo", "--yes")

    assert (said.code, said.err) == (1, f"taskdeck: {left['message']}\n")
    assert said.out == "undone: hold of #12 x: status held → queued\nundone: hold of #13 y\n"
    assert runtime.args("undo") == {"ids": [31, 32]}
    answering(undo=UNDO | {"refused": [left]})
    assert f"hold of #13 y. 1 cannot be undone: {left['message']} Nothing was changed." in cli("undo").err
    shown = on_terminal(home, "undo", typed=b"n\n", columns=250).decode()
    assert f"1 cannot be undone: {left['message']} Undo 2 operations" in shown


def test_an_interrupt_at_a_question_ends_by_that_signal_so_that_a_shell_stops_its_list(answering, home):
    runtime = answering(undo=UNDO)
    undo = f"{shlex.quote(sys.executable)} -P -m app undo"
    env = {"PATH": os.environ["PATH"], "TASKDECK_HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}

    with Terminal(["bash", "-c", f"{undo}; echo went on"], env, Path.cwd(), 200, 24) as terminal:
        terminal.wait("[y/N]").type("\x03")
        code = terminal.end()

    assert code == -signal.SIGINT and "went on" not in terminal.text
    assert [args for _, args in runtime.asked] == [{"dry_run": True}]


def test_without_a_runtime_states_may_be_old_and_that_is_said(td, runtime):
    held = runtime.submit("true", hold=True)
    assert td("ls").stderr == "1 task\n"
    runtime.kill()

    done = td("ls")

    assert held in done.stdout and "no runtime is up, so what has not ended may stand here in an old state." in done.stderr


def test_the_first_use_says_how_to_begin(answering, cli):
    answering(ls=listed([], 0, 0))

    assert cli("ls") == (0, "", "no task yet. The first: taskdeck submit -- COMMAND\n")


def test_runs_are_listed_with_what_they_took(answering, cli):
    runs = [
        a_run(2, "failed", exit_code=1, cpu_seconds=2.9, max_rss=84.0, run_seconds=3.2),
        a_run(1, "succeeded", exit_code=0),
    ]
    runtime = answering(instances=runs)

    lines = cli("instances", "#7").out.splitlines()

    assert runtime.args("instances") == {"id": "#7", "limit": 100}
    assert lines[1].split()[-5:] == ["3.2s", "2.9s", "84M", "exit", "1"] and lines[2].endswith("–")


def test_operations_tell_what_changed(answering, cli):
    row = {
        "id": 1,
        "at": ago(5),
        "by": "ann",
        "verb": "set priority",
        "object": "task #7",
        "before": {"priority": 0},
        "after": {"priority": 5},
    }
    answering(operations=[row])

    assert cli("operations").out.splitlines()[1].endswith("ann  set priority  task #7  priority 0 → 5")
    answering(operations=[row | {"verb": "submit", "before": None, "after": {"first": 7, "last": 7}}])
    assert cli("operations").out.splitlines()[1].endswith("ann  submit  task #7  task #7")
    rule = {"conditions": {"preset": "finishes-within", "value": "45m"}, "actions": {}}
    answering(operations=[row | {"verb": "sla create", "object": "sla a", "before": None, "after": rule}])
    assert "{" not in cli("operations").out and cli("operations").out.splitlines()[1].endswith("sla a  finishes within 45m")


def paged(*pages):
    """Answers to `browse`."""
    columns = [*LISTED, "run", "run_reason", "why", "expected", "at"]
    rows = [[[*[task.get(name) for name in columns[:-1]], task["number"]] for task in page] for page in pages]
    return Several(
        {"columns": columns, "rows": page, "more_after": at + 1 < len(rows), "total": 3, "of": 1204, "complete": True, "stopped": None}
        for at, page in enumerate(rows)
    )


def test_a_filter_line_is_read_as_the_deck_reads_it(answering, cli):
    waits = a_task(1053, "encode S02E06.mkv", "queued", queue="media", age=2460, why="queue full ~2m")
    runtime = answering(browse=paged([waits, *drawn()[2:3]]))

    said = cli("ls", "--filter", "name:enc* !word")

    assert runtime.args("browse") == {"filter": "name:enc* !word", "at": None, "limit": 100}
    assert said.out.splitlines()[1].endswith("queue full ~2m") and "nightly-etl" in said.out
    assert said.err == "2 of 1,204 tasks (newest first, 3 match). More: --limit 0\n"


def test_all_that_a_filter_line_finds_is_asked_for_page_by_page(answering, cli):
    runtime = answering(browse=paged(drawn()[:2], drawn()[2:3]))

    assert cli("ls", "--filter", "x", "-o", "name").out == "1062\n1053\n1047\n"
    assert [args["at"] for verb, args in runtime.asked] == [None, [1053, 1053]]
    answering(browse=paged(drawn()[:1]))
    assert json.loads(cli("ls", "--filter", "x", "--json").out)[0]["number"] == 1062
    answering(browse=paged(drawn()[:1]))
    assert cli("ls", "--filter", "x", "-o", "tsv").out.splitlines()[1].startswith("1062\tscheduled\t")


def test_a_filter_line_takes_the_place_of_the_other_filters(cli):
    for words in (("--filter", "x", "--queue", "q"), ("--filter", " ")):
        said = cli("ls", *words)
        assert said.code == 2 and "--filter" in said.err
