"""Models of SLA conditions in the general form, with their JSON Schema.

`parse_conditions` returns the model. An error names the
path of the key, such as `conditions.when.all[0].op`, and the nearest known word.
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

OPERATORS = (">", ">=", "<", "<=", "==", "!=")
STATS = ("mean", "min", "max", "median", "count", "sum", "p50", "p90", "p95", "p99")
REFERENCES = ("queued_at", "started_at", "scheduled_at")
MAX_NODES, MAX_DEPTH = 50, 8
"""Size of a condition that a person can still read."""


def _parse_duration(value: object) -> float:
    seconds = amounts.parse_seconds(value)
    if seconds < 0:
        raise ValueError(f"must not be negative, not {quote(str(value))}")
    return seconds


def _parse_window(value: object) -> float:
    seconds = amounts.parse_seconds(value)
    if not 1 <= seconds <= 31 * 86400:
        raise ValueError(f"must be 1s to 31d, not {quote(str(value))}")
    return seconds


def _parse_zone(value: object) -> str:
    return get_zone(str(value)).key


def _parse_clock(value: object) -> int:
    return active_time.parse_clock(value)


def _to_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _parse_stat(value: object) -> str:
    word = {"avg": "mean", "average": "mean"}.get(str(value), str(value))
    if word not in STATS:
        raise ValueError(f"must be {_list_words(STATS)}{_name_nearest(value, STATS)}")
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
            raise ValueError('must be tags such as { team = "db" }')
    return found


def _schema(kind: Any, example: Any, description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "examples": [example], "description": description})


Seconds = Annotated[
    float,
    BeforeValidator(_parse_duration),
    _schema(["number", "string"], "10m", "Seconds, or a duration such as 30s, 10m, 1h30m, 2d."),
]
Offset = Annotated[
    float,
    BeforeValidator(amounts.parse_seconds),
    _schema(["number", "string"], "30m", "Seconds or a duration; negative: before the reference."),
]
Window = Annotated[
    float, BeforeValidator(_parse_window), _schema(["number", "string"], "10m", "1s to 31d.")
]
Stat = Annotated[
    str,
    BeforeValidator(_parse_stat),
    WithJsonSchema({"enum": list(STATS), "description": "Statistic of the values in the window."}),
]
Zone = Annotated[
    str,
    BeforeValidator(_parse_zone),
    _schema("string", "Europe/Berlin", "Time zone; by default the zone of this machine."),
]
Clock = Annotated[
    int, BeforeValidator(_parse_clock), _schema("string", "06:00", "Time of day, HH:MM.")
]
Days = Annotated[
    frozenset[int],
    BeforeValidator(active_time.parse_days),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "examples": ["mon-fri", ["sat", "sun"]],
            "description": "Days: mon-fri, workdays, weekend, daily, or a list.",
        }
    ),
]
Globs = Annotated[
    list[str],
    BeforeValidator(_to_list),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "examples": ["nightly-*"],
            "description": "A name with * and ?, or a list of such names.",
        }
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
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
    ] = {}


class Baseline(Form):
    """A limit from the last successful runs of the same template or name."""

    stat: Stat = "median"
    runs: Annotated[int, Field(ge=1, le=200)] = 20
    factor: Annotated[float, Field(gt=0, le=1000)]


class MetricNode(Form):
    """Comparison of a metric with a value, or with a baseline."""

    metric: Annotated[str, WithJsonSchema({"enum": list(catalog.METRICS)})]
    op: Literal[">", ">=", "<", "<=", "==", "!="]
    value: Annotated[
        float | None,
        _schema(["number", "string"], "30m", "In the unit of the metric: 30m, 512M, 0.9 or 90%."),
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
            named = {("metric" if key == "name" else key): word for key, word in nested.items()}
            values = {**values, **named}
        metric = values.get("metric")
        if not isinstance(metric, str) or metric not in catalog.METRICS:
            raise ValueError(
                f".metric: unknown metric {quote(str(metric))}{_name_nearest_metric(metric)}"
            )
        op = {"=": "==", "≥": ">=", "≤": "<="}.get(str(values.get("op")), values.get("op"))
        if op not in OPERATORS:
            raise ValueError(f".op: must be {_list_words(OPERATORS)}, not {quote(str(op))}")
        values["op"] = op
        if values.get("value") is not None:
            try:
                values["value"] = amounts.parse_amount(
                    _get_value_unit(metric, values), values["value"]
                )
            except ValueError as error:
                raise ValueError(f".value: {error}") from None
        return values

    @model_validator(mode="after")
    def _check(self) -> MetricNode:
        if (self.value is None) is (self.baseline is None):
            raise ValueError(": needs either value or baseline")
        if self.rate_over is not None and (self.stat or self.window):
            raise ValueError(".rate_over: goes with neither stat nor window")
        if self.stat is not None and self.window is None:
            raise ValueError('.stat: needs a window, such as window = "10m"')
        always = self.metric in catalog.WINDOW_METRICS
        if self.window is not None and self.stat is None and not always:
            raise ValueError('.window: needs a stat, such as stat = "p95"')
        if self.rate_over is not None and catalog.get_family(self.metric) in ("task", "schedule"):
            raise ValueError(f".rate_over: does not apply to {self.metric}")
        is_run_metric = catalog.get_family(self.metric) == "instance"
        if self.rate_over is not None and is_run_metric and self.metric != "instance.attempt":
            raise ValueError(
                ".rate_over: of instance metrics, only instance.attempt (restarts) has one; use"
                " stat and window"
            )
        if self.stat is not None and catalog.get_family(self.metric) in ("task", "schedule"):
            raise ValueError(f".stat: does not apply to {self.metric}")
        if self.baseline is not None and self.metric not in (
            "instance.run_seconds", "instance.rss_mib", "instance.queued_seconds"
        ):  # fmt: skip
            raise ValueError(
                ".baseline: only for instance.run_seconds, instance.queued_seconds and"
                " instance.rss_mib"
            )
        return self


def _get_value_unit(metric: str, values: Mapping[Any, Any]) -> str:
    return catalog.COUNT if values.get("stat") == "count" else catalog.METRICS[metric].unit


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
                f".reference: must be {_list_words(REFERENCES)}, or a table such as"
                f' {{ fixed = "06:00", days = "mon-fri" }}{_name_nearest(reference, REFERENCES)}'
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
        begin, _, end = hours[0].partition("-") if hours else ("00:00", "", "24:00")
        return [{"from": begin, "to": end} | ({"days": days} if days else {})]
    return [value] if is_object(value) else value


Periods = Annotated[
    list[ActiveTime],
    BeforeValidator(_read_active_time, json_schema_input_type=str | ActiveTime | list[ActiveTime]),
]
RuleNames = Annotated[list[str], BeforeValidator(_to_list, json_schema_input_type=str | list[str])]
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
            raise ValueError(f".when: has more than {MAX_NODES} parts")
        for name in self.inhibited_by:
            if wrong := find_name_error(name):
                raise ValueError(f".inhibited_by: a name {wrong}")
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
        raise ValueError("conditions must be a table with scope and when")
    if _measure_depth(conditions) > 4 * MAX_DEPTH:
        raise ValueError(f"conditions.when: is nested deeper than {MAX_DEPTH} levels")
    try:
        return Conditions.model_validate(conditions)
    except ValidationError as error:
        faults = [
            _format_fault(fault)
            for fault in error.errors(include_url=False)
            if not (fault["type"] == "literal_error" and is_object(fault["input"]))
        ]
        raise ValueError("; ".join(dict.fromkeys(faults))) from None


def normalize_form(conditions: object) -> dict[str, Any]:
    """Return valid conditions as stored: as typed."""
    assert is_object(conditions)
    return {str(key): value for key, value in conditions.items()}


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of conditions."""
    schema = Conditions.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


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
        return f"{parent or 'conditions'}: needs {key}"
    if kind == "extra_forbidden":
        parent, _, key = where.rpartition(".")
        return f"{parent}: unknown key {quote(key)}{_name_nearest(key, _list_keys(parent))}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return f"{where}: needs one of {_list_words(_KINDS)}{_name_nearest_kind(given)}"
    if kind == "value_error":
        message = str(fault.get("ctx", {}).get("error", fault["msg"]))
        return f"{where}{message}" if message[:1] in (".", ":") else f"{where}: {message}"
    if kind == "literal_error":
        expected = str(fault.get("ctx", {}).get("expected", "")).replace("'", "")
        words = expected.replace(" or ", ", ").split(", ")
        return f"{where}: must be {expected}{_name_nearest(given, words)}"
    return f"{where}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


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
    return f"{', '.join(words[:-1])} or {words[-1]}"


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
    return f". Nearest: {tails[near]}" if near else ". See: taskdeck help sla"
