"""Why a task waits, as lines: numbered reasons, who holds what is missing, and what does not hold it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from app.core.board import RunningLine
from app.core.text import units
from app.core.text.sanitize import pad, width
from app.tui.actions.tasks import Deed
from app.tui.pages.task_facts import Facts
from app.tui.widgets.document import Row, Section, wrap

_HOLDERS = 3
_TITLES = (14, 28)
"""Cells that the names of cures get, at least and at most."""
_TITLE_LINES = 3
"""Lines that one gets at most: what it is about has names of any length."""
_NOT_REASONS = (
    (("held",), "not held"),
    (("dependency",), "no dependencies"),
    (("queue-paused", "queue-draining", "queue-full", "pool-paused"), "queue open{load}"),
    (("not-before",), "time is not set"),
)


def waiting(facts: Facts) -> Section:
    """Numbered reasons, who holds what is missing, and what does not hold it back."""
    reasons = facts.why.get("reasons") or ()
    rows = [row for number, reason in enumerate(reasons, 1) for row in _reason(facts, number, reason)]
    codes = {reason["code"] for reason in reasons}
    if place := _place(facts, codes):
        rows.append(Row(((f"  {place}", ""),)))
    fine = [words.format(load=_load(facts)) for keys, words in _NOT_REASONS if codes.isdisjoint(keys)]
    if rows and fine:
        rows.append(Row(((facts.look.own("   ".join(f"✓ {words}" for words in fine)), "dim"),)))
    return Section("Why it waits", tuple(rows) or (Row((("It starts with the next dispatch round.", ""),)),))


def _place(facts: Facts, codes: set[str]) -> str:
    """`First in line in gpu; 4 more behind it.`, where no reason tells it."""
    place = facts.task.get("place")
    if not place or codes & {"queue-full", "behind"}:
        return ""
    behind = place["total"] - place["position"] - 1
    after = f"; {units.count(behind)} more behind it" if behind > 0 else ""
    place_in = f"{units.ordinal(place['position'] + 1)} in line in {facts.look.theirs(facts.task['queue'])}"
    return f"{place_in[:1].upper()}{place_in[1:]}{after}."


def _load(facts: Facts) -> str:
    """` (2 of 4)`, how full its queue is."""
    queues = facts.board.queues if facts.board else ()
    found = next((queue for queue in queues if queue.name == facts.task["queue"]), None)
    return f" ({found.load} of {found.capacity})" if found else ""


def _reason(facts: Facts, number: int, reason: Mapping[str, Any]) -> Iterator[Row]:
    first, *more = wrap(facts.look.theirs(facts.look.own(reason["text"])), facts.room - 6)
    yield Row(((f"{number} ", "bold"), (first, "")))
    for text in more:
        yield Row(((f"  {text}", ""),))
    if reason["code"] in ("pool-memory", "pool-cpu"):
        yield from _holders(facts, reason["code"] == "pool-memory")


def _holders(facts: Facts, of_memory: bool) -> Iterator[Row]:
    """The runs that hold the pool, the one that ends first on top."""
    for n, line in enumerate(_in_same_pool(facts)[:_HOLDERS]):
        holds = units.memory(line.memory) if of_memory else f"{units.plain(line.cpu)} cpu"
        end = _end(line)
        room = max(12, min(25, facts.room - 43))
        name = facts.look.cut(f"#{line.number} {facts.look.theirs(line.name)}", room - 1, "middle")
        text = f"    {'' if n else 'held by':<9} {pad(name, room)} {holds:>7}   {end}"
        yield Row(((text, ""),), f"task:{line.uuid}")


def _end(line: RunningLine) -> str:
    if line.left is None:
        return "end unknown"
    if line.left <= -1.0:
        return f"late {units.age(-line.left)}"
    return f"ends within {units.at_most(line.left)}" if line.at_most else f"ends in {units.estimate(line.left)}"


def _in_same_pool(facts: Facts) -> list[RunningLine]:
    if facts.board is None:
        return []
    pools = {queue.name: queue.pool for queue in facts.board.queues}
    mine = pools.get(facts.task["queue"])
    lines = [line for line in facts.board.running if pools.get(line.queue) == mine]
    return sorted(lines, key=lambda line: float("inf") if line.left is None or line.left < 0 else line.left)


# -- what can be done --------------------------------------------------------------------------------------------


def cures(facts: Facts, most: int | None = None) -> Iterator[Section]:
    """What could help, each with what it would bring; `enter` on one does it. What only informs is dim, and leads nowhere."""
    found = list(facts.why.get("cures") or ())[:most]
    if found:
        titles = [facts.look.theirs(facts.look.own(cure["text"])) for cure in found]
        room = max(_TITLES[0], min(_TITLES[1], facts.room * 3 // 8, max(map(width, titles))))
        rows = [row for cure, title in zip(found, titles, strict=True) for row in _cure(facts, cure, title, room)]
        yield Section("What you can do", tuple(rows))


def _cure(facts: Facts, cure: Mapping[str, Any], title: str, room: int) -> Iterator[Row]:
    able = bool(cure["verb"])
    style, target = ("", f"cure:{cure['name']}") if able else ("dim", "")
    gain = facts.look.theirs(facts.look.own(cure["gain"]))
    names = wrap(facts.look.cut(title, room * _TITLE_LINES, "middle"), room)
    for n, (name, text) in enumerate(zip_longest(names, wrap(gain, facts.room - room - 6), fillvalue="")):
        yield Row(((f"{pad(name, room)}  ", "bold" if able else "dim"), (text, style)), "" if n else target)


def deed(cure: Mapping[str, Any]) -> Deed:
    """What a cure asks of the runtime."""
    undo = tuple(Deed(one["verb"], dict(one["args"]), one["said"], object=cure["object"]) for one in cure["undo"])
    return Deed(cure["verb"], dict(cure["args"]), cure["said"], undo, cure["object"])
