"""The settings a user may write down in config.toml. Unknown words are errors with the nearest known one."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import Usage


@dataclass(frozen=True, slots=True)
class Config:
    """`autostart`: whether a command brings up a runtime when there is none."""

    autostart: bool = True


def load(path: str) -> Config:
    """The settings at `path`, or the defaults when there is no file. Raises Usage for what is wrong in it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no UTF-8 text"
        raise Usage(f"{path} cannot be read: {why.lower()}.", "Mend it, or move it away.") from None
    return _parsed(text, path)


def _parsed(text: str, path: str) -> Config:
    import tomllib

    from app.core.clean import clean, nearest

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is no TOML: {error}.", "Mend it, or move it away.") from None
    for name, value in found.items():
        if name not in Config.__slots__:
            near = nearest(name, Config.__slots__)
            raise Usage(f'{path}: there is no setting "{clean(name)}".' + (f" Nearest: {near}." if near else ""))
        if not isinstance(value, bool):
            raise Usage(f"{path}: {name} must be true or false.", f"Such as: {name} = false")
    return Config(**found)
