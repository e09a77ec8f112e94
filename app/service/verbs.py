"""The one table of verbs: the name on the control socket, and what answers it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.core.clean import clean, cut, nearest
from app.errors import Usage
from app.service import about, admin, alerts, away, board, definitions, queues, slas, submit, tasks, templates, views
from app.service.call import Call


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
        "show": views.show,
        "about": about.about,
        "why": views.why,
        "instances": views.instances,
        "log": views.log,
        "operations": views.operations,
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
        "status": board.status,
        "start": admin.start,
        "stop": admin.stop,
        "db.check": admin.check,
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
    try:
        return await found.run(call, **args)
    except UnicodeEncodeError as error:
        what = cut(clean(error.object), 40)
        raise Usage(f'"{what}" is no UTF-8 text. Nothing was done.') from None
