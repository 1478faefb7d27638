"""Two programs under ten vendors' libraries, as these sent them: the same calls, tokens and messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor import decode

FILES = sorted((Path(__file__).parent / "corpora").glob("*.binpb"))
CHAT = [(149, 12), (270, 22), (57, 31), (None, None), (81, 27), (139, 12), (244, 22)]
"""Input and output tokens; the fourth is a stream that was not asked for its usage."""
AGENT = [(57, 29), (149, 12), (285, 22)]
OTHERS = {
    "logfire-pydantic_ai": [(165, 12), (293, 22)],
    "pydantic_ai-agent": [(165, 12), (293, 22)],
    "strands-agent": [(177, 12), (298, 22)],
    # Traceloop 0.33 knows neither a stream's usage nor the responses API.
    "traceloop-chat": [*CHAT[:2], (None, None), (None, None), CHAT[4]],
}
NO_PROVIDER = {"strands-agent"}
ANSWER = "get_weather says: Sunny, 21 C. Is there anything else that I can do for you?"


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    made = open_database()
    for file in FILES:
        made.insert(file.read_bytes())
    made.store.settle(0)
    return made


@pytest.fixture
def calls(database: Any) -> Callable[[Path], list[dict[str, Any]]]:
    """The chats of one recording, with the messages of the span that counts."""

    def ask(file: Path) -> list[dict[str, Any]]:
        traces = decode.spans([file.read_bytes()]).table["trace_id"].unique().to_pylist()
        query = """
            SELECT llm_calls.*, spans.input_messages, spans.output_messages
            FROM llm_calls
            JOIN spans ON spans.trace_id = llm_calls.trace_id AND spans.span_id = llm_calls.span_id
            WHERE llm_calls.operation_name <> 'embeddings' AND list_contains(?, llm_calls.trace_id)
            ORDER BY llm_calls.start_time
        """
        return database.rows(query, [traces])

    return ask


def expected(file: Path) -> list[tuple[Any, Any]]:
    return OTHERS.get(file.stem, CHAT if file.stem.endswith("chat") else AGENT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_call_is_there_once_with_its_tokens_and_cost(calls: Any, file: Path) -> None:
    found = calls(file)
    assert [(call["input_tokens"], call["output_tokens"]) for call in found] == expected(file)
    for call in found:
        assert (call["cost_usd"] is None) == (call["input_tokens"] is None)
        assert call["cache_read_tokens"] in (None, 0, 128)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_call_names_its_model_and_provider(calls: Any, file: Path) -> None:
    for call in calls(file):
        assert (call["request_model"] or "").startswith("gpt-4o-mini")
        assert call["provider_name"] == (None if file.stem in NO_PROVIDER else "openai")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_call_has_its_messages(calls: Any, file: Path) -> None:
    found = calls(file)
    assert any(ANSWER in call["output_messages"] for call in found)
    tool_calls = 0
    for call in found:
        asked, answered = json.loads(call["input_messages"]), json.loads(call["output_messages"])
        assert asked[0]["parts"]
        (message,) = answered
        assert message["role"] == "assistant"
        tool_calls += sum(
            (part["type"], part.get("name"), part.get("arguments"))
            == ("tool_call", "get_weather", {"city": "Paris"})
            for part in message["parts"]
        )
    assert tool_calls == (2 if expected(file)[-1] == CHAT[-1] else 1)


@pytest.mark.parametrize("file", [f for f in FILES if f.stem.endswith("chat")], ids=lambda file: file.stem)
def test_a_picture_is_a_part_of_its_message(calls: Any, file: Path) -> None:
    (shown,) = (call for call in calls(file) if call["input_tokens"] == 81)
    text, picture = json.loads(shown["input_messages"])[-1]["parts"]
    assert text["content"] == "What is this?"
    assert (picture["modality"], picture["uri"]) == ("image", "https://example.com/x.png")


@pytest.mark.parametrize(
    "file", [f for f in FILES if "agent" in f.stem or "pydantic" in f.stem], ids=lambda file: file.stem
)
def test_an_agents_calls_are_its_own_step_by_step(calls: Any, file: Path) -> None:
    """OpenLIT calls each of LangGraph's nodes an agent, and each of its runs."""
    asked, answered = calls(file)[-2:]
    found = [(call["agent_name"], call["agent_step"]) for call in (asked, answered)]
    assert found == ([("model", 0)] * 2 if file.stem == "openlit-agent" else [("guide", 0), ("guide", 2)])


ANTHROPICS = {"cache_read": 64, "cache_write_5m": 6, "cache_write_1h": 4, "output": 20}
GEMINIS = {"cache_read": 64, "reasoning": 8, "output": 28}
"""What an endpoint answered in their APIs to a question, to a tool's answer and, where told, to streams."""
PROVIDERS = {
    "logfire-anthropic": [ANTHROPICS | {"input": tokens} for tokens in (101, 102, 103, 104)],
    "openinference-gemini": [GEMINIS | {"input": tokens} for tokens in (101, 102, 103)],
    "openllmetry-gemini": [GEMINIS | {"input": tokens} for tokens in (101, 102, 103)],
    "traceai-anthropic": [ANTHROPICS | {"input": 101}],
}
"""Its instrumentor fails on a tool's answer. A call that failed used nothing."""


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_other_providers_count_apart_is_in_its_bucket(open_database: Any, name: str) -> None:
    database = open_database()
    database.insert((Path(__file__).parent / "corpora" / "providers" / f"{name}.binpb").read_bytes())
    database.store.settle(0)
    calls = database.rows("SELECT * FROM llm_calls ORDER BY start_time")
    used = [call for call in calls if call["status_code"] != "ERROR"]
    found = [{bucket: call[f"{bucket}_tokens"] for bucket in PROVIDERS[name][0]} for call in used]
    assert found == PROVIDERS[name]
    assert {call["cost_status"] for call in used} == {"priced"}
    assert [call["error_type"] for call in calls[len(used) :]] in (
        [], ["InternalServerError"], ["ServerError"]
    )  # fmt: skip
    assert calls[0]["prompt_version"] == "text-22f3e54e5e64"
    assert calls[0]["tools_version"] == "tools-6e19ca59faa6"
    said = database.rows("SELECT input_messages FROM spans WHERE input_messages LIKE '%Sunny%'")
    for row in said:
        (part,) = json.loads(row["input_messages"])[-1]["parts"]
        assert part["type"] == "tool_call_response"


FAILED = {"error_type": "InternalServerError"}
FOUND: dict[str, list[dict[str, Any]]] = {
    # The outputs were hidden; a run that failed was said to be fine when it began.
    "langsmith-hidden": [
        {"input_tokens": 149, "cache_read_tokens": 0, "output_tokens": 12},
        {"input_tokens": 270, "cache_read_tokens": 128, "output_tokens": 22},
        {"input_tokens": 57, "cache_read_tokens": 0, "output_tokens": 31},
        FAILED,
        {"input_tokens": 139, "cache_read_tokens": 0, "output_tokens": 12},
        {"input_tokens": 244, "cache_read_tokens": 0, "output_tokens": 22},
    ],
    "langsmith-openllmetry-error": [{"error_type": "OpenAIAPIError", "prompt_version": "0c0ffee1234"}],
    "mlflow-responses-embeddings": [
        {"provider_name": "openai", "input_tokens": 116, "output_tokens": 285, "reasoning_tokens": 256},
        {"provider_name": "openai", "input_tokens": 4, "operation_name": "embeddings"},
    ],
    # Streams whose usage was not asked for, each told by a framework's span that ends where it begins, by a
    # client's, and by another library's in a tree of its own.
    "openinference-openllmetry-llamaindex": [
        {"input_tokens": None, "error_type": None},
        FAILED,
        {"input_tokens": None, "agent_step": 0},
        {"input_tokens": None, "agent_step": 2},
    ],
    "openlit_1_34-streams": [
        {"input_tokens": 149, "output_tokens": 12},
        {"input_tokens": 270, "output_tokens": 22},
        {"input_tokens": None, "output_tokens": None, "prompt_version": "text-b89194ab1b22"},
        {"input_tokens": None, "output_tokens": None, "prompt_version": "text-b89194ab1b22"},
    ],
}
"""What the endpoint answered, of programs of whose spans something was once taken wrongly."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_once_taken_wrongly_is_right(open_database: Any, name: str) -> None:
    database = open_database()
    database.insert((Path(__file__).parent / "corpora" / "found" / f"{name}.binpb").read_bytes())
    database.store.settle(0)
    calls = database.rows("SELECT * FROM llm_calls ORDER BY start_time")
    expected = FOUND[name]
    assert [{key: call[key] for key in one} for call, one in zip(calls, expected, strict=True)] == expected
    priced = {call["cost_status"] for call in calls if call["input_tokens"] is not None}
    assert priced <= {"priced"}
