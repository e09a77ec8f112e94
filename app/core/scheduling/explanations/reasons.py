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
from app.core.text.joining import join_clauses, join_colon
from app.core.text.sanitize import measure_width, sanitize, truncate
from app.core.text.units import (
    format_age,
    format_clock_time,
    format_count,
    format_estimate,
    format_short_ordinal,
    format_wait_range,
)
from app.translation import tr, tr_n, tr_noop

SHORT_WIDTH = 44
MAX_PARENTS = 5
RESTORE_HOLDER = "restore"
"""Holder of tasks that may have run after the backup that was restored."""
PARENT_ENDINGS = {
    "succeeded": tr_noop("has succeeded"),
    "failed": tr_noop("has failed"),
    "timed_out": tr_noop("has timed out"),
    "cancelled": tr_noop("was cancelled"),
    "lost": tr_noop("is lost"),
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
        return f" {tr('running')}" if self.name == RUNNING else f" {sanitize(self.name)}"

    @property
    def title(self) -> str:
        """Name of the limit: `limit team=a`, or `group g12`."""
        shown = sanitize(format_subject(self.subject))
        if shown == self.subject:
            return tr("limit {limit}", limit=shown)
        return tr("group {group}", group=shown)

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
            tr("nothing starts: {why}", why=halted),
            tr("nothing starts: {why}", why=what + rest.rpartition(")")[2]),
        )


def _explain_hold(case: WaitingTask) -> Iterator[WaitReason]:
    by = case.subject.held_by
    if by is not None or case.subject.status == "held":
        text = tr("held by {holder}", holder=sanitize(by)) if by else tr("held")
        doubt = tr("{held}: it may have run already", held=text)
        yield _make_reason("held", doubt if by == RESTORE_HOLDER else text, text)


def _explain_not_before(case: WaitingTask) -> Iterator[WaitReason]:
    wait = case.subject.not_before_in
    if wait is not None and wait > 0:
        at = case.subject.not_before_text or tr("in {time}", time=format_estimate(wait))
        text = tr("not before {time}", time=sanitize(at))
        yield WaitReason("not-before", text, _fit_parts(text, _describe_closed(case)))


_TROUBLED = {True: tr_noop("hands nothing over"), False: tr_noop("starts nothing")}
"""Verbs of a pool with trouble; True is an outer pool."""


def _describe_closed(case: WaitingTask) -> str | None:
    """Return the state of a closed queue or pool.

    The start time alone would look like a promise.
    """
    queue, pool = case.queue.status, case.budget.pool.status
    if queue != ACTIVE:
        return tr("queue {state}", state=tr(sanitize(queue)))
    if pool != ACTIVE:
        return tr("pool {state}", state=tr(sanitize(pool)))
    if case.budget.pool.trouble:
        return tr("pool {state}", state=tr(_TROUBLED[case.budget.pool.is_outer]))
    return None


def _explain_dependencies(case: WaitingTask) -> Iterator[WaitReason]:
    unmet = case.subject.unmet
    failed = _find_failed(case.subject.parents)
    for parent in unmet[:MAX_PARENTS]:
        name = f"#{parent.number} {sanitize(parent.name)}"
        if parent.kind == FAILURES and failed is not None:
            yield _explain_failures(failed, parent, name)
            continue
        wait, state = describe_wait(parent.kind, name), _describe_state(parent)
        if parent.kind in (*ON_FAILURE, "start"):
            text = tr("{wait}; it {state}", wait=wait, state=state)
        elif parent.kind == "any":
            text = tr("{wait}, which {state}, however it ends", wait=wait, state=state)
        else:
            text = tr("{wait}, which {state}", wait=wait, state=state)
        yield _make_reason("dependency", text, wait)
    if len(unmet) > MAX_PARENTS:
        more = format_count(len(unmet) - MAX_PARENTS)
        yield _make_reason("dependency", tr("after {more} more", more=more))


def _explain_failures(failed: ParentTask, parent: ParentTask, name: str) -> WaitReason:
    """Explain a task that runs since a parent failed, but only after the end of another."""
    values = {"number": failed.number, "ended": tr(PARENT_ENDINGS[failed.status]), "parent": name}
    return _make_reason(
        "dependency",
        tr(
            "#{number} {ended}; waits for the end of {parent}, which is {state}",
            **values,
            state=tr(sanitize(parent.status)),
        ),
        tr("#{number} {ended}; waits for {parent}", **values),
    )


def _describe_state(parent: ParentTask) -> str:
    ending = PARENT_ENDINGS.get(parent.status)
    return tr(ending) if ending else tr("is {state}", state=tr(sanitize(parent.status)))


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
        values = {
            "attempt": subject.attempt + 1,
            "last": subject.last_attempt,
            "wait": format_estimate(subject.retry_in),
        }
        yield _make_reason(
            "retry",
            tr(
                "attempt {attempt} of {last} may start in {wait}; {why}",
                **values,
                why=subject.oom_note or tr("the last one did not succeed"),
            ),
            tr("attempt {attempt} of {last} in {wait}", **values),
        )


def _explain_closed_queue(case: WaitingTask) -> Iterator[WaitReason]:
    queue, name = case.queue, sanitize(case.queue.name)
    if queue.status == "draining":
        yield _make_reason(
            "queue-draining",
            tr("queue {queue} is draining: it starts nothing new", queue=name),
            tr("queue {queue} is draining", queue=name),
        )
    elif queue.status != ACTIVE:
        yield _make_reason("queue-paused", _describe_pause(case, name))


def _describe_pause(case: WaitingTask, name: str) -> str:
    by, since = case.queue.paused_by, _format_since(case)
    values = {"queue": name, "user": sanitize(by or ""), "since": since}
    if by and since:
        return tr("queue {queue} is paused by {user} since {since}", **values)
    if by:
        return tr("queue {queue} is paused by {user}", **values)
    if since:
        return tr("queue {queue} is paused since {since}", **values)
    return tr("queue {queue} is paused", **values)


def _explain_closed_pool(case: WaitingTask) -> Iterator[WaitReason]:
    pool = case.budget.pool
    if pool.status != ACTIVE:
        state = tr(
            "pool {pool} is {state}", pool=sanitize(pool.name), state=tr(sanitize(pool.status))
        )
        text = tr("{state}: it starts nothing new", state=state)
        yield _make_reason("pool-paused", text, state)
    elif pool.trouble is not None:
        what, _, _ = pool.trouble.partition(": ")
        name = sanitize(pool.name)
        yield _make_reason(
            "pool-trouble",
            tr(
                "pool {pool} {state}: {why}",
                pool=name,
                state=tr(_TROUBLED[pool.is_outer]),
                why=sanitize(pool.trouble),
            ),
            tr("pool {pool}: {why}", pool=name, why=sanitize(what)),
        )


def _explain_window(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain a task of a queue that opens at a later time."""
    if case.is_open and not is_inside(case.queue.windows):
        when = _format_moment(case, find_opening(case.queue.windows) or 0.0)
        values = {"queue": sanitize(case.queue.name), "time": when}
        if case.context.view.now is None:
            text = tr("queue {queue} opens {time}", **values)
        else:
            text = tr("queue {queue} opens at {time}", **values)
        yield _make_reason("queue-window", text)


def _explain_storing(case: WaitingTask) -> Iterator[WaitReason]:
    """Explain a task that belongs to an incomplete bulk submission, or is behind its first task."""
    if case.queue.storing and case.index is None:
        many = format_count(case.queue.storing)
        yield _make_reason(
            "storing",
            tr(
                "a bulk submission of {count} is being stored: nothing of it starts before",
                count=many,
            ),
            tr("bulk submission of {count} is being stored", count=many),
        )


def _explain_full_queue(case: WaitingTask) -> Iterator[WaitReason]:
    if not case.is_full:
        return
    ends = [
        run.number
        for run in case.holders
        if run.queue == case.queue.name and get_known_end(run.ends_in) < inf
    ]
    is_next = ends and case.position == 0
    follows = tr("#{number} ends next", number=ends[0]) if is_next else None
    values = {
        "queue": sanitize(case.queue.name),
        "load": case.load,
        "capacity": case.queue.capacity,
    }
    full = tr("queue {queue} is full ({load} of {capacity})", **values)
    short = tr("queue full {load}/{capacity}", **values)
    if case.queue.capacity == 0:
        full = short = tr("queue {queue} has capacity 0", **values)
    # The position comes first: a list cuts its rows, and they differ in the position.
    text = _join_parts(case.format_position(), full, follows)
    yield WaitReason(
        "queue-full", text, _fit_parts(case.format_position(format_short_ordinal), short, follows)
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
        values = {
            "limit": need.title,
            "needs": need.format_amount(need.needs),
            "unit": need.unit,
            "total": need.format_amount(need.total),
            "number": need.first,
        }
        used = need.format_amount(need.total - need.free)
        values["use"] = tr("{used} of {total}{unit}", used=used, **values)
        runs, seconds = _find_sufficient_ends(need)
        if not can_fit(need.needs, need.total):
            said = tr("{limit}: needs {needs}{unit}, at most {total}: it can never start", **values)
            short = tr("{limit}: needs {needs}, at most {total}", **values)
            reason = _make_reason(need.code, said, short)
        elif can_fit(need.needs, need.free) and need.first is not None:
            seconds = BEHIND
            reason = _make_reason(
                need.code,
                tr("{limit}: {use}; #{number} goes first", **values),
                tr("{limit}: #{number} goes first", **values),
            )
        else:
            ends, short = _format_ends(runs), join_colon(need.title, values["use"])
            said = short if need.name == RUNNING else tr("{limit}: needs {needs}, {use}", **values)
            reason = WaitReason(
                need.code, _join_parts(said, ends or tr(_NO_END)), _fit_parts(short, ends)
            )
        yield _LastingReason(seconds, reason._replace(subject=need.subject))


def _format_ends(runs: Sequence[ActiveRun]) -> str | None:
    """Format the ends of runs that free enough of a limit, None for no runs."""
    if not runs:
        return None
    number, when = runs[-1].number, _format_end(runs)
    if len(runs) == 1:
        return tr("#{number} ends {when}", number=number, when=when)
    return tr(
        "{count} must end, #{number} the last {when}",
        count=format_count(len(runs)),
        number=number,
        when=when,
    )


_NO_END = tr_noop("no running task has a known end that frees enough")


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
        when = tr("until {time}", time=_format_moment(case, bound.ends_in))
        if bound.begins_in > 0:
            when = tr("from {time}", time=_format_moment(case, bound.begins_in))
            limit = find_early_limit(case, bound) if bound.begins_in == soonest else None
            if limit is not None and not case.is_full and can_start_within(case, limit):
                hint = tr(
                    "a timeout below {time} would let it start now",
                    time=format_age(bound.begins_in),
                )
        first = find_first(case, bound.key)
        behind = tr("#{number} goes first", number=first.number) if first else None
        values = {"amount": what, "tags": tags, "when": when}
        reason = _make_reason(
            "booked",
            _join_parts(tr("{amount} are reserved for {tags} {when}", **values), behind or hint),
            tr("{amount} reserved for {tags} {when}", **values),
        )
        yield _LastingReason(BEHIND if seconds is None else last, reason)
    if len(stops) > MAX_STOPS:
        yield _LastingReason(BEHIND, _make_reason("booked", tr("later reservations stop it, too")))


def _format_moment(case: WaitingTask, seconds: float) -> str:
    """Format a time in seconds from now: `Mon 09:00`."""
    now = case.context.view.now
    if now is None:
        return tr("in {time}", time=format_estimate(seconds))
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
    if not can_fit(need.needs, need.total):
        return _explain_impossible(need, case)
    values = {
        "needs": need.format_amount(need.needs),
        "unit": need.unit,
        "short_unit": need.short_unit,
        "free": need.format_amount(need.free),
        "pool": sanitize(case.queue.pool),
    }
    needs = (
        tr("needs {needs}{unit}, {free} free", **values)
        if need.is_shared
        else tr("needs {needs}{unit} of pool {pool}, {free} free", **values)
    )
    runs, _ = _find_sufficient_ends(need)
    text = _join_parts(
        case.format_position(),
        needs,
        *(sanitize(text) for text in need.withheld[:MAX_PARENTS]),
        _format_releases(need, runs),
        _format_overdue(need, runs),
    )
    return WaitReason(
        need.code,
        text,
        _fit_parts(
            case.format_position(format_short_ordinal),
            tr("needs {needs}{short_unit}, {free} free", **values),
            sanitize(need.withheld[0]) if need.withheld else _format_releases_short(need, runs),
        ),
    )


def _explain_impossible(need: ResourceNeed, case: WaitingTask) -> WaitReason:
    """Explain a need above the total of the pool, or of all pools together."""
    values = {
        "needs": need.format_amount(need.needs),
        "unit": need.unit,
        "short_unit": need.short_unit,
        "total": need.format_amount(need.total),
        "pool": sanitize(case.queue.pool),
    }
    if need.is_shared:
        text = tr(
            "needs {needs}{unit}, but all pools together have {total} in all: it can never start",
            **values,
        )
        short = tr("needs {needs}{short_unit}, there are {total} in all", **values)
    else:
        text = tr(
            "needs {needs}{unit}, but pool {pool} has {total} in all: it can never start", **values
        )
        short = tr("needs {needs}{short_unit}, the pool has {total} in all", **values)
    return _make_reason(need.code, text, short)


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
        return tr(_NO_END)
    first = _format_release(need, runs[0], _format_end(runs[:1]))
    more = len(runs) - 1
    if not more:
        return first
    values = {"first": first, "more": format_count(more), "when": _format_end(runs)}
    return tr_n(
        more, "{first}, {more} more ends {when}", "{first}, {more} more end {when}", **values
    )


def _format_release(need: ResourceNeed, run: ActiveRun, when: str) -> str:
    amount = need.format_amount(need.get_amount(run))
    return tr("#{number} frees {amount} {when}", number=run.number, amount=amount, when=when)


def _format_overdue(need: ResourceNeed, enough: Sequence[ActiveRun]) -> str | None:
    """Name the first overdue run with the resource, if no known end frees enough."""
    late = [run for run in need.holders if run.ends_in is not None and run.ends_in <= 0]
    return tr("#{number} is overdue", number=late[0].number) if late and not enough else None


def _format_releases_short(need: ResourceNeed, runs: Sequence[ActiveRun]) -> str | None:
    if len(runs) == 1:
        amount = need.format_amount(need.get_amount(runs[0]))
        return tr("#{number} frees {amount}", number=runs[0].number, amount=amount)
    return tr("enough {when}", when=_format_end(runs)) if runs else None


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
    text = tr("it has a reservation: smaller tasks start first only if they do not delay it")
    yield _make_reason("reservation", text, tr("it has a reservation"))


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
    what = ", ".join(sorted(common)) if shared else tr("pool {pool}", pool=case.budget.pool.name)
    text = tr(
        "waits behind #{number}, which has reserved {what}{when}",
        number=head,
        what=sanitize(what),
        when=when,
    )
    return _make_reason(
        "reserved",
        _join_parts(text, _describe_unknown_end(case, backfill)),
        tr("behind #{number}, which is next{when}", number=head, when=when),
    )


def find_unknown_ends(case: WaitingTask) -> list[ActiveRun]:
    """Return the runs of unknown end without a timeout in the pool of a task."""
    return [run for run in case.holders if get_known_end(run.ends_in) == inf and run.limit is None]


def _describe_unknown_end(case: WaitingTask, backfill: BackfillBudget) -> str | None:
    """Name the runs whose unknown end keeps the start of the reservation unknown, and a remedy."""
    runs = find_unknown_ends(case)
    if backfill.starts_in < inf or not runs:
        return None
    values = {"number": runs[0].number, "more": format_count(len(runs) - 1)}
    has_more, is_unknown = (
        len(runs) > 1,
        (case.index is not None and case.queue.waiting[case.index].expected is None),
    )
    if has_more and is_unknown:
        return tr(
            "the end of #{number} and {more} more is not known: give them and this task a timeout",
            **values,
        )
    if has_more:
        return tr(
            "the end of #{number} and {more} more is not known: give them a timeout", **values
        )
    if is_unknown:
        return tr("the end of #{number} is not known: give it and this task a timeout", **values)
    return tr("the end of #{number} is not known: give it a timeout", **values)


def _explain_behind_reservation(case: WaitingTask, head: QueuedTask) -> WaitReason:
    # The first reason names the position already if the task needs more than is free.
    is_named = any(need.is_lacking for need in find_needs(case))
    place = None if is_named else _format_place(case)
    values = {"number": head.number, "pool": sanitize(case.budget.pool.name)}
    behind = tr("behind #{number}, which has reserved pool {pool}", **values)
    short = tr("behind #{number}", **values)
    return WaitReason(
        "behind",
        _join_parts(place, behind),
        _fit_parts(case.format_position(format_short_ordinal), short),
    )


def _format_place(case: WaitingTask) -> str | None:
    """Format the position with its queue, None if there is no position."""
    position = case.format_position()
    queue = sanitize(case.queue.name)
    return tr("{position} in queue {queue}", position=position, queue=queue) if position else None


def _explain_beyond_view(case: WaitingTask) -> Iterator[WaitReason]:
    if case.index is None and (place := _format_place(case)):
        position = case.format_position(format_short_ordinal)
        yield _make_reason("behind", place, tr("{position} in line", position=position))


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
        text = tr("it waits for {wait}, so it goes first in pool {pool}", wait=wait, pool=name)
        yield _make_reason("ageing", text, tr("first: waits for {wait}", wait=wait))
    elif first is not None:
        wait = _format_age(case, first)
        text = tr("#{number} goes first: it waits for {wait}", number=first.number, wait=wait)
        yield _make_reason(
            "order",
            tr("order of pool {pool}: {order}, but {why}", pool=name, order=order, why=text),
            text,
        )
    elif pool.policy != PRIORITY and case.position:
        text = tr("order of pool {pool}: {order}", pool=name, order=order)
        yield _make_reason("order", text, tr("order: {order}", order=order))


def _find_aged(case: WaitingTask) -> QueuedTask | None:
    """Return the task that goes first in the pool because it has waited long."""
    queues = [queue for queue in case.context.view.queues if queue.pool == case.queue.pool]
    heads = [queue.waiting[0] for queue in queues if queue.waiting]
    return next((task for task in heads if task.aged_since is not None), None)


def _format_age(case: WaitingTask, task: QueuedTask) -> str:
    return format_age(max(0.0, (case.context.view.now or 0.0) - (task.aged_since or 0.0)))


def _explain_behind_start(first: QueuedTask) -> WaitReason:
    return _make_reason("behind", tr("behind #{number}, which starts now", number=first.number))


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
    return format_clock_time(at, at if now is None else datetime.fromtimestamp(now, UTC))


def _explain_soon() -> WaitReason:
    text = tr("starts with the next dispatch round")
    return _make_reason("starting-soon", text, tr("starts now"))


def _make_reason(code: str, text: str, short: str | None = None) -> WaitReason:
    return WaitReason(code, text, truncate(short or text, SHORT_WIDTH))


def _join_parts(*parts: str | None) -> str:
    return join_clauses(filter(None, parts))


def _fit_parts(*parts: str | None) -> str:
    """Join as many parts, from the first on, as fit the short form."""
    first, *more = filter(None, parts)
    text = truncate(first, SHORT_WIDTH)
    for part in more:
        longer = join_clauses([text, part])
        if measure_width(longer) > SHORT_WIDTH:
            break
        text = longer
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
