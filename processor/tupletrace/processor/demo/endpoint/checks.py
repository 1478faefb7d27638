"""Checks of one request field each, worded as the API words them, and the check of a whole object."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import ApiError, invalid_value, missing_parameter, unknown_parameter

Json = dict[str, Any]
Check = Callable[[str, Any], None]

_KINDS = ((bool, "a boolean"), (int, "an integer"), (float, "a decimal"), (str, "a string"))


def kind_of(value: object) -> str:
    """The JSON type of a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return next(name for kind, name in _KINDS if isinstance(value, kind))


def wrong_type(param: str, expected: str, value: object) -> ApiError:
    """A value of another JSON type than the field has."""
    message = f"Invalid type for '{param}': expected {expected}, but got {kind_of(value)} instead."
    return ApiError(message, param=param, code="invalid_type")


def number(low: float, high: float, *, whole: bool = False) -> Check:
    """A number within its bounds."""
    name = "integer" if whole else "decimal"

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise wrong_type(param, "an integer" if whole else "a decimal", value)
        if value < low:
            raise _outside(param, name, "minimum", f"Expected a value >= {low}, but got {value} instead.")
        if value > high:
            raise _outside(param, name, "maximum", f"Expected a value <= {high}, but got {value} instead.")

    return check


def _outside(param: str, name: str, bound: str, expected: str) -> ApiError:
    side = "below" if bound == "minimum" else "above"
    message = f"Invalid '{param}': {name} {side} {bound} value. {expected}"
    return ApiError(message, param=param, code=f"{name}_{side}_{bound[:3]}_value")


def integer(low: int = 1, high: int = 2**31) -> Check:
    """A whole number within its bounds."""
    return number(low, high, whole=True)


def string(param: str, value: Any) -> None:
    """Any string."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)


def boolean(param: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(param, "a boolean", value)


def array(param: str, value: Any) -> None:
    """Any array."""
    if not isinstance(value, list):
        raise wrong_type(param, "an array", value)


def mapping(param: str, value: Any) -> None:
    """Any object."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)


def one_of(*supported: str) -> Check:
    """A string out of a closed set."""

    def check(param: str, value: Any) -> None:
        string(param, value)
        if value not in supported:
            raise invalid_value(param, value, supported)

    return check


def metadata(param: str, value: Any) -> None:
    """At most 16 pairs of strings."""
    mapping(param, value)
    for key, item in value.items():
        string(f"{param}.{key}", item)
    if len(value) > 16:
        raise ApiError(
            f"Invalid '{param}': too many properties.", param=param, code="object_above_max_properties"
        )


def stops(param: str, value: Any) -> None:
    """One stop sequence, or up to four."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            string(f"{param}[{index}]", item)
        if len(value) > 4:
            raise ApiError(f"Invalid '{param}': array too long.", param=param, code="array_above_max_length")
    else:
        string(param, value)


_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def name(param: str, value: Any) -> None:
    """The name of a function, schema or participant."""
    string(param, value)
    if not _NAME.fullmatch(value):
        message = (
            f"Invalid '{param}': string does not match pattern. "
            f"Expected a string that matches the pattern '^{_NAME.pattern}$'."
        )
        raise ApiError(message, param=param, code="invalid_value")


def fields(
    body: Mapping[str, Any], checks: Mapping[str, Check], *, required: Iterable[str] = (), at: str = ""
) -> None:
    """Check an object: no unknown field, the required ones there, each of its kind; null means absent."""
    for key in body:
        if key not in checks:
            raise unknown_parameter(at + key)
    for key in required:
        if key not in body:
            raise missing_parameter(at + key)
    for key, value in body.items():
        if value is not None or key in required:
            checks[key](at + key, value)
