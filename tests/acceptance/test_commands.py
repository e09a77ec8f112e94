"""The command line as a user types it: real shells, real directories, real programs."""

from __future__ import annotations

import gzip
from pathlib import Path


def in_a_row(numbers):
    """Whether they were given one after the other; other tests have been given those before."""
    return numbers == [str(int(numbers[0]) + at) for at in range(len(numbers))]


def test_the_first_commands_at_once_on_a_fresh_home_all_succeed_and_meet_the_same_runtime(tidied):
    done = tidied.shell("for i in 1 2 3 4 5 6; do taskdeck submit -- true & done; wait")

    assert sorted(done.stdout.split()) == ["1", "2", "3", "4", "5", "6"]
    assert tidied.td("wait", *"123456").returncode == 0
    assert tidied.json("status")["runtime"]["state"] == "running"
    assert (tidied.home / "run" / "runtime.log").read_text().count("runtime up") == 1


def test_a_task_runs_where_it_was_submitted_with_that_environment(tidied):
    place = tidied.work / "one" / "two words"
    place.mkdir(parents=True)

    number = tidied.submit("--", "sh", "-c", 'pwd > where; echo "$COLOUR" > colour', cwd=place, COLOUR="green & blue")

    assert tidied.td("wait", number).returncode == 0
    assert (place / "where").read_text() == f"{place}\n"
    assert (place / "colour").read_text() == "green & blue\n"


def test_a_shell_loop_over_files_submits_one_task_each(tidied):
    for name in ("a b.txt", "-dash.txt", "c.txt"):
        (tidied.work / name).write_text(name)

    done = tidied.shell('for f in *; do taskdeck submit -- cp "./$f" "./$f.copy"; done')

    numbers = done.stdout.split()
    assert len(numbers) == 3 and in_a_row(numbers)
    assert tidied.td("wait", *numbers).returncode == 0
    assert sorted(p.name for p in tidied.work.glob("*.copy")) == ["-dash.txt.copy", "a b.txt.copy", "c.txt.copy"]


def test_a_loop_that_reads_its_lines_keeps_them_for_itself(tidied):
    done = tidied.shell(
        "printf 'one\\ntwo\\nthree\\n' | while read -r word; do taskdeck submit -- sh -c 'echo $0 > $0' \"$word\"; done"
    )

    numbers = done.stdout.split()
    assert len(numbers) == 3 and in_a_row(numbers)
    assert tidied.td("wait", *numbers).returncode == 0
    assert {p.name for p in tidied.work.iterdir()} == {"one", "two", "three"}


def test_submit_each_compresses_every_file_that_ls_names(tidied):
    names = ["plain.log", "with space.log", "ünï.log", "$(touch pwned).log"]
    for name in names:
        (tidied.work / name).write_text(name * 100)

    done = tidied.shell("ls | taskdeck submit --each -- gzip -k {}")

    numbers = done.stdout.split()
    assert len(numbers) == 4 and in_a_row(numbers)
    assert tidied.td("wait", *numbers).returncode == 0
    assert [gzip.decompress(Path(tidied.work, f"{name}.gz").read_bytes()).decode() for name in names] == [
        n * 100 for n in names
    ]
    assert not (tidied.work / "pwned").exists()


def test_a_submit_on_a_terminal_says_where_the_task_stands_and_prints_the_number(tidied):
    with tidied.terminal("submit", "--hold", "--", "true") as terminal:
        assert terminal.end() == 0

    (number,) = tidied.ok("ls", "-o", "name").split()
    assert terminal.lines[0] == number or number in terminal.text.split()
    assert len(terminal.text.split()) > 1


def test_submit_wait_ends_with_the_code_of_the_task(tidied):
    assert tidied.td("submit", "--wait", "--", "sh", "-c", "exit 7").returncode == 7
    assert tidied.td("submit", "--wait", "--", "no-such-program-here").returncode == 127


def test_tasks_chosen_by_filters_are_asked_for_named_and_counted(tidied):
    for n in range(5):
        last = tidied.submit("--name", f"enc {n}", "--hold", "--tag", f"n={n}", "--", "true")

    numbers = [int(last) - back for back in (1, 2, 3, 4)]
    refused = tidied.td("release", "--filter", "name:enc* !tag:n=4")
    assert refused.returncode == 2 and "this would release 4 held tasks. Nothing was changed." in refused.stderr
    with tidied.terminal("release", "--filter", "name:enc* !tag:n=4") as terminal:
        terminal.type("y\r")
        assert terminal.end() == 0
    named = "#{} enc 3, #{} enc 2, #{} enc 1".format(*numbers)
    assert f"Release 4 held tasks: {named}, …? [y/N]" in terminal.text and "4 tasks: queued" in terminal.text
    assert tidied.td("wait", *numbers).returncode == 0

    done = tidied.td("cancel", "--since", "1h", "--yes")
    assert (done.stdout, done.stderr) == ("1 task: cancelled\n", "")
    assert tidied.ok("rm", "--status", "succeeded", "--tag", "n=2", "--yes") == "1 task: deleted\n"
    assert tidied.td("retry", "--queue", "defualt", "--yes").returncode == 3


def test_numbers_go_through_a_pipe_to_the_next_command(tidied):
    numbers = [tidied.submit("--", "false") for _ in range(3)]
    tidied.td("wait", *numbers)

    done = tidied.shell("taskdeck ls --status failed -o name | xargs -r taskdeck set --priority 5; taskdeck ls -o name --status lost")

    assert done.stdout == ""
    assert tidied.shell("taskdeck ls --status failed -o name | sort -n | xargs -r taskdeck retry").stdout.count(": queued") == 3
    header, *rows = tidied.ok("ls", "-o", "tsv", "--limit", "0").splitlines()
    assert header.split("\t")[0] == "number" and sorted(row.split("\t")[0] for row in rows) == numbers


def test_what_was_done_here_is_named_and_taken_back(tidied):
    number = tidied.submit("--hold", "--", "true")
    tidied.ok("set", number, "--priority", "7")

    (last,) = tidied.json("operations", "--object", number, "--verb", "set", "--since", "1h")
    assert tidied.ok("undo", last["id"]) == f"undone: set priority of #{number} true: priority 7 → 0\n"
    assert tidied.json("show", number)["priority"] == 0
    again = tidied.td("undo", last["id"])
    assert again.returncode == 4 and "already" in again.stderr
