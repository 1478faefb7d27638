"""Tokens as LangChain's ``usage_metadata`` reports them, whatever tier they are priced at."""

from collections.abc import Iterable, Mapping
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
_INPUT: Final = ("input_tokens", "prompt_tokens", "prompt_eval_count")
_OUTPUT: Final = ("output_tokens", "completion_tokens", "eval_count")
_USAGES: Final = ("usage_metadata", "token_usage", "usage", "token_count")
"""What integrations call the counts that they leave beside a text or message."""
_WORDS: Final = {"cached_tokens": "cache_read", "audio_tokens": "audio", "reasoning_tokens": "reasoning"}
_BESIDE: Final = {"cache_read_input_tokens": "cache_read", "cache_creation_input_tokens": "cache_creation"}
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


def usage_among(facts: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the usage that an answer tells of besides its message, as ``write_usage`` understands it."""
    for said in facts:
        for counts in (said, *(said[key] for key in _USAGES if isinstance(said.get(key), Mapping))):
            if any(isinstance(counts.get(word), (int, float)) for word in (*_INPUT, *_OUTPUT)):
                return _alike(counts)
    return None


def _alike(counts: Mapping[str, Any]) -> dict[str, Any]:
    asked, answered = _first(_INPUT, counts), _first(_OUTPUT, counts)
    cached = {word: counts[key] for key, word in _BESIDE.items() if isinstance(counts.get(key), int)}
    if asked is not None and "input_tokens" in counts:
        # Anthropic counts what it reads from its cache, or writes there, beside the rest.
        asked += sum(cached.values())
    read: Mapping[str, Any] = counts.get("input_token_details") or counts.get("prompt_tokens_details") or {}
    made = counts.get("output_token_details") or counts.get("completion_tokens_details") or {}
    return {
        "input_tokens": asked,
        "output_tokens": answered,
        "input_token_details": {_WORDS.get(key, key): count for key, count in (cached | dict(read)).items()},
        "output_token_details": {_WORDS.get(key, key): count for key, count in dict(made).items()},
    }


def _first(words: Iterable[str], counts: Mapping[str, Any]) -> int | None:
    count = next((found for word in words if (found := counts.get(word)) is not None), None)
    return int(count) if isinstance(count, (int, float)) else None


def _sums(details: Mapping[str, Any], attributes: Mapping[str, str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in details.items():
        if isinstance(count, int) and (attribute := attributes.get(key)) is not None:
            sums[attribute] = sums.get(attribute, 0) + count
    return sums
