"""Why a task waits, as lines: numbered reasons, who holds what is missing, and what does not hold it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core import amounts
from app.core.board import RunningLine
from app.core.clean import pad
from app.tui.doc import Row, Section, wrap
from app.tui.facts import Facts

_HOLDERS = 3
_NOT_REASONS = (
    (("held",), "not held"),
    (("dependency",), "no dependencies"),
    (("queue-paused", "queue-draining", "queue-full", "pool-paused"), "queue open"),
    (("not-before",), "time is not set"),
)


def waiting(facts: Facts) -> Section:
    """Numbered reasons, who holds what is missing, and what does not hold it back."""
    reasons = facts.why.get("reasons") or ()
    rows = [row for number, reason in enumerate(reasons, 1) for row in _reason(facts, number, reason)]
    codes = {reason["code"] for reason in reasons}
    fine = [words for keys, words in _NOT_REASONS if codes.isdisjoint(keys)]
    if rows and fine:
        rows.append(Row(((facts.look.own("   ".join(f"✓ {words}" for words in fine)), "dim"),)))
    return Section("Why it waits", tuple(rows) or (Row((("It starts with the next dispatch round.", ""),)),))


def _reason(facts: Facts, number: int, reason: Mapping[str, Any]) -> Iterator[Row]:
    first, *more = wrap(facts.look.own(facts.look.theirs(reason["text"])), facts.room - 6)
    yield Row(((f"{number} ", "bold"), (first, "")))
    for text in more:
        yield Row(((f"  {text}", ""),))
    if reason["code"] in ("pool-memory", "pool-cpu"):
        yield from _holders(facts, reason["code"] == "pool-memory")


def _holders(facts: Facts, of_memory: bool) -> Iterator[Row]:
    """The runs that hold the pool, the one that ends first on top."""
    for n, line in enumerate(_in_same_pool(facts)[:_HOLDERS]):
        holds = amounts.memory(line.memory) if of_memory else f"{amounts.plain(line.cpu)} cpu"
        end = "end unknown" if line.left is None else f"ends in {amounts.estimate(line.left)}"
        name = facts.look.cut(f"#{line.number} {facts.look.theirs(line.name)}", 24, "middle")
        text = f"    {'' if n else 'held by':<9} {pad(name, 25)} {holds:>7}   {end}"
        yield Row(((text, ""),), f"task:{line.uuid}")


def _in_same_pool(facts: Facts) -> list[RunningLine]:
    if facts.board is None:
        return []
    pools = {queue.name: queue.pool for queue in facts.board.queues}
    mine = pools.get(facts.task["queue"])
    lines = [line for line in facts.board.running if pools.get(line.queue) == mine]
    return sorted(lines, key=lambda line: float("inf") if line.left is None else line.left)
