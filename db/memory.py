"""Memory of the process that the allocator keeps after large answers."""

from __future__ import annotations

import ctypes


def trim_memory() -> None:
    """Return freed memory to the system.

    The allocator of glibc keeps freed memory, and a runtime lives for weeks. With another C
    library, do nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
