"""What a program may declare about its calls, carried in the OpenTelemetry context."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from opentelemetry.baggage import get_all
from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value

from tupletrace.instrumentors.identity import Prompt
from tupletrace.semconv import names

_PROMPT: Final = create_key("tupletrace.prompt")
_KEYS: Final[Mapping[str, str]] = {
    attribute: create_key(attribute)
    for attribute in (names.ROUTE, names.USER_ID, names.CONVERSATION_ID, names.TAGS)
}
"""Context keys by the span attribute that they become."""
_DECLARED: Final = frozenset(_KEYS.values())
_CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    names.ROUTE: (names.ROUTE,),
    names.USER_ID: (names.USER_ID,),
    names.CONVERSATION_ID: (names.CONVERSATION_ID, "session.id"),
    names.TAGS: (names.TAGS,),
}
"""W3C baggage entries by the span attribute that they become, first hit wins."""
F = TypeVar("F", bound=Callable[..., Any])


class _Declaration:
    """A context manager and decorator (functions and coroutine functions) that sets one context value."""

    def __init__(self, key: str, value: object) -> None:
        self._key, self._value = key, value
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> None:
        value = self._value
        if isinstance(value, tuple):  # of tags, which add to those around
            around = cast("tuple[str, ...]", get_value(self._key) or ())
            value = tuple(dict.fromkeys((*around, *cast("tuple[str, ...]", value))))
        self._tokens.append(attach(set_value(self._key, value)))

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
    """Declare the route that the traces started inside belong to, where no HTTP server span names one.

    Without it the W3C baggage entry ``tupletrace.route`` says so.
    """
    return _Declaration(_KEYS[names.ROUTE], route)


def using_user(user_id: str) -> _Declaration:
    """Declare for whom the calls inside are made: ``user.id``, also the name of its baggage entry."""
    return _Declaration(_KEYS[names.USER_ID], user_id)


def using_session(session_id: str) -> _Declaration:
    """Declare the conversation of the calls inside, where a call does not name its own.

    It becomes ``gen_ai.conversation.id``; so do the baggage entries of that name and ``session.id``.
    """
    return _Declaration(_KEYS[names.CONVERSATION_ID], session_id)


def using_tags(*tags: str) -> _Declaration:
    """Declare tags of the calls inside, beside those of ``using_tags`` around it.

    The baggage entry ``tupletrace.tags`` holds them separated by commas.
    """
    return _Declaration(_KEYS[names.TAGS], tags)


def declared_prompt(context: Context | None = None) -> Prompt | None:
    """Return the innermost ``using_prompt``, if any."""
    value = get_value(_PROMPT, context)
    return value if isinstance(value, Prompt) else None


def declared_attributes(context: Context | None = None) -> dict[str, Any]:
    """Return route, user, conversation and tags as span attributes: declared here, else in baggage."""
    current = get_current() if context is None else context
    declared: dict[str, Any] = {}
    if not _DECLARED.isdisjoint(current):
        declared = {name: value for name, key in _KEYS.items() if (value := current.get(key))}
    carried = get_all(current)
    if carried:
        for name, entries in _CARRIED.items():
            value = next((said for entry in entries if isinstance(said := carried.get(entry), str)), None)
            if value and name not in declared:
                declared[name] = _tags(value) if name == names.TAGS else value
    return declared


def _tags(listed: str) -> tuple[str, ...]:
    return tuple(tag for part in listed.split(",") if (tag := part.strip()))
