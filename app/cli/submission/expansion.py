"""Tasks of a group: one for each line of `--each`, index of `--array`, or row of a sweep.

Placeholders stand in arguments, -p parameters, name, tags and output. A script gets the values as
variables only, since a value inside its text would be read as shell syntax.
"""

from __future__ import annotations

from collections import Counter

from app.cli import output
from app.core import sweeps
from app.core.sweeps import fill_placeholders, find_placeholders
from app.core.task_groups import MAX_TASKS
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from app.cli.parser import Args
    from app.core.sweeps import Row

WAYS = {"each": "--each", "array": "--array", "sweep": "--sweep", "sweep_file": "--sweep-file"}
"""Options that make a group, by their destination."""
INDEX = "index"
"""Placeholder for the index of an array; for a sweep 1, 2, 3, …"""
ITEM = ""
"""Name of the placeholder `{}`."""


def make_group(args: Args, task: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the tasks of a group, and the group as the verb `submit` takes it. Raise Usage."""
    ways = [option for name, option in WAYS.items() if getattr(args, name)]
    if len(ways) > 1:
        raise Usage(
            "{ways} and {other} cannot be combined. {not_submitted}",
            ways=ways[0],
            other=ways[1],
            not_submitted=tr(NOT_SUBMITTED),
        )
    group = {key: task[key] for key in ("name", "argv", "script", "template") if key in task}
    if args.max_running:
        group["max_running"] = args.max_running
    if args.each:
        rows = _read_items(args)
        return _expand(task, rows, appends=True), group
    if args.array:
        indexes, most = args.array
        rows = [{INDEX: str(index)} for index in indexes]
        if most is not None and args.max_running:
            raise Usage(
                "%{most} and --max-running say the same. Give one. {not_submitted}",
                most=most,
                not_submitted=tr(NOT_SUBMITTED),
            )
        limit = {} if most is None else {"max_running": most}
        return _expand(task, rows), group | {"indexes": indexes} | limit
    try:
        rows = sweeps.expand_product(args.sweep) if args.sweep else _read_grid(args.sweep_file)
    except ValueError as error:
        file = f" {truncate(sanitize(args.sweep_file), 200)}" if args.sweep_file else ""
        raise Usage(
            "{option}{file} {error}. Nothing was submitted.", option=ways[0], file=file, error=error
        ) from None
    _note_values(args.sweep or ())
    names = list(rows[0])
    if "template" in task:
        task = _pass_to_template(task, names)
    else:
        _check_unused(_list_work(task), names)
    values = [list(row.values()) for row in rows]
    rows = [{INDEX: str(at), **row} for at, row in enumerate(rows, 1)]
    return _expand(task, rows), group | {"sweep": {"names": names, "values": values}}


def _note_values(swept: Iterable[tuple[str, list[str]]]) -> None:
    """Tell that `seed=1-3` is one value, which values are alike, and that `%4` means nothing."""
    for name, values in swept:
        _, sign, most = values[-1].rpartition("%")
        if sign and most.isdigit():
            shown = truncate(
                sanitize(tr("{name} ends with the value {value}", name=name, value=values[-1])), 80
            )
            output.print_note(
                tr("--sweep {shown}. To run {n} at once: --max-running {n}", shown=shown, n=most)
            )
        if len({*values}) < len(values):
            twice = max(values, key=Counter(values).__getitem__)
            shown = truncate(sanitize(f"{name}={twice}"), 80)
            output.print_note(
                tr("--sweep {value} is given more than once: tasks are alike.", value=shown)
            )
        low, dash, high = values[0].partition("-")
        if len(values) == 1 and dash and low.isdigit() and high.isdigit():
            output.print_note(
                tr(
                    "--sweep {name} has one value, {value}. Each by itself: {name}={low},…,{high}",
                    name=name,
                    value=values[0],
                    low=low,
                    high=high,
                )
            )


def _check_unused(texts: list[str], names: list[str]) -> None:
    """Note the swept parameters that a command does not mention.

    Raise Usage if the command mentions none of them, but another placeholder.
    """
    placeholders = {name for text in texts for name in find_placeholders(text)}
    mentioned = {name for name in names if any(f"TASKDECK_PARAM_{name}" in text for text in texts)}
    unused = [name for name in names if name not in placeholders | mentioned]
    known = ", ".join(f"{{{name}}}" for name in names[:MAX_NAMED])
    others = [name for name in sorted(placeholders - {INDEX}) if name.isidentifier()]
    if unused == names and others:
        raise Usage(
            "{{{others}}} is no parameter of the sweep. {not_submitted}",
            "Parameters of the sweep: {known}",
            others=others[0],
            not_submitted=tr(NOT_SUBMITTED),
            known=known,
        )
    if unused:
        shown = ", ".join(f"{{{name}}}" for name in unused[:MAX_NAMED])
        output.print_note(
            tr(
                "the command has no {names}: it gets the value only as TASKDECK_PARAM_{name}.",
                names=shown,
                name=unused[0],
            )
        )


MAX_NAMED = 8
"""Parameters of a sweep that a message names at most."""


def _read_items(args: Args) -> list[Row]:
    from app.cli.submission.each_line import split_items

    items = split_items(output.read_stdin("lines"), args.nul)
    if not items:
        raise Usage(
            "--each read no items from standard input. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    if len(items) > MAX_TASKS:
        raise Usage(
            "--each read {n:,} items; at most {max_tasks:,} are possible.",
            "Use JSON lines instead: taskdeck submit --from FILE. {not_submitted}",
            n=len(items),
            max_tasks=MAX_TASKS,
            not_submitted=tr(NOT_SUBMITTED),
        )
    return [sweeps.split_columns(item) for item in items]


def _read_grid(file: str) -> list[Row]:
    if file == "-":
        data = output.read_stdin("CSV")
    else:
        shown = truncate(sanitize(file), 200)
        try:
            with open(file, "rb") as opened:
                data = opened.read()
        except FileNotFoundError:
            raise NotFound(
                "{shown} does not exist. {not_submitted}",
                shown=shown,
                not_submitted=tr(NOT_SUBMITTED),
            ) from None
        except OSError as error:
            said = (error.strerror or "unknown").lower()
            raise Usage(
                "{shown} cannot be read: {said}. {not_submitted}",
                shown=shown,
                said=said,
                not_submitted=tr(NOT_SUBMITTED),
            ) from None
    return sweeps.parse_grid(data)


def _pass_to_template(task: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Pass the swept parameters that no -p mentions to the template, each under its own name."""
    texts = task.get("parameter_texts", [])
    used = {name for _, text in texts for name in find_placeholders(text)}
    return task | {
        "parameter_texts": [*texts, *([name, f"{{{name}}}"] for name in names if name not in used)]
    }


def _expand(task: dict[str, Any], rows: list[Row], appends: bool = False) -> list[dict[str, Any]]:
    """Return one task per row. Without a placeholder, `appends` adds the item to the arguments."""
    work = _find_known(_list_work(task), rows)
    if "script" in task and work:
        name = next(iter(work))
        variable = "TASKDECK_ARRAY_INDEX" if name == INDEX else f"TASKDECK_PARAM_{name}"
        raise Usage(
            "a shell script cannot contain {{{name}}}: quoting would be unsafe.",
            'Use the variable: "${variable}". {not_submitted}',
            name=name,
            variable=variable,
            not_submitted=tr(NOT_SUBMITTED),
        )
    _check_columns(rows, work | _find_known(_list_labels(task), rows))
    _note_unknown([*_list_work(task), *_list_labels(task)], rows)
    if appends and not work:
        if "template" in task:
            raise Usage(
                "--each needs a placeholder for its items. {not_submitted}",
                "Use {{}} in a parameter: -p NAME={{}}",
                not_submitted=tr(NOT_SUBMITTED),
            )
        return [
            {**task, "argv": [*task["argv"], row[ITEM]], **_fill_labels(task, row)} for row in rows
        ]
    return [{**task, **_fill_work(task, row), **_fill_labels(task, row)} for row in rows]


def _list_work(task: dict[str, Any]) -> list[str]:
    """Return the texts that decide what runs."""
    return [
        *task.get("argv", ()),
        *(text for _, text in task.get("parameter_texts", ())),
        *([task["script"]] if "script" in task else ()),
    ]


def _list_labels(task: dict[str, Any]) -> list[str]:
    files = (task.get("output", ""), task.get("error", ""))
    return [task.get("name", ""), *files, *task.get("tags", {}).values()]


def _find_known(texts: list[str], rows: list[Row]) -> set[str]:
    """Return the placeholders in texts for which a row has a value."""
    named = {name for text in texts for name in find_placeholders(text)}
    return {name for name in named if any(name in row for row in rows)}


def _note_unknown(texts: list[str], rows: list[Row]) -> None:
    """Note placeholders that look like mistyped ones; they stay as they are."""
    names = {name for row in rows for name in row}
    for name in sorted({name for text in texts for name in find_placeholders(text)} - names):
        if name.isdigit() and "1" in names:
            output.print_note(
                tr("no item has a column {name}: {{{name}}} stays as it is.", name=name)
            )
        elif near := find_nearest(name, sorted(names)):
            output.print_note(
                tr("{{{name}}} stays as it is. Nearest: {{{near}}}", name=name, near=near)
            )


def _check_columns(rows: list[Row], used: set[str]) -> None:
    """Raise Usage if only some items have a column that is used."""
    for name in used:
        short = next((row for row in rows if name not in row), None)
        if short is not None:
            item = truncate(sanitize(short[ITEM]), 40)
            raise Usage(
                '--each: "{item}" has no column {name} for {{{name}}}. {not_submitted}',
                item=item,
                name=name,
                not_submitted=tr(NOT_SUBMITTED),
            )


def _fill_work(task: dict[str, Any], row: Row) -> dict[str, Any]:
    if "argv" in task:
        return {"argv": [fill_placeholders(word, row) for word in task["argv"]]}
    if "parameter_texts" not in task:
        return {}
    texts = task["parameter_texts"]
    return {"parameter_texts": [[key, fill_placeholders(text, row)] for key, text in texts]}


def _fill_labels(task: dict[str, Any], row: Row) -> dict[str, Any]:
    """Return name, output and tags of a task.

    A path contributes its last part to the name, because a name must not contain a slash.
    """
    found: dict[str, Any] = {}
    if "{" in task.get("name", ""):
        parts = {key: sanitize(value).rstrip("/").rpartition("/")[2] for key, value in row.items()}
        found["name"] = truncate(fill_placeholders(task["name"], parts), 200)
    for name in ("output", "error"):
        if name in task:
            found[name] = fill_placeholders(task[name], row)
    if "tags" in task:
        found["tags"] = {key: fill_placeholders(text, row) for key, text in task["tags"].items()}
    return found
