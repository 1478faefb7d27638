"""Tokens as LangChain's ``usage_metadata`` reports them, whatever tier they are priced at."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.semconv import names

_TIERS: Final = ("", "flex_", "priority_")
_FROM_CACHE: Final[Mapping[str, Any]] = {"input_tokens": 0, "output_tokens": 0}


def write_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    """Set the counts that were reported; a reported 0 is a 0."""
    if usage.get("total_cost") == 0:
        # LangChain answers from its cache with the first answer's counts and this mark: nothing was used.
        usage = _FROM_CACHE
    invocation.input_tokens = usage.get("input_tokens")
    invocation.output_tokens = usage.get("output_tokens")
    read: Mapping[str, Any] = usage.get("input_token_details") or {}
    written: Mapping[str, Any] = usage.get("output_token_details") or {}
    # util-genai drops zeros, so these go where it does not look.
    counts = {
        names.CACHE_READ_INPUT_TOKENS: _tiered(read, "cache_read"),
        names.CACHE_WRITE_INPUT_TOKENS: _cache_write(read),
        names.AUDIO_INPUT_TOKENS: _tiered(read, "audio"),
        names.REASONING_OUTPUT_TOKENS: _tiered(written, "reasoning"),
        names.AUDIO_OUTPUT_TOKENS: _tiered(written, "audio"),
    }
    invocation.attributes.update({name: count for name, count in counts.items() if count is not None})


def write_token_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    """Set the counts of ``llm_output``, where the messages report none."""
    invocation.input_tokens = usage.get("prompt_tokens", usage.get("input_tokens"))
    invocation.output_tokens = usage.get("completion_tokens", usage.get("output_tokens"))


def _tiered(details: Mapping[str, Any], key: str) -> int | None:
    # OpenAI's priority and flex tiers prefix the key: `priority_cache_read`.
    counts = [details[tier + key] for tier in _TIERS if isinstance(details.get(tier + key), int)]
    return sum(counts) if counts else None


def _cache_write(details: Mapping[str, Any]) -> int | None:
    # With a split by time to live langchain-anthropic sets the total to 0 and counts in `ephemeral_*` alone.
    split = {key: count for key, count in details.items() if key.startswith("ephemeral_")}
    total = _tiered(details, "cache_creation")
    return max(total or 0, sum(count or 0 for count in split.values())) if split else total
