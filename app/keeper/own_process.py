"""The own process: its name, memory, descriptors, session and environment."""

from __future__ import annotations

import os
import resource
import signal
import sys

from app.keeper.system_calls import libc, set_process_option


def read_own_peak() -> int:
    """Return the peak memory of this process in KiB, which jobs inherit in the kernel's figure."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def trim_memory() -> None:
    """Free unused memory and reset our peak, if the kernel can.

    Without the reset, figures of small jobs are less exact.
    """
    libc.malloc_trim(0)
    write_own_proc("clear_refs", b"5")


def write_own_proc(name: str, value: bytes) -> None:
    """Write to a file of our own in /proc, ignoring errors."""
    try:
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, value)
    except OSError:
        pass
    finally:
        os.close(fd)


def become_supervisor(name: bytes) -> None:
    """Make this process a subreaper and name it for `ps`."""
    set_process_option(36, 1)  # PR_SET_CHILD_SUBREAPER
    set_process_option(15, name)  # PR_SET_NAME


def drop_run_environment() -> None:
    """Restart without the environment of a run, or a sweep of that run would find us.

    `leave_marks` drops the mark likewise.
    """
    clean = {
        name: value for name, value in os.environb.items() if not name.startswith(b"TASKDECK_")
    }
    if len(clean) < len(os.environb):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean)


def reset_process_state() -> None:
    """Close inherited descriptors and ignore all signals but SIGCHLD."""
    os.umask(0o077)
    os.closerange(3, 1 << 20)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")
    # The kernel should treat the keeper and its jobs like any process; a lower score needs
    # privileges.
    write_own_proc("oom_score_adj", b"0")
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)


def detach() -> None:
    """Leave session and parent."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)


def set_file_limit(soft: int) -> None:
    """Set the soft limit of open files, which jobs inherit; the runtime has raised its own."""
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
    except (OSError, ValueError):  # above a hard limit lowered meanwhile
        pass
