"""The keys a user chose: checked against every binding there is, and the key that is shown for an action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import walk_packages
from typing import cast

from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.keys import _character_to_key

from app.core.clean import clean, nearest
from app.errors import Usage

Keys = Mapping[str, str]


def all_nodes() -> list[type[DOMNode]]:
    """Every class of ours with bindings: the app, screens, widgets. Imports all of the deck."""
    import app.tui as package

    for found in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(found.name)
    return [node for node in _below(DOMNode) if node.__module__.startswith("app.tui.") and "BINDINGS" in vars(node)]


def _below(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield cast(type[DOMNode], child)
        yield from _below(child)


def bindings_of(nodes: Iterable[type[DOMNode]]) -> dict[str, list[Binding]]:
    """Every binding by its id."""
    found: dict[str, list[Binding]] = {}
    for node in nodes:
        for binding in Binding.make_bindings(node.BINDINGS):
            if binding.id:
                found.setdefault(binding.id, []).append(binding)
    return found


def checked(keys: Keys, path: str) -> dict[str, str]:
    """The keys as Textual names them. Raises Usage for an id that there is not, and for a key that two actions of a place would have."""
    if not keys:
        return {}
    nodes = all_nodes()
    known = bindings_of(nodes)
    for name in keys:
        if name not in known:
            near = nearest(name, known)
            hint = f" Nearest: {near}." if near else ""
            raise Usage(f'{path}: there is no action "{clean(name)}".{hint}', "? in the deck shows the ids of all actions.")
    named = {name: ",".join(_named(key) for key in chosen.split(",")) for name, chosen in keys.items()}
    for node in nodes:
        _refuse_clash(node, named, path)
    return named


def _named(key: str) -> str:
    """`?` as Textual calls it."""
    key = key.strip()
    return _character_to_key(key) if len(key) == 1 else key


def _refuse_clash(node: type[DOMNode], keys: Keys, path: str) -> None:
    taken: dict[str, Binding] = {}
    for binding in merged(node):
        for key in keys.get(binding.id or "", binding.key).split(","):
            other = taken.setdefault(key, binding)
            if other.action != binding.action and (binding.id in keys or other.id in keys):
                what = f'"{other.description}" ({other.id}) and "{binding.description}" ({binding.id})'
                raise Usage(f"{path}: the key {clean(key)} would be {what} in the same place.", "Choose another key for one of them.")


def merged(node: type[DOMNode]) -> list[Binding]:
    """The bindings of a class with those it inherits."""
    merged: BindingsMap = node._merge_bindings()
    return [binding for bindings in merged.key_to_bindings.values() for binding in bindings]


def shown_key(nodes: Iterable[DOMNode], key: str, keys: Keys) -> str:
    """The key that does now what `key` does by default, in a place with these nodes, from the focused one up."""
    for node in nodes:
        for binding in node._bindings.key_to_bindings.get(key, ()):
            if binding.id in keys:
                return keys[binding.id or ""].split(",")[0]
            return key
    return key

