"""Microseconds that an instrumentor adds to an OpenAI call, beside its peers, interleaved in one run.

The client talks to an in-process transport. The bare span is one of the SDK with the attributes of a plain
call, which nothing had to be looked at for. Peers are installed by ``uv``, in an environment of its own::

    python benchmarks/overhead.py
"""

import array
import asyncio
import base64
import importlib
import json
from typing import TYPE_CHECKING, Any

from measure import Benchmark, Work, instrumentor, main

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

CHUNKS = 200
GATHERED = 32
MESSAGES: Any = [
    {"role": "system", "content": "You are the support agent of a shop. Today is 21 November 2026."},
    {"role": "user", "content": "Where is my order A-1042?"},
]
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 30,
    "total_tokens": 1230,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_1"}
CHAT = HEAD | {
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "On its way."}}
    ],
    "usage": USAGE,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "On its way.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1024},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1230,
    },
}
EMBEDDINGS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [
        {
            "object": "embedding",
            "index": 0,
            "embedding": base64.b64encode(array.array("f", [0.25] * 1536).tobytes()).decode(),
        }
    ],
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}


def _stream() -> bytes:
    chunk = HEAD | {"object": "chat.completion.chunk"}
    parts: list[Any] = [
        chunk | {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
        for _ in range(CHUNKS)
    ]
    parts.append(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    parts.append(chunk | {"choices": [], "usage": USAGE})
    return b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts) + b"data: [DONE]\n\n"


def _clients() -> tuple[Any, Any]:
    import openai

    http: Any = importlib.import_module("httpx2" if openai.__version__.startswith("3") else "httpx")
    stream = _stream()

    def answer(request: Any) -> Any:
        if request.url.path.endswith("/responses"):
            return http.Response(200, json=RESPONSE)
        if request.url.path.endswith("/embeddings"):
            return http.Response(200, json=EMBEDDINGS)
        if b'"stream":true' in request.content.replace(b" ", b""):
            return http.Response(200, content=stream, headers={"content-type": "text/event-stream"})
        return http.Response(200, json=CHAT)

    transport = http.MockTransport(answer)
    return (
        openai.OpenAI(api_key="x", http_client=http.Client(transport=transport)),
        openai.AsyncOpenAI(api_key="x", http_client=http.AsyncClient(transport=transport)),
    )


def _bare_span(provider: "TracerProvider") -> None:
    import wrapt
    from opentelemetry.trace import SpanKind

    tracer = provider.get_tracer("bare")
    first = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "server.port": 443}
    rest = {
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "api.openai.com",
    }

    def spanned(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        span = tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=first)
        try:
            return wrapped(*args, **kwargs)
        finally:
            span.set_attributes(rest)
            span.end()

    for module, name in (
        ("chat.completions", "Completions"),
        ("responses", "Responses"),
        ("embeddings", "Embeddings"),
    ):
        for prefix in ("", "Async"):
            wrapt.wrap_function_wrapper(f"openai.resources.{module}", f"{prefix}{name}.create", spanned)


def _work() -> Work:
    client, async_client = _clients()
    ask = {"model": "gpt-4o-mini", "messages": MESSAGES}
    ask_stream = ask | {"stream": True, "stream_options": {"include_usage": True}}

    def stream() -> None:
        for _ in client.chat.completions.create(**ask_stream):
            pass

    async def async_stream() -> None:
        async for _ in await async_client.chat.completions.create(**ask_stream):
            pass

    async def gather() -> None:
        await asyncio.gather(*(async_client.chat.completions.create(**ask) for _ in range(GATHERED)))

    loop = asyncio.new_event_loop()
    return {
        "plain": lambda: client.chat.completions.create(**ask),
        "32 gathered async calls": lambda: loop.run_until_complete(gather()),
        "responses": lambda: client.responses.create(
            model="gpt-4o-mini", instructions=MESSAGES[0]["content"], input="Where is my order A-1042?"
        ),
        "stream of 200 chunks": stream,
        "same, async": lambda: loop.run_until_complete(async_stream()),
        "embeddings": lambda: client.embeddings.create(model="text-embedding-3-small", input="Where is it?"),
    }


if __name__ == "__main__":
    main(
        Benchmark(
            script=__file__,
            requirements=[
                "openai==3.52.0",
                "opentelemetry-instrumentation-genai-openai==1.3b0",
                "openinference-instrumentation-openai==0.1.66",
                "opentelemetry-instrumentation-openai==0.62.4",
            ],
            arms={
                "tupletrace": instrumentor("tupletrace.instrumentors.openai:OpenAIInstrumentor"),
                "bare span": _bare_span,
                "genai": instrumentor("opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor"),
                "openinference": instrumentor("openinference.instrumentation.openai:OpenAIInstrumentor"),
                "openllmetry": instrumentor("opentelemetry.instrumentation.openai:OpenAIInstrumentor"),
            },
            work=_work,
            calls={
                "plain": 12,
                "32 gathered async calls": 1,
                "responses": 12,
                "stream of 200 chunks": 1,
                "same, async": 1,
                "embeddings": 12,
            },
            reference="genai",
        ),
        __doc__,
    )
