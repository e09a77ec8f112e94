"""Log of keeper and guard, and the texts of errors."""

from __future__ import annotations

import errno
import os
import resource
import time

LOG_LIMIT = 256 * 1024


def describe_error(error: Exception) -> str:
    """Return an error message without errno and path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def describe_fork_error(error: OSError) -> str:
    """Return the message of a failed fork, which names the process limit."""
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if error.errno != errno.EAGAIN or soft == resource.RLIM_INFINITY:
        return describe_error(error)
    return f"{describe_error(error)}; ulimit -u is {soft}"


def log_message(message: str) -> None:
    """Write a message to the log, truncating a log that has grown too long."""
    try:
        if os.fstat(2).st_size > LOG_LIMIT:
            os.ftruncate(2, 0)
        os.write(
            2,
            f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {os.getpid()} {message}\n".encode(
                errors="replace"
            ),
        )
    except OSError:
        pass  # a full disk is the usual reason
