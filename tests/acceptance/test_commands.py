"""The command line as a user types it: real shells, real directories, real programs."""

from __future__ import annotations

import gzip
from pathlib import Path


def test_a_task_runs_where_it_was_submitted_with_that_environment_and_nothing_was_up_before(house):
    place = house.work / "one" / "two words"
    place.mkdir(parents=True)

    number = house.submit("--", "sh", "-c", 'pwd > where; echo "$COLOUR" > colour', cwd=place, COLOUR="green & blue")

    assert number == "1"
    assert house.td("wait", number).returncode == 0
    assert (place / "where").read_text() == f"{place}\n"
    assert (place / "colour").read_text() == "green & blue\n"
    assert house.json("status")["runtime"]["state"] == "running"


def test_the_first_commands_at_once_on_a_fresh_home_all_succeed(house):
    done = house.shell("for i in 1 2 3 4 5 6; do taskdeck submit -- true & done; wait")

    assert sorted(done.stdout.split()) == ["1", "2", "3", "4", "5", "6"]
    assert house.td("wait", *"123456").returncode == 0


def test_a_shell_loop_over_files_submits_one_task_each(house):
    for name in ("a b.txt", "-dash.txt", "c.txt"):
        (house.work / name).write_text(name)

    done = house.shell('for f in *; do taskdeck submit -- cp "./$f" "./$f.copy"; done')

    assert done.stdout.split() == ["1", "2", "3"]
    assert house.td("wait", 1, 2, 3).returncode == 0
    assert sorted(p.name for p in house.work.glob("*.copy")) == ["-dash.txt.copy", "a b.txt.copy", "c.txt.copy"]


def test_a_loop_that_reads_its_lines_keeps_them_for_itself(house):
    done = house.shell(
        "printf 'one\\ntwo\\nthree\\n' | while read -r word; do taskdeck submit -- sh -c 'echo $0 > $0' \"$word\"; done"
    )

    assert done.stdout.split() == ["1", "2", "3"]
    assert house.td("wait", 1, 2, 3).returncode == 0
    assert {p.name for p in house.work.iterdir()} == {"one", "two", "three"}


def test_submit_each_compresses_every_file_that_ls_names(house):
    names = ["plain.log", "with space.log", "ünï.log", "$(touch pwned).log"]
    for name in names:
        (house.work / name).write_text(name * 100)

    done = house.shell("ls | taskdeck submit --each -- gzip -k {}")

    assert done.stdout.split() == ["1", "2", "3", "4"]
    assert house.td("wait", 1, 2, 3, 4).returncode == 0
    assert [gzip.decompress(Path(house.work, f"{name}.gz").read_bytes()).decode() for name in names] == [
        n * 100 for n in names
    ]
    assert not (house.work / "pwned").exists()


def test_a_submit_on_a_terminal_says_where_the_task_stands_and_prints_the_number(house):
    with house.terminal("submit", "--hold", "--", "true") as terminal:
        assert terminal.end() == 0

    assert terminal.lines[0] == "1" or "1" in terminal.text.split()
    assert len(terminal.text.split()) > 1


def test_submit_wait_ends_with_the_code_of_the_task(house):
    assert house.td("submit", "--wait", "--", "sh", "-c", "exit 7").returncode == 7
    assert house.td("submit", "--wait", "--", "no-such-program-here").returncode == 127
