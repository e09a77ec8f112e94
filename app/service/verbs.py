"""The one table of verbs: the name on the control socket, and what answers it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.core.clean import clean, cut, nearest
from app.errors import Usage
from app.service import (
    about,
    admin,
    alerts,
    asof,
    away,
    backups,
    board,
    browse,
    checking,
    cleanup,
    definition,
    definitions,
    health,
    history,
    operations,
    queues,
    replica,
    slas,
    submit,
    tasks,
    templates,
    undo,
    views,
)
from app.service.call import Call
from db import timed
from db.operations import By


@dataclass(frozen=True)
class Verb:
    """An async function of a Call and JSON-able keywords."""

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
        "browse": browse.browse,
        "review": browse.review,
        "show": views.show,
        "about": about.about,
        "why": views.why,
        "instances": views.instances,
        "log": views.log,
        "operations": operations.ls,
        "undo": undo.undo,
        "cancel": tasks.cancel,
        "pause": tasks.pause,
        "resume": tasks.resume,
        "hold": tasks.hold,
        "release": tasks.release,
        "retry": tasks.retry,
        "rm": tasks.rm,
        "front": tasks.front,
        "set": tasks.set_,
        "wait": tasks.wait,
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
        "template.ls": templates.ls,
        "template.show": templates.show,
        "template.create": templates.create,
        "template.set": templates.set_,
        "template.rm": templates.rm,
        "template.retire": templates.retire,
        "definition.show": definition.show,
        "definition.check": definition.check,
        "definition.set": definition.set_,
        "sla.ls": slas.ls,
        "sla.show": slas.show,
        "sla.history": slas.history,
        "sla.create": slas.create,
        "sla.set": slas.set_,
        "sla.rm": slas.rm,
        "alert.ls": alerts.ls,
        "alert.show": alerts.show,
        "alert.ack": alerts.ack,
        "alert.unack": alerts.unack,
        "alert.silence": alerts.silence,
        "alert.unsilence": alerts.unsilence,
        "apply": definitions.apply,
        "export": definitions.export,
        "away": away.away,
        "board": board.board,
        "board.at": asof.board_at,
        "history": history.history,
        "status": board.status,
        "start": admin.start,
        "stop": admin.stop,
        "db.check": checking.check,
        "db.repair": checking.repair,
        "db.backup": backups.backup,
        "db.backups": backups.backups,
        "db.cleanup": cleanup.cleanup,
        "db.verify": backups.verify,
        "db.replica.status": replica.status,
        "db.replica.set": replica.set_,
        "db.replica.off": replica.off,
        "db.slow": health.slow,
        "db.slow.clear": health.forget,
        "db.stats": health.figures,
        "doctor": admin.doctor,
    }.items()
}


async def answer(call: Call, verb: str, args: dict[str, Any]) -> Any:
    """Find a verb and let it answer. Raises Usage for one that there is not, with other arguments, or with text that is none."""
    if verb not in VERBS:
        near = nearest(verb, VERBS)
        raise Usage(f'there is no verb "{cut(clean(verb), 40)}".' + (f" Nearest: {near}" if near else ""))
    found = VERBS[verb]
    try:
        found.signature.bind(call, **args)
    except TypeError as error:
        raise Usage(f"{verb}: {error}") from None
    by = By.again(call.by)
    try:
        with timed.asked_by(verb):
            return _with_operations(await found.run(replace(call, by=by), **args), by)
    except UnicodeEncodeError as error:
        what = cut(clean(error.object), 40)
        raise Usage(f'"{what}" is no UTF-8 text. Nothing was done.') from None


def _with_operations(result: Any, by: By) -> Any:
    """What a verb answers, with the ids of the operations that it recorded, by which it can be undone."""
    return {"operations": by.recorded, **result} if by.recorded and isinstance(result, dict) else result
