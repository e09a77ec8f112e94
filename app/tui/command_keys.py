"""Keys of user commands: validation against the bindings of all screens with tasks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

from textual.binding import Binding

from app.core.text.sanitize import sanitize
from app.core.user_commands import UserCommand
from app.errors import Usage
from app.translation import tr
from app.tui.keymap import iter_scopes, list_binding_classes, merge_bindings, normalize_key
from app.tui.screens.tasks.task_actions import TaskActions


def resolve_commands(
    commands: Sequence[UserCommand], keys: Mapping[str, str], path: str
) -> tuple[tuple[UserCommand, ...], list[str]]:
    """Return the commands that can be bound, with keys as Textual names them, and all faults.

    `keys` are the valid keys of the user for the deck's own actions. A command whose program is
    missing is bound, since the program may come later.
    """
    if not commands:
        return (), []
    taken = dict(_iter_taken_keys(keys))
    found: dict[str, UserCommand] = {}
    faults: list[str] = []
    for command in commands:
        where = f"{path}: keys.commands.{sanitize(command.key)}"
        try:
            key = normalize_key(f"commands.{command.key}", command.key, path)
        except Usage as problem:
            faults.append(f"{problem.message} Ignored.")
            continue
        if key in taken or key in found:
            owner = taken.get(key) or tr("the command {name}", name=found[key].name)
            text = tr("{key} is already {owner}. Ignored.", key=sanitize(command.key), owner=owner)
            faults.append(f"{where}: {text}")
            continue
        found[key] = command._replace(key=key)
        if shutil.which(command.argv[0]) is None:
            text = tr('there is no program "{program}".', program=sanitize(command.argv[0]))
            faults.append(f"{where}: {text}")
    return tuple(found.values()), faults


def _iter_taken_keys(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the keys that work on a screen with tasks, and the name of their actions."""
    for scope in iter_scopes(list_binding_classes()):
        if not any(issubclass(node, TaskActions) for node in scope):
            continue
        for binding in (binding for node in scope for binding in merge_bindings(node)):
            for key in keys.get(binding.id or "", binding.key).split(","):
                yield key, _describe_action(binding)


def _describe_action(binding: Binding) -> str:
    if not binding.id:
        return f'"{binding.description or binding.action}"'
    return f"{binding.id} ({binding.description})" if binding.description else binding.id
