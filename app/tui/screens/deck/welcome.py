"""First-run help: how to start, basic facts, and the first problem found by `doctor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.translation import tr
from app.tui.message_fit import wrap_message
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
        ("n", tr("a form, here")),
        (
            "taskdeck submit -- gzip -k big.log",
            tr("from any shell, any directory: runs there, with that environment"),
        ),
        ("taskdeck submit -c 'sort a | uniq > b'", tr("the same, for shell syntax")),
        ("taskdeck demo", tr("a busy deck to play with, in a throw-away home")),
    )
    return [[("    " + command.ljust(column), "bold"), (does, "")] for command, does in commands]


def _build_long(home: str) -> GuidanceLines:
    n, submit, script, demo = _list_ways(39)
    return [
        [],
        [(tr("  Nothing has been submitted yet. Three ways to start:"), "")],
        [],
        n,
        [],
        submit,
        script,
        [],
        demo,
        [],
        [(tr("  What you should know in a minute:"), "")],
        [],
        [
            (
                (
                    tr(
                        "    · A job never depends on this screen. Close the terminal, lose ssh:"
                        " the job continues, its log and exit code are kept."
                    )
                ),
                "",
            )
        ],
        [
            (
                (
                    tr(
                        "    · A task requests 1 CPU and no memory unless you say --cpu,"
                        " --memory. Taskdeck starts what fits in the pool."
                    )
                ),
                "",
            )
        ],
        [
            (
                tr(
                    "    · Every waiting task says why it waits: w.   Every key: ?."
                    "   Every command: :"
                ),
                "",
            )
        ],
        [(tr("    · Everything is under {home} (private to you).", home=home), "")],
        [],
    ]


def _build_short() -> GuidanceLines:
    lines = (
        tr("a form, here"),
        tr("from any shell: runs there"),
        tr("the same, for shell syntax"),
        tr("a busy deck to play with"),
    )
    commands: GuidanceLines = [
        [command, (text, "")] for (command, _), text in zip(_list_ways(41), lines, strict=True)
    ]
    return [
        [(tr("  Nothing has been submitted yet. Start with:"), "")],
        *commands,
        [],
        [(tr("  Jobs never depend on this screen: close it, lose ssh, they continue."), "")],
        [(tr("  w says why a task waits   ? shows every key   : finds every command"), "")],
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
        [] if narrow else [[(tr("  To fix on this machine (taskdeck doctor):"), "")], []]
    )
    first, *rest = wrap_message(text, 72 if narrow else 108) or [""]
    more = tr("      more: taskdeck doctor") if len(faults) > 1 else ""
    lines: GuidanceLines = [
        [(f"  ! {first}", "warn")],
        *([(f"    {line}", "warn")] for line in rest),
    ]
    return [
        *head,
        *lines,
        *([[(tr("    Fix: {advice}{more}", advice=advice, more=more), "")]] if advice else []),
    ]
