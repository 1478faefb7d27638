"""Who is asked, in the conventions' words."""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tupletrace.instrumentors.hosts import provider_of_url

_PROVIDERS: Final[Mapping[str, str]] = {
    "amazon_bedrock": "aws.bedrock",
    "anthropic-bedrock": "aws.bedrock",
    "anthropic-mantle": "aws.bedrock",
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_anthropic_vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "huggingface": "hugging_face",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "nvidia_ai_endpoints": "nvidia",
    "openai-codex": "openai",
    "openai-mantle": "aws.bedrock",
    "together": "together_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""LangChain's word, or the name of the integration's package -> the conventions'."""
_AFFIXES: Final = ("Chat", "LLM")
"""What LangChain leaves out of a class's name when it makes a provider of it."""
_ADDRESSES: Final = ("openai_api_base", "base_url")
_ENVIRONMENT: Final = ("OPENAI_API_BASE", "OPENAI_BASE_URL")


def of_model(named: Any, serialized: Mapping[str, Any]) -> str:
    """Return the provider of a chat model or LLM; behind OpenAI's API, the one at the address it is given.

    Where an integration names none LangChain says its class; then it is the one the integration is of.
    """
    path: Sequence[Any] = serialized.get("id") or ("unknown",)
    kind = str(serialized.get("name") or path[-1])
    found = _named(str(named or ""), kind, ".".join(map(str, path[:-1])))
    given: Mapping[str, Any] = serialized.get("kwargs") or {}
    return _behind_openai(given.get(key) for key in _ADDRESSES) if found == "openai" else found


@functools.lru_cache(maxsize=256)
def _named(named: str, kind: str, module: str) -> str:
    provider = named.lower() or kind
    if provider in {kind.replace(affix, "").lower() for affix in _AFFIXES}:
        provider = _of_module(module) or provider
    return _PROVIDERS.get(provider, provider)


def of_embeddings(embeddings: Any) -> str:
    """Return the provider of an embedding model; of a class of the user's own, its name."""
    for kind in type(embeddings).__mro__:
        if "Azure" in kind.__name__ and "OpenAI" in kind.__name__:
            return "azure.ai.openai"
        if kind.__module__.startswith(("langchain_core.", "langchain_classic.")):
            break
        if (word := _of_module(kind.__module__)) is not None:
            found = _PROVIDERS.get(word, word)
            if found != "openai":
                return found
            return _behind_openai(getattr(embeddings, key, None) for key in _ADDRESSES)
    return type(embeddings).__name__


def _of_module(module: str) -> str | None:
    """Return the word for the provider whose integration a module belongs to, if it is one."""
    package, _, rest = module.partition(".")
    if package == "langchain_community":
        return rest.rpartition(".")[2] or None
    word = package.removeprefix("langchain_")
    return None if word in (package, "core", "classic") else word


def _behind_openai(addresses: Iterable[Any]) -> str:
    # Where the integration is given none, it or the client asks the environment.
    for address in (*addresses, *map(os.environ.get, _ENVIRONMENT)):
        if isinstance(address, str) and address:
            return provider_of_url(address) or "openai"
    return "openai"
