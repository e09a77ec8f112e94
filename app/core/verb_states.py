"""States of the tasks that a verb acts on if a filter or a group names the tasks."""

from __future__ import annotations

from db.states import ENDED, FAILED, WAITING, TaskStatus, list_states

WAITING_STATES = (TaskStatus.QUEUED.value, *list_states(WAITING - {TaskStatus.QUEUED}))
VERB_STATES = {
    "cancel": ("running", *WAITING_STATES),
    "signal": ("running",),
    "pause": ("running",),
    "resume": ("running",),
    "hold": tuple(state for state in WAITING_STATES if state != "held"),
    "release": ("held",),
    "retry": list_states(FAILED),
    "rm": list_states(ENDED),
    "set": ("running", *WAITING_STATES),
    "front": WAITING_STATES,
}
"""Default states by verb. Retry excludes cancelled tasks: people mean failed ones."""
