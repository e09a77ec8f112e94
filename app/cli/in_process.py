"""`taskdeck --in-process`: parse the option and reject what conflicts with it."""

from __future__ import annotations

from app.cli import output
from app.errors import Usage

OPTION = "--in-process"
_INFO_OPTIONS = ("--help", "-h", "--version", "-V")


def extract_option(argv: list[str]) -> list[str] | None:
    """Return the words without the option, or None if the option is absent before the command."""
    before = _find_global_options(argv)
    asked = [at for at in before if argv[at] == OPTION]
    return [word for at, word in enumerate(argv) if at not in asked] if asked else None


def find_refusal(words: list[str]) -> Usage | None:
    """Return the reason why these words cannot open a deck with a runtime, or None."""
    options = [words[at] for at in _find_global_options(words)]
    if not set(_INFO_OPTIONS).isdisjoint(options):
        return None
    if len(options) + options.count("--home") < len(words):
        return Usage(f"{OPTION} opens the deck and takes no command.", f"Use: taskdeck {OPTION}")
    if "--read-only" in options:
        return Usage(
            f"{OPTION} runs tasks, so it cannot be read-only.", "To view only: taskdeck --read-only"
        )
    if not (output.is_stdout_terminal() and output.is_stdin_terminal()):
        return Usage(
            f"{OPTION} opens the deck, which needs a terminal.",
            "Without a terminal: taskdeck serve",
        )
    return None


def _find_global_options(argv: list[str]) -> list[int]:
    found, at = [], 0
    while at < len(argv) and argv[at].startswith("-"):
        found.append(at)
        at += 2 if argv[at] == "--home" else 1
    return found
