"""Log records that tell of spans are joined to them, whichever comes first and however late."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

DETAILS = "gen_ai.client.inference.operation.details"
RESULT = "gen_ai.evaluation.result"
SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]}
USER = {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "Well."}], "finish_reason": "stop"}
TOOLS = [{"type": "function", "name": "search", "description": "Find.", "parameters": {"type": "object"}}]


@pytest.fixture(scope="module")
def processor(start_processor: Callable[..., Any]) -> Any:
    return start_processor()


@pytest.fixture
def post(processor: Any, otlp: Any) -> Callable[..., None]:
    """Send log records of (name, body, attributes) that tell of one span."""

    def send(trace: int, span: int, *said: tuple[str, Any, dict[str, Any]], legacy: bool = False) -> None:
        records = [
            LogRecord(
                trace_id=trace.to_bytes(16) if trace else b"",
                span_id=span.to_bytes(8) if span else b"",
                time_unix_nano=otlp.noon + i,
                event_name="" if legacy else name,
                body=otlp.any_value(body),
                attributes=otlp.key_values(attributes | ({"event.name": name} if legacy else {})),
            )
            for i, (name, body, attributes) in enumerate(said)
        ]
        logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])
        body = ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString()
        assert processor.request("/v1/logs", body, Content_Type="application/x-protobuf").status == 200

    return send


def messages(legacy: bool) -> list[tuple[str, Any, dict[str, Any]]]:
    """The same conversation in the two ages of the conventions."""
    if not legacy:
        said = {"gen_ai.input.messages": [SYSTEM, USER], "gen_ai.output.messages": [ANSWER]}
        return [(DETAILS, None, said | {"gen_ai.tool.definitions": TOOLS})]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Well."}}
    return [
        ("gen_ai.system.message", {"content": "Be kind."}, {"gen_ai.system": "openai"}),
        ("gen_ai.user.message", json.dumps({"role": "user", "content": "Hi"}), {}),
        ("gen_ai.choice", choice, {}),
    ]


QUIET = {"gen_ai.prompt.name": None, "gen_ai.prompt.version": None}


@pytest.mark.parametrize("legacy", [False, True], ids=["details", "messages"])
@pytest.mark.parametrize("order", ["log first", "span first", "settled"])
def test_messages_of_a_record_are_its_spans(
    processor: Any, otlp: Any, post: Any, until: Any, order: str, legacy: bool
) -> None:
    trace = 100 + 10 * ["log first", "span first", "settled"].index(order) + legacy
    body = otlp.request(otlp.call(trace, 1, attributes=QUIET))
    if order == "log first":
        post(trace, 1, *messages(legacy), legacy=legacy)
    assert processor.post_traces(body).status == 200
    if order == "settled":
        until(lambda: processor.sql(f"SELECT 1 FROM traces WHERE trace_id = '{trace:032x}' AND complete"))
    if order != "log first":
        post(trace, 1, *messages(legacy), legacy=legacy)
    query = f"SELECT * FROM spans WHERE trace_id = '{trace:032x}' AND input_messages IS NOT NULL"
    (row,) = until(lambda: processor.sql(query))
    assert json.loads(row["input_messages"]) == [SYSTEM, USER]
    assert json.loads(row["output_messages"]) == [ANSWER]
    assert row["prompt_version"].startswith("text-")
    assert (row["tools_names"] == "search") is not legacy
    query = (
        f"SELECT prompt_version FROM llm_calls WHERE trace_id = '{trace:032x}' AND prompt_version IS NOT NULL"
    )
    assert until(lambda: processor.sql(query)) == [{"prompt_version": row["prompt_version"]}]


def test_what_the_span_says_itself_stays(processor: Any, otlp: Any, post: Any, until: Any) -> None:
    said = {"gen_ai.usage.input_tokens": 99, "gen_ai.response.id": "told"}
    assert processor.post_traces(otlp.request(otlp.call(201, 1))).status == 200
    post(201, 1, (DETAILS, None, said))
    (row,) = until(lambda: processor.sql("SELECT * FROM spans WHERE response_id = 'told'"))
    assert (row["input_tokens"], row["prompt_version"], row["prompt_provenance"]) == (10, "3", "declared")


@pytest.mark.parametrize("first", ["span", "record"])
@pytest.mark.parametrize("by", ["ids", "response"])
def test_an_evaluation_in_a_record_is_of_its_span(
    processor: Any, otlp: Any, post: Any, until: Any, first: str, by: str
) -> None:
    trace = 300 + ["span", "record"].index(first) + 10 * ["ids", "response"].index(by)
    response = {"gen_ai.response.id": f"resp-{trace}"}
    judged = {
        "gen_ai.evaluation.name": "kind",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.score.label": "pass",
        "tupletrace.evaluator.name": "judge",
        "tupletrace.evaluator.version": "7",
    }
    record = (RESULT, None, judged | response)
    ids = (trace, 1) if by == "ids" else (0, 0)
    if first == "record":
        post(*ids, record)
    assert processor.post_traces(otlp.request(otlp.call(trace, 1, attributes=response))).status == 200
    if first == "span":
        post(*ids, record)
        post(*ids, record)
    query = f"SELECT * FROM evaluations WHERE trace_id = '{trace:032x}'"
    (row,) = until(lambda: processor.sql(query))
    assert (row["span_id"], row["name"], row["passed"]) == (f"{1:016x}", "kind", True)
    query = f"SELECT version FROM trace_layers WHERE trace_id = '{trace:032x}' AND layer = 'evaluator'"
    assert until(lambda: processor.sql(query)) == [{"version": "7"}]
