"""Words of a what-if answer: times and figures before and after, and what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from app.core.task_groups import format_member
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr, tr_n

ARROW = "→"


def format_time(times: Mapping[str, Any] | None, which: str) -> str:
    """Return a start or end from now on: `12m`, `<2h`, `now`; `–` if unknown, "" if none."""
    if times is None:
        return ""
    seconds = times[which]
    if seconds is None:
        return units.MISSING
    if seconds < 1:
        return tr("now")
    if times[f"{which}_at_most"]:
        return f"<{units.format_upper_bound(seconds)}"
    return units.format_age(seconds)


def format_name(row: Mapping[str, Any]) -> str:
    """Return the sanitized name of a task, with its index in a group: `train [7]`."""
    return f"{sanitize(row['name'])} {format_member(row.get('group_index'), None)}".rstrip()


def format_task_times(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return start before, start after with its arrow, end before, and end after."""
    before, after = row["before"], row["after"]
    start = tr("running") if row["is_running"] else format_time(before, "start")
    new_start, new_end = (
        f"{ARROW} {format_time(after, which)}" if after else "" for which in ("start", "end")
    )
    return start, new_start, format_time(before, "end"), new_end


def is_unchanged(row: Mapping[str, Any]) -> bool:
    """Return True if a task has the same times before and after."""
    return row["change"] is None and row["before"] == row["after"]


def list_facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return labels and texts that compare all tasks before and after, sanitized."""
    before, after = found["before"], found["after"]

    def compare(form: Callable[[float], str], *path: str) -> str:
        old, new = (
            units.MISSING if (value := _find(side, path)) is None else form(value)
            for side in (before, after)
        )
        return f"{old} {ARROW} {new}"

    facts = [
        (tr("mean wait"), compare(units.format_age, "mean_wait")),
        (tr("longest wait"), compare(units.format_age, "longest_wait")),
        (tr("all done in"), compare(units.format_age, "drained_in")),
    ]
    resources = list(dict.fromkeys([*before["hours"], *after["hours"]]))
    facts += [
        (
            tr("{resource} hours", resource=sanitize(name)),
            compare(lambda hours: f"{hours:,.1f}", "hours", name),
        )
        for name in resources
        if name != "memory" and (before["hours"].get(name) or after["hours"].get(name))
    ]
    missed = Counter[str](one["rule"] for one in before["missed"])
    will_miss = Counter[str](one["rule"] for one in after["missed"])
    facts += [
        (
            tr("missed"),
            tr(
                "{rule}: {before} → {after} tasks",
                rule=sanitize(rule),
                before=missed[rule],
                after=will_miss[rule],
            ),
        )
        for rule in sorted(missed | will_miss)
    ]
    for pool, ratios in after["use"].items():
        used = [
            f"{sanitize(name)} {compare(_format_share, 'use', pool, name)}"
            for name, ratio in ratios.items()
            if ratio or before["use"].get(pool, {}).get(name)
        ]
        if used:
            text = tr("pool {pool}: {use}", pool=sanitize(pool), use=", ".join(used))
            facts.append((tr("in use"), text))
    return facts


def _find(side: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """Return a figure of one side of the answer, None if there is none."""
    value: Any = side
    for key in path:
        value = value.get(key)
        if value is None:
            return None
    return value


def _format_share(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def list_notes(found: Mapping[str, Any]) -> list[str]:
    """Return what the forecast leaves out, in sanitized words."""
    notes: list[str] = []
    if found["simulated"] < found["waiting"]:
        notes.append(
            tr(
                "simulated the first {simulated:,} of {waiting:,} waiting tasks.",
                simulated=found["simulated"],
                waiting=found["waiting"],
            )
        )
    if unknown := found["after"]["unknown"]:
        notes.append(
            tr_n(
                unknown,
                "{n:,} task has no expected start after the changes: –. Similar runs or a"
                " --timeout would tell it.",
                "{n:,} tasks have no expected start after the changes: –. Similar runs or a"
                " --timeout would tell it.",
            )
        )
    if held := found["held"]:
        notes.append(
            tr_n(
                held,
                "{n:,} new task waits for a release or a failure, and is left out.",
                "{n:,} new tasks wait for a release or a failure, and is left out.",
            )
        )
    if found["halted"]:
        why = sanitize(found["halted"])
        notes.append(tr("nothing starts: {why}. The forecast is as if it did.", why=why))
    return notes
