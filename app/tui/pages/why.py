"""Waiting reasons page: numbered reasons, holders of missing resources, suggestions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from app.core.board import RunningEntry
from app.core.scheduling.resources import CPU, MEMORY, format_amount
from app.core.text import units
from app.core.text.joining import end_sentence
from app.core.text.sanitize import measure_width, pad
from app.translation import ENGLISH, get_language, tr, tr_noop
from app.tui.actions.tasks import Request
from app.tui.pages.task_facts import TaskContext
from app.tui.widgets.document import DocRow, Section, wrap_text

_MAX_HOLDERS = 3
_OF_POOL = ("pool-paused", "pool-trouble")
"""Reasons about a pool that are not about a resource of it."""
_TITLE_CELLS = (14, 28)
"""Minimum and maximum cells of suggestion titles."""
_MAX_TITLE_LINES = 3
"""Maximum lines of a title, which may contain names of any length."""
_SATISFIED = (
    (("held",), tr_noop("not held")),
    (("dependency",), tr_noop("no dependencies")),
    (("queue-paused", "queue-draining", "queue-full", *_OF_POOL), tr_noop("queue open{load}")),
    (("not-before",), tr_noop("time is not set")),
)


def build_reasons(facts: TaskContext) -> Section:
    """Return numbered reasons, holders of missing resources, and satisfied conditions."""
    reasons = facts.why.get("reasons") or ()
    rows = [
        row
        for number, reason in enumerate(reasons, 1)
        for row in _build_reason(facts, number, reason)
    ]
    codes = {reason["code"] for reason in reasons}
    if place := _format_place(facts, codes):
        rows.append(DocRow(((f"  {place}", ""),)))
    fine = [
        tr(words, load=_format_load(facts)) for keys, words in _SATISFIED if codes.isdisjoint(keys)
    ]
    if rows and fine:
        rows.append(
            DocRow(((facts.look.adapt_text("   ".join(f"✓ {words}" for words in fine)), "dim"),))
        )
    return Section(
        tr("Why it waits"),
        tuple(rows) or (DocRow(((tr("It starts with the next dispatch round."), ""),)),),
    )


def _format_place(facts: TaskContext, codes: set[str]) -> str:
    """Return `First in line in gpu; 4 more behind it.`, unless a reason says so."""
    place = facts.task.get("place")
    if not place or codes & {"queue-full", "behind"}:
        return ""
    behind = place["total"] - place["position"] - 1
    after = tr("; {count} more behind it", count=units.format_count(behind)) if behind > 0 else ""
    place_in = tr(
        "{ordinal} in line in {queue}",
        ordinal=_format_ordinal(place["position"] + 1),
        queue=facts.look.sanitize(facts.task["queue"]),
    )
    return end_sentence(f"{place_in[:1].upper()}{place_in[1:]}{after}")


def _format_ordinal(number: int) -> str:
    return units.format_ordinal(number) if get_language() == ENGLISH else str(number)


def _format_load(facts: TaskContext) -> str:
    """Return the load of the queue: ` (2 of 4)`."""
    queues = facts.board.queues if facts.board else ()
    found = next((queue for queue in queues if queue.name == facts.task["queue"]), None)
    return tr(" ({load} of {capacity})", load=found.load, capacity=found.capacity) if found else ""


def _build_reason(facts: TaskContext, number: int, reason: Mapping[str, Any]) -> Iterator[DocRow]:
    first, *more = wrap_text(
        facts.look.sanitize(facts.look.adapt_text(reason["text"])), facts.room - 6
    )
    yield DocRow(((f"{number} ", "bold"), (first, "")))
    for text in more:
        yield DocRow(((f"  {text}", ""),))
    kind, _, name = reason["code"].partition("-")
    if kind in ("pool", "shared") and reason["code"] not in _OF_POOL:
        yield from _build_holders(facts, name, kind == "shared")


def _build_holders(facts: TaskContext, resource: str, is_shared: bool) -> Iterator[DocRow]:
    """Yield the runs that hold a resource, the one that ends first on top."""
    holders = [
        (line, amount)
        for line in _list_holders(facts, is_shared)
        if (amount := _get_amount(line, resource)) or resource in (CPU, MEMORY)
    ]
    unit = "" if resource == MEMORY else f" {facts.look.sanitize(resource)}"
    for n, (line, amount) in enumerate(holders[:_MAX_HOLDERS]):
        holds = f"{format_amount(resource, amount)}{unit}"
        end = _format_end(line)
        room = max(12, min(25, facts.room - 43))
        name = facts.look.cut(
            f"#{line.number} {facts.look.sanitize(line.name)}", room - 1, "middle"
        )
        text = f"    {pad('' if n else tr('held by'), 9)} {pad(name, room)} {holds:>7}   {end}"
        yield DocRow(((text, ""),), f"task:{line.uuid}")


def _format_end(line: RunningEntry) -> str:
    if line.left is None:
        return tr("end unknown")
    if line.left <= -1.0:
        return tr("late {age}", age=units.format_age(-line.left))
    return (
        tr("ends within {most}", most=units.format_upper_bound(line.left))
        if line.at_most
        else tr("ends in {estimate}", estimate=units.format_estimate(line.left))
    )


def _get_amount(line: RunningEntry, resource: str) -> float:
    plain = {CPU: line.cpu, MEMORY: line.memory}
    return plain[resource] if resource in plain else (line.holds or {}).get(resource, 0)


def _list_holders(facts: TaskContext, is_shared: bool) -> list[RunningEntry]:
    """Return the runs of the task's pool, of all pools for a shared resource."""
    if facts.board is None:
        return []
    pools = {queue.name: queue.pool for queue in facts.board.queues}
    pool = pools.get(facts.task["queue"])
    lines = [line for line in facts.board.running if is_shared or pools.get(line.queue) == pool]
    return sorted(
        lines, key=lambda line: float("inf") if line.left is None or line.left < 0 else line.left
    )


# -- suggestions --


def build_suggestions(facts: TaskContext, most: int | None = None) -> Iterator[Section]:
    """Yield suggestions with their expected effect; enter applies one.

    Suggestions that only inform are dim and have no target.
    """
    found = list(facts.why.get("cures") or ())[:most]
    if found:
        titles = [
            facts.look.sanitize(facts.look.adapt_text(suggestion["text"])) for suggestion in found
        ]
        room = max(
            _TITLE_CELLS[0],
            min(_TITLE_CELLS[1], facts.room * 3 // 8, max(map(measure_width, titles))),
        )
        rows = [
            row
            for suggestion, title in zip(found, titles, strict=True)
            for row in _build_suggestion(facts, suggestion, title, room)
        ]
        yield Section(tr("What you can do"), tuple(rows))


def _build_suggestion(
    facts: TaskContext, suggestion: Mapping[str, Any], title: str, room: int
) -> Iterator[DocRow]:
    able = bool(suggestion["verb"])
    style, target = ("", f"cure:{suggestion['name']}") if able else ("dim", "")
    gain = facts.look.sanitize(facts.look.adapt_text(suggestion["gain"]))
    names = wrap_text(facts.look.cut(title, room * _MAX_TITLE_LINES, "middle"), room)
    for n, (name, text) in enumerate(
        zip_longest(names, wrap_text(gain, facts.room - room - 6), fillvalue="")
    ):
        yield DocRow(
            ((f"{pad(name, room)}  ", "bold" if able else "dim"), (text, style)),
            "" if n else target,
        )


def make_request(suggestion: Mapping[str, Any]) -> Request:
    """Build the request of a suggestion."""
    undo = tuple(
        Request(one["verb"], dict(one["args"]), one["said"], object=suggestion["object"])
        for one in suggestion["undo"]
    )
    return Request(
        suggestion["verb"], dict(suggestion["args"]), suggestion["said"], undo, suggestion["object"]
    )
