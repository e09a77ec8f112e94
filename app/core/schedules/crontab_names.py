"""Names of schedules that are made from the commands of a crontab."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator

FALLBACK = "crontab"
MAX_LENGTH = 60
_KEYWORDS = frozenset({"if", "then", "else", "do", "while", "{", "!", "exec", "time"})
_GUARDS = frozenset(
    {"test", "[", "[[", "cd", ".", "source", "command", "export", "set", "umask", "sleep", "fi"}
    | {"true", "}", "echo", "mkdir", "for", "done", "which"}
)
"""Programs that prepare the command proper."""
_WRAPPERS = frozenset({"nice", "ionice", "sudo", "env", "nohup", "chronic", "setsid", "bundle"})
_WRAPPERS_WITH_VALUE = frozenset({"timeout", "flock"})
"""Programs that take one word of their own before the command that they run."""
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "su", "runuser"})
_INTERPRETER = re.compile(r"(python|perl|ruby|php|node)[0-9.]*")
_PLAIN = re.compile(r"[A-Za-z][\w.:+@-]*")
_OPERATOR = re.compile(r"[();<>|&]+")
_REDIRECTION = re.compile(r"[&|]?[<>]+[&|]?")
_EXTENSION = re.compile(r"\.(sh|bash|py|pl|rb|php|js)")


def make_name(command: str) -> str:
    """Return a name for a command: its program, and its first word if that is plain.

    Tests and changes of the directory before the command are left out, and so are wrappers such as
    `nice`. A script has the name of its file.
    """
    commands = list(_split(command))
    name = next((name for words in commands if (name := _name(words))), "")
    last = next((words[0] for words in reversed(commands) if words), "")
    return (name or _clean(_get_stem(last)))[:MAX_LENGTH].rstrip("-") or FALLBACK


def make_unique(name: str, taken: Container[str]) -> str:
    """Return the name, or `name-2`, `name-3` and so on if it is taken."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _split(command: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, without redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # an open quote, which is wrong in the shell as well
        tokens = command.split()
    words, is_target = list[str](), False
    for token in tokens:
        if is_target:
            is_target = False
        elif _REDIRECTION.fullmatch(token):
            is_target = True
        elif _OPERATOR.fullmatch(token):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _name(words: list[str]) -> str:
    """Return the name of a simple command, or "" for one that only prepares another."""
    words = _strip(words)
    if not words or words[0] in _GUARDS:
        return ""
    program, arguments = _get_stem(words[0]), words[1:]
    if program in _SHELLS:
        if "-c" in arguments[:-1]:
            return make_name(arguments[arguments.index("-c") + 1])
        scripts = [word for word in arguments if "/" in word or _EXTENSION.search(word)]
        return _clean(_get_stem(scripts[0])) if scripts else _clean(program)
    plain = [word for word in arguments if not word.startswith("-")]
    if _INTERPRETER.fullmatch(program) and plain:
        return _clean(_get_stem(plain[0]))
    more = _get_stem(plain[0]) if plain else ""
    return _clean(f"{program}-{more}" if _PLAIN.fullmatch(more) else program)


def _strip(words: list[str]) -> list[str]:
    """Return a command without keywords, assignments and wrappers before it."""
    while words:
        first = _get_stem(words[0])
        is_value = "=" in words[0] and not words[0].startswith("=")
        if first in _WRAPPERS | _WRAPPERS_WITH_VALUE:
            words = _drop_options(words[1:], first not in _WRAPPERS_WITH_VALUE)
            words = words[first in _WRAPPERS_WITH_VALUE or first == "bundle" :]
        elif words[0] in _KEYWORDS or is_value or words[0].startswith("$") and not first:
            words = words[1:]
        else:
            break
    return words


def _drop_options(words: list[str], may_have_value: bool) -> list[str]:
    """Return the words after options; an option of one letter may be followed by its value."""
    while words and words[0].startswith("-"):
        has_value = may_have_value and len(words[0]) == 2 and len(words) > 2
        words = words[2 if has_value and not words[1].startswith("-") else 1 :]
    return words


def _get_stem(word: str) -> str:
    """Return the last part of a path, without the extension of a script."""
    return _EXTENSION.sub("", word.rstrip("/").rpartition("/")[2])


def _clean(name: str) -> str:
    return re.sub(r"[^\w.:+@-]+", "-", name).strip("-.")
