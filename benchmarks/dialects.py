"""How fast every dialect becomes rows, beside the native one, in one run: CPU time of normalise and store.

The same traces (``traces.py``, with a question, a tool's call and its result on their calls) in the native
dialect and in others. Usage::

    uv run python benchmarks/dialects.py [--spans 10000] [--rounds 3]
"""

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import traces
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tupletrace.processor import decode
from tupletrace.processor.normalise import canonical
from tupletrace.processor.store import Store

OPERATIONS = {"chat": "LLM", "retrieval": "RETRIEVER", "execute_tool": "TOOL", "invoke_agent": "AGENT"}
ASKED, ANSWERED = "Where is my order? " * 20, "It was sent on Monday. " * 20
ID, TOOL, GIVEN, RETURNED = "call_1", "lookup_order", {"order_id": "A-1042"}, '{"status": "shipped"}'
NATIVE = {
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": ASKED}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": ID, "name": TOOL, "arguments": GIVEN}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": ID, "response": RETURNED}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": ANSWERED}]}]
    ),
}
_FUNCTION = {"name": TOOL, "arguments": json.dumps(GIVEN)}
OPENAI: list[dict[str, Any]] = [
    {"role": "user", "content": ASKED},
    {"role": "assistant", "tool_calls": [{"id": ID, "type": "function", "function": _FUNCTION}]},
    {"role": "tool", "tool_call_id": ID, "content": RETURNED},
]
OPENAI_ANSWER = {"role": "assistant", "content": ANSWERED}
VERCEL = [
    {"role": "user", "content": ASKED},
    {
        "role": "assistant",
        "content": [{"type": "tool-call", "toolCallId": ID, "toolName": TOOL, "input": GIVEN}],
    },
    {
        "role": "tool",
        "content": [
            {
                "type": "tool-result",
                "toolCallId": ID,
                "toolName": TOOL,
                "output": {"type": "text", "value": RETURNED},
            }
        ],
    },
]
LANGCHAIN = [
    {"lc": 1, "kwargs": one}
    for one in (
        {"type": "human", "content": ASKED},
        {"type": "ai", "content": "", "tool_calls": [{"name": TOOL, "args": GIVEN, "id": ID}]},
        {"type": "tool", "content": RETURNED, "tool_call_id": ID},
    )
]
Said = dict[str, Any]


def openinference(said: Said, kind: str = "openinference.span.kind") -> Said:
    """OpenInference's names; traceAI's old ones differ in one."""
    usage = {"input": "prompt", "output": "completion"}
    made = {
        kind: OPERATIONS.get(said["gen_ai.operation.name"], "CHAIN"),
        "session.id": said["gen_ai.conversation.id"],
    }
    if made[kind] != "LLM":
        return made
    return made | {
        "llm.model_name": said["gen_ai.response.model"],
        "llm.provider": "openai",
        "llm.system": "openai",
        "llm.invocation_parameters": f'{{"model": "{said["gen_ai.request.model"]}"}}',
        **{f"llm.token_count.{usage[side]}": said[f"gen_ai.usage.{side}_tokens"] for side in usage},
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": ASKED,
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": ID,
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": TOOL,
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": json.dumps(GIVEN),
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.tool_call_id": ID,
        "llm.input_messages.2.message.content": RETURNED,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": ANSWERED,
    }


def traceai(said: Said) -> Said:
    """TraceAI's: OpenInference's keys after the conventions' names."""
    told = openinference(said, "gen_ai.span.kind")
    renamed = {
        "llm.provider": "gen_ai.provider.name",
        "llm.model_name": "gen_ai.request.model",
        "llm.invocation_parameters": "gen_ai.request.parameters",
        "llm.token_count.prompt": "gen_ai.usage.input_tokens",
        "llm.token_count.completion": "gen_ai.usage.output_tokens",
    }
    return {
        renamed.get(key, re.sub("^llm[.](input|output)_messages", r"gen_ai.\1.messages", key)): value
        for key, value in told.items()
        if key != "llm.system"
    }


def openllmetry(said: Said) -> Said:
    """Traceloop's names before 0.60."""
    if said["gen_ai.operation.name"] != "chat":
        return {"traceloop.span.kind": "task", "traceloop.workflow.name": "support"}
    return {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": said["gen_ai.request.model"],
        "gen_ai.response.model": said["gen_ai.response.model"],
        "gen_ai.usage.prompt_tokens": said["gen_ai.usage.input_tokens"],
        "gen_ai.usage.completion_tokens": said["gen_ai.usage.output_tokens"],
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": ASKED,
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.0.id": ID,
        "gen_ai.prompt.1.tool_calls.0.name": TOOL,
        "gen_ai.prompt.1.tool_calls.0.arguments": json.dumps(GIVEN),
        "gen_ai.prompt.2.role": "tool",
        "gen_ai.prompt.2.tool_call_id": ID,
        "gen_ai.prompt.2.content": RETURNED,
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": ANSWERED,
    }


def mlflow(said: Said) -> Said:
    """MLflow's: everything is JSON."""
    if said["gen_ai.operation.name"] != "chat":
        return {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": "{}"}
    usage = {side: said[f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")}
    return {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": f'"{said["gen_ai.response.model"]}"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.chat.tokenUsage": f'{{"input_tokens": {usage["input"]}, "output_tokens": {usage["output"]}}}',
        "mlflow.spanInputs": json.dumps({"model": "gpt-4.1-mini", "messages": OPENAI}),
        "mlflow.spanOutputs": json.dumps({"choices": [{"message": OPENAI_ANSWER}]}),
    }


def langfuse(said: Said) -> Said:
    """Langfuse's."""
    if said["gen_ai.operation.name"] != "chat":
        return {"langfuse.observation.type": "span", "session.id": said["gen_ai.conversation.id"]}
    usage = [said[f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")]
    return {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": said["gen_ai.response.model"],
        "langfuse.observation.usage_details": f'{{"input": {usage[0]}, "output": {usage[1]}}}',
        "langfuse.observation.input": json.dumps(OPENAI),
        "langfuse.observation.output": json.dumps(OPENAI_ANSWER),
    }


def vercel(said: Said) -> Said:
    """Vercel's AI SDK to version 6."""
    if said["gen_ai.operation.name"] != "chat":
        return {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "support"}
    return {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": said["gen_ai.request.model"],
        "ai.model.provider": "openai.chat",
        "ai.usage.inputTokens": said["gen_ai.usage.input_tokens"],
        "ai.usage.outputTokens": said["gen_ai.usage.output_tokens"],
        "ai.prompt.messages": json.dumps(VERCEL),
        "ai.response.text": ANSWERED,
        "ai.response.finishReason": "stop",
    }


def langsmith(said: Said) -> Said:
    """LangSmith's exporter: LangChain's own JSON."""
    if said["gen_ai.operation.name"] != "chat":
        return {
            "langsmith.span.kind": "chain",
            "langsmith.metadata.thread_id": said["gen_ai.conversation.id"],
        }
    answered = {"lc": 1, "kwargs": {"type": "ai", "content": ANSWERED}}
    usage = {side: said[f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")}
    told = {"message": answered, "generation_info": {"finish_reason": "stop"}}
    return {
        "langsmith.span.kind": "llm",
        "langsmith.metadata.ls_provider": "openai",
        "gen_ai.system": "langchain",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": said["gen_ai.request.model"],
        **{f"gen_ai.usage.{side}_tokens": usage[side] for side in usage},
        "gen_ai.usage.total_tokens": sum(usage.values()),
        "gen_ai.prompt": json.dumps({"messages": [LANGCHAIN]}),
        "gen_ai.completion": json.dumps({"generations": [[told]]}),
    }


def older(said: Said) -> Said:
    """OpenTelemetry's own names before 1.37, without messages, which were events."""
    if said["gen_ai.operation.name"] != "chat":
        return {"gen_ai.system": "openai", "gen_ai.operation.name": said["gen_ai.operation.name"]}
    return {
        "gen_ai.system": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": said["gen_ai.request.model"],
        "gen_ai.response.model": said["gen_ai.response.model"],
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.prompt_tokens": said["gen_ai.usage.input_tokens"],
        "gen_ai.usage.completion_tokens": said["gen_ai.usage.output_tokens"],
    }


def current(said: Said, own: Said) -> Said:
    """The conventions' names with a vendor's own beside them."""
    return {name: value for name, value in said.items() if not name.startswith("tupletrace.")} | own


def logfire(said: Said) -> Said:
    """Logfire's instrumentation of the OpenAI client."""
    if said["gen_ai.operation.name"] != "chat":
        return current(said, {"logfire.msg": "agent run", "logfire.span_type": "span"})
    own = {
        "logfire.msg": "Chat Completion",
        "logfire.span_type": "span",
        "request_data": json.dumps({"model": said["gen_ai.request.model"], "messages": OPENAI}),
        "response_data": json.dumps({"model": said["gen_ai.response.model"], "message": OPENAI_ANSWER}),
    }
    return current(said, own)


def openlit(said: Said) -> Said:
    """OpenLIT's."""
    own: Said = {"gen_ai.application_name": "support", "gen_ai.sdk.version": "1.45.0"}
    if said["gen_ai.operation.name"] == "chat":
        own |= NATIVE | {
            "gen_ai.request.provider": "openai",
            "gen_ai.usage.cost": "0.00042",
            "gen_ai.client.token.usage": said["gen_ai.usage.input_tokens"]
            + said["gen_ai.usage.output_tokens"],
        }
    return current(said, own)


def strands(said: Said) -> Said:
    """Strands Agents'."""
    own = {"event_loop.cycle_id": "1", "gen_ai.event.start_time": "2026-11-21T12:00:00+00:00"}
    return current(said, own | (NATIVE if said["gen_ai.operation.name"] == "chat" else {}))


def semantic_kernel(said: Said) -> Said:
    """Semantic Kernel's."""
    if said["gen_ai.operation.name"] != "chat":
        return current(said, {"sk.available_functions": "none"})
    return current(said, NATIVE | {"gen_ai.response.finish_reason": "FinishReason.STOP"})


DIALECTS: dict[str, Callable[[Said], Said]] = {
    "native": lambda said: said | (NATIVE if said["gen_ai.operation.name"] == "chat" else {}),
    "openinference": openinference,
    "traceai (old)": lambda said: openinference(said, "fi.span.kind"),
    "traceai": traceai,
    "openllmetry": openllmetry,
    "mlflow": mlflow,
    "langfuse": langfuse,
    "vercel": vercel,
    "langsmith": langsmith,
    "older gen_ai": older,
    "logfire": logfire,
    "openlit": openlit,
    "strands": strands,
    "semantic kernel": semantic_kernel,
}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return (
        [one.string_value for one in value.array_value.values]
        if kind == "array_value"
        else getattr(value, kind or "")
    )


def said_as(body: bytes, dialect: Callable[[Said], Said]) -> bytes:
    """Return a request whose GenAI spans speak another dialect."""
    request = ExportTraceServiceRequest.FromString(body)
    for span in request.resource_spans[0].scope_spans[0].spans:
        said = {one.key: _plain(one.value) for one in span.attributes}
        if "gen_ai.operation.name" in said:
            del span.attributes[:]
            for key, value in dialect(said).items():
                made = (
                    AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=str(value))
                )
                if isinstance(value, list):
                    made = AnyValue()
                    made.array_value.values.extend(AnyValue(string_value=one) for one in value)
                span.attributes.append(KeyValue(key=key, value=made))
    return request.SerializeToString()


def seconds(bodies: list[bytes], folder: Path) -> tuple[float, float]:
    """CPU seconds to normalise these requests, and to store them."""
    found = decode.spans(bodies)
    began = time.process_time()
    table = canonical(found)
    normalised = time.process_time()
    store = Store(folder / "bench.duckdb")
    rows = table.append_column("journal_seq", pa.array([1] * table.num_rows, pa.int64())).drop_columns(
        ["request"]
    )
    opened = time.process_time()
    store.insert(rows, 1)
    stored = time.process_time()
    store.close()
    return normalised - began, stored - opened


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    native = list(traces.batches(asked.spans))
    bodies = {name: [said_as(body, dialect) for body in native] for name, dialect in DIALECTS.items()}
    best: dict[str, tuple[float, float]] = {}
    for _ in range(asked.rounds):
        for name, requests in bodies.items():
            with tempfile.TemporaryDirectory() as folder:
                best[name] = min(best.get(name, (9e9, 9e9)), seconds(requests, Path(folder)), key=sum)
    print(f"{'dialect':16}{'normalise us':>14}{'store us':>10}{'rate / native':>15}")
    for name, (normalise, store) in best.items():
        per = 1e6 / asked.spans
        ratio = sum(best["native"]) / (normalise + store)
        print(f"{name:16}{normalise * per:14.1f}{store * per:10.1f}{ratio:15.2f}")


if __name__ == "__main__":
    main()
