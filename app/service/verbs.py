"""The one table of verbs: the name on the control socket, and what answers it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.service import admin, alerts, board, definitions, queues, slas, submit, tasks, templates, views


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
        "sla.create": slas.create,
        "sla.rm": slas.rm,
        "alert.ls": alerts.ls,
        "alert.ack": alerts.ack,
        "apply": definitions.apply,
        "export": definitions.export,
        "board": board.board,
        "status": board.status,
        "stop": admin.stop,
        "db.check": admin.check,
    }.items()
}
