"""Commands and code blocks of the documentation, for tests that parse or run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from app.cli import registry
from tests.acceptance.acceptance_home import AcceptanceHome

ROOT = Path(__file__).parents[2]
SHELL_SYNTAX = re.compile(r"[|&;<>$#]")


def find_code_blocks(text: str, kind: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def list_shell_lines(text: str) -> list[str]:
    """Return the lines of the `sh` blocks."""
    blocks = find_code_blocks(text, "sh")
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def list_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after the program's name, of commands in blocks and in inline code."""
    lines = [
        line
        for kind in ("sh", "text")
        for line in "".join(find_code_blocks(text, kind)).replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(
        r"`(taskdeck [a-z-][^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )
    for line in lines:
        shell = shlex.shlex(line.replace("\n", " "), posix=True, punctuation_chars=True)
        shell.whitespace_split, shell.commenters = True, "#"
        for words in _split_simple_commands(list(shell)):
            if words[0] in ("taskdeck", ".venv/bin/taskdeck") and words[1:]:
                yield words[1:]


def _split_simple_commands(words: list[str]) -> Iterator[list[str]]:
    """Yield the words of each command of a line, without redirections."""
    simple: list[str] = []
    rest = iter([*words, ";"])
    for word in rest:
        if not word or not set(word) <= set("();<>|&"):
            simple.append(word)
        elif word[0] in "<>":
            next(rest)
        elif simple:
            yield simple
            simple = []


def parse_command(words: list[str]) -> None:
    """Parse a command line without executing it. Raise Usage or KeyError."""
    while words[:1] in (["--home"], ["--read-only"], ["--ascii"], ["--in-process"]):
        words = words[2:] if words[0] == "--home" else words[1:]
    verb, *rest = words or ["status"]
    found = registry.load_commands(verb)
    if verb in registry.GROUPS and rest == ["--help"]:
        return
    name = rest.pop(0) if verb in registry.GROUPS else verb
    command = found[name]
    assert command.read(command.make_parser(name), rest).help is ("--help" in rest)


def run_line(home: AcceptanceHome, line: str) -> tuple[int, str]:
    """Run a shell line in the home's working directory; return exit code and stderr.

    A plain Taskdeck command runs in the fork server, which is faster than a process.
    """
    words = [] if SHELL_SYNTAX.search(line) else shlex.split(line)
    is_plain = words[:1] == ["taskdeck"]
    done = home.run_cli(*words[1:]) if is_plain else home.run_shell(line)
    return done.returncode, done.stderr
