"""Turns of agents that the provider runs: a span each, from the events of their session that are read."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final

from openai._streaming import AsyncStream, Stream
from opentelemetry.context import Context, get_current
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import Error, InferenceInvocation

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.openai.client import server_of
from tupletrace.instrumentors.openai.fields import field, text
from tupletrace.instrumentors.openai.response import finish_reason, tells_first
from tupletrace.instrumentors.openai.starts import start_inference
from tupletrace.instrumentors.openai.usage import set_usage
from tupletrace.semconv import names

_events: Final = guard("openai agent session")
_event: Final = guard("openai agent session event")
_TURN: Final = "agent.session.turn."
_ENDS: Final = ("completed", "failed", "cancelled")


def synchronous(telemetry: TelemetryHandler) -> Wrapper:
    """Return the wrapper of a sync method that may return a stream of a session's events."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        stream = wrapped(*args, **kwargs)
        with _events:
            if isinstance(stream, Stream):
                events: Any = stream
                events._iterator = _noted(events._iterator, _Turns(telemetry, instance, kwargs))
        return stream

    return wrapper


def asynchronous(telemetry: TelemetryHandler) -> Wrapper:
    """Return the wrapper of its async twin."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        coroutine = wrapped(*args, **kwargs)
        awaited = _awaited(coroutine, telemetry, instance, kwargs)
        awaited.__qualname__ = getattr(coroutine, "__qualname__", awaited.__qualname__)
        return awaited

    return wrapper


async def _awaited(
    coroutine: Coroutine[Any, Any, Any], telemetry: TelemetryHandler, instance: Any, kwargs: dict[str, Any]
) -> Any:
    stream = await coroutine
    with _events:
        if isinstance(stream, AsyncStream):
            events: Any = stream
            events._iterator = _async_noted(events._iterator, _Turns(telemetry, instance, kwargs))
    return stream


def _noted(events: Iterator[Any], turns: "_Turns") -> Iterator[Any]:
    try:
        for event in events:
            with _event:
                turns.add(event)
            yield event
    finally:
        with _event:
            turns.end()


async def _async_noted(events: AsyncIterator[Any], turns: "_Turns") -> AsyncIterator[Any]:
    try:
        async for event in events:
            with _event:
                turns.add(event)
            yield event
    finally:
        with _event:
            turns.end()


class _Turns:
    """The turns of one session that have begun, the agent's and those of agents below it."""

    def __init__(self, telemetry: TelemetryHandler, resource: Any, kwargs: dict[str, Any]) -> None:
        self._telemetry, self._server = telemetry, server_of(resource)
        self._asked = {"model": field(kwargs.get("agent"), "model")}
        self._context: Context = get_current()
        self._declared = declared_attributes(self._context)
        self._begun: dict[str | None, InferenceInvocation] = {}

    def add(self, event: Any) -> None:
        """Take the next event of the session."""
        kind = text(field(event, "type")) or ""
        state = kind.removeprefix(_TURN)
        if kind.startswith(_TURN) and state in ("created", *_ENDS):
            turn = field(event, "turn")
            identity = text(field(turn, "id"))
            invocation = self._begun.pop(identity, None) or self._begin()
            if state == "created":
                self._begun[identity] = invocation
            else:
                self._end(invocation, turn, state, field(event, "usage") or field(turn, "usage"))

    def end(self) -> None:
        """End what has begun; nobody reads on."""
        for invocation in self._begun.values():
            invocation.stop()
        self._begun.clear()

    def _begin(self) -> InferenceInvocation:
        invocation = start_inference(
            self._telemetry, self._server, self._asked, "invoke_agent", self._context
        )
        invocation.attributes.update(self._declared)
        return invocation

    def _end(self, invocation: InferenceInvocation, turn: Any, state: str, usage: Any) -> None:
        invocation.response_id = text(field(turn, "id"))
        invocation.finish_reasons = [finish_reason(state) or state]
        if agent := text(field(turn, "agent_id")):
            invocation.attributes[names.AGENT_ID] = agent
        if session := text(field(turn, "session_id")):
            invocation.conversation_id = session
            invocation.attributes.pop(names.CONVERSATION_ID, None)
        # Several streams may tell of one session.
        if usage is not None and tells_first(invocation.response_id):
            set_usage(invocation, usage)
        if state == "failed":
            invocation.fail(Error(message=None, type=text(field(turn, "error", "code")) or "_OTHER"))
        else:
            invocation.stop()
