"""Reads a pattern (ECMA-262) by recursive descent and builds its machine."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from app.core.pattern_program import MAX_STATES, BadPattern, Look, Program, Test

MAX_DEPTH = 50


def is_word(c: str) -> bool:
    """What `\\w` means: ASCII letters, digits and the underscore."""
    return c == "_" or (c.isascii() and c.isalnum())


def _is_digit(c: str) -> bool:
    return "0" <= c <= "9"


def _is_space(c: str) -> bool:
    return c in "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" or "\u2000" <= c <= "\u200a"


def _negated(test: Test) -> Test:
    return lambda c: not test(c)


_CLASSES: dict[str, Test] = {"d": _is_digit, "w": is_word, "s": _is_space}
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


class Parser:
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
