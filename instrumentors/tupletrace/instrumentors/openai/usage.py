"""Tokens as the provider reported them: a reported 0 stays 0, what was not reported stays absent."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.openai.fields import count, known
from tupletrace.semconv import names

_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_OF_INPUT: Final = {
    "cached_tokens": names.CACHE_READ_INPUT_TOKENS,
    "cache_write_tokens": names.CACHE_WRITE_INPUT_TOKENS,
    "cache_creation_tokens": names.CACHE_WRITE_INPUT_TOKENS,  # LiteLLM
    "audio_tokens": names.AUDIO_INPUT_TOKENS,
    "image_tokens": names.IMAGE_INPUT_TOKENS,
}
_OF_OUTPUT: Final = {
    "reasoning_tokens": names.REASONING_OUTPUT_TOKENS,
    "audio_tokens": names.AUDIO_OUTPUT_TOKENS,
    "image_tokens": names.IMAGE_OUTPUT_TOKENS,
}
_DETAILS: Final = {
    "input_tokens_details": _OF_INPUT,
    "prompt_tokens_details": _OF_INPUT,
    "input_token_details": _OF_INPUT,
    "prompt_token_details": _OF_INPUT,  # of an assistant's run
    "output_tokens_details": _OF_OUTPUT,
    "completion_tokens_details": _OF_OUTPUT,
    "output_token_details": _OF_OUTPUT,  # of a realtime response
}
_UNDETAILED: Final = {
    "prompt_cache_hit_tokens": names.CACHE_READ_INPUT_TOKENS,  # DeepSeek
    "cached_tokens": names.CACHE_READ_INPUT_TOKENS,  # Moonshot, Together
    "cache_read_input_tokens": names.CACHE_READ_INPUT_TOKENS,  # Anthropic's names, behind a gateway
    "cache_creation_input_tokens": names.CACHE_WRITE_INPUT_TOKENS,
    "reasoning_tokens": names.REASONING_OUTPUT_TOKENS,  # Perplexity
}


def set_usage(invocation: InferenceInvocation, usage: Any) -> None:
    """Set the tokens of a chat completion, a response or a legacy completion."""
    if usage is None:
        return
    said = known(usage)
    invocation.input_tokens = _first(said, _INPUT)
    invocation.output_tokens = _first(said, _OUTPUT)
    # Attributes, not the invocation's fields: those drop a reported zero.
    attributes = invocation.attributes
    for place in said:
        if (wanted := _DETAILS.get(place)) is not None and said[place] is not None:
            _set_details(attributes, known(said[place]), wanted)
    _set_details(attributes, said, _UNDETAILED)


def _set_details(attributes: dict[str, Any], said: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    for name in said:
        if (attribute := wanted.get(name)) is not None and (tokens := count(said[name])) is not None:
            attributes.setdefault(attribute, tokens)


def _first(said: Mapping[str, Any], wanted: tuple[str, ...]) -> int | None:
    for name in wanted:
        if (tokens := count(said.get(name))) is not None:
            return tokens
    return None
