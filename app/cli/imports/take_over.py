"""Steps by which waiting tasks of a peer become tasks here, so that no task runs on both sides.

1. The task is stored here, on hold. 2. The peer gives the task up. 3. The task is released here.
The journal keeps the ids of step 1 and the marks of step 2, so that a repetition stores nothing
twice. The next import finishes a killed one, and releases nothing that the peer may still run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.cli.context import CommandContext
from app.cli.imports.journal import (
    BEGAN,
    LEFT,
    TAKEN,
    UNCLEAR,
    ImportJournal,
    JournalEntry,
    open_journal,
)
from app.core.ids import make_uuid7
from app.core.imports.items import (
    PeerItem,
    PeerPhase,
    PeerState,
    choose_items,
    find_spec_error,
    keep_together,
)
from app.core.text.sanitize import sanitize
from app.errors import Conflict, NotFound, Problem
from app.translation import tr
from db.states import WAITING, TaskStatus

_NO_CHANGE = (" Nothing was submitted.", " Nothing was changed.")


class Peer(Protocol):
    """Another queue manager, whose state can be read and whose waiting tasks can be withdrawn."""

    name: str
    """Word of the command line."""

    def read(self) -> PeerState:
        """Return its state. Raise Problem."""
        ...

    def prepare(self) -> None:
        """Raise Problem if its tasks cannot be withdrawn now."""
        ...

    def recover(self) -> None:
        """Clear up after an import that was killed."""
        ...

    def withdraw(
        self, items: Sequence[PeerItem], journal: ImportJournal
    ) -> Iterator[tuple[PeerItem, str]]:
        """Withdraw tasks, parents first; yield each with its mark. Running tasks stay untouched."""
        ...

    def has_given_up(self, entry: JournalEntry, proof: str | None) -> bool:
        """Return True if a task that the peer no longer has left the peer by `withdraw`."""
        ...


@dataclass(slots=True)
class Report:
    """Outcome of an import: tasks by their number there."""

    state: PeerState
    chosen: list[PeerItem]
    outcomes: dict[int, str] = field(default_factory=dict[int, str])
    """new or created for a chosen task; stays or ended for the others."""
    numbers: dict[int, int] = field(default_factory=dict[int, int])
    """Numbers of the tasks here."""
    queues: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Queues here before the import."""
    paused: list[str] = field(default_factory=list[str])
    """Queues that are paused after the import."""
    unclear: list[int] = field(default_factory=list[int])
    """Held tasks here which the peer had no more, without a record that it gave them up."""
    finished: list[int] = field(default_factory=list[int])
    """Tasks here of an earlier import, which this one has released."""

    def set_outcomes(self, chosen: str) -> None:
        """Set the outcome of each task; `chosen` is the outcome of the chosen tasks."""
        known = {item.id for item in self.chosen}
        for item in self.state.items:
            other = "ended" if item.phase is PeerPhase.ENDED else "stays"
            self.outcomes[item.id] = chosen if item.id in known else other


def preview(context: CommandContext, peer: Peer) -> Report:
    """Return what an import would do, and change nothing."""
    state = peer.read()
    report = Report(state, [])
    report.queues = {row["name"]: row for row in context.call("queue.ls")}
    _set_obstacles(state.items, context if _can_submit(context) else None, report.queues)
    report.chosen = choose_items(state.items)
    report.set_outcomes("new")
    return report


def apply(context: CommandContext, peer: Peer) -> Report:
    """Take the waiting tasks over. Raise Problem; what was begun is finished by the next call."""
    queues = {row["name"]: row for row in context.call("queue.ls")}
    with open_journal(context.home, peer.name) as journal:
        peer.prepare()
        if journal.entries:
            peer.recover()
        state = _read_state(peer, journal)
        if journal.entries and journal.source != state.source:
            raise Conflict(
                "an import from {source} is not finished. Nothing was changed.",
                "Finish that import first: repeat it with --apply.",
                source=sanitize(journal.source),
            )
        report = Report(state, [], queues=queues)
        _finish_previous(context, peer, journal, report)
        _set_obstacles(state.items, context, queues)
        _set_taken_numbers(context, journal, report)
        report.chosen = choose_items(state.items, report.numbers)
        if report.chosen:
            _take_over(context, peer, journal, report)
        else:
            _cancel_stale(context, journal, set())
            report.set_outcomes("created")
        if journal.entries:
            journal.finish()
    return report


def _read_state(peer: Peer, journal: ImportJournal) -> PeerState:
    """Return the state of a peer; an empty one if it has gone while an import is unfinished."""
    try:
        return peer.read()
    except NotFound:
        if not journal.entries:
            raise
        return PeerState(source=journal.source, queues=[], items=[])


def _can_submit(context: CommandContext) -> bool:
    """Return True if a runtime answers, or can be started."""
    if context.read_only:
        return False
    try:
        context.call("submit", tasks=[{"argv": ["true"]}], dry_run=True)
    except Problem:
        return False
    return True


def _set_obstacles(
    items: Iterable[PeerItem], context: CommandContext | None, queues: dict[str, Any]
) -> None:
    """Give each waiting task that would be refused here the reason; `context` asks the runtime."""
    for item in items:
        if item.phase is not PeerPhase.WAITING or item.obstacle:
            continue
        item.obstacle = find_spec_error(item.task)
        if context is None or item.obstacle:
            continue
        try:
            where = {"queue": item.queue} if item.queue in queues else {}
            _submit(context, item, item.task | where, dry_run=True)
        except Problem as problem:
            message = problem.message
            for sentence in _NO_CHANGE:
                message = message.removesuffix(sentence)
            item.obstacle = message.rstrip(".")


def _submit(
    context: CommandContext, item: PeerItem, task: dict[str, Any], **more: Any
) -> dict[str, Any]:
    (stored,) = context.call(
        "submit", tasks=[task], cwd=item.cwd, umask=item.umask, env=item.env, **more
    )
    return stored


def _take_over(context: CommandContext, peer: Peer, journal: ImportJournal, report: Report) -> None:
    plan = [_make_entry(item, journal) for item in report.chosen]
    _cancel_stale(context, journal, {entry.uuid for entry in plan})
    is_repeated = bool(journal.entries)
    journal.begin(report.state.source, plan)
    _create_queues(context, report, is_repeated)
    uuids = {entry.id: entry.uuid for entry in plan}
    wanted = _store_held(context, report, uuids)
    began = set[int]()
    for item, mark in peer.withdraw(wanted, journal):
        journal.mark(item.id, mark)
        if mark != TAKEN:
            began.add(item.id)
            item.obstacle = tr("has begun there meanwhile") if mark == BEGAN else item.obstacle
    report.chosen = [item for item in report.chosen if item.id not in began]
    report.set_outcomes("created")
    _cancel(context, [uuids[number] for number in began])
    _release(context, [uuids[one.id] for one in wanted if one.id not in began and not one.is_held])


def _make_entry(item: PeerItem, journal: ImportJournal) -> JournalEntry:
    """Return the entry of a task: that of a killed import, if there is one."""
    known = journal.entries.get(item.id)
    if known is None or known.key != item.key:
        return JournalEntry(item.id, item.key, make_uuid7(), item.is_held)
    item.is_held = known.is_held  # that import may have held the task there
    return JournalEntry(item.id, item.key, known.uuid, known.is_held)


def _cancel_stale(context: CommandContext, journal: ImportJournal, planned: set[str]) -> None:
    """Cancel the tasks that a killed import has stored and that now stay with the peer."""
    old = [entry for entry in journal.entries.values() if entry.mark is None]
    _cancel(context, [entry.uuid for entry in old if entry.uuid not in planned])


def _create_queues(context: CommandContext, report: Report, is_repeated: bool) -> None:
    """Create the queues that do not exist; pause those that a killed import left active."""
    used = {item.queue for item in report.chosen}
    for queue in (queue for queue in report.state.queues if queue.name in used):
        known = report.queues.get(queue.name)
        text = f"imported from {report.state.source}: {queue.origin}"
        if known is None:
            more = {} if queue.capacity is None else {"capacity": queue.capacity}
            context.call("queue.create", name=queue.name, description=text, **more)
        is_new = known is None or is_repeated and known["description"] == text
        if queue.is_paused and is_new:
            context.call("queue.pause", name=queue.name)
        if queue.is_paused and is_new or known is not None and known["status"] == "paused":
            report.paused.append(queue.name)


def _store_held(context: CommandContext, report: Report, uuids: dict[int, str]) -> list[PeerItem]:
    """Store the tasks; return those that the peer is to give up.

    A task that an earlier import stored, and that was cancelled here, stays with the peer.
    """
    for item in report.chosen:
        after = [report.numbers[parent] for parent in item.parents]
        task = item.task | {"queue": item.queue, "hold": True} | ({"after": after} if after else {})
        stored = _submit(context, item, task, uuid=uuids[item.id])
        report.numbers[item.id] = stored["number"]
        if stored["status"] == TaskStatus.CANCELLED:
            item.obstacle = tr("was cancelled here, as #{number}", number=stored["number"])
    keep_together(report.chosen)
    refused = [item for item in report.chosen if item.obstacle]
    report.chosen = [item for item in report.chosen if not item.obstacle]
    _cancel(context, [uuids[item.id] for item in refused])
    return list(report.chosen)


def _finish_previous(
    context: CommandContext, peer: Peer, journal: ImportJournal, report: Report
) -> None:
    """Settle the tasks of an import that was killed, but those that still wait with the peer."""
    there = {item.key: item for item in report.state.items}
    for entry in list(journal.entries.values()):
        mark = None if entry.mark else _find_mark(peer, journal, entry, there.get(entry.key))
        if mark is not None:
            journal.mark(entry.id, mark)
    marked = list(journal.entries.values())
    taken = [entry.uuid for entry in marked if entry.mark == TAKEN and not entry.is_held]
    report.finished = _release(context, taken)
    _cancel(context, [entry.uuid for entry in marked if entry.mark in (BEGAN, LEFT)])
    unclear = [_find_number(context, entry.uuid) for entry in marked if entry.mark == UNCLEAR]
    report.unclear = [number for number in unclear if number is not None]


def _set_taken_numbers(context: CommandContext, journal: ImportJournal, report: Report) -> None:
    """Set the numbers of tasks that an import, killed meanwhile, has taken over."""
    there = {item.id: item.key for item in report.state.items}
    for entry in journal.entries.values():
        if entry.mark == TAKEN and there.get(entry.id, entry.key) == entry.key:
            report.numbers[entry.id] = context.call("show", id=entry.uuid)["number"]


def _find_mark(
    peer: Peer, journal: ImportJournal, entry: JournalEntry, item: PeerItem | None
) -> str | None:
    """Return the mark of a task by its state there, None while the task waits there."""
    if item is None:
        return TAKEN if peer.has_given_up(entry, journal.proof) else UNCLEAR
    if item.phase is PeerPhase.WAITING:
        return None
    return TAKEN if item.never_ran else BEGAN


def withdraw_each(
    items: Iterable[PeerItem], withdraw: Callable[[PeerItem], str]
) -> Iterator[tuple[PeerItem, str]]:
    """Withdraw tasks one by one, parents first; leave those whose parent stayed."""
    staying = set[int]()
    for item in items:
        parent = next((one for one in item.parents if one in staying), None)
        if parent is not None:
            item.obstacle = tr("waits for {number}, which has begun there meanwhile", number=parent)
        mark = LEFT if parent is not None else withdraw(item)
        if mark != TAKEN:
            staying.add(item.id)
        yield item, mark


def _release(context: CommandContext, uuids: list[str]) -> list[int]:
    """Release held tasks; return their numbers. One that has ended, or is not held, stays so."""
    if not uuids:
        return []
    return [row["number"] for row in context.call("release", ids=uuids)["done"]]


def _cancel(context: CommandContext, uuids: list[str]) -> None:
    """Cancel tasks that wait here, children first; leave the others."""
    waiting = [uuid for uuid in uuids if _find_number(context, uuid) is not None]
    if waiting:
        context.call("cancel", ids=waiting, waiting=True)


def _find_number(context: CommandContext, uuid: str) -> int | None:
    """Return the number of a task that waits here, or None."""
    try:
        found = context.call("show", id=uuid)
    except Problem as problem:
        if problem.exit_code != NotFound.exit_code:
            raise
        return None
    return found["number"] if found["status"] in WAITING else None
