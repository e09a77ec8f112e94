"""What a first-run deck says: how to start, what to know, and what `doctor` found to mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from app.tui.style import Look, Span

Lines = list[list[Span]]


def welcome(home: str, faults: Sequence[Mapping[str, Any]], look: Look, narrow: bool) -> Lines:
    """The guidance; `faults` are checks of `doctor` that are not well, of which the first is shown. Nothing without a home: who knows
    what was submitted when no board came."""
    if not home:
        return []
    lines = _short() if narrow else _long(look.theirs(home))
    return [[(look.own(text), style) for text, style in line] for line in [*lines, *_fault(faults, look, narrow)]]


def _ways(column: int) -> Lines:
    ways = (
        ("n", "a form, here"),
        ("taskdeck submit -- gzip -k big.log", "from any shell, any directory: runs there, with that environment"),
        ("taskdeck submit -c 'sort a | uniq > b'", "the same, for shell syntax"),
        ("taskdeck demo", "a busy deck to play with, in a throw-away home"),
    )
    return [[("    " + command.ljust(column), "bold"), (does, "")] for command, does in ways]


def _long(home: str) -> Lines:
    n, submit, script, demo = _ways(39)
    return [
        [],
        [("  Nothing has been submitted yet. Three ways to start:", "")],
        [],
        n,
        [],
        submit,
        script,
        [],
        demo,
        [],
        [("  What you should know in a minute:", "")],
        [],
        [
            (
                "    · A job never depends on this screen. Close the terminal, lose ssh: it runs on, its log and exit code are kept.",
                "",
            )
        ],
        [
            (
                "    · A task asks for 1 CPU and no memory unless you say --cpu, --memory. Taskdeck starts what fits in the pool.",
                "",
            )
        ],
        [("    · Every waiting task says why it waits: w.   Every key: ?.   Every command: :", "")],
        [(f"    · Everything is under {home} (private to you).", "")],
        [],
    ]


def _short() -> Lines:
    says = ("a form, here", "from any shell: runs there", "the same, for shell syntax", "a busy deck to play with")
    ways: Lines = [[command, (text, "")] for (command, _), text in zip(_ways(41), says, strict=True)]
    return [
        [("  Nothing has been submitted yet. Start with:", "")],
        *ways,
        [],
        [("  Jobs never depend on this screen: close it, lose ssh, they run on.", "")],
        [("  w says why a task waits   ? shows every key   : finds every command", "")],
        [],
    ]


def _fault(faults: Sequence[Mapping[str, Any]], look: Look, narrow: bool) -> Lines:
    if not faults:
        return []
    text, cure = look.theirs(str(faults[0].get("text", ""))), look.theirs(str(faults[0].get("cure") or ""))
    head: Lines = [] if narrow else [[("  To mend on this machine (taskdeck doctor):", "")], []]
    first, *rest = wrap(text, 72 if narrow else 108) or [""]
    more = "      more: taskdeck doctor" if len(faults) > 1 else ""
    told: Lines = [[(f"  ! {first}", "warn")], *([(f"    {line}", "warn")] for line in rest)]
    return [*head, *told, *([[(f"    Cure: {cure}{more}", "")]] if cure else [])]
