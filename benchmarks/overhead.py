"""Microseconds that an instrumentor adds to an OpenAI call, beside its peers, interleaved in one run.

CPU time of the calling thread over an in-process transport; spans are encoded to OTLP bytes in the exporter's
thread and dropped. The floor is the uninstrumented client; peers that are not installed are left out. Usage::

    uv run --with opentelemetry-instrumentation-genai-openai --with openinference-instrumentation-openai \\
        --with opentelemetry-instrumentation-openai python benchmarks/overhead.py
"""

import argparse
import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

ARMS = {
    "uninstrumented": None,
    "tupletrace": "tupletrace.instrumentors.openai:OpenAIInstrumentor",
    "opentelemetry genai": "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    "openinference": "openinference.instrumentation.openai:OpenAIInstrumentor",
    "openllmetry": "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
}
CHUNKS = 200
GATHERED = 32
CALLS = {"plain": 50, "stream of 200 chunks": 5, "32 gathered async calls": 2, "responses": 50}
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


def _stream() -> bytes:
    chunk = HEAD | {"object": "chat.completion.chunk"}
    parts = [
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
        if b'"stream":true' in request.content.replace(b" ", b""):
            return http.Response(200, content=stream, headers={"content-type": "text/event-stream"})
        return http.Response(200, json=CHAT)

    transport = http.MockTransport(answer)
    return (
        openai.OpenAI(api_key="x", http_client=http.Client(transport=transport)),
        openai.AsyncOpenAI(api_key="x", http_client=http.AsyncClient(transport=transport)),
    )


def _instrument(target: str) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Drop(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Drop(), max_queue_size=100_000))
    trace.set_tracer_provider(provider)
    module, _, name = target.partition(":")
    getattr(importlib.import_module(module), name)().instrument(tracer_provider=provider)


def _work() -> dict[str, Callable[[], object]]:
    client, async_client = _clients()
    ask = {"model": "gpt-4o-mini", "messages": MESSAGES}

    def stream() -> None:
        for _ in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
            pass

    async def gather() -> None:
        await asyncio.gather(*(async_client.chat.completions.create(**ask) for _ in range(GATHERED)))

    loop = asyncio.new_event_loop()
    return {
        "plain": lambda: client.chat.completions.create(**ask),
        "stream of 200 chunks": stream,
        "32 gathered async calls": lambda: loop.run_until_complete(gather()),
        "responses": lambda: client.responses.create(
            model="gpt-4o-mini", instructions=MESSAGES[0]["content"], input="Where is my order A-1042?"
        ),
    }


def worker(arm: str) -> None:
    """Measure one round for every line read from stdin: thread CPU microseconds a call, by kind of call."""
    started = time.perf_counter()
    if target := ARMS[arm]:
        _instrument(target)
    work = _work()
    for run in work.values():
        run()
    print(json.dumps({"ready s": time.perf_counter() - started}), flush=True)
    for _ in sys.stdin:
        measured: dict[str, float] = {}
        for kind, run in work.items():
            start = time.thread_time()
            for _ in range(CALLS[kind]):
                run()
            measured[kind] = (time.thread_time() - start) / CALLS[kind] * 1e6
        print(json.dumps(measured), flush=True)


def _start(arm: str, content: str) -> subprocess.Popen[str] | None:
    process = subprocess.Popen(
        [sys.executable, __file__, "--worker", arm],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ
        | {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": content,
            "TRACELOOP_TRACE_CONTENT": "false" if content == "NO_CONTENT" else "true",
        },
    )
    assert process.stdout is not None
    return process if process.stdout.readline() else None


def main() -> None:
    """Measure every installed arm in turn, round by round, and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--content", default="NO_CONTENT", choices=["NO_CONTENT", "SPAN_ONLY"])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked.worker)
        return
    running = {arm: process for arm in ARMS if (process := _start(arm, asked.content))}
    rounds: dict[str, list[dict[str, float]]] = {arm: [] for arm in running}
    for _ in range(asked.rounds):
        for arm, process in running.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            rounds[arm].append(json.loads(process.stdout.readline()))
    for process in running.values():
        process.terminate()
    print(f"added CPU of the calling thread, us; median of {asked.rounds} rounds; content {asked.content}")
    print(f"{'':26}" + "".join(f"{arm:>22}" for arm in running))
    for kind in CALLS:
        median = {arm: statistics.median(one[kind] for one in measured) for arm, measured in rounds.items()}
        floor = median["uninstrumented"]
        cells = [f"{floor:22,.0f}"] + [f"{value - floor:+22,.0f}" for value in list(median.values())[1:]]
        print(f"{kind:26}" + "".join(cells))


if __name__ == "__main__":
    main()
