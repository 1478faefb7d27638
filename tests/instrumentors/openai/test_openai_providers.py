"""Who answers: the provider and its address."""

from typing import Any

import openai
import pytest

QUESTION = [{"role": "user", "content": "Capital of France?"}]


@pytest.mark.parametrize(
    ("base_url", "provider_name", "address", "port"),
    [
        ("https://api.openai.com/v1", "openai", "api.openai.com", 443),
        ("https://eu.api.openai.com/v1", "openai", "eu.api.openai.com", 443),
        ("https://api.groq.com/openai/v1", "groq", "api.groq.com", 443),
        ("https://openrouter.ai/api/v1", "openrouter", "openrouter.ai", 443),
        ("https://api.together.xyz/v1", "together_ai", "api.together.xyz", 443),
        ("https://api.deepseek.com", "deepseek", "api.deepseek.com", 443),
        ("https://api.x.ai/v1", "x_ai", "api.x.ai", 443),
        ("https://api.mistral.ai/v1", "mistral_ai", "api.mistral.ai", 443),
        ("https://api.perplexity.ai", "perplexity", "api.perplexity.ai", 443),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai", "mine.openai.azure.com", 443),
        (
            "https://us-central1-aiplatform.googleapis.com/v1",
            "gcp.vertex_ai",
            "us-central1-aiplatform.googleapis.com",
            443,
        ),
        (
            "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
            "aws.bedrock",
            "bedrock-runtime.us-west-2.amazonaws.com",
            443,
        ),
        (
            "https://bedrock-mantle.eu-west-1.api.aws/v1",
            "aws.bedrock",
            "bedrock-mantle.eu-west-1.api.aws",
            443,
        ),
        (
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            "dashscope",
            "dashscope-intl.aliyuncs.com",
            443,
        ),
        ("https://open.bigmodel.cn/api/paas/v4", "zhipuai", "open.bigmodel.cn", 443),
        (
            "https://api.cloudflare.com/client/v4/accounts/a/ai/v1",
            "cloudflare",
            "api.cloudflare.com",
            443,
        ),
        ("https://codestral.mistral.ai/v1", "mistral_ai", "codestral.mistral.ai", 443),
        ("https://m.endpoints.huggingface.cloud/v1", "hugging_face", "m.endpoints.huggingface.cloud", 443),
        ("https://gateway.ai.cloudflare.com/v1/a/g/compat", "openai", "gateway.ai.cloudflare.com", 443),
        ("http://localhost:11434/v1", "openai", "localhost", 11434),
        ("http://vllm.internal/v1", "openai", "vllm.internal", 80),
        ("https://myopenrouter.ai/v1", "openai", "myopenrouter.ai", 443),
    ],
)
def test_the_provider_is_known_by_the_host_that_is_called(
    provider: Any,
    instrumented: None,
    completion: dict[str, Any],
    facts: Any,
    base_url: str,
    provider_name: str,
    address: str,
    port: int,
) -> None:
    provider.answers_json(completion)

    client = provider.client(base_url="https://elsewhere.example/v1").with_options(base_url=base_url)
    client.chat.completions.create(model="m", messages=QUESTION)

    assert facts()["gen_ai.provider.name"] == provider_name
    assert (facts()["server.address"], facts()["server.port"]) == (address, port)


def test_an_azure_client_is_azure_whatever_its_host(
    provider: Any, instrumented: None, completion: dict[str, Any], facts: Any
) -> None:
    provider.answers_json(completion)
    plain = provider.client()

    client = openai.AzureOpenAI(
        api_key="k",
        api_version="2024-10-21",
        azure_endpoint="https://gate.example",
        http_client=plain._client,
    )
    client.chat.completions.create(model="my-deployment", messages=QUESTION)

    assert facts()["gen_ai.provider.name"] == "azure.ai.openai"
    assert facts()["server.address"] == "gate.example"
    assert facts()["gen_ai.request.model"] == "my-deployment"


def test_the_module_itself_calls_whom_it_is_told_to_call_now(
    provider: Any, instrumented: None, completion: dict[str, Any], spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.answers_json(completion)
    monkeypatch.setattr(openai, "api_key", "k")
    monkeypatch.setattr(openai, "http_client", provider.client()._client)
    openai._reset_client()
    for base_url in ("https://api.groq.com/openai/v1", "https://api.x.ai/v1"):
        monkeypatch.setattr(openai, "base_url", base_url)
        openai.chat.completions.create(model="m", messages=QUESTION)
    openai._reset_client()

    told = [span.attributes["gen_ai.provider.name"] for span in spans.get_finished_spans()]
    assert told == ["groq", "x_ai"]
