"""Status glyphs of the deck, the command line and the documentation.

An entry is (one-cell glyph, ASCII replacement, word, style name). No state relies on color alone,
and no two task states share a glyph or a word. Every command imports this module, so it imports
nothing.
"""

StatusGlyph = tuple[str, str, str, str]

IN_SLURM = "in slurm"
"""Shown status of a run that waits in Slurm."""

STATES: dict[str, StatusGlyph] = {
    "scheduled": ("◔", "@", "scheduled", "dim"),
    "blocked": ("↳", "^", "blocked", "dim"),
    "held": ("⊟", "=", "held", "warn"),
    "queued": ("○", "o", "queued", ""),
    "retrying": ("↻", "~", "retrying", "warn"),
    "starting": ("◌", ":", "starting", "alive"),
    IN_SLURM: ("◇", "%", "in Slurm", ""),
    "running": ("●", "*", "running", "alive"),
    "paused": ("‖", '"', "paused", "warn"),
    "stopping": ("◐", "-", "stopping", "warn"),
    "succeeded": ("✓", "+", "succeeded", "well"),
    "failed": ("✗", "X", "failed", "broken"),
    "timed_out": ("◷", "T", "timed out", "late"),
    "cancelled": ("⊘", "/", "cancelled", "dim"),
    "lost": ("?", "?", "lost", "unknown"),
}
"""Tasks and runs, by status."""

FAILED_STATES = ("failed", "timed_out", "lost")
"""Ended states that need attention."""

ALERTS: dict[str, StatusGlyph] = {
    "pending": ("△", "'", "pending", "warn"),
    "firing": ("▲", "!", "firing", "warn"),
    "acknowledged": ("▲", "!", "acked", "warn"),
    "silenced": ("▽", "v", "silenced", "dim"),
    "resolved": ("✓", "+", "resolved", "well"),
    "expired": ("✓", "+", "expired", "dim"),
}
"""Alerts, by status."""

QUEUES: dict[str, StatusGlyph] = {
    "open": ("○", "o", "open", ""),
    "full": ("●", "*", "full", "alive"),
    "no room": ("●", "*", "no room", "warn"),
    "paused": ("‖", '"', "paused", "warn"),
    "draining": ("▽", "v", "draining", "warn"),
    "pool off": ("✗", "X", "pool off", "warn"),
    "no Slurm": ("✗", "X", "no Slurm", "warn"),
    "opens": ("◔", "@", "opens", "dim"),
}
"""Queues, by state word; a closed one has `opens 22:00`."""

SCHEDULES: dict[str, StatusGlyph] = {
    "active": ("◔", "@", "active", ""),
    "paused": QUEUES["paused"],
    "ended": ("⊘", "/", "ended", "dim"),
}
"""Schedules, by state."""

FIRES: dict[str, StatusGlyph] = {
    "skipped": ("-", "-", "skipped", "dim"),
    "missed": ("m", "m", "missed", "warn"),
    "refused": ("!", "!", "refused", "broken"),
}
"""Fire times without a task, by outcome."""

RUNTIME: dict[str, StatusGlyph] = {
    "none": ("○", "o", "none", "dim"),
    "starting": STATES["starting"],
    "running": STATES["running"],
    "stopped": ("‖", '"', "stopped", "warn"),
}
"""The runtime, by state."""

UNKNOWN: StatusGlyph = ("?", "?", "unknown", "unknown")
"""State unknown to this version."""


def get_run_status(status: str, outer_job: str | None) -> str:
    """Return the status of a run as people see it: a run that waits in Slurm is not starting."""
    return IN_SLURM if status == "starting" and outer_job is not None else status
