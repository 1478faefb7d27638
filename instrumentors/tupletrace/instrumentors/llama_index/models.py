"""Which model is called and what it reported: from the model object and the provider's raw answer."""

import contextlib
import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from tupletrace.instrumentors.hosts import provider_of_url
from tupletrace.semconv import providers

_PROVIDERS: Final[Mapping[str, str]] = {
    **providers.ALIASES,
    "azure_inference": "azure.ai.inference",
    "openai_like": "openai",
    "openai_responses": "openai",
}
"""LlamaIndex's integration package -> the conventions' provider."""
_CLASS_NAMES: Final[Mapping[str, str]] = {
    re.sub(r"\W|_", "", name): _PROVIDERS.get(name, name)
    for name in (*_PROVIDERS, *providers.KNOWN, "huggingface", "ollama", "together", "vllm")
}
"""The letters of what a class calls itself, without what it is -> the conventions' provider."""
_MODEL_FIELDS: Final = ("model", "model_name", "model_id", "deployment_name")


def provider_name(model: Any) -> str:
    """Return the provider in the conventions' spelling; of a class of the user's own, its name."""
    provider = _package(model) or _named(model)
    if provider == "openai":
        return provider_of_url(getattr(model, "api_base", None)) or provider
    return provider or type(model).__name__


def _package(model: Any) -> str | None:
    for cls in type(model).__mro__:
        parts = cls.__module__.split(".")
        if parts[0] == "llama_index" and len(parts) > 2 and parts[1] in ("llms", "embeddings"):
            return _PROVIDERS.get(parts[2], parts[2])
        if parts[:2] == ["llama_index", "core"]:
            break
    return None


def _named(model: Any) -> str | None:
    """Return the provider that a class of LlamaIndex's protocol names: ``Anthropic_LLM``, ``openai_llm``."""
    with contextlib.suppress(Exception):
        letters = re.sub(r"\W|_", "", model.class_name().lower())
        return _CLASS_NAMES.get(re.sub(r"(llm|embeddings?|multimodal)+$", "", letters))
    return None


def request_model(model: Any, settings: Mapping[str, Any] | None = None) -> str | None:
    """Return the model that is asked for."""
    for name in _MODEL_FIELDS:
        value = (settings or {}).get(name) or getattr(model, name, None)
        if isinstance(value, str) and value and value != "unknown":
            return value
    with contextlib.suppress(Exception):
        value = model.metadata.model_name
        if isinstance(value, str) and value != "unknown":
            return value
    return None


def request_settings(model: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling settings of one call: the model object's, its extra ones, the call's own."""
    own = {name: getattr(model, name, None) for name in ("temperature", "top_p", "max_tokens", "seed")}
    extra = getattr(model, "additional_kwargs", None)
    settings = {**own, **kwargs, **(extra if isinstance(extra, Mapping) else {})}
    return {name: value for name, value in settings.items() if value is not None}


def field(holder: Any, name: str) -> Any:
    """Return a field of an answer, be it an object or a dictionary."""
    return holder.get(name) if is_mapping(type(holder)) else getattr(holder, name, None)


@functools.lru_cache(maxsize=256)
def is_mapping(kind: type) -> bool:
    """Say whether objects of a class are mappings, of every chunk: asking the object itself is slow."""
    return issubclass(kind, Mapping)
