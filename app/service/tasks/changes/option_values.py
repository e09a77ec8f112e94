"""Validation of the options of verbs on tasks."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.core import task_spec
from app.errors import Usage

SIGNAL: TypeAdapter[int] = TypeAdapter(task_spec.Signal)
SECONDS: TypeAdapter[float | None] = TypeAdapter(task_spec.Duration | None)
TOTAL: TypeAdapter[int] = TypeAdapter(task_spec.ResourceTotal)
COUNT: TypeAdapter[int] = TypeAdapter(task_spec.Capacity)
ATTEMPTS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])
ENDS: TypeAdapter[dict[str, float]] = TypeAdapter(dict[str, float])


def validate(name: str, kind: TypeAdapter[Any], value: Any) -> Any:
    """Return the parsed value. Raise Usage that begins with the option's name."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise Usage(
            "{name} {error}. Nothing was changed.", name=name, error=task_spec.describe_error(error)
        ) from None
