"""Below a framework's own inference span the client adds its facts to that span and makes none."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.identity import Prompt

MESSAGES = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Capital?"}]
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": MESSAGES, "tools": TOOLS}


@pytest.fixture
def outer(tracer_provider: TracerProvider, instrumented: None) -> Iterator[Any]:
    """The span of a framework's chat model, which the test ends."""
    invocation = TelemetryHandler(tracer_provider=tracer_provider).inference(
        "openai", request_model="gpt-4.1-mini"
    )
    yield invocation
    invocation.stop()


def check_merged(facts: dict[str, Any]) -> None:
    assert facts["gen_ai.response.id"] == "chatcmpl-1"
    assert facts["gen_ai.response.model"] == "gpt-4.1-mini-2025-04-14"
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts["openai.response.system_fingerprint"] == "fp_44"
    assert facts["openai.response.service_tier"] == "default"
    assert facts["gen_ai.usage.input_tokens"] == 20
    assert "gen_ai.usage.cache_read.input_tokens" in facts
    assert facts["tupletrace.tools.names"] == ("find",)
    assert facts["gen_ai.prompt.version"].startswith("text-")
    assert facts["server.address"] == "api.openai.com"


def test_a_call_is_merged_into_the_outer_span(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    provider.client().chat.completions.create(**CHAT)
    outer.stop()

    check_merged(facts())


def test_an_async_call_is_merged_into_the_outer_span(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    asyncio.run(provider.async_client().chat.completions.create(**CHAT))
    outer.stop()

    check_merged(facts())


def test_a_raw_call_is_merged_into_the_outer_span(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)

    provider.client().chat.completions.with_raw_response.create(**CHAT).parse()
    outer.stop()

    check_merged(facts())


def test_a_stream_is_merged_when_it_ends_though_the_outer_span_is_no_longer_current(
    provider: Any, outer: Any, chat_chunks: list[Any], facts: Any
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT, stream=True)
    outer.suspend()
    list(stream)
    outer.stop()

    check_merged(facts())
    assert facts()["gen_ai.request.stream"] is True
    assert facts()["gen_ai.response.time_to_first_chunk"] > 0


def test_a_stream_that_outlives_the_outer_span_harms_nothing(
    provider: Any, outer: Any, chat_chunks: list[Any], span: Any
) -> None:
    provider.answers_stream(chat_chunks)

    stream = provider.client().chat.completions.create(**CHAT, stream=True)
    outer.stop()

    assert len(list(stream)) == 5
    assert span().name == "chat gpt-4.1-mini"


def test_the_outer_span_s_own_facts_and_prompt_win(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)
    outer.response_id = "run-7"
    Prompt("hub/support", "c0ffee", "declared").write(outer.attributes)

    provider.client().chat.completions.create(**CHAT)
    outer.stop()

    assert facts()["gen_ai.response.id"] == "run-7"
    assert facts()["gen_ai.prompt.name"] == "hub/support"
    assert facts()["gen_ai.prompt.version"] == "c0ffee"
    assert facts()["tupletrace.prompt.provenance"] == "declared"


def test_a_failed_try_leaves_no_error_on_an_outer_span_that_succeeds(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json({"error": {"message": "busy"}}, status=429)
    provider.answers_json(completion)
    client = provider.client()

    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**CHAT)
    client.chat.completions.create(**CHAT)
    outer.stop()

    check_merged(facts())
    assert not {"error.type", "http.response.status_code"} & set(facts())


def test_the_last_try_s_tokens_are_the_outer_span_s_even_after_a_reported_zero(
    provider: Any, outer: Any, completion: dict[str, Any], facts: Any
) -> None:
    again = {**completion, "usage": completion["usage"] | {"prompt_tokens_details": {"cached_tokens": 16}}}
    provider.answers_json(completion)
    provider.answers_json(again)

    client = provider.client()
    client.chat.completions.create(**CHAT)
    client.chat.completions.create(**CHAT)
    outer.stop()

    assert facts()["gen_ai.usage.cache_read.input_tokens"] == 16


def test_the_caller_s_context_is_the_outer_span_s_again_after_each_call(
    provider: Any, outer: Any, completion: dict[str, Any], chat_chunks: list[Any]
) -> None:
    from opentelemetry import trace

    provider.answers_json(completion)
    provider.answers_stream(chat_chunks)
    client = provider.client()

    client.chat.completions.create(**CHAT)
    assert trace.get_current_span() is outer.span
    stream = client.chat.completions.create(**CHAT, stream=True)
    assert trace.get_current_span() is outer.span
    list(stream)
    assert trace.get_current_span() is outer.span


def test_embeddings_are_merged_into_an_outer_embedding_span(
    provider: Any, tracer_provider: TracerProvider, instrumented: None, facts: Any
) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    provider.answers_json({"object": "list", "model": "small-2024", "data": data, "usage": usage})

    with TelemetryHandler(tracer_provider=tracer_provider).embedding("openai", request_model="small"):
        provider.client().embeddings.create(model="small", input="text")

    assert facts()["gen_ai.response.model"] == "small-2024"
    assert facts()["gen_ai.usage.input_tokens"] == 4


def test_an_embedding_inside_an_inference_is_a_span_of_its_own(provider: Any, outer: Any, spans: Any) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    provider.answers_json({"object": "list", "model": "small", "data": data, "usage": {"prompt_tokens": 1}})

    provider.client().embeddings.create(model="small", input="text")
    outer.stop()

    embedding, inference = spans.get_finished_spans()
    assert embedding.name == "embeddings small"
    assert embedding.parent.span_id == inference.context.span_id
