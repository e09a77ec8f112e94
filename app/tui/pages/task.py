"""Task page: current use, end, attempts, definition, parameters and SLA rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app.core.dependency_kinds import KIND_WORDS
from app.core.notifications.notices import describe_recipient
from app.core.scheduling.devices import format_devices
from app.core.scheduling.resources import list_named
from app.core.text import units
from app.core.text.joining import end_sentence, join_colon
from app.core.text.left_text import describe_left
from app.core.text.sanitize import measure_width, pad
from app.core.text.status_glyphs import get_run_status
from app.translation import tr, tr_noop
from app.tui.actions import right_size
from app.tui.actions.shell_command import (
    build_repeat_words,
    format_launch,
    format_typed_value,
    quote_words,
)
from app.tui.pages.task_facts import TaskContext, estimate_end, is_open_range, measure_run
from app.tui.style import STATES, UNKNOWN, Span, get_load_style
from app.tui.widgets.document import DocRow, Section, wrap_text
from db.states import ACTIVE, ENDED, WAITING

MAX_INDENT = 6
"""Maximum indented levels; deeper tasks are listed without further indentation."""


def build_dependency_sections(facts: TaskContext) -> Iterator[Section]:
    """Yield the sections of parents and children, each a tree."""
    for key, name in (("parents", tr("After")), ("children", tr("Waiting for it"))):
        lines = facts.about["tree"][key]
        if lines:
            direct = sum(line.get("more") or 1 for line in lines if not line["depth"])
            yield Section(
                f"{name} {units.format_count(direct)}",
                tuple(_build_row(facts, line) for line in lines),
            )


def _build_row(facts: TaskContext, line: Mapping[str, Any]) -> DocRow:
    depth = min(line["depth"], MAX_INDENT)
    begin = facts.look.adapt_text(f"{'   ' * depth}└─ " if depth else "")
    if line["more"]:
        return DocRow(
            (
                (
                    facts.look.adapt_text(
                        (begin or "      ")
                        + tr("… and {more} more", more=units.format_count(line["more"]))
                    ),
                    "dim",
                ),
            )
        )
    sign = STATES.get(line["status"], UNKNOWN)
    removed = line["status"] == "removed"
    word = tr("removed") if removed else sign.word
    kind = tr(KIND_WORDS.get(line["kind"]) or "") or facts.look.sanitize(line["kind"])
    name_at = f"{begin}{line['number']:>{0 if depth else 5}} {facts.look.glyph(sign)} "
    room = max(8, min(42, facts.room // 2) - measure_width(name_at))
    name = pad(facts.look.cut(facts.look.sanitize(line["name"]), room, "middle"), room)
    tail = facts.look.adapt_text(tr("dependencies shown above")) if line["again"] else kind
    target = "" if removed else f"task:{line['uuid']}"
    return DocRow(((f"{name_at}{name} {pad(word, 10)} ", ""), (tail, "dim")), target)


_USE_HEADS = ((20, tr_noop("NOW")), (32, tr_noop("PEAK")), (44, tr_noop("REQUEST")))
_RUN_HEADS = ((16, tr_noop("STARTED")), (29, tr_noop("TOOK")), (37, tr_noop("HOW")))


def _translate_heads(
    heads: Sequence[tuple[int, str]], *more: tuple[int, str]
) -> tuple[tuple[int, str], ...]:
    """Return the headings with their cells, and those of `more` behind them."""
    return (*((at, tr(head)) for at, head in heads), *more)


HIGH_SHARE = 0.95
"""Share of the request from which use is highlighted."""
HISTORY_CELLS = 76
"""Minimum width in cells for the last half hour."""
MAX_LINES, MAX_DEPTH = 12, 8
"""Maximum lines and indented levels of a structured parameter."""


def build_slurm_section(facts: TaskContext) -> Iterator[Section]:
    """Yield what Slurm says of a run, with the command that helps; nothing of other runs."""
    for reason in facts.why.get("reasons") or ():
        text = facts.look.sanitize(facts.look.adapt_text(reason["text"]))
        rows = tuple(DocRow(((line, ""),)) for line in wrap_text(text, facts.room - 4))
        yield Section(tr("In Slurm"), rows)


def build_use_section(facts: TaskContext) -> Section:
    """Return use and request: now, peak, and the last half hour."""
    task, use, line = facts.task, facts.about["use"] or {}, facts.line
    measured = (line.measured_cpu, line.measured_memory) if line else (None, None)
    used_cpu, used_memory = (
        use.get(name) if part is None else part
        for name, part in zip(("cpu", "memory"), measured, strict=True)
    )
    peak = _find_maximum(facts.runs[0]["max_rss"], used_memory, use.get("most_memory"))
    most_cpu = units.format_cpu(use["most_cpu"]) if use else ""
    request_text = units.format_memory(task["memory"]) if task["memory"] else tr("Nothing").lower()
    rows = [
        _build_use_row(facts, "cpu", used_cpu, task["cpu"],
        (units.format_cpu(used_cpu), most_cpu, units.format_number(task["cpu"]))),
        _build_use_row(facts, "memory", used_memory, task["memory"] or None,
        (units.format_memory(used_memory), units.format_memory(peak), request_text)),
        _build_time_row(facts),
    ]  # fmt: skip
    if task["memory"] and (used_memory or 0.0) >= task["memory"] * HIGH_SHARE:
        share = units.format_percent(used_memory, task["memory"])
        rows.append(
            DocRow(
                (
                    (
                        tr(
                            "! memory is at {share} of the request; the job is not stopped.",
                            share=share,
                        ),
                        "warn",
                    ),
                )
            )
        )
    last = (
        tr("LAST {age}", age=units.format_age(use["cell"] * 10))
        if use and facts.room >= HISTORY_CELLS
        else ""
    )
    return Section(tr("Now"), tuple(rows), _translate_heads(_USE_HEADS, (56, last)))


def _build_use_row(
    facts: TaskContext,
    name: str,
    part: float | None,
    whole: float | None,
    shown: tuple[str, str, str],
) -> DocRow:
    load = get_load_style(part, whole)
    bar = facts.look.draw_two_tone(part or 0.0, whole, whole, 10, load) if whole else ""
    high = bool(whole) and (part or 0.0) >= HIGH_SHARE * (whole or 0.0)
    cells = (facts.about["use"] or {}).get(f"{name}_cells") or ()
    last = ""
    if cells:
        sparkline = facts.look.draw_sparkline(cells, 10, max([whole or 0.0, *cells]))
        last = f"{'! ' if high else '  '}{sparkline}"
    return _build_bar_row(facts, name, bar, load, shown, last)


def _build_time_row(facts: TaskContext) -> DocRow:
    """Return the run time with usual duration and timeout."""
    limit, ran = facts.task["timeout"], facts.seconds_since(facts.runs[0]["start_time"])
    usual = (facts.past_use or {}).get("usual")
    bar = facts.look.draw_bar(ran or 0.0, limit, 10) if limit else ""
    about = tr("usual {age}", age=units.format_age(usual["median"])) if usual else ""
    request_text = units.format_duration(limit) if limit else tr("no limit")
    last = (
        tr(
            "  {count} runs, p95 {age}",
            count=units.format_count(usual["n"]),
            age=units.format_age(usual["p95"]),
        )
        if usual
        else ""
    )
    shown = units.format_duration(ran), about, request_text
    return _build_bar_row(facts, tr_noop("time"), bar, get_load_style(ran, limit), shown, last)


def _build_bar_row(
    facts: TaskContext, name: str, bar: str, load: str, shown: tuple[str, str, str], last: str
) -> DocRow:
    """Return a row of the table with its bar in the colour of the load.

    The last column is shown only if it fits.
    """
    now, peak, request_text = shown
    text = f"{pad(now, 12)}{pad(peak, 12)}{pad(request_text, 10)}"
    text += last if facts.room >= HISTORY_CELLS else ""
    return DocRow((
        (pad(tr(name), 7), ""),
        (f"{bar:<11}", load),
        (facts.look.adapt_text(text.rstrip()), "" if load == "calm" else load),
    ))  # fmt: skip


def _find_maximum(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


# -- end --


def build_end_section(facts: TaskContext) -> Section:
    """Return the end in words, the last log lines, and the use."""
    run = next(iter(facts.runs), None)
    lines = wrap_text(_describe_end(facts, run), facts.room - 4)
    rows = [DocRow(((text, ""),)) for text in lines]
    rows += [DocRow(((f"  {facts.look.sanitize(text)}", ""),)) for text in facts.tail]
    if run and run["start_time"]:
        rows.append(DocRow(((_format_use(facts, run), "dim"),)))
    return Section(tr("How it ended"), tuple(rows))


def _describe_end(facts: TaskContext, run: Mapping[str, Any] | None) -> str:
    task, own = facts.task, facts.look.sanitize
    reason = own(task["reason"] or (run or {}).get("reason") or "")
    sign = STATES.get(task["status"], UNKNOWN)
    word = sign.word
    if run is None or not run["start_time"]:
        begin = tr("The task was {word} before it started", word=word)
        return end_sentence(join_colon(begin, reason) if reason else begin)
    said = (
        reason
        if reason.startswith((word, sign.english))
        else join_colon(word, reason)
        if reason
        else word
    )
    said = tr("was {state}", state=said) if task["status"] == "cancelled" else said
    text = f"{own(_get_program_name(task))} {said}"
    text += "" if reason else tr(" in {took}", took=units.format_duration(measure_run(facts, run)))
    return (
        tr("{end}. Last lines of the log:", end=text)
        if facts.tail
        else tr("{end}. No output.", end=text)
    )


def _get_program_name(task: Mapping[str, Any]) -> str:
    if task["template"]:
        return str(task["template"])
    argv = (task.get("launch") or {}).get("argv")
    return str(argv[0]).rpartition("/")[2] if argv else tr("The script")


def _format_use(facts: TaskContext, run: Mapping[str, Any]) -> str:
    memory = facts.task["memory"]
    request_text = (
        tr(" of {memory} requested", memory=units.format_memory(memory)) if memory else ""
    )
    signal = (
        tr("signal {signal}", signal=run["signal"])
        if run["signal"] is not None
        else tr("no signal")
    )
    peak = tr(
        "peak memory {memory}{request_text}",
        memory=units.format_memory(run["max_rss"]),
        request_text=request_text,
    )
    return facts.look.adapt_text(
        tr("cpu {time}", time=units.format_duration(run["cpu_seconds"])) + f"   {peak}   {signal}"
    )


def build_attempts(facts: TaskContext) -> Section:
    """Return all runs, latest first; each opens its log."""
    log = max(46, facts.room - 9)
    heads = _translate_heads(_RUN_HEADS, (log, tr("LOG")))
    return Section(
        tr("Attempts {count}", count=len(facts.runs)),
        tuple(_build_run_row(facts, run, log - 38) for run in facts.runs),
        heads,
    )


def _build_run_row(facts: TaskContext, run: Mapping[str, Any], room: int) -> DocRow:
    live = run["status"] in ACTIVE
    sign = STATES.get(get_run_status(run["status"], run.get("outer_job")), UNKNOWN)
    how = (
        _format_pid(facts, run) if live and run["pid"] else facts.look.sanitize(run["reason"] or "")
    )
    if devices := format_devices(run.get("devices") or ()):
        how = f"GPU {facts.look.sanitize(devices)}{'   ' if how else ''}{how}"
    state = pad(f"{run['attempt']} {facts.look.state(sign)}", 14)
    times = pad(facts.format_time(run["start_time"]), 13) + pad(
        units.format_duration(measure_run(facts, run)), 8
    )
    size = "" if live else units.format_bytes(run["log_bytes"])
    text = f"{state}{times}{pad(facts.look.cut(how, room), room)} {size}"
    return DocRow(
        ((facts.look.adapt_text(text), sign.style if live else ""),), f"attempt:{run['attempt']}"
    )


def _format_pid(facts: TaskContext, run: Mapping[str, Any]) -> str:
    """Return `pid 41877, 5 processes`."""
    count = (facts.about["use"] or {}).get("processes") or 1
    return f"pid {run['pid']}" + (
        tr(", {count} processes", count=units.format_count(count)) if count > 1 else ""
    )


# -- SLA rules --


def build_slas(facts: TaskContext) -> Iterator[Section]:
    """Yield the rules of the task with their spare time, and alerts of deleted rules."""
    rules = facts.about["slas"]
    known = {rule["name"] for rule in rules}
    lines = (
        [line for line in facts.board.alerts if line.uuid == facts.task["uuid"]]
        if facts.board
        else []
    )
    states = {
        line.sla: tr("acked {by}", by=line.by)
        if line.status == "acknowledged"
        else _get_alert_word(line)
        for line in lines
    }
    rows = [_build_rule_row(facts, rule, states.get(rule["name"], "")) for rule in rules]
    rows += [_build_alert_row(facts, line) for line in lines if line.sla not in known]
    if rows:
        yield Section(tr("Rules"), tuple(rows))


def _get_alert_word(line: Any) -> str:
    return tr(line.status)


def _build_alert_row(facts: TaskContext, line: Any) -> DocRow:
    name = pad(facts.look.cut(facts.look.sanitize(line.sla), 18), 18)
    return DocRow(((f"{name} {facts.look.sanitize(line.why)}   {_get_alert_word(line)}", "warn"),))


def _build_rule_row(facts: TaskContext, rule: Mapping[str, Any], state: str) -> DocRow:
    name = pad(facts.look.cut(facts.look.sanitize(rule["name"]), 18), 18)
    text, style = _describe_compliance(facts, rule)
    state_text = f"   {facts.look.sanitize(state)}" if state and rule["done"] is None else ""
    return DocRow(((f"{name} ", ""), (facts.look.adapt_text(text), style), (state_text, "warn")))


def _describe_compliance(facts: TaskContext, rule: Mapping[str, Any]) -> Span:
    """Return `must end by 11:30   on time, 40m to spare` and its style."""
    finishes = rule["preset"] == "finishes-within"
    due = facts.format_timestamp(rule["due"])
    if rule["done"] is None and facts.status in ENDED:
        return facts.look.sanitize(rule["text"]), "late"
    if rule["done"] is not None:
        spare = rule["due"] - rule["done"]
        well = not (finishes and facts.status == "cancelled")
        done = (tr("ended") if finishes else tr("started")) if well else STATES[facts.status].word
        if spare < 0:
            return tr("{done} {age} late", done=done, age=units.format_age(-spare)), "late"
        age = units.format_age(spare)
        if not well:
            return tr("{done} within the time, {age} to spare", done=done, age=age), ""
        return tr("{done} in time, {age} to spare", done=done, age=age), "well"
    spare = rule["due"] - facts.now
    must = tr("must end by {due}", due=due) if finishes else tr("must start by {due}", due=due)
    if spare < 0:
        return tr("{must}   {age} late", must=must, age=units.format_age(-spare)), "late"
    soonest, latest = _forecast(facts, finishes)
    if latest > spare:
        late = tr("likely {age} late", age=units.format_age(soonest - spare))
        words = late if soonest > spare else tr("may be late")
        return f"{must}   {words}", "warn"
    return tr("{must}   on time, {age} to spare", must=must, age=units.format_age(spare)), ""


def _forecast(facts: TaskContext, finishes: bool) -> tuple[float, float]:
    """Return the forecast seconds until end or start; zeros if past runs do not tell."""
    near = estimate_end(facts) if finishes else facts.why.get("expected_in")
    return (near[0], near[-1]) if near and not is_open_range(near) else (0.0, 0.0)


# -- definition --


def build_definition(facts: TaskContext) -> Section:
    """Return template, command, directory, requests and past use."""
    task, own = facts.task, facts.look.sanitize
    pairs: list[tuple[str, str]] = []
    if task["template"]:
        pairs.append(
            (
                tr("template"),
                f"{own(task['template'])}   {_format_short_parameters(facts)}".rstrip(),
            )
        )
    pairs.append((tr("command"), own(format_launch(task["launch"] or {})) or units.MISSING))
    names = (
        tr("   env {env_names} names", env_names=task["env_names"])
        if task.get("env_names") is not None
        else ""
    )
    pairs.append((tr("in"), f"{own(task['cwd'])}{names}"))
    if task.get("output"):
        pairs.append((tr("output"), own(task["output"])))
    if task.get("error"):
        pairs.append((tr("error"), own(task["error"])))
    if task.get("stdin"):
        pairs.append((tr("input"), f"taskdeck send {task['number']} TEXT"))
    pairs.append((tr("requests"), facts.look.adapt_text(_format_request(facts))))
    pairs += [
        (tr("used") if not at else "", facts.look.adapt_text(text))
        for at, text in enumerate(_describe_use(facts))
    ]
    pairs.append(
        (
            tr("queue"),
            tr(
                "{queue}   priority {priority}   by {who}",
                queue=own(task["queue"]),
                priority=task["priority"],
                who=own(task["submitted_by"]),
            ),
        )
    )
    if told := describe_recipient(task.get("notify")):
        pairs.append((tr("tells"), own(told)))
    if task["tags"]:
        pairs.append((tr("tags"), own("  ".join(f"{k}={v}" for k, v in task["tags"].items()))))
    if task.get("pinned"):
        pairs.append((tr("pinned"), tr("no cleanup deletes it")))
    pairs += [(tr("left"), text) for text in describe_left(task.get("left") or ())]
    if task["status"] not in WAITING and task["status"] not in ACTIVE:
        pairs.append((tr("again"), own(quote_words(build_repeat_words(task)))))
    opens = {tr("template"): f"template:{task['template']}"}
    return Section(
        tr("Task"),
        tuple(
            row
            for name, text in pairs
            for row in _build_pair(facts, name, text, opens.get(name, ""))
        ),
    )


def _build_pair(facts: TaskContext, name: str, text: str, target: str) -> Iterator[DocRow]:
    first, *more = wrap_text(text, facts.room - 14)
    yield DocRow(((pad(name, 10), "dim"), (first, "")), target)
    for line in more[:3]:
        yield DocRow(((" " * 10, ""), (line, "")))
    if len(more) > 3:
        yield DocRow(((" " * 10 + facts.look.ellipsis, "dim"),))


def _format_request(facts: TaskContext) -> str:
    task = facts.task
    memory = units.format_memory(task["memory"]) if task["memory"] else tr("none")
    if task.get("oom_memory"):
        memory += tr(" (ran out of {memory})", memory=units.format_memory(task["oom_memory"]))
    limit = units.format_duration_setting(task["timeout"]) if task["timeout"] else tr("none")
    limit += f" ({task['early_signal']})" if task.get("early_signal") else ""
    every = (
        tr(" every {delay}", delay=units.format_duration_setting(task["retry_delay"]))
        if task["retries"]
        else ""
    )
    named = "".join(f"{part}   " for part in list_named(task.get("resources")))
    return tr(
        "cpu {cpu}   memory {memory}   {named}timeout {limit}   retries {retries}{every}",
        cpu=units.format_number(task["cpu"]),
        memory=memory,
        named=named,
        limit=limit,
        retries=task["retries"],
        every=every,
    ) + (
        tr("   on oom {retry_on_oom}", retry_on_oom=task["retry_on_oom"])
        if task.get("retry_on_oom")
        else ""
    )


def _describe_use(facts: TaskContext) -> Iterator[str]:
    """Yield the maximum use of past runs, if known, and the request that `m` would set."""
    if past := facts.past_use:
        parts = (
            [tr("cpu {cpu}", cpu=units.format_number(round(past["cpu_most"], 1)))]
            if past["cpu_most"]
            else []
        )
        parts += (
            [tr("memory {memory}", memory=units.format_memory(past["memory_most"]))]
            if past["memory_most"]
            else []
        )
        if parts:
            kind = {
                "template": tr("of this template"),
                "name": tr("of this name"),
                "like": tr("of similar names"),
            }[past["of"]]
            yield (
                tr(
                    "{parts}   peak of {count} past runs {kind}",
                    parts="   ".join(parts),
                    count=units.format_count(past["n"]),
                    kind=kind,
                )
            )
    if found := right_size.find_changes(facts.task, facts.about["fit"]):
        key = "m" if facts.status in WAITING | ACTIVE else "M" if facts.task["template"] else ""
        text = {
            "m": tr_noop("m requests what runs used: {changes}"),
            "M": tr_noop("M sets the template's defaults: {changes}"),
        }.get(key, tr_noop("suggested request: {changes}"))
        yield tr(text, changes=", ".join(map(str, found)))


# -- parameters --


def build_parameters(facts: TaskContext) -> Iterator[Section]:
    """Yield the parameters, unless the section above shows them on one line."""
    parameters = facts.task["parameters"] or {}
    if parameters and not _has_short_parameters(facts):
        column = max(
            10, *(min(26, measure_width(facts.look.sanitize(name)) + 2) for name in parameters)
        )
        rows = [
            row
            for name, value in parameters.items()
            for row in _build_parameter(facts, name, value, column)
        ]
        yield Section(tr("Parameters {count}", count=len(parameters)), tuple(rows))


def _format_short_parameters(facts: TaskContext) -> str:
    return _join_parameters(facts) if _has_short_parameters(facts) else ""


def _has_short_parameters(facts: TaskContext) -> bool:
    """Return True if the parameters fit on the line of the template."""
    parameters = facts.task["parameters"] or {}
    if not facts.task["template"] or any(
        isinstance(value, (dict, list)) and value for value in parameters.values()
    ):
        return False
    return measure_width(facts.look.sanitize(facts.task["template"])) + 3 + measure_width(
        _join_parameters(facts)
    ) <= 2 * (facts.room - 14)


def _join_parameters(facts: TaskContext) -> str:
    parameters = facts.task["parameters"] or {}
    return facts.look.sanitize(
        "  ".join(f"{k}={format_typed_value(v)}" for k, v in parameters.items())
    )


def _build_parameter(facts: TaskContext, name: str, value: Any, column: int) -> Iterator[DocRow]:
    label = facts.look.cut(facts.look.sanitize(name), column - 2)
    written = _iter_value_lines(value, max(20, facts.room - column - 4))
    for at, line in enumerate(islice(written, MAX_LINES + 1)):
        text = (
            facts.look.sanitize(line)
            if at < MAX_LINES
            else facts.look.adapt_text("… more: y copies the full command")
        )
        yield DocRow(((pad("" if at else label, column), "dim"), (text, "")))


def _iter_value_lines(value: Any, room: int) -> Iterator[str]:
    """Yield the lines of a value as typed; JSON that does not fit is split."""
    return (
        _iter_json_lines(value, "", "", room)
        if isinstance(value, (dict, list))
        else iter(format_typed_value(value).split("\n"))
    )


def _iter_json_lines(value: Any, begin: str, end: str, room: int, depth: int = 0) -> Iterator[str]:
    line = f"{'  ' * depth}{begin}{json.dumps(value, ensure_ascii=False)}{end}"
    if len(line) <= room or not value or depth == MAX_DEPTH or not isinstance(value, (dict, list)):
        yield line
        return
    named = value.items() if isinstance(value, dict) else [(None, one) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield f"{'  ' * depth}{begin}{opening}"
    for at, (name, one) in enumerate(named, 1):
        label = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
        yield from _iter_json_lines(one, label, "," if at < len(value) else "", room, depth + 1)
    yield f"{'  ' * depth}{closing}{end}"
