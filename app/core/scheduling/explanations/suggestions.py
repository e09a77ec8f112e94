"""Suggestions for a waiting task.

Each one is tried on the dispatch plan before it is offered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil, inf
from typing import Any

from app.core.scheduling.amounts import can_fit
from app.core.scheduling.explanations.booking_stops import (
    RESERVATION_SHARE,
    find_booking_stops,
    find_early_limit,
)
from app.core.scheduling.explanations.explain import build_context, build_waiting_task
from app.core.scheduling.explanations.reasons import (
    ResourceNeed,
    find_limit_stops,
    find_needs,
    find_unknown_ends,
)
from app.core.scheduling.explanations.suggestion import (
    Facts,
    Suggestion,
    SuggestionUndo,
    add_field_change,
    add_task_command,
    format_option,
    is_in_view,
    make_ids_args,
    predict_gain,
    replace_pool,
    replace_queue,
)
from app.core.scheduling.explanations.waiting_task import ParentTask, WaitingTask
from app.core.scheduling.forecasts.run_stats import (
    REQUEST_MARGIN,
    RunStats,
    format_exact_memory,
    round_up_cpu,
    round_up_memory,
)
from app.core.scheduling.limits import RUNNING, find_name, format_subject
from app.core.scheduling.open_times import ALWAYS, is_inside
from app.core.scheduling.order import compute_rank
from app.core.scheduling.plan import (
    ACTIVE,
    ActiveRun,
    Amounts,
    PoolBudget,
    PoolView,
    QueuedTask,
    QueueView,
)
from app.core.scheduling.resources import CPU, MEMORY, format_amount, format_named_option, get_most
from app.core.text.joining import end_heading, join_and, join_clauses, join_commas
from app.core.text.sanitize import sanitize
from app.core.text.units import (
    format_age,
    format_count,
    format_memory,
    format_number,
    parse_duration,
)
from app.translation import tr, tr_n, tr_noop

MAX_SUGGESTIONS = 6
"""Maximum number of suggestions."""
MIN_RUN_TIMEOUT = 1800.0
"""Minimum seconds that a suggested timeout leaves to a run."""
MAX_TRIALS = 3
"""Maximum number of other queues, or of runs to cancel, that are evaluated."""


def find_suggestions(facts: Facts) -> tuple[Suggestion, ...]:
    """Return suggestions, best first.

    A queue of another pool comes later, and what loses the work of a run comes last. Return nothing
    if dispatch is halted or the task is about to start.
    """
    codes = {reason.code for reason in facts.why.reasons}
    if facts.view.halted is not None or not codes or "starting-soon" in codes:
        return ()
    case = build_waiting_task(build_context(facts.view, [facts.subject]), facts.subject, None)
    found = [suggestion for make in _GENERATORS for suggestion in make(facts, case, codes)]
    if facts.subject.status == "queued" and not any(suggestion.verb for suggestion in found):
        found.insert(
            0,
            Suggestion(
                "none",
                tr("nothing here would start it sooner"),
                facts.why.reasons[0].short,
                worth=4,
            ),
        )
    return tuple(
        sorted(
            found,
            key=lambda suggestion: (
                suggestion.worth > 3,
                suggestion.asks is not None,
                suggestion.other_pool,
                suggestion.worth,
            ),
        )
    )[:MAX_SUGGESTIONS]


def _suggest_release(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest releasing the task or a held parent."""
    if "held" in codes:
        waits = (
            "blocked"
            if facts.subject.unmet
            else "scheduled"
            if facts.subject.not_before_in
            else None
        )
        status = waits or "queued"
        worth, gain = predict_gain(facts, facts.view, facts.task, status=status, held_by=None)
        yield add_task_command(facts, Suggestion("release", tr("release it"), gain, "release", {},
        said=tr("Released"), worth=worth),
                       "release", (), SuggestionUndo("hold", make_ids_args(facts),
                       tr("Held again:")))  # fmt: skip
    for parent in facts.subject.unmet[:MAX_TRIALS]:
        if parent.status == "held":
            yield _suggest_parent_release(parent)


def _suggest_parent_release(parent: ParentTask) -> Suggestion:
    args = {"ids": [parent.number]}
    return Suggestion(
        f"release-{parent.number}",
        tr("release #{number}", number=parent.number),
        tr("it waits for {task}, which is held", task=sanitize(parent.name)),
        "release",
        args,
        ("taskdeck", "release", str(parent.number)),
        tr("Released"),
        (SuggestionUndo("hold", args, tr("Held again:")),),
        worth=2,
    )


def _suggest_resume(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest resuming the task's queue or pool."""
    places = (
        ("queue", case.queue.name, case.queue.status, replace_queue),
        ("pool", case.queue.pool, case.budget.pool.status, replace_pool),
    )
    for kind, name, status, changed in places:
        if status == ACTIVE or not codes & {f"{kind}-paused", f"{kind}-draining"}:
            continue
        worth, gain = predict_gain(facts, changed(facts.view, name, status=ACTIVE), facts.task)
        back = SuggestionUndo(
            f"{kind}.{'drain' if status == 'draining' else 'pause'}",
            {"name": name},
            tr(_UNDO_WORDS[status]),
        )
        text = tr(_RESUME_WORDS[kind], name=sanitize(name))
        yield Suggestion(f"resume-{kind}", text, gain, f"{kind}.resume", {"name": name},
                   ("taskdeck", kind, "resume", name), tr("Resumed"), (back,), f"{kind} {name}",
                   worth=min(worth, 2))  # fmt: skip


_UNDO_WORDS = {"paused": tr_noop("Paused again:"), "draining": tr_noop("Draining again:")}
_RESUME_WORDS = {"queue": tr_noop("resume queue {name}"), "pool": tr_noop("resume pool {name}")}


def _suggest_smaller_request(
    facts: Facts, case: WaitingTask, codes: set[str]
) -> Iterator[Suggestion]:
    """Suggest a smaller request for scarce resources, based on past runs."""
    past = facts.past
    if past is None or not is_in_view(facts):
        return
    scarce = {need.code for need in find_needs(case) if need.is_lacking or "reserved" in codes}
    fields: dict[str, float] = {}
    for name, used in ((MEMORY, past.memory), (CPU, past.cpu)):
        if f"pool-{name}" in scarce and used is not None and used < facts.task.needs[name]:
            fields[name] = used
    if fields:
        smaller = replace(facts.task, needs={**facts.task.needs, **fields})
        worth, gain = predict_gain(facts, facts.view, smaller)
        text = tr_n(
            len(fields),
            "{runs} past runs used at most {used}; {requested} is p95 + 20%; {gain}",
            "{runs} past runs used at most {used}; {requested} are p95 + 20%; {gain}",
            runs=format_count(past.n),
            used=join_and(_format_used(past, name) for name in fields),
            requested=join_and(_format_requested(name, n) for name, n in fields.items()),
            gain=gain,
        )
        title = tr("ask for less {what}", what=join_and(map(tr, fields)))
        suggestion = Suggestion("less", title, text, worth=worth)
        yield add_field_change(
            facts, suggestion, {name: facts.task.needs[name] for name in fields}, fields
        )


def _format_used(past: RunStats, name: str) -> str:
    """Format the maximum use, never zero: `9.1G`, `0.5 cores`."""
    return (
        format_memory(past.memory_most)
        if name == "memory"
        else _format_cores(max(0.1, round(past.cpu_most or 0.0, 1)))
    )


def _format_requested(name: str, wanted: float) -> str:
    """Format a suggested request: `11G`, `1 core`."""
    return format_exact_memory(wanted) if name == "memory" else _format_cores(wanted)


def _format_cores(many: float) -> str:
    count = format_number(many)
    return tr_n(1 if many == 1 else 2, "{count} core", "{count} cores", count=count)


def _suggest_timeout(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest a timeout short enough to let the task start before a reservation."""
    kept, past = case.budget.backfill, facts.past
    if (
        "reserved" not in codes
        or kept is None
        or kept.starts_in == inf
        or past is None
        or past.of == "template"
    ):
        return
    if past.usual is None:
        return
    limit = float(ceil(max(past.usual.p95 * REQUEST_MARGIN, kept.starts_in * RESERVATION_SHARE)))
    if (readable := parse_duration(format_age(limit))) >= past.usual.p95 * REQUEST_MARGIN:
        limit = readable
    if (facts.task.expected or inf) <= limit:
        return
    worth, gain = predict_gain(facts, facts.view, replace(facts.task, expected=limit))
    if worth < 2:
        text = tr(
            "{runs} past runs, p95 {duration}; longer runs are stopped; {gain}",
            runs=format_count(past.n),
            duration=format_age(past.usual.p95),
            gain=gain,
        )
        title = tr("limit it to {duration}", duration=format_age(limit))
        suggestion = Suggestion("timeout", title, text, worth=worth)
        yield add_field_change(facts, suggestion, {"timeout": facts.task.limit}, {"timeout": limit})


def _suggest_run_timeout(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest a timeout for a run whose unknown end keeps a reservation and the task waiting."""
    kept, expected = case.budget.backfill, facts.task.expected
    if "reserved" not in codes or kept is None or kept.starts_in < inf or expected is None:
        return
    for run in find_unknown_ends(case)[:MAX_TRIALS]:
        elapsed = _get_elapsed(facts, run)
        hours = ceil((elapsed + max(2 * expected, MIN_RUN_TIMEOUT)) / 3600)
        left = hours * 3600.0 - elapsed
        bounded = tuple(
            replace(one, ends_in=left, limit=left, likely=()) if one.number == run.number else one
            for one in facts.view.active
        )
        worth, gain = predict_gain(facts, replace(facts.view, active=bounded), facts.task)
        if worth < 2:
            args = {"ids": [run.number]}
            yield Suggestion(
                f"timeout-{run.number}",
                tr("limit #{number} to {hours}h", number=run.number, hours=hours),
                tr("#{number} is stopped if it runs longer; {gain}", number=run.number, gain=gain),
                "set",
                {**args, "fields": {"timeout": hours * 3600.0}},
                ("taskdeck", "set", str(run.number), "--timeout", f"{hours}h"),
                tr("Timeout none → {hours}h:", hours=hours),
                (SuggestionUndo("set", {**args, "fields": {"timeout": None}},
                tr("Timeout none again:")),), worth=worth,
            )  # fmt: skip
            return


def _suggest_front(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest moving the task to the front, or raising its priority."""
    if facts.subject.status != "queued" or not case.is_open:
        return
    if case.position == 0:
        yield Suggestion("front", tr("to the front (t)"), tr("it is first already"), worth=4)
        return
    top = 1 + max((task.front for queue in facts.view.queues for task in queue.waiting), default=0)
    at_front = worth, gain = predict_gain(facts, facts.view, replace(facts.task, front=top))
    unknown = facts.why.expected_in is None
    if worth < 2 or unknown:
        worth, gain = min(worth, 2), tr("its start cannot be estimated") if worth > 1 else gain
        suggestion = Suggestion(
            "front",
            tr("to the front (t)"),
            _format_ahead(case, gain),
            "front",
            {"value": None},
            said=tr("To the front of its queue:"),
            worth=worth,
        )
        yield add_task_command(
            facts,
            suggestion,
            "front",
            (),
            SuggestionUndo(
                "front",
                {**make_ids_args(facts), "value": facts.task.front},
                tr("Back in its place:"),
            ),
        )
        yield from _suggest_priority(facts, case, at_front)


def _suggest_priority(
    facts: Facts, case: WaitingTask, at_front: tuple[int, str]
) -> Iterator[Suggestion]:
    """Suggest a higher priority; `at_front` is the gain at the front of the queue."""
    first = case.queue.waiting[0] if case.queue.waiting else None
    if first is None or first.front != facts.task.front:
        return
    new_priority = first.priority + 1
    queues = [queue for queue in facts.view.queues if queue.waiting]
    if len(queues) == 1 and facts.task.rank is None:  # the same place, without a simulation
        worth, gain = at_front
    else:
        worth, gain = predict_gain(facts, facts.view, replace(facts.task, priority=new_priority))
    if worth > 1 and facts.why.expected_in is None:
        worth, gain = 2, tr("its start cannot be estimated")
    suggestion = Suggestion(
        "priority",
        tr("priority {old} → {new} (+)", old=facts.task.priority, new=new_priority),
        _format_ahead(case, gain),
        worth=worth,
    )
    yield add_field_change(
        facts, suggestion, {"priority": facts.task.priority}, {"priority": new_priority}
    )


def _format_ahead(case: WaitingTask, gain: str) -> str:
    others = case.position or 0
    if not others:
        return gain
    return tr_n(
        others,
        "ahead of {count} other; {gain}",
        "ahead of {count} others; {gain}",
        count=format_count(others),
        gain=gain,
    )


def _suggest_other_queue(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest another queue that starts the task, or describe the nearest candidate."""
    if facts.subject.status != "queued":
        return
    roomy = [queue for queue in facts.view.queues if _can_start_task(queue, case)]
    roomy.sort(key=lambda queue: queue.pool != case.queue.pool)
    tried = [
        (*predict_gain(facts, facts.view, _move_task(facts, queue)), queue)
        for queue in roomy[:MAX_TRIALS]
    ]
    better = [(queue.pool != case.queue.pool, worth, gain, queue) for worth, gain, queue in tried
              if worth < 2]  # fmt: skip
    if better:
        is_other, worth, gain, queue = min(better, key=lambda found: found[:2])
        text = tr("move it to queue {queue}", queue=sanitize(queue.name))
        if is_other:
            pool = sanitize(queue.pool)
            gain = tr("the task would run in another pool, {pool}; {gain}", pool=pool, gain=gain)
        suggestion = Suggestion("queue", text, gain, other_pool=is_other, worth=worth)
        yield add_field_change(
            facts, suggestion, {"queue": facts.task.queue}, {"queue": queue.name}
        )
    elif (nearest := _describe_nearest_queue(facts, case)) is not None:
        yield Suggestion("queue", tr("another queue"), nearest, worth=4)


def _move_task(facts: Facts, queue: QueueView) -> QueuedTask:
    """Return the task in another queue, as one of the last tasks if its pool has its own policy."""
    task, policy = facts.task, facts.view.get_policy(queue.name)
    if policy == facts.view.get_policy(task.queue):
        return replace(task, queue=queue.name)
    rank = compute_rank(policy, facts.view.now or 0.0, task.expected)
    return replace(task, queue=queue.name, rank=rank)


def _can_start_task(queue: QueueView, case: WaitingTask) -> bool:
    """Return True if another queue is active and has a slot and enough free resources."""
    budget, mine = case.context.budgets[queue.pool], case.subject
    return (
        queue.name != case.queue.name and queue.status == ACTIVE and budget.pool.is_active
        and not budget.pool.is_outer and not case.budget.pool.is_outer
        and case.context.slots[queue.name] >= 1 and budget.has_free(mine.needs)
        and is_inside(queue.windows)
    )  # fmt: skip


def _describe_nearest_queue(facts: Facts, case: WaitingTask) -> str | None:
    """Describe the queue of another pool that lacks the least, and its shortage."""
    others = [q for q in facts.view.queues if q.pool != case.queue.pool and q.status == ACTIVE]
    free = {q.name: case.context.budgets[q.pool] for q in others if case.context.slots[q.name] >= 1}
    free = {name: budget for name, budget in free.items() if not budget.pool.is_outer}
    if not free:
        return None

    def list_lacking(budget: PoolBudget) -> list[str]:
        needs = facts.task.needs
        return [name for name in sorted(needs) if not can_fit(needs[name], budget.free.get(name))]

    name, budget = min(
        free.items(), key=lambda item: (len(list_lacking(item[1])), -item[1].free.get(MEMORY))
    )
    lacks = [_format_lack(one, facts.task.needs[one], budget) for one in list_lacking(budget)]
    if not lacks:
        return None
    return tr("{queue} has {lacks}", queue=sanitize(name), lacks=join_and(lacks))


def _format_lack(name: str, need: float, budget: PoolBudget) -> str:
    """Format what a pool lacks: `1 cpu free, needs 4`."""
    unit = "" if name == MEMORY else f" {sanitize(name)}"
    free = format_amount(name, max(0.0, budget.free.get(name)))
    needs = format_amount(name, need)
    return tr("{free}{unit} free, needs {needs}", free=free, unit=unit, needs=needs)


def _suggest_capacity(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest one more slot for a full queue."""
    if "queue-full" not in codes or not is_in_view(facts):
        return
    old, new = case.queue.capacity, max(case.queue.capacity, case.load) + 1
    worth, gain = predict_gain(
        facts, replace_queue(facts.view, case.queue.name, capacity=new), facts.task
    )
    if worth <= 2:
        name = case.queue.name
        text = tr("capacity of {queue} {old} → {new}", queue=sanitize(name), old=old, new=new)
        yield Suggestion("capacity", text, gain, "queue.set", {"name": name, "capacity": new},
                   ("taskdeck", "queue", "set", name, "--capacity", str(new)),
                   tr("Capacity {old} → {new}:", old=old, new=new),
                   (SuggestionUndo("queue.set", {"name": name, "capacity": old},
                   tr("Capacity {old} again:", old=old)),), f"queue {name}",
                   worth=worth)  # fmt: skip


def _suggest_early_end(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest a timeout that ends the task before a booking begins."""
    coming = (one for one in find_booking_stops(case) if one.begins_in > 0)
    first = min(coming, key=lambda bound: bound.begins_in, default=None)
    limit = first and find_early_limit(case, first)
    if limit is None:
        return
    shorter = replace(facts.task, limit=limit, expected=min(facts.task.expected or inf, limit))
    worth, gain = predict_gain(facts, facts.view, shorter)
    if worth < 2:
        text = tr("longer runs are stopped before the reservation begins; {gain}", gain=gain)
        title = tr("limit it to {duration}", duration=format_age(limit))
        suggestion = Suggestion("timeout", title, text, worth=worth)
        yield add_field_change(facts, suggestion, {"timeout": facts.task.limit}, {"timeout": limit})


def _suggest_opening(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest opening a queue at all times."""
    if "queue-window" in codes:
        name = case.queue.name
        opened = replace_queue(facts.view, name, windows=None, open=None)
        worth, gain = predict_gain(facts, opened, facts.task)
        yield Suggestion(
            "open",
            tr("open queue {queue} now", queue=sanitize(name)),
            tr("at all times, until you set it; {gain}", gain=gain),
            "queue.set", {"name": name, "open": ALWAYS},
            ("taskdeck", "queue", "set", name, "--open", ALWAYS), tr("Opened"),
            (SuggestionUndo("queue.set", {"name": name, "open": case.queue.open},
                            tr("Open as before:")),),
            f"queue {name}", worth=min(worth, 2),
        )  # fmt: skip


def _suggest_limit(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest a higher limit of a tag or group."""
    for need in find_limit_stops(case)[:1]:
        name = find_name(facts.view.limits, need.subject)
        if name is None or not need.is_lacking:
            return
        shown = format_subject(name)
        verb, make_args = (
            ("limit.set", _make_limit_args) if shown == name else ("group.set", _make_group_args)
        )
        kind = verb.partition(".")[0]
        old, new = need.total, need.total + need.needs - need.free
        if not can_fit(new, _get_most(facts, case, need.name)):
            return
        higher = {**facts.view.limits, name: {**facts.view.limits[name], need.name: new}}
        worth, gain = predict_gain(facts, replace(facts.view, limits=higher), facts.task)
        if worth > 2:  # another reason binds the task
            return
        was, now = (format_option(need.name, amount) for amount in (old, new))
        option = ("--running", now) if need.name == RUNNING else _make_option(need.name, new)
        command = ("limit", "set", name, *option)
        if kind == "group":
            command = ("set", shown, "--max-running", now)
        yield Suggestion(
            "limit",
            f"{tr(kind)} {sanitize(shown)}: {tr(need.name)} {was} → {now}",
            gain,
            verb,
            make_args(shown, need.name, new),
            ("taskdeck", *command),
            f"{tr(need.name).capitalize()} {was} → {now}:",
            (
                SuggestionUndo(
                    verb,
                    make_args(shown, need.name, old),
                    tr("{field} {old} again:", field=tr(need.name).capitalize(), old=was),
                ),
            ),
            f"{kind} {shown}",
            worth=worth,
        )


def _make_limit_args(limit: str, name: str, amount: float) -> dict[str, Any]:
    return {"name": limit} | (
        {"running": int(amount)} if name == RUNNING else _make_amount_args({name: amount})
    )


def _make_group_args(group: str, name: str, amount: float) -> dict[str, Any]:
    return {"id": group, "max_running": int(amount)}


def _suggest_larger_pool(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest a larger pool, if the machine has room."""
    pool, needs = case.budget.pool, [need for need in find_needs(case) if need.is_lacking]
    if not needs or not is_in_view(facts) or any(need.is_shared for need in needs):
        return
    could_start = case.budget.can_ever_fit(facts.task.needs)
    wanted = (
        {need.name: _compute_required_total(need) for need in needs}
        if could_start
        else {need.name: need.needs for need in needs if not can_fit(need.needs, need.total)}
    )
    most = {name: _get_most(facts, case, name) for name in wanted}
    beyond = {name: (n, most[name]) for name, n in wanted.items() if not can_fit(n, most[name])}
    if beyond:
        if could_start:
            yield from _explain_machine_limit(pool, beyond)
        return
    old = {name: pool.totals.get(name, 0.0) for name in wanted}
    larger = replace_pool(facts.view, pool.name, totals={**pool.totals, **wanted})
    worth, gain = predict_gain(facts, larger, facts.task)
    if worth > 2 and not could_start:
        worth, gain = 2, tr("then it can start")
    if worth <= 2:
        change = join_commas(
            f"{tr(name)} {format_option(name, old[name])} → {format_option(name, n)}"
            for name, n in wanted.items()
        )
        options = [word for name, n in wanted.items() for word in _make_option(name, n)]
        yield Suggestion(
            "pool",
            tr("pool {pool}: {change}", pool=sanitize(pool.name), change=change),
            gain,
            "pool.set",
            _make_pool_args(pool.name, wanted),
            ("taskdeck", "pool", "set", pool.name, *options),
            end_heading(f"{change[:1].upper()}{change[1:]}"),
            (
                SuggestionUndo(
                    "pool.set",
                    _make_pool_args(pool.name, {name: old[name] for name in wanted}),
                    tr("As it was:"),
                ),
            ),
            f"pool {pool.name}",
            worth=worth,
        )


def _get_most(facts: Facts, case: WaitingTask, name: str) -> float:
    return get_most(name, facts.machine, {**facts.view.shared, **case.budget.pool.totals})


def _explain_machine_limit(
    pool: PoolView, beyond: Mapping[str, tuple[float, float]]
) -> Iterator[Suggestion]:
    """Explain why the pool cannot grow: the machine has too little."""
    reasons = list[str]()
    for name, (wanted, most) in beyond.items():
        if pool.totals.get(name, 0.0) >= most:
            text = tr_noop("pool {pool} has all {most} of the machine")
        else:
            text = tr_noop("{wanted} would be enough, the machine has {most}")
        amounts = {"wanted": _format_amount(name, wanted), "most": _format_amount(name, most)}
        reasons.append(tr(text, pool=sanitize(pool.name), **amounts))
    yield Suggestion("pool", tr("a larger pool"), join_clauses(reasons), worth=4)


def _suggest_fitting_request(
    facts: Facts, case: WaitingTask, codes: set[str]
) -> Iterator[Suggestion]:
    """Suggest the most that a task can get if it asks for more than the machine has."""
    lacking = [
        (need.name, min(need.total, _get_most(facts, case, need.name)))
        for need in find_needs(case)
        if not can_fit(need.needs, _get_most(facts, case, need.name))
    ]
    if not lacking:
        return
    most = {name: _get_most(facts, case, name) for name, _ in lacking}
    gain = tr(
        "the task cannot run on this machine, which has {most}",
        most=join_and(_format_amount(name, n) for name, n in most.items()),
    )
    fields = {name: min(n for other, n in lacking if other == name) for name in most}
    title = tr("ask for less {what}", what=join_and(map(tr, fields)))
    if not all(fields.values()) or not is_in_view(facts):
        yield Suggestion("fit", title, gain, worth=4)
        return
    smaller = replace(facts.task, needs={**facts.task.needs, **fields})
    worth, then = predict_gain(facts, facts.view, smaller)
    suggestion = Suggestion(
        "fit", title, join_clauses([gain, then] if worth < 3 else [gain]), worth=min(worth, 2)
    )
    yield add_field_change(
        facts, suggestion, {name: facts.task.needs[name] for name in fields}, fields
    )


def _format_amount(name: str, amount: float) -> str:
    """Format an amount of the machine: `2 cores`, `8G memory`, `8 GPUs`."""
    if name == MEMORY:
        return tr("{amount} memory", amount=format_memory(amount))
    if name == CPU:
        return _format_cores(amount)
    count = format_number(amount)
    return tr_n(1 if amount == 1 else 2, "{count} GPU", "{count} GPUs", count=count)


def _make_option(name: str, amount: float) -> Sequence[str]:
    """Return the words of the option that sets an amount of a pool."""
    if name in (CPU, MEMORY):
        return f"--{name}", format_option(name, amount)
    return format_named_option(name, amount).split(" ")


def _make_pool_args(pool: str, amounts: Amounts) -> dict[str, Any]:
    """Return pool amounts as verb arguments, without rounding."""
    return {"name": pool, **_make_amount_args(amounts)}


def _make_amount_args(amounts: Amounts) -> dict[str, Any]:
    args: dict[str, Any] = {}
    if MEMORY in amounts:
        args[MEMORY] = f"{format_number(amounts[MEMORY])}M"
    if CPU in amounts:
        args[CPU] = format_number(amounts[CPU])
    named = {name: int(n) for name, n in amounts.items() if name not in (CPU, MEMORY)}
    return args | ({"resources": named} if named else {})


def _compute_required_total(need: ResourceNeed) -> float:
    """Return the total that the pool would need."""
    amount = need.total + need.needs - need.free
    if need.name == MEMORY:
        return round_up_memory(amount)
    return round_up_cpu(amount) if need.name == CPU else amount


def _suggest_cancel(facts: Facts, case: WaitingTask, codes: set[str]) -> Iterator[Suggestion]:
    """Suggest cancelling the one run that helps most and loses least."""
    lacking = {need.code for need in find_needs(case) if need.is_lacking}
    if not codes & {"queue-full", "limit", *lacking}:
        return
    needs = [*find_needs(case), *find_limit_stops(case)]
    holders = [*case.holders, *(run for need in needs for run in need.holders)]
    by_number = {run.number: run for run in holders if _is_blocking(run, case)}
    blocking = list(by_number.values())
    blocking.sort(key=lambda run: (_get_priority(facts, run), _get_elapsed(facts, run)))
    for run in blocking[:MAX_TRIALS]:
        rest = tuple(other for other in facts.view.active if other.number != run.number)
        worth, gain = predict_gain(facts, replace(facts.view, active=rest), facts.task)
        if worth < 2:
            elapsed = _get_elapsed(facts, run)
            freed = _format_freed(run, case)
            if elapsed >= 1:
                lost = format_age(elapsed)
                freed = tr("{freed} ({lost} of work lost)", freed=freed, lost=lost)
            yield Suggestion(
                f"cancel-{run.number}",
                tr("cancel #{number} {task}", number=run.number, task=sanitize(run.name)),
                join_clauses([freed, gain]),
                "cancel",
                {"ids": [run.number]},
                ("taskdeck", "cancel", str(run.number)),
                tr("Cancelled"),
                asks=run.number,
                worth=worth,
            )
            return


def _is_blocking(run: ActiveRun, case: WaitingTask) -> bool:
    """Return True if ending this run alone frees the slot and the resources."""
    if case.is_full and (run.queue != case.queue.name or case.load > case.queue.capacity):
        return False
    needs = [*find_needs(case), *find_limit_stops(case)]
    return all(can_fit(need.needs, need.free + need.get_amount(run)) for need in needs)


def _format_freed(run: ActiveRun, case: WaitingTask) -> str:
    freed = [
        f"{format_amount(need.name, need.get_amount(run))}{need.short_unit}"
        for need in find_needs(case)
        if need.is_lacking
    ]
    return tr("frees {what} now", what=join_and(freed)) if freed else tr("frees a slot now")


def _get_elapsed(facts: Facts, run: ActiveRun) -> float:
    return facts.runs[run.number].elapsed if run.number in facts.runs else 0.0


def _get_priority(facts: Facts, run: ActiveRun) -> int:
    return facts.runs[run.number].priority if run.number in facts.runs else 0


_GENERATORS = (
    _suggest_release,
    _suggest_resume,
    _suggest_smaller_request,
    _suggest_other_queue,
    _suggest_timeout,
    _suggest_run_timeout,
    _suggest_front,
    _suggest_capacity,
    _suggest_early_end,
    _suggest_opening,
    _suggest_limit,
    _suggest_larger_pool,
    _suggest_fitting_request,
    _suggest_cancel,
)
"""Generators in order of display for suggestions of the same rank, harmless ones first."""
