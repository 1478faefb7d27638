"""Makes each kind of call beside three other instrumentors; prints what it saw, and who told of it."""

import asyncio
import gc
import json
import logging
import sys

import openai
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as Official
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tupletrace.instrumentors.openai import OpenAIInstrumentor

if int(openai.__version__.partition(".")[0]) >= 3:
    import httpx2 as http
else:
    import httpx as http

UTIL_GENAI = {"tupletrace.instrumentors.openai", "opentelemetry.instrumentation.genai.openai"}
"""One within the other they are one span: the outer's, with what both know."""
CHAT = {
    "model": "m",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital?"}],
}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris."}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27},
}
CHUNKS = [
    HEAD
    | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Paris."}, "finish_reason": None}]},
    HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    HEAD | {"choices": [], "usage": COMPLETION["usage"]},
]
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m-1",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Paris.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 20, "output_tokens": 7, "total_tokens": 27},
}


def answer(request):
    body = json.loads(request.content)
    if body.get("stream"):
        said = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
        return http.Response(200, content=said.encode(), headers={"content-type": "text/event-stream"})
    if body["model"] == "refused":
        return http.Response(400, json={"error": {"message": "no"}})
    return http.Response(200, json=RESPONSE if request.url.path.endswith("responses") else COMPLETION)


async def async_answer(request):
    return answer(request)


def calls():
    """Make each kind of call; return what the program sees."""
    client = openai.OpenAI(
        api_key="k", max_retries=0, http_client=http.Client(transport=http.MockTransport(answer))
    )
    create = client.chat.completions.create
    yield "plain", lambda: create(**CHAT).to_dict()
    yield "streamed", lambda: [chunk.to_dict() for chunk in create(**CHAT, stream=True)]
    yield "is a stream", lambda: isinstance(create(**CHAT, stream=True), openai.Stream)
    yield "raw", lambda: client.chat.completions.with_raw_response.create(**CHAT).parse().to_dict()
    yield (
        "response",
        lambda: client.responses.create(model="m", input="Capital?", instructions="Be brief.").to_dict(),
    )
    yield "refused", lambda: refused(create)
    yield "async", lambda: asyncio.run(asynchronous())


def refused(create):
    try:
        create(**CHAT | {"model": "refused"})
    except openai.BadRequestError as error:
        return str(error), error.status_code
    return None


async def asynchronous():
    transport = http.MockTransport(async_answer)
    client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=http.AsyncClient(transport=transport))
    plain = await client.chat.completions.create(**CHAT)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    return plain.to_dict(), [chunk.to_dict() async for chunk in stream]


def methods():
    return [vars(kind)["create"] for kind in (Completions, AsyncCompletions, Embeddings, Responses)]


class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


said = []
logging.basicConfig(level=logging.WARNING, handlers=[Said()])
alone = {name: call() for name, call in calls()}
others = [Official, OpenLLMetry, OpenInference]
order = [OpenAIInstrumentor, *others] if sys.argv[1] == "first" else [*others, OpenAIInstrumentor]
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
for instrumentor in order:
    instrumentor().instrument(tracer_provider=provider)
found = {}
for traced in (True, False):
    for name, call in calls():
        spans.clear()
        seen = call()
        gc.collect()
        ended = spans.get_finished_spans()
        told = [span for span in ended if span.instrumentation_scope.name in UTIL_GENAI]
        found[f"{name}, {'beside' if traced else 'after'}"] = {
            "changed": seen != alone[name],
            "told": [span.attributes.get("gen_ai.usage.input_tokens") for span in told],
            "identified": ["tupletrace.prompt.provenance" in span.attributes for span in told],
            "others": len({span.instrumentation_scope.name for span in ended} - UTIL_GENAI),
        }
    OpenAIInstrumentor().uninstrument()
print(json.dumps({"found": found, "said": said}))
