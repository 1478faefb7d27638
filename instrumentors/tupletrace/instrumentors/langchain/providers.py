"""Who is asked, in the conventions' words."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tupletrace.instrumentors.hosts import provider_of_url

_PROVIDERS: Final[Mapping[str, str]] = {
    "amazon_bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "together": "together_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""LangChain's word, or the name of the integration's package -> the conventions'."""
_ADDRESSES: Final = ("openai_api_base", "base_url")
_ENVIRONMENT: Final = ("OPENAI_API_BASE", "OPENAI_BASE_URL")


def of_model(named: Any, serialized: Mapping[str, Any]) -> str:
    """Return the provider of a chat model or LLM; behind OpenAI's API, the one at the address it is given."""
    provider = str(named or serialized.get("name") or "unknown")
    found = _PROVIDERS.get(provider, provider)
    given: Mapping[str, Any] = serialized.get("kwargs") or {}
    return _behind_openai(given.get(key) for key in _ADDRESSES) if found == "openai" else found


def of_embeddings(embeddings: Any) -> str:
    """Return the provider of an embedding model; of a class of the user's own, its name."""
    for kind in type(embeddings).__mro__:
        if "Azure" in kind.__name__ and "OpenAI" in kind.__name__:
            return "azure.ai.openai"
        package, _, rest = kind.__module__.partition(".")
        if package == "langchain_community":
            package = f"langchain_{rest.rpartition('.')[2]}"
        word = package.removeprefix("langchain_")
        if word in ("core", "classic"):
            break
        if word != package:
            found = _PROVIDERS.get(word, word)
            if found != "openai":
                return found
            return _behind_openai(getattr(embeddings, key, None) for key in _ADDRESSES)
    return type(embeddings).__name__


def _behind_openai(addresses: Iterable[Any]) -> str:
    # Where the integration is given none, it or the client asks the environment.
    for address in (*addresses, *map(os.environ.get, _ENVIRONMENT)):
        if isinstance(address, str) and address:
            return provider_of_url(address) or "openai"
    return "openai"
