"""However a program comes by its client, it sees what it would see without us, and each call is one span."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tupletrace.instrumentors.openai import OpenAIInstrumentor

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Capital?"}]}
AZURE = {"azure_endpoint": "https://mine.openai.azure.com", "api_version": "2024-10-21"}


@pytest.fixture(autouse=True)
def module_client() -> Iterator[None]:
    """Leave no client behind in the module."""
    yield
    openai.api_key = openai.base_url = openai.http_client = None
    openai.api_type = "openai"
    openai._reset_client()


def answered(provider: Any, completion: dict[str, Any], **options: Any) -> Any:
    """Return an HTTP client whose server answers with a completion, streamed where that is asked for."""

    def answer(request: Any) -> Any:
        assert request.headers.get("authorization") == "Bearer token"
        return provider.http.Response(200, json=completion, headers={"x-request-id": "req_1"})

    async def answer_async(request: Any) -> Any:
        return answer(request)

    asynchronous = options.pop("asynchronous", False)
    transport = provider.http.MockTransport(answer_async if asynchronous else answer)
    return (provider.http.AsyncClient if asynchronous else provider.http.Client)(
        transport=transport, **options
    )


def of_the_module(provider: Any, completion: dict[str, Any]) -> Any:
    openai.api_key, openai.http_client = "token", answered(provider, completion)
    return openai.chat.completions.create(**CHAT)


def with_options(provider: Any, completion: dict[str, Any]) -> Any:
    client = openai.OpenAI(api_key="k", http_client=answered(provider, completion))
    return client.with_options(timeout=5).copy(api_key="token").chat.completions.create(**CHAT)


def azure_with_a_token(provider: Any, completion: dict[str, Any]) -> Any:
    client = openai.AzureOpenAI(
        **AZURE, azure_ad_token_provider=lambda: "token", http_client=answered(provider, completion)
    )
    return client.chat.completions.create(**CHAT)


def azure_with_a_token_to_wait_for(provider: Any, completion: dict[str, Any]) -> Any:
    async def token() -> str:
        await asyncio.sleep(0)
        return "token"

    client = openai.AsyncAzureOpenAI(
        **AZURE,
        azure_ad_token_provider=token,
        http_client=answered(provider, completion, asynchronous=True),
    )
    return asyncio.run(client.chat.completions.create(**CHAT))


def event_hooks(provider: Any, completion: dict[str, Any]) -> Any:
    told: list[Any] = []
    hooks = {
        "request": [lambda request: told.append((request.method, sorted(request.headers)))],
        "response": [lambda response: told.append((response.status_code, sorted(vars(response))))],
    }
    client = openai.OpenAI(api_key="token", http_client=answered(provider, completion, event_hooks=hooks))
    return client.chat.completions.create(**CHAT), told


def a_client_of_the_programs_own(provider: Any, completion: dict[str, Any]) -> Any:
    class Client(openai.OpenAI):
        __slots__ = ()

    return Client(api_key="token", http_client=answered(provider, completion)).chat.completions.create(**CHAT)


WAYS: list[Callable[[Any, Any], Any]] = [
    of_the_module,
    with_options,
    azure_with_a_token,
    azure_with_a_token_to_wait_for,
    event_hooks,
    a_client_of_the_programs_own,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a2_the_program_sees_the_same_however_it_comes_by_its_client(
    provider: Any, tracer_provider: Any, completion: dict[str, Any], facts: Any, way: Any
) -> None:
    before = way(provider, completion)
    openai._reset_client()

    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    try:
        assert repr(way(provider, completion)) == repr(before)
    finally:
        OpenAIInstrumentor().uninstrument()

    assert facts()["gen_ai.response.id"] == "chatcmpl-1"
    assert facts()["gen_ai.usage.input_tokens"] == 20
