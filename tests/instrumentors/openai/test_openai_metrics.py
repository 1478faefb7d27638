"""The metrics of the semantic conventions, with the facts of the span."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "?"}]}


@pytest.fixture
def points(tracer_provider: TracerProvider) -> Iterator[Any]:
    """Return the points of one metric."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=provider)

    def read(name: str) -> list[Any]:
        resources = reader.get_metrics_data().resource_metrics
        metrics = [
            metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics
        ]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    yield read
    OpenAIInstrumentor().uninstrument()


def test_a_call_counts_its_tokens_and_its_duration(
    provider: Any, points: Any, completion: dict[str, Any]
) -> None:
    provider.answers_json(completion)

    provider.client().chat.completions.create(**CHAT)

    tokens = {p.attributes["gen_ai.token.type"]: p.sum for p in points("gen_ai.client.token.usage")}
    assert tokens == {"input": 20, "output": 7}


def test_a_duration_says_who_answered(provider: Any, points: Any, completion: dict[str, Any]) -> None:
    provider.answers_json(completion)

    provider.client().chat.completions.create(**CHAT)

    (duration,) = points("gen_ai.client.operation.duration")
    assert duration.count == 1
    assert duration.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_a_stream_s_first_chunk_is_timed_once(provider: Any, points: Any, chat_chunks: list[Any]) -> None:
    provider.answers_stream(chat_chunks)

    list(provider.client().chat.completions.create(**CHAT, stream=True))

    (first,) = points("gen_ai.client.operation.time_to_first_chunk")
    assert first.count == 1
    assert first.attributes["gen_ai.response.model"] == "gpt-4.1-mini-2025-04-14"


def test_the_buckets_are_those_of_the_conventions(
    provider: Any, points: Any, completion: dict[str, Any], chat_chunks: list[Any]
) -> None:
    provider.answers_stream(chat_chunks)

    list(provider.client().chat.completions.create(**CHAT, stream=True))

    seconds = tuple(0.01 * 2**power for power in range(14))
    for name in ("operation.duration", "operation.time_to_first_chunk"):
        (point,) = points(f"gen_ai.client.{name}")
        assert point.explicit_bounds == pytest.approx(seconds)
    bounds = {point.explicit_bounds for point in points("gen_ai.client.token.usage")}
    assert bounds == {tuple(4**power for power in range(14))}


def test_tokens_that_nobody_reported_are_counted_nowhere(
    provider: Any, points: Any, completion: dict[str, Any]
) -> None:
    del completion["usage"]
    provider.answers_json(completion)

    provider.client().chat.completions.create(**CHAT)

    assert points("gen_ai.client.token.usage") == []


def test_the_duration_of_a_failed_call_says_the_error(provider: Any, points: Any) -> None:
    provider.answers_json({"error": {"message": "no"}}, status=429)

    with pytest.raises(openai.RateLimitError):
        provider.client().chat.completions.create(**CHAT)

    (duration,) = points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "openai.RateLimitError"
    assert duration.attributes["gen_ai.request.model"] == "gpt-4.1-mini"
