"""JSON Schema patterns, matched in time that grows with text × pattern and no faster.

Python's `re` tries alternatives one after the other, so that `(a|a)*b` on thirty letters takes minutes; here all go
through the text side by side (Thompson's construction, as in Pike's machine). The dialect is what JSON Schema asks for,
ECMA-262: classes, groups, alternatives, repeats, anchors, look-ahead. Back-references and look-behind are refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

Test = Callable[[str], bool]

MAX_STATES = 2_000
MAX_STEPS = 2_000_000
MAX_DEPTH = 50


class BadPattern(ValueError):
    """The pattern cannot be used; the text says why, to follow "its pattern …"."""


class TooSlow(Exception):
    """The text is too long for this pattern to be tried in bounded time."""


@dataclass(frozen=True, slots=True)
class Look:
    """A look-ahead: another program that must, or must not, match from here."""

    program: Program
    wanted: bool


@dataclass(slots=True)
class Program:
    """States by number: `tests` consume a character; `splits` lead on without, `anchors` and `looks` on a condition."""

    tests: dict[int, tuple[Test, int]] = field(default_factory=dict)
    splits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    anchors: dict[int, tuple[str, int]] = field(default_factory=dict)
    looks: dict[int, tuple[Look, int]] = field(default_factory=dict)
    start: int = 0
    size: int = 1  # state 0 accepts
    plain: bool = True
    """Whether no group is repeated and at most three things are: then any matcher is fast on a short text."""

    def new(self) -> int:
        self.size += 1
        if self.size > MAX_STATES:
            raise BadPattern("is too large")
        return self.size - 1


def search(pattern: str, text: str) -> bool:
    """Whether `pattern` occurs in `text`. Raises BadPattern, or TooSlow beyond 2 million steps."""
    return _Search(text).anywhere(compiled(pattern))


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Program:
    """The program for a pattern. Raises BadPattern."""
    return _Parser(pattern).whole()


class _Search:
    """One text on its way through a program."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def anywhere(self, program: Program) -> bool:
        return self._run(program, 0, True)

    def _run(self, program: Program, at: int, floating: bool) -> bool:
        live: set[int] = set()
        for here in range(at, len(self.text) + 1):
            if floating or here == at:
                live.add(program.start)
            live = self._closure(program, live, here)
            if 0 in live:
                return True
            if here == len(self.text) or not (live or floating):
                return False
            character = self.text[here]
            live = {after for state in live for test, after in (program.tests[state],) if test(character)}
        return False

    def _closure(self, program: Program, live: set[int], here: int) -> set[int]:
        """Every state reached without a character; of those, the ones that consume one, and 0 when it accepts."""
        stack, seen, found = list(live), set(live), set[int]()
        while stack:
            state = stack.pop()
            self._count()
            if state == 0 or state in program.tests:
                found.add(state)
                continue
            fresh = [after for after in self._leads(program, state, here) if after not in seen]
            seen.update(fresh)
            stack.extend(fresh)
        return found

    def _leads(self, program: Program, state: int, here: int) -> tuple[int, ...]:
        if state in program.splits:
            return program.splits[state]
        if state in program.anchors:
            kind, after = program.anchors[state]
            return (after,) if self._holds(kind, here) else ()
        look, after = program.looks[state]
        return (after,) if self._run(look.program, here, False) is look.wanted else ()

    def _holds(self, kind: str, here: int) -> bool:
        if kind in "^$":
            return here == (0 if kind == "^" else len(self.text))
        before = here > 0 and _is_word(self.text[here - 1])
        after = here < len(self.text) and _is_word(self.text[here])
        return (before != after) is (kind == "b")

    def _count(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooSlow


def _is_word(c: str) -> bool:
    return c == "_" or (c.isascii() and c.isalnum())


def _is_digit(c: str) -> bool:
    return "0" <= c <= "9"


def _is_space(c: str) -> bool:
    return c in "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" or "\u2000" <= c <= "\u200a"


def _negated(test: Test) -> Test:
    return lambda c: not test(c)


_CLASSES: dict[str, Test] = {"d": _is_digit, "w": _is_word, "s": _is_space}
_CLASSES |= {name.upper(): _negated(test) for name, test in _CLASSES.items()}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_CATEGORIES = {"Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Symbol": "S", "Separator": "Z"}


def _one(wanted: str) -> Test:
    return lambda c: c == wanted


def _between(low: str, high: str) -> Test:
    return lambda c: low <= c <= high


def _category(wanted: str) -> Test:
    return lambda c: unicodedata.category(c).startswith(wanted)


Fragment = Callable[[Program, int], int]
"""Builds its states in a program so that they lead to a given state; returns where they start."""


class _Parser:
    """Reads a pattern by recursive descent into fragments, and those into a program."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0
        self.repeats = 0
        self.nested = False

    def whole(self) -> Program:
        fragment = self._alternatives()
        if self.at < len(self.pattern):
            raise BadPattern("has a ) without its (")
        program = _program(fragment)
        program.plain = not self.nested and self.repeats <= 3
        return program

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self) -> str:
        if self.at >= len(self.pattern):
            raise BadPattern("ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _eat(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _alternatives(self) -> Fragment:
        branches = [self._sequence()]
        while self._eat("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _either(branches)

    def _sequence(self) -> Fragment:
        parts: list[Fragment] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated())
        return _chain(parts)

    def _repeated(self) -> Fragment:
        before = self.at
        atom = self._atom()
        low, high = self._bounds()
        if (low, high) != (1, 1):
            self.repeats += 1
            self.nested |= self.pattern[before] == "("
            self._eat("?")
            atom = _repeat(atom, low, high)
            if self._bounds() != (1, 1):
                raise BadPattern("repeats a repeat")
        return atom

    def _bounds(self) -> tuple[int, int | None]:
        """How often the atom before may stand: (0, None) for `*`; a `{` that opens no count is itself."""
        for mark, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._eat(mark):
                return bounds
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at + 1 : end].partition(",")
        if self._peek() != "{" or end < 0 or not (_number(low) and (not high or _number(high))):
            return 1, 1
        self.at = end + 1
        bounds = int(low), int(high) if high else None if comma else int(low)
        if bounds[0] > MAX_STATES or (bounds[1] or 0) > MAX_STATES or (bounds[1] is not None and bounds[1] < bounds[0]):
            raise BadPattern("has a count that is too large or falls")
        return bounds

    def _atom(self) -> Fragment:
        c = self._take()
        if c == "(":
            return self._group()
        if c == "[":
            return _consume(self._class())
        if c == ".":
            return _consume(lambda c: c not in "\n\r\u2028\u2029")
        if c in "^$":
            return _anchor(c)
        if c in "*+?":
            raise BadPattern(f"has a {c} with nothing before it")
        return self._escape() if c == "\\" else _consume(_one(c))

    def _group(self) -> Fragment:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadPattern("is nested too deeply")
        wanted = self._opening()
        inner = self._alternatives()
        if not self._eat(")"):
            raise BadPattern("has a ( without its )")
        self.depth -= 1
        return inner if wanted is None else _look(inner, wanted)

    def _opening(self) -> bool | None:
        """What stands after `(`: None for a plain group, else whether its look-ahead must match."""
        if not self._eat("?"):
            return None
        for mark, wanted in ((":", None), ("=", True), ("!", False)):
            if self._eat(mark):
                return wanted
        if not self._eat("<") or self._peek() in ("=", "!"):
            raise BadPattern("uses look-behind or a flag, which are not supported")
        while self._take() != ">":
            continue
        return None

    def _escape(self) -> Fragment:
        if self._peek() in ("b", "B"):
            return _anchor(self._take())
        if self._peek() in tuple("123456789k"):
            raise BadPattern("uses a back-reference, which is not supported")
        return _consume(self._escaped()[0])

    def _escaped(self) -> tuple[Test, str]:
        """What stands after a backslash: its test, and the character itself where it is one."""
        c = self._take()
        if c in _CLASSES:
            return _CLASSES[c], ""
        if c in "pP":
            test = _category(self._property())
            return (_negated(test) if c == "P" else test), ""
        character = self._character(c)
        return _one(character), character

    def _character(self, c: str) -> str:
        if c in "xu":
            return self._hexadecimal(2 if c == "x" else 4)
        if c == "c":
            return chr(ord(self._take()) % 32)
        return _CONTROLS.get(c, c)

    def _hexadecimal(self, digits: int) -> str:
        word = "".join(self._take() for _ in range(digits))
        try:
            return chr(int(word, 16))
        except ValueError:
            raise BadPattern("has a character code that is no number") from None

    def _property(self) -> str:
        end = self.pattern.find("}", self.at)
        name = self.pattern[self.at + 1 : end] if self._peek() == "{" and end > 0 else ""
        name = _CATEGORIES.get(name, name)
        if not 1 <= len(name) <= 2:
            raise BadPattern("names a Unicode property that is not supported")
        self.at = end + 1
        return name

    def _class(self) -> Test:
        inverted = self._eat("^")
        tests: list[Test] = []
        while not self._eat("]"):
            tests.append(self._member())
        test: Test = lambda c: any(test(c) for test in tests)  # noqa: E731
        return _negated(test) if inverted else test

    def _member(self) -> Test:
        test, low = self._end()
        if not (low and self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", "")):
            return test
        self.at += 1
        other, high = self._end()
        if not high:
            return lambda c: test(c) or c == "-" or other(c)
        if high < low:
            raise BadPattern("has a range that falls")
        return _between(low, high)

    def _end(self) -> tuple[Test, str]:
        c = self._take()
        if c != "\\":
            return _one(c), c
        return (_one("\b"), "\b") if self._eat("b") else self._escaped()


def _number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 6


def _program(fragment: Fragment) -> Program:
    program = Program()
    program.start = fragment(program, 0)
    return program


def _consume(test: Test) -> Fragment:
    def build(program: Program, after: int) -> int:
        state = program.new()
        program.tests[state] = test, after
        return state

    return build


def _anchor(kind: str) -> Fragment:
    def build(program: Program, after: int) -> int:
        state = program.new()
        program.anchors[state] = kind, after
        return state

    return build


def _look(inner: Fragment, wanted: bool) -> Fragment:
    look = Look(_program(inner), wanted)

    def build(program: Program, after: int) -> int:
        state = program.new()
        program.looks[state] = look, after
        return state

    return build


def _chain(parts: list[Fragment]) -> Fragment:
    def build(program: Program, after: int) -> int:
        for part in reversed(parts):
            after = part(program, after)
        return after

    return build


def _either(branches: list[Fragment]) -> Fragment:
    def build(program: Program, after: int) -> int:
        state = program.new()
        program.splits[state] = tuple(branch(program, after) for branch in branches)
        return state

    return build


def _repeat(atom: Fragment, low: int, high: int | None) -> Fragment:
    def build(program: Program, after: int) -> int:
        end = after
        if high is None:
            after = _loop(program, atom, after)
        for _ in range(0 if high is None else high - low):
            state = program.new()
            program.splits[state] = (atom(program, after), end)
            after = state
        for _ in range(low):
            before = atom(program, after)
            if before == after:  # nothing, however often, is nothing
                break
            after = before
        return after

    return build


def _loop(program: Program, atom: Fragment, after: int) -> int:
    state = program.new()
    program.splits[state] = (after,)
    program.splits[state] = (atom(program, state), after)
    return state
