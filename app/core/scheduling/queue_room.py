"""Capacities of queues, compared with the room of their pool.

A pool that grows beyond the capacity of a queue starts no more tasks of that queue.
"""

from __future__ import annotations


def is_outgrown(capacity: int, cores: float, new_cores: float) -> bool:
    """Return True if a queue limits more than its pool does since the pool changed its cores.

    The room of a pool is counted in tasks of one core; named resources only make the room smaller.
    A queue that limited its tasks before is small on purpose.
    """
    return int(cores) <= capacity < int(new_cores)
