"""Reading values that may be the user's dictionaries, models of the client or JSON of a stranger."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openai._models import BaseModel

_NOTHING: Final[Mapping[str, Any]] = {}


def field(value: Any, *path: str) -> Any:
    """Follow keys or attributes; None where one is missing."""
    for name in path:
        if value is None:
            return None
        if isinstance(value, BaseModel):
            value = _model_field(value, name)
        elif type(value) is dict or isinstance(value, Mapping):  # pyright: ignore[reportUnknownArgumentType]
            value = value.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        else:
            value = getattr(value, name, None)
    return value  # pyright: ignore[reportUnknownVariableType]


def _model_field(model: BaseModel, name: str) -> Any:
    # Not `getattr`: a model takes 3 us to say that it has no such attribute.
    value = vars(model).get(name)
    return value if value is not None or not (extra := model.__pydantic_extra__) else extra.get(name)


def known(value: Any) -> Mapping[str, Any]:
    """Return all that a dictionary, a model or another object says, to be read by name many times."""
    if isinstance(value, BaseModel):
        return {**vars(value), **extra} if (extra := value.__pydantic_extra__) else vars(value)
    if isinstance(value, Mapping):
        return value  # pyright: ignore[reportUnknownVariableType]
    return getattr(value, "__dict__", _NOTHING)


def items(value: Any) -> Sequence[Any]:
    """Return a list or tuple as it is, else nothing: an iterator of the user's is not ours to read."""
    return value if isinstance(value, (list, tuple)) else ()


def text(value: Any) -> str | None:
    """Return a string that says something."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """Return a reported number of tokens; 0 is a number, absent is None."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> int | float | None:
    """Return an int or float that is not a bool."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
