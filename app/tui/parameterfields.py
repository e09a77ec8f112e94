"""The fields of a template's parameters, one for each property of its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from app.core import parameters
from app.core.clean import clean
from app.tui.draft import prefill
from app.tui.equal import as_typed
from app.tui.form import Field, Pick, Tick, entry

NAME = 14
_KIND_WORDS = {"string": "text", "integer": "whole number", "array": "JSON list", "object": "JSON object"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One property: the JSON types it takes, whether it is required, the text its field begins with."""

    name: str
    schema: Mapping[str, Any]
    kinds: frozenset[str]
    required: bool

    @property
    def default(self) -> str:
        """The text of its default; "" when there is none."""
        return prefill(self.schema, self.kinds)

    @property
    def hint(self) -> str:
        """What it is: its description, bounds, type."""
        said = clean(str(self.schema.get("description") or ""))
        return "  ".join(part for part in (_bounds(self.schema), said, "" if said else _kind(self.kinds)) if part)

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off and nothing else."""
        return self.kinds == {"boolean"}


def parameters_of(schema: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of a template's schema, in its order."""
    shape = parameters.shape(schema)
    return [
        Parameter(name, inner, parameters.kinds(inner, schema), name in shape.required)
        for name, inner in shape.properties.items()
    ]


class ParameterFields(Vertical):
    """Fields for a template's parameters, holding the given texts where there are some, else the defaults."""

    @dataclass
    class Filled(Message):
        """The fields stand there and hold their texts."""

    def __init__(self, template: str, schema: Mapping[str, Any], given: Mapping[str, str]) -> None:
        super().__init__()
        self.template = template
        self.parameters = parameters_of(schema)
        self.filled = False
        """Whether the fields stand there already."""
        self._given = given

    def compose(self) -> ComposeResult:
        for number, parameter in enumerate(self.parameters):
            label = clean(parameter.name) + ("*" if parameter.required else "")
            value = self._given.get(parameter.name, parameter.default)
            inner = _widget(parameter, value, f"parameter-{number}")
            size = 1 if parameter.is_switch else 26
            yield Field(label, inner, parameter.hint, size=size, column=NAME)

    def on_mount(self) -> None:
        self.filled = True
        self.post_message(self.Filled())

    def texts(self) -> dict[str, str]:
        """What was filled in and is not just the default."""
        return dict(self._filled())

    def _filled(self) -> Iterator[tuple[str, str]]:
        for number, parameter in enumerate(self.parameters):
            text = _text(self.query_one(f"#parameter-{number}"))
            off = parameter.is_switch and text == "false" and not parameter.required and not parameter.default
            if text not in ("", parameter.default) and not off:
                yield parameter.name, text


def _widget(parameter: Parameter, value: str, id: str) -> Widget:
    if parameter.is_switch:
        return Tick("", value == "true", id=id)
    if isinstance(parameter.schema.get("enum"), list):
        options = [as_typed(choice) for choice in parameter.schema["enum"]]
        blank = [("", "(not set)")] if not parameter.default else []
        return Pick([*blank, *((text, clean(text)) for text in options)], value, id=id)
    return entry(id, value)


def _text(widget: Widget) -> str:
    if isinstance(widget, Tick):
        return "true" if widget.value else "false"
    return widget.value if isinstance(widget, (Input, Pick)) else ""


def _kind(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(_KIND_WORDS.get(kind, kind) for kind in kinds))


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""
