"""With content off, not a word of prompt or answer leaves the process."""

import contextlib
from typing import Any

import pytest

CANARY = "kanarienvogel"
TOOL = {
    "type": "function",
    "function": {"name": "find", "description": CANARY, "parameters": {"description": CANARY}},
}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": role, "content": CANARY} for role in ("system", "developer", "user", "assistant")],
    "tools": [TOOL],
    "user": CANARY,
    "metadata": {"note": CANARY},
    "response_format": {"type": "json_schema", "json_schema": {"name": CANARY, "schema": {"type": "object"}}},
}
RESPONSE: dict[str, Any] = {
    "model": "m",
    "input": CANARY,
    "instructions": CANARY,
    "prompt": {"id": "pmpt_1", "version": "1", "variables": {"city": CANARY}},
    "tools": [{"type": "function"} | TOOL["function"]],
}


@pytest.fixture
def silent(spans: Any) -> Any:
    """Check that no span says the word."""

    def check() -> None:
        assert spans.get_finished_spans()
        assert not [span for span in spans.get_finished_spans() if CANARY in span.to_json()]

    return check


@pytest.mark.parametrize("streamed", [False, True])
def test_a18_chat_completions_say_nothing(
    provider: Any,
    program: Any,
    completion: dict[str, Any],
    chat_chunks: list[Any],
    silent: Any,
    streamed: bool,
) -> None:
    completion["choices"][0]["message"]["content"] = CANARY
    chat_chunks[1]["choices"][0]["delta"]["content"] = CANARY
    if streamed:
        provider.answers_stream(chat_chunks)
        program.read("chat.completions.create", **CHAT, stream=True)
    else:
        provider.answers_json(completion)
        program.call("chat.completions.create", **CHAT)

    silent()


def test_a18_responses_say_nothing(
    provider: Any, program: Any, response: dict[str, Any], silent: Any
) -> None:
    response["output"][0]["content"][0]["text"] = CANARY
    provider.answers_json(response)

    program.call("responses.create", **RESPONSE)

    silent()


def test_a18_errors_say_nothing(provider: Any, program: Any, silent: Any) -> None:
    provider.answers_json({"error": {"message": CANARY, "code": "c", "param": CANARY}}, status=400)

    for method, kwargs in (
        ("chat.completions.create", CHAT),
        ("responses.create", RESPONSE),
        ("completions.create", {"model": "m", "prompt": CANARY}),
        ("embeddings.create", {"model": "m", "input": CANARY}),
    ):
        with contextlib.suppress(Exception):
            program.call(method, **kwargs)

    silent()
