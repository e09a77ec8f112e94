"""Models of SLA conditions in the general form, with their JSON Schema.

`parse_conditions` returns the model. An error names the path of the key, such as
`conditions.when.all[0].op`, and the nearest known word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from app.core.json_types import is_array, is_object
from app.core.rules import active_time, amounts, catalog
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.text.sanitize import find_name_error, find_nearest, sanitize
from app.core.text.units import quote
from app.translation import tr, tr_noop

OPERATORS = (">", ">=", "<", "<=", "==", "!=")
STATS = ("mean", "min", "max", "median", "count", "sum", "p50", "p90", "p95", "p99")
BASELINE_METRICS = ("instance.run_seconds", "instance.rss_mib", "instance.queued_seconds")
STAT_ALIASES = {"avg": "mean", "average": "mean"}
_OPERATOR_ALIASES = {"=": "==", "≥": ">=", "≤": "<="}
_TABLE_KEYS = ("stat", "window", "rate_over")
REFERENCES = ("queued_at", "started_at", "scheduled_at")
MAX_WINDOW = 31 * 86400
"""Longest window in seconds: 31 days."""
MAX_NODES, MAX_DEPTH = 50, 8
"""Size of a condition that a person can still read."""


def _parse_duration(value: object) -> float:
    seconds = amounts.parse_seconds(value)
    if seconds < 0:
        raise ValueError(tr("must not be negative, not {value}", value=quote(str(value))))
    return seconds


def _parse_window(value: object) -> float:
    seconds = amounts.parse_seconds(value)
    if not 1 <= seconds <= MAX_WINDOW:
        raise ValueError(tr("must be 1s to 31d, not {value}", value=quote(str(value))))
    return seconds


def _parse_zone(value: object) -> str:
    return get_zone(str(value)).key


def _parse_clock(value: object) -> int:
    return active_time.parse_clock(value)


def _to_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _parse_globs(value: object) -> object:
    names = _to_list(value)
    if not is_array(names) or not names or not all(isinstance(one, str) and one for one in names):
        raise ValueError(tr('must be a name, or a list of names such as ["nightly-*"]'))
    for name in names:
        if not str(name).isprintable():
            raise ValueError(tr("must be visible text, not {name}", name=quote(str(name))))
    return names


def _parse_count(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_stat(value: object) -> str:
    word = STAT_ALIASES.get(str(value), str(value))
    if word not in STATS:
        raise ValueError(
            tr(
                "must be {words}{nearest}",
                words=_list_words(STATS),
                nearest=_name_nearest(value, STATS),
            )
        )
    return word


def _parse_tags(value: object) -> dict[str, str]:
    pairs: list[object] = [value]
    if is_array(value):
        pairs = list(value)  # pyright: ignore[reportUnknownArgumentType]
    found: dict[str, str] = {}
    for pair in pairs:
        if isinstance(pair, str) and "=" in pair:
            key, _, word = pair.partition("=")
            found[key] = word
        elif is_object(pair) and all(isinstance(word, str) for word in [*pair, *pair.values()]):
            found |= pair
        else:
            raise ValueError(tr('must be tags such as { team = "db" }'))
    for key, word in found.items():
        if not (key + word).isprintable():
            raise ValueError(tr("must be visible text, not {value}", value=quote(f"{key}={word}")))
    return found


def _schema(rule: dict[str, Any], example: Any, description: str) -> WithJsonSchema:
    return WithJsonSchema({**rule, "examples": [example], "description": description})


def _make_list_schema(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the JSON Schema of one text, or a list of texts."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}], **more}


Seconds = Annotated[
    float,
    BeforeValidator(_parse_duration),
    _schema(
        amounts.make_duration_schema(0, amounts.MAX_SECONDS),
        "10m",
        "Seconds, or a duration such as 30s, 10m, 1h30m, 2d.",
    ),
]
Offset = Annotated[
    float,
    BeforeValidator(amounts.parse_seconds),
    _schema(
        amounts.make_duration_schema(-amounts.MAX_SECONDS, amounts.MAX_SECONDS),
        "30m",
        "Seconds or a duration; negative: before the reference.",
    ),
]
Window = Annotated[
    float,
    BeforeValidator(_parse_window),
    _schema(amounts.make_duration_schema(1, MAX_WINDOW), "10m", "1s to 31d."),
]
Stat = Annotated[
    str,
    BeforeValidator(_parse_stat),
    WithJsonSchema(
        {"enum": [*STATS, *STAT_ALIASES], "description": "Statistic of the values in the window."}
    ),
]
Zone = Annotated[
    str,
    BeforeValidator(_parse_zone),
    _schema(
        {"type": "string", "minLength": 1},
        "Europe/Berlin",
        "Time zone; by default the zone of this machine.",
    ),
]
Clock = Annotated[
    int,
    BeforeValidator(_parse_clock),
    _schema(
        {"type": "string", "pattern": active_time.CLOCK_PATTERN}, "06:00", "Time of day, HH:MM."
    ),
]
Days = Annotated[
    frozenset[int],
    BeforeValidator(active_time.parse_days),
    WithJsonSchema(
        _make_list_schema(
            {"type": "string", "pattern": active_time.DAYS_PATTERN},
            examples=["mon-fri", ["sat", "sun"]],
            description="Days: mon-fri, workdays, weekend, daily, or a list.",
        )
    ),
]
Globs = Annotated[
    list[str],
    BeforeValidator(_parse_globs),
    WithJsonSchema(
        _make_list_schema(
            {"type": "string", "minLength": 1},
            examples=["nightly-*"],
            description="A name with * and ?, or a list of such names.",
        )
    ),
]


class Form(BaseModel):
    """Base of all parts of a condition. Unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class Match(Form):
    """Name patterns that select subjects. A subject must match all that are given."""

    task: Globs | None = None
    template: Globs | None = None
    schedule: Globs | None = None
    queue: Globs | None = None
    pool: Globs | None = None
    tags: Annotated[
        dict[str, str],
        BeforeValidator(_parse_tags),
        WithJsonSchema(
            _make_list_schema(
                {
                    "anyOf": [
                        {"type": "object", "additionalProperties": {"type": "string"}},
                        {"type": "string", "pattern": "="},
                    ]
                },
                examples=[{"team": "db"}],
            )
        ),
    ] = {}


class Baseline(Form):
    """A limit from the last successful runs of the same template or name."""

    stat: Stat = "median"
    runs: Annotated[int, BeforeValidator(_parse_count), Field(ge=1, le=200)] = 20
    factor: Annotated[float, Field(gt=0, le=1000)]


_METRIC_NAMES: dict[str, Any] = {
    "type": "string",
    "anyOf": [{"enum": list(catalog.METRICS)}, {"pattern": catalog.POOL_PATTERN}],
}


class MetricNode(Form):
    """Comparison of a metric with a value, or with a baseline."""

    metric: Annotated[str, WithJsonSchema(_METRIC_NAMES)]
    op: Annotated[
        Literal[">", ">=", "<", "<=", "==", "!="],
        WithJsonSchema({"enum": [*OPERATORS, *_OPERATOR_ALIASES]}),
    ]
    value: Annotated[
        float | None,
        _schema(
            {"type": ["number", "string", "null"]},
            "30m",
            "In the unit of the metric: 30m, 512M, 0.9 or 90%.",
        ),
    ] = None
    baseline: Baseline | None = None
    stat: Stat | None = None
    window: Window | None = None
    rate_over: Annotated[Window | None, Field(description="Change of the value in this time.")] = (
        None
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not is_object(given):
            return given
        values = {**given}
        nested = values.get("metric")
        if is_object(nested):  # { metric = { name = "…", stat = "p95", window = "10m" } }
            values = _unfold_metric(values, nested)
        metric = values.get("metric")
        if not isinstance(metric, str) or metric not in catalog.METRICS:
            raise ValueError(
                tr(
                    ".metric: unknown metric {metric}{nearest}",
                    metric=quote(str(metric)),
                    nearest=_name_nearest_metric(metric),
                )
            )
        if "op" not in values:
            raise ValueError(tr(": needs op: {words}", words=_list_words(OPERATORS)))
        op = _OPERATOR_ALIASES.get(str(values.get("op")), values.get("op"))
        if op not in OPERATORS:
            raise ValueError(
                tr(
                    ".op: must be {words}, not {op}",
                    words=_list_words(OPERATORS),
                    op=quote(str(op)),
                )
            )
        values["op"] = op
        if values.get("value") is not None:
            try:
                values["value"] = _parse_value(metric, values)
            except ValueError as error:
                raise ValueError(f".value: {error}") from None
        return values

    @model_validator(mode="after")
    def _check(self) -> MetricNode:
        if (self.value is None) is (self.baseline is None):
            raise ValueError(tr(": needs either value or baseline"))
        if self.rate_over is not None and (self.stat or self.window):
            raise ValueError(tr(".rate_over: goes with neither stat nor window"))
        if self.stat is not None and self.window is None:
            raise ValueError(tr('.stat: needs a window, such as window = "10m"'))
        always = self.metric in catalog.WINDOW_METRICS
        if self.window is not None and self.stat is None and not always:
            raise ValueError(tr('.window: needs a stat, such as stat = "p95"'))
        if self.rate_over is not None and catalog.get_family(self.metric) in ("task", "schedule"):
            raise ValueError(tr(".rate_over: does not apply to {metric}", metric=self.metric))
        if self.rate_over is not None and not catalog.has_rate(self.metric):
            raise ValueError(
                tr(
                    ".rate_over: of instance metrics, only instance.attempt (restarts) has one;"
                    " use stat and window"
                )
            )
        stats = list_stats(self.metric)
        if self.stat is not None and self.stat not in stats:
            others = tr(", only {words}", words=_list_words(stats)) if len(stats) > 1 else ""
            others = others or (tr(", only {stats}", stats=stats[0]) if stats else "")
            raise ValueError(
                tr(
                    ".stat: {stat} does not apply to {metric}{others}",
                    stat=self.stat,
                    metric=self.metric,
                    others=others,
                )
            )
        if self.baseline is not None and self.metric not in BASELINE_METRICS:
            raise ValueError(
                tr(
                    ".baseline: only for instance.run_seconds, instance.queued_seconds and"
                    " instance.rss_mib"
                )
            )
        return self


def list_stats(metric: str) -> Sequence[str]:
    """Return the statistics that a metric has."""
    if metric in catalog.WINDOW_METRICS:
        return catalog.WINDOW_METRICS[metric]
    return () if catalog.get_family(metric) in ("task", "schedule") else STATS


def _unfold_metric(values: Mapping[Any, Any], table: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the usual form of a comparison whose metric is a table."""
    for key in table:
        if key != "name" and key not in _TABLE_KEYS:
            raise ValueError(
                tr(
                    ".metric: unknown key {key}{nearest}",
                    key=quote(str(key)),
                    nearest=_name_nearest(key, _TABLE_KEYS),
                )
            )
    for key in _TABLE_KEYS:
        if key in values:
            raise ValueError(tr(".{key}: goes into the table of the metric", key=key))
    inner = {key: word for key, word in table.items() if key != "name"}
    return {**values, "metric": table.get("name"), **inner}


def _parse_value(metric: str, values: Mapping[Any, Any]) -> float:
    """Return the limit in the unit of the metric."""
    unit = catalog.COUNT if values.get("stat") == "count" else catalog.METRICS[metric].unit
    value = amounts.parse_amount(unit, values["value"])
    if catalog.is_share(metric) and values.get("stat") not in ("count", "sum") and abs(value) > 1:
        typed = str(values["value"])
        raise ValueError(
            tr("must be a ratio of at most 1, such as 0.9 or 90%, not {typed}", typed=quote(typed))
        )
    return value


class FixedReference(Form):
    """A wall time on some days."""

    fixed: Clock
    tz: Zone | None = None
    days: Days = frozenset(range(7))


class Deadline(Form):
    """Time by which a run must have succeeded: a reference and an offset."""

    reference: Annotated[
        FixedReference | Literal["queued_at", "started_at", "scheduled_at"], Field()
    ]
    offset: Offset = 0.0

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not is_object(given) or is_object(given.get("reference")):
            return given
        reference = given.get("reference")
        if reference not in REFERENCES:
            raise ValueError(
                tr(
                    '.reference: must be {words}, or a table such as {{ fixed = "06:00", days ='
                    ' "mon-fri" }}{nearest}',
                    words=_list_words(REFERENCES),
                    nearest=_name_nearest(reference, REFERENCES),
                )
            )
        return cast(Any, given)


class ForecastDeadline(Deadline):
    """A deadline that the expected end of a run will probably miss."""

    margin: Seconds = 0.0


class DeadlineNode(Form):
    """True once a deadline has passed without a success."""

    deadline: Deadline


class ForecastNode(Form):
    """True while the expected end, plus a margin, is after the deadline."""

    forecast: ForecastDeadline


class AllNode(Form):
    """True while all parts are true."""

    all: Annotated[list[Node], Field(min_length=1)]


class AnyNode(Form):
    """True while any part is true."""

    any: Annotated[list[Node], Field(min_length=1)]


class NotNode(Form):
    """True while its part is false."""

    not_: Node = Field(alias="not")


_KINDS = ("all", "any", "not", "deadline", "forecast", "metric")


def _choose_kind(value: Any) -> str | None:
    if isinstance(value, Form):
        return f"~{next(key for key in _KINDS if hasattr(value, 'not_' if key == 'not' else key))}"
    if not is_object(value):
        return None
    found = next((key for key in _KINDS if key in value), None)
    return f"~{found}" if found else None


Node = Annotated[
    Annotated[AllNode, Tag("~all")]
    | Annotated[AnyNode, Tag("~any")]
    | Annotated[NotNode, Tag("~not")]
    | Annotated[DeadlineNode, Tag("~deadline")]
    | Annotated[ForecastNode, Tag("~forecast")]
    | Annotated[MetricNode, Tag("~metric")],
    Discriminator(_choose_kind),
]


class Escalation(Form):
    """A higher severity for an alert that fires for some time."""

    after: Seconds
    severity: Literal["info", "warning", "critical"] = "critical"


class ActiveTime(Form):
    """Days and hours in which the rule applies."""

    days: Days = frozenset(range(7))
    start: Clock = Field(0, alias="from")
    end: Clock = Field(86400, alias="to")
    tz: Zone | None = None

    def to_period(self) -> active_time.ActivePeriod:
        """Return the period in the zone of this machine if no other is given."""
        zone = get_zone(self.tz or get_local_zone_name())
        return active_time.ActivePeriod(self.days, self.start, self.end, zone)


def _read_active_time(value: object) -> object:
    """Return a list of periods; `mon-fri 08:00-18:00` is a short form."""
    if isinstance(value, str):
        words = value.split()
        hours = [word for word in words if ":" in word]
        days = [word for word in words if ":" not in word]
        if not words or len(hours) > 1:
            raise ValueError(
                tr(
                    'must be days and hours such as "mon-fri 08:00-18:00", not {value}; list'
                    " several in []",
                    value=quote(value),
                )
            )
        begin, _, end = hours[0].partition("-") if hours else ("00:00", "", "24:00")
        return [{"from": begin, "to": end} | ({"days": days} if days else {})]
    if is_array(value):
        parts: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        texts: list[Any] = [
            _read_active_time(part) if isinstance(part, str) else [part] for part in parts
        ]
        return [one for found in texts for one in found]
    return [value] if is_object(value) else value


ShortPeriod = Annotated[
    str,
    _schema(
        {"type": "string", "pattern": active_time.PERIOD_PATTERN},
        "mon-fri 08:00-18:00",
        "Days, hours, or both.",
    ),
]
Periods = Annotated[
    list[ActiveTime],
    BeforeValidator(
        _read_active_time,
        json_schema_input_type=ShortPeriod | ActiveTime | list[ShortPeriod | ActiveTime],
    ),
]
RuleName = Annotated[
    str,
    _schema(
        {"type": "string", "pattern": r"^\s*[^./\s][^/]*$", "maxLength": 200},
        "disk-full",
        "Name of a rule.",
    ),
]
RuleNames = Annotated[
    list[str], BeforeValidator(_to_list, json_schema_input_type=RuleName | list[RuleName])
]
ScopeWord = Literal["instance", "task", "schedule", "queue", "pool", "host", "taskdeck"]


class Conditions(Form):
    """Conditions of a rule in the general form."""

    scope: ScopeWord
    match: Match = Match()
    for_each: (
        Literal[
            "instance", "task", "template", "schedule", "queue", "pool", "host", "taskdeck", "rule"
        ]
        | None
    ) = Field(None, description="What makes one alert; by default the scope.")
    when: Node
    for_: Seconds = Field(0.0, alias="for")
    keep_firing_for: Seconds = 0.0
    escalate: Escalation | None = None
    active_time: Periods = []
    inhibited_by: RuleNames = []
    on_no_data: Literal["ok", "alert"] = "ok"

    @model_validator(mode="after")
    def _check(self) -> Conditions:
        nodes = [*walk(self.when)]
        if len(nodes) > MAX_NODES:
            raise ValueError(tr(".when: has more than {max_nodes} parts", max_nodes=MAX_NODES))
        for name in self.inhibited_by:
            if wrong := find_name_error(name):
                raise ValueError(tr(".inhibited_by: a name {wrong}", wrong=wrong))
        return self


AnyNodeType = AllNode | AnyNode | NotNode | DeadlineNode | ForecastNode | MetricNode


def list_parts(node: AnyNodeType) -> Sequence[AnyNodeType]:
    """Return the parts of `all`, `any` or `not`."""
    if isinstance(node, AllNode):
        return node.all
    if isinstance(node, AnyNode):
        return node.any
    return [node.not_] if isinstance(node, NotNode) else []


def walk(node: AnyNodeType) -> list[AnyNodeType]:
    """Return a node and all nodes below it."""
    return [node, *(below for part in list_parts(node) for below in walk(part))]


def parse_conditions(conditions: object) -> Conditions:
    """Return the model. Raise ValueError with one sentence that names the path."""
    if not is_object(conditions):
        raise ValueError(tr("conditions must be a table with scope and when"))
    if _measure_depth(conditions) > 4 * MAX_DEPTH:
        raise ValueError(
            tr("conditions.when: is nested deeper than {max_depth} levels", max_depth=MAX_DEPTH)
        )
    try:
        return Conditions.model_validate(conditions)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A table in place of a reference is a fixed time, so no word is missing.
        found = [one for one in found if not _is_about_word(one)] or found
        faults = [_format_fault(fault) for fault in found]
        raise ValueError("; ".join(dict.fromkeys(faults))) from None


def _is_about_word(fault: ErrorDetails) -> bool:
    return fault["type"] == "literal_error" and is_object(fault["input"])


def normalize_form(conditions: object) -> dict[str, Any]:
    """Return valid conditions as stored: as typed, without keys that are null."""
    assert is_object(conditions)
    return _drop_nulls(conditions)


def _drop_nulls(value: Any) -> Any:
    if is_object(value):
        return {str(key): _drop_nulls(one) for key, one in value.items() if one is not None}
    return [_drop_nulls(one) for one in value] if is_array(value) else value


def _measure_depth(value: object, depth: int = 0) -> int:
    if depth > 4 * MAX_DEPTH:
        return depth
    parts: list[object] = []
    if is_object(value):
        parts = list(value.values())
    elif is_array(value):
        parts = list(value)  # pyright: ignore[reportUnknownArgumentType]
    return max((_measure_depth(part, depth + 1) for part in parts), default=depth)


def _format_fault(fault: ErrorDetails) -> str:
    where = _format_path(fault["loc"])
    kind, given = fault["type"], fault["input"]
    if kind == "missing":
        parent, _, key = where.rpartition(".")
        return tr("{value}: needs {key}", value=parent or "conditions", key=key)
    if kind == "extra_forbidden":
        parent, _, key = where.rpartition(".")
        if parent == "conditions" and key in _RULE_KEYS:
            return tr(
                "{parent}: {key} is a key of the rule, beside conditions", parent=parent, key=key
            )
        if key in _KINDS and parent.rpartition(".")[2].partition("[")[0] in (
            "when",
            "all",
            "any",
            "not",
        ):
            return tr(
                "{parent}: {key} goes with no other condition; join several by all or any",
                parent=parent,
                key=key,
            )
        return tr(
            "{parent}: unknown key {key}{nearest}",
            parent=parent,
            key=quote(key),
            nearest=_name_nearest(key, _list_keys(parent)),
        )
    if kind in _TYPE_FAULTS:
        return tr("{where}: must be {wanted}", where=where, wanted=tr(_TYPE_FAULTS[kind]))
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return tr(
            "{where}: needs one of {words}{nearest}",
            where=where,
            words=_list_words(_KINDS),
            nearest=_name_nearest_kind(given),
        )
    if kind == "value_error":
        message = str(fault.get("ctx", {}).get("error", fault["msg"]))
        return f"{where}{message}" if message[:1] in (".", ":") else f"{where}: {message}"
    if kind == "literal_error":
        expected = str(fault.get("ctx", {}).get("expected", "")).replace("'", "")
        words = expected.replace(" or ", ", ").split(", ")
        return tr(
            "{where}: must be {expected}{nearest}",
            where=where,
            expected=expected,
            nearest=_name_nearest(given, words),
        )
    return f"{where}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


_RULE_KEYS = ("severity", "actions", "enabled")
_TYPE_FAULTS = {
    "model_type": tr_noop("a table"),
    "model_attributes_type": tr_noop("a table"),
    "dict_type": tr_noop("a table"),
    "list_type": tr_noop("a list"),
    "string_type": tr_noop("text"),
    "float_type": tr_noop("a number"),
    "int_type": tr_noop("a whole number"),
}


def _format_path(steps: Sequence[int | str]) -> str:
    """Return a path such as `conditions.when.all[0].op`."""
    path = "conditions"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("~") and not step.endswith("]") and step != "FixedReference":
            path += f".{sanitize(step)[:40]}"
    return path


_KEYS: Mapping[str, type[Form]] = {
    "match": Match,
    "baseline": Baseline,
    "reference": FixedReference,
    "deadline": Deadline,
    "forecast": ForecastDeadline,
    "escalate": Escalation,
    "active_time": ActiveTime,
    "conditions": Conditions,
}


def _list_keys(parent: str) -> list[str]:
    last = parent.rpartition(".")[2].partition("[")[0]
    model = _KEYS.get(last, MetricNode)
    return [field.alias or name for name, field in model.model_fields.items()]


def _list_words(words: Sequence[str]) -> str:
    return tr("{words} or {last}", words=", ".join(words[:-1]), last=words[-1])


def _name_nearest(word: object, known: Sequence[str]) -> str:
    near = find_nearest(str(word), known)
    return f". Nearest: {near}" if near else ""


def _name_nearest_kind(given: object) -> str:
    for key in list(given) if is_object(given) else []:
        if near := _name_nearest(key, _KINDS):
            return near
    return ""


def _name_nearest_metric(word: object) -> str:
    text = str(word)
    if near := find_nearest(text, catalog.METRICS):
        return f". Nearest: {near}"
    tails = {name.partition(".")[2]: name for name in catalog.METRICS}
    near = find_nearest(text.rpartition(".")[2], tails)
    if near:
        return f". Nearest: {tails[near]}"
    ratio = f"{text}_ratio"
    return (
        tr(". Nearest: {ratio}", ratio=ratio)
        if ratio in catalog.METRICS
        else tr(". See: taskdeck help sla")
    )
