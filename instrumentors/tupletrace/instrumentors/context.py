"""What a program may declare about its calls, carried in the OpenTelemetry context."""

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value

from tupletrace.instrumentors.identity import Prompt

_PROMPT: Final = create_key("tupletrace.prompt")
_ROUTE: Final = create_key("tupletrace.route")
F = TypeVar("F", bound=Callable[..., Any])


class _Declaration:
    """A context manager and decorator (functions and coroutine functions) that sets one context value."""

    def __init__(self, key: str, value: object) -> None:
        self._key, self._value = key, value
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> None:
        self._tokens.append(attach(set_value(self._key, self._value)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._tokens.pop())

    def __call__(self, function: F) -> F:
        # A new declaration per call: one instance's tokens must not be shared by concurrent calls.
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                with _Declaration(self._key, self._value):
                    return await function(*args, **kwargs)

            return asynchronous  # pyright: ignore[reportReturnType]

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            with _Declaration(self._key, self._value):
                return function(*args, **kwargs)

        return synchronous  # pyright: ignore[reportReturnType]


def using_prompt(name: str, version: str | int) -> _Declaration:
    """Declare the prompt of the calls inside: ``with using_prompt("support", "v3"):``, or as a decorator."""
    return _Declaration(_PROMPT, Prompt(name, str(version), "declared"))


def using_route(route: str) -> _Declaration:
    """Declare the route that the traces started inside belong to, where no HTTP server span names one."""
    return _Declaration(_ROUTE, route)


def declared_prompt(context: Context | None = None) -> Prompt | None:
    """Return the innermost ``using_prompt``, if any."""
    value = get_value(_PROMPT, context)
    return value if isinstance(value, Prompt) else None


def declared_route(context: Context | None = None) -> str | None:
    """Return the innermost ``using_route``, if any."""
    value = get_value(_ROUTE, context)
    return value if isinstance(value, str) else None
