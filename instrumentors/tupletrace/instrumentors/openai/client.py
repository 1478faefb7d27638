"""Who answers: provider and address, from the client that makes the call."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_BY_HOST: Final[Mapping[str, str]] = {
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "openrouter.ai": "openrouter",
    "api.perplexity.ai": "perplexity",
    "api.together.ai": "together_ai",
    "api.together.xyz": "together_ai",
    "api.x.ai": "x_ai",
}
"""By host or its parent domain; names of the semantic conventions where they have one."""
_BY_RUNTIME: Final[Mapping[str, str]] = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}
"""By the name of ``OpenAI(provider=...)`` of openai 3."""


@dataclass(frozen=True, slots=True)
class Server:
    """The provider of a client and where it listens."""

    provider: str
    address: str | None = None
    port: int | None = None


def server_of(resource: Any) -> Server:
    """Return the server behind ``client.chat.completions``, ``client.responses`` and the like."""
    client = getattr(resource, "_client", None)
    runtime = getattr(getattr(client, "_provider_runtime", None), "name", None)
    azure = any(base.__name__ == "BaseAzureClient" for base in type(client).__mro__)
    return _server(getattr(client, "base_url", None), runtime, azure)


@lru_cache(maxsize=256)
def _server(url: Any, runtime: str | None, azure: bool) -> Server:
    host = getattr(url, "host", None) or None
    port = getattr(url, "port", None) or {"https": 443, "http": 80}.get(getattr(url, "scheme", ""))
    if runtime:
        provider = _BY_RUNTIME.get(runtime, runtime)
    else:
        provider = "azure.ai.openai" if azure else _provider(host or "")
    return Server(provider, host, port if host else None)


def _provider(host: str) -> str:
    if host.startswith("bedrock-") and host.endswith(".amazonaws.com"):
        return "aws.bedrock"
    host = host.lower()
    # A gateway or a server of one's own (vLLM, Ollama, LiteLLM) speaks OpenAI; it is not named by its host.
    return next(
        (provider for known, provider in _BY_HOST.items() if f".{host}".endswith((f".{known}", f"-{known}"))),
        "openai",
    )
