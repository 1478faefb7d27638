"""Content is on the span when it is asked for, in the shape of the semantic conventions, and else nowhere."""

import json
from typing import Any

import pytest

CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"q": "Paris"}'}}
TOOL = {
    "type": "function",
    "function": {"name": "find", "description": "Finds.", "parameters": {"type": "object"}},
}

pytestmark = pytest.mark.usefixtures("capturing")


@pytest.fixture
def content(span: Any) -> Any:
    """Return the decoded content attribute of the only span."""
    return lambda name: json.loads(span().attributes[name])


def test_messages_of_a_chat_completion_have_roles_and_parts(
    provider: Any, program: Any, completion: dict[str, Any], content: Any
) -> None:
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    message = {
        "role": "assistant",
        "content": "Look.",
        "reasoning_content": "Hm.",
        "tool_calls": [CALL, custom],
    }
    completion["choices"][0] |= {"finish_reason": "tool_calls", "message": message}
    provider.answers_json(completion)

    program.call(
        "chat.completions.create",
        model="m",
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "A tower."},
        ],
        tools=[TOOL, {"type": "custom", "custom": {"name": "shell"}}],
    )

    call = {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"q": "Paris"}}
    assert [without_nulls(message) for message in content("gen_ai.input.messages")] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "What is this?"},
                {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "AAAA"},
                {"type": "file", "modality": "document", "file_id": "file_1"},
            ],
        },
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "A tower."}]},
    ]
    assert content("gen_ai.output.messages")[0]["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Look."},
        call,
        {"type": "tool_call", "id": "call_2", "name": "shell", "arguments": "ls"},
    ]
    assert content("gen_ai.tool.definitions") == [
        {"type": "function", "name": "find", "description": "Finds.", "parameters": {"type": "object"}},
        {"type": "custom", "name": "shell"},
    ]


def without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    parts = [{key: value for key, value in part.items() if value is not None} for part in message["parts"]]
    return {"role": message["role"], "parts": parts}


def test_items_of_a_response_have_roles_and_parts(
    provider: Any, program: Any, response: dict[str, Any], content: Any, span: Any
) -> None:
    response["output"][:0] = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    ]
    provider.answers_json(response)

    program.call(
        "responses.create",
        model="m",
        instructions="Be brief.",
        prompt={"id": "pmpt_1", "version": "1", "variables": {"city": "Paris"}},
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}]},
            {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"q": 1}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "A tower."},
        ],
        tools=[{"type": "web_search"}],
    )

    assert content("gen_ai.system_instructions") == [{"type": "text", "content": "Be brief."}]
    assert span().attributes["gen_ai.prompt.variable.city"] == "Paris"
    assert [without_nulls(message) for message in content("gen_ai.input.messages")] == [
        {"role": "user", "parts": [{"type": "text", "content": "What is this?"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"q": 1}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "A tower."}]},
    ]
    reasoning, search, text = content("gen_ai.output.messages")[0]["parts"]
    assert reasoning == {"type": "reasoning", "content": "Hm."}
    assert (search["type"], search["name"], search["id"]) == ("server_tool_call", "web_search", "ws_1")
    assert search["server_tool_call"]["action"] == {"type": "search"}
    assert text == {"type": "text", "content": "Paris."}
    assert content("gen_ai.tool.definitions") == [{"type": "web_search", "name": "web_search"}]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}},
            {"type": "uri", "modality": "video", "uri": "https://x.example/a.mp4"},
        ),
        (
            {"type": "audio_url", "audio_url": {"url": "data:audio/ogg;base64,AAAA"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/ogg", "content": "AAAA"},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "AAAA"},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.example/a.pdf"}},
            {"type": "uri", "modality": "document", "uri": "https://x.example/a.pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "AAAA"},
        ),
    ],
    ids=["video", "audio", "file in base64", "file at an address", "file in its address"],
)
def test_each_medium_is_a_part_of_its_modality(
    provider: Any, program: Any, completion: dict[str, Any], content: Any, item: Any, part: Any
) -> None:
    provider.answers_json(completion)

    program.call("chat.completions.create", model="m", messages=[{"role": "user", "content": [item]}])

    (message,) = content("gen_ai.input.messages")
    assert without_nulls(message)["parts"] == [part]


def test_what_a_tool_of_the_programs_answered_is_a_tools_message(
    provider: Any, program: Any, response: dict[str, Any], content: Any
) -> None:
    said = [{"outcome": {"type": "exit", "exit_code": 0}, "stdout": "a", "stderr": ""}]
    screen = {"type": "computer_screenshot", "image_url": "https://x.example/a.png"}
    provider.answers_json(response)

    program.call(
        "responses.create",
        model="m",
        input=[
            {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "call_1", "output": said},
            {"type": "computer_call_output", "call_id": "call_2", "output": screen},
        ],
    )

    call = {"type": "tool_call", "id": "call_1", "name": "shell", "arguments": {"commands": ["ls"]}}
    assert [without_nulls(message) for message in content("gen_ai.input.messages")] == [
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": said}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_2", "response": screen}]},
    ]


def test_a_streamed_answer_is_put_together(
    provider: Any, program: Any, chat_chunks: list[Any], content: Any
) -> None:
    def calls(call: dict[str, Any]) -> dict[str, Any]:
        delta = {"tool_calls": [{"index": 0} | call]}
        return chat_chunks[0] | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    function = {"name": "find", "arguments": ""}
    provider.answers_stream(
        [
            *chat_chunks[:3],
            calls({"id": "call_1", "type": "function", "function": function}),
            calls({"function": {"arguments": '{"q": '}}),
            calls({"function": {"arguments": '"Paris"}'}}),
            *chat_chunks[3:],
        ]
    )

    messages = [{"role": "user", "content": "?"}]
    program.read("chat.completions.create", model="m", messages=messages, stream=True)

    (answer,) = content("gen_ai.output.messages")
    assert answer["finish_reason"] == "stop"
    assert answer["parts"] == [
        {"type": "text", "content": "Paris."},
        {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"q": "Paris"}},
    ]


def test_a_response_stream_left_early_has_the_text_that_had_arrived(
    provider: Any, instrumented: None, response_events: list[Any], content: Any
) -> None:
    provider.answers_stream(response_events)

    with provider.client().responses.create(model="m", input="?", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break

    assert content("gen_ai.output.messages")[0]["parts"] == [{"type": "text", "content": "Par"}]


def test_a_legacy_completion_has_its_prompt_and_its_text(provider: Any, program: Any, content: Any) -> None:
    choice = {"index": 0, "text": "Paris.", "finish_reason": "stop", "logprobs": None}
    provider.answers_json({"id": "c", "object": "text_completion", "model": "m", "choices": [choice]})

    program.call("completions.create", model="m", prompt=["Capital?"])

    assert content("gen_ai.input.messages")[0]["parts"] == [{"type": "text", "content": "Capital?"}]
    assert content("gen_ai.output.messages")[0]["parts"] == [{"type": "text", "content": "Paris."}]


def test_an_answer_of_the_client_s_own_types_can_be_sent_again(
    provider: Any, program: Any, completion: dict[str, Any], spans: Any
) -> None:
    message = completion["choices"][0]["message"]
    message |= {"content": None, "tool_calls": [CALL]}
    provider.answers_json(completion)
    messages: list[Any] = [{"role": "user", "content": "?"}]

    answer = program.call("chat.completions.create", model="m", messages=messages)
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": "call_1", "content": "A."}]
    program.call("chat.completions.create", model="m", messages=messages)

    sent = json.loads(spans.get_finished_spans()[1].attributes["gen_ai.input.messages"])
    assert [part["type"] for part in sent[1]["parts"]] == ["tool_call"]


def test_an_error_s_text_is_content(provider: Any, program: Any, span: Any) -> None:
    provider.answers_json({"error": {"message": "too long: ..."}}, status=400)

    with pytest.raises(Exception, match="too long"):
        program.call("responses.create", model="m", input="?")

    assert "too long" in span().status.description
