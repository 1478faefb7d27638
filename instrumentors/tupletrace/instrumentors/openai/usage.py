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
    "cache_creation_input_tokens": names.CACHE_WRITE_INPUT_TOKENS,  # DashScope
    "text_tokens": names.TEXT_INPUT_TOKENS,
    "audio_tokens": names.AUDIO_INPUT_TOKENS,
    "image_tokens": names.IMAGE_INPUT_TOKENS,
}
_OF_OUTPUT: Final = {
    "reasoning_tokens": names.REASONING_OUTPUT_TOKENS,
    "text_tokens": names.TEXT_OUTPUT_TOKENS,
    "audio_tokens": names.AUDIO_OUTPUT_TOKENS,
    "image_tokens": names.IMAGE_OUTPUT_TOKENS,
}
_OF_CACHED: Final = {
    "text_tokens": names.TEXT_CACHE_READ_INPUT_TOKENS,
    "audio_tokens": names.AUDIO_CACHE_READ_INPUT_TOKENS,
    "image_tokens": names.IMAGE_CACHE_READ_INPUT_TOKENS,
}
_OF_WRITTEN: Final = {  # Anthropic's, behind LiteLLM, and DashScope's; and OpenAI's
    "ephemeral_5m_input_tokens": names.CACHE_WRITE_5M_INPUT_TOKENS,
    "ephemeral_1h_input_tokens": names.CACHE_WRITE_1H_INPUT_TOKENS,
    "ttl_30m_tokens": names.CACHE_WRITE_30M_INPUT_TOKENS,
    "ttl_12h_tokens": names.CACHE_WRITE_12H_INPUT_TOKENS,
}
_WRITTEN: Final = ("cache_creation_token_details", "cache_creation", "cache_write_tokens_details")
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
    "num_cached_tokens": names.CACHE_READ_INPUT_TOKENS,  # Mistral
    "cache_read_input_tokens": names.CACHE_READ_INPUT_TOKENS,  # Anthropic's names, behind a gateway
    "cache_creation_input_tokens": names.CACHE_WRITE_INPUT_TOKENS,
    "reasoning_tokens": names.REASONING_OUTPUT_TOKENS,  # Perplexity
}


def set_usage(invocation: InferenceInvocation, usage: Any) -> None:
    """Set the tokens of a chat completion, a response or a legacy completion."""
    if usage is None:
        return
    said = known(usage)
    invocation.input_tokens = first_count(said, _INPUT)
    invocation.output_tokens = first_count(said, _OUTPUT)
    # Attributes, not the invocation's fields: those drop a reported zero.
    _set_parts(invocation.attributes, said)


def fetched_usage(usage: Any) -> dict[str, int]:
    """Return the tokens of a response as attributes of the fetch that brought them."""
    said, found = known(usage), dict[str, int]()
    for attribute, wanted in ((names.INPUT_TOKENS, _INPUT), (names.OUTPUT_TOKENS, _OUTPUT)):
        if (tokens := first_count(said, wanted)) is not None:
            found[attribute] = tokens
    _set_parts(found, said)
    return {
        names.FETCHED_USAGE + name.removeprefix("gen_ai.usage.").removeprefix(names.FETCHED_USAGE): tokens
        for name, tokens in found.items()
    }


def _set_parts(attributes: dict[str, Any], said: Mapping[str, Any]) -> None:
    undetailed = False
    for place, value in said.items():
        if value is None:
            continue
        if (wanted := _DETAILS.get(place)) is not None:
            details = known(value)
            _set_details(attributes, details, wanted)
            if (cached := details.get("cached_tokens_details")) is not None:  # of a realtime response
                _set_details(attributes, known(cached), _OF_CACHED)
            for name in _WRITTEN:
                if (written := details.get(name)) is not None:
                    _set_details(attributes, known(written), _OF_WRITTEN)
        elif place in _UNDETAILED:
            undetailed = True
    if undetailed:
        _set_details(attributes, said, _UNDETAILED)


def _set_details(attributes: dict[str, Any], said: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    for name, value in said.items():
        if value is not None and name in wanted and (tokens := count(value)) is not None:
            attributes.setdefault(wanted[name], tokens)


def first_count(said: Mapping[str, Any], wanted: tuple[str, ...]) -> int | None:
    """Return the first number of tokens that is told under one of these names."""
    for name in wanted:
        if (value := said.get(name)) is not None and (tokens := count(value)) is not None:
            return tokens
    return None
