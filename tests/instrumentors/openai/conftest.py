"""A provider that answers what the test says, and a program that calls it: sync and async, openai 2 and 3."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor, batches
from tupletrace.instrumentors.openai import response as openai_response

if int(openai.__version__.partition(".")[0]) >= 3:
    import httpx2 as http
else:
    import httpx as http


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    """A process tells the tokens of one response once: no test knows those of the tests before it."""
    openai_response._told.clear()
    batches._told.clear()


@dataclass
class Provider:
    """The provider's HTTP endpoint: answers in order, the last one again and again."""

    answers: list[Callable[[bool], Any]] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    """Pieces of a stream that the client has asked for."""
    http: Any = http
    """The HTTP library of the installed client."""

    def answers_json(self, body: Any, status: int = 200, **headers: str) -> None:
        self.answers.append(lambda _: http.Response(status, json=body, headers=headers))

    def answers_stream(self, events: Iterable[Any], *, breaks: bool = False) -> None:
        """Answer with server-sent events, sent one by one as they are read."""
        pieces = [event_bytes(event) for event in events]

        def answer(asynchronous: bool) -> Any:
            pieces_read = self._pieces(pieces, breaks)
            content = _async_pieces(pieces_read) if asynchronous else pieces_read
            return http.Response(200, content=content, headers={"content-type": "text/event-stream"})

        self.answers.append(answer)

    def answers_loaded_stream(self, events: Iterable[Any]) -> None:
        """Answer with events that are there at once, as recordings are replayed."""
        body = b"".join(event_bytes(event) for event in events)
        headers = {"content-type": "text/event-stream"}
        self.answers.append(lambda _: http.Response(200, content=body, headers=headers))

    def refuses(self) -> None:
        """Let no connection come about."""

        def answer(_: bool) -> Any:
            raise http.ConnectError("nobody there")

        self.answers.append(answer)

    def client(self, **options: Any) -> Any:
        transport = http.MockTransport(lambda request: self._answer(request, asynchronous=False))
        return openai.OpenAI(http_client=http.Client(transport=transport), **_defaults(options))

    def async_client(self, **options: Any) -> Any:
        async def answer(request: Any) -> Any:
            return self._answer(request, asynchronous=True)

        http_client = http.AsyncClient(transport=http.MockTransport(answer))
        return openai.AsyncOpenAI(http_client=http_client, **_defaults(options))

    def _answer(self, request: Any, *, asynchronous: bool) -> Any:
        asked = request.headers.get("content-type", "") == "application/json"
        self.requests.append(json.loads(request.content) if asked and request.content else None)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(asynchronous)

    def _pieces(self, pieces: list[bytes], breaks: bool) -> Iterator[bytes]:
        for piece in pieces:
            self.sent.append(piece)
            yield piece
        if breaks:
            raise http.ReadError("the wire was cut")


def event_bytes(event: Any) -> bytes:
    name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
    return f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()


def _defaults(options: dict[str, Any]) -> dict[str, Any]:
    return {"api_key": "sk-test", "base_url": "https://api.openai.com/v1", "max_retries": 0} | options


async def _async_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class Program:
    """The user's program, which makes its calls with the sync client."""

    asynchronous = False

    def __init__(self, provider: Provider, **options: Any) -> None:
        self.client = self._client(provider, options)

    def call(self, method: str, **kwargs: Any) -> Any:
        """Call ``chat.completions.create`` and the like; return what it returns."""
        return attrgetter(method)(self.client)(**kwargs)

    def read(self, method: str, **kwargs: Any) -> list[Any]:
        """Call, and read the stream to its end."""
        return list(attrgetter(method)(self.client)(**kwargs))

    def read_raw(self, method: str, **kwargs: Any) -> list[Any]:
        """Call for a raw response, and read its stream to the end."""
        return list(attrgetter(method)(self.client)(**kwargs).parse())

    def read_helper(self, method: str, reads: int | None = None, **kwargs: Any) -> None:
        """Read a ``.stream()`` helper to its end, or leave it after some events."""
        with attrgetter(method)(self.client)(**kwargs) as stream:
            for number, _ in enumerate(stream, start=1):
                if number == reads:
                    break

    def _client(self, provider: Provider, options: dict[str, Any]) -> Any:
        return provider.client(**options)


class AsyncProgram(Program):
    """The same program with the async client, a new event loop for each call."""

    asynchronous = True

    def call(self, method: str, **kwargs: Any) -> Any:
        return asyncio.run(self._call(method, kwargs))

    def read(self, method: str, **kwargs: Any) -> list[Any]:
        return asyncio.run(self._read(method, kwargs))

    def read_raw(self, method: str, **kwargs: Any) -> list[Any]:
        async def read() -> list[Any]:
            raw = await attrgetter(method)(self.client)(**kwargs)
            return [chunk async for chunk in raw.parse()]

        return asyncio.run(read())

    def read_helper(self, method: str, reads: int | None = None, **kwargs: Any) -> None:
        async def read() -> None:
            async with attrgetter(method)(self.client)(**kwargs) as stream:
                number = 0
                async for _ in stream:
                    number += 1
                    if number == reads:
                        break

        asyncio.run(read())

    async def _call(self, method: str, kwargs: dict[str, Any]) -> Any:
        return await attrgetter(method)(self.client)(**kwargs)

    async def _read(self, method: str, kwargs: dict[str, Any]) -> list[Any]:
        return [chunk async for chunk in await attrgetter(method)(self.client)(**kwargs)]

    def _client(self, provider: Provider, options: dict[str, Any]) -> Any:
        return provider.async_client(**options)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture(params=[Program, AsyncProgram], ids=["sync", "async"])
def program(request: pytest.FixtureRequest, provider: Provider, instrumented: None) -> Program:
    return request.param(provider)


@pytest.fixture(params=[Program, AsyncProgram], ids=["sync", "async"])
def patient_program(request: pytest.FixtureRequest, provider: Provider, instrumented: None) -> Program:
    """Tries each call three times."""
    return request.param(provider, max_retries=2)


@pytest.fixture
def instrumented(tracer_provider: TracerProvider) -> Iterator[None]:
    """The instrumentor at work, as it is by default: no content."""
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    yield
    OpenAIInstrumentor().uninstrument()


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content on spans; to be asked for before ``program`` or ``instrumented``."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")


@pytest.fixture
def span(spans: Any) -> Callable[[], Any]:
    """Return the only span that has ended."""

    def only() -> Any:
        (finished,) = spans.get_finished_spans()
        return finished

    return only


@pytest.fixture
def facts(span: Callable[[], Any]) -> Callable[[], dict[str, Any]]:
    """Return the attributes of the only span."""
    return lambda: dict(span().attributes)


@pytest.fixture
def completion() -> dict[str, Any]:
    """A chat completion as OpenAI answers it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_44",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Paris."},
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 7,
            "total_tokens": 27,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
        },
    }


@pytest.fixture
def chat_chunks() -> list[Any]:
    """The same, streamed with ``include_usage``."""
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_44",
    }
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"content": "Par"},
        {"content": "is."},
    ]
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 7,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 16},
    }
    return [
        *chunks,
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        head | {"choices": [], "usage": usage},
        "[DONE]",
    ]


@pytest.fixture
def response() -> dict[str, Any]:
    """A response as OpenAI answers it."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "service_tier": "default",
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Paris.", "annotations": []}],
            }
        ],
        "usage": {
            "input_tokens": 30,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 4},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 42,
        },
    }


@pytest.fixture
def response_events(response: dict[str, Any]) -> list[Any]:
    """The same, streamed."""
    begun = response | {"status": "in_progress", "output": [], "usage": None, "service_tier": "auto"}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    empty = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **part, "part": empty},
        {"type": "response.output_text.delta", **part, "delta": "Par", "logprobs": []},
        {"type": "response.output_text.delta", **part, "delta": "is.", "logprobs": []},
        {"type": "response.output_text.done", **part, "text": "Paris.", "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": response["output"][0]},
        {"type": "response.completed", "response": response},
    ]
    return [event | {"sequence_number": number} for number, event in enumerate(events)]
