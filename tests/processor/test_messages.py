"""Messages of every dialect come out in the JSON of the semantic conventions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

CALLED = {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "x"}}
ASKED = [
    {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    {"role": "assistant", "parts": [CALLED]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found"}]},
]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "Well."}, CALLED]}]
FUNCTION = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}
OPENAI = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    {"role": "assistant", "content": None, "tool_calls": [FUNCTION]},
    {"role": "tool", "content": "found", "tool_call_id": "c1"},
]
ANSWER = {"role": "assistant", "content": "Well.", "tool_calls": [FUNCTION]}
VERCEL = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    {"role": "assistant",
     "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "search", "input": {"q": "x"}}]},
    {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "search",
                                  "output": {"type": "text", "value": "found"}}]},
]  # fmt: skip


def indexed(prefix: str, answer: str) -> dict[str, Any]:
    """OpenInference's keys, and traceAI's."""
    call = "message.tool_calls.0.tool_call"
    return {
        f"{prefix}.0.message.role": "system",
        f"{prefix}.0.message.content": "Be kind.",
        f"{prefix}.1.message.role": "user",
        f"{prefix}.1.message.contents.0.message_content.type": "text",
        f"{prefix}.1.message.contents.0.message_content.text": "Hi",
        f"{prefix}.2.message.role": "assistant",
        f"{prefix}.2.{call}.id": "c1",
        f"{prefix}.2.{call}.function.name": "search",
        f"{prefix}.2.{call}.function.arguments": '{"q": "x"}',
        f"{prefix}.3.message.role": "tool",
        f"{prefix}.3.message.content": "found",
        f"{prefix}.3.message.tool_call_id": "c1",
        f"{answer}.0.message.role": "assistant",
        f"{answer}.0.message.content": "Well.",
        f"{answer}.0.{call}.id": "c1",
        f"{answer}.0.{call}.function.name": "search",
        f"{answer}.0.{call}.function.arguments": '{"q": "x"}',
    }


DIALECTS: dict[str, dict[str, Any]] = {
    "openinference": {
        "openinference.span.kind": "LLM",
        **indexed("llm.input_messages", "llm.output_messages"),
    },
    "traceai": {"gen_ai.span.kind": "LLM", **indexed("gen_ai.input.messages", "gen_ai.output.messages")},
    "openllmetry": {
        "llm.request.type": "chat",
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be kind.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": '[{"type": "text", "text": "Hi"}]',
        "gen_ai.prompt.2.role": "assistant",
        "gen_ai.prompt.2.tool_calls.0.id": "c1",
        "gen_ai.prompt.2.tool_calls.0.name": "search",
        "gen_ai.prompt.2.tool_calls.0.arguments": '{"q": "x"}',
        "gen_ai.prompt.3.role": "tool",
        "gen_ai.prompt.3.content": "found",
        "gen_ai.prompt.3.tool_call_id": "c1",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Well.",
        "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.0.name": "search",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"q": "x"}',
    },
    "mlflow": {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": json.dumps({"messages": OPENAI}),
        "mlflow.spanOutputs": json.dumps({"choices": [{"message": ANSWER, "finish_reason": "stop"}]}),
    },
    "vercel": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.prompt.messages": json.dumps(VERCEL),
        "ai.response.text": "Well.",
        "ai.response.toolCalls": json.dumps(
            [{"toolCallId": "c1", "toolName": "search", "input": '{"q": "x"}'}]
        ),
        "ai.response.finishReason": "stop",
    },
    "langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.input": json.dumps(OPENAI),
        "langfuse.observation.output": json.dumps(ANSWER),
    },
    "langsmith": {
        "langsmith.span.kind": "llm",
        "gen_ai.prompt": json.dumps({"messages": OPENAI}),
        "gen_ai.completion": json.dumps({"choices": [{"message": ANSWER}]}),
    },
    "logfire": {
        "logfire.msg": "chat",
        "gen_ai.operation.name": "chat",
        "request_data": json.dumps({"messages": OPENAI}),
        "response_data": json.dumps({"message": ANSWER}),
    },
}
FINISHED = {"openllmetry", "mlflow", "vercel"}


@pytest.fixture(scope="module")
def database(open_database: Callable[..., Any]) -> Any:
    return open_database()


@pytest.fixture
def said(database: Any, otlp: Any) -> Callable[..., tuple[Any, Any]]:
    """Send one span and return its messages."""

    def send(attributes: dict[str, Any]) -> tuple[Any, Any]:
        start = otlp.noon + database.row("SELECT count(*) AS n FROM spans")["n"]
        database.insert(otlp.request(otlp.span(attributes=attributes, start=start)))
        row = database.row(f"SELECT * FROM spans WHERE start_unix_nano = {start}")
        both = (row["input_messages"], row["output_messages"])
        return tuple(None if one is None else json.loads(one) for one in both)  # pyright: ignore[reportReturnType]

    return send


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_conversation_is_the_same_in_every_dialect(said: Any, dialect: str) -> None:
    finish = {"finish_reason": "stop"} if dialect in FINISHED else {}
    assert said(DIALECTS[dialect]) == (ASKED, [ANSWERED[0] | finish])


def test_the_conventions_own_messages_stay_as_they_came(said: Any) -> None:
    own = {"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.output.messages": json.dumps(ANSWERED)}
    assert said({"gen_ai.operation.name": "chat"} | own) == (ASKED, ANSWERED)


def test_messages_are_in_order_beyond_ten_and_a_gap_is_no_message(said: Any) -> None:
    keys = {f"llm.input_messages.{i}.message.content": str(i) for i in (11, 2, 0, 10, 1)}
    (asked, answered) = said({"openinference.span.kind": "LLM"} | keys)
    assert [message["parts"][0]["content"] for message in asked] == ["0", "1", "2", "10", "11"]
    assert answered is None


def test_text_completions_are_messages(said: Any) -> None:
    keys = {"llm.prompts.0.prompt.text": "Once", "llm.choices.0.completion.text": "upon"}
    (asked, answered) = said({"openinference.span.kind": "LLM"} | keys)
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": "Once"}]}]
    assert answered == [{"role": "assistant", "parts": [{"type": "text", "content": "upon"}]}]


def test_what_is_no_text_is_a_part_of_its_kind(said: Any) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA=="}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    messages = [{"role": "user", "content": [audio, image]}]
    (asked, _) = said({"mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps({"messages": messages})})
    uri = {"type": "uri", "modality": "image", "uri": "https://example.com/x.png"}
    blob = {"type": "blob", "modality": "audio", "content": "AA=="}
    assert asked == [{"role": "user", "parts": [blob, uri]}]


USED = {"type": "tool_use", "id": "c1", "name": "search", "input": {"q": 1.5}}
ANTHROPIC = [
    {"role": "assistant", "content": [{"type": "text", "text": "So."}, USED]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": '{"n": [1]}'}]},
]
UNUSUAL = [
    {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "args": "no JSON: {"}, {"name": "g"}]},
    {"role": "tool", "content": ' {"a":  1}', "tool_call_id": "c1"},
    {"role": "human", "content": "[1] \u2028\n"},
]


@pytest.mark.parametrize(
    "messages", [OPENAI, VERCEL, ANTHROPIC, UNUSUAL], ids=["openai", "vercel", "blocks", "odd"]
)
def test_a_picture_changes_none_of_the_other_messages(said: Any, messages: list[dict[str, Any]]) -> None:
    """With it a conversation is read by the rules for all shapes, without it by those for common ones."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    picture = {"role": "user", "content": [image]}
    without, beside = (
        said({"langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(sent)})[0]
        for sent in (messages, [*messages, picture])
    )
    assert beside[:-1] == without
    assert len(without) == len(messages)


def test_an_answer_that_no_key_holds_is_read_from_the_output(said: Any) -> None:
    """traceAI's streams have no keys for it, and its keys of LangChain's answers no tool calls."""
    (_, answered) = said({"gen_ai.span.kind": "LLM", "output.value": "Well."})
    assert answered == [{"role": "assistant", "parts": [{"type": "text", "content": "Well."}]}]
    kwargs = {"type": "ai", "content": "", "tool_calls": [{"id": "c1", "name": "search", "args": {"q": "x"}}]}
    output = {"output.value": json.dumps({"generations": [[{"message": {"kwargs": kwargs}}]]})}
    role = {"gen_ai.output.messages.0.message.role": "assistant"}
    (_, answered) = said({"gen_ai.span.kind": "LLM"} | output | role)
    assert answered == [{"role": "assistant", "parts": [CALLED]}]
    told = {"gen_ai.output.messages.0.message.content": "In its key."}
    (_, answered) = said({"gen_ai.span.kind": "LLM"} | output | role | told)
    assert answered == [{"role": "assistant", "parts": [{"type": "text", "content": "In its key."}]}]


def test_what_gemini_thought_is_no_answer(said: Any) -> None:
    parts = [{"text": "Hm.", "thought": True}, {"text": "Well.", "function_call": None}]
    content = {"content": {"role": "model", "parts": parts}}
    attributes = {"gcp.vertex.agent.llm_response": json.dumps(content), "gen_ai.operation.name": "chat"}
    (_, (answered,)) = said(attributes)
    assert [part["type"] for part in answered["parts"]] == ["reasoning", "text"]


NONSENSE = ["", "x", "{", "[]", "[1]", "[[]]", "null", '{"a": 1}', '[{"role": 1}]', '[{"content": {"a": 1}}]',
            '[{"role": "user", "content": [1, null, "x", {}]}]',
            '[{"tool_calls": [1, null, {"function": 3}]}]',
            '"\\ud800"', '[{"content": "\\ud800"}]', "[" * 2000, "{'a': None}", "\0"]  # fmt: skip


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_what_cannot_be_read_spoils_neither_its_span_nor_its_neighbours(
    database: Any, otlp: Any, nonsense: str
) -> None:
    trace = 5_000 + NONSENSE.index(nonsense)
    spoilt = [
        {key: value if "kind" in key or "Type" in key or "type" in key or "msg" in key else nonsense
         for key, value in attributes.items()}
        for attributes in DIALECTS.values()
    ]  # fmt: skip
    spans = [
        otlp.span(trace, i, None, said) for i, said in enumerate([DIALECTS["openinference"], *spoilt], 1)
    ]
    database.insert(otlp.request(*spans))
    rows = database.rows("SELECT * FROM spans WHERE trace_id = ? ORDER BY span_id", [f"{trace:032x}"])
    assert len(rows) == len(spans)
    assert json.loads(rows[0]["input_messages"]) == ASKED
    assert all(json.loads(row["input_messages"] or "[]") is not None for row in rows)
