"""Work of another queue manager, and the rules of what is taken over.

A task is taken over only with everything that it waits for and everything that waits for it. So no
dependency ever leads from one program to the other.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from app.core.task_spec import TaskSpec, describe_error
from app.core.text.sanitize import find_name_error
from app.translation import tr


class PeerPhase(StrEnum):
    """Phase of a task: it waits, runs or has ended."""

    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(slots=True, kw_only=True)
class PeerItem:
    """A task of another queue manager, the peer, and the task that it becomes here."""

    id: int
    """Number of the task in the peer."""
    created: float
    """UNIX time of the submission to the peer."""
    command: str
    """Command as people read it."""
    status: str
    """State, in the peer's words."""
    phase: PeerPhase
    is_done: bool = False
    """True once the task has succeeded in the peer."""
    never_ran: bool = False
    """True if the task ended in the peer without a start, and never will start."""
    queue: str
    """Queue here."""
    task: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys of a submission, without `queue`, `hold` and `after`."""
    cwd: str = "/"
    umask: int = 0o022
    env: dict[str, str] = field(default_factory=dict[str, str])
    parents: tuple[int, ...] = ()
    """Tasks of the peer that must succeed first."""
    is_held: bool = False
    losses: list[str] = field(default_factory=list[str])
    """Parts that cannot be kept."""
    obstacle: str | None = None
    """Reason why the task stays with the peer."""
    handle: Any = None
    """Reference by which the peer withdraws the task."""

    @property
    def key(self) -> str:
        """Identity, unlike that of a later task with the same number."""
        digest = sha256(self.command.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self.id} {self.created:.6f} {digest[:24]}"


@dataclass(slots=True, kw_only=True)
class PeerQueue:
    """A queue here, for a group or the slots of a peer."""

    name: str
    origin: str
    """Words for the place in the peer, such as `group build`."""
    capacity: int | None = None
    is_paused: bool = False


@dataclass(slots=True, kw_only=True)
class PeerState:
    """Everything that an import reads from a peer."""

    source: str
    """File or socket."""
    queues: list[PeerQueue]
    items: list[PeerItem]
    losses: list[str] = field(default_factory=list[str])
    """Parts of the peer itself that cannot be kept."""


def clean_name(text: str | None) -> str | None:
    """Return a label as the name of a task or queue, or None if nothing of it can stay."""
    cleaned = "".join(c if c.isprintable() else " " for c in text or "").replace("/", "-")
    cleaned = " ".join(cleaned.split()).lstrip(".")[:200].strip()
    return None if find_name_error(cleaned) else cleaned


def format_start(unix: float) -> str:
    """Return a start time as a submission takes it."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")


def find_spec_error(task: Mapping[str, Any]) -> str | None:
    """Return why the keys of a task are no submission, or None."""
    try:
        TaskSpec.model_validate(task)
    except ValidationError as error:
        return describe_error(error)
    return None


def choose_items(items: Sequence[PeerItem], taken: Collection[int] = frozenset()) -> list[PeerItem]:
    """Return the tasks to take over, parents first; give the other waiting ones an obstacle.

    Parents that have succeeded are dropped from `parents`. Tasks in `taken` were taken over before.
    """
    by_id = {item.id: item for item in items if item.id not in taken}
    waiting = [item for item in by_id.values() if item.phase is PeerPhase.WAITING]
    for item in waiting:
        item.obstacle = item.obstacle or _find_parent_obstacle(item, by_id, taken)
        item.parents = tuple(
            parent for parent in dict.fromkeys(item.parents)
            if parent not in by_id or by_id[parent].phase is not PeerPhase.ENDED
        )  # fmt: skip
    ordered = _sort_parents_first(waiting)
    known = {item.id for item in ordered}
    for item in waiting:
        if item.id not in known:
            item.obstacle = item.obstacle or tr("its dependencies form a cycle")
    keep_together(waiting)
    return [item for item in ordered if item.obstacle is None]


def _find_parent_obstacle(
    item: PeerItem, by_id: Mapping[int, PeerItem], taken: Collection[int]
) -> str | None:
    for number in item.parents:
        if number in taken:
            continue
        parent = by_id.get(number)
        if parent is None:
            return tr("waits for {number}, which is not there any more", number=number)
        if parent.phase is PeerPhase.ACTIVE:
            return tr("waits for {number}, which runs there", number=number)
        if parent.phase is PeerPhase.ENDED and not parent.is_done:
            return tr("waits for {number}, which has not succeeded", number=number)
    return None


def keep_together(waiting: Iterable[PeerItem]) -> None:
    """Give each task that depends on one with an obstacle, or is its parent, an obstacle too."""
    by_id = {item.id: item for item in waiting}
    children: dict[int, list[int]] = {}
    for item in by_id.values():
        for parent in item.parents:
            children.setdefault(parent, []).append(item.id)
    todo = deque(item for item in by_id.values() if item.obstacle)
    while todo:
        item = todo.popleft()
        below = tr("waits for {number}, which stays", number=item.id)
        above = tr("{number} waits for it and stays", number=item.id)
        near = [(child, below) for child in children.get(item.id, ())]
        near += [(one, above) for one in item.parents]
        for number, why in near:
            other = by_id.get(number)
            if other is not None and other.obstacle is None:
                other.obstacle = why
                todo.append(other)


def _sort_parents_first(waiting: Sequence[PeerItem]) -> list[PeerItem]:
    """Return the tasks in their order, but parents first, and without those in a cycle."""
    places = {item.id: at for at, item in enumerate(waiting)}
    children: dict[int, list[int]] = {}
    missing = Counter[int]()
    for at, item in enumerate(waiting):
        for parent in item.parents:
            if parent in places:
                children.setdefault(places[parent], []).append(at)
                missing[at] += 1
    ready = [at for at in range(len(waiting)) if not missing[at]]
    found: list[PeerItem] = []
    while ready:
        at = heapq.heappop(ready)
        found.append(waiting[at])
        for child in children.get(at, ()):
            missing[child] -= 1
            if not missing[child]:
                heapq.heappush(ready, child)
    return found
