"""Verb `checkin`: a program outside of Taskdeck reports its success."""

from __future__ import annotations

from typing import Any

from app.core.text.sanitize import find_name_error
from app.errors import Usage
from app.service.context import Call
from db.queries import checkins

MAX_NOTE_LENGTH = 500


async def check_in(call: Call, *, name: str, note: str | None = None) -> dict[str, Any]:
    """Store that a program succeeded now.

    A rule on `task.seconds_since_success` of that name fires when no check-in follows in time.
    """
    if wrong := find_name_error(name) if isinstance(name, str) else "must be text":
        raise Usage(f"name {wrong}. Nothing was stored.")
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE_LENGTH):
        raise Usage(f"note must be text of at most {MAX_NOTE_LENGTH} characters.")
    at = await call.db.write(checkins.store_checkin, name, call.by, note)
    return {"name": name, "at": at, "by": call.by, "note": note}
