"""Responses over a websocket (``connect`` of ``realtime``, ``responses``, ``live``): a span each."""

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import Error, InferenceInvocation

from tupletrace.instrumentors.base import Patches, Wrapper
from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import write_tools
from tupletrace.instrumentors.openai.client import Server, server_of
from tupletrace.instrumentors.openai.endpoints import ENDPOINTS
from tupletrace.instrumentors.openai.events import ResponseEvents
from tupletrace.instrumentors.openai.fields import field, items, known, text
from tupletrace.instrumentors.openai.prompt import prompt_of, responses_texts
from tupletrace.instrumentors.openai.request import Params, sent
from tupletrace.instrumentors.openai.response import describe_response, response_error
from tupletrace.instrumentors.openai.starts import start_inference
from tupletrace.semconv import names

_connection: Final = guard("openai connection")
_event: Final = guard("openai connection event")
_MOST_OPEN: Final = 64
"""Responses at a time on one connection."""
_SET: Final = ("session.created", "session.started", "session.updated")
_ENDS: Final = ("response.done", "response.completed", "response.incomplete", "response.failed")
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"


def patch_connections(patches: Patches, telemetry: TelemetryHandler, module: str, resource: str) -> None:
    """Patch ``connect`` of a resource, sync and async, and the connections that come of it."""
    sessions = _Sessions(telemetry, module.split(".")[-2])
    for name in (resource, f"Async{resource}"):
        patches.wrap(module, f"{name}.connect", sessions.connect)
        for enter in ("enter", "__aenter__" if name.startswith("Async") else "__enter__"):
            patches.wrap(module, f"{name}ConnectionManager.{enter}", sessions.enter)
        patches.wrap(module, f"{name}Connection.parse_event", sessions.parse_event)
        patches.wrap(module, f"{name}Connection.close", sessions.close)


class _Sessions:
    """What is known of each connection, as long as the program holds it."""

    def __init__(self, telemetry: TelemetryHandler, api_type: str) -> None:
        self._telemetry, self._api_type = telemetry, api_type
        self._asked: WeakKeyDictionary[Any, tuple[Server, Params]] = WeakKeyDictionary()
        self._open: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()
        self.connect: Wrapper = self._connect
        self.enter: Wrapper = self._enter
        self.parse_event: Wrapper = self._parse_event
        self.close: Wrapper = self._close

    def _connect(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        manager = wrapped(*args, **kwargs)
        with _connection:
            self._asked[manager] = server_of(instance), sent(kwargs)
        return manager

    def _enter(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        async def entered(coming: Any) -> Any:
            connection = await coming
            self._began(instance, connection)
            return connection

        connection = wrapped(*args, **kwargs)
        if inspect.iscoroutine(connection):
            return entered(connection)
        self._began(instance, connection)
        return connection

    def _parse_event(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        event = wrapped(*args, **kwargs)
        with _event:
            session = self._open.get(instance)
            if session is not None:
                session.add(event)
        return event

    def _close(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with _connection:
            session = self._open.pop(instance, None)
            if session is not None:
                session.end()
        return wrapped(*args, **kwargs)

    @_connection
    def _began(self, manager: Any, connection: Any) -> None:
        server, asked = self._asked.get(manager, (Server("openai"), {}))
        self._open[connection] = _Session(self._telemetry, self._api_type, server, asked)


class _Session:
    """One connection: what its session was set to, and its responses that have begun."""

    def __init__(self, telemetry: TelemetryHandler, api_type: str, server: Server, asked: Params) -> None:
        self._telemetry, self._api_type, self._server, self._asked = telemetry, api_type, server, asked
        self._session: Params = {}
        self._begun: dict[str | None, InferenceInvocation] = {}
        self._delegated: dict[str | None, ResponseEvents] = {}

    def add(self, event: Any) -> None:
        """Take the next event of the server's."""
        kind = text(field(event, "type")) or ""
        if kind in _SET:
            session = field(event, "session")
            # What is said live is thought about by a model of the Responses API.
            self._session = sent(known(field(session, "delegation", "responses") or session))
        elif kind == "response.created":
            self._begun[text(field(event, "response", "id"))] = self._begin()
        elif kind in _ENDS:
            self._end(known(field(event, "response")))
        elif kind == "response.event":
            self._delegate(text(field(event, "delegation_id")), known(field(event, "event")))
        elif kind == "decision.event":
            self._tell("decisions", {}, field(event, "event", "decision"))
        elif kind == _TRANSCRIBED and (usage := field(event, "usage")) is not None:
            hears = field(self._session, "audio", "input", "transcription")
            hears = hears or self._session.get("input_audio_transcription")
            said = {"text": field(event, "transcript"), "usage": usage}
            self._tell("transcriptions", {"model": field(hears, "model")}, said)

    def end(self) -> None:
        """End what has begun; the connection is closed."""
        for invocation in self._begun.values():
            invocation.stop()
        self._begun.clear()

    def _delegate(self, task: str | None, event: Params) -> None:
        """Take an event of a response that a live session waits for; its last one has no output."""
        kind = event.get("type")
        if task not in self._delegated:
            if len(self._delegated) >= _MOST_OPEN:
                self._delegated.clear()
            self._delegated[task] = ResponseEvents(self._telemetry.should_capture_content())
        self._delegated[task].add(SimpleNamespace(**event))
        if kind == "response.created":
            self._begun[text(field(event, "response", "id"))] = self._begin()
        elif kind in _ENDS:
            self._end(known(self._delegated.pop(task).answer()))

    def _tell(self, name: str, asked: Params, answer: Any) -> None:
        """Tell of a call that is over; how long it took nobody says."""
        endpoint = ENDPOINTS[name]
        invocation = start_inference(self._telemetry, self._server, asked, endpoint.operation)
        invocation.attributes.update(declared_attributes())
        endpoint.request(invocation, asked)
        endpoint.response(invocation, answer)
        vars(invocation)["_record_client_metrics"] = lambda: None
        invocation.stop()

    def _begin(self) -> InferenceInvocation:
        if len(self._begun) >= _MOST_OPEN:
            self._begun.pop(next(iter(self._begun))).stop()
        invocation = start_inference(self._telemetry, self._server, self._asked, "chat")
        invocation.attributes[names.OPENAI_API_TYPE] = self._api_type
        invocation.attributes.update(declared_attributes())
        prompt = prompt_of(self._session, responses_texts)
        if prompt is not None:
            prompt.write(invocation.attributes)
        write_tools(invocation.attributes, [known(tool) for tool in items(self._session.get("tools"))])
        return invocation

    def _end(self, response: Mapping[str, Any]) -> None:
        invocation = self._begun.pop(text(response.get("id")), None) or self._begin()
        details = response.get("status_details")
        if "incomplete_details" not in response:  # realtime's own shape
            response = {
                "model": self._session.get("model"),
                "conversation": {"id": response.get("conversation_id")},
                "incomplete_details": details,
                "error": field(details, "error"),
                **response,
            }
        describe_response(invocation, response)
        code = response_error(response)
        if code is None:
            invocation.stop()
        else:
            invocation.fail(Error(message=None, type=code))
