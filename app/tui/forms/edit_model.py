"""Edit form model: stored values, typed texts, and the requests that save the changes.

Only changed fields are sent, so a form never overwrites changes by others in untouched fields.
Several rows are edited as one: a field in which they differ starts empty, and an empty field leaves
each row unchanged.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from app.core import metrics
from app.core.rules import silence_matchers
from app.core.scheduling.enforcement import format_enforce, parse_enforce
from app.core.scheduling.open_times import ALWAYS, normalize_open
from app.core.scheduling.order import POLICIES, describe_policy, format_ageing, parse_ageing
from app.core.scheduling.order import PRIORITY as PRIORITY_POLICY
from app.core.slurm.pool_options import check_word
from app.core.text import units
from app.core.text.joining import end_sentence
from app.core.text.sanitize import find_name_error, sanitize, truncate
from app.translation import tr, tr_noop
from app.tui.actions.tasks import Request
from app.tui.forms import notice_model, resource_field, rule_model
from app.tui.forms.command_field import make_work, parse_command, pick_work

NO_LIMIT = ("none", "no limit", "-")
MAX_DESCRIBED = 2
NOW = "now"
"""Start time that clears a scheduled one."""


@dataclass(frozen=True, slots=True)
class EditField:
    """An editable field.

    `parse` reads a text, given the text of the field `by` if set, or raises ValueError with the
    rest of a sentence. `show` formats a value.
    """

    name: str
    label: str
    parse: Callable[..., Any]
    show: Callable[[Any], str]
    option: str = ""
    """Command-line option; "" if the command line sets the field differently."""
    widget: str = "entry"
    """Widget: entry, pick or choice."""
    size: int = 8
    """Width in cells; 0 for all available."""
    hint: str = ""
    needed: bool = False
    """Required for a new object."""
    blank: bool = False
    """May be empty."""
    blank_label: str = "any"
    """Label of the empty value in a list."""
    single_only: bool = False
    """Editable only for a single row, such as a name."""
    by: str = ""
    """Field that determines how this one is parsed."""
    options: tuple[tuple[str, str], ...] = ()
    """Values of a choice with their labels, unless they are read from the runtime."""

    @property
    def shown_label(self) -> str:
        """The label in the user's language."""
        return tr(self.label)

    def list_choices(self) -> list[tuple[str, str]]:
        """Return the values of a choice with their labels in the user's language."""
        return [(value, _translate_choice(value, label)) for value, label in self.options]


def _translate_choice(value: str, label: str) -> str:
    if value in metrics.METRICS:
        return tr("{metric} stays below", metric=value)
    if value in ("on", "off"):
        return tr(label).lower()
    name, colon, words = label.partition(": ")
    return f"{name}: {tr(words)}" if colon and name == value else tr(label)


def to_text(value: Any) -> str:
    """Return a value as text; None is empty."""
    return "" if value is None else str(value)


def to_safe_text(value: Any) -> str:
    """Return untrusted text sanitized for a field."""
    return sanitize(to_text(value))


def format_size(mib: float | None) -> str:
    """Format MiB exactly, in the largest unit: `12G`, `1536M`."""
    if mib is None:
        return ""
    return (
        f"{mib / 1024:.0f}G"
        if mib and mib % 1024 == 0
        else f"{units.format_number(mib)}M"
        if mib
        else "0"
    )


def format_duration(seconds: float | None) -> str:
    """Format seconds exactly, in the largest unit: `4h`, `90m`; empty for no limit."""
    if seconds is None:
        return ""
    unit, by = next(
        (
            pair
            for pair in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
            if seconds and seconds % pair[1] == 0
        ),
        ("s", 1),
    )
    return f"{units.format_number(seconds / by)}{unit}"


def parse_limit(word: str) -> float | None:
    """Parse a timeout. An empty text, `none` and `-` mean no limit."""
    return None if not word or word.lower() in NO_LIMIT else units.parse_positive_duration(word)


def _parse_open(word: str) -> str:
    return normalize_open(word) or ALWAYS


def make_int_parser(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for whole numbers."""
    return lambda word: units.parse_int(word, low, high)


def parse_name(word: str) -> str:
    """Parse a name."""
    if error := find_name_error(word):
        raise ValueError(error)
    return word


def format_start_time(stamp: str | None) -> str:
    """Format a stored time in local time, with seconds only if not zero; empty for none."""
    if not stamp:
        return ""
    at = datetime.fromisoformat(stamp).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def parse_start_time(word: str) -> str:
    """Parse a start time and return it with its zone; empty for now."""
    return (
        ""
        if word.lower() == NOW
        else units.parse_time(word, datetime.now(UTC)).astimezone(UTC).isoformat()
    )


@dataclass(frozen=True, slots=True)
class EditKind:
    """A kind of object: its word, fields, identifying field and first focused field."""

    word: str
    slots: tuple[EditField, ...]
    ident: str = "name"
    first: str = ""
    check: Callable[[EditSheet], list[str]] = lambda sheet: []
    """Checks that involve several fields."""
    initial: Mapping[str, str] = field(default_factory=dict[str, str])
    """Initial texts of a new object."""
    has_rows: bool = True
    """False for a form about rows that it does not read."""
    title: str = ""
    """Word of the title before the rows, if it is not Edit or New."""
    saves_unchanged: bool = False
    """True if saving does something without a change."""


PRIORITY = EditField(
    "priority",
    "Priority",
    make_int_parser(-1_000_000, 1_000_000),
    to_text,
    "--priority",
    hint="higher first",
)
CPU = EditField(
    "cpu",
    "CPU",
    units.parse_cpu,
    lambda cores: "" if cores is None else units.format_number(cores),
    "--cpu",
    hint="cores",
)
MEMORY = EditField("memory", "Memory", units.parse_size, format_size, "--memory")
RESOURCES = EditField(
    "resources",
    "Resources",
    resource_field.parse_kept,
    resource_field.format_resources,
    "--resource",
    size=24,
    blank=True,
)
NAME = EditField("name", "Name", parse_name, to_safe_text, size=0, needed=True, single_only=True)
DESCRIPTION = EditField(
    "description", "Description", str, to_safe_text, "--description", size=0, blank=True
)
STATES = (
    ("active", tr_noop("open")), ("paused", tr_noop("paused")), ("draining", tr_noop("draining"))
)  # fmt: skip
STATUS = EditField("status", "State", str, to_text, widget="choice", options=STATES)
POLICY = EditField(
    "policy", "Order", str, to_text, "--policy", widget="choice", size=30,
    options=tuple((policy, describe_policy(policy)) for policy in POLICIES),
)  # fmt: skip
AGEING = EditField(
    "ageing", "Ageing", parse_ageing, format_ageing, "--ageing",
    hint="the oldest task goes first after this time; or never",
)  # fmt: skip
ENFORCE = EditField(
    "enforce", "Enforce", parse_enforce, format_enforce, "--enforce",
    hint="limits of runs, by the kernel: memory,cpu; or none",
)  # fmt: skip
NOTIFY = EditField(
    "notify", "Notify", str, to_text, "--notify", widget="pick", size=30, blank=True,
    blank_label="default", hint=notice_model.HINT,
)  # fmt: skip


def _parse_directory(word: str) -> str:
    if not word.startswith("/"):
        raise ValueError(tr("must be an absolute path, not {word}", word=units.quote(word)))
    return word


def _check_task(sheet: EditSheet) -> list[str]:
    """Reject a command that the field cannot hold."""
    lines = max((row.get("command", "").strip().count("\n") for row in sheet.stored), default=0)
    if lines and sheet.is_touched(sheet.find_field("command")):
        return [tr("Command has several lines. To change it: taskdeck set ID -c SCRIPT")]
    return []


TIMEOUT = EditField(
    "timeout", "Timeout", parse_limit, format_duration, "--timeout", hint="empty: no limit",
    blank=True,
)  # fmt: skip
TASK = EditKind(
    "task",
    (
        replace(NAME, option="--name"),
        EditField("queue", "Queue", str, to_text, "--queue", widget="pick", size=20),
        PRIORITY,
        CPU,
        MEMORY,
        RESOURCES,
        TIMEOUT,
        EditField(
            "retries",
            "Retries",
            make_int_parser(0, 10_000),
            to_text,
            "--retries",
            hint="further attempts after a failure",
        ),
        EditField(
            "retry_delay",
            "Retry delay",
            units.parse_duration,
            format_duration,
            "--retry-delay",
            hint="between two attempts",
        ),
        EditField(
            "at",
            "Start at",
            parse_start_time,
            format_start_time,
            "--at",
            size=24,
            hint="23:30, tomorrow 02:00, 2h, now",
            blank=True,
        ),
        NOTIFY,
        EditField("command", "Command", parse_command, to_safe_text, size=0),
        EditField("cwd", "Directory", _parse_directory, to_safe_text, "--cwd", size=0),
    ),
    ident="uuid",
    first="memory",
    check=_check_task,
)
QUEUE = EditKind(
    "queue",
    (
        EditField(
            "capacity",
            "Capacity",
            make_int_parser(0, 100_000),
            to_text,
            "--capacity",
            hint="at once",
        ),
        EditField("pool", "Pool", str, to_text, "--pool", widget="pick", size=20),
        PRIORITY,
        EditField(
            "open",
            "Open",
            _parse_open,
            lambda text: text or ALWAYS,
            "--open",
            size=30,
            hint="22:00-06:00, always",
        ),
        DESCRIPTION,
        STATUS,
    ),
    first="capacity",
)
POOL = EditKind(
    "pool", (CPU, MEMORY, RESOURCES, POLICY, AGEING, ENFORCE, DESCRIPTION, STATUS), first="memory"
)
_SLURM_LABELS = {
    "partition": tr_noop("Partition"), "account": tr_noop("Account"), "qos": "QOS"
}  # fmt: skip
SLURM_POOL = EditKind(
    "pool",
    (
        *(
            EditField(name, label, check_word, to_safe_text, f"--{name}", size=24, blank=True)
            for name, label in _SLURM_LABELS.items()
        ),
        POLICY, AGEING, DESCRIPTION, STATUS,
    ),
    first="partition",
)  # fmt: skip
"""A pool of kind slurm, which has no amounts."""
_DEFAULT_HINTS = {
    "capacity": tr_noop("at once; empty: the pool's cores"),
    "pool": tr_noop("empty: default"),
    "priority": tr_noop("higher first; empty: 0"),
    "open": tr_noop("22:00-06:00; empty: always"),
}
"""Defaults of a new queue, shown in empty fields."""
NEW_QUEUE = EditKind(
    "queue",
    (
        NAME,
        *(
            replace(slot, hint=_DEFAULT_HINTS.get(slot.name, slot.hint))
            for slot in QUEUE.slots[:-1]
        ),
    ),
    first="name",
)
NEW_POOL = EditKind(
    "pool",
    (NAME, replace(CPU, needed=True), replace(MEMORY, needed=True), RESOURCES, POLICY, DESCRIPTION),
    first="name",
    initial={"policy": PRIORITY_POLICY},
)

ON_TASKS = (
    ("finishes-within", tr_noop("a task finishes within")),
    ("starts-within", tr_noop("a task starts within")),
)
PRESETS = (*ON_TASKS, *((metric, f"{metric} stays below") for metric in metrics.METRICS))
"""Conditions of a rule: on tasks, or on a metric of Taskdeck, given in place of a preset."""
MATCH = ("template", "queue", "task", "tag")
SEVERITIES = (
    ("critical", tr_noop("critical")), ("warning", tr_noop("warning")), ("info", tr_noop("info"))
)  # fmt: skip
SWITCH = (("on", tr_noop("On")), ("off", tr_noop("Off")))


def _parse_tags(word: str) -> dict[str, str]:
    """Parse `team=ml host="big one"`."""
    try:
        pairs = [part.partition("=") for part in shlex.split(word)]
    except ValueError:
        pairs = [("", "", "")]
    if any(not key or not sign for key, sign, _ in pairs):
        raise ValueError(tr("must be KEY=VALUE, not {word}", word=units.quote(word)))
    return {key: value for key, _, value in pairs}


def _format_tags(tags: Mapping[str, str] | None) -> str:
    return sanitize(shlex.join(f"{key}={value}" for key, value in (tags or {}).items()))


def _check_future_time(word: str) -> str:
    """Check that the text is a future time and return it as typed."""
    now = datetime.now(UTC)
    if units.parse_time(word, now) <= now:
        raise ValueError(tr("must be in the future, not {word}", word=units.quote(word)))
    return word


def _parse_rule_limit(word: str, what: str) -> str:
    """Parse a rule's limit; durations are formatted in their largest unit."""
    if what in metrics.METRICS:
        value = metrics.parse_limit(what, word)
        return format_duration(value) if metrics.get_unit(what) == metrics.SECONDS else word
    return format_duration(units.parse_duration(word))


def _check_metric_filters(sheet: EditSheet) -> list[str]:
    """Reject task filters in a rule on a metric."""
    what = sheet.get_text(sheet.find_field("preset"))
    matched = [
        sheet.find_field(name)
        for name in MATCH
        if what in metrics.METRICS and sheet.get_text(sheet.find_field(name))
    ]
    return [
        tr(
            "{label} must be empty: {what} does not apply to tasks.",
            label=edit_field.shown_label,
            what=what,
        )
        for edit_field in matched
    ]


RULE = EditKind(
    "sla",
    (
        EditField("preset", "What", str, to_text, widget="choice", size=28, options=PRESETS),
        EditField("value", "Limit", _parse_rule_limit, to_text, needed=True, by="preset"),
        EditField(
            "template", "Template", str, to_text, "--template", widget="pick", size=24, blank=True
        ),
        EditField("queue", "Queue", str, to_text, "--queue", widget="pick", size=24, blank=True),
        EditField(
            "task",
            "Task name",
            parse_name,
            to_safe_text,
            "--task",
            size=24,
            hint="empty: any",
            blank=True,
        ),
        EditField(
            "tag",
            "Tag",
            _parse_tags,
            _format_tags,
            "--tag",
            size=24,
            hint="KEY=VALUE; empty: any",
            blank=True,
        ),
        EditField(
            "severity", "Severity", str, to_text, "--severity", widget="choice", options=SEVERITIES
        ),
        EditField(
            "enabled",
            "Rule",
            lambda word: word == "on",
            lambda on: "on" if on else "off",
            widget="choice",
            options=SWITCH,
        ),
    ),
    first="value",
    check=_check_metric_filters,
)


def _parse_new_limit(word: str, what: str) -> str:
    """Parse the limit of a new rule, which may be of a preset of conditions."""
    if what in rule_model.PRESETS:
        return rule_model.check_value(what, word)
    return _parse_rule_limit(word, what)


def _parse_wait(word: str) -> str:
    units.parse_duration(word)
    return word


def _check_new_rule(sheet: EditSheet) -> list[str]:
    return [*rule_model.find_faults(sheet), *_check_metric_filters(sheet)]


_PRESET = replace(RULE.slots[0], size=58, options=(*PRESETS, *rule_model.list_choices()))
_WAIT = EditField("wait", "For", _parse_wait, to_text, "--for", size=8, blank=True)
_POOL = EditField("pool", "Pool", str, to_text, "--pool", widget="pick", size=24, blank=True)
_SCHEDULE = EditField(
    "schedule", "Schedule", str, to_text, "--schedule", widget="pick", size=24, blank=True
)
_CHANNEL = EditField(
    "channel", "Notify", str, to_text, "--notify", widget="pick", size=24, blank=True,
    blank_label="nobody",
)  # fmt: skip
NEW_RULE = EditKind(
    "sla",
    (
        NAME,
        _PRESET,
        replace(RULE.slots[1], parse=_parse_new_limit, needed=False),
        _WAIT,
        *RULE.slots[2:6],
        _POOL,
        _SCHEDULE,
        RULE.slots[6],
        _CHANNEL,
    ),
    first="name",
    check=_check_new_rule,
    initial={"preset": "finishes-within", "severity": "warning"},
)


def _check_matchers(sheet: EditSheet) -> list[str]:
    if any(sheet.get_text(sheet.find_field(key)) for key in silence_matchers.KEYS):
        return []
    return [tr("Say what to silence: a rule, a severity, a task, and so on.")]


SILENCE = EditKind(
    "silence",
    (
        EditField(
            "until",
            "Until",
            _check_future_time,
            to_text,
            "--until",
            size=24,
            hint="18:00, tomorrow 08:00, 2h, 3d",
            needed=True,
        ),
        EditField("reason", "Reason", to_text, to_text, "--reason", size=0, blank=True),
    ),
    first="until",
    has_rows=False,
)
ANY_SEVERITY = ("", tr_noop("any"))
MATCHING_SILENCE = EditKind(
    "silence",
    (
        SILENCE.slots[0],
        *(
            EditField(
                key,
                key.capitalize(),
                to_text,
                to_text,
                f"--{key}",
                widget="choice",
                options=(ANY_SEVERITY, *SEVERITIES),
                blank=False,
            )
            if key == "severity"
            else EditField(
                key,
                key.capitalize(),
                to_text,
                to_text,
                f"--{key}",
                size=34,
                blank=True,
                hint="env=dev" if key == "tag" else "",
            )
            for key in silence_matchers.KEYS
        ),
        replace(SILENCE.slots[1], label="Note", option="--note"),
    ),
    first="until",
    check=_check_matchers,
    has_rows=False,
)
ACKNOWLEDGE = EditKind(
    "note",
    (EditField("note", "Note", to_text, to_text, "--note", size=0, needed=True),),
    first="note",
    has_rows=False,
)


@dataclass(frozen=True, slots=True)
class EditSheet:
    """Contents of a form: stored values of the rows (none for a new object) and typed texts."""

    kind: EditKind
    stored: tuple[Mapping[str, Any], ...]
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """True if the form creates an object."""
        return not self.stored

    @property
    def fields(self) -> tuple[EditField, ...]:
        """Fields of the form."""
        return tuple(
            edit_field
            for edit_field in self.kind.slots
            if not (edit_field.single_only and len(self.stored) > 1)
        )

    def find_field(self, name: str) -> EditField:
        return next(edit_field for edit_field in self.kind.slots if edit_field.name == name)

    def get_initial_text(self, edit_field: EditField) -> str:
        """Return a field's initial text: the stored value, or "" if the rows differ."""
        if self.is_new:
            return self.kind.initial.get(edit_field.name, "")
        found = {edit_field.show(row.get(edit_field.name)) for row in self.stored}
        return found.pop() if len(found) == 1 else ""

    def has_differences(self, edit_field: EditField) -> bool:
        """Return True if the rows differ in the field."""
        return len({edit_field.show(row.get(edit_field.name)) for row in self.stored}) > 1

    def get_text(self, edit_field: EditField) -> str:
        """Return the current text of a field."""
        return self.texts.get(edit_field.name, self.get_initial_text(edit_field)).strip()

    def is_touched(self, edit_field: EditField) -> bool:
        """Return True if the text differs from the initial one."""
        return self.get_text(edit_field) != self.get_initial_text(edit_field).strip()

    def parse_value(self, edit_field: EditField) -> Any:
        """Return the value of a valid field."""
        word = self.get_text(edit_field)
        return self._parse_text(edit_field, word) if word or edit_field.parse is parse_limit else ""

    def _parse_text(self, edit_field: EditField, word: str) -> Any:
        return (
            edit_field.parse(word, self.get_text(self.find_field(edit_field.by)))
            if edit_field.by
            else edit_field.parse(word)
        )

    def find_fault(self, edit_field: EditField) -> str:
        """Return the error of a field as a sentence; "" if valid."""
        word = self.get_text(edit_field)
        if not word and edit_field.needed and self.is_new:
            return tr("{label} is required.", label=edit_field.shown_label)
        if not word:
            return (
                tr("{label} must not be empty.", label=edit_field.shown_label)
                if self.is_touched(edit_field) and not (edit_field.blank or self.is_new)
                else ""
            )
        try:
            self._parse_text(edit_field, word)
        except ValueError as error:
            return end_sentence(f"{edit_field.shown_label} {error}")
        return ""

    def find_faults(self) -> list[str]:
        """Return all errors."""
        return [
            *(fault for edit_field in self.fields if (fault := self.find_fault(edit_field))),
            *self.kind.check(self),
        ]

    def find_changes(self) -> dict[str, Any]:
        """Return {field: new value} for valid fields that differ from any stored row."""
        found = {}
        for edit_field in self.fields:
            if self.find_fault(edit_field) or not (
                self.is_touched(edit_field) or (self.is_new and self.get_text(edit_field))
            ):
                continue
            value = self.parse_value(edit_field)
            if self.is_new or any(row.get(edit_field.name) != value for row in self.stored):
                found[edit_field.name] = value
        return found


# --- requests ---


def build_save_requests(sheet: EditSheet) -> list[Request]:
    """Return the requests that save the changes, each with its undo."""
    changes = sheet.find_changes()
    if sheet.is_new:
        return [_build_create(sheet, changes)]
    rows = [
        row
        for row in sheet.stored
        if any(row.get(name) != value for name, value in changes.items())
    ]
    if not rows:
        return []
    if sheet.kind is TASK:
        return [_build_task_update(sheet, rows, changes)]
    return [request for row in rows for request in _build_row_update(sheet, row, changes)]


def _build_create(sheet: EditSheet, changes: Mapping[str, Any]) -> Request:
    word, called = sheet.kind.word, changes["name"]
    about = f"{tr(_name_kind(word))} {called}"
    args = (
        rule_model.to_verb_args(sheet, changes)
        if sheet.kind is NEW_RULE and rule_model.is_preset(sheet)
        else _to_verb_args({key: value for key, value in changes.items() if value != ""})
    )
    return Request(
        f"{word}.create",
        args,
        tr("Created"),
        (Request(f"{word}.rm", {"name": called}, tr("Removed"), object=about),),
        about,
    )


def _to_verb_args(values: dict[str, Any]) -> dict[str, Any]:
    """Return field values as a verb takes them: a metric replaces the preset."""
    if "channel" in values:
        values = {**values, "notify": [values["channel"]]}
        del values["channel"]
    if values.get("preset") in metrics.METRICS:
        return {**values, "preset": "stays-below", "metric": values["preset"]}
    return values


def _name_kind(word: str) -> str:
    return tr_noop("rule") if word == "sla" else word


def _build_task_update(
    sheet: EditSheet, rows: Sequence[Mapping[str, Any]], changes: Mapping[str, Any]
) -> Request:
    undo = []
    keyed = sorted(rows, key=lambda row: _group_key(row, changes))
    for _, group in groupby(keyed, key=lambda row: _group_key(row, changes)):
        same = list(group)
        old = _name_resources({name: same[0].get(name) for name in changes}, changes)
        launch = same[0].get("launch") or {}
        undo.append(
            Request(
                "set",
                {"ids": [row["uuid"] for row in same], "fields": _to_set_args(old, launch)},
                tr("Restored:"),
            )
        )
    named = _name_resources(changes, *rows)
    args = {"ids": [row["uuid"] for row in rows], "fields": _to_set_args(named)}
    return Request("set", args, f"{describe_changes(sheet)}:", tuple(undo))


def _name_resources(values: Mapping[str, Any], *before: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in which named resources that are gone have an amount of 0."""
    if "resources" not in values:
        return dict(values)
    olds = [row.get("resources") for row in before]
    return {**values, "resources": resource_field.make_change(values["resources"], *olds)}


def _to_set_args(
    values: Mapping[str, Any], launch: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return field values as `set` takes them: no start time means now.

    A stored `launch` is the exact form of its command.
    """
    args = {**values, "at": values["at"] or NOW} if "at" in values else dict(values)
    if "command" in args:
        command = args.pop("command")
        args |= make_work(command) if launch is None else pick_work(launch)
    return args | notice_model.make_set_args(args["notify"]) if "notify" in args else args


def _group_key(row: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    return repr([row.get(name) for name in changes])


def _build_row_update(
    sheet: EditSheet, row: Mapping[str, Any], changes: Mapping[str, Any]
) -> list[Request]:
    """Return one request for the columns and one for the state."""
    word, about = sheet.kind.word, f"{tr(_name_kind(sheet.kind.word))} {row['name']}"
    own = {name: value for name, value in changes.items() if row.get(name) != value}
    status = own.pop("status", None)
    found = []
    if own:
        old = _name_resources({name: _to_arg(row.get(name)) for name in own}, own)
        own = _name_resources(own, row)
        undo_request = Request(
            f"{word}.set",
            {"name": row["name"], **_to_verb_args(old)},
            tr("Restored:"),
            object=about,
        )
        found.append(
            Request(
                f"{word}.set",
                {"name": row["name"], **_to_verb_args(own)},
                f"{describe_changes(sheet)}:",
                (undo_request,),
                about,
            )
        )
    if status is not None:
        undo_request = Request(
            f"{word}.{_STATUS_VERBS[row['status']][0]}",
            {"name": row["name"]},
            tr(_STATUS_VERBS[row["status"]][1]),
            object=about,
        )
        found.append(
            Request(
                f"{word}.{_STATUS_VERBS[status][0]}",
                {"name": row["name"]},
                tr(_STATUS_VERBS[status][1]),
                (undo_request,),
                about,
            )
        )
    return found


_STATUS_VERBS = {
    "active": ("resume", tr_noop("Resumed")),
    "paused": ("pause", tr_noop("Paused")),
    "draining": ("drain", tr_noop("Drains:")),
}


def _to_arg(value: Any) -> Any:
    """Return an old value as a verb takes it: None would leave the field unchanged."""
    return "" if value is None else value


def describe_changes(sheet: EditSheet) -> str:
    """Describe the changes: `Memory 12G → 8G, timeout 4h → 2h`, or their number."""
    parts = [
        _describe_change(sheet, sheet.find_field(name), value)
        for name, value in sheet.find_changes().items()
        if name != "status"
    ]
    if len(parts) > MAX_DESCRIBED:
        return tr("{count} things changed of", count=len(parts))
    joined = ", ".join(parts)
    return joined[:1].upper() + joined[1:]


def _describe_change(sheet: EditSheet, edit_field: EditField, value: Any) -> str:
    label = edit_field.shown_label
    label = label if label.isupper() else label.lower()
    old = (
        ""
        if sheet.has_differences(edit_field)
        else f"{_shorten_text(sheet.get_initial_text(edit_field)) or _name_empty(edit_field)} "
    )
    return f"{label} {old}→ {_shorten_text(edit_field.show(value)) or _name_empty(edit_field)}"


def _shorten_text(word: str) -> str:
    return truncate(sanitize(word), 24)


def _name_empty(edit_field: EditField) -> str:
    return tr("no limit") if edit_field.parse is parse_limit else tr("none")


# --- the same in a shell ---


def build_commands(sheet: EditSheet) -> list[list[str]]:
    """Return the equivalent command lines, as words.

    None exists for removing all tags.
    """
    changes = sheet.find_changes()
    if not changes or ("tag" in changes and not changes["tag"]):
        return []
    options = list_options(sheet)
    word = sheet.kind.word
    if sheet.kind is TASK:
        called = [str(row["number"]) for row in sheet.stored]
        return [["taskdeck", "set", *called, *options, *_list_work_words(changes)]]
    if sheet.is_new:
        return [["taskdeck", word, "create", str(changes.get("name", "NAME")), *options]]
    names = [str(row["name"]) for row in sheet.stored]
    lines = [["taskdeck", word, "set", called, *options] for called in names if options]
    turn = (
        [["taskdeck", word, _STATUS_VERBS[changes["status"]][0], called] for called in names]
        if "status" in changes
        else []
    )
    return lines + turn


def list_options(sheet: EditSheet) -> list[str]:
    """Return the changes as options of a command."""
    changes = sheet.find_changes()
    return [
        word
        for edit_field in sheet.fields
        if edit_field.name in changes
        for word in _build_option(sheet, edit_field, changes[edit_field.name])
    ]


def _list_work_words(changes: Mapping[str, Any]) -> list[str]:
    work = make_work(changes["command"]) if "command" in changes else {}
    return ["-c", work["script"]] if "script" in work else ["--", *work["argv"]] if work else []


def _build_option(sheet: EditSheet, edit_field: EditField, value: Any) -> list[str]:
    if edit_field.name in ("preset", "value", "wait") and rule_model.is_preset(sheet):
        return rule_model.list_options(sheet) if edit_field.name == "preset" else []
    if edit_field.name in ("preset", "value"):
        what = sheet.get_text(sheet.find_field("preset"))
        shown = (
            edit_field.show(value)
            if edit_field.name == "value"
            else sheet.get_text(sheet.find_field("value"))
        )
        words = ["--metric", what, "--stays-below"] if what in metrics.METRICS else [f"--{what}"]
        return (
            [*words, shown]
            if edit_field.name == "value" or "value" not in sheet.find_changes()
            else []
        )
    if edit_field.name == "tag" and value:
        return [word for key, text in value.items() for word in ("--tag", f"{key}={text}")]
    if edit_field.name == "resources":
        olds = [row.get("resources") for row in sheet.stored]
        return resource_field.list_options(resource_field.make_change(value, *olds))
    if edit_field.name == "enabled":
        return ["--on" if value else "--off"]
    if edit_field.name == "at":  # as typed: a relative time changes meaning
        return [edit_field.option, sheet.get_text(edit_field) or NOW]
    if edit_field.name == "notify":
        given = notice_model.make_set_args(value).items()
        return [word for key, text in given for word in (f"--{key.replace('_', '-')}", text)]
    if edit_field.name == "timeout" and value is None:
        return [edit_field.option, "none"]
    return [edit_field.option, edit_field.show(value)] if edit_field.option else []
