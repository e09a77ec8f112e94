"""One task as sections of lines: how it runs, how it ended, what it is, what happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.core import amounts
from app.core.clean import MASK, is_secret_name, pad, width
from app.tui.doc import Row, Section, wrap
from app.tui.equal import as_typed, launch_text, quoted, spec_of, submit_words
from app.tui.facts import ACTIVE, WAITING, Facts, took
from app.tui.look import STATES, STRANGE


def now(facts: Facts) -> Section:
    """What it uses beside what it asked for."""
    task, line, run, own = facts.task, facts.line, facts.runs[0], facts.look.own
    used_cpu, used_memory = (line.measured_cpu, line.measured_memory) if line else (None, None)
    ran, peak = facts.ago(run["start_time"]), _most(run["max_rss"], used_memory)
    rows = [
        _use(facts, "cpu", used_cpu, task["cpu"], amounts.cpu(used_cpu), "", amounts.plain(task["cpu"])),
        _use(facts, "memory", used_memory, task["memory"] or None, amounts.memory(used_memory), amounts.memory(peak),
             amounts.memory(task["memory"]) if task["memory"] else "nothing"),
        _use(facts, "time", ran, task["timeout"], amounts.duration(ran), "",
             amounts.duration(task["timeout"]) if task["timeout"] else "no limit"),
    ]  # fmt: skip
    if task["memory"] and (used_memory or 0.0) >= task["memory"] * 0.95:
        share = amounts.percent(used_memory, task["memory"])
        rows.append(Row(((f"! memory is at {share} of what it asked; it is warned, not stopped.", "warn"),)))
    return Section("Now", tuple(rows), ((20, own("NOW")), (32, "PEAK"), (44, "ASKED")))


def _use(facts: Facts, name: str, part: float | None, whole: float | None, used: str, peak: str, asked: str) -> Row:
    bar = facts.look.bar(part or 0.0, whole, 10) if whole else ""
    high = bool(whole) and (part or 0.0) >= 0.95 * (whole or 0.0)
    text = f"{name:<7}{bar:<11}{facts.look.own(used):<12}{facts.look.own(peak):<12}{asked}"
    return Row(((text, "bold" if high else ""),))


def _most(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def ended(facts: Facts) -> Section:
    """The end in words, the last lines of the log, what it took."""
    run = next(iter(facts.runs), None)
    said = wrap(_ending(facts, run), facts.room - 4)
    rows = [Row(((text, ""),)) for text in said]
    rows += [Row(((f"  {facts.look.theirs(text)}", ""),)) for text in facts.tail]
    if run and run["start_time"]:
        rows.append(Row(((_figures(facts, run), "dim"),)))
    return Section("How it ended", tuple(rows))


def _ending(facts: Facts, run: Mapping[str, Any] | None) -> str:
    task, own = facts.task, facts.look.theirs
    reason = own(task["reason"] or (run or {}).get("reason") or "")
    word = STATES.get(task["status"], STRANGE).word
    if run is None or not run["start_time"]:
        return f"It was {word} before it started" + (f": {reason}." if reason else ".")
    said = reason if reason.startswith(word) else f"{word}: {reason}" if reason else word
    text = f"{own(_program(task))} {'was ' if task['status'] == 'cancelled' else ''}{said}"
    text += "" if reason else f" in {amounts.duration(took(facts, run))}"
    return f"{text}. Last lines of the log:" if facts.tail else f"{text}. It wrote nothing."


def _program(task: Mapping[str, Any]) -> str:
    if task["template"]:
        return str(task["template"])
    argv = (task.get("launch") or {}).get("argv")
    return str(argv[0]).rpartition("/")[2] if argv else "The script"


def _figures(facts: Facts, run: Mapping[str, Any]) -> str:
    asked = f" of {amounts.memory(facts.task['memory'])} asked" if facts.task["memory"] else ""
    signal = f"signal {run['signal']}" if run["signal"] is not None else "no signal"
    peak = f"peak memory {amounts.memory(run['max_rss'])}{asked}"
    return facts.look.own(f"cpu {amounts.duration(run['cpu_seconds'])}   {peak}   {signal}")


def attempts(facts: Facts) -> Section:
    """Every run, latest first; each opens its log."""
    log = max(46, facts.room - 9)
    heads = ((16, "STARTED"), (29, "TOOK"), (37, "HOW"), (log, "LOG"))
    return Section(f"Attempts {len(facts.runs)}", tuple(_run(facts, run, log - 38) for run in facts.runs), heads)


def _run(facts: Facts, run: Mapping[str, Any], room: int) -> Row:
    sign = STATES.get(run["status"], STRANGE)
    live = run["status"] in ACTIVE
    how = f"pid {run['pid']}" if live and run["pid"] else facts.look.theirs(run["reason"] or "")
    state = pad(f"{run['attempt']} {facts.look.glyph(sign)} {sign.word}", 14)
    times = pad(facts.clock(run["start_time"]), 13) + pad(amounts.duration(took(facts, run)), 8)
    size = "" if live else amounts.size(run["log_bytes"])
    text = f"{state}{times}{pad(facts.look.cut(how, room), room)} {size}"
    return Row(((facts.look.own(text), sign.style if live else ""),), f"attempt:{run['attempt']}")


def relatives(facts: Facts) -> Iterator[Section]:
    """The tasks it waits for, and those that wait for it."""
    for key, name in (("parents", "After"), ("children", "Waiting for it")):
        found = facts.task.get(key) or ()
        if found:
            yield Section(f"{name} {len(found)}", tuple(_relative(facts, other) for other in found))


def _relative(facts: Facts, other: Mapping[str, Any]) -> Row:
    sign = STATES.get(other["status"], STRANGE)
    kind = "however it ends" if other["kind"] == "any" else "only after a success"
    name = facts.look.cut(facts.look.theirs(other["name"]), 28, "middle")
    text = f"{other['number']:>5} {facts.look.glyph(sign)} {pad(name, 29)} {sign.word:<10} {kind}"
    return Row(((text, ""),), f"task:{other['number']}")


def alerts(facts: Facts) -> Iterator[Section]:
    """The SLAs that came true on it."""
    theirs = facts.look.theirs
    lines = [line for line in facts.board.alerts if line.uuid == facts.task["uuid"]] if facts.board else []
    rows = [Row(((f"{pad(theirs(line.sla), 18)} {theirs(line.why)}   {line.status}", "warn"),)) for line in lines]
    if rows:
        yield Section("SLA", tuple(rows))


def definition(facts: Facts) -> Section:
    """Template, command, place, what it asks for."""
    task, own = facts.task, facts.look.theirs
    pairs: list[tuple[str, str]] = []
    if task["template"]:
        pairs.append(("template", f"{own(task['template'])}   {_parameters(facts)}".rstrip()))
    pairs.append(("command", own(launch_text(task["launch"] or {})) or amounts.MISSING))
    names = f"   env {task['env_names']} names" if task.get("env_names") is not None else ""
    pairs.append(("in", f"{own(task['cwd'])}{names}"))
    pairs.append(("asks", _asks(facts)))
    pairs.append(("queue", f"{own(task['queue'])}   priority {task['priority']}   by {own(task['submitted_by'])}"))
    if task["tags"]:
        pairs.append(("tags", own("  ".join(f"{k}={v}" for k, v in task["tags"].items()))))
    if task["status"] not in WAITING and task["status"] not in ACTIVE:
        pairs.append(("again", own(quoted(submit_words(spec_of(task))))))
    return Section("Task", tuple(row for name, text in pairs for row in _pair(facts, name, text)))


def _pair(facts: Facts, name: str, text: str) -> Iterator[Row]:
    first, *more = wrap(text, facts.room - 14)
    yield Row(((f"{name:<10}", "dim"), (first, "")))
    for line in more[:3]:
        yield Row(((" " * 10, ""), (line, "")))


def _parameters(facts: Facts) -> str:
    given = facts.task["parameters"] or {}
    return facts.look.theirs("  ".join(f"{k}={MASK if is_secret_name(k) else as_typed(v)}" for k, v in given.items()))


def _asks(facts: Facts) -> str:
    task = facts.task
    memory = amounts.memory(task["memory"]) if task["memory"] else "none"
    limit = amounts.duration(task["timeout"]) if task["timeout"] else "none"
    every = f" every {amounts.duration(task['retry_delay'])}" if task["retries"] else ""
    return f"cpu {amounts.plain(task['cpu'])}   memory {memory}   timeout {limit}   retries {task['retries']}{every}"


def history(facts: Facts) -> Section:
    """What happened to it, oldest first, two events a line where they fit."""
    texts = [_event(facts, event) for event in _told_once(facts.task.get("events") or ())]
    column = (facts.room - 4) // 2
    rows: list[str] = []
    half = False
    for text in texts:
        joins = half and width(text) <= column
        if joins:
            rows[-1] = pad(rows[-1], column) + text
        else:
            rows.append(text)
        half = not joins and width(text) < column
    return Section("History", tuple(Row(((text, ""),)) for text in rows))


def _told_once(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events without those of the task that only repeat what its run did."""
    events = list(events)
    of_runs = {(event["status"], event["at"][:19]) for event in events if event.get("runid")}
    return [event for event in events if event.get("runid") or (event["status"], event["at"][:19]) not in of_runs]


def _event(facts: Facts, event: Mapping[str, Any]) -> str:
    own = facts.look.theirs
    attempt = next((f"attempt {run['attempt']} " for run in facts.runs if run["runid"] == event.get("runid")), "")
    word = STATES[event["status"]].word if event["status"] in STATES else own(event["status"])
    by = f" by {own(event['by'])}" if event.get("by") and event["by"] != "taskdeck" else ""
    note = f": {own(event['note'])}" if event.get("note") else ""
    return facts.look.own(f"{facts.clock(event['at'])}  {attempt}{word}{by}{note}")
