"""Reading values that may be the user's dictionaries, models of the client or JSON of a stranger."""

from collections.abc import Mapping, Sequence
from typing import Any


def field(value: Any, *path: str) -> Any:
    """Follow keys or attributes; None where one is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def items(value: Any) -> Sequence[Any]:
    """Return a list or tuple as it is, else nothing: an iterator of the user's is not ours to read."""
    return value if isinstance(value, (list, tuple)) else ()


def text(value: Any) -> str | None:
    """Return a string that says something."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """Return a reported number of tokens; 0 is a number, absent is None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> int | float | None:
    """Return an int or float that is not a bool."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
