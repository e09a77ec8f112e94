"""Arguments of the tools, with the bounds that a client cannot exceed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage

MAX_COMMAND = 64 * 1024
"""Maximum number of characters of a command with its arguments."""
MAX_WAIT = 300
MAX_TASKS = 20
MAX_ROWS = 100
MAX_KIB = 64
MIN_CPU = 0.1
"""Minimum cores of a task: a task without cores would pass any limit of cores."""


def _check_command(argv: list[str]) -> list[str]:
    if any("\ud800" <= char <= "\udfff" for word in argv for char in word):
        raise ValueError("is not UTF-8 text")
    if sum(len(word) + 1 for word in argv) > MAX_COMMAND:
        raise ValueError(f"is longer than {MAX_COMMAND:,} characters; put it into a script")
    return argv


def _check_duration(text: str) -> str:
    units.parse_positive_duration(text)
    return text


def _check_size(text: str) -> str:
    units.parse_size(text)
    return text


Number = Annotated[int, Field(ge=1, lt=2**62, description="Number of a task.")]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=MAX_TASKS)]
Argv = Annotated[
    list[str],
    Field(
        min_length=1,
        max_length=1000,
        description=(
            'Program and arguments, as ["make", "-j4"]. No shell reads them;'
            ' for one: ["sh", "-c", "make && make test"].'
        ),
    ),
    AfterValidator(_check_command),
]
Cores = Annotated[
    float, Field(ge=MIN_CPU, le=100_000, description="Cores to reserve; 1 if left out.")
]
Size = Annotated[
    str,
    AfterValidator(_check_size),
    Field(max_length=20, description="Memory, such as 512M or 2G."),
]
Duration = Annotated[
    str,
    AfterValidator(_check_duration),
    Field(max_length=20, description="Time after which the task is ended, such as 90s or 2h."),
]
Queue = Annotated[str, Field(min_length=1, max_length=200, description="Name of a queue.")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Status = Literal[
    "scheduled", "blocked", "held", "queued", "running", "retrying",
    "succeeded", "failed", "timed_out", "cancelled", "lost",
]  # fmt: skip


class Arguments(BaseModel):
    """Arguments of a tool. An unknown name is an error, since a limit may be misspelt."""

    model_config = ConfigDict(extra="forbid")


class NewTask(Arguments):
    """A command with what it asks for."""

    argv: Argv
    name: Annotated[Text | None, Field(description="Name in lists; usually left out.")] = None
    queue: Queue | None = None
    cpu: Cores | None = None
    memory: Size | None = None
    timeout: Duration | None = None

    def to_spec(self) -> dict[str, Any]:
        """Return the task as the runtime takes it."""
        found: dict[str, Any] = {
            "argv": self.argv,
            "name": self.name,
            "queue": self.queue,
            "cpu": self.cpu,
            "memory": None if self.memory is None else units.parse_size(self.memory),
            "timeout": None if self.timeout is None else units.parse_duration(self.timeout),
        }
        return {name: value for name, value in found.items() if value is not None}


class SubmitArguments(NewTask):
    """Arguments of `submit`."""

    cwd: Annotated[
        str | None,
        Field(
            max_length=4096,
            description="Absolute path of the working directory; that of the server if left out.",
        ),
    ] = None
    tags: Annotated[
        dict[Text, Annotated[str, Field(max_length=200)]] | None, Field(max_length=10)
    ] = None
    dry_run: Annotated[bool, Field(description="Check and forecast only; submit nothing.")] = False


class ListArguments(Arguments):
    """Arguments of `list`."""

    status: Annotated[
        list[Status] | None, Field(max_length=11, description="Only these; all if left out.")
    ] = None
    everyone: Annotated[bool, Field(description="Also the tasks of users and other clients.")] = (
        False
    )
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 20


class TaskArguments(Arguments):
    """Arguments of `show` and `why`."""

    number: Number


class LogsArguments(TaskArguments):
    """Arguments of `logs`."""

    attempt: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="The latest if left out.")
    ] = None
    kib: Annotated[int, Field(ge=1, le=MAX_KIB, description="Maximum KiB of output.")] = 16


class WaitArguments(Arguments):
    """Arguments of `wait`."""

    numbers: Numbers
    seconds: Annotated[
        float, Field(ge=0, le=MAX_WAIT, description="Answer after this time at the latest.")
    ] = 30


class CancelArguments(Arguments):
    """Arguments of `cancel`."""

    numbers: Numbers


class RetryArguments(CancelArguments):
    """Arguments of `retry`."""

    again: Annotated[bool, Field(description="Also tasks that succeeded.")] = False


class StatusArguments(Arguments):
    """Arguments of `status`."""


class WhatIfArguments(Arguments):
    """Arguments of `what_if`."""

    submit: Annotated[list[NewTask], Field(max_length=MAX_TASKS)] = []
    cancel: Annotated[list[Number], Field(max_length=MAX_TASKS)] = []
    settings: Annotated[
        list[Annotated[str, Field(max_length=200)]],
        Field(max_length=10, description="Such as queue.default.capacity=8."),
    ] = []


def parse_arguments(kind: type[Arguments], given: Any) -> Any:
    """Return the arguments of a call. Raise Usage that names the first wrong one."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = truncate(sanitize(".".join(map(str, first["loc"]))), 60)
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise Usage(
                f'there is no argument "{where}". Nothing was done.', f"There are: {known}."
            ) from None
        said = truncate(sanitize(first["msg"].removeprefix("Value error, ")), 200)
        raise Usage(f"{where}: {said}. Nothing was done.") from None
