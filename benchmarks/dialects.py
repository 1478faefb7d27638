"""How fast every dialect becomes rows, beside the native one, in one run: CPU time of normalise and store.

The same traces (``traces.py``, with messages on their calls) in the native dialect and in others. Usage::

    uv run python benchmarks/dialects.py [--spans 10000] [--rounds 3]
"""

import argparse
import json
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
NATIVE = {
    "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{ASKED}"}}]}}]',
    "gen_ai.output.messages": f'[{{"role":"assistant","parts":[{{"type":"text","content":"{ANSWERED}"}}]}}]',
}
Said = dict[str, Any]


def openinference(said: Said, kind: str = "openinference.span.kind", prefix: str = "llm.") -> Said:
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
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": ANSWERED,
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
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": ANSWERED,
    }


def mlflow(said: Said) -> Said:
    """MLflow's: everything is JSON."""
    if said["gen_ai.operation.name"] != "chat":
        return {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": "{}"}
    usage = {side: said[f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")}
    asked, answered = {"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}
    return {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": f'"{said["gen_ai.response.model"]}"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.chat.tokenUsage": f'{{"input_tokens": {usage["input"]}, "output_tokens": {usage["output"]}}}',
        "mlflow.spanInputs": json.dumps({"model": "gpt-4.1-mini", "messages": [asked]}),
        "mlflow.spanOutputs": json.dumps({"choices": [{"message": answered}]}),
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
        "langfuse.observation.input": f'[{{"role": "user", "content": "{ASKED}"}}]',
        "langfuse.observation.output": f'{{"role": "assistant", "content": "{ANSWERED}"}}',
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
        "ai.prompt.messages": f'[{{"role": "user", "content": "{ASKED}"}}]',
        "ai.response.text": ANSWERED,
        "ai.response.finishReason": "stop",
    }


DIALECTS: dict[str, Callable[[Said], Said]] = {
    "native": lambda said: said | (NATIVE if said["gen_ai.operation.name"] == "chat" else {}),
    "openinference": openinference,
    "traceai (old)": lambda said: openinference(said, "fi.span.kind"),
    "openllmetry": openllmetry,
    "mlflow": mlflow,
    "langfuse": langfuse,
    "vercel": vercel,
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
