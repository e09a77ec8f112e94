"""Tests that a home is used only if no other user owns it, answers in it or can replace it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import client, paths, runtime_launcher
from app.client import Client
from app.errors import Conflict, Refused
from app.runtime.dispatch.keeper_client import SOCKET, KeeperClient, KeeperUnavailableError
from tests.test_client import run_scripted_runtime

OTHER_UID = 65534
SHARED_GID = 1
"""Group `daemon`, which every Linux has."""
UNNAMED_GID = 59_999
LISTEN = """
import os, socket, sys
shared = socket.socket(fileno=int(sys.argv[1]))
os.setuid(int(sys.argv[2]))
shared.listen()
"""
"""Program that listens on an open socket as another user, whom the kernel notes then."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="acts as a second user")


@pytest.fixture
def become_stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that makes this process another user than the owner of its files."""
    return lambda: monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4_000_000)


@pytest.fixture
def listen_as_other_user() -> Iterator[Callable[[Path], socket.socket]]:
    """Return a function that lets a process of another user listen on a socket of this path."""
    listeners: list[socket.socket] = []

    def listen(path: Path) -> socket.socket:
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[-1].bind(os.fspath(path))
        fd = listeners[-1].fileno()
        argv = [sys.executable, "-I", "-c", LISTEN, str(fd), str(OTHER_UID)]
        subprocess.run(argv, pass_fds=(fd,), check=True)
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


def receive_all(listener: socket.socket) -> bytes:
    """Return what the first client has sent before it hung up."""
    with listener.accept()[0] as accepted:
        return accepted.recv(1)


def refuse(home: Path) -> str:
    """Return the text of the refusal of a home."""
    with pytest.raises(Refused) as refused:
        paths.refuse_foreign_home(home)
    assert refused.value.exit_code == 4 and "Nothing was done." in refused.value.message
    return str(refused.value)


@needs_root
@pytest.mark.parametrize("verb", ["submit", "status"])
def test_a_runtime_of_another_user_receives_no_byte(
    home: Path, listen_as_other_user: Callable[[Path], socket.socket], verb: str
):
    listener = listen_as_other_user(home / "run" / paths.CONTROL_SOCKET)

    with pytest.raises(Conflict) as refused:
        Client(home).call(verb, {"tasks": [{"argv": ["true"]}], "env": {"TOKEN": "x"}})

    name = pwd.getpwuid(OTHER_UID).pw_name
    assert refused.value.exit_code == 4
    assert str(refused.value) == (
        f"a process of {name} answers in place of Taskdeck in the home {home}."
        " Nothing was sent to it. Choose another: --home DIR"
    )
    assert receive_all(listener) == b""


@needs_root
async def test_a_keeper_of_another_user_receives_no_byte(
    home: Path, listen_as_other_user: Callable[[Path], socket.socket]
):
    listener = listen_as_other_user(home / "run" / SOCKET)

    with pytest.raises(KeeperUnavailableError, match="answers in place of the keeper"):
        await KeeperClient.open(home, print)

    assert receive_all(listener) == b""


def test_a_home_of_another_user_is_refused_while_its_runtime_runs(
    home: Path, become_stranger: Callable[[], None]
):
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        os.chown(home, OTHER_UID, -1)
        os.chown(home / "run", OTHER_UID, -1)
        user = pwd.getpwuid(OTHER_UID).pw_name
    else:
        become_stranger()
    with run_scripted_runtime(home, lambda request, number: [{"result": 1}]) as script:
        for verb in ("submit", "status"):
            with pytest.raises(Refused) as refused:
                Client(home).call(verb)

            assert str(refused.value) == (
                f"the home {home} belongs to {user}, not to you. Nothing was done."
                f" Run as the owner: sudo -u {user} taskdeck --home {home}"
            )

    assert script.requests == []


@needs_root
def test_an_empty_folder_of_another_user_is_refused(tmp_path: Path):
    os.chown(tmp_path, OTHER_UID, -1)

    with pytest.raises(Refused, match="belongs to .*, not to you"):
        runtime_launcher.ensure_runtime(os.fspath(tmp_path))

    assert list(tmp_path.iterdir()) == []


@needs_root
def test_root_makes_no_home_in_a_users_folder(tmp_path: Path):
    os.chown(tmp_path, OTHER_UID, -1)
    home, user = tmp_path / "share" / "taskdeck", pwd.getpwuid(OTHER_UID).pw_name

    assert refuse(home) == (
        f"{tmp_path} belongs to {user}, who can replace the home {home}. Nothing was done."
        f" Run as the owner: sudo -u {user} taskdeck --home {home}"
    )


@pytest.mark.parametrize(("name", "mode"), [("", "+t"), ("home", "go-w"), ("home/run", "go-w")])
def test_a_folder_that_all_may_write_to_is_refused(tmp_path: Path, name: str, mode: str):
    home = tmp_path / "home"
    paths.make_home(home)
    (tmp_path / name).chmod(0o777)

    assert refuse(home) == (
        f"other users may write to {tmp_path / name}, so they can replace the home {home}."
        f" Nothing was done. Prevent it: chmod {mode} {tmp_path / name}"
    )
    subprocess.run(["chmod", mode, tmp_path / name], check=True)
    paths.refuse_foreign_home(home)


def test_a_sticky_home_is_refused(tmp_path: Path):
    """Another user could make `backups` in it before the runtime does."""
    paths.make_home(tmp_path / "home")
    (tmp_path / "home").chmod(0o1777)

    assert "other users may write to" in refuse(tmp_path / "home")


def test_a_home_in_a_sticky_folder_is_accepted(tmp_path: Path):
    tmp_path.chmod(0o1777)
    paths.make_home(tmp_path / "home")

    paths.refuse_foreign_home(tmp_path / "home")
    assert client.connect(os.fspath(tmp_path / "home")) is None


@needs_root
@pytest.mark.parametrize("command", ["check", "verify", "backups", "stats", "backup"])
def test_commands_that_open_the_files_refuse_a_home_of_another_user(tmp_path: Path, command: str):
    paths.make_home(tmp_path / "home")
    os.chown(tmp_path / "home", OTHER_UID, -1)

    argv = [sys.executable, "-P", "-m", "taskdeck", "--home", str(tmp_path / "home"), "db", command]
    done = subprocess.run(argv, capture_output=True, text=True)

    assert done.returncode == 4 and "Run as the owner: sudo -u " in done.stderr
    assert os.listdir(tmp_path / "home" / "run") == []


@needs_root
def test_a_folder_of_a_shared_group_is_refused(tmp_path: Path):
    os.chown(tmp_path, -1, SHARED_GID)
    tmp_path.chmod(0o775)

    assert f"other users may write to {tmp_path}," in refuse(tmp_path / "home")


@needs_root
@pytest.mark.parametrize("gid", [0, UNNAMED_GID])
def test_a_folder_of_a_private_group_is_accepted(tmp_path: Path, gid: int):
    os.chown(tmp_path, -1, gid)
    tmp_path.chmod(0o775)

    paths.refuse_foreign_home(tmp_path / "home")


@needs_root
def test_a_symlink_into_another_users_folder_is_refused(tmp_path: Path):
    paths.make_home(tmp_path / "home")
    (tmp_path / "home" / "run").rmdir()
    theirs = tmp_path / "theirs"
    (theirs / "mine").mkdir(parents=True)
    os.chown(theirs, OTHER_UID, -1)

    (tmp_path / "home" / "run").symlink_to(theirs)
    assert f"belongs to {pwd.getpwuid(OTHER_UID).pw_name}, not to you" in refuse(tmp_path / "home")

    (tmp_path / "home" / "run").unlink()
    (tmp_path / "home" / "run").symlink_to(theirs / "mine")
    assert "who can replace the home" in refuse(tmp_path / "home")


def test_a_symlink_into_an_open_folder_is_refused(tmp_path: Path):
    (tmp_path / "open" / "mine").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "home").symlink_to(tmp_path / "open" / "mine")

    assert f"other users may write to {tmp_path / 'open'}," in refuse(tmp_path / "home")


def test_new_parents_of_a_home_are_closed_under_any_umask(tmp_path: Path):
    home, before = tmp_path / "a" / "b" / "home", os.umask(0)
    try:
        paths.make_home(home)
    finally:
        os.umask(before)

    paths.refuse_foreign_home(home)
    assert home.parent.stat().st_mode & 0o022 == 0 == home.parent.parent.stat().st_mode & 0o022


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_replaced_log_is_not_opened(tmp_path: Path, kind: str):
    log = tmp_path / "run.log"
    log.write_text("text")
    with paths.open_regular(str(log)) as file:
        assert file.read() == b"text"
    log.rename(tmp_path / "kept")
    {"fifo": lambda: os.mkfifo(log), "link": lambda: log.symlink_to("kept"), "folder": log.mkdir}[
        kind
    ]()

    with pytest.raises(OSError, match="regular|symbolic"):
        paths.open_regular(str(log))


@pytest.mark.parametrize(("size", "end"), [(0, b""), (3, b"abc"), (9, b"fghi")])
def test_the_end_of_a_log_is_read_with_its_size(tmp_path: Path, size: int, end: bytes):
    log = tmp_path / "run.log"
    log.write_bytes(b"abcdefghi"[:size])

    assert paths.read_log_end(str(log), 4) == (size, end)
