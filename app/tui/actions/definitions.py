"""Checking and saving the text of one definition.

The deck parses the text and sends its tables, so that a hostile text costs the runtime nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core import shell_context
from app.core.text.joining import end_sentence
from app.errors import NotFound, Problem, Usage

if TYPE_CHECKING:
    from app.client import Client


@dataclass(frozen=True, slots=True)
class DefinitionSubject:
    """Definition that a text in the editor defines. `name` is None for a new definition."""

    kind: str
    name: str | None
    format: str


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Result of saving: the answer, or the problem and the definition that is stored now."""

    answer: Mapping[str, Any]
    problem: Problem | None = None
    stored_definition: Mapping[str, Any] | None = None


def check_definition(subject: DefinitionSubject, text: str, client: Client) -> Mapping[str, Any]:
    """Return the answer of `definition.check` for a text, with the position of each fault.

    Send nothing if the text cannot be parsed.
    """
    from app.core.definitions import one_definition

    kind, name, format = subject.kind, subject.name, subject.format
    tables, faults = one_definition.read_text(kind, name, text, format)
    if faults:
        return {"name": name, "faults": faults, "before": "", "after": "", "fields": {}}
    args = {"kind": kind, "name": name, "tables": tables, "format": format}
    answer = client.call("definition.check", args)
    located = [one_definition.make_fault(fault["message"], text) for fault in answer["faults"]]
    return {**answer, "faults": one_definition.sort_faults(located)}


def save_definition(
    subject: DefinitionSubject, text: str, was: str | None, client: Client
) -> SaveResult:
    """Store a definition, unless the stored text is no longer `was`."""
    from app.core.definitions import one_definition

    kind, name = subject.kind, subject.name
    try:
        tables, faults = one_definition.read_text(kind, name, text, subject.format)
        if faults:
            raise Usage(end_sentence(faults[0]["message"]))
        args = {"kind": kind, "name": name, "tables": tables, "was": was}
        if kind == "schedules":
            args |= shell_context.read_context()
        return SaveResult(client.call("definition.set", args))
    except Problem as problem:
        if name is None or problem.exit_code == NotFound.exit_code:
            return SaveResult({}, problem)
        return SaveResult({}, problem, client.call("definition.show", {"kind": kind, "name": name}))
