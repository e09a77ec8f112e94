"""Limit of open files, raised so that many clients can wait at the same time.

Each connection takes a descriptor. Jobs keep the limit with which the runtime was started.
"""

from __future__ import annotations

import resource

RESERVED_FILES = 64
"""Descriptors kept for the database, the keeper, logs and subprocesses; idle, 18 are in use."""
MAX_SOFT_LIMIT = 1 << 20
"""Some programs close every possible descriptor one by one, so that more would slow them down."""

INHERITED_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""Soft limit at the start of this process."""


def raise_soft_limit() -> None:
    """Raise the soft limit of open files of this process to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_SOFT_LIMIT if hard == resource.RLIM_INFINITY else min(hard, MAX_SOFT_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def get_max_connections() -> int:
    """Return how many connections leave enough descriptors for all other work."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = MAX_SOFT_LIMIT
    return max(soft - RESERVED_FILES, soft // 4)
