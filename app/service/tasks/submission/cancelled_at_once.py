"""Note about tasks that are cancelled as they are submitted, since a parent has ended already."""

from __future__ import annotations

from app.core.text.sanitize import sanitize
from app.service.context import Call
from app.service.tasks.submission.bulk import get_uuid_range
from app.translation import tr
from db.queries.tasks import skips

MAX_NAMED = 5


async def note_cancelled(call: Call, first: str) -> None:
    """Note the cancelled tasks of a submission, whose first task is given, with their reasons."""
    found = await call.db.read(skips.list_cancelled, *get_uuid_range(first), MAX_NAMED + 1)
    for number, name, reason in found[:MAX_NAMED]:
        call.note(
            tr(
                "#{number} {name} was cancelled at once: {why}",
                number=number,
                name=sanitize(name),
                why=sanitize(reason or ""),
            )
        )
    if len(found) > MAX_NAMED:
        call.note(
            tr("more of these tasks were cancelled at once. See: taskdeck ls --status cancelled")
        )
