"""The keys a user chose: checked against every binding there is, and the key that is shown for an action."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import walk_packages
from string import punctuation
from typing import cast

from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.keys import Keys as TextualKeys
from textual.keys import _character_to_key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from app.core.text.sanitize import find_nearest, sanitize
from app.errors import Usage

KeyMap = Mapping[str, str]


def list_binding_classes() -> list[type[DOMNode]]:
    """Every class of ours with bindings: the app, screens, widgets. Imports all of the deck."""
    import app.tui as package

    for found in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(found.name)
    return [node for node in _iter_subclasses(DOMNode) if node.__module__.startswith("app.tui.") and "BINDINGS" in vars(node)]


def _iter_subclasses(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield cast(type[DOMNode], child)
        yield from _iter_subclasses(child)


def index_bindings(nodes: Iterable[type[DOMNode]]) -> dict[str, list[Binding]]:
    """Every binding by its id."""
    found: dict[str, list[Binding]] = {}
    for node in nodes:
        for binding in Binding.make_bindings(node.BINDINGS):
            if binding.id:
                found.setdefault(binding.id, []).append(binding)
    return found


def resolve_keys(keys: KeyMap, path: str) -> tuple[dict[str, str], str]:
    """The keys that hold, as Textual names them, and what there is to say about the others: "" when there are none. What is wrong by
    itself is passed over alone; of keys that would mean two things nobody knows which was meant, so that none of them holds."""
    there, told = split_known_actions(keys, path)
    kept, wrong = _split_valid_keys(there, path)
    said = [told] if told else []
    if wrong:
        said.append(f"{wrong[0].message} Passed over{f', with {len(wrong) - 1} more' if len(wrong) > 1 else ''}.")
    try:
        return validate_keys(kept, path), "  ".join(said)
    except Usage as problem:
        return {}, "  ".join([*said, f"{problem.message} Usual keys hold."])


def _split_valid_keys(keys: KeyMap, path: str) -> tuple[dict[str, str], list[Usage]]:
    """The entries that name keys, and what is wrong with the others."""
    kept, wrong = {}, []
    for name, chosen in keys.items():
        try:
            for key in _split_keys(chosen):
                _normalize_key(name, key, path)
            kept[name] = chosen
        except Usage as problem:
            wrong.append(problem)
    return kept, wrong


def split_known_actions(keys: KeyMap, path: str) -> tuple[KeyMap, str]:
    """The keys of actions that there are, and what there is to say about the others: "" when there are none."""
    if not keys:
        return {}, ""
    found = index_bindings(list_binding_classes())
    wrong = [name for name in keys if name not in found]
    said = f"{path}: {_describe_unknown(wrong, found)}" if wrong else ""
    return {name: key for name, key in keys.items() if name in found}, said


def _describe_unknown(wrong: Sequence[str], there: Iterable[str]) -> str:
    """Short: the nearest one stands in the last sentence, which is what a narrow line keeps."""
    more = f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""
    near = find_nearest(wrong[0], there)
    cure = f"Nearest: {near}; passed over." if near else "Passed over; ? then i shows all."
    return f'no action "{sanitize(wrong[0])}".{more} {cure}'


def validate_keys(keys: KeyMap, path: str) -> dict[str, str]:
    """The keys as Textual names them. Raises Usage for an id that there is not, for a key that no terminal sends, and for one that would
    mean two things where both can be pressed."""
    if not keys:
        return {}
    nodes = list_binding_classes()
    there = index_bindings(nodes)
    for name in keys:
        if name not in there:
            near = find_nearest(name, there)
            hint = f" Nearest: {near}." if near else ""
            raise Usage(f'{path}: there is no action "{sanitize(name)}".{hint}', "? and then i in the deck shows the ids of all actions.")
    named = {name: ",".join(_normalize_key(name, key, path) for key in _split_keys(chosen)) for name, chosen in keys.items()}
    for place in _iter_scopes(nodes):
        _refuse_clash(place, named, path)
    return named


def _split_keys(chosen: str) -> list[str]:
    """The keys of a list with commas; a comma alone is that key."""
    return [","] if chosen.strip() == "," else [key.strip() for key in chosen.split(",")]


def _normalize_key(name: str, key: str, path: str) -> str:
    """`?` as Textual calls it. Raises Usage for what is no key, and for letters where they answer a dialog or pick from a list."""
    named = _character_to_key(key) if len(key) == 1 else key
    *held, bare = named.split("+")
    if bare not in _KEYS and len(bare) != 1 or not set(held) <= {"ctrl", "shift", "alt"}:
        near = find_nearest(bare.lower(), _KEYS)
        hint = f" Nearest: {near}." if near else ""
        raise Usage(f'{path}: keys."{name}": there is no key "{sanitize(key)}".{hint}', "Such as: c, C, ctrl+e, f5")
    if name.startswith("dialog.") and len(key) == 1:
        raise Usage(f'{path}: keys."{name}": {key} may be an answer of a dialog.', "Choose a key that is no letter, such as ctrl+e.")
    if name in _SELECT_ACTIONS and (len(named) == 1 or named in _PUNCTUATION):
        raise Usage(f'{path}: keys."{name}": {sanitize(key)} no: letters pick there.', "Choose a key that is no letter, such as ctrl+e.")
    return named


_SELECT_ACTIONS = ("pick.next", "pick.previous", "pick.open")
"""What a field does from which letters pick."""
_PUNCTUATION = frozenset(map(_character_to_key, punctuation))
_KEYS = frozenset([*(key.value for key in TextualKeys), *_PUNCTUATION, "space"])


def _iter_scopes(nodes: Iterable[type[DOMNode]]) -> Iterator[tuple[type[DOMNode], ...]]:
    """What has keys together: a screen, each list, log or form that may stand in it, and, but for dialogs, the app."""
    screens = [node for node in nodes if issubclass(node, Screen)]
    widgets = [node for node in nodes if issubclass(node, Widget) and not issubclass(node, Screen)]
    apps = [node for node in nodes if issubclass(node, App)]
    for screen in screens:
        around = () if issubclass(screen, ModalScreen) else tuple(apps)
        there = find_widgets(screen)
        yield from ((widget, screen, *around) for widget in [*(widget for widget in widgets if widget in there), screen])


def find_widgets(screen: type[DOMNode]) -> set[type[DOMNode]]:
    """The widgets that may stand in a screen, with their bases: those that its modules name, and those that theirs do."""
    there: set[type[DOMNode]] = set()
    seen, modules = set[str](), _list_modules(screen)
    while modules:
        if (module := modules.pop()) in seen:
            continue
        seen.add(module)
        for kind in vars(sys.modules[module]).values():
            if isinstance(kind, type) and issubclass(kind, Widget) and not issubclass(kind, Screen):
                there.update(base for base in kind.__mro__ if issubclass(base, DOMNode))
                modules += _list_modules(kind)
    return there


def _list_modules(kind: type) -> list[str]:
    """The modules of ours that a class and its bases are written in."""
    return [base.__module__ for base in kind.__mro__ if base.__module__.startswith("app.tui.")]


def _refuse_clash(place: Iterable[type[DOMNode]], keys: KeyMap, path: str) -> None:
    taken: dict[str, Binding] = {}
    for binding in (binding for node in dict.fromkeys(place) for binding in merge_bindings(node)):
        for key in keys.get(binding.id or "", binding.key).split(","):
            other = taken.setdefault(key, binding)
            if other.id != binding.id and other.action != binding.action and (binding.id in keys or other.id in keys):
                # Short, for a line of the deck: both names are what one has to see.
                both = f"{_get_binding_name(other)} and {_get_binding_name(binding)}"
                raise Usage(f"{path}: {sanitize(key)} would be both {both}.", "Choose another key for one of them.")


def _get_binding_name(binding: Binding) -> str:
    """Its id, which those of Textual's own fields and lists have not."""
    return binding.id or f'"{binding.description or binding.action}"'


def merge_bindings(node: type[DOMNode]) -> list[Binding]:
    """The bindings of a class with those it inherits."""
    merged: BindingsMap = node._merge_bindings()
    return [binding for bindings in merged.key_to_bindings.values() for binding in bindings]


def find_shown_key(nodes: Iterable[DOMNode], key: str, keys: KeyMap) -> str:
    """The key that does now what `key` does by default, in a place with these nodes, from the focused one up."""
    for node in nodes:
        for binding in node._bindings.key_to_bindings.get(key, ()):
            if binding.id in keys:
                return keys[binding.id or ""].split(",")[0]
            return key
    return key

