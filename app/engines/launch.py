"""Launch: the command and environment that an engine produces."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.core.schema import parameters
from app.core.text.sanitize import sanitize, truncate
from app.errors import Refused, Usage
from app.translation import tr

PREFIX = "PARAM_"
MAX_TOTAL = 1536 * 1024
"""Maximum bytes of arguments and parameters, below the 2 MiB that Linux allows with the
environment."""


@dataclass(frozen=True, slots=True)
class Values:
    """Parameters of one task: plain values and references to secrets."""

    plain: Mapping[str, Any]
    secret: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_variables(self) -> dict[str, str]:
        return {PREFIX + name: parameters.as_text(value) for name, value in self.plain.items()}

    def to_references(self) -> dict[str, Mapping[str, str]]:
        return {PREFIX + name: reference for name, reference in self.secret.items()}


@dataclass(frozen=True, slots=True)
class Launch:
    """Command and environment of one run.

    With `env`, no other `PARAM_` variable is passed; None means the submitter's environment.
    `secrets` are references by variable: {"env": NAME of the submitter's} or {"file": PATH}.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def check_size(self) -> Launch:
        """Return the launch itself if Linux can start it. Raise Usage."""
        words = [*self.argv, *(f"{name}={value}" for name, value in (self.env or {}).items())]
        if not all(parameters.can_be_argument(word) for word in words):
            raise Usage(
                "an argument exceeds {size}K, the limit of a process",
                size=parameters.MAX_VALUE // 1024,
            )
        if sum(map(len, words)) > MAX_TOTAL:
            raise Usage("the parameters exceed 1.5M in total, the limit of a process")
        return self

    def build_environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return `base` with the variables of this launch.

        Raise Refused if a secret is missing.
        """
        if self.env is None:
            return dict(base)  # a plain command
        kept = {name: value for name, value in base.items() if not name.startswith(PREFIX)}
        return (
            kept
            | dict(self.env)
            | {name: _read_secret(name, at, base) for name, at in self.secrets.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the launch as stored with its task."""
        found: dict[str, Any] = {"argv": list(self.argv)}
        if self.env is not None:
            found["env"] = dict(self.env)
        if self.secrets:
            found["secrets"] = {name: dict(reference) for name, reference in self.secrets.items()}
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Launch:
        return cls(tuple(values["argv"]), values.get("env"), values.get("secrets", {}))


def _read_secret(name: str, reference: Mapping[str, str], base: Mapping[str, str]) -> str:
    if "env" in reference:
        if reference["env"] not in base:
            where = tr(
                "no variable {env} in the submitter's environment",
                env=_format_text(reference["env"]),
            )
            raise Refused(
                "{where}, for the secret {secret_name}",
                where=where,
                secret_name=_format_secret_name(name),
            )
        return base[reference["env"]]
    return _read_secret_file(name, reference["file"])


def _read_secret_file(name: str, path: str) -> str:
    try:
        with open(Path(path).expanduser(), "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(tr("not a regular file"))
            data = file.read(parameters.MAX_VALUE)
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(
            "cannot read {said} for the secret {secret_name}: {why}",
            said=_format_text(path),
            secret_name=_format_secret_name(name),
            why=why,
        ) from None
    if len(data) >= parameters.MAX_VALUE or b"\0" in data:
        raise Refused(
            "{said} is too long or contains a NUL, so the secret {secret_name} cannot be passed",
            said=_format_text(path),
            secret_name=_format_secret_name(name),
        )
    return os.fsdecode(data).removesuffix("\n")


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without blocking on a pipe that has no writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def _format_secret_name(name: str) -> str:
    return _format_text(name.removeprefix(PREFIX))


def _format_text(text: str) -> str:
    return truncate(sanitize(text), 80)
