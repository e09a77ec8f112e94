"""A warm copy of the database on a second disk or host, kept by the real sqlite3_rsync, and a copy that becomes the home."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.cli.demo_end import end_all
from app.errors import Conflict
from app.runtime import replicating, serve
from app.runtime.dispatcher import Dispatcher
from app.runtime.feed import Feed
from app.runtime.replicating import Replicating, in_a_line
from app.runtime.usage import Usage
from db.engine import open_database
from tests.acceptance.house import House
from tests.living import until
from tests.service.ready import a_call


def replica(house: House) -> Any:
    """What `db replica --json` says, whose exit code tells of a problem."""
    return json.loads(house.td("db", "replica", "--json").stdout)


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as c:
        return [number for (number,) in c.execute("SELECT number FROM tasks ORDER BY number")]


def test_the_copy_is_made_at_once_says_how_old_it_is_and_starts_nothing(house: House, tmp_path: Path):
    task, there = house.submit("--", "/bin/true"), tmp_path / "second"
    house.ok("wait", task)

    said = json.loads(house.ok("db", "replica", "set", str(there), "--json"))

    assert (said["target"], said["problem"], said["late"]) == (str(there), None, False) and said["lag"] < 60
    assert numbers(there / "replica.db") == [int(task)]
    assert json.loads(house.ok("db", "replica", "--json"))["target"] == str(there)
    refused = house.td("--home", str(there), "submit", "--", "/bin/true")
    assert refused.returncode == 4 and "is the replica of" in refused.stderr and "db promote" in refused.stderr


@pytest.mark.parametrize("words", [(), ("ls",), ("status",), ("doctor",), ("export",), ("db", "check"), ("db", "migrate")])
def test_no_command_takes_the_copy_for_a_home_in_which_there_is_nothing(house: House, tmp_path: Path, words: tuple[str, ...]):
    house.submit("--hold", "--", "/bin/true")
    there = tmp_path / "second"
    house.ok("db", "replica", "set", str(there))

    refused = house.td("--home", str(there), *words)

    assert refused.returncode == 4 and refused.stdout == ""
    assert f"{there} is the replica of" in refused.stderr and f"taskdeck --home {there} db promote" in refused.stderr
    assert os.listdir(there) == ["replica.db"]
    assert house.td("--home", str(there), *words, "--help").returncode == 0 and house.td("--home", str(there), "version").returncode == 0


def test_no_deck_opens_on_a_copy(house: House, tmp_path: Path):
    house.submit("--hold", "--", "/bin/true")
    there = tmp_path / "second"
    house.ok("db", "replica", "set", str(there))

    with house.terminal("--home", str(there)) as deck:
        deck.wait("db promote")
        assert deck.end() == 4

    assert os.listdir(there) == ["replica.db"]


def test_a_promoted_copy_is_a_home_whose_numbers_go_on_behind_those_that_may_have_been_given(house: House, tmp_path: Path):
    there = tmp_path / "second"
    held = house.submit("--hold", "--", "/bin/echo", "from the copy")
    house.ok("db", "replica", "set", str(there))
    late = house.submit("--hold", "--", "/bin/true")
    alive = house.td("--home", str(there), "db", "promote", "--yes")
    assert alive.returncode == 4 and f"First: taskdeck --home {house.home} stop" in alive.stderr and not (there / "taskdeck.db").exists()
    house.ok("stop")
    unsure = house.td("--home", str(there), "db", "promote")
    assert unsure.returncode == 2 and "nothing was changed" in unsure.stderr.lower()

    told = house.td("--home", str(there), "db", "promote", "--yes")

    assert told.returncode == 0 and "is a home of its own now" in told.stdout and "is missing here" in told.stderr
    assert told.stdout.endswith(f"Type: taskdeck --home {there} serve --detach\n")
    fresh = int(house.ok("--home", str(there), "submit", "--", "/bin/true"))
    assert fresh > int(late)
    house.ok("--home", str(there), "release", held)
    house.ok("--home", str(there), "wait", held)
    assert house.ok("--home", str(there), "logs", held) == "from the copy\n"
    assert house.td("--home", str(there), "db", "promote", "--yes").returncode == 4
    house.ok("serve", "--detach")
    house.ok("db", "replica", "set", str(tmp_path / "third"))  # the first home lives on, and goes on copying
    assert house.td("db", "replica", "set", str(there)).returncode == 4
    assert int(house.ok("--home", str(there), "submit", "--", "/bin/true")) == fresh + 1
    house.ok("--home", str(there), "stop")


def lacks(house: House, number: str, there: Path) -> bool:
    return int(number) not in numbers(there / "replica.db")


def test_what_was_submitted_last_is_in_the_copy_once_the_runtime_was_stopped(house: House, tmp_path: Path):
    there = tmp_path / "second"
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "replica", "set", str(there))

    by_word = house.submit("--hold", "--", "/bin/true")
    assert lacks(house, by_word, there)
    house.ok("stop")
    assert not lacks(house, by_word, there)

    house.ok("serve", "--detach")
    pid = house.json("status")["runtime"]["pid"]
    by_signal = house.submit("--hold", "--", "/bin/true")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
    assert not lacks(house, by_signal, there)


def test_a_runtime_that_is_replaced_makes_no_last_copy(house: House, tmp_path: Path):
    there = tmp_path / "second"
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "replica", "set", str(there))
    late = house.submit("--hold", "--", "/bin/true")

    house.ok("serve", "--detach", "--replace")

    assert lacks(house, late, there)


async def test_a_last_copy_that_does_not_come_to_its_end_keeps_nobody_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def never(self: Replicating) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Replicating, "sync", never)
    monkeypatch.setattr(serve, "LAST_COPY", 0.05)
    async with a_call(tmp_path) as call:
        runtime = serve.Runtime(tmp_path, Dispatcher(call.db, tmp_path), Usage(tmp_path), Feed())
        await runtime.copy_at_last()
        assert caplog.messages == []
        runtime.terminate()
        await runtime.copy_at_last()

    assert caplog.messages == ["the replica lacks what was written last: it took over 0 s"]


def test_a_copy_is_not_promoted_while_jobs_of_its_home_run_on_without_a_runtime(house: House, tmp_path: Path):
    there, gate = tmp_path / "second", tmp_path / "gate"
    os.mkfifo(gate)
    task = house.submit("--retries", "2", "-c", f"read word < {gate}")
    until(lambda: house.json("show", task)["status"] == "running", "it runs")
    house.ok("db", "replica", "set", str(there))
    house.ok("stop")

    refused = house.td("--home", str(there), "db", "promote", "--yes")

    assert refused.returncode == 4 and "has jobs that still run (pid " in refused.stderr and "cancel TASK" in refused.stderr
    assert (there / "replica.db").exists() and not (there / "taskdeck.db").exists()
    gate.write_text("go\n")
    until(lambda: house.td("--home", str(there), "db", "promote", "--yes").returncode == 0, "its keeper is gone")


def test_a_home_that_comes_back_does_not_reach_the_copy_that_was_promoted(house: House, tmp_path: Path):
    there = tmp_path / "second"
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "replica", "set", str(there))
    house.ok("stop")
    house.ok("--home", str(there), "db", "promote", "--yes")
    only_there = house.ok("--home", str(there), "submit", "--hold", "--", "/bin/true").strip()

    synced(house)

    assert int(only_there) in numbers(there / "taskdeck.db") and not (there / "replica.db").exists()
    told = replica(house)
    assert told["promoted"] and told["late"]
    house.ok("serve", "--detach")
    said = house.td("db", "replica")
    assert said.returncode == 1 and "it was promoted, and is a home of its own now. Nothing is copied there any more." in said.stdout
    house.ok("--home", str(there), "stop")


def synced(house: House) -> None:
    """The copy is brought up to date once, as the runtime's duty does it."""

    async def sync() -> None:
        async with open_database(house.home / "taskdeck.db", writable=True) as db:
            await Replicating(db, house.home).sync()

    asyncio.run(sync())


def test_without_the_program_it_says_what_brings_it_to_this_very_interpreter(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    house.submit("--hold", "--", "/bin/true")
    house.ok("stop")
    monkeypatch.setattr(replicating, "tool", lambda: None)
    monkeypatch.setattr(sys, "executable", "/srv/my tools/bin/python3")

    async def choose() -> None:
        async with open_database(house.home / "taskdeck.db", writable=True) as db:
            await Replicating(db, house.home).choose(str(tmp_path / "second"), "ann")

    with pytest.raises(Conflict) as refused:
        asyncio.run(choose())
    assert refused.value.hint == "Type: '/srv/my tools/bin/python3' -m pip install apsw"


def test_a_copy_that_is_promoted_has_no_backups_of_another_home(house: House, tmp_path: Path):
    there = tmp_path / "second"
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "backup")
    house.ok("db", "replica", "set", str(there))
    house.ok("stop")
    assert (there / "replica.db").exists() and house.json("status")["backup"]["at"]

    house.ok("--home", str(there), "db", "promote", "--yes")

    with closing(sqlite3.connect(there / "taskdeck.db")) as c:
        assert c.execute("SELECT count(*) FROM backups").fetchone() == (0,)
    assert "no backup yet" in house.ok("--home", str(there), "status")


def test_a_copy_on_another_host_goes_over_ssh(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    there = tmp_path / "far"
    there.mkdir()
    ssh(house, monkeypatch, tmp_path, FAR)
    task = house.submit("--hold", "--", "/bin/true")

    house.ok("db", "replica", "set", f"ann@far:{there}")

    assert numbers(there / "replica.db") == [int(task)]
    own = (there / "replica.db.of").read_text()
    (there / "replica.db.of").write_text("far:/another/home\n")
    refused = house.td("db", "replica", "set", f"ann@far:{there}")
    assert refused.returncode == 4 and f"ann@far:{there} has the copy of far:/another/home. It was not touched" in refused.stderr
    assert own.splitlines()[0].endswith(f":{house.home}") and numbers(there / "replica.db") == [int(task)]
    (there / "replica.db").rename(there / "taskdeck.db")  # promoted over there
    house.ok("stop")
    synced(house)
    assert replica(house)["promoted"] and not (there / "replica.db").exists()


def test_a_good_copy_is_not_given_up_for_a_place_that_takes_none(house: House, far: Path, tmp_path: Path):
    before = replica(house)["target"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taskdeck.db").touch()

    gone = house.td("db", "replica", "set", f"far:{tmp_path}/gone")
    theirs = house.td("db", "replica", "set", f"far:{tmp_path}/home")

    assert gone.returncode == 4 and f"no copy can be made in far:{tmp_path}/gone" in gone.stderr and f"{before} goes on" in gone.stderr
    assert theirs.returncode == 4 and f"far:{tmp_path}/home is a home of its own. It was not touched" in theirs.stderr
    assert replica(house)["target"] == before and replica(house)["problem"] is None
    assert not (tmp_path / "gone").exists() and [path.name for path in (tmp_path / "home").iterdir()] == ["taskdeck.db"]


def test_a_place_that_is_chosen_again_while_a_copy_goes_there_has_one(house: House, far: Path, tmp_path: Path):
    slow, busy, both, go = (tmp_path / name for name in ("bin/ssh", "busy", "both", "go"))
    copying = f"mkdir {busy} || touch {both}; until test -e {go}; do sleep 0.02; done; sh -c \"$*\"; rmdir {busy}; exit 0"
    first = f"case $* in *sqlite3_rsync*) {copying};; esac\necho >> {tmp_path}/asked"
    slow.write_text(slow.read_text().replace("\nexec", f"\n{first}\nexec"))
    with ThreadPoolExecutor() as apart:
        sets = [apart.submit(house.td, "db", "replica", "set", f"far:{far}") for _ in range(2)]
        until(lambda: busy.exists() and (tmp_path / "asked").read_text().count("\n") > 2, "a copy on its way, and another wanted")
        go.touch()
        assert [done.result().returncode for done in sets] == [0, 0]

    assert not both.exists() and replica(house)["problem"] is None and replica(house)["at"]


FAR = 'while [ "${1#-}" != "$1" ]; do shift 2; done\nshift\nexec sh -c "$*"'
"""What an ssh does whose other host is this one."""


@pytest.fixture
def second(far: Path, house: House, tmp_path: Path) -> Iterator[House]:
    """Another home of the same user, which is not there yet."""
    other = copy.copy(house)
    other.home = tmp_path / "second"
    other.env = house.env | {"TASKDECK_HOME": str(other.home)}
    yield other
    other.close()


@pytest.fixture
def far(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copy of the home, which has one task, lies on another host."""
    there = tmp_path / "far"
    there.mkdir()
    ssh(house, monkeypatch, tmp_path, FAR)
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "replica", "set", f"far:{there}")
    return there


def test_a_copy_on_another_host_that_lost_its_mark_is_not_written_over_and_is_marked_anew(house: House, second: House, far: Path):
    mark = (far / "replica.db.of").read_text()
    second.submit("--hold", "--", "/bin/true", "theirs")
    second.submit("--hold", "--", "/bin/true", "theirs")
    (far / "replica.db.of").unlink()

    refused = second.td("db", "replica", "set", f"far:{far}")

    assert refused.returncode == 4 and f"far:{far} has a copy that is none of this home. It was not touched." in refused.stderr
    assert numbers(far / "replica.db") == [1] and not (far / "replica.db.of").exists()
    house.ok("stop")
    synced(house)
    assert replica(house)["problem"] is None and (far / "replica.db.of").read_text() == mark


def test_a_copy_that_another_home_has_taken_is_told_at_the_next_time(house: House, far: Path):
    house.ok("stop")
    (far / "replica.db.of").write_text("far:/another/home\n2020-01-01T00:00:00.000000Z\n")
    before = (far / "replica.db").read_bytes()

    synced(house)

    assert "it has the copy of far:/another/home. Remove replica.db there" in replica(house)["problem"]
    assert (far / "replica.db").read_bytes() == before
    (far / "replica.db").unlink()  # a mark alone refuses nobody
    synced(house)
    assert replica(house)["problem"] is None and "another" not in (far / "replica.db.of").read_text()


def test_a_folder_that_another_home_has_taken_is_told_at_the_next_time(house: House, second: House, tmp_path: Path):
    there = tmp_path / "there"
    house.ok("db", "replica", "set", there)
    house.ok("stop")
    (there / "replica.db").unlink()
    second.submit("--hold", "--", "/bin/true", "theirs")
    second.ok("db", "replica", "set", there)

    synced(house)

    assert f":{second.home}. Remove replica.db there, or choose another folder" in replica(house)["problem"]


@pytest.mark.parametrize("chosen", ["before", "anew"])
@pytest.mark.parametrize("host", ["far:", ""])
def test_a_home_that_was_moved_knows_its_copy(house: House, second: House, far: Path, tmp_path: Path, host: str, chosen: str):
    there = far if host else tmp_path / "near"
    house.ok("db", "replica", "set", f"{host}{there}")
    if chosen == "anew":
        house.ok("db", "replica", "off")
    house.ok("stop")
    end_all(str(house.home))
    shutil.move(house.home, second.home)

    if chosen == "anew":
        second.ok("serve", "--detach")
        second.ok("db", "replica", "set", f"{host}{there}")
    else:
        synced(second)

    assert replica(second)["problem"] is None
    with closing(sqlite3.connect(there / "replica.db")) as c:
        assert c.execute("SELECT origin FROM replicas").fetchone()[0].endswith(f":{second.home}")
    assert not host or str(second.home) in (there / "replica.db.of").read_text()


def ssh(house: House, monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """ssh is a program here that runs what it is told on this machine, as the real one does on another."""
    import apsw.sqlite_extra

    tools = folder / "bin"
    tools.mkdir()
    (tools / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "ssh").chmod(0o755)
    os.symlink(apsw.sqlite_extra.path("sqlite3_rsync"), tools / "sqlite3_rsync")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    house.env["PATH"] = f"{tools}:{house.env['PATH']}"


def test_what_ssh_says_is_told_in_one_line_and_once(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    house.submit("--hold", "--", "/bin/true")
    ssh(house, monkeypatch, tmp_path, "printf 'ssh: Could not resolve hostname far: Name or service not known\\r\\n' >&2\nexit 255")

    failed = house.td("db", "replica", "set", "ann@far:/srv/taskdeck")

    assert failed.returncode == 1 and failed.stdout.count("Could not resolve") == 1 and failed.stdout.endswith("not known\n")
    assert replica(house)["problem"] == "ssh: Could not resolve hostname far: Name or service not known"


def test_what_sqlite3_rsync_hands_on_is_told_once():
    twice = b"ssh: no route\r\nssh: no route\r\nDatabases were not synced due to errors\n"
    assert in_a_line(twice) == "ssh: no route"
    assert in_a_line(b"ERROR: cannot open\r\nthe other\n") == "cannot open; the other"


def test_the_copy_before_is_told_of_when_another_place_is_chosen_or_none(house: House, tmp_path: Path):
    house.submit("--hold", "--", "/bin/true")
    first, second = tmp_path / "first", tmp_path / "second"
    assert "gets old" not in house.td("db", "replica", "set", str(first)).stderr
    assert f"The copy in {first} stays there, and gets old" in house.td("db", "replica", "set", str(second)).stderr
    assert "gets old" not in house.td("db", "replica", "set", str(second)).stderr
    assert f"The copy in {second} stays there, and gets old" in house.td("db", "replica", "off").stderr


def test_a_folder_in_the_home_and_one_of_other_files_are_refused(house: House, tmp_path: Path):
    house.submit("--hold", "--", "/bin/true")
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.mkdir()
    (theirs / "thesis.tex").touch()
    link.symlink_to(house.home)

    inside = "lies in the home"
    for place, says in ((house.home / "copy", inside), (link / "copy", inside), (theirs, "holds other files, as thesis.tex")):
        refused = house.td("db", "replica", "set", str(place))
        assert refused.returncode == 4 and says in refused.stderr and not (place / "replica.db").exists()
    assert replica(house)["target"] is None and not (house.home / "copy").exists()


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("", "needs a folder"), ("second", "must begin with /"), ("-oProxyCommand=x:/tmp/y", "needs a folder"),
        (":/x", "no host stands before the colon"), ("a:b:/x", "must begin with /"),
        ("host:", "no folder stands behind host:. Nothing was changed. Type: taskdeck db replica set host:/mnt/second/taskdeck"),
        ("/nowhere/at/all", "there is no folder /nowhere/at, in which all is to be made. Nothing was changed. Is its disk mounted?"),
    ],
)  # fmt: skip
def test_what_is_no_place_for_a_copy_is_refused(house: House, to: str, says: str):
    house.submit("--hold", "--", "/bin/true")
    refused = house.td("db", "replica", "set", "--", to) if to.startswith("-") else house.td("db", "replica", "set", to)
    assert refused.returncode in (2, 4) and says in refused.stderr
    assert json.loads(house.ok("db", "replica", "--json"))["target"] is None


def test_neither_the_home_nor_another_database_is_written_over(house: House, tmp_path: Path):
    house.submit("--hold", "--", "/bin/true")
    assert "is the home itself" in house.td("db", "replica", "set", str(house.home)).stderr
    there = tmp_path / "theirs"
    there.mkdir()
    with closing(sqlite3.connect(there / "taskdeck.db")) as c:
        c.execute("CREATE TABLE songs (title)")
    before = (there / "taskdeck.db").read_bytes()
    assert "It was not touched" in house.td("db", "replica", "set", str(there)).stderr
    assert (there / "taskdeck.db").read_bytes() == before


def test_a_copy_that_cannot_be_made_says_why_and_off_ends_it(house: House, tmp_path: Path):
    house.submit("--hold", "--", "/bin/true")
    there = tmp_path / "second"
    (there / "replica.db").mkdir(parents=True)
    failed = house.td("db", "replica", "set", str(there))
    assert failed.returncode != 0
    house.ok("db", "replica", "off")
    assert "there is no replica" in house.ok("db", "replica")
