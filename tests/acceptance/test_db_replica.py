"""A warm copy of the database on a second disk or host, kept by the real sqlite3_rsync, and a copy that becomes the home."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shlex
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

from app import paths
from app.errors import Conflict
from app.runtime import replicator, serve
from app.runtime.change_feed import Feed
from app.runtime.dispatcher import Dispatcher
from app.runtime.replicator import Replicating, in_a_line
from app.runtime.usage import Usage
from app.service.database import backups
from app.service.database.replica import status
from tests.acceptance.acceptance_home import House
from tests.runtime_process import alive, until
from tests.service.calls import a_call, submitted


def replica(house: House) -> Any:
    """What `db replica --json` says, whose exit code tells of a problem."""
    return json.loads(house.td("db", "replica", "--json").stdout)


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as c:
        return [number for (number,) in c.execute("SELECT number FROM tasks ORDER BY number")]


def submitted_in(house: House) -> int:
    """The number of a new task, which is held."""
    return house.here(lambda call: submitted(call, hold=True))["number"]


def chosen(house: House, to: object) -> None:
    """The copy goes there from now on, and is made at once."""
    house.here(lambda call: Replicating(call.db, call.home).choose(str(to), "ann"))


def synced(house: House) -> None:
    """The copy is brought up to date once, as the runtime's duty does it."""
    house.here(lambda call: Replicating(call.db, call.home).sync())


def said_in(house: House) -> dict[str, Any]:
    """What `replica` says while no runtime is up."""
    return house.here(status)


FAR = 'while [ "${1#-}" != "$1" ]; do shift 2; done\nshift\nexec sh -c "$*"'
"""What an ssh does whose other host is this one."""


def ssh(folder: Path, script: str) -> Path:
    """A folder for a PATH: ssh is a program there that runs what it is told on this machine, as the real one does on another."""
    import apsw.sqlite_extra

    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "ssh").chmod(0o755)
    if not (tools / "sqlite3_rsync").exists():
        os.symlink(apsw.sqlite_extra.path("sqlite3_rsync"), tools / "sqlite3_rsync")
    return tools


@pytest.fixture(scope="module")
def one_up(shared_house: House) -> House:
    """A home with one held task and its runtime, which meets our ssh."""
    shared_house.env["PATH"] = f"{ssh(shared_house.work, FAR)}:{shared_house.env['PATH']}"
    shared_house.submit("--hold", "--", "/bin/true")
    return shared_house


@pytest.fixture
def up(one_up: House) -> Iterator[House]:
    """That home, of which nothing is copied before the test nor after it."""
    ssh(one_up.work, FAR)
    yield one_up
    one_up.ok("db", "replica", "off")


@pytest.fixture(scope="module")
def there(one_up: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a copy of that home lies."""
    there = tmp_path_factory.mktemp("copied") / "second"
    one_up.ok("db", "replica", "set", str(there))
    one_up.ok("db", "replica", "off")
    return there


def test_the_copy_is_made_at_once_says_how_old_it_is_and_starts_nothing(up: House, tmp_path: Path):
    task, there = up.submit("--", "/bin/true"), tmp_path / "second"
    up.ok("wait", task)

    said = json.loads(up.ok("db", "replica", "set", str(there), "--json"))

    assert (said["target"], said["problem"], said["late"]) == (str(there), None, False) and said["lag"] < 60
    assert numbers(there / "replica.db") == [1, int(task)]
    assert json.loads(up.ok("db", "replica", "--json"))["target"] == str(there)
    refused = up.td("--home", str(there), "submit", "--", "/bin/true")
    assert refused.returncode == 4 and "is the replica of" in refused.stderr and "db promote" in refused.stderr


@pytest.mark.parametrize("words", [(), ("ls",), ("status",), ("doctor",), ("export",), ("db", "check"), ("db", "migrate")])
def test_no_command_takes_the_copy_for_a_home_in_which_there_is_nothing(one_up: House, there: Path, words: tuple[str, ...]):
    refused = one_up.td("--home", str(there), *words)

    assert refused.returncode == 4 and refused.stdout == ""
    assert f"{there} is the replica of" in refused.stderr and f"taskdeck --home {there} db promote" in refused.stderr
    assert os.listdir(there) == ["replica.db"]


def test_no_deck_opens_on_a_copy_and_help_and_the_version_are_told_all_the_same(one_up: House, there: Path):
    for words in (["--help"], ["ls", "--help"], ["db", "check", "--help"], ["version"]):
        assert one_up.td("--home", str(there), *words).returncode == 0
    with one_up.terminal("--home", str(there)) as deck:
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
    chosen(house, tmp_path / "third")  # the first home lives on, and goes on copying
    assert (tmp_path / "third" / "replica.db").exists()
    with pytest.raises(Conflict, match="is a home of its own"):
        chosen(house, there)
    assert int(house.ok("--home", str(there), "submit", "--", "/bin/true")) == fresh + 1
    house.ok("--home", str(there), "stop")


def lacks(house: House, number: str, there: Path) -> bool:
    return int(number) not in numbers(there / "replica.db")


def test_what_was_submitted_last_is_in_the_copy_once_the_runtime_was_stopped_and_not_when_it_was_replaced(house: House, tmp_path: Path):
    there = tmp_path / "second"
    house.submit("--hold", "--", "/bin/true")
    house.ok("db", "replica", "set", str(there))

    by_word = house.submit("--hold", "--", "/bin/true")
    assert lacks(house, by_word, there)
    house.ok("stop")
    assert not lacks(house, by_word, there)

    house.ok("serve", "--detach")
    late = house.submit("--hold", "--", "/bin/true")
    house.ok("serve", "--detach", "--replace")
    assert lacks(house, late, there)
    pid = house.json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid), "it has ended")
    assert not lacks(house, late, there)


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

    assert refused.returncode == 4 and "has jobs that still run (pid " in refused.stderr
    assert (there / "replica.db").exists() and not (there / "taskdeck.db").exists()
    way = refused.stderr.partition("Wait for their end, or: ")[2].replace("TASK", task)
    for words in map(shlex.split, way.split(" && ")):
        house.ok(*words[1:])
    until(lambda: house.td("--home", str(there), "db", "promote", "--yes").returncode == 0, "its keeper is gone")


def test_what_is_to_be_typed_for_a_folder_with_a_blank_can_be_typed_and_the_logs_are_told_to_be_missing(house: House, tmp_path: Path):
    there = tmp_path / "my copy"
    house.ok("wait", house.submit("--", "/bin/echo", "seen"))
    assert house.ok("db", "replica", "set", str(there)).endswith(". The logs of runs (runs/) are not copied there\n")
    house.ok("stop")

    refused = house.td("--home", str(there), "ls").stderr
    words = shlex.split(refused.partition("Make it the home: ")[2])
    promoted = house.td(*words[1:], "--yes")

    assert words[1:] == ["--home", str(there), "db", "promote"]
    assert shlex.split(promoted.stdout.partition("Type: ")[2]) == ["taskdeck", "--home", str(there), "serve", "--detach"]
    copying = shlex.split(promoted.stderr.partition("To have them: ")[2])
    assert copying == ["rsync", "-a", f"{house.home}/runs/", f"{there}/runs/"]


def test_a_home_that_comes_back_does_not_reach_the_copy_that_was_promoted_and_has_no_backups_of_it(idle: House, tmp_path: Path):
    there = copy.copy(idle)
    there.home = tmp_path / "second"
    idle.here(backups.backup)
    idle.here(lambda call: backups.mirrored(call, idle.home / "backups"))
    chosen(idle, there.home)
    with closing(sqlite3.connect(there.home / "replica.db")) as c:
        assert c.execute("SELECT count(*) FROM backups").fetchone() == (1,)

    idle.ok("--home", str(there.home), "db", "promote", "--yes")
    with closing(sqlite3.connect(there.home / "taskdeck.db")) as c:
        assert c.execute("SELECT count(*) FROM backups").fetchone() == (0,)
    assert not there.ask("status")["backup"]["at"]
    only_there = submitted_in(there)
    synced(idle)

    assert only_there in numbers(there.home / "taskdeck.db") and not (there.home / "replica.db").exists()
    told = said_in(idle)
    assert told["promoted"] and told["late"]
    said = idle.td("db", "replica")
    assert said.returncode == 1 and "it was promoted, and is a home of its own now. Nothing is copied there any more." in said.stdout


def test_without_the_program_it_says_what_brings_it_to_this_very_interpreter(
    idle: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    monkeypatch.setattr(replicator, "tool", lambda: None)
    monkeypatch.setattr(sys, "executable", "/srv/my tools/bin/python3")

    with pytest.raises(Conflict) as refused:
        chosen(idle, tmp_path / "second")
    assert refused.value.hint == "Type: '/srv/my tools/bin/python3' -m pip install apsw"


def test_a_copy_on_another_host_goes_over_ssh(up: House, tmp_path: Path):
    there = tmp_path / "far"
    there.mkdir()

    up.ok("db", "replica", "set", f"ann@far:{there}")

    copied = numbers(there / "replica.db")
    assert 1 in copied
    own = (there / "replica.db.of").read_text()
    (there / "replica.db.of").write_text("far:/another/home\n")
    up.submit("--hold", "--", "/bin/true")
    refused = up.td("db", "replica", "set", f"ann@far:{there}")
    assert refused.returncode == 4 and f"ann@far:{there} has the copy of far:/another/home. It was not touched" in refused.stderr
    assert own.splitlines()[0].endswith(f":{up.home}") and numbers(there / "replica.db") == copied


def test_a_copy_that_was_promoted_on_another_host_is_told_at_the_next_time(idle: House, far: Path):
    (far / "replica.db").rename(far / "taskdeck.db")

    synced(idle)

    assert said_in(idle)["promoted"] and not (far / "replica.db").exists()


def test_a_good_copy_is_not_given_up_for_a_place_that_takes_none(up: House, tmp_path: Path):
    (tmp_path / "good").mkdir()
    before = f"far:{tmp_path}/good"
    up.ok("db", "replica", "set", before)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taskdeck.db").touch()

    gone = up.td("db", "replica", "set", f"far:{tmp_path}/gone")
    theirs = up.td("db", "replica", "set", f"far:{tmp_path}/home")

    assert gone.returncode == 4 and f"no copy can be made in far:{tmp_path}/gone" in gone.stderr and f"{before} goes on" in gone.stderr
    assert theirs.returncode == 4 and f"far:{tmp_path}/home is a home of its own. It was not touched" in theirs.stderr
    assert replica(up)["target"] == before and replica(up)["problem"] is None
    assert not (tmp_path / "gone").exists() and [path.name for path in (tmp_path / "home").iterdir()] == ["taskdeck.db"]


def test_a_place_that_is_chosen_again_while_a_copy_goes_there_has_one(up: House, tmp_path: Path):
    busy, both, go, far = (tmp_path / name for name in ("busy", "both", "go", "far"))
    far.mkdir()
    up.ok("db", "replica", "set", f"far:{far}")
    copying = f"mkdir {busy} || touch {both}; until test -e {go}; do sleep 0.02; done; sh -c \"$*\"; rmdir {busy}; exit 0"
    first = f"case $* in *sqlite3_rsync*) {copying};; esac\necho >> {tmp_path}/asked"
    ssh(up.work, FAR.replace("\nexec", f"\n{first}\nexec"))
    with ThreadPoolExecutor() as apart:
        sets = [apart.submit(up.td, "db", "replica", "set", f"far:{far}") for _ in range(2)]
        until(lambda: busy.exists() and (tmp_path / "asked").read_text().count("\n") > 2, "a copy on its way, and another wanted")
        go.touch()
        assert [done.result().returncode for done in sets] == [0, 0]

    assert not both.exists() and replica(up)["problem"] is None and replica(up)["at"]


@pytest.fixture
def second(house: House, tmp_path: Path) -> Iterator[House]:
    """Another home of the same user, which is not there yet."""
    other = copy.copy(house)
    other.home = tmp_path / "second"
    other.env = house.env | {"TASKDECK_HOME": str(other.home)}
    yield other
    other.close()


@pytest.fixture
def far(idle: House, tmp_path: Path) -> Path:
    """Where the copy of the home, which has one task, lies on another host."""
    there = tmp_path / "far"
    there.mkdir()
    idle.env["PATH"] = f"{ssh(tmp_path, FAR)}:{idle.env['PATH']}"
    chosen(idle, f"far:{there}")
    return there


def test_a_copy_on_another_host_that_lost_its_mark_is_not_written_over_and_is_marked_anew(idle: House, far: Path, second: House):
    mark = (far / "replica.db.of").read_text()
    second.submit("--hold", "--", "/bin/true", "theirs")
    second.submit("--hold", "--", "/bin/true", "theirs")
    (far / "replica.db.of").unlink()

    refused = second.td("db", "replica", "set", f"far:{far}")

    assert refused.returncode == 4 and f"far:{far} has a copy that is none of this home. It was not touched." in refused.stderr
    assert numbers(far / "replica.db") == [1] and not (far / "replica.db.of").exists()
    synced(idle)
    assert said_in(idle)["problem"] is None and (far / "replica.db.of").read_text() == mark


def test_a_copy_that_another_home_has_taken_is_told_at_the_next_time(idle: House, far: Path):
    (far / "replica.db.of").write_text("far:/another/home\n2020-01-01T00:00:00.000000Z\n")
    before = (far / "replica.db").read_bytes()

    synced(idle)

    assert "it has the copy of far:/another/home. Remove replica.db there" in said_in(idle)["problem"]
    assert (far / "replica.db").read_bytes() == before
    (far / "replica.db").unlink()  # a mark alone refuses nobody
    synced(idle)
    assert said_in(idle)["problem"] is None and "another" not in (far / "replica.db.of").read_text()


def test_a_folder_that_another_home_has_taken_is_told_at_the_next_time(
    idle: House, second: House, fresh_database: Path, tmp_path: Path
):  # fmt: skip
    there = tmp_path / "there"
    chosen(idle, there)
    (there / "replica.db").unlink()
    paths.make_home(second.home)
    shutil.copy(fresh_database, paths.database(second.home))
    chosen(second, there)

    synced(idle)

    assert f":{second.home}. Remove replica.db there, or choose another folder" in said_in(idle)["problem"]


@pytest.mark.parametrize("chosen_anew", [False, True], ids=["before", "anew"])
@pytest.mark.parametrize("host", ["far:", ""])
def test_a_home_that_was_moved_knows_its_copy(idle: House, far: Path, second: House, tmp_path: Path, host: str, chosen_anew: bool):
    there = far if host else tmp_path / "near"
    chosen(idle, f"{host}{there}")
    if chosen_anew:
        idle.here(lambda call: Replicating(call.db, call.home).choose(None, "ann"))
    shutil.move(idle.home, second.home)

    if chosen_anew:
        chosen(second, f"{host}{there}")
    else:
        synced(second)

    assert said_in(second)["problem"] is None
    with closing(sqlite3.connect(there / "replica.db")) as c:
        assert c.execute("SELECT origin FROM replicas").fetchone()[0].endswith(f":{second.home}")
    assert not host or str(second.home) in (there / "replica.db.of").read_text()


def test_what_ssh_says_is_told_in_one_line_and_once(up: House):
    ssh(up.work, "printf 'ssh: Could not resolve hostname far: Name or service not known here\\r\\n' >&2\nexit 255")

    failed = up.td("db", "replica", "set", "ann@far:/srv/taskdeck")

    assert failed.returncode == 1 and failed.stdout.count("Could not resolve") == 1 and "not known here. The logs" in failed.stdout
    assert replica(up)["problem"] == "ssh: Could not resolve hostname far: Name or service not known here"


def test_what_sqlite3_rsync_hands_on_is_told_once():
    twice = b"ssh: no route\r\nssh: no route\r\nDatabases were not synced due to errors\n"
    assert in_a_line(twice) == "ssh: no route"
    assert in_a_line(b"ERROR: cannot open\r\nthe other\n") == "cannot open; the other"


def test_the_copy_before_is_told_of_when_another_place_is_chosen_or_none(up: House, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert "gets old" not in up.td("db", "replica", "set", str(first)).stderr
    assert f"The copy in {first} stays there, and gets old" in up.td("db", "replica", "set", str(second)).stderr
    assert "gets old" not in up.td("db", "replica", "set", str(second)).stderr
    off = up.td("db", "replica", "off")
    assert f"The copy in {second} stays there, and gets old" in off.stderr
    assert off.stdout == f"replica off: {second} is no longer copied to; what is there stays.\n"


def test_a_folder_in_the_home_and_one_of_other_files_are_refused(up: House, tmp_path: Path):
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.mkdir()
    (theirs / "thesis.tex").touch()
    link.symlink_to(up.home)

    inside = "lies in the home"
    for place, says in ((up.home / "copy", inside), (link / "copy", inside), (theirs, "holds other files, as thesis.tex")):
        refused = up.td("db", "replica", "set", str(place))
        assert refused.returncode == 4 and says in refused.stderr and not (place / "replica.db").exists()
    assert replica(up)["target"] is None and not (up.home / "copy").exists()


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("", "needs a folder"), ("second", "must begin with /"), ("-oProxyCommand=x:/tmp/y", "needs a folder"),
        (":/x", "no host stands before the colon"), ("a:b:/x", "must begin with /"),
        ("host:", "no folder stands behind host:. Nothing was changed. Type: taskdeck db replica set host:/mnt/second/taskdeck"),
        ("/nowhere/at/all", "there is no folder /nowhere/at, in which all is to be made. Nothing was changed. Is its disk mounted?"),
    ],
)  # fmt: skip
def test_what_is_no_place_for_a_copy_is_refused(up: House, to: str, says: str):
    refused = up.td("db", "replica", "set", "--", to) if to.startswith("-") else up.td("db", "replica", "set", to)
    assert refused.returncode in (2, 4) and says in refused.stderr
    assert json.loads(up.ok("db", "replica", "--json"))["target"] is None


def test_neither_the_home_nor_another_database_is_written_over(up: House, tmp_path: Path):
    assert "is the home itself" in up.td("db", "replica", "set", str(up.home)).stderr
    there = tmp_path / "theirs"
    there.mkdir()
    with closing(sqlite3.connect(there / "taskdeck.db")) as c:
        c.execute("CREATE TABLE songs (title)")
    before = (there / "taskdeck.db").read_bytes()
    assert "It was not touched" in up.td("db", "replica", "set", str(there)).stderr
    assert (there / "taskdeck.db").read_bytes() == before


def test_a_copy_that_cannot_be_made_says_why_and_off_ends_it(up: House, tmp_path: Path):
    there = tmp_path / "second"
    (there / "replica.db").mkdir(parents=True)
    failed = up.td("db", "replica", "set", str(there))
    assert failed.returncode != 0
    up.ok("db", "replica", "off")
    assert "there is no replica" in up.ok("db", "replica")
