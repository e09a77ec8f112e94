"""`taskdeck template`: manage templates. Keep long ones in a file: `taskdeck apply`."""

from __future__ import annotations

from app.cli import definition_group, output, time_format
from app.cli.parser import (
    CPU,
    DURATION,
    RETRIES,
    SIZE,
    Args,
    Command,
    OneOf,
    Parser,
    make_type,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.submission.options import parse_oom, parse_signal
from app.cli.submission.resources import add_resource_options, collect_resources
from app.cli.table_layout import Column, Span
from app.core.notifications.notices import describe_default_notice
from app.core.scheduling.resources import format_named
from app.core.schema.secrets import is_secret_property, mask_record
from app.core.text import units
from app.core.text.joining import join_or
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("TEMPLATE", least=8, first=True),
    Column("ENGINE"),
    Column("QUEUE", least=6),
    Column("TIMEOUT", ">"),
    Column("CPU", ">"),
    Column("MEMORY", ">"),
    Column("WHAT FOR", least=8),
]
FIELDS = (
    "name", "engine", "queue", "cpu", "memory", "resources", "timeout",
    "retries", "signal", "retry_on_oom", "notify", "notify_on",
    "description", "parameters", "retired_at", "created_at",
    "updated_at",
)  # fmt: skip
_DEFAULTS = (
    "queue", "cpu", "memory", "timeout", "retries", "signal", "retry_on_oom", "notify",
    "notify_on", "description",
)  # fmt: skip
ENGINES = ("exec", "shell", "python")


def format_template_row(template: dict[str, Any]) -> list[Span]:
    """Return one line of `template ls`."""
    return [
        (sanitize(template["name"]), ""),
        (sanitize(template["engine"]), ""),
        (sanitize(template.get("queue") or units.MISSING), ""),
        (units.format_duration_setting(template.get("timeout")), ""),
        (
            units.MISSING if template.get("cpu") is None else units.format_number(template["cpu"]),
            "",
        ),
        (units.format_memory(template.get("memory")), ""),
        (sanitize(template.get("description") or ""), ""),
    ]


def format_template_facts(template: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `template show`."""
    return [
        (tr("description"), template.get("description") or ""),
        (tr("engine"), template["engine"]),
        *((key, _format_schema_value(value)) for key, value in (template["schema"] or {}).items()),
        (tr("queue"), template.get("queue") or ""),
        (
            tr("timeout"),
            (
                ""
                if template.get("timeout") is None
                else units.format_duration_setting(template["timeout"])
            ),
        ),
        (tr("cpu"), "" if template.get("cpu") is None else units.format_number(template["cpu"])),
        (
            tr("memory"),
            "" if template.get("memory") is None else units.format_memory(template["memory"]),
        ),
        (tr("resources"), format_named(template.get("resources"))),
        (tr("retries"), "" if template.get("retries") is None else str(template["retries"])),
        (tr("signal"), template.get("signal") or ""),
        (tr("retry on oom"), template.get("retry_on_oom") or ""),
        (tr("tells"), describe_default_notice(template.get("notify"), template.get("notify_on"))),
        (tr("parameters"), "\n".join(_format_parameters(template.get("parameters") or {}))),
        (
            tr("created"),
            (
                tr(
                    "{created}, changed {changed}",
                    created=time_format.format_clock(template["created_at"]),
                    changed=time_format.format_clock(template["updated_at"]),
                )
            ),
        ),
    ]


def _format_schema_value(value: Any) -> str:
    """Return a schema value as text; a list of words as a command line."""
    if isinstance(value, list):
        from shlex import join

        return join(map(str, value))
    return str(value)


def _format_parameters(schema: dict[str, Any]) -> list[str]:
    needed, properties = schema.get("required") or (), schema.get("properties") or {}
    return [
        _format_parameter(name, found if isinstance(found, dict) else {}, name in needed)
        for name, found in properties.items()
    ]


def _format_parameter(name: str, schema: dict[str, Any], needed: bool) -> str:
    import json

    shown = mask_record(schema, is_secret_property(name, schema))
    default = (
        tr(
            ", default {value}",
            value=truncate(json.dumps(shown["default"], ensure_ascii=False), 60),
        )
        if "default" in schema
        else ""
    )
    what = f": {schema['description']}" if schema.get("description") else ""
    return (
        f"{name} ({schema.get('type', 'any')}{tr(', required') if needed else ''}{default}){what}"
    )


def create_template(context: CommandContext, args: Args) -> int:
    """Create a template."""
    name = require_new_name(args, "template")
    engine, schema = _make_schema(args)
    more = definition_group.collect_options(args, *_DEFAULTS) | collect_resources(args)
    answer = context.call(
        "template.create",
        name=name,
        engine=engine,
        schema=schema,
        parameters=_read_parameters(args),
        **more,
    )
    return definition_group.print_result(
        args,
        answer,
        tr(
            "template {name} created: {program} submit {name}",
            name=sanitize(name),
            program=output.get_program(),
        ),
    )


def _make_schema(args: Args) -> tuple[str, dict[str, Any]]:
    """Return engine and schema. Raise Usage unless exactly one way to run is given."""
    kinds = [args.command is not None, args.script is not None, args.callable is not None]
    if sum(kinds) != 1:
        raise Usage(
            "a template needs exactly one of --script, --callable, and a command after "
            "--. Nothing was created."
        )
    if args.command is not None:
        return _choose_engine(args, "exec"), {"argv": args.command}
    if args.callable is not None:
        python = {"python": args.python} if args.python else {}
        return _choose_engine(args, "python"), {"callable": args.callable, **python}
    engine = _choose_engine(args, "shell", "python")
    which = {"shell": args.shell} if engine == "shell" else {"python": args.python}
    return engine, {"script": args.script, **{key: value for key, value in which.items() if value}}


def _choose_engine(args: Args, usual: str, *others: str) -> str:
    if args.engine is None:
        return usual
    if args.engine not in (usual, *others):
        raise Usage(
            '--engine must be {value} for this, not "{engine}".',
            value=join_or((usual, *others)),
            engine=truncate(sanitize(args.engine), 40),
        )
    return args.engine


def _read_parameters(args: Args) -> Any:
    """Return the JSON Schema given inline or in the file after @."""
    if args.parameters is None:
        return None
    from app.cli.commands.definitions.apply_export import read_text
    from app.core.strict_json import DuplicateKeyError, load_json

    text = read_text(args.parameters[1:])[0] if args.parameters.startswith("@") else args.parameters
    try:
        return load_json(text)
    except DuplicateKeyError as error:
        raise Usage("--parameters: {error} Nothing was created.", error=error) from None
    except (ValueError, RecursionError):
        raise Usage(
            "--parameters must be a JSON Schema, or @FILE with one. Nothing was created."
        ) from None


def set_template(context: CommandContext, args: Args) -> int:
    """Change a template."""
    name = require_one_name(args, "template")
    more = definition_group.collect_options(args, *_DEFAULTS) | collect_resources(args)
    if args.command is not None or args.script is not None or args.callable is not None:
        more["engine"], more["schema"] = _make_schema(args)
    if args.parameters is not None:
        more["parameters"] = _read_parameters(args)
    if not more:
        raise Usage(
            "set what? Give an option: --queue, --timeout, --script, …",
            "See: taskdeck template set --help",
        )
    return definition_group.print_result(
        args, context.call("template.set", name=name, **more), f"template {sanitize(name)} changed"
    )


def _parse_or_none(parse: Callable[[str], str]) -> Any:
    return make_type(lambda text: NONE if text.strip().lower() == NONE else parse(text))


NONE = "none"
"""Value that removes a setting."""
_SIGNAL, _OOM_RETRY = _parse_or_none(parse_signal), _parse_or_none(parse_oom)


def _add_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    run = parser.add_argument_group("how it runs (one of script, callable, and a command after --)")
    run.add_argument(
        "--script", metavar="TEXT", help="shell script; parameters are passed as $PARAM_name"
    )
    run.add_argument(
        "--callable", metavar="M:F", help="Python function; parameters are keyword arguments"
    )
    run.add_argument(
        "--engine", metavar="ENGINE", help="exec, shell or python (default: from the options above)"
    )
    run.add_argument(
        "--shell", type=require_text, metavar="FILE", help="shell to use (default: /bin/sh)"
    )
    run.add_argument(
        "--python", type=require_text, metavar="FILE", help="Python to use (default: python3)"
    )
    run.add_argument("--parameters", metavar="JSON", help="JSON Schema of the parameters, or @FILE")
    usual = parser.add_argument_group("defaults of its tasks")
    usual.add_argument("--queue", "-q", type=require_text, metavar="QUEUE")
    usual.add_argument("--cpu", type=CPU, metavar="CORES")
    usual.add_argument("--memory", type=SIZE, metavar="SIZE")
    add_resource_options(usual.add_argument)
    usual.add_argument("--timeout", "-t", type=DURATION, metavar="TIME")
    usual.add_argument("--retries", type=RETRIES, metavar="N")
    usual.add_argument(
        "--signal", type=_SIGNAL, metavar="SIG@TIME",
        help="signal before the timeout: USR1@5m; none: remove it",
    )  # fmt: skip
    usual.add_argument(
        "--retry-on-oom", type=_OOM_RETRY, metavar="FACTOR[,max=SIZE]",
        help="retry once with more memory after a kill for memory; none: remove it",
    )  # fmt: skip
    usual.add_argument(
        "--notify", type=require_text, metavar="CHANNEL",
        help="tell a channel when a task ends; none: nobody; default: as in config.toml",
    )  # fmt: skip
    usual.add_argument(
        "--notify-on",
        type=OneOf("failed", "ended", "never"),
        metavar="WORD",
        help="failed: tell only failures; ended: every end; never: none",
    )
    usual.add_argument("--description", metavar="TEXT", help="description")


USAGE = "[OPTION …] NAME [-- COMMAND ARG …]"

EXAMPLES = """\
  taskdeck template create thumbs --timeout 10m -- convert '{{ input }}' -resize 320 out.png
  taskdeck template create greet --script 'echo "hello $PARAM_who"'"""

COMMANDS = {
    "ls": definition_group.make_list_command(
        "template", COLUMNS, format_template_row, FIELDS, mask_record, brief=True
    ),
    "show": definition_group.make_show_command("template", format_template_facts, mask_record),
    "create": Command(
        "create a template",
        create_template,
        _add_arguments,
        EXAMPLES,
        takes_command=True,
        usage=USAGE,
    ),
    "set": Command(
        "change a template",
        set_template,
        _add_arguments,
        "  taskdeck template set thumbs --timeout 20m",
        takes_command=True,
        usage=USAGE,
    ),
    "rm": definition_group.make_name_command(
        "template", "rm", "remove an unused template", "removed"
    ),
}
