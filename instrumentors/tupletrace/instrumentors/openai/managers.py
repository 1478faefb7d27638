"""Helpers that call only when their ``with`` block begins: the streams of an assistant's run."""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.openai import calls
from tupletrace.instrumentors.openai.endpoints import Endpoint

_manager: Final = guard("openai stream manager")


def synchronous(telemetry: TelemetryHandler, endpoint: Endpoint) -> Wrapper:
    """Return the wrapper of a method that returns a manager holding a function to call."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        manager = wrapped(*args, **kwargs)
        with _manager:
            held, name = vars(manager), _request(manager)
            request, call = held[name], calls.synchronous(telemetry, endpoint)
            held[name] = lambda: call(lambda *_, **__: request(), instance, args, {**kwargs, "stream": True})
        return manager

    return wrapper


def asynchronous(telemetry: TelemetryHandler, endpoint: Endpoint) -> Wrapper:
    """Return the wrapper of a method that returns a manager holding a coroutine to await."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        manager = wrapped(*args, **kwargs)
        with _manager:
            held, name = vars(manager), _request(manager)
            request, call = held[name], calls.asynchronous(telemetry, endpoint)
            held[name] = call(lambda *_, **__: request, instance, args, {**kwargs, "stream": True})
        return manager

    return wrapper


def _request(manager: Any) -> str:
    return f"_{type(manager).__name__}__api_request"
