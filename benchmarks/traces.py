"""Pre-built OTLP requests for the ingest benchmark: nine-span agent traces, about 700 bytes a span."""

import random
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

SPANS_A_TRACE = 9
SPANS_A_BATCH = 512
PATTERNS = 64
_HEAD = re.compile(rb"\x0a\x10(.{16})\x12\x08(.{8})(?:\x22\x08(.{8}))?", re.DOTALL)
"""The ids with which every span begins in protobuf."""
_CALL = re.compile(rb"(?:chatcmpl-|call_)([0-9a-f]+)")
"""Ids of responses and of tool calls: traces that name one response are settled together."""
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
RESOURCE: dict[str, object] = {
    "service.name": "shop",
    "service.version": "2026.11.2",
    "service.instance.id": "shop-7d9f4b8c6d-x2x7q",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}


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
    agent: dict[str, object] = {
        "gen_ai.agent.name": "support",
        "gen_ai.conversation.id": f"thread-{rng.randrange(10**6)}",
        "user.id": f"user-{rng.randrange(10**4)}",
        "app.tenant": "eu-central-1/shop",
    }
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
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.output.type": "text",
            "openai.request.service_tier": "default",
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
            "gen_ai.tool.call.result": '{"status": "shipped", "carrier": "DHL", "items": [{"sku": "K-17"}]}',
            "agent.trajectory.step": 2 * step + 1,
        }
        spans.append(_span(rng, trace_id, invoke.span_id, "chat gpt-4.1-mini", start + 2, agent | call))
        spans.append(
            _span(rng, trace_id, invoke.span_id, "execute_tool lookup_order", start + 3, agent | tool)
        )
    return spans


def batches(spans: int, seed: int = 0) -> Iterator[bytes]:
    """Yield serialized requests of ``SPANS_A_BATCH`` spans, ``spans`` in all or a few less: ever new ids.

    The rest follows from ``seed``. An id that an earlier run sent, too, would open its trace again.
    """
    patterns = _patterns(random.Random(seed), time.time_ns(), min(PATTERNS, spans // SPANS_A_BATCH))
    new = random.SystemRandom()
    left = spans // SPANS_A_BATCH
    while left > 0:
        change = new.randbytes(16), new.randbytes(8)
        other_digits = np.arange(256, dtype=np.uint8)
        other_digits[_DIGITS] = new.sample(list(_DIGITS), len(_DIGITS))
        for body, digits, *ids in patterns[:left]:
            renamed = body.copy()
            renamed[digits] = other_digits[renamed[digits]]
            for places, by in zip(ids, change, strict=True):
                renamed[places] ^= np.frombuffer(by, np.uint8)
            yield renamed.tobytes()
        left -= len(patterns)


def _request(spans: list[Span]) -> bytes:
    resource = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    resource.resource.attributes.extend(_attribute(key, value) for key, value in RESOURCE.items())
    resource.scope_spans[0].scope.name = "opentelemetry.util.genai.handler"
    return ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()


def _patterns(rng: random.Random, now: int, count: int) -> list[list[npt.NDArray[Any]]]:
    """Return requests, and where in each the digits of other ids, the trace and the span ids stand."""
    spans: list[Span] = []
    while len(spans) < count * SPANS_A_BATCH:
        spans += _trace(rng, now)
    found: list[list[npt.NDArray[Any]]] = []
    for first in range(0, count * SPANS_A_BATCH, SPANS_A_BATCH):
        body = _request(spans[first : first + SPANS_A_BATCH])
        heads = [*_HEAD.finditer(body)]
        span_ids = [head.start(group) for head in heads for group in (2, 3) if head[group]]
        trace_ids = np.array([head.start(1) for head in heads])[:, None] + np.arange(16)
        digits = np.concatenate([np.arange(*call.span(1)) for call in _CALL.finditer(body)])
        places = [digits, trace_ids, np.array(span_ids)[:, None] + np.arange(8)]
        found.append([np.frombuffer(body, np.uint8), *places])
    return found
