"""Conversion of stored times (`2026-11-25T10:42:07.123456Z`) to UNIX seconds.

The module does without datetime, whose import would take longer.
"""

from __future__ import annotations


def to_unix(text: str) -> float:
    """Return the UNIX seconds of a stored time. Raise ValueError for a damaged time.

    The days are counted as in days_from_civil (H. Hinnant, 2013).
    """
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return (
        days * 86400
        + int(text[11:13]) * 3600
        + int(text[14:16]) * 60
        + float(text[17:].rstrip("Z"))
    )


def to_unix_or_none(text: str | None) -> float | None:
    """Return the UNIX seconds of a stored time, or None for None."""
    return to_unix(text) if text else None
