"""How states are shown, in the deck, on the command line and in the documents: one table.

A sign is (one-cell glyph, its ASCII twin, the word, the name of a style). A state is never colour alone, and no two
states of a task share a glyph or a word. Standard library only, nothing imported: every command pays for this.
"""

StatusGlyph = tuple[str, str, str, str]

STATES: dict[str, StatusGlyph] = {
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
}
"""Tasks and instances, by status."""

FAILED_STATES = ("failed", "timed_out", "lost")
"""How a task ends that one wants to know of."""

ALERTS: dict[str, StatusGlyph] = {
    "pending": ("△", "'", "pending", "warn"),
    "firing": ("▲", "!", "firing", "warn"),
    "acknowledged": ("▲", "!", "acked", "warn"),
    "silenced": ("▽", "v", "quiet", "dim"),
    "resolved": ("✓", "+", "resolved", "well"),
}
"""Alerts, by status."""

QUEUES: dict[str, StatusGlyph] = {
    "open": ("○", "o", "open", ""),
    "full": ("●", "*", "full", "alive"),
    "no room": ("●", "*", "no room", "warn"),
    "paused": ("‖", '"', "paused", "warn"),
    "draining": ("▽", "v", "draining", "warn"),
    "pool off": ("✗", "X", "pool off", "warn"),
}
"""Queues, by the word for what they do."""

RUNTIME: dict[str, StatusGlyph] = {
    "none": ("○", "o", "none", "dim"),
    "starting": STATES["starting"],
    "running": STATES["running"],
    "stopped": ("‖", '"', "stopped", "warn"),
}
"""The runtime, by its state."""

UNKNOWN: StatusGlyph = ("?", "?", "unknown", "unknown")
"""A state that this version does not know."""
