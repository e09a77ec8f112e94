"""How states look on the command line: one-cell glyph, its ASCII twin, the word, the style. A state is never colour
alone."""

from __future__ import annotations

Sign = tuple[str, str, str, str]

SIGNS: dict[str, Sign] = {
    "scheduled": ("◔", "@", "scheduled", "dim"),
    "blocked": ("↳", "^", "blocked", "dim"),
    "held": ("⊟", "=", "held", "warn"),
    "queued": ("○", "o", "queued", ""),
    "retrying": ("↻", "~", "retrying", "warn"),
    "starting": ("◌", ":", "starting", "alive"),
    "running": ("●", "*", "running", "alive"),
    "paused": ("‖", '"', "paused", "warn"),
    "stopping": ("◐", "-", "stopping", "warn"),
    "succeeded": ("✓", "+", "succeeded", "well"),
    "failed": ("✗", "X", "failed", "broken"),
    "timed_out": ("◷", "T", "timed out", "late"),
    "cancelled": ("⊘", "/", "cancelled", "dim"),
    "lost": ("?", "?", "lost", "unknown"),
    "pending": ("△", "'", "pending", "warn"),
    "firing": ("▲", "!", "firing", "warn"),
    "acknowledged": ("▲", "!", "acked", "warn"),
    "resolved": ("✓", "+", "resolved", "well"),
    "none": ("○", "o", "none", "dim"),
    "stopped": ("‖", '"', "stopped", "warn"),
}
STRANGE: Sign = ("?", "?", "unknown", "unknown")

WORDS = {"open": "", "full": "alive", "no room": "warn", "paused": "warn", "draining": "warn", "pool off": "warn"}
"""Styles of a queue's word."""

SEVERITIES = {"critical": ("CRIT", "broken"), "warning": ("warn", "warn"), "info": ("info", "")}

CODES = {
    "bold": "1",
    "dim": "2",
    "alive": "36",
    "well": "32",
    "warn": "33",
    "late": "31",
    "broken": "1;31",
    "unknown": "1;35",
}
"""SGR codes of the styles; 16 colours carry everything."""

TO_ASCII = str.maketrans(
    {"–": "-", "…": "~", "·": "|", "•": "*", "▲": "!", "△": "'", "●": "*", "‖": '"', "✗": "X", "✓": "+"}
)
"""Our own marks where the locale is not UTF-8."""


def state(status: str, ascii: bool = False) -> tuple[str, str]:
    """`● running` and its style."""
    sign = SIGNS.get(status, STRANGE)
    return f"{sign[1] if ascii else sign[0]} {sign[2] if sign is not STRANGE else status.replace('_', ' ')}", sign[3]


def word(status: str) -> str:
    """`timed out`."""
    return SIGNS[status][2] if status in SIGNS else status.replace("_", " ")
