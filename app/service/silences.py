"""Silences of the alerts that matchers select: set, list and end.

A silence has an id such as `s3`. It covers the alerts that match now, and later ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.core.rules import silence_matchers
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Refused, Usage
from app.service import name_hints
from app.service.context import Call
from app.service.tasks import lookup
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import definitions
from db.queries.history import operations
from db.queries.rules import silences
from db.queries.rules.silences import Silence

MAX_SILENCE = timedelta(days=366)
"""Longest silence. To silence a rule permanently, disable the rule."""
MAX_REASON_LENGTH = 500
"""Characters of a reason."""
MAX_SILENCES = 200
"""Silences with matchers that are active at a time; each is compared with each alert."""
_ID = re.compile(r"s([0-9]{1,18})")


async def set_matching(call: Call, match: Any, until: Any, reason: Any) -> dict[str, Any]:
    """Silence what matchers select, as `alert.silence` does for rules.

    A silence of the same matchers gets the new end.
    """
    stop, why = parse_until(until), parse_reason(reason)
    try:
        matchers = silence_matchers.normalize_matchers(match)
    except ValueError as error:
        raise Usage("{error} Nothing was changed.", error=error) from None

    words = silence_matchers.describe_matchers(matchers)
    after = {"status": "silenced", "until": stop, "reason": why, "matchers": matchers}

    def act(c: Connection) -> tuple[int, dict[str, Any] | None]:
        old = silences.find_matching(c, matchers)
        many = sum(one.matchers is not None for one in silences.list_active(c))
        if old is None and many >= MAX_SILENCES:
            raise Refused(
                "{max_silences} silences are active already. Nothing was changed.",
                "List: taskdeck alert silences",
                max_silences=MAX_SILENCES,
            )
        number = silences.put(c, matchers, stop, call.by, why)
        before = describe_end(old)
        operations.record(c, call.by, "alert silence", f"silence {format_id(number)}: {words}",
                          before and {**before, "matchers": matchers}, after)  # fmt: skip
        return number, before

    number, before = await call.db.write(act)
    covered = await call.db.read(_count_covered, number)
    done = {
        "id": format_id(number),
        "sla": None,
        "words": words,
        **after,
        "alerts": covered,
        "before": before,
    }
    notes = await call.db.read(name_hints.describe_hints, matchers)
    notes += [] if covered else [tr("no open alert matches now; later ones are silenced.")]
    return {"done": [done], "refused": [], "notes": notes}


def _count_covered(c: Connection, number: int) -> int:
    silence = silences.find(c, number)
    return silences.count_covered(c, [silence])[number] if silence else 0


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return the active silences, the next to end first.

    Each is {"id", "sla": name or None, "matchers": or None, "words", "by", "reason", "until",
    "created_at", "alerts": open alerts that it covers}.
    """
    return await call.db.read(_list_silences)


def _list_silences(c: Connection) -> list[dict[str, Any]]:
    found = silences.list_active(c)[::-1]
    names = {row.id: row.name for row in definitions.list_slas(c)} if found else {}
    counts = silences.count_covered(c, found)
    return [
        {
            "id": format_id(one.id),
            "sla": None if one.sla_id is None else names.get(one.sla_id),
            "matchers": one.matchers,
            "words": describe(one, names),
            "by": one.by,
            "reason": one.reason,
            "until": one.until,
            "created_at": one.created_at,
            "alerts": counts[one.id],
        }
        for one in found
    ]


def describe(silence: Silence, names: Mapping[int, str]) -> str:
    """Return what a silence covers, in words; `names` are those of rules by id."""
    if silence.matchers is None:
        return f"rule {sanitize(names.get(silence.sla_id or 0, '?'))}"
    return silence_matchers.describe_matchers(silence.matchers)


def format_id(number: int) -> str:
    """Return the id of a silence as users type it."""
    return f"s{number}"


def describe_end(silence: Silence | None) -> dict[str, Any] | None:
    """Return the end, the reason and the author of a silence, for the operation log."""
    if silence is None:
        return None
    return {"until": silence.until, "reason": silence.reason, "by": silence.by}


def find_numbers(c: Connection, words: Sequence[str]) -> dict[str, int]:
    """Return {word: number} of the words that are the id of a silence, and no rule's name."""
    asked = {word: int(found[1]) for word in words if (found := _ID.fullmatch(word))}
    names = {row.name for row in definitions.list_slas(c)} if asked else set()
    return {word: number for word, number in asked.items() if word not in names}


def end(c: Connection, by: str, numbers: Mapping[str, int]) -> dict[str, Any]:
    """End silences early, in the caller's transaction; the result is that of `alert.unsilence`."""
    done, refused = [], []
    names = {row.id: row.name for row in definitions.list_slas(c)}
    for word, number in numbers.items():
        silence = silences.find(c, number)
        if silence is None:
            refused.append(lookup.make_refusal(_make_not_found(word), word))
            continue
        silences.remove(c, silence)
        before, after = describe_end(silence), {"status": "heard", "until": None, "reason": None}
        of_rule = names.get(silence.sla_id) if silence.sla_id is not None else None
        words = describe(silence, names)
        about = f"silence {word}: {words}" if of_rule is None else f"sla {of_rule}"
        more = {} if silence.matchers is None else {"matchers": silence.matchers}
        was, now = ({**one, **more} for one in (before or {}, after))
        operations.record(c, by, "alert unsilence", about, was, now)
        done.append({"id": word, "sla": of_rule, "words": words, **after, "before": before})
    return {"done": done, "refused": refused, "notes": []}


def _make_not_found(word: str) -> NotFound:
    said = tr('no silence "{word}" is active.', word=truncate(sanitize(word), 60))
    return NotFound(said, "List: taskdeck alert silences")


def parse_until(text: Any) -> str:
    """Return the end of a silence in stored form. Raise Usage if it is past or too far."""
    now = timestamps.utcnow()
    try:
        moment = units.parse_time(str(text), now)
    except ValueError as error:
        raise Usage("until {error}. Nothing was changed.", error=error) from None
    if moment <= now:
        raise Usage(
            "until must be in the future, not {said}. Nothing was changed.",
            said=units.quote(str(text)),
        )
    if moment - now > MAX_SILENCE:
        raise Usage(
            "a silence lasts at most a year. Nothing was changed.",
            "To disable the rule instead: taskdeck sla set NAME --off",
        )
    return timestamps.format_time(moment)


def parse_reason(text: Any) -> str | None:
    """Return a reason or note without spaces around it, or None. Raise Usage if it is too long."""
    if text is not None and not isinstance(text, str):
        raise Usage("reason must be text. Nothing was changed.")
    word = (text or "").strip()
    if len(word) > MAX_REASON_LENGTH:
        raise Usage(
            "reason must have at most {max_reason_length} characters. Nothing was changed.",
            max_reason_length=MAX_REASON_LENGTH,
        )
    return word or None
