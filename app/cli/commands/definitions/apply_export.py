"""`taskdeck apply` and `export`: all definitions as one TOML or YAML file."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, OneOf, Parser, add_json_options, name_kind, require_text
from app.core.shell_context import read_context
from app.core.text.sanitize import sanitize, sanitize_lines, truncate
from app.errors import NotFound, Usage
from app.translation import tr, tr_n, tr_noop

_CHANGES = (tr_noop("create"), tr_noop("update"))
"""Words of changes, as `apply` answers them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

FORMATS = ("toml", "yaml")


def apply_definitions(context: CommandContext, args: Args) -> int:
    """Apply a definitions file completely or not at all; with --dry-run, show the changes."""
    if args.file is None:
        raise Usage("apply which file? Use: taskdeck apply -f FILE (- is stdin)")
    text, source = read_text(args.file)
    tables = _parse_tables(text, _choose_format(args, source))
    more = read_context() if "schedules" in tables else {}
    found = context.call("apply", tables=tables, dry_run=args.dry_run, **more)
    if args.json or args.jsonl:
        output.print_json(found["changes"] if args.jsonl else found, args.jsonl)
    else:
        _print_changes(found["changes"], args.dry_run)
        _note_resets(found["changes"], tables)
    return 0


def read_text(file: str) -> tuple[str, str]:
    """Return the text of a file (`-` is stdin) and its name. Raise NotFound or Usage."""
    try:
        return read_bytes(file, "definitions").decode(), "" if file == "-" else file
    except UnicodeDecodeError:
        shown = truncate(sanitize(file), 200)
        raise Usage("{shown} is not UTF-8 text. Nothing was changed.", shown=shown) from None


def read_bytes(file: str, what: str) -> bytes:
    """Return the content of a file (`-` is stdin). Raise NotFound or Usage."""
    shown = truncate(sanitize(file), 200)
    try:
        if file == "-":
            return output.read_stdin(what)
        with open(file, "rb") as source:
            return source.read()
    except FileNotFoundError:
        raise NotFound("{shown} does not exist. Nothing was changed.", shown=shown) from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or tr("invalid file name")).lower()
        raise Usage(
            "{shown} cannot be read: {why}. Nothing was changed.", shown=shown, why=why
        ) from None


def _parse_tables(text: str, format: str) -> dict[str, Any]:
    """Parse and validate a file here, so that a hostile one costs the runtime nothing."""
    from app.core.definitions import document

    tables = document.read_tables(text, format)
    document.validate_tables(tables)
    document.check_json(tables)
    return tables


def _choose_format(args: Args, source: str) -> str:
    return args.format or ("yaml" if source.lower().endswith((".yaml", ".yml")) else "toml")


def _print_changes(changes: list[dict[str, Any]], dry: bool) -> None:
    changed = [change for change in changes if change["change"] != "same"]
    for change in changed:
        output.print_line(
            f"{tr(change['change'])} {name_kind(change['kind'])} {sanitize(change['name'])}"
            f"{_format_fields(change)}"
        )
    same = len(changes) - len(changed)
    if dry:
        output.print_message(
            tr("dry run: {n} would change, {same} unchanged", n=len(changed), same=same)
        )
    elif not changed:
        output.print_message(tr("no changes: all {same} definitions match the file", same=same))


def _note_resets(changes: list[dict[str, Any]], tables: dict[str, Any]) -> None:
    """Tell which settings of queues and pools change because the file leaves them out."""
    for change in changes:
        kind, name = change["kind"], change["name"]
        given = tables.get(f"{kind}s", {}).get(name)
        if change["change"] != "update" or kind not in ("queue", "pool") or given is None:
            continue
        left = [
            key for key in change["fields"] if {key, key.removeprefix("total_")}.isdisjoint(given)
        ]
        if left:
            output.print_note(
                tr_n(
                    len(left),
                    "{kind} {name}: the file leaves out {settings}, which gets its default."
                    " To change single settings: taskdeck {command} set",
                    "{kind} {name}: the file leaves out {settings}, which get their default."
                    " To change single settings: taskdeck {command} set",
                    kind=tr(kind),
                    name=sanitize(name),
                    settings=sanitize(", ".join(left)),
                    command=kind,
                )
            )


def _format_fields(change: dict[str, Any]) -> str:
    """Return `: capacity 2 → 4` for an updated definition."""
    if change["change"] != "update":
        return ""
    parts = [
        f"{sanitize(key)} {_shorten(old)} → {_shorten(new)}"
        for key, (old, new) in change["fields"].items()
    ]
    return f": {', '.join(parts)}"


def _shorten(value: Any) -> str:
    import json

    return truncate(sanitize(value if isinstance(value, str) else json.dumps(value)), 60)


def export_definitions(context: CommandContext, args: Args) -> int:
    """Print all definitions."""
    text = context.call("export", format=args.format or "toml")
    if isinstance(text, dict):
        text = text["text"]
    if args.json or args.jsonl:
        output.print_json({"format": args.format or "toml", "text": text}, args.jsonl)
    elif output.is_stdout_terminal():
        output.print_line(sanitize_lines(text).rstrip("\n"))
    else:
        output.write_bytes(text.encode("utf-8", "surrogateescape"))
    return 0


def _add_apply_arguments(parser: Parser) -> None:
    parser.add_option(
        "-f", "--file", type=require_text, metavar="FILE", help="definitions file; - is stdin"
    )
    parser.add_option(
        "--format",
        type=OneOf(*FORMATS),
        metavar="FORMAT",
        help="toml or yaml (default: from the file name)",
    )
    parser.add_option(
        "--dry-run", action="store_true", help="show what would change; change nothing"
    )
    add_json_options(parser)


def _add_export_arguments(parser: Parser) -> None:
    parser.add_option(
        "--format", type=OneOf(*FORMATS), metavar="FORMAT", help="toml (default) or yaml"
    )
    add_json_options(parser)


COMMANDS = {
    "apply": Command(
        "apply a definitions file (queues, templates, schedules, rules, …)",
        apply_definitions,
        _add_apply_arguments,
        "  taskdeck apply --dry-run -f deck.toml",
    ),
    "export": Command(
        "print all definitions as one file",
        export_definitions,
        _add_export_arguments,
        "  taskdeck export > deck.toml",
    ),
}
