"""Start of a run's program, with its log."""

from __future__ import annotations

import errno
import os
import signal

from app.keeper.cgroups import RunCgroup
from app.keeper.log import describe_error
from app.keeper.marks import lower_mark
from app.keeper.programs import StartError, find_program, format_bytes
from app.keeper.requests import SpawnRequest
from app.keeper.signals import EVERY_SIGNAL

Streams = dict[int, int]
"""Descriptors of a run by number: 1 and 2, and 0 unless it is /dev/null."""


def open_log(path: bytes) -> int:
    """Open a run's log for appending and create its folder if needed. Raise OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def delete_empty_log(path: bytes, log: int) -> None:
    """Delete the empty log of a run that was not started.

    A log is evidence that its run existed.
    """
    if os.fstat(log).st_size == 0:
        try:
            os.unlink(path)
        except OSError:
            pass  # readers of empty logs consult the journal


def start_program(launch: SpawnRequest, streams: Streams, cgroup: RunCgroup | None) -> int:
    """Start the program in its own session, and cgroup if it has one, and return its pid.

    Raise StartError, CgroupError, or OSError if no process can be created.
    """
    enter_directory(launch.cwd)
    try:
        program = find_program(launch.argv[0], launch.env)
        os.umask(launch.umask)
        if cgroup is not None:
            return spawn_inside(cgroup, program, launch, streams)
        return spawn(program, launch, streams)
    finally:
        lower_mark(1)  # a sweep must not take us for a process of the run
        os.umask(0o077)
        os.chdir("/")


def enter_directory(cwd: bytes) -> None:
    """Change to the run's working directory."""
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        raise StartError(
            126, f"cannot enter directory {format_bytes(cwd)}: {describe_error(error)}"
        ) from None


def spawn_inside(cgroup: RunCgroup, program: bytes, launch: SpawnRequest, streams: Streams) -> int:
    """Start a program in a cgroup; the keeper is inside only meanwhile.

    A run whose limits cannot be set ends before it did anything.
    """
    cgroup.enter()
    try:
        pid = spawn(program, launch, streams)
    except BaseException:
        cgroup.leave()
        cgroup.remove()
        raise
    cgroup.leave()
    try:
        cgroup.limit()
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        cgroup.kill()
        os.waitpid(pid, 0)
        cgroup.remove()
        raise StartError(126, f"cannot set its limits: {describe_error(error)}") from None
    return pid


def spawn(program: bytes, launch: SpawnRequest, streams: Streams) -> int:
    """Start a program with posix_spawn.

    A file without an interpreter line runs under sh, as with execvp.
    """
    try:
        return spawn_as(program, launch.argv, launch, streams)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            raise
        if error.errno == errno.ENOEXEC:
            return spawn_as(b"/bin/sh", [b"/bin/sh", program, *launch.argv[1:]], launch, streams)
        why = "its interpreter is missing" if error.errno == errno.ENOENT else describe_error(error)
        raise StartError(126, f"cannot run {format_bytes(program)}: {why}") from None
    except ValueError as error:
        raise StartError(126, f"cannot run {format_bytes(program)}: {error}") from None


def spawn_as(program: bytes, argv: list[bytes], launch: SpawnRequest, streams: Streams) -> int:
    """Call posix_spawn with its own session, default signals and its streams.

    All other descriptors are close-on-exec.
    """
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in streams.items()]
    return os.posix_spawn(
        program,
        argv,
        launch.env,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=EVERY_SIGNAL,
    )
