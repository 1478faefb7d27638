"""LlamaIndex over an endpoint that answers from memory; no test may leave a trace in the context."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
BASE = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "system_fingerprint": "fp_1",
    "service_tier": "default",
}
Message = dict[str, Any]


class Endpoint:
    """Chat completions (streamed or not) and embeddings; ``reply`` maps a request to a message."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.reply: Callable[[dict[str, Any]], Message] = lambda _: self.says("Hello world")
        self.refused: str | None = None
        """Path of the requests that are answered with 401."""
        self.reached: asyncio.Event | None = None
        """Set when a chat request of an async client has arrived, which then is never answered."""

    @staticmethod
    def says(text: str) -> Message:
        return {"role": "assistant", "content": text}

    @staticmethod
    def calls(*tools: tuple[str, dict[str, Any]]) -> Message:
        calls = [
            {
                "id": f"call_{name}",
                "index": index,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(tools)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    def __call__(self, request: httpx.Request) -> Any:
        body = json.loads(request.content)
        self.requests.append(body)
        if self.refused is not None and request.url.path.endswith(self.refused):
            return httpx.Response(401, json={"error": {"message": "canary from the provider"}})
        if request.url.path.endswith("/embeddings"):
            return httpx.Response(200, json=self._embeddings(body))
        if self.reached is not None:
            return self._never(self.reached)
        message = self.reply(body)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        if body.get("stream"):
            return self._stream(body, message, reason)
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return httpx.Response(
            200, json={**BASE, "object": "chat.completion", "choices": [choice], "usage": USAGE}
        )

    @staticmethod
    async def _never(reached: asyncio.Event) -> httpx.Response:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    @staticmethod
    def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": i, "embedding": [1.0, i]} for i, _ in enumerate(texts)]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return {"object": "list", "model": body["model"], "data": data, "usage": usage}

    @staticmethod
    def _stream(body: dict[str, Any], message: Message, reason: str) -> httpx.Response:
        words = [word + " " for word in (message["content"] or "").split()]
        deltas = [{"role": "assistant", "content": word} for word in words]
        deltas += [{"role": "assistant", "tool_calls": [call]} for call in message.get("tool_calls", ())]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append({"choices": [], "usage": USAGE})
        lines = [json.dumps({**BASE, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
        text = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.fixture
def content(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set whether content is captured: not at all, unless a test is parametrized with another mode."""
    monkeypatch.setenv(CAPTURE, getattr(request, "param", "NO_CONTENT"))


@pytest.fixture
def instrumented(content: None, tracer_provider: TracerProvider) -> Iterator[LlamaIndexInstrumentor]:
    """The instrumentor at work, for the test's duration."""
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    yield instrumentor
    instrumentor.uninstrument()


@pytest.fixture(autouse=True)
def context_as_before(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may leave a context attached, fail to detach one, or have an error of ours logged."""
    before = get_current()
    yield
    assert get_current() == before
    logged = [record.getMessage() for record in caplog.get_records("call")]
    assert [message for message in logged if "detach" in message or "tupletrace" in message] == []


@pytest.fixture
def llm(endpoint: Endpoint) -> Callable[..., OpenAI]:
    """Make the OpenAI LLM of LlamaIndex, over the endpoint."""
    transport = httpx.MockTransport(endpoint)

    def make(**settings: Any) -> OpenAI:
        return OpenAI(
            **{"model": "gpt-4o-mini", **settings},
            api_key="sk-test",
            max_retries=0,
            http_client=httpx.Client(transport=transport),
            async_http_client=httpx.AsyncClient(transport=transport),
        )

    return make


@pytest.fixture
def index(endpoint: Endpoint, spans: InMemorySpanExporter) -> VectorStoreIndex:
    """A vector index of two documents, built before the test's spans begin."""
    transport = httpx.MockTransport(endpoint)
    embedding = OpenAIEmbedding(
        model="text-embedding-3-small",
        api_key="sk-test",
        max_retries=0,
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
    )
    documents = [Document(text="Paris is a city.", id_="a"), Document(text="Lyon is a city.", id_="b")]
    built = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    spans.clear()
    return built


Tree = dict[str, Any]


@pytest.fixture
def tree(spans: InMemorySpanExporter) -> Callable[[], list[Any]]:
    """Return finished spans as ``name`` or ``(name, [children])``, in the order in which they started."""

    def build() -> list[Any]:
        finished = sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0)
        ids = {span.context.span_id for span in finished}
        children: dict[int | None, list[ReadableSpan]] = {}
        for span in finished:
            parent = span.parent.span_id if span.parent and span.parent.span_id in ids else None
            children.setdefault(parent, []).append(span)

        def below(parent: int | None) -> list[Any]:
            nodes: list[Any] = []
            for span in children.get(parent, ()):
                under = below(span.context.span_id)
                nodes.append((span.name, under) if under else span.name)
            return nodes

        return below(None)

    return build


@pytest.fixture
def named(spans: InMemorySpanExporter) -> Callable[[str], list[ReadableSpan]]:
    """Return the finished spans whose name starts so, in the order in which they started."""

    def find(prefix: str) -> list[ReadableSpan]:
        found = [span for span in spans.get_finished_spans() if span.name.startswith(prefix)]
        return sorted(found, key=lambda span: span.start_time or 0)

    return find


@pytest.fixture
def failures(spans: InMemorySpanExporter) -> Callable[[], dict[str, Any]]:
    """Return the error type of each failed span, by its name."""

    def collect() -> dict[str, Any]:
        failed = [s for s in spans.get_finished_spans() if s.status.status_code is StatusCode.ERROR]
        return {span.name: (span.attributes or {}).get("error.type") for span in failed}

    return collect
