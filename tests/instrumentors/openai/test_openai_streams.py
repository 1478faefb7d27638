"""A stream stays what it was, is read as lazily as before, and says what the whole answer would say."""

from typing import Any

import openai
import pytest
from opentelemetry import trace

CHAT: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "Capital?"}],
    "stream": True,
}
RESPONSE: dict[str, Any] = {"model": "gpt-5", "input": "Capital?", "stream": True}


def test_a_chat_stream_read_to_its_end_says_what_the_answer_would_have_said(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)

    chunks = program.read("chat.completions.create", **CHAT, stream_options={"include_usage": True})

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Paris."
    assert facts().pop("gen_ai.response.time_to_first_chunk") > 0
    assert {name: value for name, value in facts().items() if "time_to" not in name} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_a_response_stream_says_what_its_last_event_says(
    provider: Any, program: Any, response_events: list[Any], facts: Any
) -> None:
    provider.answers_stream(response_events)

    events = program.read("responses.create", **RESPONSE)

    assert events[-1].type == "response.completed"
    assert facts()["gen_ai.response.id"] == "resp_1"
    assert facts()["gen_ai.response.model"] == "gpt-5-2025-08-07"
    assert facts()["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts()["gen_ai.usage.input_tokens"] == 30
    assert facts()["gen_ai.usage.reasoning.output_tokens"] == 0
    assert facts()["openai.response.service_tier"] == "default"
    assert facts()["gen_ai.request.stream"] is True
    assert facts()["gen_ai.response.time_to_first_chunk"] > 0


def test_a_legacy_completion_stream_has_its_facts(provider: Any, program: Any, facts: Any) -> None:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "instruct-1"}
    provider.answers_stream(
        [
            head | {"choices": [{"index": 0, "text": "Par", "finish_reason": None, "logprobs": None}]},
            head | {"choices": [{"index": 0, "text": "is", "finish_reason": "length", "logprobs": None}]},
            "[DONE]",
        ]
    )

    program.read("completions.create", model="instruct", prompt="Capital?", stream=True)

    assert facts()["gen_ai.response.finish_reasons"] == ("length",)
    assert facts()["gen_ai.response.model"] == "instruct-1"


def test_usage_that_the_program_did_not_ask_for_stays_absent(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream([chunk for chunk in chat_chunks if "usage" not in chunk])

    program.read("chat.completions.create", **CHAT)

    assert "stream_options" not in provider.requests[0]
    assert [name for name in facts() if "usage" in name] == []


def test_usage_in_groq_s_own_field_is_found(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    chunks = [chunk for chunk in chat_chunks if "usage" not in chunk]
    chunks[-2]["x_groq"] = {"id": "req_1", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    provider.answers_stream(chunks)

    program.read("chat.completions.create", **CHAT)

    assert (facts()["gen_ai.usage.input_tokens"], facts()["gen_ai.usage.output_tokens"]) == (9, 2)


def test_azure_s_first_chunk_without_id_and_model_hides_neither(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    first = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": []}
    provider.answers_stream([first, *chat_chunks])

    program.read("chat.completions.create", **CHAT)

    assert facts()["gen_ai.response.id"] == "chatcmpl-1"
    assert facts()["gen_ai.response.model"] == "gpt-4.1-mini-2025-04-14"


def test_each_choice_of_a_stream_has_its_finish_reason(
    provider: Any, program: Any, chat_chunks: list[Any], facts: Any
) -> None:
    second = chat_chunks[3] | {"choices": [{"index": 1, "delta": {}, "finish_reason": "tool_calls"}]}
    provider.answers_stream([second, *chat_chunks])

    program.read("chat.completions.create", **CHAT, n=2)

    assert facts()["gen_ai.response.finish_reasons"] == ("stop", "tool_calls")


def test_the_stream_is_the_client_s_own_to_the_program(
    provider: Any, program: Any, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)

    stream = program.call("chat.completions.create", **CHAT)

    kind = openai.AsyncStream if program.asynchronous else openai.Stream
    assert isinstance(stream, kind)
    assert stream.__class__ is kind
    assert stream.response.status_code == 200


def test_nothing_is_read_before_the_program_reads(
    provider: Any, instrumented: None, chat_chunks: list[Any], spans: Any
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT)

    assert provider.sent == []
    next(stream)
    assert len(provider.sent) == 1
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("reads", [None, 2], ids=["read to the end", "left early"])
@pytest.mark.parametrize("loaded", [False, True], ids=["sent piece by piece", "there at once"])
def test_the_stream_helpers_are_one_span_with_the_stream_s_facts(
    provider: Any,
    program: Any,
    chat_chunks: list[Any],
    response_events: list[Any],
    spans: Any,
    reads: int | None,
    loaded: bool,
) -> None:
    answers = provider.answers_loaded_stream if loaded else provider.answers_stream
    answers(chat_chunks)
    answers(response_events)

    program.read_helper("chat.completions.stream", reads, model="gpt-4.1", messages=CHAT["messages"])
    program.read_helper("responses.stream", reads, model="gpt-5", input="Capital?")

    chat, answered = (span.attributes for span in spans.get_finished_spans())
    assert chat["gen_ai.response.id"] == "chatcmpl-1"
    assert answered["gen_ai.response.id"] == "resp_1"
    assert chat["gen_ai.request.stream"] is answered["gen_ai.request.stream"] is True
    assert ("gen_ai.usage.input_tokens" in answered) is (reads is None)
    assert not [name for name in chat if name.startswith("gen_ai.request.") and "omit" in str(chat[name])]


def test_a7_the_caller_s_context_is_its_own_before_while_and_after_streaming(
    provider: Any, instrumented: None, chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)
    before = trace.get_current_span()

    stream = provider.client().chat.completions.create(**CHAT)

    assert trace.get_current_span() is before
    assert all(trace.get_current_span() is before for _ in stream)
    assert trace.get_current_span() is before
