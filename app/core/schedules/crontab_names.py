"""Names of schedules that are made from the lines of a crontab.

Everybody who may list schedules sees their names, and words after a program may be secret. So a
name comes from the program, or from the comment above the line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping

FALLBACK = "crontab"
MAX_LENGTH = 60
"""Characters of a name."""
_KEYWORDS = frozenset({"if", "then", "else", "do", "while", "{", "!", "exec", "time"})
_GUARDS = frozenset(
    {
        "exit",
        "test",
        "[",
        "[[",
        "cd",
        ".",
        "source",
        "command",
        "export",
        "set",
        "umask",
        "sleep",
        "fi",
    }
    | {"true", "}", "echo", "exit", "mkdir", "for", "done", "which"}
)
"""Programs that prepare the command proper."""
_WRAPPERS: Mapping[str, str] = {
    "bundle": "", "chronic": "", "env": "uCS", "flock": "wE", "ionice": "cnp", "nice": "n",
    "nohup": "", "setsid": "", "sudo": "aCcDghpRrTtUu", "timeout": "ks",
}  # fmt: skip
"""Programs that run another one, with the letters of their options that take a value."""
_WRAPPERS_WITH_WORD = frozenset({"bundle", "flock", "timeout"})
"""Programs that take one word of their own before the command that they run."""
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "su", "runuser"})
_TOOLS = frozenset(
    {"awk", "cat", "cp", "curl", "date", "echo", "exit", "find", "gzip", "ls", "mv", "rm", "rsync"}
    | {"scp", "sed", "sort", "ssh", "tar", "touch", "wget", "xargs"}
)
"""Programs whose name does not say what a line is for."""
_INTERPRETER = re.compile(r"(python|perl|ruby|php|node)[0-9.]*")
_PATH = re.compile(r"[\w./~@+${}-]+")
_COMMAND_OPTION = re.compile(r"-[a-z]*c")
_OPERATOR = re.compile(r"[();<>|&]+")
_REDIRECTION = re.compile(r"[&|]?[<>]+[&|]?")
_EXTENSION = re.compile(r"\.(sh|bash|py|pl|rb|php|js)$")
_COMMENT = re.compile(r"[^\W\d_][\w.,'-]*(?: [\w.,'-]+){0,4}[.:]?")
"""One to five words, unlike a line that is commented out."""


def make_names(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Return names for commands with the comments above them.

    A comment gives the name if an earlier line runs the same program. A comment also names a
    program that only runs what its arguments say, as a shell does, and a tool for many purposes.
    """
    names: list[str] = []
    for command, comment in lines:
        name = make_name(command)
        is_vague = name in names or name in _SHELLS | _TOOLS or bool(_INTERPRETER.fullmatch(name))
        names.append((is_vague or name == FALLBACK) and _name_comment(comment) or name)
    return names


def make_name(command: str) -> str:
    """Return a name for a command: its program, or the script that a shell or interpreter runs.

    Tests and changes of the directory before the command are left out, and so are wrappers such as
    `nice`.
    """
    commands = list(_split(command))
    name = next((name for words in commands if (name := _name(words))), "")
    firsts = [words[0] for words in reversed(commands) if words and "=" not in words[0]]
    last = next((word for word in firsts if word != "exit"), firsts[0] if firsts else "")
    return (name or _clean(_get_stem(last)))[:MAX_LENGTH].rstrip("-") or FALLBACK


def make_unique(name: str, taken: Container[str]) -> str:
    """Return the name, or `name-2`, `name-3` and so on if it is taken."""
    return NameMaker(taken).make(name)


class NameMaker:
    """Maker of names that are not taken, in linear time for many lines with the same name.

    The caller adds each name that is used to `taken`, and removes none.
    """

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._numbers: dict[str, int] = {}

    def make(self, name: str) -> str:
        """Return the name, or `name-2`, `name-3` and so on if it is taken."""
        number, found = self._numbers.get(name, 1), name
        while found in self._taken:
            number += 1
            found = f"{name}-{number}"
        self._numbers[name] = number
        return found


def _name_comment(comment: str) -> str:
    """Return a name from a short comment, else ""."""
    text = " ".join(comment.strip("#-=* \t\r").split())
    return _clean(text)[:MAX_LENGTH].rstrip("-") if _COMMENT.fullmatch(text) else ""


def _split(command: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, without redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # an open quote, which is wrong in the shell as well
        tokens = command.split()[:1]
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
    is_shell = program in _SHELLS
    if is_shell or words[0] == "-c":  # `flock FILE -c COMMAND`
        options = words if words[0] == "-c" else arguments
        at = next((n for n, word in enumerate(options) if _COMMAND_OPTION.fullmatch(word)), None)
        if at is not None and at + 1 < len(options):
            return make_name(options[at + 1])
    script = _find_script(arguments, is_shell) if _is_script_runner(program) else ""
    return _clean(_get_stem(script) or program)


def _is_script_runner(program: str) -> bool:
    return program in _SHELLS or _INTERPRETER.fullmatch(program) is not None


def _find_script(arguments: list[str], is_shell: bool) -> str:
    """Return the file that a shell or interpreter runs, or "" if that is not certain.

    After an option the first word may be a program text.
    """
    first = next((word for word in arguments if not word.startswith("-")), "")
    if not _PATH.fullmatch(first):
        return ""
    is_file = "/" in first if is_shell else arguments[0] == first
    return first if is_file or _EXTENSION.search(first) else ""


def _strip(words: list[str]) -> list[str]:
    """Return a command without keywords, assignments and wrappers before it."""
    while words:
        first = _get_stem(words[0])
        is_value = "=" in words[0] and not words[0].startswith("=")
        if first in _WRAPPERS:
            words = _drop_options(words[1:], _WRAPPERS[first])
            words = words[first in _WRAPPERS_WITH_WORD :]
        elif words[0] in _KEYWORDS or is_value or words[0].startswith("$") and not first:
            words = words[1:]
        else:
            break
    return words


def _drop_options(words: list[str], with_value: str) -> list[str]:
    """Return the words after options; those of `with_value` are followed by their value."""
    while words and words[0].startswith("-"):
        has_value = len(words[0]) == 2 and words[0][1] in with_value
        if words[0] == "-c" and not has_value:
            break
        words = words[2 if has_value else 1 :]
    return words


def _get_stem(word: str) -> str:
    """Return the last part of a path, without the extension of a script."""
    return _EXTENSION.sub("", word.rstrip("/").rpartition("/")[2])


def _clean(name: str) -> str:
    return re.sub(r"[^\w.:+@-]+", "-", name).strip("-.")
