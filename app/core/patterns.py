"""JSON Schema patterns, matched in time that grows with text × pattern and no faster.

Python's `re` tries alternatives one after the other, so that `(a|a)*b` on thirty letters takes minutes; here all go
through the text side by side (Thompson's construction, as in Pike's machine). The dialect is what JSON Schema asks for,
ECMA-262: classes, groups, alternatives, repeats, anchors, look-ahead. Back-references and look-behind are refused.
"""

from __future__ import annotations

from functools import lru_cache

from app.core.pattern_parser import Parser, is_word
from app.core.pattern_program import BadPattern, Program, TooSlow

__all__ = ["BadPattern", "TooSlow", "compiled", "search"]

MAX_STEPS = 2_000_000


def search(pattern: str, text: str) -> bool:
    """Whether `pattern` occurs in `text`. Raises BadPattern, or TooSlow beyond 2 million steps."""
    return _Search(text).anywhere(compiled(pattern))


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Program:
    """The program for a pattern. Raises BadPattern."""
    return Parser(pattern).whole()


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
        before = here > 0 and is_word(self.text[here - 1])
        after = here < len(self.text) and is_word(self.text[here])
        return (before != after) is (kind == "b")

    def _count(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooSlow
