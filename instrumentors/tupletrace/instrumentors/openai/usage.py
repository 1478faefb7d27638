"""Tokens as the provider reported them: a reported 0 stays 0, what was not reported stays absent."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.openai.fields import count, known
from tupletrace.semconv import names

_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_INPUT_DETAILS: Final = ("input_tokens_details", "prompt_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = ("output_tokens_details", "completion_tokens_details")
_OF_INPUT: Final = (
    (names.CACHE_READ_INPUT_TOKENS, "cached_tokens"),
    (names.CACHE_WRITE_INPUT_TOKENS, "cache_write_tokens"),
    (names.CACHE_WRITE_INPUT_TOKENS, "cache_creation_tokens"),  # LiteLLM
    (names.AUDIO_INPUT_TOKENS, "audio_tokens"),
    (names.IMAGE_INPUT_TOKENS, "image_tokens"),
)
_OF_OUTPUT: Final = (
    (names.REASONING_OUTPUT_TOKENS, "reasoning_tokens"),
    (names.AUDIO_OUTPUT_TOKENS, "audio_tokens"),
    (names.IMAGE_OUTPUT_TOKENS, "image_tokens"),
)
_UNDETAILED: Final = (
    (names.CACHE_READ_INPUT_TOKENS, "prompt_cache_hit_tokens"),  # DeepSeek
    (names.CACHE_READ_INPUT_TOKENS, "cached_tokens"),  # Moonshot, Together
    (names.CACHE_READ_INPUT_TOKENS, "cache_read_input_tokens"),  # Anthropic's names, behind a gateway
    (names.CACHE_WRITE_INPUT_TOKENS, "cache_creation_input_tokens"),
    (names.REASONING_OUTPUT_TOKENS, "reasoning_tokens"),  # Perplexity
)


def set_usage(invocation: InferenceInvocation, usage: Any) -> None:
    """Set the tokens of a chat completion, a response or a legacy completion."""
    if usage is None:
        return
    said = known(usage)
    invocation.input_tokens = _first(said, _INPUT)
    invocation.output_tokens = _first(said, _OUTPUT)
    # Attributes, not the invocation's fields: those drop a reported zero.
    attributes = invocation.attributes
    _set_details(attributes, said, _INPUT_DETAILS, _OF_INPUT)
    _set_details(attributes, said, _OUTPUT_DETAILS, _OF_OUTPUT)
    for attribute, name in _UNDETAILED:
        if attribute not in attributes and (tokens := count(said.get(name))) is not None:
            attributes[attribute] = tokens


def _set_details(
    attributes: dict[str, Any],
    usage: Mapping[str, Any],
    places: tuple[str, ...],
    wanted: tuple[tuple[str, str], ...],
) -> None:
    for place in places:
        if usage.get(place) is None:
            continue
        details = known(usage[place])
        for attribute, name in wanted:
            if attribute not in attributes and (tokens := count(details.get(name))) is not None:
                attributes[attribute] = tokens


def _first(usage: Mapping[str, Any], fields: tuple[str, ...]) -> int | None:
    return next((found for name in fields if (found := count(usage.get(name))) is not None), None)
