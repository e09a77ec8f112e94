"""Type guards for values decoded from JSON, TOML or YAML.

After a plain `isinstance` a type checker does not know the types of keys and items.
"""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeIs


def is_object(value: Any) -> TypeIs[Mapping[Any, Any]]:
    """Return True for a JSON object or another mapping. Keys from YAML may be of any type."""
    return isinstance(value, Mapping)


def is_dict(value: Any) -> TypeIs[dict[Any, Any]]:
    """Return True for a mapping that can be changed."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeIs[list[Any]]:
    """Return True for a JSON array."""
    return isinstance(value, list)


def is_list_or_tuple(value: Any) -> TypeIs[list[Any] | tuple[Any, ...]]:
    """Return True for a JSON array, or a tuple in its place."""
    return isinstance(value, (list, tuple))
