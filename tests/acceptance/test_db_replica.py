"""Acceptance tests of the replica: copying with the real sqlite3_rsync, and promotion."""

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
from app.runtime import serve
from app.runtime.change_feed import ChangeFeed
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties import replicator
from app.runtime.duties.replicator import Replicator, join_error_lines
from app.runtime.duties.usage import UsageSampler
from app.service.database import backups
from app.service.database.replica import status
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import is_alive, wait_until
from tests.service.calls import open_call, submit_task


def read_status(house: AcceptanceHome) -> Any:
    """Return `db replica --json`, whose exit code may report a problem."""
    return json.loads(house.run_cli("db", "replica", "--json").stdout)


def read_task_numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as c:
        return [number for (number,) in c.execute("SELECT number FROM tasks ORDER BY number")]


def submit_held(house: AcceptanceHome) -> int:
    """Submit a held task offline and return its number."""
    return house.run_offline(lambda call: submit_task(call, hold=True))["number"]


def set_target(house: AcceptanceHome, to: object) -> None:
    """Set the replica's target and copy at once."""
    house.run_offline(lambda call: Replicator(call.db, call.home).choose_target(str(to), "ann"))


def sync_replica(house: AcceptanceHome) -> None:
    """Copy once, as the runtime's replicator does."""
    house.run_offline(lambda call: Replicator(call.db, call.home).sync())


def read_offline_status(house: AcceptanceHome) -> dict[str, Any]:
    """Return the replica's status while no runtime is running."""
    return house.run_offline(status)


SSH_SCRIPT = 'while [ "${1#-}" != "$1" ]; do shift 2; done\nshift\nexec sh -c "$*"'
"""Script of a fake ssh whose remote host is the local machine."""


def write_fake_ssh(folder: Path, script: str) -> Path:
    """Return a PATH folder with an ssh that runs commands on the local machine."""
    import apsw.sqlite_extra

    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "ssh").chmod(0o755)
    if not (tools / "sqlite3_rsync").exists():
        os.symlink(apsw.sqlite_extra.path("sqlite3_rsync"), tools / "sqlite3_rsync")
    return tools


@pytest.fixture(scope="module")
def source_home(shared_home: AcceptanceHome) -> AcceptanceHome:
    """Return a home with a held task and a runtime that uses the fake ssh."""
    shared_home.env["PATH"] = (
        f"{write_fake_ssh(shared_home.work, SSH_SCRIPT)}:{shared_home.env['PATH']}"
    )
    shared_home.submit("--hold", "--", "/bin/true")
    return shared_home


@pytest.fixture
def replica_source(source_home: AcceptanceHome) -> Iterator[AcceptanceHome]:
    """Yield the source home without a replica before and after the test."""
    write_fake_ssh(source_home.work, SSH_SCRIPT)
    yield source_home
    source_home.run_ok("db", "replica", "off")


@pytest.fixture(scope="module")
def replica_folder(source_home: AcceptanceHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a replica of the source home."""
    there = tmp_path_factory.mktemp("copied") / "second"
    source_home.run_ok("db", "replica", "set", str(there))
    source_home.run_ok("db", "replica", "off")
    return there


def test_a_replica_is_created_at_once_reports_its_age_and_starts_nothing(
    replica_source: AcceptanceHome, tmp_path: Path
):
    task, there = replica_source.submit("--", "/bin/true"), tmp_path / "second"
    replica_source.run_ok("wait", task)

    said = json.loads(replica_source.run_ok("db", "replica", "set", str(there), "--json"))

    assert (said["target"], said["problem"], said["late"]) == (str(there), None, False) and said[
        "lag"
    ] < 60
    assert read_task_numbers(there / "replica.db") == [1, int(task)]
    assert json.loads(replica_source.run_ok("db", "replica", "--json"))["target"] == str(there)
    refused = replica_source.run_cli("--home", str(there), "submit", "--", "/bin/true")
    assert (
        refused.returncode == 4
        and "is the replica of" in refused.stderr
        and "db promote" in refused.stderr
    )


def test_the_status_counts_what_the_replica_misses(unstarted_home: AcceptanceHome, tmp_path: Path):
    submit_held(unstarted_home)
    set_target(unstarted_home, tmp_path / "second")
    assert read_offline_status(unstarted_home)["missed"]["tasks"] == 0

    submit_held(unstarted_home)
    submit_held(unstarted_home)

    missed = read_offline_status(unstarted_home)["missed"]
    assert (missed["tasks"], missed["ends"]) == (2, 0)
    for command in ("status", "doctor", "db replica"):
        assert "misses 2 new tasks" in unstarted_home.run_cli(*command.split()).stdout
    sync_replica(unstarted_home)
    assert "misses nothing" in unstarted_home.run_ok("status")


@pytest.mark.parametrize(
    "words",
    [(), ("ls",), ("status",), ("doctor",), ("export",), ("db", "check"), ("db", "migrate")],
)
def test_no_command_uses_a_replica_as_an_empty_home(
    source_home: AcceptanceHome, replica_folder: Path, words: tuple[str, ...]
):
    refused = source_home.run_cli("--home", str(replica_folder), *words)

    assert refused.returncode == 4 and refused.stdout == ""
    assert (
        f"{replica_folder} is the replica of" in refused.stderr
        and f"taskdeck --home {replica_folder} db promote" in refused.stderr
    )
    assert os.listdir(replica_folder) == ["replica.db"]


def test_a_replica_refuses_the_deck_but_shows_help_and_version(
    source_home: AcceptanceHome, replica_folder: Path
):
    for words in (["--help"], ["ls", "--help"], ["db", "check", "--help"], ["version"]):
        assert source_home.run_cli("--home", str(replica_folder), *words).returncode == 0
    with source_home.open_terminal("--home", str(replica_folder)) as deck:
        deck.wait("db promote")
        assert deck.end() == 4

    assert os.listdir(replica_folder) == ["replica.db"]


def test_a_promoted_replica_skips_numbers_that_may_be_used(
    acceptance_home: AcceptanceHome, tmp_path: Path
):
    there = tmp_path / "second"
    held = acceptance_home.submit("--hold", "--", "/bin/echo", "from the copy")
    acceptance_home.run_ok("db", "replica", "set", str(there))
    late = acceptance_home.submit("--hold", "--", "/bin/true")
    alive = acceptance_home.run_cli("--home", str(there), "db", "promote", "--yes")
    assert (
        alive.returncode == 4
        and f"First: taskdeck --home {acceptance_home.home} stop" in alive.stderr
        and not (there / "taskdeck.db").exists()
    )
    acceptance_home.run_ok("stop")
    unsure = acceptance_home.run_cli("--home", str(there), "db", "promote")
    assert unsure.returncode == 2 and "nothing was changed" in unsure.stderr.lower()

    told = acceptance_home.run_cli("--home", str(there), "db", "promote", "--yes")

    assert (
        told.returncode == 0
        and "is now a home" in told.stdout
        and "are missing here" in told.stderr
    )
    assert told.stdout.endswith(f"Start it: taskdeck --home {there} serve --detach\n")
    fresh = int(acceptance_home.run_ok("--home", str(there), "submit", "--", "/bin/true"))
    assert fresh > int(late)
    acceptance_home.run_ok("--home", str(there), "release", held)
    acceptance_home.run_ok("--home", str(there), "wait", held)
    assert acceptance_home.run_ok("--home", str(there), "logs", held) == "from the copy\n"
    assert acceptance_home.run_cli("--home", str(there), "db", "promote", "--yes").returncode == 4
    set_target(acceptance_home, tmp_path / "third")  # the first home keeps running and replicating
    assert (tmp_path / "third" / "replica.db").exists()
    with pytest.raises(Conflict, match="is a home of its own"):
        set_target(acceptance_home, there)
    assert (
        int(acceptance_home.run_ok("--home", str(there), "submit", "--", "/bin/true")) == fresh + 1
    )
    acceptance_home.run_ok("--home", str(there), "stop")


def is_missing(house: AcceptanceHome, number: str, there: Path) -> bool:
    return int(number) not in read_task_numbers(there / "replica.db")


def test_the_last_tasks_are_replicated_on_stop_but_not_on_takeover(
    acceptance_home: AcceptanceHome, tmp_path: Path
):
    there = tmp_path / "second"
    acceptance_home.submit("--hold", "--", "/bin/true")
    acceptance_home.run_ok("db", "replica", "set", str(there))

    by_word = acceptance_home.submit("--hold", "--", "/bin/true")
    assert is_missing(acceptance_home, by_word, there)
    acceptance_home.run_ok("stop")
    assert not is_missing(acceptance_home, by_word, there)

    acceptance_home.run_ok("serve", "--detach")
    late = acceptance_home.submit("--hold", "--", "/bin/true")
    acceptance_home.run_ok("serve", "--detach", "--replace")
    assert is_missing(acceptance_home, late, there)
    pid = acceptance_home.run_json("status")["runtime"]["pid"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), "it has ended")
    assert not is_missing(acceptance_home, late, there)


async def test_a_hanging_last_copy_does_not_block_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def never(self: Replicator) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Replicator, "sync", never)
    monkeypatch.setattr(serve, "LAST_SYNC_TIMEOUT", 0.05)
    async with open_call(tmp_path) as call:
        runtime = serve.Runtime(
            tmp_path, Dispatcher(call.db, tmp_path), UsageSampler(tmp_path), ChangeFeed()
        )
        await runtime.run_last_sync()
        assert caplog.messages == []
        runtime.terminate()
        await runtime.run_last_sync()

    assert caplog.messages == ["the replica lacks the latest changes: the sync took more than 0 s"]


def test_a_replica_is_not_promoted_while_jobs_run_without_a_runtime(
    acceptance_home: AcceptanceHome, tmp_path: Path
):
    there, gate = tmp_path / "second", tmp_path / "gate"
    os.mkfifo(gate)
    task = acceptance_home.submit("--retries", "2", "-c", f"read word < {gate}")
    wait_until(lambda: acceptance_home.run_json("show", task)["status"] == "running", "it runs")
    acceptance_home.run_ok("db", "replica", "set", str(there))
    acceptance_home.run_ok("stop")

    refused = acceptance_home.run_cli("--home", str(there), "db", "promote", "--yes")

    assert refused.returncode == 4 and "still has running jobs (pid " in refused.stderr
    assert (there / "replica.db").exists() and not (there / "taskdeck.db").exists()
    way = refused.stderr.partition("Wait for them to end, or: ")[2].replace("TASK", task)
    for words in map(shlex.split, way.split(" && ")):
        acceptance_home.run_ok(*words[1:])
    wait_until(
        lambda: (
            acceptance_home.run_cli("--home", str(there), "db", "promote", "--yes").returncode == 0
        ),
        "its keeper is gone",
    )


def test_suggested_commands_quote_blanks_and_missing_logs_are_reported(
    acceptance_home: AcceptanceHome, tmp_path: Path
):
    there = tmp_path / "my copy"
    acceptance_home.run_ok("wait", acceptance_home.submit("--", "/bin/echo", "seen"))
    assert acceptance_home.run_ok("db", "replica", "set", str(there)).endswith(
        ". Logs of runs (runs/) are not copied\n"
    )
    acceptance_home.run_ok("stop")

    refused = acceptance_home.run_cli("--home", str(there), "ls").stderr
    words = shlex.split(refused.partition("Make it the home: ")[2])
    promoted = acceptance_home.run_cli(*words[1:], "--yes")

    assert words[1:] == ["--home", str(there), "db", "promote"]
    assert shlex.split(promoted.stdout.partition("Start it: ")[2]) == [
        "taskdeck",
        "--home",
        str(there),
        "serve",
        "--detach",
    ]
    copying = shlex.split(promoted.stderr.partition("To copy them: ")[2])
    assert copying == ["rsync", "-a", f"{acceptance_home.home}/runs/", f"{there}/runs/"]


def test_a_returning_home_does_not_touch_its_promoted_replica(
    unstarted_home: AcceptanceHome, tmp_path: Path
):
    there = copy.copy(unstarted_home)
    there.home = tmp_path / "second"
    unstarted_home.run_offline(backups.backup)
    unstarted_home.run_offline(
        lambda call: backups.update_table(call, unstarted_home.home / "backups")
    )
    set_target(unstarted_home, there.home)
    with closing(sqlite3.connect(there.home / "replica.db")) as c:
        assert c.execute("SELECT count(*) FROM backups").fetchone() == (1,)

    unstarted_home.run_ok("--home", str(there.home), "db", "promote", "--yes")
    with closing(sqlite3.connect(there.home / "taskdeck.db")) as c:
        assert c.execute("SELECT count(*) FROM backups").fetchone() == (0,)
    assert not there.call_verb("status")["backup"]["at"]
    only_there = submit_held(there)
    sync_replica(unstarted_home)

    assert (
        only_there in read_task_numbers(there.home / "taskdeck.db")
        and not (there.home / "replica.db").exists()
    )
    told = read_offline_status(unstarted_home)
    assert told["promoted"] and told["late"]
    said = unstarted_home.run_cli("db", "replica")
    assert (
        said.returncode == 1
        and "it was promoted, and is a home of its own now. Copying has stopped." in said.stdout
    )


def test_a_missing_sqlite3_rsync_is_reported_with_an_install_command(
    unstarted_home: AcceptanceHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    monkeypatch.setattr(replicator, "find_rsync_tool", lambda: None)
    monkeypatch.setattr(sys, "executable", "/srv/my tools/bin/python3")

    with pytest.raises(Conflict) as refused:
        set_target(unstarted_home, tmp_path / "second")
    assert (
        refused.value.hint
        == "Install: '/srv/my tools/bin/python3' -m pip install 'taskdeck[replica]'"
    )


def test_a_remote_replica_is_copied_over_ssh(replica_source: AcceptanceHome, tmp_path: Path):
    there = tmp_path / "far"
    there.mkdir()

    replica_source.run_ok("db", "replica", "set", f"ann@far:{there}")

    copied = read_task_numbers(there / "replica.db")
    assert 1 in copied
    own = (there / "replica.db.of").read_text()
    (there / "replica.db.of").write_text("far:/another/home\n")
    replica_source.submit("--hold", "--", "/bin/true")
    refused = replica_source.run_cli("db", "replica", "set", f"ann@far:{there}")
    assert (
        refused.returncode == 4
        and f"ann@far:{there} has the replica of far:/another/home. It was not touched"
        in refused.stderr
    )
    assert (
        own.splitlines()[0].endswith(f":{replica_source.home}")
        and read_task_numbers(there / "replica.db") == copied
    )


def test_a_promotion_on_another_host_is_reported_at_the_next_copy(
    unstarted_home: AcceptanceHome, remote_folder: Path
):
    (remote_folder / "replica.db").rename(remote_folder / "taskdeck.db")

    sync_replica(unstarted_home)

    assert (
        read_offline_status(unstarted_home)["promoted"]
        and not (remote_folder / "replica.db").exists()
    )


def test_a_working_target_is_kept_if_the_new_one_is_refused(
    replica_source: AcceptanceHome, tmp_path: Path
):
    (tmp_path / "good").mkdir()
    before = f"far:{tmp_path}/good"
    replica_source.run_ok("db", "replica", "set", before)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taskdeck.db").touch()

    gone = replica_source.run_cli("db", "replica", "set", f"far:{tmp_path}/gone")
    theirs = replica_source.run_cli("db", "replica", "set", f"far:{tmp_path}/home")

    assert (
        gone.returncode == 4
        and f"no replica can be made in far:{tmp_path}/gone" in gone.stderr
        and f"{before} stays in use" in gone.stderr
    )
    assert (
        theirs.returncode == 4
        and f"far:{tmp_path}/home is a home of its own. It was not touched" in theirs.stderr
    )
    assert (
        read_status(replica_source)["target"] == before
        and read_status(replica_source)["problem"] is None
    )
    assert not (tmp_path / "gone").exists() and [
        path.name for path in (tmp_path / "home").iterdir()
    ] == ["taskdeck.db"]


def test_a_target_set_twice_during_a_copy_is_replicated_once(
    replica_source: AcceptanceHome, tmp_path: Path
):
    busy, both, go, far = (tmp_path / name for name in ("busy", "both", "go", "far"))
    far.mkdir()
    replica_source.run_ok("db", "replica", "set", f"far:{far}")
    copying = (
        f'mkdir {busy} || touch {both}; until test -e {go}; do sleep 0.02; done; sh -c "$*"; rmdir'
        f" {busy}; exit 0"
    )
    first = f"case $* in *sqlite3_rsync*) {copying};; esac\necho >> {tmp_path}/asked"
    write_fake_ssh(replica_source.work, SSH_SCRIPT.replace("\nexec", f"\n{first}\nexec"))
    with ThreadPoolExecutor() as apart:
        sets = [
            apart.submit(replica_source.run_cli, "db", "replica", "set", f"far:{far}")
            for _ in range(2)
        ]
        wait_until(
            lambda: busy.exists() and (tmp_path / "asked").read_text().count("\n") > 2,
            "a copy on its way, and another wanted",
        )
        go.touch()
        assert [done.result().returncode for done in sets] == [0, 0]

    assert (
        not both.exists()
        and read_status(replica_source)["problem"] is None
        and read_status(replica_source)["at"]
    )


@pytest.fixture
def second_home(acceptance_home: AcceptanceHome, tmp_path: Path) -> Iterator[AcceptanceHome]:
    """Yield a second home of the same user, which does not exist yet."""
    other = copy.copy(acceptance_home)
    other.home = tmp_path / "second"
    other.env = acceptance_home.env | {"TASKDECK_HOME": str(other.home)}
    yield other
    other.close()


@pytest.fixture
def remote_folder(unstarted_home: AcceptanceHome, tmp_path: Path) -> Path:
    """Return the remote folder of the replica of a home with one task."""
    there = tmp_path / "far"
    there.mkdir()
    unstarted_home.env["PATH"] = (
        f"{write_fake_ssh(tmp_path, SSH_SCRIPT)}:{unstarted_home.env['PATH']}"
    )
    set_target(unstarted_home, f"far:{there}")
    return there


def test_a_remote_replica_without_marker_is_not_overwritten(
    unstarted_home: AcceptanceHome, remote_folder: Path, second_home: AcceptanceHome
):
    mark = (remote_folder / "replica.db.of").read_text()
    second_home.submit("--hold", "--", "/bin/true", "theirs")
    second_home.submit("--hold", "--", "/bin/true", "theirs")
    (remote_folder / "replica.db.of").unlink()

    refused = second_home.run_cli("db", "replica", "set", f"far:{remote_folder}")

    assert (
        refused.returncode == 4
        and f"far:{remote_folder} has a replica of another home. It was not touched."
        in refused.stderr
    )
    assert (
        read_task_numbers(remote_folder / "replica.db") == [1]
        and not (remote_folder / "replica.db.of").exists()
    )
    sync_replica(unstarted_home)
    assert (
        read_offline_status(unstarted_home)["problem"] is None
        and (remote_folder / "replica.db.of").read_text() == mark
    )


def test_a_home_without_its_uuid_replicates_nothing_and_says_so(
    unstarted_home: AcceptanceHome, tmp_path: Path
):
    set_target(unstarted_home, tmp_path / "replica")
    with closing(sqlite3.connect(unstarted_home.home / "taskdeck.db")) as c, c:
        c.execute("DELETE FROM home")

    sync_replica(unstarted_home)

    assert read_offline_status(unstarted_home)["problem"] == (
        "the database has lost the UUID of its home; repair it: taskdeck db check --repair"
    )
    with pytest.raises(Conflict, match="lost the UUID of its home. Nothing was replicated"):
        set_target(unstarted_home, tmp_path / "other")


def test_a_replica_taken_by_another_home_is_reported(
    unstarted_home: AcceptanceHome, remote_folder: Path
):
    (remote_folder / "replica.db.of").write_text("far:/another/home\n2020-01-01T00:00:00.000000Z\n")
    before = (remote_folder / "replica.db").read_bytes()

    sync_replica(unstarted_home)

    assert (
        "the folder has the replica of far:/another/home. Remove replica.db there"
        in read_offline_status(unstarted_home)["problem"]
    )
    assert (remote_folder / "replica.db").read_bytes() == before
    (remote_folder / "replica.db").unlink()  # a marker alone refuses nobody
    sync_replica(unstarted_home)
    assert (
        read_offline_status(unstarted_home)["problem"] is None
        and "another" not in (remote_folder / "replica.db.of").read_text()
    )


def test_a_folder_taken_by_another_home_is_reported(
    unstarted_home: AcceptanceHome, second_home: AcceptanceHome, fresh_database: Path,
    tmp_path: Path
):  # fmt: skip
    there = tmp_path / "there"
    set_target(unstarted_home, there)
    (there / "replica.db").unlink()
    paths.make_home(second_home.home)
    shutil.copy(fresh_database, paths.get_database_path(second_home.home))
    set_target(second_home, there)

    sync_replica(unstarted_home)

    assert (
        f":{second_home.home}. Remove replica.db there, or choose another folder"
        in read_offline_status(unstarted_home)["problem"]
    )


@pytest.mark.parametrize("chosen_anew", [False, True], ids=["before", "anew"])
@pytest.mark.parametrize("host", ["far:", ""])
def test_a_moved_home_recognizes_its_replica(
    unstarted_home: AcceptanceHome,
    remote_folder: Path,
    second_home: AcceptanceHome,
    tmp_path: Path,
    host: str,
    chosen_anew: bool,
):
    there = remote_folder if host else tmp_path / "near"
    set_target(unstarted_home, f"{host}{there}")
    if chosen_anew:
        unstarted_home.run_offline(
            lambda call: Replicator(call.db, call.home).choose_target(None, "ann")
        )
    shutil.move(unstarted_home.home, second_home.home)

    if chosen_anew:
        set_target(second_home, f"{host}{there}")
    else:
        sync_replica(second_home)

    assert read_offline_status(second_home)["problem"] is None
    with closing(sqlite3.connect(there / "replica.db")) as c:
        assert (
            c.execute("SELECT origin FROM replicas").fetchone()[0].endswith(f":{second_home.home}")
        )
    assert not host or str(second_home.home) in (there / "replica.db.of").read_text()


def test_ssh_errors_are_reported_once_in_one_line(replica_source: AcceptanceHome):
    write_fake_ssh(
        replica_source.work,
        "printf 'ssh: Could not resolve hostname far: Name or service not known here\\r\\n'"
        " >&2\nexit 255",
    )

    failed = replica_source.run_cli("db", "replica", "set", "ann@far:/srv/taskdeck")

    assert (
        failed.returncode == 1
        and failed.stdout.count("Could not resolve") == 1
        and "not known here. Logs" in failed.stdout
    )
    assert (
        read_status(replica_source)["problem"]
        == "ssh: Could not resolve hostname far: Name or service not known here"
    )


def test_sqlite3_rsync_errors_are_reported_once():
    twice = b"ssh: no route\r\nssh: no route\r\nDatabases were not synced due to errors\n"
    assert join_error_lines(twice) == "ssh: no route"
    assert join_error_lines(b"ERROR: cannot open\r\nthe other\n") == "cannot open; the other"


def test_a_new_target_mentions_the_abandoned_replica(
    replica_source: AcceptanceHome, tmp_path: Path
):
    first, second = tmp_path / "first", tmp_path / "second"
    assert "becomes stale" not in replica_source.run_cli("db", "replica", "set", str(first)).stderr
    assert (
        f"The replica in {first} stays there and becomes stale"
        in replica_source.run_cli("db", "replica", "set", str(second)).stderr
    )
    assert "becomes stale" not in replica_source.run_cli("db", "replica", "set", str(second)).stderr
    off = replica_source.run_cli("db", "replica", "off")
    assert f"The replica in {second} stays there and becomes stale" in off.stderr
    assert off.stdout == f"replica off: {second} no longer receives copies; its files remain.\n"


def test_folders_in_the_home_or_with_other_files_are_refused(
    replica_source: AcceptanceHome, tmp_path: Path
):
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.mkdir()
    (theirs / "thesis.tex").touch()
    link.symlink_to(replica_source.home)

    inside = "is inside the home"
    for place, says in (
        (replica_source.home / "copy", inside),
        (link / "copy", inside),
        (theirs, "holds other files, as thesis.tex"),
    ):
        refused = replica_source.run_cli("db", "replica", "set", str(place))
        assert (
            refused.returncode == 4
            and says in refused.stderr
            and not (place / "replica.db").exists()
        )
    assert (
        read_status(replica_source)["target"] is None
        and not (replica_source.home / "copy").exists()
    )


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("", "needs a folder"), ("second", "must begin with /"),
        ("-oProxyCommand=x:/tmp/y", "needs a folder"),
        (":/x", "the host is missing before the colon"), ("a:b:/x", "must begin with /"),
        ("host:", "the folder is missing after host:. Nothing was changed."
         " Use: taskdeck db replica set host:/mnt/second/taskdeck"),
        ("/nowhere/at/all", "there is no folder /nowhere/at to create all in. Nothing was changed."
         " Mount its disk"),
    ],
)  # fmt: skip
def test_invalid_targets_are_refused(replica_source: AcceptanceHome, to: str, says: str):
    refused = (
        replica_source.run_cli("db", "replica", "set", "--", to)
        if to.startswith("-")
        else replica_source.run_cli("db", "replica", "set", to)
    )
    assert refused.returncode in (2, 4) and says in refused.stderr
    assert json.loads(replica_source.run_ok("db", "replica", "--json"))["target"] is None


def test_neither_the_home_nor_other_databases_are_overwritten(
    replica_source: AcceptanceHome, tmp_path: Path
):
    assert (
        "is the home itself"
        in replica_source.run_cli("db", "replica", "set", str(replica_source.home)).stderr
    )
    there = tmp_path / "theirs"
    there.mkdir()
    with closing(sqlite3.connect(there / "taskdeck.db")) as c:
        c.execute("CREATE TABLE songs (title)")
    before = (there / "taskdeck.db").read_bytes()
    assert "It was not touched" in replica_source.run_cli("db", "replica", "set", str(there)).stderr
    assert (there / "taskdeck.db").read_bytes() == before


def test_a_failing_replica_reports_the_reason_until_switched_off(
    replica_source: AcceptanceHome, tmp_path: Path
):
    there = tmp_path / "second"
    (there / "replica.db").mkdir(parents=True)
    failed = replica_source.run_cli("db", "replica", "set", str(there))
    assert failed.returncode != 0
    replica_source.run_ok("db", "replica", "off")
    assert "no replica" in replica_source.run_ok("db", "replica")
