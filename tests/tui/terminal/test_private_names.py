"""Private names of Textual: those in use exist, and no module but two places uses any.

The two places are `app/tui/terminal/` and `app/tui/error_boundary.py`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from textual.driver import Driver
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widgets import Input, TextArea

from app.tui.app import TaskdeckApp
from app.tui.keymap import list_binding_classes

TUI = Path(__file__).parents[3] / "app" / "tui"
PLACES = (*sorted(TUI.glob("terminal/*.py")), TUI / "error_boundary.py")
"""Files that may use private names of Textual."""
OTHERS = [path for path in sorted(TUI.rglob("*.py")) if path not in PLACES]
PUBLIC = {"_asdict", "_fields", "_make", "_replace"}
"""Documented names of named tuples."""
PRIVATE_NAMES = [
    ("textual._compositor", "ChopsUpdate", "terminal/cell_updates.py"),
    ("textual._compositor", "ChopsUpdate", "terminal/app_internals.py"),
    ("textual._compositor", "LayoutUpdate", "terminal/app_internals.py"),
    ("textual._compositor:ChopsUpdate", "chop_ends", "terminal/cell_updates.py"),
    ("textual._compositor:ChopsUpdate", "chops", "terminal/cell_updates.py"),
    ("textual._compositor:ChopsUpdate", "render_segments", "terminal/cell_updates.py"),
    ("textual._compositor:ChopsUpdate", "spans", "terminal/cell_updates.py"),
    ("textual._compositor:Compositor", "render_full_update", "terminal/app_internals.py"),
    ("textual._xterm_parser", "BRACKETED_PASTE_END", "terminal/input_parser.py"),
    ("textual._xterm_parser", "BRACKETED_PASTE_START", "terminal/input_parser.py"),
    ("textual._xterm_parser", "XTermParser", "terminal/input_parser.py"),
    ("textual.app:App", "_check_bindings", "terminal/app_internals.py"),
    ("textual.app:App", "_display", "terminal/app_internals.py"),
    ("textual.app:App", "_get_screen", "terminal/app_internals.py"),
    ("textual.app:App", "_load_screen_css", "terminal/app_internals.py"),
    ("textual.app:App", "_set_pointer_shape", "terminal/app_internals.py"),
    ("textual.app:App", "_handle_exception", "terminal/driver.py"),
    ("textual.app:App", "_close_messages_no_wait", "error_boundary.py"),
    ("textual.app:App", "_exception", "error_boundary.py"),
    ("textual.app:App", "_exit", "error_boundary.py"),
    ("textual.app:App", "_fatal_error", "error_boundary.py"),
    ("textual.dom:DOMNode", "_bindings", "terminal/app_internals.py"),
    ("textual.dom:DOMNode", "_merge_bindings", "terminal/app_internals.py"),
    ("textual.drivers.linux_driver:LinuxDriver", "_disable_mouse_support", "terminal/driver.py"),
    ("textual.drivers.linux_driver:LinuxDriver", "_enable_mouse_support", "terminal/driver.py"),
    ("textual.drivers.linux_driver:LinuxDriver", "_get_terminal_size", "terminal/driver.py"),
    ("textual.driver:Driver", "_size", "terminal/driver.py"),
    (
        "textual.drivers.linux_driver:LinuxDriver",
        "_query_in_band_window_resize",
        "terminal/driver.py",
    ),
    ("textual.drivers.linux_driver:LinuxDriver", "_run_input_thread", "terminal/driver.py"),
    ("textual.drivers.linux_driver:LinuxDriver", "_writer_thread", "terminal/driver.py"),
    ("textual.message_pump:MessagePump", "_flush_next_callbacks", "terminal/app_internals.py"),
    ("textual.message_pump:MessagePump", "_mounted_event", "terminal/app_internals.py"),
    ("textual.message_pump:MessagePump", "_mounted_event", "error_boundary.py"),
    ("textual.message_pump:MessagePump", "_closed", "error_boundary.py"),
    ("textual.message_pump:MessagePump", "_closing", "error_boundary.py"),
    ("textual.message_pump:MessagePump", "_dispatch_message", "error_boundary.py"),
    ("textual.screen:Screen", "_compositor", "terminal/app_internals.py"),
    ("textual.screen:Screen", "_forward_event", "terminal/event_forwarding.py"),
    ("textual.timer:Timer", "_skip", "error_boundary.py"),
    ("textual.widget:Widget", "_forward_event", "terminal/event_forwarding.py"),
    ("textual.widget:Widget", "_pruning", "error_boundary.py"),
    ("textual.widgets:Input", "_value", "terminal/text_input.py"),
]
"""Module, or module and class; the name; the file that needs it."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def list_definitions(tree: ast.AST) -> set[str]:
    """Return the private names that a module or class defines, attributes of `self` included."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
        ):
            found.add(node.attr)
    return {name for name in found if is_private(name)}


def list_attributes(tree: ast.AST) -> list[ast.Attribute]:
    """Return the uses of private attributes."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in PUBLIC
    ]


def list_imports(tree: ast.AST) -> set[tuple[str, str]]:
    """Return module and name of the private imports from Textual."""
    return {
        (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual")
        for alias in node.names
        if any(map(is_private, [*(node.module or "").split("."), alias.name]))
    } | {
        (alias.name, "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.startswith("textual") and any(map(is_private, alias.name.split(".")))
    }


@cache
def parse_file(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def list_own_names() -> frozenset[str]:
    """Return the private names that modules of `app` define outside the two places."""
    files = [path for path in TUI.parent.rglob("*.py") if path not in PLACES]
    return frozenset().union(*(list_definitions(parse_file(path)) for path in files))


@cache
def list_class_names(kind: type) -> frozenset[str]:
    """Return the private names that a class defines, attributes of `self` included."""
    found: ast.Module | ast.ClassDef = parse_file(Path(inspect.getfile(kind)))
    for name in kind.__qualname__.split("."):
        classes = (node for node in found.body if isinstance(node, ast.ClassDef))
        found = next(node for node in classes if node.name == name)
    return frozenset(list_definitions(found))


def list_textual_names(kind: type) -> frozenset[str]:
    """Return the private names of the Textual classes among the bases of a class."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("textual")]
    return frozenset().union(*map(list_class_names, bases))


def iter_deck_classes(*kinds: type) -> Iterator[type]:
    """Yield the deck's subclasses of classes of Textual."""
    for kind in kinds:
        for child in kind.__subclasses__():
            if child.__module__.startswith("app.tui"):
                yield child
            yield from iter_deck_classes(child)


@cache
def list_overrides() -> set[tuple[str, str, str]]:
    """Return file, class and name of each private name of Textual that a deck class defines."""
    list_binding_classes()  # imports the whole deck
    return {
        (kind.__module__.removeprefix("app.tui.").replace(".", "/") + ".py", kind.__name__, name)
        for kind in iter_deck_classes(MessagePump, Driver, Message)
        for name in list_class_names(kind) & list_textual_names(kind)
    }


@pytest.mark.parametrize(("place", "name", "file"), PRIVATE_NAMES)
def test_a_private_name_in_use_exists(place: str, name: str, file: str):
    module, _, kind = place.partition(":")
    owner = getattr(import_module(module), kind) if kind else import_module(module)
    exists = hasattr(owner, name) or re.search(rf"self\.{name}\b", inspect.getsource(owner))
    assert exists, f"{place}.{name} is gone from Textual; app/tui/{file} needs it"
    assert re.search(rf"\b{name}\b", (TUI / file).read_text()), f"{file} does not use {name}"


def test_each_private_name_in_use_is_listed():
    used = set[tuple[str, str]]()
    for path in PLACES:
        tree, file = parse_file(path), path.relative_to(TUI).as_posix()
        used |= {(file, name) for found, _, name in list_overrides() if found == file}
        used |= {(file, node.attr) for node in list_attributes(tree)} - {
            (file, name) for name in {*list_definitions(tree), "_exit"}
        }
        used |= {(file, name) for _, name in list_imports(tree)}
    assert used - {(file, name) for _, name, file in PRIVATE_NAMES} == set()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.relative_to(TUI).as_posix())
def test_other_modules_use_no_private_name_of_textual(path: Path):
    theirs = set[str]().union(*map(list_textual_names, (TaskdeckApp, Screen, Input, TextArea)))
    tree = parse_file(path)
    wrong = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in list_attributes(tree)
        if node.attr not in list_own_names()
        or (node.attr in theirs and ast.unparse(node.value) not in ("self", "cls"))
    ]
    assert [*wrong, *list_imports(tree)] == []


def test_other_classes_override_no_private_name_of_textual():
    places = {path.relative_to(TUI).as_posix() for path in PLACES}
    assert [found for found in sorted(list_overrides()) if found[0] not in places] == []
