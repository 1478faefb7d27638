"""One call of the client, from the moment it is made: its facts, its span, its result untouched."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Token
from typing import Any, Final

# A client of 1.x imports its resources, which we patch then, before it exports these.
from openai._exceptions import APIStatusError
from openai._models import BaseModel
from openai._streaming import AsyncStream, Stream
from opentelemetry.context import Context, attach, detach, get_current, get_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import (
    CLIENT_EMBEDDING_CONTEXT_KEY,
    CLIENT_INFERENCE_CONTEXT_KEY,
    Error,
    RetrievalInvocation,
)
from opentelemetry.util.genai.utils import fq_exception_type

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import write_tools
from tupletrace.instrumentors.openai.client import server_of
from tupletrace.instrumentors.openai.endpoints import Endpoint
from tupletrace.instrumentors.openai.fields import field, items, text
from tupletrace.instrumentors.openai.held import answer_to
from tupletrace.instrumentors.openai.observation import Gathered, Observation
from tupletrace.instrumentors.openai.prompt import prompt_of
from tupletrace.instrumentors.openai.raw import Body, loaded, watch_body, watch_past
from tupletrace.instrumentors.openai.request import Params, sent
from tupletrace.instrumentors.openai.starts import Invocation
from tupletrace.instrumentors.openai.stream import watch_async_stream, watch_stream
from tupletrace.semconv import names

_request: Final = guard("openai request")
_start: Final = guard("openai span start")
_context: Final = guard("openai context")
_result: Final = guard("openai result")
_error: Final = guard("openai error")


def synchronous(telemetry: TelemetryHandler, endpoint: Endpoint) -> Wrapper:
    """Return the wrapper of a sync method."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = Call(telemetry, endpoint, instance, args, kwargs)
        call.start()
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.leave()
            call.fail(error)
            raise
        call.leave()
        return call.returned(result)

    return wrapper


def asynchronous(telemetry: TelemetryHandler, endpoint: Endpoint) -> Wrapper:
    """Return the wrapper of a coroutine function; caller and prompt are read before it is awaited."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # First of all, as without us: missing arguments are refused before anything is awaited.
        coroutine = wrapped(*args, **kwargs)
        awaited = _awaited(Call(telemetry, endpoint, instance, args, kwargs), coroutine)
        # Tasks and warnings name their coroutine.
        awaited.__qualname__ = getattr(coroutine, "__qualname__", awaited.__qualname__)
        return awaited

    return wrapper


def paginated(telemetry: TelemetryHandler, endpoint: Endpoint) -> Wrapper:
    """Return the wrapper of a method whose result is awaited or iterated for pages; the first is traced."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        paginator = wrapped(*args, **kwargs)
        with _request:
            page = paginator._get_page
            paginator._get_page = lambda: _awaited(Call(telemetry, endpoint, instance, args, kwargs), page())
        return paginator

    return wrapper


def outermost(wrapper: Wrapper) -> Wrapper:
    """Return a wrapper that leaves alone what another call of ours makes: a run that is waited for polls."""

    def watched(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if get_value(CLIENT_INFERENCE_CONTEXT_KEY) is not None:
            return wrapped(*args, **kwargs)
        return wrapper(wrapped, instance, args, kwargs)

    return watched


async def _awaited(call: "Call", coroutine: Coroutine[Any, Any, Any]) -> Any:
    call.start()
    try:
        result = await coroutine
    except GeneratorExit as error:
        # Destroyed while it waited, from a context that is not its own: there is nothing to go back to.
        call.fail(error)
        raise
    except BaseException as error:
        call.leave()
        call.fail(error)
        raise
    call.leave()
    return call.returned(result)


class Call:
    """Holds what is known of one call; each hook of ours is guarded, so that none reaches the program."""

    _invocation: Invocation | None = None
    _nested = False
    _token: Token[Context] | None = None

    def __init__(
        self,
        telemetry: TelemetryHandler,
        endpoint: Endpoint,
        resource: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._telemetry = telemetry
        self._endpoint = endpoint
        self._resource = resource
        self._params: Params = {}
        self._identity: dict[str, Any] = {}
        with _request:
            if args and endpoint.positional is not None:
                kwargs = {endpoint.positional: args[0], **kwargs}
            self._params = sent(kwargs)
            self._identity = declared_attributes(context := get_current())
            self._identify_prompt(context)
            self._identify_tools()

    def start(self) -> None:
        """Start the span, make it current and set what the request says."""
        with _start:
            endpoint, params = self._endpoint, self._params
            context = get_current()
            self._nested = context.get(_outer(endpoint)) is not None
            invocation = self._invocation = endpoint.begin(
                self._telemetry, server_of(self._resource), params, endpoint.operation, context
            )
            self._token = attach(invocation.context)
            if invocation.conversation_id is not None:
                self._identity.pop(names.CONVERSATION_ID, None)
            invocation.attributes.update(self._identity)
            if endpoint.api_type is not None:
                invocation.attributes[names.OPENAI_API_TYPE] = endpoint.api_type
            endpoint.request(invocation, params)
            if endpoint.content is not None and invocation.should_capture_content:
                endpoint.content(invocation, params)

    def leave(self) -> None:
        """Give the caller its own context back; to be called in the context that ``start`` ran in."""
        token, self._token = self._token, None
        if token is not None:
            with _context:
                detach(token)

    def returned(self, result: Any) -> Any:
        """Read what the client returned, or watch it being read; return it."""
        watched = None
        with _result:
            try:
                if not isinstance(result, BaseModel):
                    watched = self._watch(result)
                if watched is None:
                    self.end(self._answer(result))
            finally:
                if watched is None:
                    self._stop(None)
        return result if watched is None else watched

    def first_chunk(self, chunk: Any) -> None:
        """Note the time of a stream's first chunk, and the model while the metric can still say it."""
        invocation = self._invocation
        if invocation is not None and self._params.get("stream") is True:
            if not isinstance(invocation, RetrievalInvocation):
                model = text(field(chunk, "model")) or text(field(chunk, "response", "model"))
                invocation.response_model_name = model
            invocation.record_stream_chunk()

    def end(self, answer: Any) -> None:
        """End the span with what was answered."""
        error = None
        try:
            error = self._read(answer)
        finally:
            self._stop(error)

    def fail(self, error: BaseException, answer: Any = None) -> None:
        """End the span with an error; its text is content."""
        invocation = self._invocation
        if invocation is None:
            return
        with _error:
            failure = Error(message=None, type="_OTHER")
            try:
                message = str(error) if invocation.should_capture_content else None
                failure = Error(message=message, type=fq_exception_type(error))
                # An outer span may yet succeed, with another try.
                if isinstance(error, APIStatusError) and not self._nested:
                    invocation.attributes[names.HTTP_STATUS_CODE] = error.status_code
                self._read(answer_to(error, answer))
            finally:
                self._stop(failure)

    def _identify_prompt(self, context: Context) -> None:
        prompt = None
        if self._endpoint.prompted:
            prompt = prompt_of(self._params, self._endpoint.static_texts, context)
        if prompt is not None:
            prompt.write(self._identity)

    def _identify_tools(self) -> None:
        params = self._params
        if "tools" in params or "functions" in params:
            tools = [*items(params.get("tools")), *items(params.get("functions"))]
            write_tools(self._identity, [tool for tool in tools if isinstance(tool, Mapping)])

    def _watch(self, result: Any) -> Any:
        """Return what takes the result's place if it is still to be read, else None."""
        if self._invocation is None:
            return result
        streams, chunks = self._params.get("stream") is True, self._chunks()
        if chunks is not None and isinstance(result, (Stream, AsyncStream)):
            watch = watch_stream if isinstance(result, Stream) else watch_async_stream
            observation = Observation(self, chunks, result.response)
            watch_past(result.response, observation)
            return watch(result, observation)
        response = getattr(result, "http_response", None)
        if response is None or (loaded(response) is not None and not (streams and chunks is not None)):
            return None
        body = Body(chunks, self._endpoint.binary, loaded(response))
        watch_body(response, Observation(self, body, response))
        return result

    def _chunks(self) -> Gathered | None:
        """Return what gathers the events of the answer, if it comes in some; speech is asked its own way."""
        invocation, params, gathered = self._invocation, self._params, self._endpoint.chunks
        if invocation is None or gathered is None:
            return None
        streams = params.get("stream") is True or params.get("stream_format") == "sse"
        return gathered(invocation.should_capture_content) if streams else None

    def _answer(self, result: Any) -> Any:
        if isinstance(result, BaseModel):
            return result
        # A file has its response under another name; a program may have asked for that alone.
        response = getattr(result, "http_response", None) or getattr(result, "response", None) or result
        content = loaded(response)
        if content is None and response is result:
            return result
        return Body(self._chunks(), self._endpoint.binary, content).answer()

    def _read(self, answer: Any) -> Error | None:
        invocation = self._invocation
        if invocation is None or answer is None:
            return None
        self._endpoint.response(invocation, answer)
        code = self._endpoint.error(answer)
        return None if code is None else Error(message=None, type=code)

    def _stop(self, error: Error | None) -> None:
        invocation, self._invocation = self._invocation, None
        if invocation is None:
            return
        if error is None:
            invocation.stop()
        else:
            invocation.fail(error)


def _outer(endpoint: Endpoint) -> str:
    embeddings = endpoint.operation == "embeddings"
    return CLIENT_EMBEDDING_CONTEXT_KEY if embeddings else CLIENT_INFERENCE_CONTEXT_KEY
