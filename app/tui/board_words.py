"""Words of the board in the user's language. The runtime stores and compares the English ones."""

from __future__ import annotations

import re
from string import Formatter

from app.core.text import units
from app.core.text.joining import join_clauses
from app.translation import tr, tr_noop

TROUBLES = (
    tr_noop("disk full"), tr_noop("disk nearly full"), tr_noop("disk read-only"),
    tr_noop("disk quota used up"), tr_noop("disk trouble"), tr_noop("database damaged"),
    tr_noop("database gone"), tr_noop("database held by another program"),
    tr_noop("the keeper cannot start processes"), tr_noop("the runtime is draining"),
)  # fmt: skip
"""Why nothing starts, without details and time."""
DATABASE_STATES = (tr_noop("disk full"), tr_noop("read-only"), tr_noop("DAMAGED"), tr_noop("GONE"))
"""States of the database that prevent writes."""
PLACE_STATES = (tr_noop("active"), tr_noop("paused"), tr_noop("draining"))
"""States of queues and pools."""
RESOURCES = (tr_noop("cpu"), tr_noop("memory"), tr_noop("capacity"), tr_noop("priority"))
"""Amounts of queues and pools."""
KINDS = (
    tr_noop("task"), tr_noop("queue"), tr_noop("pool"), tr_noop("rule"), tr_noop("schedule"),
    tr_noop("template"), tr_noop("group"), tr_noop("retry"),
)  # fmt: skip
"""Kinds of objects."""
ANY, NUMBER = "\0", "\1"
"""Values that stand for any text and any number in a template."""
_OPENS = tr_noop("opens {time}")


def translate_halt(text: str) -> str:
    """Return a reason why nothing starts, such as `disk full (/srv: 0 bytes) since 10:31`."""
    body, since, time = text.rpartition(" since ")
    kind, bracket, more = (body or text).partition(" (")
    return f"{tr(kind)}{bracket}{more}{tr(' since {time}', time=time) if since else ''}"


def translate_duration(how: str) -> str:
    """Return how long a run took, such as `in 44m` or `after 10m`, "" for another text."""
    word, _, took = how.partition(" ")
    if word == "in":
        return tr("in {took}", took=took)
    return tr("after {took}", took=took) if word == "after" else ""


def describe_duration(state: str, how: str) -> str:
    """Return the state with the time that a run took, "" for a text that holds another reason.

    `how` is such as `in 44m` or `after 10m`.
    """
    word, _, took = how.partition(" ")
    if word == "in":
        return tr("{state} in {took}", state=state, took=took)
    return tr("{state} after {took}", state=state, took=took) if word == "after" else ""


def find_text(template: str, text: str, **values: str) -> int | None:
    """Return the index of a translated template with these and any other values in a text."""
    names = (name for _, name, _, _ in Formatter().parse(template) if name)
    words = tr(template, **dict.fromkeys(names, ANY) | values).strip(ANY)
    pattern = re.escape(words).replace(ANY, "[^;；]+?").replace(NUMBER, r"[\d.,]+")
    found = re.search(pattern, text)
    return found and found.start()


def make_position_pattern() -> re.Pattern[str]:
    """Return the pattern of a position in a queue, such as `second of 14`."""
    ordinals = "|".join(
        re.sub(r"\d+", r"[\\d,]+", re.escape(ordinal(number)))
        for ordinal in (units.format_ordinal, units.format_short_ordinal)
        for number in range(1, 11)
    )
    template = re.escape(tr("{nth} of {total}", nth=ANY, total=NUMBER))
    return re.compile(template.replace(ANY, f"(?:{ordinals})").replace(NUMBER, r"[\d,]+"))


def get_separator() -> str:
    """Return the text between two reasons why a task waits."""
    return join_clauses(["", ""])


def translate_queue_word(word: str) -> str:
    """Return the state of a queue, such as `full` or `opens 22:00`."""
    opens = _OPENS.partition("{")[0]
    return tr(_OPENS, time=word.removeprefix(opens)) if word.startswith(opens) else tr(word)
