"""First-run help: how to start, basic facts, and the first problem found by `doctor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from app.tui.style import Look, Span

GuidanceLines = list[list[Span]]


def build_welcome(
    home: str, faults: Sequence[Mapping[str, Any]], look: Look, narrow: bool
) -> GuidanceLines:
    """Return the help; empty without a home.

    `faults` are failed checks of `doctor`; only the first is shown. Without a home no board
    arrived, so tasks may exist.
    """
    if not home:
        return []
    lines = _build_short() if narrow else _build_long(look.sanitize(home))
    return [
        [(look.adapt_text(text), style) for text, style in line]
        for line in [*lines, *_build_fault(faults, look, narrow)]
    ]


def _list_ways(column: int) -> GuidanceLines:
    commands = (
        ("n", "a form, here"),
        (
            "taskdeck submit -- gzip -k big.log",
            "from any shell, any directory: runs there, with that environment",
        ),
        ("taskdeck submit -c 'sort a | uniq > b'", "the same, for shell syntax"),
        ("taskdeck demo", "a busy deck to play with, in a throw-away home"),
    )
    return [[("    " + command.ljust(column), "bold"), (does, "")] for command, does in commands]


def _build_long(home: str) -> GuidanceLines:
    n, submit, script, demo = _list_ways(39)
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
                (
                    "    · A job never depends on this screen. Close the terminal, lose ssh: the"
                    " job continues, its log and exit code are kept."
                ),
                "",
            )
        ],
        [
            (
                (
                    "    · A task requests 1 CPU and no memory unless you say --cpu, --memory."
                    " Taskdeck starts what fits in the pool."
                ),
                "",
            )
        ],
        [("    · Every waiting task says why it waits: w.   Every key: ?.   Every command: :", "")],
        [(f"    · Everything is under {home} (private to you).", "")],
        [],
    ]


def _build_short() -> GuidanceLines:
    lines = (
        "a form, here",
        "from any shell: runs there",
        "the same, for shell syntax",
        "a busy deck to play with",
    )
    commands: GuidanceLines = [
        [command, (text, "")] for (command, _), text in zip(_list_ways(41), lines, strict=True)
    ]
    return [
        [("  Nothing has been submitted yet. Start with:", "")],
        *commands,
        [],
        [("  Jobs never depend on this screen: close it, lose ssh, they continue.", "")],
        [("  w says why a task waits   ? shows every key   : finds every command", "")],
        [],
    ]


def _build_fault(faults: Sequence[Mapping[str, Any]], look: Look, narrow: bool) -> GuidanceLines:
    if not faults:
        return []
    text, advice = (
        look.sanitize(str(faults[0].get("text", ""))),
        look.sanitize(str(faults[0].get("cure") or "")),
    )
    head: GuidanceLines = (
        [] if narrow else [[("  To fix on this machine (taskdeck doctor):", "")], []]
    )
    first, *rest = wrap(text, 72 if narrow else 108) or [""]
    more = "      more: taskdeck doctor" if len(faults) > 1 else ""
    lines: GuidanceLines = [
        [(f"  ! {first}", "warn")],
        *([(f"    {line}", "warn")] for line in rest),
    ]
    return [*head, *lines, *([[(f"    Fix: {advice}{more}", "")]] if advice else [])]
