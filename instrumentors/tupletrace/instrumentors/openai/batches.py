"""Results of a batch: a span each, once its file is fetched; what a model answered there is paid for, too."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Any, Final

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import Error

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.openai.client import Server, server_of
from tupletrace.instrumentors.openai.endpoints import ENDPOINTS
from tupletrace.instrumentors.openai.fields import count, field, text
from tupletrace.instrumentors.openai.observation import Observation
from tupletrace.instrumentors.openai.raw import loaded, parse, watch_body
from tupletrace.semconv import names

_results: Final = guard("openai batch results")
_result: Final = guard("openai batch result")
_MOST: Final = 50_000
"""Results of one file, which is as many as a batch may hold."""
_LARGEST: Final = 32 * 2**20
"""Bytes kept of a file that the program reads piece by piece; results that come later are not told of."""
_REMEMBERED: Final = 1024
_told: Final[dict[str, None]] = {}
_ENDPOINTS: Final = {
    "chat.completion": "chat",
    "response": "responses",
    "text_completion": "completions",
    "list": "embeddings",
}
"""By the ``object`` of a result's body."""
THREAD: Final = "tupletrace batch results"


def synchronous(telemetry: TelemetryHandler) -> Wrapper:
    """Return the wrapper of ``Files.content``."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = wrapped(*args, **kwargs)
        _tell(telemetry, instance, args, kwargs, result)
        return result

    return wrapper


def asynchronous(telemetry: TelemetryHandler) -> Wrapper:
    """Return the wrapper of ``AsyncFiles.content``."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        async def awaited() -> Any:
            result = await coroutine
            _tell(telemetry, instance, args, kwargs, result)
            return result

        coroutine = wrapped(*args, **kwargs)
        made = awaited()
        made.__qualname__ = getattr(coroutine, "__qualname__", made.__qualname__)
        return made

    return wrapper


@_results
def _tell(
    telemetry: TelemetryHandler, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> None:
    response = getattr(result, "http_response", None) or getattr(result, "response", None)
    file_id = text(args[0] if args else kwargs.get("file_id"))
    if response is None or file_id is None or file_id in _told:
        return
    batch = _Batch(telemetry, server_of(resource), file_id)
    if (body := loaded(response)) is not None:
        batch.end(body)
    else:
        watch_body(response, Observation(batch, _Read(), response))


class _Read:
    """What the program has read of a file, as long as it may be a batch's."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._room = _LARGEST

    def add(self, chunk: bytes) -> None:
        """Keep the next bytes."""
        self._room -= len(chunk)
        if not self._read and not chunk.startswith(b"{"):
            self._room = 0
        if self._room > 0:
            self._read += chunk

    def answer(self) -> bytes:
        """Return the bytes."""
        return bytes(self._read)


class _Batch:
    """The results in one file, all in the trace that its id makes, so that told again they are known."""

    def __init__(self, telemetry: TelemetryHandler, server: Server, file_id: str) -> None:
        self._telemetry, self._server, self._file_id = telemetry, server, file_id
        self._declared = declared_attributes()
        self._context = _context_of(file_id)

    def first_chunk(self, chunk: bytes) -> None:
        """Note nothing: nobody waits for the first byte of a file."""

    def fail(self, error: BaseException, answer: bytes) -> None:
        """Tell nothing of a file that was not read: it will be read again."""

    def end(self, answer: bytes) -> None:
        """Tell of the results, if the file holds any and nobody has told of it."""
        first = next(_lines(answer), None)
        if self._file_id in _told or not (text(field(first, "custom_id")) and hasattr(first, "response")):
            return
        if len(_told) >= _REMEMBERED:
            _told.pop(next(iter(_told)))
        _told[self._file_id] = None
        # Fifty thousand answers take seconds, which are not the program's; it waits for them when it ends.
        threading.Thread(target=self._tell, args=(answer,), name=THREAD, daemon=False).start()

    @_results
    def _tell(self, body: bytes) -> None:
        attach(self._context)
        for _, line in zip(range(_MOST), _lines(body), strict=False):
            with _result:
                self._tell_one(line)

    def _tell_one(self, line: Any) -> None:
        answer = field(line, "response", "body")
        endpoint = ENDPOINTS[_ENDPOINTS.get(field(answer, "object"), "chat")]
        if answer is None:  # expired or cancelled before a model saw it
            return
        telemetry = _dated(self._telemetry, answer)
        invocation = endpoint.begin(telemetry, self._server, {}, endpoint.operation, None)
        endpoint.response(invocation, answer)
        invocation.attributes[names.BATCH_REQUEST_ID] = text(field(line, "id")) or field(line, "custom_id")
        invocation.attributes[names.OPENAI_RESPONSE_SERVICE_TIER] = "batch"
        invocation.attributes.update(self._declared)
        # How long a completion took nobody says; a metric of durations would say nothing did.
        vars(invocation)["_record_client_metrics"] = lambda: None
        code = endpoint.error(answer)
        if code is None:
            invocation.stop()
        else:
            invocation.fail(Error(message=None, type=code))


class _Dated:
    """A tracer whose spans begin and end when an answer says that it was made."""

    def __init__(self, tracer: Any, began: int, ended: int) -> None:
        self._tracer, self._began, self._ended = tracer, began * 10**9, ended * 10**9

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        """Start a span; see ``Tracer``."""
        span = self._tracer.start_span(*args, start_time=self._began, **kwargs)
        vars(span)["end"] = partial(span.end, self._ended)
        return span


def _dated(telemetry: TelemetryHandler, answer: Any) -> TelemetryHandler:
    """Return a handler of the time of one answer: prices are those of the day on which it was made."""
    began = count(field(answer, "created")) or count(field(answer, "created_at"))
    if began is None:  # embeddings
        return telemetry
    then: Any = copy(telemetry)
    then._tracer = _Dated(then._tracer, began, count(field(answer, "completed_at")) or began)
    return then


def _lines(body: bytes) -> Iterator[Any]:
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        if (line := parse(body[start:end])) is not None:
            yield line
        start = end + 1


def _context_of(file_id: str) -> Context:
    digest = hashlib.sha256(f"openai batch {file_id}".encode()).digest()
    current = get_current_span().get_span_context()
    flags = current.trace_flags if current.is_valid else TraceFlags(TraceFlags.SAMPLED)
    trace_id, span_id = int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), Context())
