"""Tokens as the provider reported them: a reported 0 stays 0, what was not reported stays absent."""

from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.openai.fields import count, field
from tupletrace.semconv import names

_Paths = tuple[tuple[str, ...], ...]
_INPUT: Final[_Paths] = (("input_tokens",), ("prompt_tokens",))
_OUTPUT: Final[_Paths] = (("output_tokens",), ("completion_tokens",))
_DETAILS: Final[tuple[tuple[str, _Paths], ...]] = (
    (
        names.CACHE_READ_INPUT_TOKENS,
        (
            ("input_tokens_details", "cached_tokens"),
            ("prompt_tokens_details", "cached_tokens"),
            ("prompt_cache_hit_tokens",),  # DeepSeek
            ("cached_tokens",),  # Moonshot
        ),
    ),
    (
        names.CACHE_WRITE_INPUT_TOKENS,
        (("input_tokens_details", "cache_write_tokens"), ("prompt_tokens_details", "cache_write_tokens")),
    ),
    (
        names.REASONING_OUTPUT_TOKENS,
        (
            ("output_tokens_details", "reasoning_tokens"),
            ("completion_tokens_details", "reasoning_tokens"),
            ("reasoning_tokens",),  # Perplexity
        ),
    ),
    (
        names.AUDIO_INPUT_TOKENS,
        (("input_tokens_details", "audio_tokens"), ("prompt_tokens_details", "audio_tokens")),
    ),
    (
        names.AUDIO_OUTPUT_TOKENS,
        (("output_tokens_details", "audio_tokens"), ("completion_tokens_details", "audio_tokens")),
    ),
)


def set_usage(invocation: InferenceInvocation, usage: Any) -> None:
    """Set the tokens of a chat completion, a response or a legacy completion."""
    if usage is None:
        return
    invocation.input_tokens = _first(usage, _INPUT)
    invocation.output_tokens = _first(usage, _OUTPUT)
    for name, paths in _DETAILS:
        tokens = _first(usage, paths)
        if tokens is not None:
            # An attribute, not the invocation's field: that one drops a reported zero.
            invocation.attributes[name] = tokens


def _first(usage: Any, paths: _Paths) -> int | None:
    return next((found for path in paths if (found := count(field(usage, *path))) is not None), None)
