"""The settings a user may write down in config.toml. Unknown words are errors with the nearest known one."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from app.core.upkeep import Upkeep

CHOICES: dict[str, tuple[str, ...]] = {
    "theme": ("quiet", "dark", "light", "contrast"),
    "glyphs": ("auto", "unicode", "ascii"),
    "mouse": ("clicks", "off"),
    "unfocused": ("still", "live"),
}
"""What the settings that are one of a few words may be."""
UPKEEP = ("backup", "retention", "slow")
"""The sections that `app.core.upkeep` reads."""


@dataclass(frozen=True, slots=True)
class Config:
    """`autostart`: whether a command brings up a runtime when there is none. The others are the deck's: `theme`; `glyphs`, auto: as
    the terminal can; `mouse`; `unfocused`, whether it goes on drawing while another window has the focus; `keys`, the keys of actions by
    their ids, several with commas between."""

    autostart: bool = True
    theme: str | None = None
    glyphs: str = "auto"
    mouse: str = "clicks"
    unfocused: str = "still"
    keys: Mapping[str, str] = field(default_factory=dict)
    backup: Mapping[str, Any] = field(default_factory=dict)
    retention: Mapping[str, Any] = field(default_factory=dict)
    slow: Mapping[str, Any] = field(default_factory=dict)

    @property
    def upkeep(self) -> Upkeep:
        """How the data is looked after: the sections `backup`, `retention` and `slow`."""
        from app.core import upkeep

        return upkeep.parse({name: getattr(self, name) for name in UPKEEP})


def load(path: str) -> Config:
    """The settings at `path`, or the defaults when there is no file. Raises Usage for what is wrong in it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise Usage(f"{path} cannot be read: {why}.", "Mend it, or move it away.") from None
    return _parsed(text, path)


def autostart(path: str) -> bool:
    """That one setting, whatever else is wrong in the file."""
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file).get("autostart") is not False
    except (OSError, ValueError):
        return True


def _parsed(text: str, path: str) -> Config:
    import tomllib

    from app.core.clean import clean, nearest

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is not valid TOML: {error}.", "Mend it, or move it away.") from None
    for name, value in found.items():
        if name not in Config.__slots__:
            near = nearest(name, Config.__slots__)
            raise Usage(f'{path}: there is no setting "{clean(name)}".' + (f" Nearest: {near}." if near else ""))
        _check(path, name, value)
    return Config(**found)


def _check(path: str, name: str, value: Any) -> None:
    """Raise Usage for a value that this setting cannot have."""
    if name == "autostart":
        if not isinstance(value, bool):
            raise Usage(f"{path}: {name} must be true or false.", f"Such as: {name} = false")
    elif name == "keys":
        _check_keys(path, value)
    elif name in UPKEEP:
        _check_upkeep(path, name, value)
    elif value not in CHOICES[name]:
        raise Usage(f"{path}: {name} must be one of {', '.join(CHOICES[name])}.", f'Such as: {name} = "{CHOICES[name][-1]}"')


def _check_keys(path: str, value: Any) -> None:
    from app.core.clean import clean

    example = 'Such as: [keys] and below it "task.cancel" = "c"; ? in the deck shows the ids.'
    if not isinstance(value, dict):
        raise Usage(f"{path}: keys must be a table.", example)
    for name, keys in value.items():
        if not isinstance(keys, str) or not keys.strip():
            raise Usage(f'{path}: keys."{clean(name)}" must be text that names keys.', example)


def _check_upkeep(path: str, name: str, value: Any) -> None:
    from app.core import upkeep

    try:
        upkeep.parse({name: value})
    except upkeep.BadSetting as error:
        raise Usage(f"{path}: {error}", "Mend it, or move it away.") from None
