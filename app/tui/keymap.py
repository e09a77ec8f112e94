"""User key bindings: validation against all bindings, and the key shown for an action."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import walk_packages
from string import punctuation
from typing import Any, cast

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys as TextualKeys
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from app.core.text.sanitize import find_nearest, sanitize
from app.errors import Usage
from app.translation import tr
from app.tui.terminal.app_internals import merge_class_bindings

KeyMap = Mapping[str, str]


def list_binding_classes() -> list[type[DOMNode]]:
    """Return every deck class with bindings: app, screens, widgets. Imports the whole deck."""
    import app.tui as package

    for found in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(found.name)
    return [
        node
        for node in _iter_subclasses(DOMNode)
        if node.__module__.startswith("app.tui.") and "BINDINGS" in vars(node)
    ]


def _iter_subclasses(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield cast(type[DOMNode], child)
        yield from _iter_subclasses(child)


def index_bindings(nodes: Iterable[type[DOMNode]]) -> dict[str, list[Binding]]:
    """Return all bindings by id."""
    found: dict[str, list[Binding]] = {}
    for node in nodes:
        for binding in Binding.make_bindings(node.BINDINGS):
            if binding.id:
                found.setdefault(binding.id, []).append(binding)
    return found


def resolve_keys(keys: KeyMap, path: str) -> tuple[dict[str, str], str]:
    """Return the valid keys as Textual names them, and a message about the others.

    A single invalid entry is skipped. If a key would have two meanings, the intent is unclear and
    all user keys are ignored.
    """
    there, unknown_notice = split_known_actions(keys, path)
    valid_keys, unknown = _split_valid_keys(there, path)
    notices = [unknown_notice] if unknown_notice else []
    if unknown:
        message = unknown[0].message
        notices.append(
            tr("{message} Ignored, with {more} more.", message=message, more=len(unknown) - 1)
            if len(unknown) > 1
            else tr("{message} Ignored.", message=message)
        )
    try:
        return validate_keys(valid_keys, path), "  ".join(notices)
    except Usage as problem:
        return {}, "  ".join(
            [*notices, tr("{message} Default keys are used.", message=problem.message)]
        )


def _split_valid_keys(keys: KeyMap, path: str) -> tuple[dict[str, str], list[Usage]]:
    """Return the entries with valid key names, and the errors of the others."""
    valid_keys, faults = {}, []
    for name, chosen in keys.items():
        try:
            for key in _split_keys(chosen):
                normalize_key(name, key, path)
            valid_keys[name] = chosen
        except Usage as problem:
            faults.append(problem)
    return valid_keys, faults


def split_known_actions(keys: KeyMap, path: str) -> tuple[KeyMap, str]:
    """Return the entries of known actions, and a message about the others."""
    if not keys:
        return {}, ""
    found = index_bindings(list_binding_classes())
    unknown = [name for name in keys if name not in found]
    notice = f"{path}: {_describe_unknown(unknown, found)}" if unknown else ""
    return {name: key for name, key in keys.items() if name in found}, notice


def _describe_unknown(unknown: Sequence[str], there: Iterable[str]) -> str:
    """Name an unknown action; the nearest one comes last, since narrow lines keep the end."""
    more = tr(" And {more} more.", more=len(unknown) - 1) if len(unknown) > 1 else ""
    near = _find_nearest_action(unknown[0], there)
    advice = (
        tr("Nearest: {near}; ignored.", near=near) if near else tr("Ignored; ? then i shows all.")
    )
    return tr(
        'there is no action "{unknown}".{more} {advice}',
        unknown=sanitize(unknown[0]),
        more=more,
        advice=advice,
    )


def _find_nearest_action(name: str, there: Iterable[str]) -> str | None:
    """Return the action that is probably meant. A right first word must not outweigh the rest."""
    scope, dot, rest = name.rpartition(".")
    same = {other.removeprefix(scope + dot) for other in there if other.startswith(scope + dot)}
    near = find_nearest(rest, same) if dot and same else None
    return f"{scope}.{near}" if near else None if same else find_nearest(name, there)


def validate_keys(keys: KeyMap, path: str) -> dict[str, str]:
    """Return the keys as Textual names them.

    Raise Usage for an unknown id, an unknown key, and a key that would have two meanings on one
    screen.
    """
    if not keys:
        return {}
    nodes = list_binding_classes()
    there = index_bindings(nodes)
    for name in keys:
        if name not in there:
            near = _find_nearest_action(name, there)
            hint = tr(" Nearest: {near}.", near=near) if near else ""
            raise Usage(
                '{path}: there is no action "{name}".{advice}',
                "In the deck, ? then i shows the ids of all actions.",
                path=path,
                name=sanitize(name),
                advice=hint,
            )
    named = {
        name: ",".join(normalize_key(name, key, path) for key in _split_keys(chosen))
        for name, chosen in keys.items()
    }
    for place in iter_scopes(nodes):
        _refuse_clash(place, named, path)
    return named


def _split_keys(chosen: str) -> list[str]:
    """Split a comma-separated list of keys; a comma alone is that key."""
    return [","] if chosen.strip() == "," else [key.strip() for key in chosen.split(",")]


def normalize_key(name: str, key: str, path: str) -> str:
    """Return Textual's name of a key.

    Raise Usage for an unknown key, and for a letter where letters answer a dialog or select from a
    list.
    """
    named = name_character(key) if len(key) == 1 else key
    *modifiers, bare = named.split("+")
    if bare not in _KEYS and len(bare) != 1 or not set(modifiers) <= {"ctrl", "shift", "alt"}:
        near = find_nearest(bare.lower(), _KEYS)
        hint = tr(" Nearest: {near}.", near=near) if near else ""
        raise Usage(
            '{path}: keys."{name}": there is no key "{key}".{advice}',
            "Such as: c, C, ctrl+e, f5",
            path=path,
            name=name,
            key=sanitize(key),
            advice=hint,
        )
    if name.startswith("dialog.") and len(key) == 1:
        raise Usage(
            '{path}: keys."{name}": {key} may be an answer of a dialog.',
            "Choose a key that is no letter, such as ctrl+e.",
            path=path,
            name=name,
            key=key,
        )
    if name in _SELECT_ACTIONS and (len(named) == 1 or named in _PUNCTUATION):
        raise Usage(
            '{path}: keys."{name}": {key} is not allowed: letters select there.',
            "Choose a key that is no letter, such as ctrl+e.",
            path=path,
            name=name,
            key=sanitize(key),
        )
    return named


def name_character(character: str) -> str:
    """Return Textual's key name of a character."""
    if character == ",":  # separates keys in a binding
        return "comma"
    return next(iter(Binding.make_bindings([Binding(character, "")]))).key


_SELECT_ACTIONS = ("pick.next", "pick.previous", "pick.open")
"""Actions of fields in which letters select."""
_PUNCTUATION = frozenset(map(name_character, punctuation))
_KEYS = frozenset([*(key.value for key in TextualKeys), *_PUNCTUATION, "space"])


def iter_scopes(nodes: Iterable[type[DOMNode]]) -> Iterator[tuple[type[DOMNode], ...]]:
    """Yield the classes whose keys work together.

    Each scope is a screen, one of its widgets and, except for dialogs, the app.
    """
    screens = [node for node in nodes if issubclass(node, Screen)]
    widgets = [node for node in nodes if issubclass(node, Widget) and not issubclass(node, Screen)]
    apps = [node for node in nodes if issubclass(node, App)]
    for screen in screens:
        around = () if issubclass(screen, ModalScreen) else tuple(apps)
        there = find_widgets(screen)
        yield from (
            (widget, screen, *around)
            for widget in [*(widget for widget in widgets if widget in there), screen]
        )


def find_widgets(screen: type[DOMNode]) -> set[type[DOMNode]]:
    """Return the widgets a screen may contain, with their bases.

    Searches the screen's modules and those of its widgets.
    """
    there: set[type[DOMNode]] = set()
    classes, modules = set[str](), _list_modules(screen)
    while modules:
        if (module := modules.pop()) in classes:
            continue
        classes.add(module)
        for kind in vars(sys.modules[module]).values():
            if isinstance(kind, type) and issubclass(kind, Widget) and not issubclass(kind, Screen):
                there.update(base for base in kind.__mro__ if issubclass(base, DOMNode))
                modules += _list_modules(kind)
    return there


def _list_modules(kind: type) -> list[str]:
    """Return the deck modules that define a class and its bases."""
    return [base.__module__ for base in kind.__mro__ if base.__module__.startswith("app.tui.")]


def _refuse_clash(place: Iterable[type[DOMNode]], keys: KeyMap, path: str) -> None:
    binding_by_key: dict[str, Binding] = {}
    for binding in (binding for node in dict.fromkeys(place) for binding in merge_bindings(node)):
        for key in keys.get(binding.id or "", binding.key).split(","):
            other = binding_by_key.setdefault(key, binding)
            if (
                other.id != binding.id
                and other.action != binding.action
                and (binding.id in keys or other.id in keys)
            ):
                # Short for the message line: both names must be visible.
                both = tr(
                    "{one} and {other}",
                    one=_get_binding_name(other),
                    other=_get_binding_name(binding),
                )
                raise Usage(
                    "{path}: {key} would be both {both}.",
                    "Choose another key for one of them.",
                    path=path,
                    key=sanitize(key),
                    both=both,
                )


def _get_binding_name(binding: Binding) -> str:
    """Return the id of a binding; Textual's own widgets have none."""
    return binding.id or f'"{binding.description or binding.action}"'


def merge_bindings(node: type[DOMNode]) -> list[Binding]:
    """Return the bindings of a class, including inherited ones."""
    return [binding for bindings in merge_class_bindings(node).values() for binding in bindings]


def list_binding_nodes(screen: Screen[Any]) -> Iterable[DOMNode]:
    """Return the nodes whose bindings apply on a screen, from the focused one up."""
    focused = screen.focused
    return (screen, screen.app) if focused is None else focused.ancestors_with_self


def find_shown_key(nodes: Iterable[DOMNode], key: str, keys: KeyMap) -> str:
    """Return the user's key for the action bound to `key`, searching from the focused node up."""
    for node in nodes:
        for binding in merge_class_bindings(type(node)).get(key, ()):
            if binding.id in keys:
                return keys[binding.id or ""].split(",")[0]
            return key
    return key
