"""Bounds of a client of `taskdeck mcp`: its own tasks, and how many of them at once.

Checks and changes are one transaction, so two requests at once pass no bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.core.agent_clients import CLIENT_TAG
from app.core.task_spec import Capacity, Cpu, Size, TaskSpec
from app.errors import NOT_SUBMITTED, Conflict, Usage
from app.service.definitions import limits
from app.service.tasks.changes.option_values import validate
from app.service.tasks.lookup import AnyTask
from app.translation import tr
from db.engine import Connection
from db.queries.tasks import client_tasks


class ClientBounds(BaseModel):
    """A client, the most tasks that wait or run, and the amounts of its limit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    tasks: Capacity | None = None
    cpu: Cpu | None = None
    memory: Size | None = None
    running: Capacity | None = None

    @property
    def tag(self) -> tuple[str, str]:
        """Key and value of the tag of its tasks."""
        return CLIENT_TAG, self.name

    def mark_task(self, spec: TaskSpec) -> TaskSpec:
        """Return a task with the tag of the client."""
        return spec.model_copy(update={"tags": {**spec.tags, CLIENT_TAG: self.name}})

    def require_room(self, c: Connection, count: int) -> None:
        """Raise Conflict if the client may not submit so many tasks."""
        left = self.count_left(c)
        if left is not None and count > left:
            raise self.make_full_error(tr(NOT_SUBMITTED))

    def admit(self, c: Connection, count: int, by: str) -> None:
        """Raise Conflict if the client may not submit so many tasks; store its limit."""
        self.require_room(c, count)
        self.store_limit(c, by)

    def store_limit(self, c: Connection, by: str) -> None:
        """Store the limit of the tag, which bounds what its running tasks take together."""
        amounts = {"cpu": self.cpu, "memory": self.memory, "running": self.running}
        given = {name: amount for name, amount in amounts.items() if amount is not None}
        if given:
            limits.keep_amounts(c, f"{CLIENT_TAG}={self.name}", given, by)

    def count_left(self, c: Connection) -> int | None:
        """Return how many more tasks may wait or run; None without a bound."""
        if self.tasks is None:
            return None
        return self.tasks - client_tasks.count_unended(c, self.tag)

    def make_full_error(self, undone: str) -> Conflict:
        """Return the error for a client that has all the tasks that it may have."""
        return Conflict(
            "client {client} may have {most} tasks that wait or run, and no more. {undone}",
            "Wait for tasks to end, or cancel some.",
            client=self.name,
            most=f"{self.tasks:,}",
            undone=tr(undone),
        )


_CLIENT: TypeAdapter[ClientBounds | None] = TypeAdapter(ClientBounds | None)


def parse_client(given: dict[str, Any] | None) -> ClientBounds | None:
    """Return the bounds of a request; None for a caller without bounds. Raise Usage."""
    return validate("client", _CLIENT, given)


class ClientGuard:
    """Check of a verb that a client changes only its own tasks. Without a client, none is made."""

    def __init__(self, client: ClientBounds | None, by: str) -> None:
        self.client, self.by = client, by
        self._others: set[str] = set()
        self._dependents: dict[str, int] = {}
        self._left: int | None = None

    def prepare_cancel(self, c: Connection, rows: Sequence[AnyTask]) -> None:
        """Read which tasks belong to others, also those that a cancel would end."""
        if self.client is None:
            return
        self._read_others(c, rows)
        for row in rows:
            found = client_tasks.find_other_dependent(c, row.uuid, self.client.tag)
            if found is not None:
                self._dependents[row.uuid] = found

    def prepare_retry(self, c: Connection, rows: Sequence[AnyTask]) -> None:
        """Read which tasks belong to others, and how many more the client may have."""
        self._read_others(c, rows)
        if self.client:
            self.client.store_limit(c, self.by)
            self._left = self.client.count_left(c)

    def refuse_others(self, row: AnyTask) -> None:
        """Raise Conflict for a task of others, or one on which a task of others depends."""
        if self.client is None:
            return
        if row.uuid in self._others:
            raise Conflict(
                "#{number} is no task of client {client}: it was left alone.",
                number=row.number,
                client=self.client.name,
            )
        if row.uuid in self._dependents:
            raise Conflict(
                "#{dependent}, which is no task of client {client}, waits for #{number} and would"
                " end with it. #{number} was left alone.",
                dependent=self._dependents[row.uuid],
                client=self.client.name,
                number=row.number,
            )

    def take_place(self, row: AnyTask) -> None:
        """Count one more task that waits. Raise Conflict if the client has all that it may have."""
        if self.client is None or self._left is None:
            return
        if self._left <= 0:
            raise self.client.make_full_error(tr("#{number} was left alone.", number=row.number))
        self._left -= 1

    def _read_others(self, c: Connection, rows: Sequence[AnyTask]) -> None:
        if self.client:
            uuids = [row.uuid for row in rows]
            self._others |= client_tasks.list_without_tag(c, uuids, self.client.tag)


def refuse_with_client(client: ClientBounds | None, option: str) -> None:
    """Raise Usage for an option that could change the tasks of others."""
    if client is not None:
        raise Usage("{option} does not go with a client. Nothing was done.", option=option)
