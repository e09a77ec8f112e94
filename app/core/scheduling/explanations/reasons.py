"""Reasons why a task waits. Each has a sentence with numbers and a form of at most 44 cells."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

from app.core.dependency_kinds import FAILURES, ON_FAILURE, describe_wait
from app.core.scheduling.amounts import can_fit
from app.core.scheduling.explanations.booking_stops import (
    MAX_STOPS,
    can_start_within,
    find_booking_stops,
    find_early_limit,
    find_first,
    find_free_time,
)
from app.core.scheduling.explanations.waiting_task import ParentTask, WaitingTask, WaitReason
from app.core.scheduling.limits import RUNNING, LimitKey, format_subject, get_total, list_uses
from app.core.scheduling.open_times import find_opening, is_inside
from app.core.scheduling.order import PRIORITY, describe_policy
from app.core.scheduling.plan import (
    ACTIVE,
    ActiveRun,
    Amounts,
    BackfillBudget,
    DispatchView,
    QueuedTask,
    get_known_end,
)
from app.core.scheduling.resources import CPU, MEMORY, choose_format, format_amount
from app.core.text.sanitize import measure_width, sanitize, truncate
from app.core.text.units import (
    format_age,
    format_clock_time,
    format_count,
    format_estimate,
    format_ordinal,
    format_wait_range,
)

SHORT_WIDTH = 44
MAX_PARENTS = 5
RESTORE_HOLDER = "restore"
"""Holder of tasks that may have run after the backup that was restored."""
PARENT_ENDINGS = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "timed_out": "has timed out",
    "cancelled": "was cancelled",
    "lost": "is lost",
}


@dataclass(frozen=True, slots=True)
class ResourceNeed:
    """One resource of a task: its need, and free and total amounts of the pool.

    `is_shared` marks the amounts of all pools together, `holders` the runs that hold some of it.
    `withheld` tells why units that no run holds are not given.
    """

    name: str
    needs: float
    free: float
    total: float
    holders: Sequence[ActiveRun]
    is_shared: bool = False
    withheld: Sequence[str] = ()

    @property
    def code(self) -> str:
        """Stable code of the reason."""
        return f"{'shared' if self.is_shared else 'pool'}-{self.name}"

    @property
    def unit(self) -> str:
        """Word behind an amount."""
        return f" {sanitize(self.name)}"

    @property
    def short_unit(self) -> str:
        """Word behind an amount in the short form: an amount of memory tells its unit itself."""
        return "" if self.name == MEMORY else self.unit

    def get_amount(self, run: ActiveRun) -> float:
        """Return the amount that a run holds."""
        return run.needs.get(self.name, 0.0)

    def format_amount(self, amount: float) -> str:
        """Format an amount, such that need, free and total amounts differ."""
        return choose_format(self.name, self.needs, self.free, self.total)(amount)

    @property
    def is_lacking(self) -> bool:
        """True if the pool has too little free."""
        return not can_fit(self.needs, self.free)


@dataclass(frozen=True, slots=True)
class LimitNeed(ResourceNeed):
    """An amount that a task takes of a limit; `first` is the number of a task that goes first.

    What is free is below 0 if the limit is lower than what runs hold.
    """

    subject: str = ""
    first: int | None = None

    @property
    def code(self) -> str:
        """Stable code of the reason."""
        return "limit"

    @property
    def unit(self) -> str:
        """Word behind an amount."""
        return " running" if self.name == RUNNING else f" {sanitize(self.name)}"

    @property
    def title(self) -> str:
        """Name of the limit: `limit team=a`, or `group g12`."""
        shown = sanitize(format_subject(self.subject))
        return f"{'limit' if shown == self.subject else 'group'} {shown}"

    def get_amount(self, run: ActiveRun) -> float:
        """Return the amount that a run holds."""
        return 1.0 if self.name == RUNNING else run.needs.get(self.name, 0.0)


def find_reasons(case: WaitingTask) -> tuple[WaitReason, ...]:
    """Return all current reasons, most binding first; there is at least one."""
    facts = GENERAL_CHECKS + QUEUED_CHECKS if case.subject.status == "queued" else GENERAL_CHECKS
    return tuple(reason for fact in facts for reason in fact(case)) or (_explain_soon(),)


def _explain_halt(case: WaitingTask) -> Iterator[WaitReason]:
    if case.context.view.halted is not None:
        halted = sanitize(case.context.view.halted)
        what, _, rest = halted.partition(" (")
        # The short form omits the text in brackets: the location and the free space.
        yield _make_reason(
            "halted",
            f"nothing starts: {halted}",
            f"nothing starts: {what}{rest.rpartition(')')[2]}",
        )


def _explain_hold(case: WaitingTask) -> Iterator[WaitReason]:
    by = case.subject.held_by
    if by is not None or case.subject.status == "held":
        text = f"held by {sanitize(by)}" if by else "held"
        yield _make_reason(
            "held", f"{text}: it may have run already" if by == RESTORE_HOLDER else text, text
        )


def _explain_not_before(case: WaitingTask) -> Iterator[WaitReason]:
    wait = case.subject.not_before_in
    if wait is not None and wait > 0:
        at = case.subject.not_before_text or f"in {format_estimate(wait)}"
        text = f"not before {sanitize(at)}"
        yield WaitReason("not-before", text, _fit_parts(text, _describe_closed(case)))


_TROUBLED = {True: "hands nothing over", False: "starts nothing"}
"""Verbs of a pool with trouble; True is an outer pool."""


def _describe_closed(case: WaitingTask) -> str | None:
    """Return the state of a closed queue or pool.

    The start time alone would look like a promise.
    """
    queue, pool = case.queue.status, case.budget.pool.status
    return (
        f"queue {sanitize(queue)}"
        if queue != ACTIVE
        else f"pool {sanitize(pool)}"
        if pool != ACTIVE
        else f"pool {_TROUBLED[case.budget.pool.is_outer]}"
        if case.budget.pool.trouble
        else None
    )


def _explain_dependencies(case: WaitingTask) -> Iterator[WaitReason]:
    unmet = case.subject.unmet
    failed = _find_failed(case.subject.parents)
    for parent in unmet[:MAX_PARENTS]:
        name = f"#{parent.number} {sanitize(parent.name)}"
        if parent.kind == FAILURES and failed is not None:
            ended = PARENT_ENDINGS[failed.status]
            text = f"#{failed.number} {ended}; waits for the end of {name}, which is"
            yield _make_reason(
                "dependency",
                f"{text} {sanitize(parent.status)}",
                f"#{failed.number} {ended}; waits for {name}",
            )
            continue
        wait = describe_wait(parent.kind, name)
        text = (
            f"{wait}{'; it' if parent.kind in (*ON_FAILURE, 'start') else ', which'}"
            f" {PARENT_ENDINGS.get(parent.status) or f'is {sanitize(parent.status)}'}"
        )
        yield _make_reason(
            "dependency", text + (", however it ends" if parent.kind == "any" else ""), wait
        )
    if len(unmet) > MAX_PARENTS:
        yield _make_reason("dependency", f"after {format_count(len(unmet) - MAX_PARENTS)} more")


def _find_failed(parents: Sequence[ParentTask]) -> ParentTask | None:
    """Return the first of several parents whose failure lets the task run when all have ended."""
    return next(
        (
            parent
            for parent in parents
            if parent.kind == FAILURES and parent.status in PARENT_ENDINGS.keys() - {"succeeded"}
        ),
        None,
    )


def _explain_retry(case: WaitingTask) -> Iterator[WaitReason]:
    subject = case.subject
    if subject.status == "retrying" and subject.retry_in is not None:
        attempt = f"attempt {subject.attempt + 1} of {subject.last_attempt}"
        wait = format_estimate(subject.retry_in)
        yield _make_reason(
            "retry",
            f"{attempt} may start in {wait}; "
            + (subject.oom_note or "the last one did not succeed"),
            f"{attempt} in {wait}",
        )


def _explain_closed_queue(case: WaitingTask) -> Iterator[WaitReason]:
    queue, name = case.queue, sanitize(case.queue.name)
    if queue.status == "draining":
        yield _make_reason(
            "queue-draining",
            f"queue {name} is draining: it starts nothing new",
            f"queue {name} is draining",
        )
    elif queue.status != ACTIVE:
        by = f" by {sanitize(queue.paused_by)}" if queue.paused_by else ""
        yield _make_reason("queue-paused", f"queue {name} is paused{by}{_format_since(case)}")


def _explain_closed_pool(case: WaitingTask) -> Iterator[WaitReason]:
    pool = case.budget.pool
    if pool.status != ACTIVE:
        state = f"pool {sanitize(pool.name)} is {sanitize(pool.status)}"
        yield _make_reason("pool-paused", f"{state}: it starts nothing new", state)
    elif pool.trouble is not None:
        what, _, _ = pool.trouble.partition(": ")
        name = sanitize(pool.name)
        yield _make_reason(
            "pool-trouble",
            f"pool {name} {_TROUBLED[pool.is_outer]}: {sanitize(pool.trouble)}",
            f"pool {name}: {sanitize(what)}",
        )


def _explain_window(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain a task of a queue that opens at a later time."""
    if case.is_open and not is_inside(case.queue.windows):
        when = _format_moment(case, find_opening(case.queue.windows) or 0.0)
        text = f"opens {when}" if when.startswith("in ") else f"opens at {when}"
        yield _make_reason("queue-window", f"queue {sanitize(case.queue.name)} {text}")


def _explain_storing(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain a task that belongs to an incomplete bulk submission, or is behind its first task."""
    if case.queue.storing and case.index is None:
        text = f"bulk submission of {format_count(case.queue.storing)} is being stored"
        yield _make_reason("storing", f"a {text}: nothing of it starts before", text)


def _explain_full_queue(case: WaitingTask) -> Iterator[WaitReason]:
    if not case.is_full:
        return
    ends = [
        run.number
        for run in case.holders
        if run.queue == case.queue.name and get_known_end(run.ends_in) < inf
    ]
    follows = f"#{ends[0]} ends next" if ends and case.position == 0 else None
    load, capacity = case.load, case.queue.capacity
    name = sanitize(case.queue.name)
    full, short = f"queue {name} is full ({load} of {capacity})", f"queue full {load}/{capacity}"
    if capacity == 0:
        full = short = f"queue {name} has capacity 0"
    # The position comes first: a list cuts its rows, and they differ in the position.
    text = _join_parts(case.format_position(), full, follows)
    yield WaitReason(
        "queue-full", text, _fit_parts(case.format_position(_format_nth), short, follows)
    )


def find_limit_stops(case: WaitingTask) -> list[LimitNeed]:
    """Return the amounts of limits that stop a task, the last one to be free first."""
    if case.context.limits is None or case.subject.uuid in case.context.starts:
        return []
    uses = list_uses(case.context.view.limits, case.subject)
    needs = [_make_limit_need(case, key, need) for key, need in uses]
    found = [need for need in needs if need.is_lacking or need.first is not None]
    return sorted(found, key=lambda need: -_find_sufficient_ends(need)[1])


def _make_limit_need(case: WaitingTask, key: LimitKey, need: float) -> LimitNeed:
    view, plan = case.context.view, case.context.limits
    held = {run.number: dict(list_uses(view.limits, run)).get(key, 0.0) for run in view.active}
    runs = [run for run in view.active if held[run.number]]
    total = get_total(view.limits, key)
    free = total - sum(held.values())
    first = plan.firsts.get(key) if plan else None
    if first is not None and first.uuid == case.subject.uuid:
        first = None
    if first is None and plan and can_fit(need, free) and not can_fit(need, plan.get_free(key)):
        first = [task for task in case.context.starts.values() if key.subject in task.subjects][-1]
    return LimitNeed(
        key.resource,
        need,
        free,
        total,
        sorted(runs, key=lambda run: get_known_end(run.ends_in)),
        subject=key.subject,
        first=first and first.number,
    )


class _LastingReason(NamedTuple):
    """A reason, and the seconds until enough of the amount that it names is free; inf: unknown."""

    seconds: float
    reason: WaitReason


BEHIND = -1.0
"""Seconds of a reason that only names a task that goes first."""


def _explain_amounts(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain limits, bookings and resources that stop a task, the longest wait first."""
    found = [*_list_limits(case), *_list_bookings(case), *_list_needs(case)]
    for _, reason in sorted(found, key=lambda one: -one.seconds):
        yield reason


def _list_limits(case: WaitingTask) -> Iterator[_LastingReason]:
    for need in find_limit_stops(case):
        needs, total, unit = (*map(need.format_amount, (need.needs, need.total)), need.unit)
        use = f"{need.format_amount(need.total - need.free)} of {total}{unit}"
        runs, seconds = _find_sufficient_ends(need)
        if not can_fit(need.needs, need.total):
            said = f"{need.title}: needs {needs}{unit}, at most {total}: it can never start"
            reason = _make_reason(need.code, said, f"{need.title}: needs {needs}, at most {total}")
        elif can_fit(need.needs, need.free) and need.first is not None:
            seconds = BEHIND
            reason = _make_reason(need.code, f"{need.title}: {use}; #{need.first} goes first",
                                  f"{need.title}: #{need.first} goes first")  # fmt: skip
        else:
            asked = "" if need.name == RUNNING else f"needs {needs}, "
            ends = f"#{runs[-1].number} ends {_format_end(runs)}" if runs else None
            if len(runs) > 1:
                many = format_count(len(runs))
                ends = f"{many} must end, #{runs[-1].number} the last {_format_end(runs)}"
            reason = WaitReason(
                need.code,
                _join_parts(f"{need.title}: {asked}{use}", ends or _NO_END),
                _fit_parts(f"{need.title}: {use}", ends),
            )
        yield _LastingReason(seconds, reason)


_NO_END = "no running task has a known end that frees enough"


def _list_bookings(case: WaitingTask) -> Iterator[_LastingReason]:
    stops = find_booking_stops(case)
    soonest = min((one.begins_in for one in stops if one.begins_in > 0), default=0.0)
    free_times = [find_free_time(case, bound) for bound in stops]
    last = max((seconds for seconds in free_times if seconds is not None), default=BEHIND)
    for bound, seconds in zip(stops[:MAX_STOPS], free_times, strict=False):
        booked = [one for one in case.context.view.bookings if one.name in bound.key.names]
        name, tags = bound.key.resource, sanitize(", ".join(sorted(bound.tags)))
        amount = format_amount(name, sum(one.needs[name] for one in booked))
        what, hint = f"{amount} {sanitize(name)}", None
        when = f"until {_format_moment(case, bound.ends_in)}"
        if bound.begins_in > 0:
            when = f"from {_format_moment(case, bound.begins_in)}"
            limit = find_early_limit(case, bound) if bound.begins_in == soonest else None
            if limit is not None and not case.is_full and can_start_within(case, limit):
                hint = f"a timeout below {format_age(bound.begins_in)} would let it start now"
        first = find_first(case, bound.key)
        behind = f"#{first.number} goes first" if first else None
        reason = _make_reason(
            "booked",
            _join_parts(f"{what} are reserved for {tags} {when}", behind or hint),
            f"{what} reserved for {tags} {when}",
        )
        yield _LastingReason(BEHIND if seconds is None else last, reason)
    if len(stops) > MAX_STOPS:
        yield _LastingReason(BEHIND, _make_reason("booked", "later reservations stop it, too"))


def _format_moment(case: WaitingTask, seconds: float) -> str:
    """Format a time in seconds from now: `Mon 09:00`."""
    now = case.context.view.now
    if now is None:
        return f"in {format_estimate(seconds)}"
    at, today = (datetime.fromtimestamp(unix, UTC) for unix in (now + seconds, now))
    return format_clock_time(at, today)


def _list_needs(case: WaitingTask) -> Iterator[_LastingReason]:
    needs = [need for need in find_needs(case) if need.is_lacking]
    if case.is_full:  # the reason before names the position
        case = replace(case, position=None)
    for need in sorted(needs, key=lambda need: -_find_sufficient_ends(need)[1]):
        yield _LastingReason(_find_sufficient_ends(need)[1], _explain_need(need, case))
        case = replace(case, position=None)


def find_needs(case: WaitingTask) -> tuple[ResourceNeed, ...]:
    """Return the task's needs, compared with its pool and with what pools share."""
    if case.budget.pool.is_outer:
        return ()
    view, totals = case.context.view, case.budget.pool.totals
    needs = {name: need for name, need in _order_needs(case.subject.needs) if need > 0}
    own = [
        _make_need(name, need, totals.get(name, 0.0), case.holders)
        for name, need in needs.items()
        if name in totals or name not in view.shared
    ]
    common = [
        _withhold(view, _make_need(name, need, view.shared[name], view.active, is_shared=True))
        for name, need in needs.items()
        if name in view.shared
    ]
    return (*own, *common)


def _order_needs(needs: Amounts) -> list[tuple[str, float]]:
    """Return needs in the order in which reasons of the same rank name them."""
    first = [(name, needs.get(name, 0.0)) for name in (MEMORY, CPU)]
    return first + [(name, needs[name]) for name in sorted(needs.keys() - {MEMORY, CPU})]


def _make_need(
    name: str, need: float, total: float, runs: Iterable[ActiveRun], is_shared: bool = False
) -> ResourceNeed:
    holders = sorted(
        (run for run in runs if run.needs.get(name)), key=lambda run: get_known_end(run.ends_in)
    )
    free = max(0.0, total - sum(run.needs[name] for run in holders))
    return ResourceNeed(name, need, free, total, holders, is_shared)


def _withhold(view: DispatchView, need: ResourceNeed) -> ResourceNeed:
    """Return the need with the units that nothing gets now deducted from what is free."""
    why = [one.text for one in view.withheld if one.resource == need.name]
    return replace(need, free=max(0.0, need.free - len(why)), withheld=why)


def _explain_need(need: ResourceNeed, case: WaitingTask) -> WaitReason:
    needs, unit, word = need.format_amount(need.needs), need.unit, need.short_unit
    who = "all pools together have" if need.is_shared else f"pool {sanitize(case.queue.pool)} has"
    if not can_fit(need.needs, need.total):
        total = need.format_amount(need.total)
        text = f"needs {needs}{unit}, but {who} {total} in all: it can never start"
        whom = "there are" if need.is_shared else "the pool has"
        return _make_reason(need.code, text, f"needs {needs}{word}, {whom} {total} in all")
    runs, _ = _find_sufficient_ends(need)
    free = f"{need.format_amount(need.free)} free"
    pool = "" if need.is_shared else f" of pool {sanitize(case.queue.pool)}"
    text = _join_parts(
        case.format_position(),
        f"needs {needs}{unit}{pool}, {free}",
        *(sanitize(text) for text in need.withheld[:MAX_PARENTS]),
        _format_releases(need, runs),
        _format_overdue(need, runs),
    )
    return WaitReason(
        need.code,
        text,
        _fit_parts(
            case.format_position(_format_nth),
            f"needs {needs}{word}, {free}",
            sanitize(need.withheld[0]) if need.withheld else _format_releases_short(need, runs),
        ),
    )


def _find_sufficient_ends(need: ResourceNeed) -> tuple[list[ActiveRun], float]:
    """Return the runs whose ends free enough, and the time of the last end.

    Return no runs and inf if the time is unknown.
    """
    free, chosen = need.free, list[ActiveRun]()
    for run in need.holders:
        free += need.get_amount(run)
        chosen.append(run)
        if can_fit(need.needs, free):
            when = get_known_end(run.ends_in)
            return (chosen, when) if when < inf else ([], inf)
    return [], inf


def _format_releases(need: ResourceNeed, runs: Sequence[ActiveRun]) -> str:
    """Format the ends that free enough: `#1042 frees 12.0G in ~6m`."""
    if not runs:
        return _NO_END
    first = (
        f"#{runs[0].number} frees {need.format_amount(need.get_amount(runs[0]))}"
        f" {_format_end(runs[:1])}"
    )
    more = len(runs) - 1
    return (
        first
        if not more
        else (
            f"{first}, {format_count(more)} more {'end' if more > 1 else 'ends'}"
            f" {_format_end(runs)}"
        )
    )


def _format_overdue(need: ResourceNeed, enough: Sequence[ActiveRun]) -> str | None:
    """Name the first overdue run with the resource, if no known end frees enough."""
    late = [run for run in need.holders if run.ends_in is not None and run.ends_in <= 0]
    return f"#{late[0].number} is overdue" if late and not enough else None


def _format_releases_short(need: ResourceNeed, runs: Sequence[ActiveRun]) -> str | None:
    if len(runs) == 1:
        return f"#{runs[0].number} frees {need.format_amount(need.get_amount(runs[0]))}"
    return f"enough {_format_end(runs)}" if runs else None


def _explain_position(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain a task whose queue has a slot: reserved, behind another, or starting."""
    is_reserved = case.budget.backfill and case.budget.backfill.task.uuid == case.subject.uuid
    if find_limit_stops(case) or find_booking_stops(case) or not is_inside(case.queue.windows):
        return
    if (
        (case.is_full and not is_reserved)
        or not case.is_open
        or not case.budget.can_ever_fit(case.subject.needs)
    ):
        return
    backfill, uuid = case.budget.backfill, case.subject.uuid
    if uuid in case.context.starts:
        yield _explain_soon()
    elif not is_reserved and case.context.slots[case.queue.name] < 1:
        yield _explain_behind_start(
            next(task for task in case.context.starts.values() if task.queue == case.queue.name)
        )
    elif backfill is None and (beside := _find_shared_backfill(case)):
        yield _explain_delay(case, beside, shared=True)
    elif backfill is None:
        yield from _explain_beyond_view(case)
    elif backfill.task.uuid == uuid:
        yield from _explain_reservation(case)
    elif case.index is not None and case.budget.has_free(case.subject.needs):
        yield _explain_delay(case, backfill)
    elif _fits_beside(case, backfill):
        yield _explain_soon()
    else:
        yield _explain_behind_reservation(case, backfill.task)


def _fits_beside(case: WaitingTask, backfill: BackfillBudget) -> bool:
    """Return True for a task beyond the view that fits now and delays no reserved task."""
    needs, is_same = case.subject.needs, backfill.task.queue == case.queue.name
    return (
        case.index is None
        and not case.queue.storing
        and case.budget.has_free(needs)
        and case.context.slots[case.queue.name] >= (2 if is_same else 1)
        and backfill.get_longest(needs) == inf
        and not case.budget.shared.list_backfills_beside(case.budget, needs)
    )


def _explain_reservation(case: WaitingTask) -> Iterator[WaitReason]:
    if not any(need.is_lacking for need in find_needs(case)):
        yield _explain_behind_start(_find_start_before(case))
    text = "it has a reservation: smaller tasks start first only if they do not delay it"
    yield _make_reason("reservation", text, "it has a reservation")


def _find_start_before(case: WaitingTask) -> QueuedTask:
    """Return the task that starts now in the pool, or takes what pools share, before this one."""
    starts, pool = case.context.starts.values(), case.queue.pool
    shared = case.context.view.shared.keys() & case.subject.needs.keys()
    of_pool = [one for one in starts if case.context.queues[one.queue].pool == pool]
    return next(iter([*of_pool, *(one for one in starts if shared & one.needs.keys())]))


def _find_shared_backfill(case: WaitingTask) -> BackfillBudget | None:
    """Return the reservation in another pool that a task which fits now would delay."""
    if case.index is None or not case.budget.has_free(case.subject.needs):
        return None
    return next(
        iter(case.budget.shared.list_backfills_beside(case.budget, case.subject.needs)), None
    )


def _explain_delay(case: WaitingTask, backfill: BackfillBudget, shared: bool = False) -> WaitReason:
    head = backfill.task.number
    wait = case.context.get_forecast(case.queue.pool).may_start.get(head)
    when = f" ({format_wait_range(*wait)})" if wait else ""
    common = case.context.view.shared.keys() & backfill.task.needs.keys()
    what = ", ".join(sorted(common)) if shared else f"pool {case.budget.pool.name}"
    text = f"waits behind #{head}, which has reserved {sanitize(what)}{when}"
    return _make_reason(
        "reserved",
        _join_parts(text, _describe_unknown_end(case, backfill)),
        f"behind #{head}, which is next{when}",
    )


def find_unknown_ends(case: WaitingTask) -> list[ActiveRun]:
    """Return the runs of unknown end without a timeout in the pool of a task."""
    return [run for run in case.holders if get_known_end(run.ends_in) == inf and run.limit is None]


def _describe_unknown_end(case: WaitingTask, backfill: BackfillBudget) -> str | None:
    """Name the runs whose unknown end keeps the start of the reservation unknown, and a remedy."""
    runs = find_unknown_ends(case)
    if backfill.starts_in < inf or not runs:
        return None
    others = f" and {format_count(len(runs) - 1)} more" if len(runs) > 1 else ""
    whom = "them" if others else "it"
    if case.index is not None and case.queue.waiting[case.index].expected is None:
        whom += " and this task"
    return f"the end of #{runs[0].number}{others} is not known: give {whom} a timeout"


def _explain_behind_reservation(case: WaitingTask, head: QueuedTask) -> WaitReason:
    # The first reason names the position already if the task needs more than is free.
    is_named = any(need.is_lacking for need in find_needs(case))
    position = None if is_named else case.format_position()
    place = f"{position} in queue {sanitize(case.queue.name)}" if position else None
    behind = f"behind #{head.number}, which has reserved pool {sanitize(case.budget.pool.name)}"
    return WaitReason(
        "behind",
        _join_parts(place, behind),
        _fit_parts(case.format_position(_format_nth), f"behind #{head.number}"),
    )


def _explain_beyond_view(case: WaitingTask) -> Iterator[WaitReason]:
    if case.index is None and case.format_position():
        yield _make_reason(
            "behind",
            f"{case.format_position()} in queue {sanitize(case.queue.name)}",
            f"{case.format_position(_format_nth)} in line",
        )


def _explain_order(case: WaitingTask) -> Iterator[WaitReason]:
    """Name the order of a pool that does not go by priority, and the task that goes first by age.

    The first task needs no order.
    """
    pool, first = case.budget.pool, _find_aged(case)
    if not case.is_open:
        return
    name, order = sanitize(pool.name), describe_policy(pool.policy)
    if first is not None and first.uuid == case.subject.uuid:
        wait = _format_age(case, first)
        text = f"it waits for {wait}, so it goes first in pool {name}"
        yield _make_reason("ageing", text, f"first: waits for {wait}")
    elif first is not None:
        text = f"#{first.number} goes first: it waits for {_format_age(case, first)}"
        yield _make_reason("order", f"order of pool {name}: {order}, but {text}", text)
    elif pool.policy != PRIORITY and case.position:
        yield _make_reason("order", f"order of pool {name}: {order}", f"order: {order}")


def _find_aged(case: WaitingTask) -> QueuedTask | None:
    """Return the task that goes first in the pool because it has waited long."""
    queues = [queue for queue in case.context.view.queues if queue.pool == case.queue.pool]
    heads = [queue.waiting[0] for queue in queues if queue.waiting]
    return next((task for task in heads if task.aged_since is not None), None)


def _format_age(case: WaitingTask, task: QueuedTask) -> str:
    return format_age(max(0.0, (case.context.view.now or 0.0) - (task.aged_since or 0.0)))


def _explain_behind_start(first: QueuedTask) -> WaitReason:
    return _make_reason("behind", f"behind #{first.number}, which starts now")


def _format_end(runs: Sequence[ActiveRun]) -> str:
    """Format the wait until all runs have ended: `in 4–9m`, or `within 9m` if limits tell it."""
    if all(run.likely for run in runs):
        return format_wait_range(
            max(run.likely[0] for run in runs), max(run.likely[-1] for run in runs)
        )
    return format_wait_range(
        0.0, max(run.likely[-1] if run.likely else get_known_end(run.ends_in) for run in runs)
    )


def _format_since(case: WaitingTask) -> str:
    if case.queue.paused_since is None:
        return ""
    at = datetime.fromtimestamp(case.queue.paused_since, UTC)
    now = case.context.view.now
    return (
        f" since {format_clock_time(at, at if now is None else datetime.fromtimestamp(now, UTC))}"
    )


def _format_nth(number: int) -> str:
    """Format a short ordinal: `1st`."""
    return (
        f"{number}{('st', 'nd', 'rd')[number - 1] if number < 4 else 'th'}"
        if number <= 10
        else format_ordinal(number)
    )


def _explain_soon() -> WaitReason:
    return _make_reason("starting-soon", "starts with the next dispatch round", "starts now")


def _make_reason(code: str, text: str, short: str | None = None) -> WaitReason:
    return WaitReason(code, text, truncate(short or text, SHORT_WIDTH))


def _join_parts(*parts: str | None) -> str:
    return "; ".join(filter(None, parts))


def _fit_parts(*parts: str | None) -> str:
    """Join as many parts, from the first on, as fit the short form."""
    first, *more = filter(None, parts)
    text = truncate(first, SHORT_WIDTH)
    for part in more:
        if measure_width(f"{text}; {part}") > SHORT_WIDTH:
            break
        text = f"{text}; {part}"
    return text


GENERAL_CHECKS = (
    _explain_halt,
    _explain_hold,
    _explain_not_before,
    _explain_dependencies,
    _explain_retry,
    _explain_closed_queue,
    _explain_closed_pool,
)
"""Reasons that apply regardless of free resources, most binding first."""

QUEUED_CHECKS = (
    _explain_window,
    _explain_storing,
    _explain_full_queue,
    _explain_amounts,
    _explain_position,
    _explain_order,
)
"""Reasons that apply to queued tasks."""
