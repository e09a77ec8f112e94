"""Pydantic model of a submission, with readable errors.

Arguments may contain any bytes except NUL (undecodable ones as surrogates). Numbers may have units
(`30m`, `512M`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from app.core import early_signal, oom_retry
from app.core.dependency_kinds import AFTER_FIELDS
from app.core.notifications.notices import NEVER, OUTCOMES
from app.core.output_file import check_pattern
from app.core.scheduling.enforcement import normalize_enforce
from app.core.scheduling.order import check_ageing, check_policy
from app.core.scheduling.resources import GPU, MAX_AMOUNT, check_named
from app.core.schema import secrets
from app.core.text import units
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.translation import tr, tr_noop

MAX_ARGUMENT = 128 * 1024 - 1
"""Linux MAX_ARG_STRLEN, without the NUL."""

MAX_COMMAND = 1536 * 1024
"""Below the 2 MiB that Linux allows for argv and environment together."""

MAX_PRIORITY = 1_000_000
MAX_RETRIES = 10_000
MAX_CAPACITY = 100_000


def _check_os_text(value: Any) -> str:
    """Check a string of any bytes except NUL.

    Pydantic's own str rejects undecodable bytes.
    """
    if not isinstance(value, str):
        raise ValueError(tr("must be text"))  # the value may be secret: a variable or a parameter
    if "\0" in value:
        raise ValueError(tr("must not contain a NUL byte"))
    if len(value) > MAX_ARGUMENT:
        raise ValueError(tr("must be shorter than 128 KiB, not {n:,} characters", n=len(value)))
    return value


def _make_amount_validator(parse: Any) -> BeforeValidator:
    """Return a validator for a number with or without unit."""

    def check(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(
                tr("must be a number or an amount, not {value}", value=format_value(value))
            )
        return parse(value if isinstance(value, str) else repr(value))

    return BeforeValidator(check)


def _make_integer_validator(low: int, high: int) -> BeforeValidator:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(tr("must be a whole number, not {value}", value=format_value(value)))
        if isinstance(value, int) and not low <= value <= high:
            raise ValueError(
                tr(
                    "must be {low:,} to {high:,}, not {value}",
                    low=low,
                    high=high,
                    value=truncate(str(value), 30),
                )
            )
        return units.parse_int(str(value), low, high)

    return BeforeValidator(check)


def _check_name(value: str) -> str:
    wrong = find_name_error(value)
    if wrong:
        raise ValueError(wrong)
    return value


def _check_not_empty(value: str) -> str:
    if not value:
        raise ValueError(tr("must not be empty"))
    return value


def format_value(value: Any) -> str:
    """Format an external value for a message, sanitized and shortened."""
    return truncate(sanitize(f'"{value}"' if isinstance(value, str) else str(value)), 60)


OsStr = Annotated[str, PlainValidator(_check_os_text)]
NameStr = Annotated[str, AfterValidator(_check_name)]
Duration = Annotated[float, _make_amount_validator(units.parse_duration)]
Timeout = Annotated[float, _make_amount_validator(units.parse_positive_duration)]
Size = Annotated[float, _make_amount_validator(units.parse_size)]
Cpu = Annotated[float, _make_amount_validator(units.parse_cpu)]
Priority = Annotated[int, _make_integer_validator(-MAX_PRIORITY, MAX_PRIORITY)]
Retries = Annotated[int, _make_integer_validator(0, MAX_RETRIES)]
Capacity = Annotated[int, _make_integer_validator(0, MAX_CAPACITY)]
Signal = Annotated[int, _make_integer_validator(1, 64)]
Resources = Annotated[dict[str, int], BeforeValidator(check_named)]
Policy = Annotated[str | None, BeforeValidator(check_policy)]
Ageing = Annotated[float | None, BeforeValidator(check_ageing)]
Enforce = Annotated[str | None, BeforeValidator(normalize_enforce)]
ResourceTotal = Annotated[int, _make_integer_validator(0, MAX_AMOUNT)]
TaskReference = int | str


def _check_early_signal(value: Any) -> str | None:
    if value is None or value == "none":
        return None
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError(tr("must be SIGNAL@TIME, not {value}", value=format_value(value)))
    return early_signal.normalize(str(value))


EarlySignalText = Annotated[str | None, BeforeValidator(_check_early_signal)]


OomRetryText = Annotated[str | None, BeforeValidator(oom_retry.normalize)]


def _check_outcome(value: str) -> str:
    if value not in (*OUTCOMES, NEVER):
        raise ValueError(
            tr(
                "must be {outcomes} or {never}, not {value}",
                outcomes=", ".join(OUTCOMES),
                never=NEVER,
                value=units.quote(value),
            )
        )
    return value


Outcome = Annotated[str, AfterValidator(_check_outcome)]


class TaskSpec(BaseModel):
    """One submission, with exactly one of argv, script and template.

    Units are seconds, cores and MiB. Defaults come from factories, since pydantic copies others for
    each task.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    argv: list[OsStr] | None = None
    script: OsStr | None = None
    template: str | None = None
    parameters: dict[str, Any] | None = None
    parameter_texts: list[list[OsStr]] | None = None
    name: NameStr | None = None
    queue: Annotated[str, AfterValidator(_check_not_empty)] | None = None
    priority: Priority = 0
    timeout: Timeout | None = None
    cpu: Cpu | None = None
    memory: Size | None = None
    resources: Resources | None = None
    gpu: ResourceTotal | None = None
    """Short for `gpu` in `resources`."""
    retries: Retries | None = None
    retry_delay: Duration = 1.0
    grace: Duration = 5.0
    after: list[TaskReference] = Field(default_factory=list[TaskReference])
    after_any: list[TaskReference] = Field(default_factory=list[TaskReference])
    after_failure: list[TaskReference] = Field(default_factory=list[TaskReference])
    after_start: list[TaskReference] = Field(default_factory=list[TaskReference])
    at: str | int | float | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    env: dict[OsStr, OsStr] = Field(default_factory=dict)
    cwd: Annotated[OsStr, AfterValidator(_check_not_empty)] | None = None
    hold: bool = False
    log_limit: Size | None = None
    signal: EarlySignalText = None
    output: Annotated[OsStr, AfterValidator(check_pattern)] | None = None
    retry_on_oom: OomRetryText = None
    error: Annotated[OsStr, AfterValidator(check_pattern)] | None = None
    stdin: bool = False
    split: bool = False
    notify: NameStr | None = None
    notify_on: Outcome | None = None

    @property
    def has_references(self) -> bool:
        """True if the task waits for others. Faster than to list them."""
        return bool(self.after or self.after_any or self.after_failure or self.after_start)

    @property
    def references(self) -> list[tuple[str, TaskReference]]:
        """The tasks that this task waits for, each with the kind of the dependency."""
        return [(kind, one) for field, kind in AFTER_FIELDS.items() for one in getattr(self, field)]

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        self._check_kind()
        if self.gpu is not None:
            if self.resources and GPU in self.resources:
                raise ValueError(tr("gpu and resources.gpu are the same: leave out one"))
            object.__setattr__(self, "resources", {**(self.resources or {}), GPU: self.gpu})
        if self.env or self.tags:
            self._check_keys()
        if self.notify is not None and self.notify_on == NEVER:
            raise ValueError(tr("notify_on {never} goes without a channel (notify)", never=NEVER))
        return self

    def _check_kind(self) -> None:
        kinds = ["argv"] if self.argv is not None else []
        kinds += ["script"] if self.script is not None else []
        kinds += ["template"] if self.template is not None else []
        if len(kinds) != 1:
            raise ValueError(
                tr("needs one of argv, script and template")
                + (tr(", not {kinds}", kinds=" and ".join(kinds)) if kinds else "")
            )
        if self.argv is not None and not (self.argv and self.argv[0]):
            raise ValueError(tr("argv must name a program: it is empty"))
        if self.script is not None and not self.script.strip():
            raise ValueError(tr("script is empty"))
        if sum(map(len, self.argv or ())) > MAX_COMMAND:
            raise ValueError(tr("argv is longer than a command line may be (1.5M)"))
        if kinds != ["template"] and (self.parameters or self.parameter_texts):
            raise ValueError(tr("parameters go with a template"))
        if any(len(pair) != 2 for pair in self.parameter_texts or ()):
            raise ValueError(tr("parameter_texts must be pairs of a name and a text"))

    def _check_keys(self) -> None:
        for name in self.env:
            if not name or "=" in name:
                shown = truncate(sanitize(name.partition("=")[0]), 40)
                value = "=…" if "=" in name else ""
                raise ValueError(
                    tr('env: "{shown}{value}" is not a variable name', shown=shown, value=value)
                )
        for key in self.tags:
            if not key or find_name_error(key.replace("/", "_")):
                raise ValueError(
                    tr('tags: "{key}" is not a tag name', key=truncate(sanitize(key), 40))
                )


def describe_error(error: ValidationError) -> str:
    """Return the first error as a sentence that starts with the option's name."""
    first = error.errors(include_url=False)[0]
    where = ".".join(
        sanitize(str(part))
        for part in first["loc"]
        if not str(part).startswith(("function-", "list[", "dict["))
    )
    kind = first["type"]
    if kind == "extra_forbidden":
        nearest = find_nearest(str(first["loc"][-1]), TaskSpec.model_fields)
        return tr('there is no option "{where}"', where=truncate(where, 60)) + (
            tr(". Nearest: {near}", near=nearest) if nearest else ""
        )
    if kind == "value_error":
        message = str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        return f"{where} {message}" if where else message
    if kind == "json_invalid":
        return tr(
            "is not valid JSON: {error}",
            error=first["ctx"]["error"] if "ctx" in first else first["msg"],
        )
    if kind in ("model_type", "model_attributes_type"):
        return tr('must be one JSON object, such as {"argv": ["true"]}')
    must = f"{where} {tr(_TYPE_ERRORS.get(kind, first['msg'][:1].lower() + first['msg'][1:]))}"
    secret = any(_SECRET_FIELDS.is_secret(str(part)) for part in first["loc"])
    return (
        must
        if secret
        else tr(
            "{must}, not {value}", must=must, value=format_value(secrets.mask_value(first["input"]))
        )
    )


_SECRET_FIELDS = secrets.DeclaredNames({"env", "parameters", "parameter_texts"})
"""Fields that may contain a secret in an unknown place if their shape is wrong."""


_TYPE_ERRORS = {
    "string_type": tr_noop("must be text"),
    "list_type": tr_noop("must be a list"),
    "dict_type": tr_noop("must be an object"),
    "bool_type": tr_noop("must be true or false"),
    "int_type": tr_noop("must be a whole number"),
    "float_type": tr_noop("must be a number"),
}
