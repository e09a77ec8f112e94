"""What could help a waiting task, and what each would bring: every cure is tried on the plan before it is offered.

Pure: the world of a task in, cures out, the best first.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import ceil, inf

from app.core.scheduling.explain import case_of, scene_of
from app.core.scheduling.plan import ACTIVE, Active, PoolView, QueueView, Waiting, fits
from app.core.scheduling.reasons import Need, needs_of
from app.core.scheduling.run_stats import MARGIN, Past, rounded_cpu, rounded_memory, typed_memory
from app.core.scheduling.suggestion import (
    Cure,
    Undo,
    World,
    brings,
    ids_of,
    in_view,
    on_task,
    setting,
    with_pool,
    with_queue,
)
from app.core.scheduling.waiting_task import Case, Parent
from app.core.text.sanitize import clean
from app.core.text.units import age, count, memory, plain

MOST = 6
"""Cures that are told."""
IN_TIME = 0.9
"""The share of the time until a reserved place is taken that one may run who goes before."""
TRIED = 3
"""Other queues, and runs to cancel, that are tried."""


def cures(world: World) -> tuple[Cure, ...]:
    """What could help, the best first, what loses work behind the rest; nothing when nothing starts at all, or when it starts now."""
    codes = {reason.code for reason in world.why.reasons}
    if world.view.halted is not None or not codes or "starting-soon" in codes:
        return ()
    case = case_of(scene_of(world.view, [world.subject]), world.subject, None)
    found = [cure for make in _MAKERS for cure in make(world, case, codes)]
    if world.subject.status == "queued" and not any(cure.verb for cure in found):
        found.insert(0, Cure("none", "nothing here would start it sooner", world.why.reasons[0].short, worth=4))
    return tuple(sorted(found, key=lambda cure: (cure.worth > 3, cure.asks is not None, cure.worth)))[:MOST]


def _release(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """A hold that somebody set: on the task itself, or on one that it waits for."""
    if "held" in codes and not case.subject.aside:
        waits = "blocked" if world.subject.unmet else "scheduled" if world.subject.not_before_in else None
        status = waits or "queued"
        worth, gain = brings(world, world.view, world.task, status=status, held_by=None)
        yield on_task(world, Cure("release", "release it", gain, "release", {}, said="Released", worth=worth),
                       "release", (), Undo("hold", ids_of(world), "Held again:"))  # fmt: skip
    for parent in world.subject.unmet[:TRIED]:
        if parent.status == "held":
            yield _release_parent(parent)


def _release_parent(parent: Parent) -> Cure:
    args = {"ids": [parent.number]}
    return Cure(f"release-{parent.number}", f"release #{parent.number}", f"it waits for {clean(parent.name)}, which is held",
                "release", args, ("taskdeck", "release", str(parent.number)), "Released",
                (Undo("hold", args, "Held again:"),), worth=2)  # fmt: skip


def _resume(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """A queue or a pool that starts nothing."""
    places = (("queue", case.queue.name, case.queue.status, with_queue), ("pool", case.queue.pool, case.room.pool.status, with_pool))
    for kind, name, status, changed in places:
        if status == ACTIVE or not codes & {f"{kind}-paused", f"{kind}-draining"}:
            continue
        worth, gain = brings(world, changed(world.view, name, status=ACTIVE), world.task)
        back = Undo(f"{kind}.{'drain' if status == 'draining' else 'pause'}", {"name": name}, f"{_PAUSED[status]} again:")
        yield Cure(f"resume-{kind}", f"resume {kind} {clean(name)}", gain, f"{kind}.resume", {"name": name},
                   ("taskdeck", kind, "resume", name), "Resumed", (back,), f"{kind} {name}", worth=min(worth, 2))  # fmt: skip


_PAUSED = {"paused": "Paused", "draining": "Drains"}


def _less(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """Ask for what past runs used, where it asks for more of what is scarce."""
    past = world.past
    if past is None or not in_view(world):
        return
    scarce = {need.code for need in needs_of(case) if need.lacking or "reserved" in codes}
    fields: dict[str, float] = {}
    if "pool-memory" in scarce and past.memory is not None and past.memory < world.task.memory:
        fields["memory"] = past.memory
    if "pool-cpu" in scarce and past.cpu is not None and past.cpu < world.task.cpu:
        fields["cpu"] = past.cpu
    if fields:
        worth, gain = brings(world, world.view, replace(world.task, **fields))
        used = " and ".join(_used(past, name) for name in fields)
        asked = " and ".join(_asked(name, wanted) for name, wanted in fields.items())
        told = f"{count(past.n)} past runs used at most {used}; {asked} {'is' if len(fields) == 1 else 'are'} p95 + 20%; {gain}"
        cure = Cure("less", f"ask for less {' and '.join(fields)}", told, worth=worth)
        yield setting(world, cure, {name: getattr(world.task, name) for name in fields}, fields)


def _used(past: Past, name: str) -> str:
    """`9.1G`, `0.5 cores`: the most that was used; never nothing."""
    return memory(past.memory_most) if name == "memory" else _cores(max(0.1, round(past.cpu_most or 0.0, 1)))


def _asked(name: str, wanted: float) -> str:
    """`11G`, `1 core`: what would be asked for."""
    return typed_memory(wanted) if name == "memory" else _cores(wanted)


def _cores(many: float) -> str:
    return f"{plain(many)} {'core' if many == 1 else 'cores'}"


def _timeout(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """A limit that lets it start before a reserved place, because it ends in time."""
    kept, past = case.room.kept, world.past
    if "reserved" not in codes or kept is None or kept.starts_in == inf or past is None or past.of == "template":
        return
    if past.usual is None:
        return
    limit = float(ceil(max(past.usual.p95 * MARGIN, kept.starts_in * IN_TIME)))
    if (world.task.expected or inf) <= limit:
        return
    worth, gain = brings(world, world.view, replace(world.task, expected=limit))
    if worth < 2:
        told = f"{count(past.n)} past runs, p95 {age(past.usual.p95)}; longer, and it is ended; {gain}"
        cure = Cure("timeout", f"limit it to {age(limit)}", told, worth=worth)
        yield setting(world, cure, {"timeout": world.task.expected}, {"timeout": limit})


def _front(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """Ahead of the others in its queue, by its place or by its priority."""
    if world.subject.status != "queued" or not case.open:
        return
    if case.position == 0:
        yield Cure("front", "to the front (t)", "it is first already", worth=4)
        return
    top = 1 + max((task.front for queue in world.view.queues for task in queue.waiting), default=0)
    worth, gain = brings(world, world.view, replace(world.task, front=top))
    unknown = world.why.expected_in is None
    if worth < 2 or unknown:
        worth, gain = min(worth, 2), "when it starts cannot be known" if worth > 1 else gain
        cure = Cure("front", "to the front (t)", _ahead(case, gain), "front", {"value": None},
                    said="To the front of its queue:", worth=worth)  # fmt: skip
        yield on_task(world, cure, "front", (), Undo("front", {**ids_of(world), "value": world.task.front}, "Back in its place:"))
        yield from _priority(world, case)


def _priority(world: World, case: Case) -> Iterator[Cure]:
    first = case.queue.waiting[0] if case.queue.waiting else None
    if first is None or first.front != world.task.front:
        return
    wanted = first.priority + 1
    worth, gain = brings(world, world.view, replace(world.task, priority=wanted))
    if worth > 1 and world.why.expected_in is None:
        worth, gain = 2, "when it starts cannot be known"
    cure = Cure("priority", f"priority {world.task.priority} → {wanted} (+)", _ahead(case, gain), worth=worth)
    yield setting(world, cure, {"priority": world.task.priority}, {"priority": wanted})


def _ahead(case: Case, gain: str) -> str:
    others = case.position or 0
    return f"ahead of {count(others)} {'others' if others > 1 else 'other'}; {gain}" if others else gain


def _elsewhere(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """Another queue that would start it; else how near the roomiest comes."""
    if world.subject.status != "queued":
        return
    roomy = [queue for queue in world.view.queues if _takes(queue, case)]
    tried = [(*brings(world, world.view, _moved(world.task, queue)), queue) for queue in roomy[:TRIED]]
    better = [(worth, gain, queue) for worth, gain, queue in tried if worth < 2]
    if better:
        worth, gain, queue = min(better, key=lambda found: found[0])
        cure = Cure("queue", f"move it to queue {clean(queue.name)}", gain, worth=worth)
        yield setting(world, cure, {"queue": world.task.queue}, {"queue": queue.name})
    elif (nearest := _nearest(world, case)) is not None:
        yield Cure("queue", "another queue", nearest, worth=4)


def _moved(task: Waiting, queue: QueueView) -> Waiting:
    return replace(task, queue=queue.name)


def _takes(queue: QueueView, case: Case) -> bool:
    """Whether another queue starts things, has a slot, and a pool with room for the task."""
    room, mine = case.scene.rooms[queue.pool], case.subject
    return (
        queue.name != case.queue.name and queue.status == ACTIVE and room.pool.status == ACTIVE
        and case.scene.slots[queue.name] >= 1 and room.has(mine.cpu, mine.memory)
    )  # fmt: skip


def _nearest(world: World, case: Case) -> str | None:
    """Of the queues on other pools the one with most memory free, and what it lacks."""
    others = [q for q in world.view.queues if q.pool != case.queue.pool and q.status == ACTIVE]
    free = {q.name: case.scene.rooms[q.pool] for q in others if case.scene.slots[q.name] >= 1}
    if not free:
        return None
    name, room = max(free.items(), key=lambda item: (item[1].memory, item[1].cpu))
    lacks = []
    if not fits(world.task.cpu, room.cpu):
        lacks.append(f"{plain(max(0.0, room.cpu))} cpu free, needs {plain(world.task.cpu)}")
    if not fits(world.task.memory, room.memory):
        lacks.append(f"{memory(room.memory)} free, needs {memory(world.task.memory)}")
    return f"{clean(name)} has {' and '.join(lacks)}" if lacks else None


def _capacity(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """One more at once in its queue."""
    if "queue-full" not in codes:
        return
    old, new = case.queue.capacity, max(case.queue.capacity, case.load) + 1
    worth, gain = brings(world, with_queue(world.view, case.queue.name, capacity=new), world.task)
    if worth <= 2:
        name = case.queue.name
        yield Cure("capacity", f"capacity of {clean(name)} {old} → {new}", gain, "queue.set", {"name": name, "capacity": new},
                   ("taskdeck", "queue", "set", name, "--capacity", str(new)), f"Capacity {old} → {new}:",
                   (Undo("queue.set", {"name": name, "capacity": old}, f"Capacity {old} again:"),), f"queue {name}",
                   worth=worth)  # fmt: skip


def _larger(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """A larger pool, where the machine has what the pool was not given, or where it could never start."""
    pool, needs = case.room.pool, [need for need in needs_of(case) if need.lacking]
    wanted = {_OPTION[need.code]: _in_all(need) for need in needs}
    machine = {"memory": world.memory, "cpu": world.cores}
    beyond = [name for name, amount in wanted.items() if amount > (machine[name] or 0.0)]
    if not needs or not in_view(world):
        return
    if beyond and case.room.can_ever_hold(world.task.cpu, world.task.memory):
        yield from _machine_ends(pool, {name: (wanted[name], machine[name]) for name in beyond})
        return
    old = {"memory": pool.total_memory, "cpu": pool.total_cpu}
    worth, gain = brings(world, with_pool(world.view, pool.name, **{f"total_{name}": n for name, n in wanted.items()}), world.task)
    if worth <= 2:
        change = ", ".join(f"{name} {_WRITE[name](old[name])} → {_WRITE[name](n)}" for name, n in wanted.items())
        over = [f"the machine has {name} {_WRITE[name](n)}" for name in beyond if (n := machine[name]) is not None]
        options = [word for name, n in wanted.items() for word in (f"--{name}", _WRITE[name](n))]
        yield Cure("pool", f"pool {clean(pool.name)}: {change}", "; ".join([gain, *over]), "pool.set", _sent(pool.name, wanted),
                   ("taskdeck", "pool", "set", pool.name, *options), f"{change[:1].upper()}{change[1:]}:",
                   (Undo("pool.set", _sent(pool.name, {name: old[name] for name in wanted}), "As it was:"),),
                   f"pool {pool.name}", worth=worth)  # fmt: skip


def _machine_ends(pool: PoolView, beyond: Mapping[str, tuple[float, float | None]]) -> Iterator[Cure]:
    """Why the pool is not made larger: what the machine has, where more would be wanted."""
    has = {"memory": pool.total_memory, "cpu": pool.total_cpu}
    told = [
        f"pool {clean(pool.name)} has all {_AMOUNT[name](most)} of the machine" if has[name] >= most
        else f"{_AMOUNT[name](wanted)} would do, the machine has {_AMOUNT[name](most)}"
        for name, (wanted, most) in beyond.items() if most is not None
    ]  # fmt: skip
    if told:
        yield Cure("pool", "a larger pool", "; ".join(told), worth=4)


_OPTION = {"pool-memory": "memory", "pool-cpu": "cpu"}
_WRITE: dict[str, Callable[[float], str]] = {"memory": typed_memory, "cpu": plain}
_AMOUNT: dict[str, Callable[[float], str]] = {"memory": lambda mib: f"{memory(mib)} memory", "cpu": _cores}


def _sent(pool: str, amounts: Mapping[str, float]) -> dict[str, str]:
    """Amounts of a pool as its verb takes them, with nothing lost."""
    return {"name": pool} | {name: f"{plain(n)}M" if name == "memory" else plain(n) for name, n in amounts.items()}


def _in_all(need: Need) -> float:
    """How large the pool would have to be."""
    amount = need.total + need.needs - need.free
    return rounded_memory(amount) if need.code == "pool-memory" else rounded_cpu(amount)


def _cancel(world: World, case: Case, codes: set[str]) -> Iterator[Cure]:
    """The one run whose end would help most and lose least."""
    if not codes & {"queue-full", "pool-memory", "pool-cpu"}:
        return
    able = [run for run in case.holders if _stands_in_the_way(run, case)]
    able.sort(key=lambda run: (_priority_of(world, run), _elapsed(world, run)))
    for run in able[:TRIED]:
        rest = tuple(other for other in world.view.active if other.number != run.number)
        worth, gain = brings(world, replace(world.view, active=rest), world.task)
        if worth < 2:
            lost = f"its {age(_elapsed(world, run))} are lost"
            yield Cure(f"cancel-{run.number}", f"cancel #{run.number} {clean(run.name)}", f"{_frees(run, case)}; {lost}; {gain}",
                       "cancel", {"ids": [run.number]}, ("taskdeck", "cancel", str(run.number)), "Cancelled",
                       asks=run.number, worth=worth)  # fmt: skip
            return


def _stands_in_the_way(run: Active, case: Case) -> bool:
    """Whether its end alone gives the task the slot and the room."""
    if case.full and (run.queue != case.queue.name or case.load > case.queue.capacity):
        return False
    cpu, mib = needs_of(case)[1], needs_of(case)[0]
    return fits(cpu.needs, cpu.free + run.cpu) and fits(mib.needs, mib.free + run.memory)


def _frees(run: Active, case: Case) -> str:
    lacking = {need.code for need in needs_of(case) if need.lacking}
    freed = [memory(run.memory)] if "pool-memory" in lacking else []
    freed += [f"{plain(run.cpu)} cpu"] if "pool-cpu" in lacking else []
    return f"frees {' and '.join(freed) or 'a slot'} now"


def _elapsed(world: World, run: Active) -> float:
    return world.runs[run.number].elapsed if run.number in world.runs else 0.0


def _priority_of(world: World, run: Active) -> int:
    return world.runs[run.number].priority if run.number in world.runs else 0


_MAKERS = (_release, _resume, _less, _elsewhere, _timeout, _front, _capacity, _larger, _cancel)
"""In the order in which cures of the same worth are told: what loses nothing first."""
