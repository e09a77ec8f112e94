"""The signal that a run gets some time before its timeout, for a checkpoint."""

from __future__ import annotations

from signal import Signals
from typing import NamedTuple

from app.core.text import units
from app.core.text.exit_text import get_signal_name
from app.core.text.sanitize import find_nearest
from app.translation import tr

DEFAULT_LEAD = 60.0
"""Seconds before the timeout if a text names none, as in Slurm."""
_UNUSABLE = ("KILL", "STOP")


class EarlySignal(NamedTuple):
    """A signal and the seconds before the timeout at which it is sent."""

    number: int
    lead: float

    def __str__(self) -> str:
        """Return the stored and typed form, such as `USR1@5m`."""
        return f"{get_signal_name(self.number)}@{units.format_exact_duration(self.lead)}"


def parse_early_signal(text: str) -> EarlySignal:
    """Parse `USR1@5m`, `SIGUSR1@300` or `10`. Raise ValueError with the rest of a sentence."""
    word, sign, lead = text.strip().partition("@")
    number = _parse_signal(word)
    return EarlySignal(number, units.parse_positive_duration(lead) if sign else DEFAULT_LEAD)


def _parse_signal(text: str) -> int:
    if text.isdigit() and text.isascii() and len(text) < 4 and 0 < int(text) <= 64:
        word = "SIG" + get_signal_name(int(text))
        number = int(text)
    else:
        word = "SIG" + text.upper().removeprefix("SIG")
        number = int(Signals[word]) if word in Signals.__members__ else 0
    if not number:
        near = find_nearest(word, Signals.__members__)
        hint = (
            tr(". Nearest: {signal}", signal=near.removeprefix("SIG"))
            if near
            else tr(", such as USR1@5m")
        )
        raise ValueError(
            tr("must be SIGNAL@TIME, not {said}{advice}", said=units.quote(text), advice=hint)
        )
    if word.removeprefix("SIG") in _UNUSABLE:
        raise ValueError(tr("must be a signal that a program can handle, not {said}", said=text))
    return number


def normalize(text: str) -> str:
    """Return the stored form of a text. Raise ValueError."""
    return str(parse_early_signal(text))


def find_conflict(signal: str | None, timeout: float | None) -> str:
    """Return why a signal cannot come before a timeout, as a sentence, or ""."""
    if signal is None:
        return ""
    if timeout is None:
        return tr(
            "signal {signal} comes before the timeout, and there is no timeout.", signal=signal
        )
    if parse_early_signal(signal).lead >= timeout:
        limit = units.format_duration_setting(timeout)
        return tr(
            "signal {signal} would come before the start: the timeout is {limit}.",
            signal=signal,
            limit=limit,
        )
    return ""
