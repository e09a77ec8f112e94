"""How an end is said in words."""

from __future__ import annotations

from signal import Signals


def format_exit(code: int | None, signal: int | None, said: str | None = None) -> str:
    """`exit 1`, `signal 9 (KILL)`, `exit 127: no program "ffmpg" …`."""
    if signal is not None:
        return f"signal {signal} ({get_signal_name(signal)})"
    return f"exit {code}: {said}" if said else f"exit {code}"


def get_signal_name(number: int) -> str:
    """`KILL` for 9; the number itself when it has no name."""
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
