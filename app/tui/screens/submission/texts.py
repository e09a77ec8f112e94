"""Texts of the submit form: facts about the draft, its faults and its outlook."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.board import QueueEntry
from app.core.notifications.notices import describe_default_notice
from app.core.scheduling.resources import format_named
from app.core.schema.parameters import ParameterFinding
from app.core.text import units
from app.core.text.joining import end_sentence
from app.translation import tr, tr_n, tr_noop
from app.tui.board_words import translate_queue_word
from app.tui.forms.submit_draft import find_shell_operators, find_shell_word, split_command
from app.tui.message_fit import fit_message
from app.tui.style import Look, Span

SHOWN_FAULTS = 3
MIN_ERROR_LENGTH = 30
"""Characters of a submit error that must be visible in the message line."""
_SENTENCE_END = re.compile(r"\. |。")
INVITATIONS = {
    "command": tr_noop("Type a command."),
    "shell": tr_noop("Type shell text."),
    "template": tr_noop("Pick a template."),
}


def describe_command(look: Look, command: str) -> Span:
    """Return the command as it will run, or a warning if it looks like shell text."""
    try:
        found = split_command(command)
    except ValueError:
        return ("", "")
    if word := find_shell_word(command):
        return (
            tr(
                "no shell here (Run: shell text): {word} is a shell word.", word=look.sanitize(word)
            ),
            "warn",
        )
    if signs := find_shell_operators(command):
        return (
            tr("no shell here (Run: shell text): {signs} is plain text.", signs=" ".join(signs)),
            "warn",
        )
    shown = look.adapt_text(" │ ").join(look.sanitize(word) for word in found)
    return (
        tr_n(len(found), "{n} word, no shell: {shown}", "{n} words, no shell: {shown}", shown=shown)
        if found
        else "",
        "dim",
    )


def describe_template(look: Look, row: Mapping[str, Any], is_named: bool) -> str:
    """Return the template's description and the defaults of its tasks."""
    facts = [tr("queue {queue}", queue=look.sanitize(row["queue"]))] if row.get("queue") else []
    if row.get("cpu") is not None:
        facts.append(tr("cpu {cpu}", cpu=units.format_number(row["cpu"])))
    if row.get("memory") is not None:
        facts.append(tr("memory {memory}", memory=units.format_memory(row["memory"])))
    if resources := format_named(row.get("resources")):
        facts.append(resources)
    if row.get("timeout") is not None:
        facts.append(tr("limit {timeout}", timeout=units.format_duration(row["timeout"])))
    facts += [tr("signal {signal}", signal=row["signal"])] if row.get("signal") else []
    facts += [tr("on oom {memory}", memory=row["retry_on_oom"])] if row.get("retry_on_oom") else []
    if told := describe_default_notice(row.get("notify"), row.get("notify_on")):
        facts.append(tr("tells {told}", told=told))
    name = f"{row['name']}: " if is_named else ""
    return "  ".join([look.sanitize(f"{name}{row.get('description') or row['engine']}"), *facts])


def format_faults(look: Look, found: Sequence[str]) -> list[Span]:
    """Return the first faults, and the number of the others."""
    shown = [(f"✗ {look.sanitize(text)}", "broken") for text in found[:SHOWN_FAULTS]]
    if len(found) > SHOWN_FAULTS:
        shown[-1] = (
            tr("{fault} (and {more} more)", fault=shown[-1][0], more=len(found) - SHOWN_FAULTS),
            "broken",
        )
    return shown


def format_template_faults(
    look: Look,
    others: Sequence[str],
    findings: Sequence[ParameterFinding],
    shown_findings: Sequence[ParameterFinding],
) -> list[Span]:
    """Return the number of faults and their parameters.

    The fault of a parameter is shown beside it. A parameter not visited yet is missing, not wrong.
    """
    count = len(others) + len(shown_findings)
    where = "; ".join(filter(None, [*others, _format_names(shown_findings)]))
    fix_text = look.sanitize(
        tr_n(
            count,
            "{n} thing to fix before it can be submitted: {where}",
            "{n} things to fix before it can be submitted: {where}",
            where=where,
        )
    )
    missing = [finding for finding in findings if finding not in shown_findings]
    fill_text = look.sanitize(tr("Still required: {names}.", names=_format_names(missing)))
    return [
        *([(fix_text, "broken")] if count else []),
        *([(fill_text, "dim")] if len(shown_findings) < len(findings) else []),
    ]


def _format_names(findings: Sequence[ParameterFinding]) -> str:
    """Return the names of the parameters that findings are about."""
    return ", ".join(dict.fromkeys(finding.name or tr("all together") for finding in findings))


def describe_accepted(look: Look, queue: QueueEntry | None) -> str:
    """Return that the runtime accepts the draft, with the state of its queue on the board."""
    if queue is None:
        return tr("It can be submitted.")
    state = tr(
        "{word}, {load} of {capacity} running",
        word=translate_queue_word(queue.word),
        load=queue.load,
        capacity=queue.capacity,
    )
    waiting = units.format_count(queue.waiting)
    return tr(
        "It can be submitted. Queue {name}: {state}, {waiting} waiting.",
        name=look.sanitize(queue.name),
        state=state,
        waiting=waiting,
    )


def format_submit_error(look: Look, text: str, width: int) -> str:
    """Return the submit error for a message line of some cells.

    The verdict shows the full error. A narrow message line leaves out the advice, so that the
    cause is visible.
    """
    whole = tr("Not submitted: {why}", why=text)
    begins = fit_message(whole, width, look).startswith(whole[:MIN_ERROR_LENGTH])
    return whole if begins else end_sentence(_SENTENCE_END.split(whole)[0].rstrip(".。"))
