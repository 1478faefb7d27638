"""Tokens as LangChain's ``usage_metadata`` reports them, whatever tier they are priced at."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.semconv import names

_TIERS: Final = ("", "flex_", "priority_")
"""OpenAI's priority and flex tiers prefix the word: ``priority_cache_read``."""


def _in_every_tier(word: str) -> tuple[str, ...]:
    return tuple(tier + word for tier in _TIERS)


_INPUT_DETAILS: Final = (
    (_in_every_tier("cache_read"), names.CACHE_READ_INPUT_TOKENS),
    (_in_every_tier("audio"), names.AUDIO_INPUT_TOKENS),
)
_OUTPUT_DETAILS: Final = (
    (_in_every_tier("reasoning"), names.REASONING_OUTPUT_TOKENS),
    (_in_every_tier("audio"), names.AUDIO_OUTPUT_TOKENS),
)
_LIFETIMES: Final = (
    (("ephemeral_5m_input_tokens",), names.CACHE_WRITE_5M_INPUT_TOKENS),
    (("ephemeral_1h_input_tokens",), names.CACHE_WRITE_1H_INPUT_TOKENS),
)
_CACHE_CREATION: Final = _in_every_tier("cache_creation")
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
        _write_details(invocation, read, _INPUT_DETAILS)
        written = _cache_write(read)
        if written is not None:
            invocation.attributes[names.CACHE_WRITE_INPUT_TOKENS] = written
            _write_details(invocation, read, _LIFETIMES)
    if answered := usage.get("output_token_details"):
        _write_details(invocation, answered, _OUTPUT_DETAILS)


def write_token_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    """Set the counts of ``llm_output``, where the messages report none."""
    invocation.input_tokens = usage.get("prompt_tokens", usage.get("input_tokens"))
    invocation.output_tokens = usage.get("completion_tokens", usage.get("output_tokens"))


def _write_details(
    invocation: InferenceInvocation,
    details: Mapping[str, Any],
    attributes: Iterable[tuple[tuple[str, ...], str]],
) -> None:
    for keys, attribute in attributes:
        count = _sum(details, keys)
        if count is not None:
            invocation.attributes[attribute] = count


def _sum(details: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    total: int | None = None
    for key in keys:
        count = details.get(key)
        if isinstance(count, int):
            total = count + (total or 0)
    return total


def _cache_write(details: Mapping[str, Any]) -> int | None:
    # With a split by time to live langchain-anthropic sets the total to 0 and counts in `ephemeral_*` alone.
    total = _sum(details, _CACHE_CREATION)
    split = [count or 0 for key, count in details.items() if key.startswith("ephemeral_")]
    return max(total or 0, sum(split)) if split else total
