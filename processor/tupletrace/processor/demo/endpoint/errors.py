"""The error answers of the OpenAI API: status, type, param and code."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer with ``{"error": {...}}`` as its body."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }


def unknown_parameter(param: str) -> ApiError:
    """A field that the API does not know."""
    return ApiError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def missing_parameter(param: str) -> ApiError:
    """A field that must be there."""
    return ApiError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def unsupported_parameter(param: str, instead: str = "") -> ApiError:
    """A field that this model (or this endpoint) does not take."""
    hint = f" Use '{instead}' instead." if instead else ""
    message = f"Unsupported parameter: '{param}' is not supported with this model.{hint}"
    return ApiError(message, param=param, code="unsupported_parameter")


def empty_array(param: str) -> ApiError:
    """An array that must hold something."""
    message = (
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."
    )
    return ApiError(message, param=param, code="empty_array")


def invalid_value(param: str, value: object, supported: tuple[str, ...]) -> ApiError:
    """A value that is not one of the supported ones."""
    names = ", ".join(f"'{name}'" for name in supported)
    message = f"Invalid value: '{value}'. Supported values are: {names}."
    return ApiError(message, param=param, code="invalid_value")
