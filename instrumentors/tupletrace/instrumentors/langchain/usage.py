"""Tokens as LangChain's ``usage_metadata`` reports them, whatever tier they are priced at."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.semconv import names

_TIERS: Final = ("", "flex_", "priority_")
"""OpenAI's priority and flex tiers prefix the word: ``priority_cache_read``."""


def _in_every_tier(words: Mapping[str, str]) -> dict[str, str]:
    return {tier + word: attribute for tier in _TIERS for word, attribute in words.items()}


_INPUT_DETAILS: Final = {
    **_in_every_tier(
        {
            "cache_read": names.CACHE_READ_INPUT_TOKENS,
            "audio": names.AUDIO_INPUT_TOKENS,
            "cache_creation": names.CACHE_WRITE_INPUT_TOKENS,
        }
    ),
    "ephemeral_5m_input_tokens": names.CACHE_WRITE_5M_INPUT_TOKENS,
    "ephemeral_1h_input_tokens": names.CACHE_WRITE_1H_INPUT_TOKENS,
}
_OUTPUT_DETAILS: Final = _in_every_tier(
    {"reasoning": names.REASONING_OUTPUT_TOKENS, "audio": names.AUDIO_OUTPUT_TOKENS}
)
_FROM_CACHE: Final[Mapping[str, Any]] = {"input_tokens": 0, "output_tokens": 0}


def write_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    """Set the counts that were reported; a reported 0 is a 0."""
    if usage.get("total_cost") == 0:
        # LangChain answers from its cache with the first answer's counts and this mark: nothing was used.
        usage = _FROM_CACHE
    invocation.input_tokens = usage.get("input_tokens")
    invocation.output_tokens = usage.get("output_tokens")
    # util-genai drops zeros, so these go where it does not look.
    if read := usage.get("input_token_details"):
        counts = _sums(read, _INPUT_DETAILS)
        # Split by time to live langchain-anthropic sets the total to 0 and counts in `ephemeral_*` alone.
        if split := [count or 0 for key, count in read.items() if key.startswith("ephemeral_")]:
            written = max(counts.get(names.CACHE_WRITE_INPUT_TOKENS, 0), sum(split))
            counts[names.CACHE_WRITE_INPUT_TOKENS] = written
        invocation.attributes.update(counts)
    if answered := usage.get("output_token_details"):
        invocation.attributes.update(_sums(answered, _OUTPUT_DETAILS))


def write_token_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    """Set the counts of ``llm_output``, where the messages report none."""
    invocation.input_tokens = usage.get("prompt_tokens", usage.get("input_tokens"))
    invocation.output_tokens = usage.get("completion_tokens", usage.get("output_tokens"))


def _sums(details: Mapping[str, Any], attributes: Mapping[str, str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in details.items():
        if isinstance(count, int) and (attribute := attributes.get(key)) is not None:
            sums[attribute] = sums.get(attribute, 0) + count
    return sums
