"""`taskdeck apply` and `export`: all definitions as one file, TOML or YAML."""

from __future__ import annotations

import sys

from app.cli import output
from app.cli.parser import Args, Command, OneOf, Parser, as_json, filled
from app.core.text.sanitize import clean, clean_lines, cut
from app.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

FORMATS = ("toml", "yaml")


def apply(session: Session, args: Args) -> int:
    """Make everything as the file says, all or nothing; with --dry-run only say what would change."""
    if args.file is None:
        raise Usage("apply which file? taskdeck apply -f FILE (- is stdin)")
    text, source = text_of(args.file)
    found = session.call("apply", text=text, format=_format(args, source), dry_run=args.dry_run)
    if args.json or args.jsonl:
        output.document(found["changes"] if args.jsonl else found, args.jsonl)
    else:
        _say(found["changes"], args.dry_run)
    return 0


def text_of(file: str) -> tuple[str, str]:
    """The text of a file (`-`: stdin), and its name. Raises NotFound or Usage."""
    shown = cut(clean(file), 200)
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode(), ""
        with open(file, "rb") as source:
            return source.read().decode(), file
    except FileNotFoundError:
        raise NotFound(f"{shown} does not exist. Nothing was changed.") from None
    except UnicodeDecodeError:
        raise Usage(f"{shown} is no UTF-8 text. Nothing was changed.") from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "its name cannot be one").lower()
        raise Usage(f"{shown} cannot be read: {why}. Nothing was changed.") from None


def _format(args: Args, source: str) -> str:
    return args.format or ("yaml" if source.lower().endswith((".yaml", ".yml")) else "toml")


def _say(changes: list[dict[str, Any]], dry: bool) -> None:
    made = [change for change in changes if change["change"] != "same"]
    for change in made:
        output.line(f"{change['change']} {change['kind']} {clean(change['name'])}{_fields(change)}")
    same = len(changes) - len(made)
    if dry:
        output.say(f"a dry run: {len(made)} would change, {same} stay as they are")
    elif not made:
        output.say(f"nothing to change: all {same} are as the file says")


def _fields(change: dict[str, Any]) -> str:
    """`: capacity 2 -> 4`, for what is there already."""
    if change["change"] != "update":
        return ""
    told = [f"{clean(key)} {_short(old)} → {_short(new)}" for key, (old, new) in change["fields"].items()]
    return f": {', '.join(told)}"


def _short(value: Any) -> str:
    import json

    return cut(clean(value if isinstance(value, str) else json.dumps(value)), 60)


def export(session: Session, args: Args) -> int:
    """Print all definitions."""
    text = session.call("export", format=args.format or "toml")
    if isinstance(text, dict):
        text = text["text"]
    if args.json or args.jsonl:
        output.document({"format": args.format or "toml", "text": text}, args.jsonl)
    elif output.terminal():
        output.line(clean_lines(text).rstrip("\n"))
    else:
        output.raw(text.encode("utf-8", "surrogateescape"))
    return 0


def _apply_arguments(parser: Parser) -> None:
    parser.option("-f", "--file", type=filled, metavar="FILE", help="the file; - is stdin")
    parser.option("--format", type=OneOf(*FORMATS), metavar="FORMAT", help="toml or yaml (usually clear from the name)")
    parser.option("--dry-run", action="store_true", help="only say what would change")
    as_json(parser)


def _export_arguments(parser: Parser) -> None:
    parser.option("--format", type=OneOf(*FORMATS), metavar="FORMAT", help="toml (default) or yaml")
    as_json(parser)


COMMANDS = {
    "apply": Command(
        "make queues, pools, templates and SLAs as a file says",
        apply,
        _apply_arguments,
        "  taskdeck apply --dry-run -f deck.toml",
    ),
    "export": Command("all definitions as one file", export, _export_arguments, "  taskdeck export > deck.toml"),
}
