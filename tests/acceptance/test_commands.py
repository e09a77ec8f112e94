"""Acceptance tests of the command line in real shells and directories."""

from __future__ import annotations

import gzip
from pathlib import Path


def is_consecutive(numbers):
    """Return true if the numbers are consecutive; earlier tests have used lower numbers."""
    return numbers == [str(int(numbers[0]) + at) for at in range(len(numbers))]


def test_concurrent_first_commands_share_one_runtime(clean_home):
    done = clean_home.run_shell("for i in 1 2 3 4 5 6; do taskdeck submit -- true & done; wait")

    assert sorted(done.stdout.split()) == ["1", "2", "3", "4", "5", "6"]
    assert clean_home.run_cli("wait", *"123456").returncode == 0
    assert clean_home.run_json("status")["runtime"]["state"] == "running"
    assert (clean_home.home / "run" / "runtime.log").read_text().count("runtime up") == 1


def test_a_task_runs_in_its_submission_directory_and_environment(clean_home):
    place = clean_home.work / "one" / "two words"
    place.mkdir(parents=True)

    number = clean_home.submit(
        "--", "sh", "-c", 'pwd > where; echo "$COLOUR" > colour', cwd=place, COLOUR="green & blue"
    )

    assert clean_home.run_cli("wait", number).returncode == 0
    assert (place / "where").read_text() == f"{place}\n"
    assert (place / "colour").read_text() == "green & blue\n"


def test_a_shell_loop_submits_one_task_per_file(clean_home):
    for name in ("a b.txt", "-dash.txt", "c.txt"):
        (clean_home.work / name).write_text(name)

    done = clean_home.run_shell('for f in *; do taskdeck submit -- cp "./$f" "./$f.copy"; done')

    numbers = done.stdout.split()
    assert len(numbers) == 3 and is_consecutive(numbers)
    assert clean_home.run_cli("wait", *numbers).returncode == 0
    assert sorted(p.name for p in clean_home.work.glob("*.copy")) == [
        "-dash.txt.copy",
        "a b.txt.copy",
        "c.txt.copy",
    ]


def test_a_read_loop_keeps_its_input(clean_home):
    done = clean_home.run_shell(
        "printf 'one\\ntwo\\nthree\\n' | while read -r word; do taskdeck submit -- sh -c 'echo $0 >"
        ' $0\' "$word"; done'
    )

    numbers = done.stdout.split()
    assert len(numbers) == 3 and is_consecutive(numbers)
    assert clean_home.run_cli("wait", *numbers).returncode == 0
    assert {p.name for p in clean_home.work.iterdir()} == {"one", "two", "three"}


def test_submit_each_processes_every_listed_file(clean_home):
    names = ["plain.log", "with space.log", "ünï.log", "$(touch pwned).log"]
    for name in names:
        (clean_home.work / name).write_text(name * 100)

    done = clean_home.run_shell("ls | taskdeck submit --each -- gzip -k {}")

    numbers = done.stdout.split()
    assert len(numbers) == 4 and is_consecutive(numbers)
    assert clean_home.run_cli("wait", *numbers).returncode == 0
    assert [
        gzip.decompress(Path(clean_home.work, f"{name}.gz").read_bytes()).decode() for name in names
    ] == [n * 100 for n in names]
    assert not (clean_home.work / "pwned").exists()


def test_a_submit_on_a_terminal_prints_number_and_position(clean_home):
    with clean_home.open_terminal("submit", "--hold", "--", "true") as terminal:
        assert terminal.end() == 0

    (number,) = clean_home.run_ok("ls", "-o", "name").split()
    assert terminal.lines[0] == number or number in terminal.text.split()
    assert len(terminal.text.split()) > 1


def test_submit_wait_ends_with_the_code_of_the_task(clean_home):
    assert clean_home.run_cli("submit", "--wait", "--", "sh", "-c", "exit 7").returncode == 7
    assert clean_home.run_cli("submit", "--wait", "--", "no-such-program-here").returncode == 127


def test_a_bulk_action_asks_names_and_counts(clean_home):
    for n in range(5):
        last = clean_home.submit("--name", f"enc {n}", "--hold", "--tag", f"n={n}", "--", "true")

    numbers = [int(last) - back for back in (1, 2, 3, 4)]
    refused = clean_home.run_cli("release", "--filter", "name:enc* !tag:n=4")
    assert (
        refused.returncode == 2
        and "this would release 4 held tasks. Nothing was changed." in refused.stderr
    )
    with clean_home.open_terminal("release", "--filter", "name:enc* !tag:n=4") as terminal:
        terminal.type("y\r")
        assert terminal.end() == 0
    named = "#{} enc 3, #{} enc 2, #{} enc 1".format(*numbers)
    assert (
        f"Release 4 held tasks: {named}, …? [y/N]" in terminal.text
        and "4 tasks: queued" in terminal.text
    )
    assert clean_home.run_cli("wait", *numbers).returncode == 0

    done = clean_home.run_cli("cancel", "--since", "1h", "--yes")
    assert (done.stdout, done.stderr) == ("1 task: cancelled\n", "")
    assert (
        clean_home.run_ok("rm", "--status", "succeeded", "--tag", "n=2", "--yes")
        == "1 task: deleted\n"
    )
    assert clean_home.run_cli("retry", "--queue", "defualt", "--yes").returncode == 3


def test_task_numbers_can_be_piped_to_the_next_command(clean_home):
    numbers = [clean_home.submit("--", "false") for _ in range(3)]
    clean_home.run_cli("wait", *numbers)

    done = clean_home.run_shell(
        "taskdeck ls --status failed -o name | xargs -r taskdeck set --priority 5; taskdeck ls -o"
        " name --status lost"
    )

    assert done.stdout == ""
    assert (
        clean_home.run_shell(
            "taskdeck ls --status failed -o name | sort -n | xargs -r taskdeck retry"
        ).stdout.count(": queued")
        == 3
    )
    header, *rows = clean_home.run_ok("ls", "-o", "tsv", "--limit", "0").splitlines()
    assert (
        header.split("\t")[0] == "number"
        and sorted((row.split("\t")[0] for row in rows), key=int) == numbers
    )


def test_undo_names_and_reverts_the_last_operation(clean_home):
    number = clean_home.submit("--hold", "--", "true")
    clean_home.run_ok("set", number, "--priority", "7")

    (last,) = clean_home.run_json(
        "operations", "--object", number, "--verb", "set", "--since", "1h"
    )
    assert (
        clean_home.run_ok("undo", last["id"])
        == f"undone: set priority of #{number} true: priority 7 → 0\n"
    )
    assert clean_home.run_json("show", number)["priority"] == 0
    again = clean_home.run_cli("undo", last["id"])
    assert again.returncode == 4 and "already" in again.stderr
