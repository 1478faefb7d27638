"""What a span says in its events counts as if it stood among its attributes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

CALLED = {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "x"}}
ASKED = [
    {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    {"role": "assistant", "parts": [CALLED]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found"}]},
]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "Well."}], "finish_reason": "stop"}]
FUNCTION = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}
DETAILS = "gen_ai.client.inference.operation.details"
VENDORS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "conventions to v1.36": [
        ("gen_ai.system.message", {"content": "Be kind."}),
        ("gen_ai.user.message", {"content": "Hi", "role": "user"}),
        ("gen_ai.assistant.message", {"tool_calls": json.dumps([FUNCTION])}),
        ("gen_ai.tool.message", {"content": "found", "id": "c1"}),
        (
            "gen_ai.choice",
            {
                "index": 0,
                "finish_reason": "stop",
                "message": '{"role": "assistant", "content": "Well."}',
            },
        ),
    ],
    "strands": [
        ("gen_ai.system.message", {"content": '[{"text": "Be kind."}]'}),
        ("gen_ai.user.message", {"content": '[{"text": "Hi"}]'}),
        (
            "gen_ai.assistant.message",
            {"content": '[{"toolUse": {"toolUseId": "c1", "name": "search", "input": {"q": "x"}}}]'},
        ),
        (
            "gen_ai.tool.message",
            {
                "content": '[{"toolResult": {"toolUseId": "c1", "status": "success", '
                '"content": [{"text": "found"}]}}]'
            },
        ),
        ("gen_ai.choice", {"finish_reason": "stop", "message": '[{"text": "Well."}]'}),
    ],
    "conventions before v1.27": [
        (
            "gen_ai.content.prompt",
            {
                "gen_ai.prompt": json.dumps(
                    [
                        {"role": "system", "content": "Be kind."},
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": None, "tool_calls": [FUNCTION]},
                        {"role": "tool", "content": "found", "tool_call_id": "c1"},
                    ]
                )
            },
        ),
        (
            "gen_ai.content.completion",
            {"gen_ai.completion": '[{"role": "assistant", "content": "Well.", "finish_reason": "stop"}]'},
        ),
    ],
    "details": [
        (DETAILS, {"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.output.messages": ANSWERED}),
    ],
}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


@pytest.fixture
def stored(database: Any, otlp: Any) -> Callable[..., dict[str, Any]]:
    """Send one span with these events and return its row of ``spans``."""

    def send(
        events: list[tuple[str, dict[str, Any]]], attributes: dict[str, Any], **fields: Any
    ) -> dict[str, Any]:
        start = otlp.noon + database.row("SELECT count(*) AS n FROM spans")["n"]
        made = [
            Span.Event(name=name, time_unix_nano=i, attributes=otlp.key_values(said))
            for i, (name, said) in enumerate(events)
        ]
        database.insert(otlp.request(otlp.span(attributes=attributes, start=start, events=made, **fields)))
        return database.row(f"SELECT * FROM spans WHERE start_unix_nano = {start}")

    return send


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_messages_in_events_are_the_spans(stored: Any, vendor: str) -> None:
    row = stored(VENDORS[vendor], CHAT)
    assert json.loads(row["input_messages"]) == ASKED
    assert json.loads(row["output_messages"]) == ANSWERED
    assert row["prompt_version"].startswith("text-"), "what the system message says is the prompt"


def test_calls_and_answers_in_the_place_of_messages_are_calls_and_answers(stored: Any) -> None:
    """Monocle's of OpenAI's responses, and of a chat's history."""
    call = {"tool_function": "search", "tool_arguments": '{"q": "x"}'}
    told = [
        {"system": "Be kind."},
        {"user": "Hi"},
        call | {"call_id": "c1"},
        {"call_id": "c1", "output": "found"},
        {"assistant": [json.dumps(call)]},
    ]
    row = stored([("data.input", {"input": [json.dumps(one) for one in told]})], {"span.type": "inference"})
    nameless = [{"role": "assistant", "parts": [CALLED | {"id": None}]}]
    assert json.loads(row["input_messages"]) == ASKED + nameless


def test_the_finish_reason_of_a_choice_is_the_calls(stored: Any) -> None:
    row = stored(VENDORS["strands"], CHAT)
    assert json.loads(row["finish_reasons"]) == ["stop"]


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([{"exception.type": "ValueError"}, {"exception.type": "openai.RateLimitError"}], "RateLimitError"),
        ([{"exception.type": "Exception", "exception.message": "Timeout('after 3 s')"}], "Timeout"),
        ([{"exception.type": "Exception", "exception.message": "no more"}], "Exception"),
        ([{"exception.message": "no type"}], None),
    ],
)
def test_what_a_span_failed_with_is_its_last_exception(
    stored: Any, events: list[dict[str, str]], error: str | None
) -> None:
    """Without its module; one that was handled is none of the span's."""
    raised, failed = [("exception", said) for said in events], Status(code=Status.STATUS_CODE_ERROR)
    assert stored(raised, CHAT, status=failed)["error_type"] == error
    assert stored(raised, CHAT)["error_type"] is None
    assert stored(raised, CHAT | {"error.type": "429"}, status=failed)["error_type"] == "429"


def test_an_error_in_the_place_of_an_answer_is_no_answer(stored: Any) -> None:
    """A code is there of what succeeded, too: "completed"."""
    told = {"response": '{"assistant": "Error code: 500"}', "error_code": "boom"}
    failed = Status(code=Status.STATUS_CODE_ERROR)
    row = stored([("data.output", told)], {"span.type": "inference"}, status=failed)
    assert (row["error_type"], row["output_messages"]) == ("boom", None)
    row = stored([("data.output", told)], {"span.type": "inference"})
    assert row["error_type"] is None
    assert "Error code" in row["output_messages"]


def test_the_span_itself_is_believed_before_its_events(stored: Any) -> None:
    said = {"gen_ai.usage.input_tokens": 99, "gen_ai.usage.output_tokens": 5}
    own = {"gen_ai.usage.input_tokens": 10}
    row = stored([(DETAILS, said)], CHAT | own)
    assert (row["input_tokens"], row["output_tokens"]) == (10, 5)
    assert dict(row["attributes"]).keys() == (CHAT | own).keys(), "kept as they came"


@pytest.mark.parametrize("nonsense", ["", "{", "[", "null", "[1]", '{"role": 1}', "\0", "[" * 500])
def test_an_event_that_cannot_be_read_spoils_nothing(stored: Any, nonsense: str) -> None:
    events = [(name, dict.fromkeys(said, nonsense)) for events in VENDORS.values() for name, said in events]
    row = stored(events, CHAT | {"gen_ai.response.id": "r"})
    assert row["response_id"] == "r"
