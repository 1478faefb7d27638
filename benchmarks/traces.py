"""Pre-built OTLP requests for the ingest benchmark: nine-span agent traces, about 700 bytes a span."""

import random
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

SPANS_A_TRACE = 9
SPANS_A_BATCH = 512


def _attribute(key: str, value: object) -> KeyValue:
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    if isinstance(value, list):
        items = [AnyValue(string_value=str(item)) for item in value]
        return KeyValue(key=key, value=AnyValue(array_value=ArrayValue(values=items)))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))


def _span(
    rng: random.Random, trace_id: bytes, parent: bytes, name: str, start: int, facts: dict[str, object]
) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=rng.randbytes(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_CLIENT if name.startswith("chat") else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=start + rng.randrange(1_000_000, 900_000_000),
        attributes=[_attribute(key, value) for key, value in facts.items()],
    )


def _trace(rng: random.Random, now: int) -> list[Span]:
    trace_id, start = rng.randbytes(16), now - rng.randrange(3_600_000_000_000)
    agent = {"gen_ai.agent.name": "support", "gen_ai.conversation.id": f"thread-{rng.randrange(10**6)}"}
    root = _span(
        rng, trace_id, b"", "POST /chat", start, {"http.route": "/chat", "http.request.method": "POST"}
    )
    invoke = _span(
        rng,
        trace_id,
        root.span_id,
        "invoke_agent support",
        start,
        agent | {"gen_ai.operation.name": "invoke_agent"},
    )
    spans = [root, invoke]
    retrieval = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.retrieval.top_k": 4,
        "tupletrace.retriever.name": "VectorStoreRetriever",
        "tupletrace.retriever.version": "retriever-0a1b2c3d4e5f",
        "gen_ai.retrieval.documents": str([{"id": f"doc-{i}", "score": 0.5} for i in range(4)]),
    }
    spans.append(_span(rng, trace_id, invoke.span_id, "retrieval handbook", start + 1, agent | retrieval))
    for step in range(3):
        call = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4.1-mini",
            "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
            "gen_ai.response.id": f"chatcmpl-{rng.getrandbits(64):x}",
            "gen_ai.response.finish_reasons": ["tool_call"],
            "gen_ai.usage.input_tokens": rng.randrange(500, 5000),
            "gen_ai.usage.output_tokens": rng.randrange(10, 500),
            "gen_ai.usage.cache_read.input_tokens": 256,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.response.time_to_first_chunk": 0.31,
            "server.address": "api.openai.com",
            "openai.response.system_fingerprint": "fp_57db37749c",
            "tupletrace.tools.names": ["lookup_order", "refund"],
            "tupletrace.tools.version": "tools-001122334455",
            "agent.trajectory.step": 2 * step,
            "gen_ai.prompt.name": "support",
            "gen_ai.prompt.version": f"template-{rng.randrange(3):012x}",
            "tupletrace.prompt.provenance": "derived",
        }
        tool = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "lookup_order",
            "gen_ai.tool.call.id": f"call_{rng.getrandbits(64):x}",
            "gen_ai.tool.call.arguments": '{"order_id": "A-1042", "include_items": true}',
            "agent.trajectory.step": 2 * step + 1,
        }
        spans.append(_span(rng, trace_id, invoke.span_id, "chat gpt-4.1-mini", start + 2, agent | call))
        spans.append(
            _span(rng, trace_id, invoke.span_id, "execute_tool lookup_order", start + 3, agent | tool)
        )
    return spans


def batches(spans: int, seed: int = 0) -> list[bytes]:
    """Return serialized requests of ``SPANS_A_BATCH`` spans, ``spans`` in all."""
    rng, now = random.Random(seed), time.time_ns()
    made: list[bytes] = []
    pending: list[Span] = []
    produced = 0
    while produced < spans:
        while len(pending) < SPANS_A_BATCH:
            pending += _trace(rng, now)
        take = pending[: min(SPANS_A_BATCH, spans - produced)]
        pending = pending[len(take) :]
        resource = ResourceSpans(scope_spans=[ScopeSpans(spans=take)])
        resource.resource.attributes.append(_attribute("service.name", "shop"))
        made.append(ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString())
        produced += len(take)
    return made
