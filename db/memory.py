"""Memory of the process that the allocator keeps after large answers."""

from __future__ import annotations

import ctypes


def trim_memory() -> None:
    """Return freed memory to the system.

    The allocator would keep it for a runtime that lives for weeks. Only glibc does that.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
