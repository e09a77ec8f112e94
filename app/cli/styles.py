"""Styles of the command line: status glyphs, and the SGR codes of style names."""

from __future__ import annotations

from app.core.text.status_glyphs import ALERTS, FIRES, QUEUES, RUNTIME, STATES, UNKNOWN
from app.translation import tr

GLYPHS = {**FIRES, **RUNTIME, **STATES, **ALERTS}

QUEUE_STYLES = {word: sign[3] for word, sign in QUEUES.items()}
"""Styles of queue states."""

SEVERITIES = {"critical": ("CRIT", "broken"), "warning": ("warn", "warn"), "info": ("info", "")}

SGR_CODES = {
    "bold": "1",
    "dim": "2",
    "alive": "36",
    "well": "32",
    "warn": "33",
    "late": "31",
    "broken": "1;31",
    "unknown": "1;35",
}
"""SGR codes of the styles. 16 colours suffice."""

TO_ASCII = str.maketrans(
    {
        "–": "-",
        "…": "~",
        "·": "|",
        "•": "*",
        "▲": "!",
        "△": "'",
        "●": "*",
        "‖": '"',
        "✗": "X",
        "✓": "+",
    }
)
"""ASCII replacements of the glyphs for locales without UTF-8."""


def format_state(status: str, ascii: bool = False) -> tuple[str, str]:
    """Return the text of a state, such as `● running`, and its style."""
    sign = GLYPHS.get(status, UNKNOWN)
    return (
        (
            f"{sign[1] if ascii else sign[0]}"
            f" {tr(sign[2]) if sign is not UNKNOWN else status.replace('_', ' ')}"
        ),
        sign[3],
    )


def format_pool_state(status: str) -> tuple[str, str]:
    """Return the text of a pool's state and its style, matching the queue's."""
    shown = "open" if status == "active" else status
    return tr(shown), QUEUE_STYLES.get(shown, "")


def format_status(status: str) -> str:
    """Return the text of a state, such as `timed out`."""
    return tr(GLYPHS[status][2]) if status in GLYPHS else status.replace("_", " ")
