"""Status glyphs of the deck, the command line and the documentation.

An entry is (one-cell glyph, ASCII replacement, word, style name). No state relies on color alone,
and no two task states share a glyph or a word. Every command imports this module, so it imports
almost nothing. Words are translated where they are shown.
"""

from app.translation import tr_noop

StatusGlyph = tuple[str, str, str, str]

IN_SLURM = "in slurm"
"""Shown status of a run that waits in Slurm."""

STATES: dict[str, StatusGlyph] = {
    "scheduled": ("◔", "@", tr_noop("scheduled"), "dim"),
    "blocked": ("↳", "^", tr_noop("blocked"), "dim"),
    "held": ("⊟", "=", tr_noop("held"), "warn"),
    "queued": ("○", "o", tr_noop("queued"), ""),
    "retrying": ("↻", "~", tr_noop("retrying"), "warn"),
    "starting": ("◌", ":", tr_noop("starting"), "alive"),
    IN_SLURM: ("◇", "%", tr_noop("in Slurm"), ""),
    "running": ("●", "*", tr_noop("running"), "alive"),
    "paused": ("‖", '"', tr_noop("paused"), "warn"),
    "stopping": ("◐", "-", tr_noop("stopping"), "warn"),
    "succeeded": ("✓", "+", tr_noop("succeeded"), "well"),
    "failed": ("✗", "X", tr_noop("failed"), "broken"),
    "timed_out": ("◷", "T", tr_noop("timed out"), "late"),
    "cancelled": ("⊘", "/", tr_noop("cancelled"), "dim"),
    "lost": ("?", "?", tr_noop("lost"), "unknown"),
}
"""Tasks and runs, by status."""

FAILED_STATES = ("failed", "timed_out", "lost")
"""Ended states that need attention."""

ALERTS: dict[str, StatusGlyph] = {
    "pending": ("△", "'", tr_noop("pending"), "warn"),
    "firing": ("▲", "!", tr_noop("firing"), "warn"),
    "acknowledged": ("▲", "!", tr_noop("acked"), "warn"),
    "silenced": ("▽", "v", tr_noop("silenced"), "dim"),
    "resolved": ("✓", "+", tr_noop("resolved"), "well"),
    "expired": ("✓", "+", tr_noop("expired"), "dim"),
}
"""Alerts, by status."""

QUEUES: dict[str, StatusGlyph] = {
    "open": ("○", "o", tr_noop("open"), ""),
    "full": ("●", "*", tr_noop("full"), "alive"),
    "no room": ("●", "*", tr_noop("no room"), "warn"),
    "paused": ("‖", '"', tr_noop("paused"), "warn"),
    "draining": ("▽", "v", tr_noop("draining"), "warn"),
    "pool off": ("✗", "X", tr_noop("pool off"), "warn"),
    "no Slurm": ("✗", "X", tr_noop("no Slurm"), "warn"),
    "opens": ("◔", "@", tr_noop("opens"), "dim"),
}
"""Queues, by state word; a closed one has `opens 22:00`."""

SCHEDULES: dict[str, StatusGlyph] = {
    "active": ("◔", "@", tr_noop("active"), ""),
    "paused": QUEUES["paused"],
    "ended": ("⊘", "/", tr_noop("ended"), "dim"),
}
"""Schedules, by state."""

FIRES: dict[str, StatusGlyph] = {
    "skipped": ("-", "-", tr_noop("skipped"), "dim"),
    "missed": ("m", "m", tr_noop("missed"), "warn"),
    "refused": ("!", "!", tr_noop("refused"), "broken"),
}
"""Fire times without a task, by outcome."""

RUNTIME: dict[str, StatusGlyph] = {
    "none": ("○", "o", tr_noop("none"), "dim"),
    "starting": STATES["starting"],
    "running": STATES["running"],
    "stopped": ("‖", '"', tr_noop("stopped"), "warn"),
}
"""The runtime, by state."""

UNKNOWN: StatusGlyph = ("?", "?", tr_noop("unknown"), "unknown")
"""State unknown to this version."""


def get_run_status(status: str, outer_job: str | None) -> str:
    """Return the status of a run as people see it: a run that waits in Slurm is not starting."""
    return IN_SLURM if status == "starting" and outer_job is not None else status
