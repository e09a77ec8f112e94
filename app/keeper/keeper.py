"""Process supervisor: the keeper, parent of all runs, and the guard above it.

Start it as `python -I -S keeper.py HOME [FILES [CGROUP]]`. File and neighbours use only the
standard library, so that the process stays small and outlives upgrades.

Two processes run this code. The guard is the keeper's parent. Guard and keeper are subreapers from
their first instruction and share the lock, the listening socket and the journal by fork. When one
dies, the survivor stops its own role, reads the records of the dead process, and forks a new keeper
below itself (see `run_supervisor`).

The keeper serves the runtime, starts runs, and enforces stops and deadlines, also for the guard's
runs, since any process of the user may signal them. The guard only reaps the runs it inherited,
records their exits and reports them to the keeper.

Read in this order: `run.py` and `journal.py`, the facts about runs and where they are stored;
`supervisor.py`, the base of both roles; `guard.py` and `keeper_role.py`, the roles; `launch.py` and
`stops.py`, the start and the stop of a run. All modules are imported at the start, since an upgrade
may replace their files while the process runs on. Keepers are recognized by the name of this file,
so the class `Keeper` is in `keeper_role.py`.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time

if __name__ == "__main__":  # as a program, the file finds its neighbours by itself
    sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from app.keeper.cgroups import Cgroups, divide_cgroup
from app.keeper.companion import remove_dead_sockets
from app.keeper.guard import Guard
from app.keeper.journal import JOURNAL, Journal
from app.keeper.keeper_role import Keeper
from app.keeper.log import describe_error, describe_fork_error, log_message
from app.keeper.marks import leave_marks
from app.keeper.own_process import (
    become_supervisor,
    detach,
    drop_run_environment,
    reset_process_state,
    set_file_limit,
)
from app.keeper.processes import read_file
from app.keeper.programs import format_bytes
from app.keeper.shared_state import SharedState
from app.keeper.system_calls import libc
from app.keeper.wire import LOCK, LOG, SOCKET, JsonSocket


def run_supervisor(shared: SharedState) -> None:
    """Supervise until nothing is left.

    A survivor of keeper and guard becomes the guard and forks a new keeper below itself.
    """
    first = True
    while True:
        become_supervisor(b"taskdeck-guard")
        shared.journal.inherit()
        shared.resolve_intents(first)
        shared.journal.merge_files()
        shared.find_own_runs()
        first = False
        role = fork_keeper(shared)
        left = role.run()
        role.close()
        if left:
            return shared.journal.close()


def fork_keeper(shared: SharedState) -> Guard | Keeper:
    """Fork, and return the role of this process."""
    guard_socket, keeper_socket = socket.socketpair()
    me = os.getpid()
    while (child := try_fork()) is None:
        time.sleep(0.1)
    if child:
        keeper_socket.close()
        return Guard(shared, JsonSocket(guard_socket), child)
    become_supervisor(b"taskdeck-keeper")
    leave_marks()
    guard_socket.close()
    shared.journal.disown_all()
    return Keeper(shared, JsonSocket(keeper_socket), me)


def try_fork() -> int | None:
    """Fork, or return None if the machine has no free process."""
    try:
        return os.fork()
    except OSError as error:
        log_message(f"no new keeper: {describe_fork_error(error)}")
        return None


def claim_home(home: bytes) -> SharedState:
    """Claim the home: folders, lock, socket and journal.

    Raise OSError, or BlockingIOError if another keeper has the home.
    """
    os.makedirs(home + b"/run/" + JOURNAL.encode(), 0o700, exist_ok=True)
    run = os.open(home + b"/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=run)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    listener = make_listener(run)
    log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600, dir_fd=run)
    os.dup2(log, 2)
    os.close(log)
    journal = os.open(JOURNAL, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=run)
    remove_dead_sockets(home + b"/run/companions")
    boot = read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    return SharedState(listener, Journal(journal, boot), Cgroups())


def make_listener(run: int) -> socket.socket:
    """Return the listening socket in the run folder, regardless of the path length."""
    try:
        os.unlink(SOCKET, dir_fd=run)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    listener.bind(f"/proc/self/fd/{run}/{SOCKET}")
    os.chmod(SOCKET, 0o600, dir_fd=run)
    listener.listen(64)
    return listener


def main(home: bytes, file_limit: int | None = None, cgroup: bytes = b"") -> int:
    """Claim the home and supervise it in the background.

    `file_limit` is the soft limit of open files for jobs, `cgroup` the place of `divide_cgroup`.
    Exit codes: 4, another keeper has the home; 5, the home cannot be used; 6, the fork failed.
    """
    drop_run_environment()
    leave_marks()
    home = os.path.abspath(home)
    reset_process_state()
    if file_limit is not None:
        set_file_limit(file_limit)
    try:
        shared = claim_home(home)
    except BlockingIOError:
        return 4
    except OSError as error:
        log_message(f"cannot use {format_bytes(home)}: {describe_error(error)}")
        return 5
    shared.cgroups = divide_cgroup(cgroup, home)
    libc.malloc_trim(0)
    try:
        detach()
    except OSError as error:
        log_message(f"cannot start: {describe_fork_error(error)}")
        return 6
    try:
        run_supervisor(shared)
    except BaseException as error:
        log_message("failed")
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    limits, places = sys.argv[2:3], sys.argv[3:4]
    sys.exit(
        main(
            os.fsencode(sys.argv[1]),
            int(limits[0]) if limits else None,
            os.fsencode(places[0]) if places else b"",
        )
    )
