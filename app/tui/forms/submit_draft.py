"""Value model of the submit form: typed texts and the task specification they mean.

Commands are split by shell quoting rules but run without a shell, so shell operators are detected
and reported.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.core.dependency_kinds import AFTER_FIELDS
from app.core.early_signal import parse_early_signal
from app.core.oom_retry import parse_oom_retry
from app.core.schema.form_fields import FieldPath
from app.core.text import units
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.translation import tr, tr_noop
from app.tui.actions.shell_command import build_spec_from_task
from app.tui.forms import notice_model, resource_field

KINDS = ("command", "shell", "template")
FIELDS = (
    "name",
    "queue",
    "priority",
    "cpu",
    "memory",
    "resources",
    "timeout",
    "retries",
    "retry_delay",
    "signal",
    "retry_on_oom",
    "after",
    "at",
    "notify",
    "cwd",
)
_OPERATORS = re.compile(
    r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?P<sign>&&|\|\||>>|[|<>;&`*?]|\$[({\w])""", re.S
)


@dataclass(frozen=True, slots=True)
class SubmitDraft:
    """Typed texts. `values` holds the texts of FIELDS.

    `parameters` holds, by template, the parameter texts that differ from defaults. `other_options`
    holds fields of a repeated task that the form does not show, as verb `submit` takes them.
    """

    kind: str = "command"
    command: str = ""
    script: str = ""
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    hold: bool = False
    parameters: Mapping[str, Mapping[FieldPath, str]] = field(default_factory=dict)
    other_options: Mapping[str, Any] = field(default_factory=dict)

    def get_text(self, name: str) -> str:
        """Return the text of a field without surrounding blanks."""
        return self.values.get(name, "").strip()


def build_spec(draft: SubmitDraft, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the specification for verb `submit`, including template parameters.

    `parameters` is the field `parameters` or `parameter_texts`. Raise ValueError if the command
    cannot be split.
    """
    found: dict[str, Any] = {
        name: draft.get_text(name)
        for name in FIELDS
        if draft.get_text(name) and name not in ("after", "notify")
    }
    if notice := draft.values.get("notify"):
        keys = notice_model.make_notice_keys(notice)
        found |= {name: value for name, value in keys.items() if value not in ("", "ended")}
    if "resources" in found:
        found["resources"] = resource_field.parse_resources(found["resources"])
    if "cwd" in found:
        found["cwd"] = os.path.expanduser(found["cwd"])
    if draft.kind == "command":
        found["argv"] = split_command(draft.command)
    elif draft.kind == "shell":
        found["script"] = draft.script
    else:
        found |= {"template": draft.template, **(parameters or {})}
    found |= parse_parents(draft.get_text("after"))
    return found | dict(draft.other_options) | ({"hold": True} if draft.hold else {})


def parse_parents(text: str) -> dict[str, list[str]]:
    """Return the fields of a specification for `4, any:5, failure:6, start:7`."""
    found: dict[str, list[str]] = {}
    for word in text.replace(",", " ").split():
        kind, _, parent = word.partition(":")
        field = f"after_{kind}"
        known = field in AFTER_FIELDS and parent
        found.setdefault(field if known else "after", []).append(parent if known else word)
    return found


def make_draft(task: Mapping[str, Any]) -> SubmitDraft:
    """Return a draft of the same task from its row in the reply of `show`, without parameters."""
    spec = build_spec_from_task(task)
    if task.get("template"):
        spec["cpu"] = units.format_number(task["cpu"])  # the template may request another value
    spec["resources"] = resource_field.format_resources(task.get("resources"))
    if task.get("retry_delay", 1.0) != 1.0:
        spec["retry_delay"] = units.format_number(task["retry_delay"])
    kind = "template" if task.get("template") else "shell" if spec.get("script") else "command"
    return SubmitDraft(
        kind=kind,
        command=shlex.join(map(str, spec.get("argv") or ())),
        script=str(spec.get("script") or ""),
        template=str(task.get("template") or ""),
        values={name: str(spec[name]) for name in FIELDS if spec.get(name) not in (None, "")}
        | {"notify": notice_model.read_recipient(task.get("notify"))},
        other_options={
            name: task[name]
            for name, usual in _HIDDEN_FIELDS
            if task.get(name) not in (None, usual)
        },
    )


_HIDDEN_FIELDS: tuple[tuple[str, Any], ...] = (
    ("tags", {}), ("grace", 5.0), ("log_limit", None), ("output", None), ("stdin", False),
    ("split", False), ("error", None),
)  # fmt: skip
"""Task fields missing in the form, with their defaults."""


def split_command(command: str) -> list[str]:
    """Split a command into words. Raise ValueError if a quotation mark is unbalanced."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(
            tr("Command: {error}", error=f"{str(error)[:1].lower()}{str(error)[1:]}")
        ) from None


def find_shell_operators(command: str) -> list[str]:
    """Return the unquoted shell operators in a command, each once."""
    found = [match["sign"] for match in _OPERATORS.finditer(command) if match["sign"]]
    return list(dict.fromkeys(sign[0] if sign[0] == "$" else sign for sign in found))


def find_shell_word(command: str) -> str:
    """Return the first word if only a shell knows it (`for`, `cd`, `A=1`), else "".

    Programs of the same name take precedence.
    """
    try:
        first = next(iter(split_command(command)), "")
    except ValueError:
        return ""
    known = first in _SHELL_WORDS or first.startswith("(") or _ASSIGNMENT.match(first)
    return first if known and not shutil.which(first) else ""


_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_SHELL = (
    "if then else elif fi for while until do done case esac select function time { } ! [[ . : alias"
    " bg bind break builtin cd command continue declare dirs disown eval exec exit export fg"
    " getopts hash jobs let local logout mapfile popd pushd read readarray readonly return set"
    " shift shopt source times trap type typeset ulimit umask unalias unset wait"
)
_SHELL_WORDS = frozenset(_SHELL.split())


def find_faults(draft: SubmitDraft, base: str, now: datetime) -> dict[str, str]:
    """Return {field: error sentence} for errors found without a runtime.

    The key `command` means the command, the script or the template.
    """
    found = {
        "command": _check_command(draft),
        "cwd": _check_directory(draft, base),
        "name": _check_name(draft),
    }
    for name, label, parse in _PARSERS:
        found[name] = _check_field(tr(label), draft.get_text(name), parse)
    found["at"] = _check_field(
        tr("Start at"), draft.get_text("at"), lambda text: units.parse_time(text, now)
    )
    return {name: text for name, text in found.items() if text}


def drop_fields(draft: SubmitDraft, faulty: Collection[str]) -> SubmitDraft:
    """Return the draft without the faulty fields, so the rest can be checked.

    A faulty command is replaced with `true`.
    """
    sound = replace(
        draft, values={name: text for name, text in draft.values.items() if name not in faulty}
    )
    return replace(sound, kind="command", command="true") if "command" in faulty else sound


def _check_field(label: str, text: str, parse: Callable[[str], object]) -> str:
    if not text:
        return ""
    try:
        parse(text)
    except ValueError as error:
        return f"{label} {error}"
    return ""


_PARSERS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("priority", tr_noop("Priority"), lambda text: units.parse_int(text, -1_000_000, 1_000_000)),
    ("cpu", "CPU", units.parse_cpu),
    ("memory", tr_noop("Memory"), units.parse_size),
    ("resources", tr_noop("Resources"), resource_field.parse_resources),
    ("timeout", tr_noop("Timeout"), units.parse_positive_duration),
    ("retries", tr_noop("Retries"), lambda text: units.parse_int(text, 0, 10_000)),
    ("retry_delay", tr_noop("every"), units.parse_duration),
    ("signal", tr_noop("Signal"), parse_early_signal),
    ("retry_on_oom", tr_noop("On OOM"), parse_oom_retry),
)


def _check_command(draft: SubmitDraft) -> str:
    if draft.kind == "template":
        return "" if draft.template else tr("Choose a template.")
    if draft.kind == "shell":
        return "" if draft.script.strip() else tr("Shell text is empty.")
    try:
        found = split_command(draft.command)
    except ValueError as error:
        return str(error)
    if word := find_shell_word(draft.command):
        return tr(
            'Command: "{word}" is a shell word, not a program. Choose Run: shell text.',
            word=truncate(sanitize(word), 20),
        )
    return "" if found else tr("Command is empty.")


def _check_name(draft: SubmitDraft) -> str:
    name = draft.get_text("name")
    return tr("Name {wrong}", wrong=wrong) if name and (wrong := find_name_error(name)) else ""


def _check_directory(draft: SubmitDraft, base: str) -> str:
    if not draft.get_text("cwd"):
        return ""
    path = os.path.join(base, os.path.expanduser(draft.get_text("cwd")))
    if os.path.isdir(path):
        return ""
    near = find_nearest_directory(path)
    shown = sanitize(path)
    fault = (
        tr("In: {path} is not a directory.", path=shown)
        if os.path.exists(path)
        else tr("In: {path} does not exist.", path=shown)
    )
    return fault + (tr(" Did you mean {near}?", near=sanitize(near)) if near else "")


def find_nearest_directory(path: str) -> str | None:
    """Return the existing sibling directory that was probably meant."""
    parent, name = os.path.split(path.rstrip("/"))
    try:
        with os.scandir(parent) as entries:
            sibling_names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return None
    near = find_nearest(name, sibling_names)
    return os.path.join(parent, near) if near else None
