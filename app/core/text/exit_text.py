"""Wording of an exit code or signal."""

from __future__ import annotations

from signal import Signals

from app.translation import tr


def format_exit(code: int | None, signal: int | None, reason: str | None = None) -> str:
    """Format an exit: `exit 1`, `signal 9 (KILL)`, `exit 127: no program "ffmpg" …`."""
    if signal is not None:
        return tr("signal {number} ({name})", number=signal, name=get_signal_name(signal))
    if reason:
        return tr("exit {code}: {why}", code=code, why=reason)
    return tr("exit {code}", code=code)


def get_signal_name(number: int) -> str:
    """Return the name of a signal, `KILL` for 9, or its number if it has none."""
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
