"""Spans of any vendor land in the same columns; what each vendor writes is taken from its real spans."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tupletrace.semconv.dialects import COLUMNS, DIALECTS, Source
from tupletrace.semconv.providers import provider

MESSAGE = {"response_metadata": {"id": "chatcmpl-1", "model_name": "gpt-4o-2024-08-06"}}
GENERATION = json.dumps({"generations": [[{"message": {"kwargs": MESSAGE}}]]})
CALL = {
    "operation_name": "chat",
    "provider_name": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "response_id": "chatcmpl-1",
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_read_input_tokens": 64,
    "reasoning_output_tokens": 8,
}
CALLS: dict[str, dict[str, Any]] = {
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.system": "openai",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.invocation_parameters": '{"model": "gpt-4o"}',
        "output.value": GENERATION,
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 20,
        "llm.token_count.prompt_details.cache_read": 64,
        "llm.token_count.completion_details.reasoning": 8,
    },
    "openllmetry": {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.prompt_tokens": 100,
        "gen_ai.usage.completion_tokens": 20,
        "gen_ai.usage.cache_read_input_tokens": 64,
        "llm.usage.reasoning_tokens": 8,
    },
    "traceai": {
        "gen_ai.span.kind": "LLM",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-2024-08-06",
        "gen_ai.request.parameters": '{"model": "gpt-4o"}',
        "output.value": GENERATION,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read_tokens": 64,
        "gen_ai.usage.output_tokens.reasoning": 8,
    },
    "vercel": {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": "openai.responses",
        "ai.model.id": "gpt-4o",
        "ai.response.model": "gpt-4o-2024-08-06",
        "ai.response.id": "chatcmpl-1",
        "ai.usage.inputTokens": 100,
        "ai.usage.outputTokens": 20,
        "ai.usage.cachedInputTokens": 64,
        "ai.usage.reasoningTokens": 8,
    },
    "mlflow": {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.spanInputs": '{"model": "gpt-4o"}',
        "mlflow.llm.model": '"gpt-4o-2024-08-06"',
        "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 64}',
        "mlflow.spanOutputs": json.dumps(
            {"id": "chatcmpl-1", "usage": {"completion_tokens_details": {"reasoning_tokens": 8}}}
        ),
    },
    "langsmith": {
        "langsmith.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "langchain",
        "langsmith.metadata.ls_provider": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.input_token_details": "{'audio': None, 'flex_cache_read': 64}",
        "gen_ai.usage.output_token_details": "{'flex_reasoning': 8}",
    },
    "langfuse": {
        "langfuse.observation.type": "generation",
        "gen_ai.provider.name": "openai",
        "langfuse.observation.model.name": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "langfuse.observation.usage_details": json.dumps(
            {"input": 36, "input_cache_read": 64, "output": 12, "output_reasoning": 8, "total": 120}
        ),
    },
    "logfire": {
        "logfire.msg": "chat gpt-4o",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.details.cache_read_tokens": 64,
        "gen_ai.usage.details.reasoning_tokens": 8,
    },
    "openlit": {
        "gen_ai.application_name": "shop",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.prompt_tokens_details.cached_tokens": 64,
        "gen_ai.usage.completion_tokens_details.reasoning_tokens": 8,
    },
}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


@pytest.fixture
def stored(database: Any, otlp: Any) -> Callable[..., dict[str, Any]]:
    """Send one span with these attributes and return its row of ``spans``."""

    def send(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
        start = otlp.noon + database.row("SELECT count(*) AS n FROM spans")["n"]
        database.insert(otlp.request(otlp.span(attributes=attributes, start=start, **fields)))
        return database.row(f"SELECT * FROM spans WHERE start_unix_nano = {start}")

    return send


@pytest.fixture
def called(database: Any, otlp: Any) -> Callable[..., dict[str, Any]]:
    """Send one span, alone in its trace, and return the call that it tells."""

    def send(attributes: dict[str, Any]) -> dict[str, Any]:
        trace = 1_000 + database.row("SELECT count(*) AS n FROM spans")["n"]
        database.insert(otlp.request(otlp.span(trace, attributes=attributes)))
        database.store.settle(0)
        return database.row(f"SELECT * FROM llm_calls WHERE trace_id = '{trace:032x}'")

    return send


@pytest.mark.parametrize("dialect", CALLS)
def test_a_call_is_the_same_in_every_dialect(stored: Any, dialect: str) -> None:
    row = stored(CALLS[dialect])
    assert {column: row[column] for column in CALL} == CALL
    assert row["dialect"] == dialect
    assert dict(row["attributes"]).keys() == CALLS[dialect].keys(), "kept as they came"


def test_dialects_in_one_batch_do_not_disturb_each_other(database: Any, otlp: Any) -> None:
    spans = [otlp.span(9, i, None, said) for i, said in enumerate([{}, *CALLS.values()], 1)]
    database.insert(otlp.request(*spans))
    rows = database.rows("SELECT * FROM spans WHERE trace_id = ? ORDER BY span_id", [f"{9:032x}"])
    assert [row["dialect"] for row in rows] == [None, *CALLS]
    assert all({column: row[column] for column in CALL} == CALL for row in rows[1:])


OPERATIONS = [
    ({"openinference.span.kind": "CHAIN"}, None),
    ({"openinference.span.kind": "RETRIEVER"}, "retrieval"),
    ({"openinference.span.kind": "EMBEDDING"}, "embeddings"),
    ({"gen_ai.span.kind": "VECTOR_DB"}, "retrieval"),
    ({"gen_ai.span.kind": "workflow"}, "invoke_workflow"),
    ({"gen_ai.span.kind": "UNKNOWN"}, None),
    ({"traceloop.span.kind": "task", "gen_ai.operation.name": "execute_task"}, None),
    ({"traceloop.span.kind": "task", "gen_ai.operation.name": "vector_db_retrieve"}, "retrieval"),
    ({"traceloop.span.kind": "task", "traceloop.entity.name": "BM25Retriever.task"}, "retrieval"),
    ({"traceloop.span.kind": "tool", "traceloop.entity.name": "search"}, "execute_tool"),
    ({"mlflow.spanType": '"AGENT"'}, "invoke_agent"),
    ({"mlflow.spanType": '"PARSER"'}, None),
    ({"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings"}, "retrieval"),
    ({"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat"}, "prompt"),
    ({"langfuse.observation.type": "span", "gen_ai.operation.name": "chat"}, "chat"),
    ({"ai.operationId": "ai.generateText"}, "invoke_agent"),
    ({"ai.operationId": "ai.embed"}, None),
    ({"ai.operationId": "ai.embed.doEmbed"}, "embeddings"),
    ({"gen_ai.operation.name": "agent_step"}, None),
    ({"gen_ai.operation.name": "generation"}, "chat"),
    ({"gen_ai.operation.name": "a new one"}, "a new one"),
]


@pytest.mark.parametrize(("attributes", "operation"), OPERATIONS)
def test_a_kind_of_span_is_an_operation_or_none(
    stored: Any, attributes: dict[str, Any], operation: str | None
) -> None:
    assert stored(attributes)["operation_name"] == operation


def test_a_method_of_an_llm_that_calls_no_model_is_no_call(stored: Any) -> None:
    kind = {"openinference.span.kind": "LLM"}
    assert stored(kind, name="OpenAI._prepare_chat_with_tools")["operation_name"] is None
    assert stored(kind, name="OpenAI.chat")["operation_name"] == "chat"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("OpenAI", "openai"),
        ("anthropic.messages", "anthropic"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("amazon-bedrock", "aws.bedrock"),
        ("azure.ai.openai", "azure.ai.openai"),
        ("az.ai.inference", "azure.ai.inference"),
        ("mock.chat", "mock"),
        ("strands-agents", None),
        ("LangChain", None),
        ("my-own.gateway", "my-own.gateway"),
    ],
)
def test_a_provider_has_one_name_and_a_framework_is_none(said: str, name: str | None) -> None:
    assert provider(said) == name


def test_two_names_of_openinference_make_one_provider(stored: Any) -> None:
    kind = {"openinference.span.kind": "LLM"}
    azure = stored(kind | {"llm.provider": "azure", "llm.system": "openai"})
    assert azure["provider_name"] == "azure.ai.openai"
    assert stored(kind | {"llm.system": "vertexai"})["provider_name"] == "gcp.vertex_ai"
    assert stored(kind | {"llm.provider": "groq", "llm.system": "openai"})["provider_name"] == "groq"


def test_milliseconds_become_seconds(stored: Any) -> None:
    said = {"ai.operationId": "ai.streamText.doStream", "ai.response.msToFirstChunk": 250.5}
    assert stored(said)["time_to_first_chunk_s"] == 0.2505
    strands = {"event_loop.cycle_id": "1", "gen_ai.server.time_to_first_token": 1500}
    assert stored(strands)["time_to_first_chunk_s"] == 1.5


@pytest.mark.parametrize("after", ["12:00:00.250000Z", "13:00:00.250+01:00"])
def test_a_time_of_day_is_so_long_after_the_span_began(stored: Any, otlp: Any, after: str) -> None:
    said = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.completion_start_time": f'"2026-01-01T{after}"',
    }
    found = stored(said)
    late = (found["start_unix_nano"] - otlp.noon) / 1e9
    assert found["time_to_first_chunk_s"] == pytest.approx(0.25 - late)


def test_one_key_with_two_units_is_read_as_its_own_dialect_says(stored: Any) -> None:
    """OpenLIT's are seconds, and of a call that does not stream the whole duration."""
    openlit = {"gen_ai.sdk.version": "2.54.0", "gen_ai.server.time_to_first_token": 0.25}
    assert stored(openlit | {"gen_ai.request.stream": True})["time_to_first_chunk_s"] == 0.25
    assert stored(openlit | {"gen_ai.request.stream": False})["time_to_first_chunk_s"] is None
    traceai = {"gen_ai.span.kind": "LLM", "gen_ai.server.time_to_first_token": 250}
    assert stored(traceai)["time_to_first_chunk_s"] == 0.25


def test_a_templates_name_is_the_prompts_unless_it_is_the_template(stored: Any) -> None:
    call = {"openinference.span.kind": "LLM"}
    row = stored(call | {"llm.prompt_template.name": "greeting", "llm.prompt_template.template": "Hi {name}"})
    assert (row["prompt_name"], row["prompt_template"]) == ("greeting", "Hi {name}")
    row = stored(call | {"llm.prompt_template.name": "Hi {name}"})
    assert (row["prompt_name"], row["prompt_template"]) == (None, "Hi {name}")


@pytest.mark.parametrize("method", ["retrieve", "_retrieve", "aretrieve", "_aretrieve"])
def test_a_retriever_is_the_same_whichever_of_its_methods_ran(stored: Any, method: str) -> None:
    span = {"openinference.span.kind": "RETRIEVER"}
    assert stored(span, name=f"VectorIndexRetriever.{method}")["retriever_name"] == "VectorIndexRetriever"
    span = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "unknown"}
    assert stored(span, name="MockEmbedding.get_query_embedding")["request_model"] is None


TOOL = {"name": "get_weather", "description": "Get the weather of a city"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    "told",
    [
        {"function_declarations": [TOOL | {"parameters_json_schema": SCHEMA}]},
        {"functionDeclarations": [TOOL | {"parameters": SCHEMA}]},
        {"toolSpec": TOOL | {"inputSchema": {"json": SCHEMA}}},
    ],
    ids=["gemini", "gemini in JSON", "bedrock"],
)
def test_a_tool_is_the_same_in_every_providers_shape(stored: Any, told: dict[str, Any]) -> None:
    call = {"gen_ai.operation.name": "chat"}
    openai = {"type": "function", "function": TOOL | {"parameters": SCHEMA}}
    row, same = (stored(call | {"gen_ai.tool.definitions": json.dumps([one])}) for one in (told, openai))
    assert (row["tools_names"], row["tools_version"]) == ("get_weather", same["tools_version"])
    assert row["tool_definitions"] == same["tool_definitions"]


def test_openlit_tells_of_llama_indexs_retrievers_in_keys_of_its_own(stored: Any) -> None:
    said = {"index.name": "handbook", "similarity.top_k": 4, "embedding.model": "text-embedding-3-small"}
    own = {f"gen_ai.framework.{key}": value for key, value in said.items()}
    row = stored({"gen_ai.operation.name": "retrieval", "gen_ai.sdk.version": "1"} | own)
    assert row["data_source_id"] == "handbook"
    assert row["retriever_version"].startswith("retriever-")


ANTHROPIC = {
    "input_tokens": 27,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 10,
    "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 20,
}
"""As its API says it: what was cached is no part of the input."""


@pytest.mark.parametrize(
    "said",
    [
        {
            "logfire.msg": "Message",
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 101,
            "gen_ai.usage.raw": json.dumps(ANTHROPIC),
        },
        {
            "gen_ai.span.kind": "LLM",
            "gen_ai.usage.input_tokens": 27,
            "output.value": json.dumps({"id": "msg_1", "stop_reason": "end_turn", "usage": ANTHROPIC}),
        },
    ],
    ids=["logfire", "traceai"],
)
def test_the_providers_own_usage_tells_what_was_cached_and_for_how_long(
    called: Any, said: dict[str, Any]
) -> None:
    call = called(said | {"gen_ai.usage.output_tokens": 20, "gen_ai.provider.name": "anthropic"})
    buckets = ("input", "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    assert [call[f"{bucket}_tokens"] for bucket in buckets] == [101, 27, 64, 6, 4, 20]
    assert call["usage_status"] == "reported"


def test_what_gemini_thought_is_told_by_the_total_alone(called: Any) -> None:
    """OpenLLMetry's counts leave it out."""
    said = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.usage.input_tokens": 101,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.total_tokens": 129,
    }
    call = called(said)
    assert (call["input_tokens"], call["output_tokens"], call["reasoning_tokens"]) == (101, 28, 8)


def test_one_finish_reason_becomes_a_list(stored: Any) -> None:
    assert json.loads(stored({"llm.finish_reason": "stop"})["finish_reasons"]) == ["stop"]
    assert json.loads(stored({"gen_ai.response.finish_reason": "stop,length"})["finish_reasons"]) == [
        "stop",
        "length",
    ]


def test_the_providers_own_usage_in_langfuse_includes_what_was_cached(stored: Any) -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 8},
    }
    said = {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": json.dumps(raw)}
    row = stored(said)
    columns = ("input_tokens", "output_tokens", "cache_read_input_tokens", "reasoning_output_tokens")
    assert [row[column] for column in columns] == [100, 20, 64, 8]


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"gen_ai.usage.output_tokens": 4}, (None, None)),
        ({"gen_ai.usage.output_tokens": 3}, (9, 3)),
        ({"gen_ai.usage.output_tokens": 4, "gen_ai.usage.cache_read.input_tokens": 0}, (9, 4)),
        ({"gen_ai.usage.output_tokens": 4, "gen_ai.request.stream": False}, (9, 4)),
    ],
)
def test_tokens_that_openlit_makes_up_for_a_stream_are_not_reported(
    stored: Any, said: dict[str, Any], tokens: tuple[Any, Any]
) -> None:
    """A token every two characters, and no word of it on the span."""
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Tuesday"}]}]
    stream = {
        "gen_ai.application_name": "shop",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 9,
    }
    row = stored(stream | {"gen_ai.output.messages": json.dumps(answer)} | said)
    assert (row["input_tokens"], row["output_tokens"]) == tokens
    assert dict(row["attributes"])["gen_ai.usage.input_tokens"] == "9", "as it came"


@pytest.mark.parametrize(
    ("answer", "used", "reported"),
    [("abc", (33, 2), None), ("", (33, 0), None), ("abc", (57, 31), 31)],
)
def test_an_older_openlit_makes_tokens_up_too_and_writes_messages_in_lines(
    stored: Any, otlp: Any, answer: str, used: tuple[int, int], reported: int | None
) -> None:
    lines = {"gen_ai.prompt": "system: Be kind.\nAlways.\nuser: Hi"}
    said = [("gen_ai.content.prompt", lines), ("gen_ai.content.completion", {"gen_ai.completion": answer})]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.sdk.version": "1.109.1",
        "gen_ai.request.is_stream": True,
        "gen_ai.server.time_to_first_token": 0.5,
        "gen_ai.usage.input_tokens": used[0],
        "gen_ai.usage.output_tokens": used[1],
    }
    events = [Span.Event(name=name, attributes=otlp.key_values(what)) for name, what in said]
    row = stored(attributes, events=events)
    assert (row["output_tokens"], row["time_to_first_chunk_s"]) == (reported, 0.5)
    asked = [(one["role"], one["parts"][0]["content"]) for one in json.loads(row["input_messages"])]
    assert asked == [("system", "Be kind.\nAlways."), ("user", "Hi")]
    assert row["prompt_version"].startswith("text-")


def test_langsmith_tells_tokens_where_outputs_are_hidden(stored: Any) -> None:
    used = {"input_tokens": 32, "output_tokens": 31, "input_token_details": {"cache_read": 16}}
    hidden = {"gen_ai.prompt": "{}", "gen_ai.completion": "{}", "langsmith.span.kind": "llm"}
    row = stored(hidden | {"langsmith.metadata.usage_metadata": json.dumps(used)})
    assert (row["input_tokens"], row["cache_read_input_tokens"], row["output_tokens"]) == (32, 16, 31)


@pytest.mark.parametrize("kind", ["openinference.span.kind", "gen_ai.span.kind"])
def test_a_stream_tells_by_an_event_when_its_first_token_came(database: Any, otlp: Any, kind: str) -> None:
    event = Span.Event(name="First Token Stream Event", time_unix_nano=otlp.noon + 250_000_000)
    trace = 7_200 + len(kind)
    database.insert(otlp.request(otlp.span(trace, 1, None, {kind: "LLM"}, start=otlp.noon, events=[event])))
    query = "SELECT time_to_first_chunk_s FROM spans WHERE trace_id = ?"
    assert database.row(query, [f"{trace:032x}"]) == {"time_to_first_chunk_s": 0.25}


def test_langtrace_tells_cached_tokens_and_tools_in_names_of_its_own(stored: Any) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    row = stored(
        {
            "langtrace.service.name": "OpenAI",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.usage.input_tokens": 270,
            "gen_ai.usage.cached_tokens": 128,
            "gen_ai.system_fingerprint": "fp_1",
            "gen_ai.request.tools": json.dumps([json.dumps([tool])]),
        }
    )
    said = [row[column] for column in ("dialect", "cache_read_input_tokens", "system_fingerprint")]
    assert said == ["langtrace", 128, "fp_1"]
    assert row["tools_names"] == "get_weather"


def test_the_model_that_was_asked_for_is_not_the_one_that_answered(stored: Any) -> None:
    """OpenInference with the standard's names too, and LangSmith, have the latter under the former's name."""
    both = {"gen_ai.request.model": "gpt-4o-2024-08-06", "gen_ai.response.model": "gpt-4o-2024-08-06"}
    for said in (
        CALLS["openinference"],
        {"langsmith.span.kind": "llm", "langsmith.metadata.ls_model_name": "gpt-4o"},
    ):
        row = stored(said | both)
        assert (row["request_model"], row["response_model"]) == ("gpt-4o", "gpt-4o-2024-08-06")


@pytest.mark.parametrize(
    ("key", "code"), [("langsmith.span.kind", "ERROR"), ("openinference.span.kind", "OK")]
)
def test_a_run_that_langsmith_said_to_be_fine_before_it_failed_has_failed(
    stored: Any, otlp: Any, key: str, code: str
) -> None:
    """What ends it cannot overrule that, and is an exception on the span."""
    failure = {"exception.type": "Exception", "exception.message": "NotFoundError('no such model')"}
    event = Span.Event(name="exception", attributes=otlp.key_values(failure))
    row = stored({key: "llm"}, status=Status(code=Status.STATUS_CODE_OK), events=[event])
    assert row["status_code"] == code
    assert row["error_type"] == ("NotFoundError" if code == "ERROR" else None)


def test_what_mlflow_says_of_an_embedding_stands_in_its_answer(stored: Any) -> None:
    answer = {"data": [{"embedding": [0.0, 0.1]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    row = stored(
        {"mlflow.spanType": '"EMBEDDING"', "mlflow.spanOutputs": json.dumps(answer)}, name="Embeddings"
    )
    assert (row["operation_name"], row["provider_name"], row["input_tokens"]) == ("embeddings", "openai", 4)


def test_mlflow_names_the_provider_by_the_format_of_its_messages(stored: Any) -> None:
    said = {"mlflow.spanType": '"CHAT_MODEL"'}
    assert stored(said | {"mlflow.message.format": '"gemini"'})["provider_name"] == "gcp.gemini"
    assert stored(said | {"mlflow.message.format": '"langchain"'})["provider_name"] is None


@pytest.mark.parametrize(
    ("name", "named"), [("ChatOpenAI", "openai"), ("OpenAI-generation", "openai"), ("answer", None)]
)
def test_langfuse_tells_the_provider_by_the_class_that_was_called(
    stored: Any, name: str, named: str | None
) -> None:
    assert stored({"langfuse.observation.type": "generation"}, name=name)["provider_name"] == named


def test_a_chain_that_openllmetry_calls_an_agent_is_none(stored: Any) -> None:
    said = {
        "traceloop.span.kind": "workflow",
        "traceloop.entity.name": "RunnableSequence",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "RunnableSequence",
    }
    row = stored(said, name="RunnableSequence.workflow")
    assert (row["operation_name"], row["agent_name"]) == (None, None)


@pytest.mark.parametrize("kind", ["openinference.span.kind", "llm.request.type"])
def test_an_embedding_that_llamaindex_makes_up_is_no_call(stored: Any, kind: str) -> None:
    assert stored({kind: "EMBEDDING"}, name="MockEmbedding._get_text_embedding")["operation_name"] is None


def test_steps_that_langchain_numbers_are_no_tags(stored: Any) -> None:
    """Langfuse has them in the metadata, LangSmith in one string, OpenInference in a list."""
    for said in (
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.metadata.tags": '["seq:step:2", "blue"]',
        },
        {"langsmith.span.kind": "llm", "langsmith.span.tags": "blue, seq:step:2"},
        {"openinference.span.kind": "LLM", "tag.tags": ["graph:step:1", "blue"]},
    ):
        assert stored(said)["tags"] == ["blue"]
    assert stored({"openinference.span.kind": "LLM", "tag.tags": ["map:key:a"]})["tags"] is None


@pytest.mark.parametrize(
    "kind",
    [
        {
            "langfuse.observation.type": "span",
            "langfuse.observation.metadata.langgraph_checkpoint_ns": '"{}"',
        },
        {"langsmith.span.kind": "chain", "langsmith.metadata.langgraph_checkpoint_ns": "{}"},
        {"mlflow.spanType": "CHAIN", "metadata": '{{"langgraph_checkpoint_ns": "{}"}}'},
        {"openinference.span.kind": "CHAIN", "metadata": '{{"langgraph_checkpoint_ns": "{}"}}'},
        {"gen_ai.span.kind": "CHAIN", "langgraph_checkpoint_ns": "{}"},
        {"traceloop.span.kind": "task", "traceloop.association.properties.langgraph_checkpoint_ns": "{}"},
    ],
    ids=["langfuse", "langsmith", "mlflow", "openinference", "traceai", "openllmetry"],
)
def test_where_in_nested_graphs_a_span_stood(stored: Any, kind: dict[str, str]) -> None:
    """Two graphs that one node calls are told apart by a number in between."""
    for place, path in (
        ("team:33a9-b2|plan:5bf4", "team/plan"),
        ("team:33a9-b2|1|plan:5bf4", "team/plan"),
        ("plan:5bf4", None),
    ):
        assert stored({key: said.format(place) for key, said in kind.items()})["graph_path"] == path


def test_json_in_a_json_string_is_read_too(stored: Any) -> None:
    """Traceloop's instrumentation of LlamaIndex."""
    said = {"traceloop.span.kind": "task", "traceloop.entity.name": "FunctionTool.task"}
    output = json.dumps(json.dumps({"tool_name": "get_weather"}))
    assert stored(said | {"traceloop.entity.output": output})["tool_name"] == "get_weather"


def test_a_pending_span_of_logfire_is_left_out(database: Any, otlp: Any) -> None:
    pending = otlp.span(12, 1, None, {"logfire.span_type": "pending_span"})
    database.insert(otlp.request(pending, otlp.span(12, 2, None, {"logfire.span_type": "span"})))
    rows = database.rows("SELECT span_id FROM spans WHERE trace_id = ?", [f"{12:032x}"])
    assert [int(row["span_id"], 16) for row in rows] == [2]


def test_keys_that_are_nobodys_in_particular_count_in_their_dialect_alone(stored: Any) -> None:
    assert stored({"model_name": "x", "gen_ai.operation.name": "chat"})["request_model"] is None
    said = {"logfire.msg": "agent run", "gen_ai.operation.name": "invoke_agent", "model_name": "x"}
    assert stored(said)["request_model"] == "x"


@pytest.mark.parametrize("blob", ["", "{", "nothing", "[]", "17", "null", '{"model": {"a": [1]}}'])
def test_a_blob_that_is_not_what_it_should_be_spoils_nothing(stored: Any, blob: str) -> None:
    said = {"openinference.span.kind": "LLM", "llm.invocation_parameters": blob, "llm.model_name": "gpt-4o"}
    assert stored(said)["response_model"] == "gpt-4o"


def test_names_that_contradict_each_other_on_a_span_are_told(stored: Any) -> None:
    both = CALLS["openinference"] | {
        "gen_ai.usage.input_tokens": 90,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.provider.name": "OpenAI",
        "session.id": "a",
        "gen_ai.conversation.id": "b",
    }
    row = stored(both)
    assert (row["input_tokens"], row["conversation_id"]) == (90, "b"), "the standard's own name is believed"
    assert dict(row["conflicts"]) == {"input_tokens": "100", "conversation_id": "a"}
    for said in CALLS.values():
        assert not stored(said)["conflicts"]


def test_every_source_of_every_dialect_is_understood() -> None:
    texts = [(text, one.name) for one in DIALECTS for sources in one.columns.values() for text in sources]
    assert {Source.parse(*text) for text in texts} == {
        source for found in COLUMNS.values() for source in found
    }
    with pytest.raises(ValueError, match="no source"):
        Source.parse("a key -> of no kind", "test")
