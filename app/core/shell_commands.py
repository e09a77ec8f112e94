"""Commands that the lines of a shell script call, for warnings about those that do not exist.

The look is careful rather than complete: a text that is hard to read has no commands.
"""

from __future__ import annotations

import re
from bisect import bisect

_IN_QUOTES = r'\$\((?:[^()"]|"[^"]*"|\([^()]*\))*+\)'
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\r]+|\\\n|\#[^\n]*|\[\[\s[^\n]{{0,300}}?\s\]\]|\(\([^()\n]*\)\))
    |<<-?[ ]*(?P<end>\\?[\w.]+|'[^'\n]*'|"[^"\n]*")
    |(?P<redirection>[0-9]*(?:<<<|&>>?|>>|>\||[<>]&|<>|<(?!<)|>)[ \t]*)
    |(?P<separator>;;&?|;&|\n|&&?|\|[|&]?|;)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<word>(?:
        \\.|'[^']*'|"(?:\\.|{_IN_QUOTES}|[^"\\$]|\$(?!\())*+"|`[^`]*`|\$\(\([^()\n]*\)\)|\$\{{[^{{}}\n]*\}}
        |[^\s;&|()<>'"\\`]
    )++)(?P<function>[ \t]*\([ \t]*\))?
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^]]*\])?\+?=")
_PREFIXES = frozenset(
    {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec"}
)
_LOOKUPS = frozenset({"command", "type", "which", "hash", "function"})
"""Commands whose arguments are programs that the script looks for, or a function of its own."""
_COMMAND, _ARGUMENT, _LOOKUP, _CASE, _PATTERN, _ARRAY = range(6)
"""Meaning of the next word."""


def find_commands(text: str) -> dict[str, int]:
    """Return {command: line of its first call} for a shell script.

    Functions of the script and programs that the script itself looks for are left out.
    """
    script = _Script(text)
    try:
        script.read()
    except ValueError:
        return {}
    return {name: line for name, line in script.calls.items() if name not in script.known}


class _Script:
    def __init__(self, text: str) -> None:
        self.text = text
        self.line_ends = [found.start() for found in re.finditer("\n", text)]
        self.calls: dict[str, int] = {}
        self.known: set[str] = set()
        self.state = _COMMAND
        self.outer: list[int] = []
        self.ends: list[str] = []

    def read(self) -> None:
        """Read all tokens. Raise ValueError for text whose end of a part is not found."""
        at = 0
        is_file = False
        while at < len(self.text):
            token = _TOKEN.match(self.text, at)
            if token is None:
                raise ValueError
            at, kind = token.end(), token.lastgroup
            if kind == "separator":
                self._separate(token[0])
                at = self._skip_here_documents(at) if token[0] == "\n" else at
            elif kind == "end":
                self.ends.append(token["end"].strip("\\'\""))
            elif kind in ("open", "close"):
                self._nest(kind, token.start())
            elif kind in ("word", "function") and not is_file:
                self._read_word(token)
            is_file = kind == "redirection" or (is_file and kind == "space")
        if self.outer:
            raise ValueError

    def _separate(self, sign: str) -> None:
        if sign.startswith((";;", ";&")):
            self.state = _PATTERN
        elif self.state not in (_PATTERN, _ARRAY):
            self.state = _COMMAND

    def _skip_here_documents(self, at: int) -> int:
        for end in self.ends:
            found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(self.text, at)
            at = found.end() if found else len(self.text)
        self.ends.clear()
        return at

    def _nest(self, kind: str, at: int) -> None:
        if kind == "open":
            is_array = self.text[at - 1 : at] == "="
            self.outer.append(self.state)
            self.state = _ARRAY if is_array else _COMMAND
        elif self.state == _PATTERN:
            self.state = _COMMAND
        elif self.outer:
            self.state = self.outer.pop()
        else:
            raise ValueError

    def _read_word(self, token: re.Match[str]) -> None:
        word, state = token["word"], self.state
        if token["function"]:
            self.known.add(word)
            self.state = _COMMAND
        elif state == _LOOKUP:
            self.known.add(word)
        elif state == _CASE and word == "in":
            self.state = _PATTERN
        elif state == _PATTERN and word == "esac":
            self.state = _ARGUMENT
        elif state == _COMMAND and word not in _PREFIXES and not _ASSIGNMENT.match(word):
            if word not in self.calls:
                self.calls[word] = bisect(self.line_ends, token.start()) + 1
            self.state = _CASE if word == "case" else _LOOKUP if word in _LOOKUPS else _ARGUMENT
