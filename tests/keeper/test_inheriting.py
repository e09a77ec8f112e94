"""What a keeper of the previous protocol left is taken over when it is dead, and left alone while it lives."""

import os
import signal

import pytest

from tests.keeper.test_survival import GATED, cut_after_intent

LOST = (True, "supervisors killed")


def gated(home, tmp_path, code=0, **more):
    """A run that ends with the code once the gate is there."""
    return home.spawn("sh", "-c", GATED.format(tmp_path / "go", code), **more)


def inherited(home):
    """What it says when it is asked to inherit."""
    home.send("inherit")
    while (event := home.next())["is"] != "inherited":
        pass
    return event


def test_beside_a_living_one_nothing_is_taken_over_and_each_knows_its_own(before, empty_home, tmp_path):
    old = gated(before, tmp_path, 3)
    files = before.segments()

    empty_home.revive()
    new = empty_home.run("sh", "-c", "exit 4")["run"]

    assert empty_home.hello["previous"] and inherited(empty_home) == {"is": "inherited", "previous": True, "runs": []}
    assert before.segments() == files
    assert empty_home.greet() and [event["run"] for event in empty_home.hello["runs"]] == [new]
    (tmp_path / "go").touch()
    assert before.event("ended", old)["code"] == 3


def test_an_end_that_nobody_was_told_of_is_told_by_the_next_that_comes_up(before, empty_home):
    run = before.run("sh", "-c", "exit 7")["run"]
    before.kill_both()

    empty_home.revive()

    assert (empty_home.known(run)["code"], empty_home.known(run)["lost"]) == (7, False)
    assert not empty_home.hello["previous"]
    assert not before.journal.exists()


def test_a_home_that_never_had_another_inherits_nothing(home):
    assert not home.hello["previous"]
    assert inherited(home) == {"is": "inherited", "previous": False, "runs": []}


@pytest.mark.parametrize("up_before", [True, False])
def test_a_run_that_lives_on_is_looked_after_as_one_of_dead_supervisors(before, empty_home, tmp_path, up_before):
    run = gated(before, tmp_path)
    if up_before:
        empty_home.revive()
    before.kill_both()
    if up_before:
        assert [event["run"] for event in inherited(empty_home)["runs"]] == [run]
    else:
        assert empty_home.revive() and empty_home.known(run)["is"] == "started"

    (tmp_path / "go").touch()
    end = empty_home.event("ended", run)

    assert (end["lost"], end["reason"]) == LOST


def test_it_can_be_stopped_and_its_deadline_holds(before, empty_home, is_alive):
    empty_home.revive()
    cancelled = before.spawn("sleep", "60", wait=False)
    pid = before.event("started", cancelled)["pid"]
    overdue = before.spawn("sleep", "60", timeout=0.1, grace=0.5)
    before.kill_both()

    inherited(empty_home)
    empty_home.send("stop", run=cancelled, reason="cancel", grace=1)
    ends = {}
    while len(ends) < 2:
        event = empty_home.next()
        if event["is"] == "ended":
            ends[event["run"]] = event["stop"]

    assert ends == {cancelled: "cancel", overdue: "timeout"}
    assert not is_alive(pid)


def test_a_stop_that_was_begun_is_carried_through(before, empty_home, is_alive, wait_until, tmp_path):
    empty_home.revive()
    run = before.spawn("sh", "-c", f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.05; done", wait=False)
    pid = before.event("started", run)["pid"]
    wait_until((tmp_path / "deaf").exists, "a job that hears no TERM")
    before.send("stop", run=run, reason="cancel", grace=2.0)
    before.settle()
    before.kill_both()

    inherited(empty_home)

    assert empty_home.event("ended", run)["stop"] == "cancel"
    assert not is_alive(pid)


@pytest.mark.parametrize("who", ["pid", "guard"])
def test_what_was_inherited_while_it_served_outlives_the_keeper_and_the_guard(before, empty_home, tmp_path, who):
    empty_home.revive()
    told, lives = before.run("sh", "-c", "exit 5")["run"], gated(before, tmp_path)
    before.kill_both()
    assert len(inherited(empty_home)["runs"]) == 2

    empty_home.kill(who)
    assert (empty_home.known(told)["code"], empty_home.known(lives)["is"]) == (5, "started")
    empty_home.kill_both()
    empty_home.revive()
    assert (empty_home.known(told)["code"], empty_home.known(lives)["is"]) == (5, "started")
    (tmp_path / "go").touch()

    assert empty_home.event("ended", lives)["lost"]


def test_a_keeper_that_dies_between_taking_and_reading_leaves_a_run_that_lives_to_the_next(before, empty_home, tmp_path):
    """Its guard must not look for the process of a lone intent among its own children, and refuse the run when there is none."""
    empty_home.revive()
    run = gated(before, tmp_path)
    before.kill_both()
    (segment,) = before.journal.iterdir()
    cut_after_intent(segment)
    os.kill(empty_home.hello["pid"], signal.SIGSTOP)
    before.journal.rename(empty_home.journal / "00000001.taken")

    empty_home.kill("pid")

    assert empty_home.known(run)["is"] == "started"
    (tmp_path / "go").touch()
    assert empty_home.event("ended", run)["lost"]


@pytest.mark.parametrize("lives", [True, False])
def test_an_intent_without_a_pid_is_found_by_its_cookie_or_lost_and_never_refused(
    before, empty_home, tmp_path, wait_until, lives
):
    empty_home.revive()
    run = before.spawn("sh", "-c", GATED.format(tmp_path / "go", 0), wait=False)
    pid = before.event("started", run)["pid"]
    before.kill_both()
    (segment,) = before.journal.iterdir()
    cut_after_intent(segment)
    if not lives:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "gone")

    (event,) = inherited(empty_home)["runs"]

    if lives:
        assert (event["is"], event["pid"]) == ("started", pid)
    else:
        assert (event["is"], event["run"], event["lost"], event["reason"]) == ("ended", run, *LOST)


def test_what_was_forgotten_leaves_no_file(before, empty_home, wait_until):
    runs = [before.run("true")["run"] for _ in range(3)]
    before.kill_both()
    empty_home.revive()
    inherited(empty_home)

    empty_home.send("forget", runs=runs)
    empty_home.settle()

    wait_until(lambda: not list(empty_home.journal.glob("*.taken")), "the file is removed")
    empty_home.kill("pid")
    assert empty_home.hello["runs"] == []


def test_a_journal_of_another_boot_ends_its_runs_as_lost(before, empty_home, is_alive):
    run = before.spawn("sleep", "60", wait=False)
    pid = before.event("started", run)["pid"]
    before.kill_both()
    (segment,) = before.journal.iterdir()
    segment.write_bytes(segment.read_bytes().replace(before.hello["boot"].encode(), b"another-boot".ljust(36, b"-")))

    empty_home.revive()

    assert (empty_home.known(run)["lost"], empty_home.known(run)["reason"]) == (True, "host restarted")
    assert is_alive(pid)


def test_two_journals_one_after_the_other_are_both_kept(before, empty_home):
    first = before.run("sh", "-c", "exit 1")["run"]
    before.kill_both()
    empty_home.revive()
    before.revive()
    second = before.run("sh", "-c", "exit 2")["run"]
    before.kill_both()

    inherited(empty_home)
    empty_home.kill_both()
    empty_home.revive()

    assert [empty_home.known(run)["code"] for run in (first, second)] == [1, 2]
