"""Time-ordered UUIDs (version 7, RFC 9562).

The client creates them, so that a resent submission creates one task.
"""

from __future__ import annotations

import os
import time

_RANDOM_LIMIT = 1 << 61


def make_uuid7() -> str:
    """Return a new identifier. Later ones sort after it, with a resolution of 0.25 µs."""
    ns = time.time_ns()
    milliseconds, rest = divmod(ns, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    # The highest random bit stays 0, so that counting up never overflows.
    random = int.from_bytes(os.urandom(8), "big") % _RANDOM_LIMIT
    return _format_uuid(
        (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random
    )


def make_following_id(first: str, steps: int) -> str:
    """Return the identifier `steps` after `first`, for more tasks of a submission."""
    # Only the last 12 digits change, unless they overflow.
    last = int(first[24:], 16) + steps
    if 0 <= last < 1 << 48:
        return f"{first[:24]}{last:012x}"
    return _format_uuid(int(first.replace("-", ""), 16) + steps)


def _format_uuid(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derive_uuid7(milliseconds: int, seed: str) -> str:
    """Return the identifier of a moment and a seed, the same each time."""
    from hashlib import sha256

    digest = int.from_bytes(sha256(seed.encode()).digest()[:10], "big")
    fraction, random = digest >> 68, digest & (_RANDOM_LIMIT - 1)
    return _format_uuid(
        (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random
    )
