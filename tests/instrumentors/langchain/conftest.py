"""LangChain instrumented, the finished spans as a tree, and models that need no network."""

import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import httpx
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tupletrace.instrumentors.langchain import LangChainInstrumentor


class FakeModel(GenericFakeChatModel):
    """Answers as told, again and again with the last answer; streams word by word."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Offer tools as OpenAI's schema has them."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])


class Trace:
    """What was exported, by name and as a tree."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans, by start."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (found,) = self.all(name)
        return found

    def all(self, name: str) -> list[ReadableSpan]:
        """Every span of that name."""
        return [span for span in self.spans if span.name == name]

    def facts(self, name: str) -> dict[str, Any]:
        """Attributes of the only span of that name."""
        return dict(self.one(name).attributes or {})

    def tree(self) -> list[Any]:
        """Names, each followed by the list of its children's, if it has any."""
        ids = {span.context.span_id for span in self.spans}

        def below(parent: int | None) -> list[Any]:
            found: list[Any] = []
            for span in self.spans:
                above = span.parent.span_id if span.parent and span.parent.span_id in ids else None
                if above == parent:
                    found.append(span.name)
                    found += [children] if (children := below(span.context.span_id)) else []
            return found

        return below(None)

    def clear(self) -> None:
        """Forget what was exported."""
        self._exporter.clear()


@pytest.fixture(autouse=True)
def instrumentor(tracer_provider: TracerProvider) -> Iterator[LangChainInstrumentor]:
    """LangChain, instrumented for this test."""
    found = LangChainInstrumentor()
    found.instrument(tracer_provider=tracer_provider)
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


@pytest.fixture
def trace(spans: InMemorySpanExporter) -> Trace:
    """The spans of this test."""
    return Trace(spans)


@pytest.fixture
def model() -> Callable[..., FakeModel]:
    """Make a chat model that answers with the given messages or texts."""

    def make(*answers: AIMessage | str) -> FakeModel:
        given = answers or ("Fine, thanks",)
        return FakeModel(messages=chain(given, repeat(given[-1])))

    return make


@pytest.fixture
def chat_openai() -> Callable[..., ChatOpenAI]:
    """Make a ``ChatOpenAI`` whose endpoint answers chat completions with the given fields."""

    def make(usage: dict[str, Any] | None = None, status: int = 200, **settings: Any) -> ChatOpenAI:
        def endpoint(request: httpx.Request) -> httpx.Response:
            if status != 200:
                return httpx.Response(status, json={"error": {"message": "canary-in-the-error"}})
            return _stream(usage) if json.loads(request.content).get("stream") else _completion(usage)

        transport = httpx.MockTransport(endpoint)
        return ChatOpenAI(
            model="gpt-4.1-mini",
            api_key="none",
            max_retries=0,
            stream_usage=True,
            http_client=httpx.Client(transport=transport),
            http_async_client=httpx.AsyncClient(transport=transport),
            **settings,
        )

    return make


_ANSWER = {
    "id": "chatcmpl-7",
    "created": 1,
    "model": "gpt-4.1-mini-2026-08-07",
    "system_fingerprint": "fp_44",
    "service_tier": "default",
}
_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def _completion(usage: dict[str, Any] | None) -> httpx.Response:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}
    body = {**_ANSWER, "object": "chat.completion", "choices": [choice], "usage": usage or _USAGE}
    return httpx.Response(200, json=body)


def _stream(usage: dict[str, Any] | None) -> httpx.Response:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "Hello"}, {"content": " there"}, {}]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
        for delta in deltas
    ]
    chunks.append({"choices": [], "usage": usage or _USAGE})
    events = [json.dumps({**_ANSWER, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)
