"""Keymap: every key has an id, no key has two actions in one place, and users may rebind keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _character_to_key
from textual.screen import ModalScreen, Screen

from app.config import Config
from app.errors import Usage
from app.tui.app import TaskdeckApp
from app.tui.keymap import (
    find_widgets,
    list_binding_classes,
    merge_bindings,
    resolve_keys,
    split_known_actions,
    validate_keys,
)
from tests.tui import boards
from tests.tui.recording_runtime import RecordingRuntime, make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

NODES = list_binding_classes()
SCREENS = [node for node in NODES if issubclass(node, Screen)]


def test_screens_are_found():
    assert len(SCREENS) > 15
    assert TaskdeckApp in NODES


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_binding_has_an_id_and_a_description(node: type[DOMNode]):
    for binding in Binding.make_bindings(node.BINDINGS):
        assert binding.id and "." in binding.id, binding
        assert binding.description, binding


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_no_key_has_two_actions_in_one_place(node: type[DOMNode]):
    assert not list(_find_conflicts(node))


def _find_conflicts(node: type[DOMNode]) -> Iterator[tuple[str, str, str]]:
    taken: dict[str, Binding] = {}
    for binding in merge_bindings(node):
        other = taken.setdefault(binding.key, binding)
        if other.action != binding.action:
            yield binding.key, other.action, binding.action


def test_no_full_screen_redefines_a_key_of_the_app():
    places = {binding.key: binding.action for binding in merge_bindings(TaskdeckApp)}
    same = {"leave": {"app.leave"}}
    for node in SCREENS:
        if issubclass(node, ModalScreen):
            continue
        for binding in merge_bindings(node):
            action = places.get(binding.key)
            if binding.id and action and binding.action != action:
                assert binding.action in same.get(action, set()), (
                    node.__name__,
                    binding.key,
                    binding.action,
                    action,
                )


def test_a_comma_is_a_key_and_keys_can_be_swapped():
    assert validate_keys({"deck.earlier": "H", "task.log": ","}, "config.toml") == {
        "deck.earlier": "H",
        "task.log": "comma",
    }
    assert validate_keys({"task.log": "w", "task.why": "l"}, "config.toml") == {
        "task.log": "w",
        "task.why": "l",
    }


def test_rebound_keys_are_normalized():
    assert validate_keys({"task.cancel": "c", "app.help": "?,f2"}, "config.toml") == {
        "task.cancel": "c",
        "app.help": "question_mark,f2",
    }


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"task.cancl": "c"}, 'there is no action "task.cancl". Nearest: task.cancel.'),
        ({"task.cancel": "l"}, ": l would be both "),
        ({"task.cancel": "c", "task.why": "c"}, ": c would be both "),
        ({"table.down": "x"}, ": x would be both "),
        ({"task.cancel": "j"}, ": j would be both "),
        ({"task.cancel": "5"}, ": 5 would be both "),
        (
            {"form.submit": "ctrl+w"},
            ': ctrl+w would be both "Delete left to start of word" and form.submit.',
        ),
        ({"app.leave": "x"}, ": x would be both "),
        ({"dialog.take": "y"}, "may be an answer of a dialog"),
        ({"pick.next": "l"}, "letters select there"),
        ({"pick.open": "f2,?"}, "letters select there"),
        ({"task.log": "nosuchkey"}, 'there is no key "nosuchkey"'),
        ({"task.kill": "c"}, 'there is no action "task.kill". In the deck'),
        ({"task.log": "Enter"}, 'there is no key "Enter". Nearest: enter.'),
    ],
)
def test_invalid_bindings_are_refused_by_name(keys: dict[str, str], says: str):
    with pytest.raises(Usage, match="config.toml") as refused:
        validate_keys(keys, "config.toml")
    assert says in str(refused.value)


def test_a_key_used_only_by_absent_widgets_is_free():
    assert validate_keys({"names.close": "ctrl+w"}, "config.toml") == {"names.close": "ctrl+w"}


@pytest.mark.parametrize("key", "012345679:?nBO")
async def test_every_widget_with_keys_is_known_to_its_screen(key: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press(_character_to_key(key))
        await wait_for(pilot, lambda: key in "01234" or app.screen is not app.deck)
        await pilot.pause()
        with_keys = {
            base
            for widget in app.screen.query("*")
            for base in type(widget).__mro__
            if base in NODES
        }
        assert with_keys <= find_widgets(type(app.screen)), app.screen


def test_unknown_actions_are_skipped_and_reported():
    keys = {"task.cancl": "c", "task.log": "L", "nonsense": "x"}
    assert split_known_actions(keys, "config.toml") == (
        {"task.log": "L"},
        'config.toml: there is no action "task.cancl". And 1 more. Nearest: task.cancel; ignored.',
    )
    assert split_known_actions({"nonsense": "x"}, "c") == (
        {},
        'c: there is no action "nonsense". Ignored; ? then i shows all.',
    )
    assert split_known_actions({"task.log": "L"}, "config.toml") == ({"task.log": "L"}, "")


async def test_the_deck_uses_and_shows_rebound_keys():
    recording = RecordingRuntime(boards.busy())
    keys = validate_keys({"task.pause": "Z", "app.help": "f2"}, "config.toml")
    factory: App[int] | object = recording
    app = TaskdeckApp(
        factory, now=lambda: boards.NOW, first=recording.board, settings=Config(keys=keys)
    )  # pyright: ignore
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(
            pilot, lambda: app.board is not None and "Z pause" in read_screen_lines(app)[-1]
        )
        await pilot.press("p")
        await pilot.press("Z")
        await wait_for(pilot, lambda: "pause" in recording.verbs())
        assert recording.verbs().count("pause") == 1
        await pilot.press("f2")
        await wait_for(pilot, lambda: type(app.screen).__name__ == "HelpScreen")


@pytest.mark.parametrize(
    ("keys", "hold", "said"),
    [
        (
            {"task.cancel": "f9", "task.pause": "strg+l"},
            {"task.cancel": "f9"},
            'keys."task.pause": there is no key "strg+l".',
        ),
        (
            {"task.cancel": "f9", "task.pause": "strg+l", "task.front": "oops"},
            {"task.cancel": "f9"},
            "Ignored, with 1 more.",
        ),
        (
            {"task.cancel": "f9", "task.cancle": "f8", "task.pause": ""},
            {"task.cancel": "f9"},
            'no action "task.cancle"',
        ),
        (
            {"task.cancel": "p", "task.front": "f9"},
            {},
            "p would be both task.cancel and task.pause. Default keys are used.",
        ),
        ({"task.cancel": "f9"}, {"task.cancel": "f9"}, ""),
    ],
)
def test_one_invalid_key_leaves_the_others_in_effect(
    keys: dict[str, str], hold: dict[str, str], said: str
):
    kept, told = resolve_keys(keys, "config.toml")
    assert kept == hold
    assert said in told and bool(said) == bool(told)
