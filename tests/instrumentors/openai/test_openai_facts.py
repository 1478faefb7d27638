"""The facts on the span of a call that is not streamed."""

from typing import Any

import openai
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "Capital of France?"}]


def test_a_chat_completion_is_one_client_span_with_every_fact(
    provider: Any, program: Any, completion: dict[str, Any], span: Any
) -> None:
    provider.answers_json(completion)

    program.call("chat.completions.create", model="gpt-4.1-mini", messages=QUESTION)

    assert span().name == "chat gpt-4.1-mini"
    assert span().kind is SpanKind.CLIENT
    assert span().status.status_code is StatusCode.UNSET
    assert dict(span().attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.audio.input_tokens": 0,
        "gen_ai.usage.audio.output_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_a_response_is_one_client_span_with_every_fact(
    provider: Any, program: Any, response: dict[str, Any], span: Any
) -> None:
    provider.answers_json(response)

    program.call(
        "responses.create",
        model="gpt-5",
        input="Capital of France?",
        max_output_tokens=100,
        conversation={"id": "conv_7"},
        previous_response_id="resp_0",
        reasoning={"effort": "low"},
        service_tier="flex",
        text={"format": {"type": "text"}},
    )

    assert span().name == "chat gpt-5"
    assert dict(span().attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.previous_response.id": "resp_0",
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": "conv_7",
        "gen_ai.response.model": "gpt-5-2025-08-07",
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.cache_write.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "openai.api.type": "responses",
        "openai.request.service_tier": "flex",
        "openai.response.service_tier": "default",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_embeddings_are_one_span_without_what_was_embedded(provider: Any, program: Any, span: Any) -> None:
    provider.answers_json(
        {
            "object": "list",
            "model": "text-embedding-3-small",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        }
    )

    program.call(
        "embeddings.create", model="text-embedding-3-small", input="a secret", encoding_format="float"
    )

    assert span().name == "embeddings text-embedding-3-small"
    assert dict(span().attributes) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.request.encoding_formats": ("float",),
        "gen_ai.embeddings.dimension.count": 3,
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 4,
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_a_legacy_completion_is_one_text_completion_span(provider: Any, program: Any, span: Any) -> None:
    provider.answers_json(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": "gpt-3.5-turbo-instruct:20230824-v2",
            "choices": [{"index": 0, "text": "Paris.", "finish_reason": "length", "logprobs": None}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }
    )

    program.call("completions.create", model="gpt-3.5-turbo-instruct", prompt="Capital?", max_tokens=2)

    assert span().name == "text_completion gpt-3.5-turbo-instruct"
    assert span().attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert span().attributes["gen_ai.usage.input_tokens"] == 5
    assert span().attributes["gen_ai.request.max_tokens"] == 2
    assert "openai.api.type" not in span().attributes


def test_request_parameters_are_those_that_were_sent(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    program.call(
        "chat.completions.create",
        model="gpt-4.1",
        messages=QUESTION,
        temperature=0,
        top_p=0.9,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        max_completion_tokens=64,
        stop="END",
        seed=7,
        n=2,
        reasoning_effort="high",
        response_format={"type": "json_object"},
        service_tier="auto",
        extra_body={"top_k": 40},
    )

    sent = {name: value for name, value in facts().items() if "request" in name or "output.type" in name}
    assert sent == {
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": -0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.output.type": "json",
    }


def test_what_was_not_given_is_not_on_the_span(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    program.call(
        "chat.completions.create",
        model="gpt-4.1",
        messages=QUESTION,
        temperature=openai.NOT_GIVEN,
        top_p=None,
        seed=openai.NOT_GIVEN,
        n=1,
        stream=False,
        stop=openai.NOT_GIVEN,
        tools=openai.NOT_GIVEN,
        service_tier=openai.NOT_GIVEN,
        response_format=openai.NOT_GIVEN,
    )

    assert [name for name in facts() if "request" in name] == ["gen_ai.request.model"]


def test_tokens_that_were_not_reported_are_absent(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any
) -> None:
    del completion["usage"]
    provider.answers_json(completion)

    program.call("chat.completions.create", model="gpt-4.1", messages=QUESTION)

    assert [name for name in facts() if "usage" in name] == []


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, 64),
        ({"cached_tokens": 32}, 32),
        ({"prompt_tokens_details": None}, None),
    ],
    ids=["deepseek", "moonshot", "null"],
)
def test_cached_tokens_are_read_where_each_provider_puts_them(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any, usage: dict[str, Any], cached: Any
) -> None:
    completion["usage"] = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101} | usage
    provider.answers_json(completion)

    program.call("chat.completions.create", model="m", messages=QUESTION)

    assert facts().get("gen_ai.usage.cache_read.input_tokens") == cached


def test_finish_reasons_are_those_of_the_server(
    provider: Any, program: Any, completion: dict[str, Any], response: dict[str, Any], spans: Any
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    completion["choices"] = [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        },
        {"index": 1, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}},
    ]
    response["output"].append(
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    )
    provider.answers_json(completion)
    provider.answers_json(response)

    program.call("chat.completions.create", model="m", messages=QUESTION)
    program.call("responses.create", model="m", input="Capital of France?")

    chat, answered = (span.attributes for span in spans.get_finished_spans())
    assert chat["gen_ai.response.finish_reasons"] == ("tool_calls", "content_filter")
    assert answered["gen_ai.response.finish_reasons"] == ("tool_calls",)


def test_an_incomplete_response_says_what_cut_it_short(
    provider: Any, program: Any, response: dict[str, Any], span: Any
) -> None:
    response |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    provider.answers_json(response)

    program.call("responses.create", model="m", input="Capital of France?")

    assert span().attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert span().status.status_code is StatusCode.UNSET


class Answer(BaseModel):
    """What `parse` is to make of the answer."""

    city: str


def test_parse_is_one_span_and_gives_the_program_its_model(
    provider: Any,
    program: Any,
    completion: dict[str, Any],
    response: dict[str, Any],
    spans: Any,
) -> None:
    completion["choices"][0]["message"]["content"] = '{"city": "Paris"}'
    response["output"][0]["content"][0]["text"] = '{"city": "Paris"}'
    provider.answers_json(completion)
    provider.answers_json(response)

    chat = program.call("chat.completions.parse", model="m", messages=QUESTION, response_format=Answer)
    answered = program.call("responses.parse", model="m", input="Capital?", text_format=Answer)

    assert chat.choices[0].message.parsed == answered.output_parsed == Answer(city="Paris")
    assert [span.attributes["gen_ai.output.type"] for span in spans.get_finished_spans()] == ["json", "json"]
    assert [span.attributes["gen_ai.response.id"] for span in spans.get_finished_spans()] == [
        "chatcmpl-1",
        "resp_1",
    ]


def test_a_call_hangs_below_the_span_that_is_current(
    provider: Any, program: Any, completion: dict[str, Any], tracer_provider: Any, spans: Any
) -> None:
    provider.answers_json(completion)

    with tracer_provider.get_tracer("app").start_as_current_span("handle request") as outer:
        program.call("chat.completions.create", model="m", messages=QUESTION)

    assert spans.get_finished_spans()[0].parent.span_id == outer.get_span_context().span_id


def test_the_beta_class_of_responses_is_seen_too(
    provider: Any, program: Any, response: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(response)

    program.call("beta.responses.create", model="gpt-5", input="Capital of France?")

    assert facts()["openai.api.type"] == "responses"
    assert facts()["gen_ai.response.id"] == "resp_1"
