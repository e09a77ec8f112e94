"""The reasons why a task waits, each with its numbers, a sentence and a form that fits 44 cells."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from app.core.scheduling.plan import ACTIVE, Active, Spare, Waiting, fits, known_end
from app.core.scheduling.waiting_task import Case, Reason
from app.core.text.sanitize import clean, cut, width
from app.core.text.units import at_most, clock, count, estimate, memory, ordinal, plain

SHORT = 44
SHOWN_PARENTS = 5
RESTORE = "restore"
"""Who holds what may have run since a backup, when that is restored."""
ENDINGS = {"failed": "has failed", "timed_out": "has timed out", "cancelled": "was cancelled", "lost": "is lost"}


@dataclass(frozen=True, slots=True)
class Need:
    """One resource of one task: what it needs, what the pool has, and how to write it."""

    code: str
    needs: float
    free: float
    total: float
    of: Callable[[Active], float]
    write: Callable[[float], str]
    unit: str

    @property
    def lacking(self) -> bool:
        """Whether the pool has not that much free."""
        return not fits(self.needs, self.free)


def reasons(case: Case) -> tuple[Reason, ...]:
    """All reasons that hold now, most binding first; there is always one."""
    facts = FACTS + LINE_FACTS if case.subject.status == "queued" else FACTS
    return tuple(reason for fact in facts for reason in fact(case)) or (_soon(),)


def _halted(case: Case) -> Iterator[Reason]:
    if case.scene.view.halted is not None:
        halted = clean(case.scene.view.halted)
        what, _, rest = halted.partition(" (")
        # Short, without what stands in brackets: where that is, and how much is free.
        yield _reason("halted", f"nothing starts: {halted}", f"nothing starts: {what}{rest.rpartition(')')[2]}")


def _held(case: Case) -> Iterator[Reason]:
    by = case.subject.held_by
    if by is not None or case.subject.status == "held":
        text = f"held by {clean(by)}" if by else "held"
        yield _reason("held", f"{text}: it may have run already" if by == RESTORE else text, text)


def _not_before(case: Case) -> Iterator[Reason]:
    wait = case.subject.not_before_in
    if wait is not None and wait > 0:
        text = f"not before {clean(case.subject.not_before_text or _in(wait))}"
        yield Reason("not-before", text, _fitted(text, _shut(case)))


def _shut(case: Case) -> str | None:
    """What keeps it from starting at its time too: the time alone would be taken for a promise."""
    queue, pool = case.queue.status, case.room.pool.status
    return f"queue {clean(queue)}" if queue != ACTIVE else f"pool {clean(pool)}" if pool != ACTIVE else None


def _dependency(case: Case) -> Iterator[Reason]:
    unmet = case.subject.unmet
    for parent in unmet[:SHOWN_PARENTS]:
        name = f"#{parent.number} {clean(parent.name)}"
        text = f"after {name}, which {ENDINGS.get(parent.status) or f'is {clean(parent.status)}'}"
        yield _reason("dependency", text + (", however it ends" if parent.kind == "any" else ""), f"after {name}")
    if len(unmet) > SHOWN_PARENTS:
        yield _reason("dependency", f"after {count(len(unmet) - SHOWN_PARENTS)} more")


def _retry(case: Case) -> Iterator[Reason]:
    subject = case.subject
    if subject.status == "retrying" and subject.retry_in is not None:
        attempt = f"attempt {subject.attempt + 1} of {subject.last_attempt}"
        wait = estimate(subject.retry_in)
        yield _reason("retry", f"{attempt} may start in {wait}; the last one did not succeed", f"{attempt} in {wait}")


def _queue_closed(case: Case) -> Iterator[Reason]:
    queue, name = case.queue, clean(case.queue.name)
    if queue.status == "draining":
        yield _reason("queue-draining", f"queue {name} is draining: it starts nothing new", f"queue {name} is draining")
    elif queue.status != ACTIVE:
        by = f" by {clean(queue.paused_by)}" if queue.paused_by else ""
        yield _reason("queue-paused", f"queue {name} is paused{by}{_since(case)}")


def _pool_closed(case: Case) -> Iterator[Reason]:
    pool = case.room.pool
    if pool.status != ACTIVE:
        state = f"pool {clean(pool.name)} is {clean(pool.status)}"
        yield _reason("pool-paused", f"{state}: it starts nothing new", state)


def _queue_full(case: Case) -> Iterator[Reason]:
    if not case.full:
        return
    ends = [run.number for run in case.holders if run.queue == case.queue.name and known_end(run.ends_in) < inf]
    follows = f"#{ends[0]} ends next" if ends and case.position == 0 else None
    load, capacity = case.load, case.queue.capacity
    text = _joined(f"queue {clean(case.queue.name)} is full ({load} of {capacity})", case.place(), follows)
    yield Reason("queue-full", text, _fitted(f"queue full {load}/{capacity}", case.place(_nth), follows))


def _no_room(case: Case) -> Iterator[Reason]:
    needs = [need for need in needs_of(case) if need.lacking]
    for need in sorted(needs, key=lambda need: -_enough(need, case.holders)[1]):
        yield _lacks(need, case)


def needs_of(case: Case) -> tuple[Need, Need]:
    """CPU and memory of the task against what runs leave free in its pool now."""
    pool, task, runs = case.room.pool, case.subject, case.holders
    free_cpu = max(0.0, pool.total_cpu - sum(run.cpu for run in runs))
    free = max(0.0, pool.total_memory - sum(run.memory for run in runs))
    write = _writer(task.memory, free, pool.total_memory)
    return (
        Need("pool-memory", task.memory, free, pool.total_memory, lambda run: run.memory, write, " memory"),
        Need("pool-cpu", task.cpu, free_cpu, pool.total_cpu, lambda run: run.cpu, plain, " cpu"),
    )


def _writer(*amounts: float) -> Callable[[float], str]:
    """How to write these MiB: as usual, or exactly when different amounts would look the same."""
    return memory if len({memory(mib) for mib in amounts}) == len(set(amounts)) else _exact_memory


def _exact_memory(mib: float) -> str:
    return f"{plain(mib)}M"


def _lacks(need: Need, case: Case) -> Reason:
    pool, needs, unit = clean(case.room.pool.name), need.write(need.needs), need.unit
    word = unit if need.code == "pool-cpu" else ""
    if not fits(need.needs, need.total):
        has = f"has {need.write(need.total)} in all"
        text = f"needs {needs}{unit}, but pool {pool} {has}: it can never start"
        return _reason(need.code, text, f"needs {needs}{word}, the pool {has}")
    runs, when = _enough(need, case.holders)
    free = f"{need.write(need.free)} free"
    text = _joined(f"needs {needs}{unit} of pool {pool}, {free}", _frees(need, runs, when), _late(need, case, runs))
    return Reason(need.code, text, _fitted(f"needs {needs}{word}, {free}", _frees_shortly(need, runs, when)))


def _enough(need: Need, runs: Sequence[Active]) -> tuple[list[Active], float]:
    """The runs whose ends, soonest first, free enough, and when that is; none and inf when it cannot be known."""
    free, chosen = need.free, list[Active]()
    for run in runs:
        if need.of(run) > 0:
            free += need.of(run)
            chosen.append(run)
        if fits(need.needs, free):
            when = known_end(run.ends_in)
            return (chosen, when) if when < inf else ([], inf)
    return [], inf


def _frees(need: Need, runs: Sequence[Active], when: float) -> str:
    """`#1042 frees 12.0G in ~6m`, with what else must end."""
    if not runs:
        return "no end is known that frees enough"
    first = f"#{runs[0].number} frees {need.write(need.of(runs[0]))} {_in(known_end(runs[0].ends_in), runs[:1])}"
    more = len(runs) - 1
    return first if not more else f"{first}, {count(more)} more {'end' if more > 1 else 'ends'} {_in(when, runs)}"


def _late(need: Need, case: Case, enough: Sequence[Active]) -> str | None:
    """The first overdue run that holds what is needed, when no known end helps."""
    late = [run for run in case.holders if run.ends_in is not None and run.ends_in <= 0 and need.of(run) > 0]
    return f"#{late[0].number} is overdue" if late and not enough else None


def _frees_shortly(need: Need, runs: Sequence[Active], when: float) -> str | None:
    if len(runs) == 1:
        return f"#{runs[0].number} frees {need.write(need.of(runs[0]))}"
    return f"enough {_in(when, runs)}" if runs else None


def _in_line(case: Case) -> Iterator[Reason]:
    """What the plan says of a task whose queue has a slot: its place is kept, another's is, or it starts."""
    if case.full or not case.open or not case.room.can_ever_hold(case.subject.cpu, case.subject.memory):
        return
    kept, uuid = case.room.kept, case.subject.uuid
    if uuid in case.scene.starts:
        yield _soon()
    elif case.scene.slots[case.queue.name] < 1:
        yield _behind_start(next(task for task in case.scene.starts.values() if task.queue == case.queue.name))
    elif kept is None:
        yield from _behind_window(case)
    elif kept.task.uuid == uuid:
        yield from _reserved_place(case)
    elif case.index is not None and case.room.has(case.subject.cpu, case.subject.memory):
        yield _delays(case, kept)
    else:
        yield _behind_place(case, kept.task)


def _reserved_place(case: Case) -> Iterator[Reason]:
    if not any(need.lacking for need in needs_of(case)):
        pool = case.queue.pool
        yield _behind_start(next(t for t in case.scene.starts.values() if case.scene.queues[t.queue].pool == pool))
    text = "its place is reserved: smaller tasks start before it only if they do not delay it"
    yield _reason("reservation", text, "its place is reserved")


def _delays(case: Case, kept: Spare) -> Reason:
    head, when = kept.task.number, "" if kept.starts_in == inf else f" ({_in(kept.starts_in)})"
    text = f"would delay #{head}, whose place in pool {clean(case.room.pool.name)} is reserved{when}"
    return _reason("reserved", text, f"would delay #{head}, which is next{when}")


def _behind_place(case: Case, head: Waiting) -> Reason:
    place = f"{case.place()} in queue {clean(case.queue.name)}" if case.place() else None
    behind = f"behind #{head.number}, whose place in pool {clean(case.room.pool.name)} is reserved"
    return Reason("behind", _joined(place, behind), _fitted(f"behind #{head.number}", case.place(_nth)))


def _behind_window(case: Case) -> Iterator[Reason]:
    if case.index is None and case.position is not None:
        yield _reason("behind", f"{case.place()} in queue {clean(case.queue.name)}", f"{case.place(_nth)} in line")


def _behind_start(first: Waiting) -> Reason:
    return _reason("behind", f"behind #{first.number}, which starts now")


def _in(seconds: float, runs: Sequence[Active] = ()) -> str:
    """`in ~6m`; `within 6m` when of one of these runs only the limit is known."""
    return f"in {estimate(seconds)}" if all(run.known for run in runs) else f"within {at_most(seconds)}"


def _since(case: Case) -> str:
    if case.queue.paused_since is None:
        return ""
    at = datetime.fromtimestamp(case.queue.paused_since, UTC)
    now = case.scene.view.now
    return f" since {clock(at, at if now is None else datetime.fromtimestamp(now, UTC))}"


def _nth(number: int) -> str:
    """`1st`, where `first` is too long."""
    return f"{number}{('st', 'nd', 'rd')[number - 1] if number < 4 else 'th'}" if number <= 10 else ordinal(number)


def _soon() -> Reason:
    return _reason("starting-soon", "starts with the next dispatch round", "starts now")


def _reason(code: str, text: str, short: str | None = None) -> Reason:
    return Reason(code, text, cut(short or text, SHORT))


def _joined(*parts: str | None) -> str:
    return "; ".join(filter(None, parts))


def _fitted(first: str, *more: str | None) -> str:
    """As many parts, from the first on, as fit the short form."""
    text = cut(first, SHORT)
    for part in filter(None, more):
        if width(f"{text}; {part}") > SHORT:
            break
        text = f"{text}; {part}"
    return text


FACTS = (_halted, _held, _not_before, _dependency, _retry, _queue_closed, _pool_closed)
"""What keeps a task from starting whatever is free, most binding first."""

LINE_FACTS = (_queue_full, _no_room, _in_line)
"""What a task in line waits for."""
