"""What an edit form works on: what is stored, what was typed over it, and what to ask of the runtime for it. Pure.

Only what differs from what is stored is sent, so a form never overwrites what others changed meanwhile in fields that were not
touched. Several rows are edited as one: a field in which they differ begins empty, and left empty it stays as it is in each.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from app.core import metrics
from app.core.text import units
from app.core.text.sanitize import clean, cut, valid_name
from app.tui.actions.tasks import Deed

NO_LIMIT = ("none", "no limit", "-")
MOST_SAID = 2
NOW = "now"
"""The time to start at that takes another away."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that can be changed. `parse` reads a text, with what the field `by` holds where there is one, or raises ValueError with
    the rest of a sentence; `show` writes it."""

    name: str
    label: str
    parse: Callable[..., Any]
    show: Callable[[Any], str]
    option: str = ""
    """How the command line calls it; "" for one that it sets in another way."""
    of: str = "entry"
    """The widget: entry, pick, choice."""
    size: int = 8
    """Cells; 0 for all there are."""
    hint: str = ""
    needed: bool = False
    """A new thing must have it."""
    blank: bool = False
    """It may be empty."""
    alone: bool = False
    """Only where one row is edited: names."""
    by: str = ""
    """The field that says how this one is read."""


def text(value: Any) -> str:
    """A text as it is; None is empty."""
    return "" if value is None else str(value)


def safe(value: Any) -> str:
    """A text of others, as it may stand in a field."""
    return clean(text(value))


def exact_size(mib: float | None) -> str:
    """MiB in the largest unit that takes nothing from it: `12G`, `1536M`."""
    if mib is None:
        return ""
    return f"{mib / 1024:.0f}G" if mib and mib % 1024 == 0 else f"{units.plain(mib)}M" if mib else "0"


def exact_time(seconds: float | None) -> str:
    """Seconds in the largest unit that takes nothing from them: `4h`, `90m`; empty for no limit."""
    if seconds is None:
        return ""
    unit, by = next((pair for pair in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if seconds and seconds % pair[1] == 0), ("s", 1))
    return f"{units.plain(seconds / by)}{unit}"


def limit(word: str) -> float | None:
    """A duration; nothing, `none` or `-` is no limit."""
    return None if not word or word.lower() in NO_LIMIT else units.parse_duration(word)


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number."""
    return lambda word: units.parse_int(word, low, high)


def name(word: str) -> str:
    """Reads a name."""
    if wrong := valid_name(word):
        raise ValueError(wrong)
    return word


def exact_moment(stamp: str | None) -> str:
    """A stored moment as a clock on the wall says it, to the second where it has some; empty for none."""
    if not stamp:
        return ""
    at = datetime.fromisoformat(stamp).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def moment(word: str) -> str:
    """Reads a time to start, and gives it with its zone; empty for at once."""
    return "" if word.lower() == NOW else units.parse_time(word, datetime.now(UTC)).astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing: its word, its fields, the field of rows that says which one it is, the field the cursor begins in."""

    word: str
    slots: tuple[Slot, ...]
    ident: str = "name"
    first: str = ""
    check: Callable[[Sheet], list[str]] = lambda sheet: []
    """What is wrong between the fields."""


PRIORITY = Slot("priority", "Priority", whole(-1_000_000, 1_000_000), text, "--priority", hint="higher first")
CPU = Slot("cpu", "CPU", units.parse_cpu, lambda cores: "" if cores is None else units.plain(cores), "--cpu", hint="cores")
MEMORY = Slot("memory", "Memory", units.parse_size, exact_size, "--memory")
NAME = Slot("name", "Name", name, safe, size=32, needed=True, alone=True)
DESCRIPTION = Slot("description", "Description", str, safe, "--description", size=0, blank=True)
STATUS = Slot("status", "State", str, text, of="choice")
STATES = (("active", "open"), ("paused", "paused"), ("draining", "draining"))

TASK = Kind(
    "task",
    (
        replace(NAME, option="--name"),
        Slot("queue", "Queue", str, text, "--queue", of="pick", size=20),
        PRIORITY,
        CPU,
        MEMORY,
        Slot("timeout", "Timeout", limit, exact_time, "--timeout", hint="empty: no limit", blank=True),
        Slot("retries", "Retries", whole(0, 10_000), text, "--retries", hint="further attempts after a failure"),
        Slot("retry_delay", "Retry delay", units.parse_duration, exact_time, "--retry-delay", hint="between two attempts"),
        Slot("at", "Start at", moment, exact_moment, "--at", size=24, hint="23:30, tomorrow 02:00, 2h, now", blank=True),
    ),
    ident="uuid",
    first="memory",
)
QUEUE = Kind(
    "queue",
    (
        Slot("capacity", "Capacity", whole(0, 100_000), text, "--capacity", hint="at once"),
        Slot("pool", "Pool", str, text, "--pool", of="pick", size=20),
        PRIORITY,
        DESCRIPTION,
        STATUS,
    ),
    first="capacity",
)
POOL = Kind("pool", (CPU, MEMORY, DESCRIPTION, STATUS), first="memory")
_EMPTY = {"capacity": "at once; empty: the pool's cores", "pool": "empty: default", "priority": "higher first; empty: 0"}
"""What a new queue gets in a field that is left empty."""
NEW_QUEUE = Kind("queue", (NAME, *(replace(slot, hint=_EMPTY.get(slot.name, slot.hint)) for slot in QUEUE.slots[:-1])), first="name")
NEW_POOL = Kind("pool", (NAME, replace(CPU, needed=True), replace(MEMORY, needed=True), DESCRIPTION), first="name")

ON_TASKS = (("finishes-within", "a task finishes within"), ("starts-within", "a task starts within"))
PRESETS = (*ON_TASKS, *((metric, f"{metric} stays below") for metric in metrics.METRICS))
"""What a rule may ask: something of tasks, or of a figure of Taskdeck itself, which is named in place of its preset."""
MATCH = ("template", "queue", "task", "tag")
SEVERITIES = (("critical", "critical"), ("warning", "warning"), ("info", "info"))
SWITCH = (("on", "on"), ("off", "off"))


def _tags(word: str) -> dict[str, str]:
    """Reads `team=ml host="big one"`."""
    try:
        pairs = [part.partition("=") for part in shlex.split(word)]
    except ValueError:
        pairs = [("", "", "")]
    if any(not key or not sign for key, sign, _ in pairs):
        raise ValueError(f"must be KEY=VALUE, not {units.quoted(word)}")
    return {key: value for key, _, value in pairs}


def _tags_text(tags: Mapping[str, str] | None) -> str:
    return clean(shlex.join(f"{key}={value}" for key, value in (tags or {}).items()))


def _to_come(word: str) -> str:
    """Reads a time to come, and leaves it as it was typed."""
    now = datetime.now(UTC)
    if units.parse_time(word, now) <= now:
        raise ValueError(f"must be a time to come, not {units.quoted(word)}")
    return word


def _limit_of_rule(word: str, what: str) -> str:
    """Reads a limit of what a rule asks, and writes a time in its largest unit."""
    if what in metrics.METRICS:
        value = metrics.parse(what, word)
        return exact_time(value) if metrics.unit(what) == metrics.SECONDS else word
    return exact_time(units.parse_duration(word))


def _no_match(sheet: Sheet) -> list[str]:
    """A rule on a figure is about no task."""
    what = sheet.text(sheet.slot("preset"))
    matched = [sheet.slot(name) for name in MATCH if what in metrics.METRICS and sheet.text(sheet.slot(name))]
    return [f"{slot.label} must be empty: {what} is about no task." for slot in matched]


RULE = Kind(
    "sla",
    (
        Slot("preset", "What", str, text, of="choice", size=28),
        Slot("value", "Limit", _limit_of_rule, text, needed=True, by="preset"),
        Slot("template", "Template", str, text, "--template", of="pick", size=24, blank=True),
        Slot("queue", "Queue", str, text, "--queue", of="pick", size=24, blank=True),
        Slot("task", "Task name", name, safe, "--task", size=24, hint="empty: any", blank=True),
        Slot("tag", "Tag", _tags, _tags_text, "--tag", size=24, hint="KEY=VALUE; empty: any", blank=True),
        Slot("severity", "Severity", str, text, "--severity", of="choice"),
        Slot("enabled", "Rule", lambda word: word == "on", lambda on: "on" if on else "off", of="choice"),
    ),
    first="value",
    check=_no_match,
)
NEW_RULE = Kind("sla", (replace(NAME, size=24), *RULE.slots[:-1]), first="name", check=_no_match)
SILENCE = Kind(
    "silence",
    (
        Slot("until", "Until", _to_come, text, "--until", size=24, hint="18:00, tomorrow 08:00, 2h, 3d", needed=True),
        Slot("reason", "Reason", text, text, "--reason", size=0, blank=True),
    ),
    first="until",
)
BEGIN = {"preset": "finishes-within", "severity": "warning"}
"""What a new one begins with."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A form's contents: the rows' values as stored (none for a new thing), and the texts as typed."""

    kind: Kind
    stored: tuple[Mapping[str, Any], ...]
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Whether it makes something."""
        return not self.stored

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The fields there are."""
        return tuple(slot for slot in self.kind.slots if not (slot.alone and len(self.stored) > 1))

    def slot(self, name: str) -> Slot:
        """A field by its name."""
        return next(slot for slot in self.kind.slots if slot.name == name)

    def begins(self, slot: Slot) -> str:
        """The text a field begins with: what is stored, nothing where the rows differ."""
        if self.new:
            return BEGIN.get(slot.name, "")
        found = {slot.show(row.get(slot.name)) for row in self.stored}
        return found.pop() if len(found) == 1 else ""

    def differ(self, slot: Slot) -> bool:
        """Whether the rows differ in it."""
        return len({slot.show(row.get(slot.name)) for row in self.stored}) > 1

    def text(self, slot: Slot) -> str:
        """What stands in a field."""
        return self.texts.get(slot.name, self.begins(slot)).strip()

    def touched(self, slot: Slot) -> bool:
        """Whether something else was typed than it began with."""
        return self.text(slot) != self.begins(slot).strip()

    def value(self, slot: Slot) -> Any:
        """What a field without a fault means."""
        word = self.text(slot)
        return self._read(slot, word) if word or slot.parse is limit else ""

    def _read(self, slot: Slot, word: str) -> Any:
        return slot.parse(word, self.text(self.slot(slot.by))) if slot.by else slot.parse(word)

    def fault(self, slot: Slot) -> str:
        """What is wrong with a field, as a sentence; "" when nothing is."""
        word = self.text(slot)
        if not word and slot.needed and self.new:
            return f"{slot.label} is needed."
        if not word:
            return f"{slot.label} must not be empty." if self.touched(slot) and not (slot.blank or self.new) else ""
        try:
            self._read(slot, word)
        except ValueError as error:
            return f"{slot.label} {error}."
        return ""

    def faults(self) -> list[str]:
        """All that is wrong."""
        return [*(fault for slot in self.slots if (fault := self.fault(slot))), *self.kind.check(self)]

    def changes(self) -> dict[str, Any]:
        """{field: its new value}, of those that differ from what is stored in some row and make sense."""
        found = {}
        for slot in self.slots:
            if self.fault(slot) or not (self.touched(slot) or (self.new and self.text(slot))):
                continue
            value = self.value(slot)
            if self.new or any(row.get(slot.name) != value for row in self.stored):
                found[slot.name] = value
        return found


# --- what is asked of the runtime ---------------------------------------------------------------------------------------


def deeds(sheet: Sheet) -> list[Deed]:
    """What saving does, each with what undoes it; nothing when nothing was changed."""
    changes = sheet.changes()
    if sheet.new:
        return [_made(sheet, changes)]
    rows = [row for row in sheet.stored if any(row.get(name) != value for name, value in changes.items())]
    if not rows:
        return []
    if sheet.kind is TASK:
        return [_set_tasks(sheet, rows, changes)]
    return [deed for row in rows for deed in _set_named(sheet, row, changes)]


def _made(sheet: Sheet, changes: Mapping[str, Any]) -> Deed:
    word, called = sheet.kind.word, changes["name"]
    about = f"{_thing(word)} {called}"
    given = _asked({key: value for key, value in changes.items() if value != ""})
    return Deed(f"{word}.create", given, "Created", (Deed(f"{word}.rm", {"name": called}, "Took away", object=about),), about)


def _asked(values: dict[str, Any]) -> dict[str, Any]:
    """Values of fields as a verb takes them: a metric stands in the place of its preset."""
    if values.get("preset") in metrics.METRICS:
        return {**values, "preset": "stays-below", "metric": values["preset"]}
    return values


def _thing(word: str) -> str:
    return "rule" if word == "sla" else word


def _set_tasks(sheet: Sheet, rows: Sequence[Mapping[str, Any]], changes: Mapping[str, Any]) -> Deed:
    undo = []
    keyed = sorted(rows, key=lambda row: _old_key(row, changes))
    for _, group in groupby(keyed, key=lambda row: _old_key(row, changes)):
        same = list(group)
        old = {name: same[0].get(name) for name in changes}
        undo.append(Deed("set", {"ids": [row["uuid"] for row in same], "fields": _of_tasks(old)}, "As it was:"))
    args = {"ids": [row["uuid"] for row in rows], "fields": _of_tasks(changes)}
    return Deed("set", args, f"{said(sheet)}:", tuple(undo))


def _of_tasks(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of fields as `set` takes them: no time to start at is now."""
    return {**values, "at": values["at"] or NOW} if "at" in values else dict(values)


def _old_key(row: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    return repr([row.get(name) for name in changes])


def _set_named(sheet: Sheet, row: Mapping[str, Any], changes: Mapping[str, Any]) -> list[Deed]:
    """One deed for the columns, one for the state."""
    word, about = sheet.kind.word, f"{_thing(sheet.kind.word)} {row['name']}"
    own = {name: value for name, value in changes.items() if row.get(name) != value}
    status = own.pop("status", None)
    found = []
    if own:
        old = {name: _given(row.get(name)) for name in own}
        back = Deed(f"{word}.set", {"name": row["name"], **_asked(old)}, "As it was:", object=about)
        found.append(Deed(f"{word}.set", {"name": row["name"], **_asked(own)}, f"{said(sheet)}:", (back,), about))
    if status is not None:
        back = Deed(f"{word}.{_TURN[row['status']][0]}", {"name": row["name"]}, _TURN[row["status"]][1], object=about)
        found.append(Deed(f"{word}.{_TURN[status][0]}", {"name": row["name"]}, _TURN[status][1], (back,), about))
    return found


_TURN = {"active": ("resume", "Resumed"), "paused": ("pause", "Paused"), "draining": ("drain", "Drains:")}


def _given(value: Any) -> Any:
    """An old value as a verb takes it: None would mean that it is to stay."""
    return "" if value is None else value


def said(sheet: Sheet) -> str:
    """`Memory 12G → 8G, timeout 4h → 2h`, or how many things were changed."""
    parts = [_step(sheet, sheet.slot(name), value) for name, value in sheet.changes().items() if name != "status"]
    if len(parts) > MOST_SAID:
        return f"{len(parts)} things changed of"
    joined = ", ".join(parts)
    return joined[:1].upper() + joined[1:]


def _step(sheet: Sheet, slot: Slot, value: Any) -> str:
    label = slot.label if slot.label.isupper() else slot.label.lower()
    old = "" if sheet.differ(slot) else f"{_short(sheet.begins(slot)) or _empty(slot)} "
    return f"{label} {old}→ {_short(slot.show(value)) or _empty(slot)}"


def _short(word: str) -> str:
    return cut(clean(word), 24)


def _empty(slot: Slot) -> str:
    return "no limit" if slot.parse is limit else "none"


# --- the same from a shell ------------------------------------------------------------------------------------------------


def equal(sheet: Sheet) -> list[list[str]]:
    """The words of the command lines that do the same; none where they cannot: a limit, or all tags, taken away."""
    changes = sheet.changes()
    if not changes or any(name in ("timeout", "tag") and not value for name, value in changes.items()):
        return []
    options = [word for slot in sheet.slots if slot.name in changes for word in _option(sheet, slot, changes[slot.name])]
    word = sheet.kind.word
    if sheet.kind is TASK:
        return [["taskdeck", "set", *(str(row["number"]) for row in sheet.stored), *options]]
    if sheet.new:
        return [["taskdeck", word, "create", str(changes.get("name", "NAME")), *options]]
    names = [str(row["name"]) for row in sheet.stored]
    lines = [["taskdeck", word, "set", called, *options] for called in names if options]
    turn = [["taskdeck", word, _TURN[changes["status"]][0], called] for called in names] if "status" in changes else []
    return lines + turn


def _option(sheet: Sheet, slot: Slot, value: Any) -> list[str]:
    if slot.name in ("preset", "value"):
        what = sheet.text(sheet.slot("preset"))
        shown = slot.show(value) if slot.name == "value" else sheet.text(sheet.slot("value"))
        asked = ["--metric", what, "--stays-below"] if what in metrics.METRICS else [f"--{what}"]
        return [*asked, shown] if slot.name == "value" or "value" not in sheet.changes() else []
    if slot.name == "tag" and value:
        return [word for key, said in value.items() for word in ("--tag", f"{key}={said}")]
    if slot.name == "enabled":
        return ["--on" if value else "--off"]
    if slot.name == "at":  # as it was typed: a time from now on moves
        return [slot.option, sheet.text(slot) or NOW]
    return [slot.option, slot.show(value)] if slot.option else []
