"""One task as sections of lines: how it runs, how it ended, its attempts, what it is and asks for, its SLAs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from app.core.text import units
from app.core.text.sanitize import MASK, is_secret_name, pad, width
from app.core.text.status_glyphs import BAD
from app.tui.actions import right_size
from app.tui.actions.shell_command import as_typed, launch_text, quoted, spec_of, submit_words
from app.tui.pages.task_facts import Facts, ends_in, only_by_when, took
from app.tui.style import STATES, STRANGE, Span
from app.tui.widgets.document import Row, Section, wrap
from db.states import ACTIVE, WAITING

MAX_INDENT = 6
"""Levels that are indented; deeper ones stand below each other."""


def relatives(facts: Facts) -> Iterator[Section]:
    """The tasks it waits for, and those that wait for it, with theirs."""
    for key, name in (("parents", "After"), ("children", "Waiting for it")):
        lines = facts.about["tree"][key]
        if lines:
            direct = sum(line.get("more") or 1 for line in lines if not line["depth"])
            yield Section(f"{name} {units.count(direct)}", tuple(_line(facts, line) for line in lines))


def _line(facts: Facts, line: Mapping[str, Any]) -> Row:
    depth = min(line["depth"], MAX_INDENT)
    begin = facts.look.own(f"{'   ' * depth}└─ " if depth else "")
    if line["more"]:
        return Row(((facts.look.own(f"{begin or '      '}… and {units.count(line['more'])} more"), "dim"),))
    sign = STATES.get(line["status"], STRANGE)
    word = line["status"] if line["status"] == "removed" else sign.word
    kind = "however it ends" if line["kind"] == "any" else "only after a success"
    name_at = f"{begin}{line['number']:>{0 if depth else 5}} {facts.look.glyph(sign)} "
    room = max(8, min(42, facts.room // 2) - width(name_at))
    name = pad(facts.look.cut(facts.look.theirs(line["name"]), room, "middle"), room)
    tail = facts.look.own("its own are told above") if line["again"] else kind
    target = "" if word == "removed" else f"task:{line['uuid']}"
    return Row(((f"{name_at}{name} {word:<10} ", ""), (tail, "dim")), target)


HIGH = 0.95
"""The share of what was asked from which its use is marked."""
WITH_HISTORY = 76
"""Cells from which the last half hour has its place."""
SHOWN_LINES, DEEPEST = 12, 8
"""Lines, and levels that are indented, of a parameter that has parts."""


def now(facts: Facts) -> Section:
    """What it uses beside what it asked for: now, at most, and over the last half hour."""
    task, use, line = facts.task, facts.about["use"] or {}, facts.line
    measured = (line.measured_cpu, line.measured_memory) if line else (None, None)
    used_cpu, used_memory = (use.get(name) if part is None else part for name, part in zip(("cpu", "memory"), measured, strict=True))
    peak = _most(facts.runs[0]["max_rss"], used_memory, use.get("most_memory"))
    most_cpu = units.cpu(use["most_cpu"]) if use else ""
    asked = units.memory(task["memory"]) if task["memory"] else "nothing"
    rows = [
        _use(facts, "cpu", used_cpu, task["cpu"], (units.cpu(used_cpu), most_cpu, units.plain(task["cpu"]))),
        _use(facts, "memory", used_memory, task["memory"] or None, (units.memory(used_memory), units.memory(peak), asked)),
        _time(facts),
    ]  # fmt: skip
    if task["memory"] and (used_memory or 0.0) >= task["memory"] * HIGH:
        share = units.percent(used_memory, task["memory"])
        rows.append(Row(((f"! memory is at {share} of what it asked; it is warned, not stopped.", "warn"),)))
    last = f"LAST {units.age(use['cell'] * 10)}" if use and facts.room >= WITH_HISTORY else ""
    return Section("Now", tuple(rows), ((20, "NOW"), (32, "PEAK"), (44, "ASKED"), (56, last)))


def _use(facts: Facts, name: str, part: float | None, whole: float | None, shown: tuple[str, str, str]) -> Row:
    bar = facts.look.two_tone(part or 0.0, whole, whole, 10) if whole else ""
    high = bool(whole) and (part or 0.0) >= HIGH * (whole or 0.0)
    cells = (facts.about["use"] or {}).get(f"{name}_cells") or ()
    last = f"{'! ' if high else '  '}{facts.look.spark(cells, 10, max([whole or 0.0, *cells]))}" if cells else ""
    return Row(((_columns(facts, name, bar, *shown, last), "bold" if high else ""),))


def _time(facts: Facts) -> Row:
    """How long it has run, beside its usual time and its limit."""
    limit, ran = facts.task["timeout"], facts.ago(facts.runs[0]["start_time"])
    usual = (facts.past or {}).get("usual")
    bar = facts.look.bar(ran or 0.0, limit, 10) if limit else ""
    about = f"usual {units.age(usual['median'])}" if usual else ""
    asked = units.duration(limit) if limit else "no limit"
    last = f"  {units.count(usual['n'])} runs, p95 {units.age(usual['p95'])}" if usual else ""
    return Row(((_columns(facts, "time", bar, units.duration(ran), about, asked, last), ""),))


def _columns(facts: Facts, name: str, bar: str, now: str, peak: str, asked: str, last: str) -> str:
    """A row of the table; what is last only where there is room for it."""
    text = f"{name:<7}{bar:<11}{now:<12}{peak:<12}{asked:<10}{last if facts.room >= WITH_HISTORY else ''}"
    return facts.look.own(text.rstrip())


def _most(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


# -- how it ended ------------------------------------------------------------------------------------------------


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
    text += "" if reason else f" in {units.duration(took(facts, run))}"
    return f"{text}. Last lines of the log:" if facts.tail else f"{text}. It wrote nothing."


def _program(task: Mapping[str, Any]) -> str:
    if task["template"]:
        return str(task["template"])
    argv = (task.get("launch") or {}).get("argv")
    return str(argv[0]).rpartition("/")[2] if argv else "The script"


def _figures(facts: Facts, run: Mapping[str, Any]) -> str:
    asked = f" of {units.memory(facts.task['memory'])} asked" if facts.task["memory"] else ""
    signal = f"signal {run['signal']}" if run["signal"] is not None else "no signal"
    peak = f"peak memory {units.memory(run['max_rss'])}{asked}"
    return facts.look.own(f"cpu {units.duration(run['cpu_seconds'])}   {peak}   {signal}")


def attempts(facts: Facts) -> Section:
    """Every run, latest first; each opens its log."""
    log = max(46, facts.room - 9)
    heads = ((16, "STARTED"), (29, "TOOK"), (37, "HOW"), (log, "LOG"))
    return Section(f"Attempts {len(facts.runs)}", tuple(_run(facts, run, log - 38) for run in facts.runs), heads)


def _run(facts: Facts, run: Mapping[str, Any], room: int) -> Row:
    sign = STATES.get(run["status"], STRANGE)
    live = run["status"] in ACTIVE
    how = _pid(facts, run) if live and run["pid"] else facts.look.theirs(run["reason"] or "")
    state = pad(f"{run['attempt']} {facts.look.state(sign)}", 14)
    times = pad(facts.clock(run["start_time"]), 13) + pad(units.duration(took(facts, run)), 8)
    size = "" if live else units.size(run["log_bytes"])
    text = f"{state}{times}{pad(facts.look.cut(how, room), room)} {size}"
    return Row(((facts.look.own(text), sign.style if live else ""),), f"attempt:{run['attempt']}")


def _pid(facts: Facts, run: Mapping[str, Any]) -> str:
    """`pid 41877, 5 processes`."""
    count = (facts.about["use"] or {}).get("processes") or 1
    return f"pid {run['pid']}" + (f", {units.count(count)} processes" if count > 1 else "")


# -- SLAs --------------------------------------------------------------------------------------------------------


def slas(facts: Facts) -> Iterator[Section]:
    """The rules that it must keep, with the time there is to spare; and what is said of it by rules that are no more."""
    rules = facts.about["slas"]
    known = {rule["name"] for rule in rules}
    lines = [line for line in facts.board.alerts if line.uuid == facts.task["uuid"]] if facts.board else []
    states = {line.sla: f"acked {line.by}" if line.status == "acknowledged" else line.status for line in lines}
    rows = [_rule(facts, rule, states.get(rule["name"], "")) for rule in rules]
    rows += [_alert(facts, line) for line in lines if line.sla not in known]
    if rows:
        yield Section("SLA", tuple(rows))


def _alert(facts: Facts, line: Any) -> Row:
    name = pad(facts.look.cut(facts.look.theirs(line.sla), 18), 18)
    return Row(((f"{name} {facts.look.theirs(line.why)}   {line.status}", "warn"),))


def _rule(facts: Facts, rule: Mapping[str, Any], state: str) -> Row:
    name = pad(facts.look.cut(facts.look.theirs(rule["name"]), 18), 18)
    text, style = _kept(facts, rule)
    told = f"   {facts.look.theirs(state)}" if state and rule["done"] is None else ""
    return Row(((f"{name} ", ""), (facts.look.own(text), style), (told, "warn")))


def _kept(facts: Facts, rule: Mapping[str, Any]) -> Span:
    """`must end by 11:30   on time, 40m to spare`, and how that is drawn."""
    finishes = rule["preset"] == "finishes-within"
    word, due = ("end" if finishes else "start"), facts.clock_at(rule["due"])
    if rule["done"] is not None:
        spare = rule["due"] - rule["done"]
        well = not (finishes and facts.status in (*BAD, "cancelled"))
        done = ("ended" if finishes else "started") if well else STATES[facts.status].word
        if spare < 0:
            return f"{done} {units.age(-spare)} late", "late"
        return f"{done} {'in' if well else 'within the'} time, {units.age(spare)} to spare", "well" if well else ""
    spare = rule["due"] - facts.now
    if spare < 0:
        return f"must {word} by {due}   {units.age(-spare)} late", "late"
    likely = _likely(facts, finishes)
    if likely is not None and likely > spare:
        return f"must {word} by {due}   likely {units.age(likely - spare)} late", "warn"
    return f"must {word} by {due}   on time, {units.age(spare)} to spare", ""


def _likely(facts: Facts, finishes: bool) -> float | None:
    """Seconds until it ends or starts, as far as that is foreseen."""
    near = ends_in(facts) if finishes else facts.why.get("expected_in")
    return sum(near) / 2 if near and not only_by_when(near) else None


# -- what it is --------------------------------------------------------------------------------------------------


def definition(facts: Facts) -> Section:
    """Template, command, place, what it asks for and what was used of it."""
    task, own = facts.task, facts.look.theirs
    pairs: list[tuple[str, str]] = []
    if task["template"]:
        pairs.append(("template", f"{own(task['template'])}   {_on_one_line(facts)}".rstrip()))
    pairs.append(("command", own(launch_text(task["launch"] or {})) or units.MISSING))
    names = f"   env {task['env_names']} names" if task.get("env_names") is not None else ""
    pairs.append(("in", f"{own(task['cwd'])}{names}"))
    pairs.append(("asks", facts.look.own(_asks(facts))))
    pairs += [("used" if not at else "", facts.look.own(text)) for at, text in enumerate(_used(facts))]
    pairs.append(("queue", f"{own(task['queue'])}   priority {task['priority']}   by {own(task['submitted_by'])}"))
    if task["tags"]:
        pairs.append(("tags", own("  ".join(f"{k}={v}" for k, v in task["tags"].items()))))
    if task.get("pinned"):
        pairs.append(("pinned", "no cleanup takes it"))
    if task["status"] not in WAITING and task["status"] not in ACTIVE:
        pairs.append(("again", own(quoted(submit_words(spec_of(task))))))
    opens = {"template": f"template:{task['template']}"}
    return Section("Task", tuple(row for name, text in pairs for row in _pair(facts, name, text, opens.get(name, ""))))


def _pair(facts: Facts, name: str, text: str, target: str) -> Iterator[Row]:
    first, *more = wrap(text, facts.room - 14)
    yield Row(((f"{name:<10}", "dim"), (first, "")), target)
    for line in more[:3]:
        yield Row(((" " * 10, ""), (line, "")))
    if len(more) > 3:
        yield Row(((" " * 10 + facts.look.ellipsis, "dim"),))


def _asks(facts: Facts) -> str:
    task = facts.task
    memory = units.memory(task["memory"]) if task["memory"] else "none"
    limit = units.setting(task["timeout"]) if task["timeout"] else "none"
    every = f" every {units.setting(task['retry_delay'])}" if task["retries"] else ""
    return f"cpu {units.plain(task['cpu'])}   memory {memory}   timeout {limit}   retries {task['retries']}{every}"


def _used(facts: Facts) -> Iterator[str]:
    """What past runs used at most, where it is known; and what `m` would ask for."""
    if past := facts.past:
        parts = [f"cpu {units.plain(round(past['cpu_most'], 1))}"] if past["cpu_most"] else []
        parts += [f"memory {units.memory(past['memory_most'])}"] if past["memory_most"] else []
        if parts:
            kind = {"template": "of this template", "name": "of this name", "like": "of names like it"}[past["of"]]
            yield f"{'   '.join(parts)}   at most, in {units.count(past['n'])} past runs {kind}"
    if found := right_size.changes(facts.task, facts.about["fit"]):
        key = "m" if facts.status in WAITING | ACTIVE else "M" if facts.task["template"] else ""
        what = {"m": "asks for what was used", "M": "makes it the template's"}.get(key)
        yield f"{key} {what}: {', '.join(map(str, found))}" if what else f"by that it would ask {', '.join(map(str, found))}"


# -- parameters --------------------------------------------------------------------------------------------------


def parameters(facts: Facts) -> Iterator[Section]:
    """Parameters a line each, those with parts indented; nothing when one line in the section above has told them."""
    given = facts.task["parameters"] or {}
    if given and not _fits_one_line(facts):
        column = max(10, *(min(26, width(facts.look.theirs(name)) + 2) for name in given))
        rows = [row for name, value in given.items() for row in _parameter(facts, name, value, column)]
        yield Section(f"Parameters {len(given)}", tuple(rows))


def _on_one_line(facts: Facts) -> str:
    return _joined(facts) if _fits_one_line(facts) else ""


def _fits_one_line(facts: Facts) -> bool:
    """Whether the parameters are simple enough for the line of the template."""
    given = facts.task["parameters"] or {}
    if not facts.task["template"] or any(isinstance(value, (dict, list)) and value for value in given.values()):
        return False
    return width(facts.look.theirs(facts.task["template"])) + 3 + width(_joined(facts)) <= 2 * (facts.room - 14)


def _joined(facts: Facts) -> str:
    given = facts.task["parameters"] or {}
    return facts.look.theirs("  ".join(f"{k}={MASK if is_secret_name(k) else as_typed(v)}" for k, v in given.items()))


def _parameter(facts: Facts, name: str, value: Any, column: int) -> Iterator[Row]:
    label = facts.look.cut(facts.look.theirs(name), column - 2)
    written = _written(hidden(name, value), max(20, facts.room - column - 4))
    for at, line in enumerate(islice(written, SHOWN_LINES + 1)):
        text = facts.look.theirs(line) if at < SHOWN_LINES else facts.look.own("… more: y copies the line with all of it")
        yield Row(((pad("" if at else label, column), "dim"), (text, "")))


def _written(value: Any, room: int) -> Iterator[str]:
    """A value as a person would type it; JSON that does not fit a line of so many cells with its parts a line each."""
    return _json(value, "", "", room) if isinstance(value, (dict, list)) else iter(as_typed(value).split("\n"))


def _json(value: Any, begin: str, end: str, room: int, depth: int = 0) -> Iterator[str]:
    line = f"{'  ' * depth}{begin}{json.dumps(value, ensure_ascii=False)}{end}"
    if len(line) <= room or not value or depth == DEEPEST or not isinstance(value, (dict, list)):
        yield line
        return
    named = value.items() if isinstance(value, dict) else [(None, one) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield f"{'  ' * depth}{begin}{opening}"
    for at, (name, one) in enumerate(named, 1):
        label = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
        yield from _json(one, label, "," if at < len(value) else "", room, depth + 1)
    yield f"{'  ' * depth}{closing}{end}"


def hidden(name: str, value: Any, depth: int = 0) -> Any:
    """A value without what looks secret, however deep it lies; what lies deeper than anybody writes is not looked through."""
    if is_secret_name(name) or depth > 10 * DEEPEST:
        return MASK
    if isinstance(value, dict):
        return {inner: hidden(str(inner), one, depth + 1) for inner, one in value.items()}
    return [hidden("", one, depth + 1) for one in value] if isinstance(value, list) else value
