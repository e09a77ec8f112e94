"""Functions of Textual's app that have no public name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from textual.binding import Binding
from textual.dom import DOMNode


@cache
def merge_class_bindings(node: type[DOMNode]) -> Mapping[str, Sequence[Binding]]:
    """Return the bindings of a class by key, inherited ones included.

    Only Textual knows which classes were declared with `inherit_bindings=False`.
    """
    return node._merge_bindings().key_to_bindings
