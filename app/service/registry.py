"""Registry of verbs: names on the control socket and their functions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import Usage
from app.service import (
    alerts,
    board,
    board_at,
    history,
    notifications,
    operations,
    runtime_admin,
    silences,
    since_last_visit,
    usage,
)
from app.service.arguments import check_arguments
from app.service.context import Call
from app.service.database import backups, cleanup, diagnostics, integrity, replica
from app.service.definitions import (
    apply,
    bookings,
    editor,
    limits,
    queues,
    shared_resources,
    slas,
    templates,
)
from app.service.rules import checkins, replay
from app.service.schedules import imports
from app.service.schedules import verbs as schedule_verbs
from app.service.tasks.changes import actions, retry, right_size, send
from app.service.tasks.inspection import (
    detail,
    flow,
    group_page,
    group_views,
    pages,
    several_logs,
    views,
    wait,
)
from app.service.tasks.submission import submit
from app.service.undo import undo
from app.service.what_if import forecast
from db import statement_timer
from db.queries.history.operations import Actor

MAX_ID_LENGTH = 1000
"""Maximum number of characters of an id: above the length of any name."""


@dataclass(frozen=True)
class Verb:
    """An async function that takes a Call and JSON-compatible keywords."""

    run: Callable[..., Awaitable[Any]]
    signature: inspect.Signature = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", inspect.signature(self.run))


VERBS: dict[str, Verb] = {
    name: Verb(run)
    for name, run in {
        "submit": submit.submit,
        "submit.lines": submit.submit_lines,
        "ls": views.ls,
        "browse": pages.browse,
        "review": pages.review,
        "show": views.show,
        "group.ls": group_views.ls,
        "group.show": group_views.show,
        "group.set": group_views.set_,
        "group.tasks": group_page.list_tasks,
        "about": detail.read_detail,
        "why": views.explain,
        "instances": views.list_instances,
        "log": views.find_logs,
        "logs": several_logs.list_logs,
        "operations": operations.ls,
        "flow": flow.show_flow,
        "usage": usage.read_usage,
        "undo": undo.undo,
        "cancel": actions.cancel,
        "cancel.preview": actions.preview_cancel,
        "pause": actions.pause,
        "resume": actions.resume,
        "hold": actions.hold,
        "release": actions.release,
        "retry": retry.retry,
        "rm": actions.rm,
        "front": actions.front,
        "set": actions.set_,
        "send": send.send,
        "right_size": right_size.suggest,
        "set.sizes": right_size.set_sizes,
        "wait": wait.wait,
        "forecast": forecast.forecast_changes,
        "queue.ls": queues.queue_ls,
        "queue.show": queues.queue_show,
        "queue.line": queues.queue_line,
        "queue.create": queues.queue_create,
        "queue.set": queues.queue_set,
        "queue.rm": queues.queue_rm,
        "queue.pause": queues.queue_pause,
        "queue.resume": queues.queue_resume,
        "queue.drain": queues.queue_drain,
        "pool.ls": queues.pool_ls,
        "pool.show": queues.pool_show,
        "pool.create": queues.pool_create,
        "pool.set": queues.pool_set,
        "pool.rm": queues.pool_rm,
        "pool.pause": queues.pool_pause,
        "pool.resume": queues.pool_resume,
        "pool.drain": queues.pool_drain,
        "reserve.ls": bookings.ls,
        "reserve.create": bookings.create,
        "reserve.rm": bookings.rm,
        "resource.ls": shared_resources.ls,
        "resource.set": shared_resources.set_,
        "resource.rm": shared_resources.rm,
        "limit.ls": limits.ls,
        "limit.show": limits.show,
        "limit.set": limits.set_,
        "limit.rm": limits.rm,
        "template.ls": templates.ls,
        "template.show": templates.show,
        "template.create": templates.create,
        "template.set": templates.set_,
        "template.rm": templates.rm,
        "template.retire": templates.retire,
        "definition.show": editor.show,
        "definition.check": editor.check,
        "definition.set": editor.set_,
        "sla.ls": slas.ls,
        "sla.show": slas.show,
        "sla.history": slas.read_history,
        "sla.checkins": checkins.ls,
        "sla.forget_checkin": checkins.forget,
        "sla.create": slas.create,
        "sla.set": slas.set_,
        "sla.rm": slas.rm,
        "sla.test": replay.test,
        "checkin": checkins.check_in,
        "alert.ls": alerts.ls,
        "alert.show": alerts.show,
        "alert.ack": alerts.ack,
        "alert.unack": alerts.unack,
        "alert.silence": alerts.silence,
        "alert.unsilence": alerts.unsilence,
        "alert.silences": silences.ls,
        "notify.ls": notifications.ls,
        "notify.test": notifications.test,
        "schedule.ls": schedule_verbs.ls,
        "schedule.show": schedule_verbs.show,
        "schedule.timeline": schedule_verbs.timeline,
        "schedule.create": schedule_verbs.create,
        "schedule.set": schedule_verbs.set_,
        "schedule.rm": schedule_verbs.rm,
        "schedule.pause": schedule_verbs.pause,
        "schedule.resume": schedule_verbs.resume,
        "schedule.run": schedule_verbs.run,
        "schedule.skip_next": schedule_verbs.skip_next,
        "schedule.backfill": schedule_verbs.backfill,
        "schedule.preview_import": imports.preview_import,
        "schedule.import": imports.import_lines,
        "apply": apply.apply,
        "export": apply.export,
        "away": since_last_visit.summarize_since,
        "board": board.show_board,
        "board.at": board_at.board_at,
        "history": history.read_history,
        "status": board.show_status,
        "start": runtime_admin.start,
        "stop": runtime_admin.stop,
        "db.check": integrity.check,
        "db.repair": integrity.repair,
        "db.backup": backups.backup,
        "db.backups": backups.list_all,
        "db.cleanup": cleanup.cleanup,
        "db.verify": backups.verify,
        "db.replica.status": replica.status,
        "db.replica.set": replica.set_,
        "db.replica.off": replica.disable,
        "db.slow": diagnostics.list_slow,
        "db.slow.clear": diagnostics.clear_slow,
        "db.stats": diagnostics.read_stats,
        "doctor": runtime_admin.doctor,
    }.items()
}


async def call_verb(call: Call, verb: str, args: dict[str, Any]) -> Any:
    """Call a verb by name.

    Raise Usage for an unknown verb, wrong arguments, or text that cannot be encoded.
    """
    if verb not in VERBS:
        near = find_nearest(verb, VERBS)
        raise Usage(
            f'there is no verb "{truncate(sanitize(verb), 40)}".'
            + (f" Nearest: {near}" if near else "")
        )
    found = VERBS[verb]
    if not isinstance(args, dict):
        raise Usage("{verb}: args must be an object. Nothing was done.", verb=verb)
    try:
        found.signature.bind(call, **args)
    except TypeError as error:
        raise Usage(
            "{verb}: wrong arguments: {error}. Nothing was done.", verb=verb, error=error
        ) from None
    if "ids" in args:
        optional = found.signature.parameters["ids"].default is None
        args = args | {"ids": _parse_ids(args["ids"], optional)}
    check_arguments(verb, found.run, args)
    by = Actor.copy_actor(call.by)
    try:
        with statement_timer.set_caller(verb):
            return _add_operations(await found.run(replace(call, by=by), **args), by)
    except UnicodeEncodeError as error:
        what = truncate(sanitize(error.object), 40)
        raise Usage('"{what}" is not UTF-8 text. Nothing was done.', what=what) from None


def _parse_ids(ids: Any, optional: bool) -> list[str | int] | None:
    """Return `ids` as a list of texts and whole numbers; one alone is a list of one."""
    if ids is None and optional:
        return None
    found: list[Any] = ids if isinstance(ids, list) else [ids]
    for ident in found:
        if type(ident) not in (str, int):
            raise Usage("ids must be a list of numbers and names. Nothing was done.")
        if isinstance(ident, str) and len(ident) > MAX_ID_LENGTH:
            raise Usage(
                "an id has {n:,} characters, but no id or name has more than"
                " {max_id_length:,}. Nothing was done.",
                "Give ids as a list, one by one.",
                n=len(ident),
                max_id_length=MAX_ID_LENGTH,
            )
    return found


def _add_operations(result: Any, by: Actor) -> Any:
    """Add the ids of recorded operations, which undo needs, to the answer."""
    return (
        {"operations": by.recorded, **result}
        if by.recorded and isinstance(result, dict)
        else result
    )
