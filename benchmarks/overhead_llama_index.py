"""Microseconds that an instrumentor adds to queries and agents of LlamaIndex, beside its peers.

OpenAI's client is answered in the process, the embedding is a mock. Peers are installed by ``uv``, in an
environment of its own::

    python benchmarks/overhead_llama_index.py
"""

import asyncio
import json
from typing import Any

from measure import Benchmark, Work, instrumentor, main

DOCUMENTS = 20
STREAMED = 200
GATHERED = 16
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4.1-mini-2025-04-14"}
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 30,
    "total_tokens": 1230,
    "prompt_tokens_details": {"cached_tokens": 1024},
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": json.dumps({"city": "Bern"})},
}


def _stream() -> bytes:
    chunk = HEAD | {"object": "chat.completion.chunk"}
    deltas = [{"content": "word "}] * STREAMED
    chunks = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"


def _model() -> Any:
    import httpx
    from llama_index.llms.openai import OpenAI

    stream = _stream()

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if asked.get("stream"):
            return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})
        calls = asked.get("tools") and asked["messages"][-1]["role"] != "tool"
        message = {"role": "assistant", "content": None if calls else "On its way."}
        choice = {
            "index": 0,
            "finish_reason": "tool_calls" if calls else "stop",
            "message": message | ({"tool_calls": [CALL]} if calls else {}),
        }
        return httpx.Response(
            200, json=HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE}
        )

    transport = httpx.MockTransport(answer)
    return OpenAI(
        model="gpt-4.1-mini",
        api_key="x",
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
    )


def _work() -> Work:
    from llama_index.core import Document, MockEmbedding, VectorStoreIndex
    from llama_index.core.agent.workflow import FunctionAgent

    def weather(city: str) -> str:
        """Say how the weather is."""
        return f"Sunny in {city}"

    model = _model()
    documents = [Document(text=f"Lamp {number} is dimmed in {number} steps.") for number in range(DOCUMENTS)]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(8, model_name="embed-1"))
    engine = index.as_query_engine(llm=model, similarity_top_k=DOCUMENTS)
    streaming = index.as_query_engine(llm=model, similarity_top_k=DOCUMENTS, streaming=True)
    agent = FunctionAgent(
        name="helper", tools=[weather], llm=model, system_prompt="You tell the weather.", streaming=False
    )
    asked = "How is the lamp dimmed?"
    loop = asyncio.new_event_loop()

    async def gather() -> None:
        await asyncio.gather(*(engine.aquery(asked) for _ in range(GATHERED)))

    async def run() -> None:
        await agent.run(user_msg="How is it in Bern?")  # pyright: ignore[reportDeprecated]

    def stream() -> None:
        answer: Any = streaming.query(asked)
        for _ in answer.response_gen:
            pass

    return {
        "query of 20 documents": lambda: engine.query(asked),
        "same, 200 chunks": stream,
        "16 gathered queries": lambda: loop.run_until_complete(gather()),
        "agent with a tool": lambda: loop.run_until_complete(run()),
    }


BENCHMARK = Benchmark(
    script=__file__,
    requirements=[
        "llama-index-core==0.14.25",
        "llama-index-llms-openai==0.8.3",
        "opentelemetry-instrumentation-llamaindex==0.62.4",
        "openinference-instrumentation-llama-index==4.6.1",
        "opentelemetry-instrumentation-genai-llama-index==1.3b0",
    ],
    arms={
        "tupletrace": instrumentor("tupletrace.instrumentors.llama_index:LlamaIndexInstrumentor"),
        "openllmetry": instrumentor("opentelemetry.instrumentation.llamaindex:LlamaIndexInstrumentor"),
        "openinference": instrumentor("openinference.instrumentation.llama_index:LlamaIndexInstrumentor"),
        "genai": instrumentor("opentelemetry.instrumentation.genai.llama_index:LlamaIndexInstrumentor"),
    },
    work=_work,
    calls={
        "query of 20 documents": 10,
        "same, 200 chunks": 3,
        "16 gathered queries": 1,
        "agent with a tool": 5,
    },
    reference="openllmetry",
)

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
