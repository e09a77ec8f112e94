"""Workflows: named tasks with what they need, from one TOML file.

`[tasks.NAME]` holds a command or a template, and settings as in a line of JSON. `[defaults]` holds
settings of all tasks, `[parameters]` the values of placeholders such as `{sample}`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from pydantic import ValidationError

from app.core.definitions.toml_yaml import read_document
from app.core.dependency_kinds import AFTER_FIELDS
from app.core.json_types import is_array, is_object
from app.core.shell_quotes import is_unquoted
from app.core.sweeps import fill_placeholders, find_placeholders, locate_placeholders
from app.core.task_spec import TaskSpec, describe_error
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import NOT_SUBMITTED, Usage
from app.translation import tr

_TABLES = ("tasks", "defaults", "parameters")
_OWN_KEYS = ("command", "template", "parameters", "needs")
_SETTINGS = frozenset(TaskSpec.model_fields) - {
    "argv", "script", "template", "parameters", "parameter_texts", "name", "stdin", *AFTER_FIELDS,
} | {"gpu"}  # fmt: skip
_FOREIGN_KEYS = {
    "argv": "command", "script": "command", "run": "command", "shell": "command", "after": "needs",
    "depends_on": "needs", "depends": "needs", "mem": "memory", "cpus": "cpu", "time": "timeout",
    "gpus": "gpu", "dir": "cwd", "directory": "cwd", "environment": "env",
}  # fmt: skip
_MERGED = ("env", "tags", "resources")
"""Tables of a task that add to those of `[defaults]`."""
_KINDS = {kind: field for field, kind in AFTER_FIELDS.items()}
_STORED = re.compile(r"#?[0-9]+")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Need(NamedTuple):
    """A task that another one waits for, by name or number, and the kind of the dependency."""

    task: str
    kind: str


class Workflow(NamedTuple):
    """Specifications of tasks, each after the tasks that it needs, and notes for the user."""

    tasks: list[dict[str, Any]]
    notes: list[str]


def parse_workflow(text: str, given: Mapping[str, Any]) -> Workflow:
    """Return the tasks of a workflow, with `given` parameters. Raise Usage with the line."""
    try:
        document = read_document(text, "toml")
    except Usage as problem:
        raise Usage(
            problem.message.replace(tr("Nothing was changed."), tr(NOT_SUBMITTED))
        ) from None
    return _Reader(text, document).read(given)


class _Reader:
    """A parsed file, and its text for the lines of faults."""

    def __init__(self, text: str, document: Mapping[str, Any]) -> None:
        self.text = text
        self.document = document

    def read(self, given: Mapping[str, Any]) -> Workflow:
        for name in self.document:
            if name not in _TABLES:
                raise self.make_fault((name,), _describe_unknown("table", name, _TABLES))
        tables = {name: self._get_table((name,), self.document.get(name, {})) for name in _TABLES}
        tasks, defaults = tables["tasks"], tables["defaults"]
        if not tasks:
            raise Usage(
                "holds no task: write [tasks.NAME]. {not_submitted}",
                not_submitted=tr(NOT_SUBMITTED),
            )
        values = self._read_parameters(tables["parameters"], given)
        self._check_keys(("defaults",), defaults, _SETTINGS)
        specs, needs = dict[str, dict[str, Any]](), dict[str, list[Need]]()
        for name, value in tasks.items():
            body = self._get_table(("tasks", name), value)
            self._check_name(name)
            self._check_keys(("tasks", name), body, (*_OWN_KEYS, *_SETTINGS))
            needs[name] = list(self._read_needs(name, body.get("needs", []), tasks))
            specs[name] = self._make_spec(name, body, defaults, values) | _map_parents(needs[name])
        order = self._sort(needs)
        return Workflow([specs[name] for name in order], _find_typos(specs, values))

    def _get_table(self, path: Sequence[str], value: Any) -> Mapping[str, Any]:
        if not is_object(value):
            raise self.make_fault(path, tr("must be a table"))
        return value

    def _check_name(self, name: str) -> None:
        wrong = find_name_error(name)
        if wrong or _STORED.fullmatch(name):
            raise self.make_fault(
                ("tasks", name),
                tr("name {wrong}", wrong=wrong) if wrong else tr("must not be named by a number"),
            )

    def _check_keys(
        self, path: Sequence[str], body: Mapping[str, Any], known: Sequence[str] | frozenset[str]
    ) -> None:
        for key in body:
            if key not in known:
                raise self.make_fault((*path, key), _describe_unknown("key", key, known), path)

    def _read_parameters(
        self, table: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, str]:
        for name in table:
            if not _PARAMETER.fullmatch(name):
                raise self.make_fault(("parameters", name), tr("is no name: letters, digits and _"))
        for name in given:
            if name not in table:
                raise Usage(
                    "-p {name}: {unknown}. {not_submitted}",
                    name=sanitize(name),
                    unknown=_describe_unknown("parameter", name, table),
                    not_submitted=tr(NOT_SUBMITTED),
                )
        values = {name: _format_scalar(value) for name, value in {**table, **given}.items()}
        for name, value in values.items():
            if not isinstance(value, str):
                raise self.make_fault(
                    ("parameters", name), tr("must be text, a number, true or false")
                )
        return values

    def _read_needs(self, name: str, given: Any, tasks: Mapping[str, Any]) -> Iterator[Need]:
        for one in given if is_array(given) else [given]:
            entry: Any = {"task": one} if isinstance(one, (str, int)) else one
            kind = entry.get("on", "success") if is_object(entry) else None
            if not is_object(entry) or "task" not in entry or entry.keys() - {"task", "on"}:
                raise self._make_need_fault(
                    name, tr('takes names or { task = "NAME", on = "failure" }')
                )
            if kind not in _KINDS:
                raise self._make_need_fault(
                    name, tr("on must be one of {kinds}", kinds=", ".join(_KINDS))
                )
            task = str(entry["task"])
            if task not in tasks and not _STORED.fullmatch(task):
                known = find_nearest(task, tasks)
                near = f". Nearest: {sanitize(known)}" if known else ""
                raise self._make_need_fault(
                    name, tr("there is no task {task}{near}", task=_quote(task), near=near)
                )
            yield Need(task, kind)

    def _make_need_fault(self, name: str, message: str) -> Usage:
        return self.make_fault(("tasks", name, "needs"), message)

    def _make_spec(
        self,
        name: str,
        body: Mapping[str, Any],
        defaults: Mapping[str, Any],
        values: Mapping[str, str],
    ) -> dict[str, Any]:
        merged = {**defaults, **body}
        for key in _MERGED:
            if is_object(defaults.get(key)) and is_object(body.get(key)):
                merged[key] = {**defaults[key], **body[key]}
        if "gpu" in merged:
            resources = merged.get("resources", {})
            self._get_table(("tasks", name, "resources"), resources)
            merged["resources"] = {**resources, "gpu": merged.pop("gpu")}
        command = merged.pop("command", None)
        spec = {key: _fill(value, values) for key, value in merged.items() if key != "needs"}
        if (command is None) == ("template" not in spec):
            raise self.make_fault(("tasks", name), tr("needs either a command or a template"))
        if isinstance(command, str):
            spec["script"] = self._fill_script(name, command, values)
        elif command is not None:
            spec["argv"] = _fill(command, values)
        spec["name"] = name
        for key in ("env", "tags"):
            if is_object(table := spec.get(key)):
                spec[key] = {word: _format_scalar(value) for word, value in table.items()}
        try:
            TaskSpec.model_validate(spec)
        except ValidationError as error:
            said = describe_error(error)
            key = said.split(" ", 1)[0].split(".")[0]
            wrong = {"argv": "command", "script": "command"}.get(key, key)
            wrong = "gpu" if key == "resources" and "gpu" in {**defaults, **body} else wrong
            raise self.make_fault(
                ("tasks", name, wrong),
                said.replace(key, wrong, 1).replace(tr("an object"), tr("a table")),
            ) from None
        return spec

    def _fill_script(self, name: str, text: str, values: Mapping[str, str]) -> str:
        """Return shell text with quoted values. Refuse one that the shell would read as its own."""
        quoted = {key: shlex.quote(value) for key, value in values.items()}
        for at, word in locate_placeholders(text):
            if quoted.get(word, word) != values.get(word, word) and not is_unquoted(text, at):
                raise self.make_fault(
                    ("tasks", name, "command"),
                    tr(
                        "{{{word}}} must stand without quotes, and in no here-document: its"
                        " value is quoted already",
                        word=word,
                    ),
                )
        return fill_placeholders(text, quoted)

    def _sort(self, needs: Mapping[str, Sequence[Need]]) -> list[str]:
        graph = {
            name: [need.task for need in found if need.task in needs]
            for name, found in needs.items()
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            names = [sanitize(str(name)) for name in error.args[1]]
            cycle = " → ".join(names if len(names) < 12 else [*names[:10], "…", names[-1]])
            raise self._make_need_fault(str(error.args[1][0]), f"a cycle: {cycle}") from None

    def make_fault(
        self, path: Sequence[str], message: str, named: Sequence[str] | None = None
    ) -> Usage:
        """Return the fault of the value at a path, with its line."""
        line = _find_line(self.text, path)
        place = tr("line {line}: ", line=line) if line else ""
        where = ".".join(sanitize(part) for part in (named or path))
        return Usage(
            "{place}{where}: {problem}. Nothing was submitted.",
            place=place,
            where=where,
            problem=message,
        )


def _map_parents(needs: Sequence[Need]) -> dict[str, list[str]]:
    """Return the fields of a specification that name the needed tasks."""
    found: dict[str, list[str]] = {}
    for need in needs:
        found.setdefault(_KINDS[need.kind], []).append(need.task)
    return found


def _format_scalar(value: Any) -> Any:
    """Return a number, true or false as text, any other value unchanged."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    """Return a value with placeholders replaced in all of its texts."""
    if isinstance(value, str):
        return fill_placeholders(value, values)
    if is_object(value):
        return {key: _fill(inner, values) for key, inner in value.items()}
    return [_fill(inner, values) for inner in value] if is_array(value) else value


def _find_typos(specs: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Return notes on placeholders that no parameter has, but almost."""
    notes: list[str] = []
    for name, spec in specs.items():
        texts = [*spec.get("argv", ()), spec.get("script", ""), *spec.get("env", {}).values()]
        for word in sorted({word for text in texts for word in find_placeholders(text)}):
            if word and word not in values and (near := find_nearest(word, values)):
                notes.append(
                    tr(
                        "{name}: {{{word}}} is no parameter and stays. Nearest: {near}",
                        name=sanitize(name),
                        word=word,
                        near=near,
                    )
                )
    return notes


def _describe_unknown(kind: str, name: str, known: Any) -> str:
    near = _FOREIGN_KEYS.get(name) if kind == "key" else None
    near = near if near in known else find_nearest(name, known)
    return tr("unknown {kind} {name}", kind=kind, name=_quote(name)) + (
        tr(". Nearest: {near}", near=sanitize(near)) if near else ""
    )


def _quote(text: str) -> str:
    return f'"{truncate(sanitize(text), 60)}"'


def _find_line(text: str, path: Sequence[str]) -> int | None:
    """Return the line of a key of a table, else that of the table."""
    for length in (2, 1):
        header = _find_header(text, path[:length])
        if header is None or len(path) < length:
            continue
        rest = path[length:]
        end = re.compile(r"(?m)^[ \t]*\[").search(text, header + 1)
        body = text[header : end.start() if end and rest else len(text)]
        key = re.search(rf"(?m)^[ \t]*{_match_key(rest[0])}[ \t]*[=.]", body[1:]) if rest else None
        return text.count("\n", 0, header + 1 + key.start() if key else header) + 1
    return None


def _find_header(text: str, path: Sequence[str]) -> int | None:
    names = r"[ \t]*\.[ \t]*".join(map(_match_key, path))
    found = re.search(rf"(?m)^[ \t]*\[[ \t]*{names}[ \t]*\]", text)
    if found is None and len(path) == 1:
        found = re.search(rf"(?m)^[ \t]*(?:\[[ \t]*)?{names}[ \t]*[.=]", text)
    return None if found is None else found.start()


def _match_key(name: str) -> str:
    return rf"""["']?{re.escape(name)}["']?"""
