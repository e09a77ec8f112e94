"""User commands of the deck: the section `keys.commands` of config.toml.

A value of a task becomes an argument, never text of a shell. Names come from outside, so a name
that a program could take for an option is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from app.core.json_types import is_array, is_object
from app.core.maintenance_settings import SettingFault, add_fault, format_unknown_setting
from app.core.text.sanitize import has_hidden
from app.translation import tr

PLACEHOLDERS = ("number", "name", "log")
MODES = ("terminal", "background")
MAX_NAME = 40
_SETTINGS = ("name", "argv", "mode", "confirm")
_WORD = re.compile(r"\{\{[a-z]+\}\}|\{([a-z]+)\}")
"""A placeholder, or a word in double braces, which means the word in single braces."""
_CODE_OPTIONS = (
    (re.compile(r"(.*/)?((r?ba|da|t?c|k|z|fi)?sh|su|python[0-9.]*)"), re.compile("-[a-zA-Z]*c")),
    (re.compile(r"(.*/)?(perl|ruby|node)"), re.compile("-[a-zA-Z]*e|--eval")),
)
"""Interpreters, and their options before the text of a program."""
_ARGV_EXAMPLE = 'Example: argv = ["less", "{log}"]'


class UserCommand(NamedTuple):
    """A command of the user for the task under the cursor.

    `key` is as written in the file. `argv` still has its placeholders.
    """

    key: str
    name: str
    argv: tuple[str, ...]
    is_background: bool = False
    confirm: bool = False

    @property
    def needs_log(self) -> bool:
        """True if an argument names the log."""
        return any(found[1] == "log" for word in self.argv for found in _WORD.finditer(word))

    def fill(self, values: Mapping[str, str]) -> list[str]:
        """Return the arguments for a task. Raise ValueError for a value that is not safe."""
        filled: list[str] = []
        for word in self.argv:
            names = [found[1] for found in _WORD.finditer(word) if found[1]]
            for name in names:
                if has_hidden(values[name]):
                    raise ValueError(tr("{word} contains control characters", word=f"{{{name}}}"))
            done = _WORD.sub(lambda found: values[found[1]] if found[1] else found[0][1:-1], word)
            if done.startswith("-") and not word.startswith("-") and "--" not in filled:
                raise ValueError(
                    tr(
                        '{word} begins with "-" and would be an option; write "--" before it',
                        word=f"{{{names[0]}}}",
                    )
                )
            filled.append(done)
        return filled


def parse_user_commands(value: Any) -> tuple[tuple[UserCommand, ...], list[SettingFault]]:
    """Parse the section; return the valid commands, and the faults of the others."""
    where = ("keys", "commands")
    faults: list[SettingFault] = []
    if not is_object(value):
        add_fault(faults, where, tr("must be tables, such as [keys.commands.L]."))
        return (), faults
    commands: list[UserCommand] = []
    for key, table in value.items():
        before = len(faults)
        command = _parse_command(str(key), table, faults)
        if command and len(faults) == before:
            commands.append(command)
    return tuple(commands), faults


def _parse_command(key: str, table: Any, faults: list[SettingFault]) -> UserCommand | None:
    where = ("keys", "commands", key)
    if not is_object(table):
        add_fault(faults, where, tr("must be a table with name and argv."), _ARGV_EXAMPLE)
        return None
    for name in table:
        if name not in _SETTINGS:
            add_fault(faults, (*where, str(name)), format_unknown_setting(str(name), _SETTINGS))
    name, mode, confirm = (
        table.get(setting, default)
        for setting, default in (("name", ""), ("mode", MODES[0]), ("confirm", False))
    )
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME or has_hidden(name):
        message = tr("must be a text of 1 to {max_name} visible characters.", max_name=MAX_NAME)
        add_fault(faults, (*where, "name"), message, 'Example: name = "view log"')
    if mode not in MODES:
        add_fault(faults, (*where, "mode"), tr("must be {modes}.", modes=" or ".join(MODES)))
    if not isinstance(confirm, bool):
        add_fault(faults, (*where, "confirm"), tr("must be true or false."))
    argv = _parse_argv(table.get("argv"), (*where, "argv"), faults)
    return UserCommand(key, str(name).strip(), argv, mode == "background", confirm is True)


def _parse_argv(value: Any, where: tuple[str, ...], faults: list[SettingFault]) -> tuple[str, ...]:
    words = [word for word in value if isinstance(word, str)] if is_array(value) else []
    if not is_array(value) or not words or len(words) < len(value) or not words[0]:
        add_fault(faults, where, tr("must be a program with its arguments."), _ARGV_EXAMPLE)
        return ()
    if any("\0" in word for word in words):
        add_fault(faults, where, tr("must not contain NUL."))
    if _WORD.search(words[0]):
        add_fault(faults, where, tr("must begin with the name of a program."), _ARGV_EXAMPLE)
    if _has_value_in_code(words):
        message = tr(
            "a value must not stand in the text of a program; pass it as an argument behind."
        )
        add_fault(faults, where, message, 'Example: ["sh", "-c", \'wc -l "$1"\', "sh", "{log}"]')
    for name in (found[1] for word in words for found in _WORD.finditer(word)):
        if name and name not in PLACEHOLDERS:
            add_fault(faults, where, _describe_unknown(name))
    return tuple(words)


def _has_value_in_code(words: Sequence[str]) -> bool:
    """Return True if program text for a shell or another interpreter has a placeholder.

    The words may begin with a program that starts the interpreter, such as sudo, env or timeout.
    """
    return any(
        option.fullmatch(before) and any(found[1] for found in _WORD.finditer(word))
        for at, program in enumerate(words)
        for name, option in _CODE_OPTIONS
        if name.fullmatch(program)
        for before, word in pairwise(words[at:])
    )


def _describe_unknown(name: str) -> str:
    known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
    return tr(
        "there is no {{{name}}}. There are: {known}. For the word itself: {{{{{name}}}}}",
        name=name,
        known=known,
    )
