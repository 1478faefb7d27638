"""Tokens as a provider's own answer reports them, in any provider's spelling."""

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.llama_index.models import field
from tupletrace.semconv import names

_HOLDERS: Final = ("usage", "usage_metadata", "meta")
_AROUND: Final = ("message", "x_groq")
"""What holds the usage in its turn: Anthropic's first event, Groq's last chunk."""
_BELOW: Final = ("billed_units", "tokens")
"""Cohere's two counts: what it bills comes before what it read."""
_INPUT: Final = (
    "prompt_tokens",
    "prompt_token_count",
    "prompt_eval_count",
    "inputTextTokenCount",
    "input_token_count",
)
_DISJOINT_INPUT: Final = ("input_tokens", "inputTokens")
"""Anthropic and Bedrock count what came from or went to their caches apart from these."""
_OUTPUT: Final = (
    "completion_tokens",
    "output_tokens",
    "outputTokens",
    "candidates_token_count",
    "eval_count",
    "generation_token_count",
    "generated_token_count",
    "tokenCount",
)
_CACHE_READ: Final = (
    "cache_read_input_tokens",
    "cacheReadInputTokens",
    "cached_content_token_count",
    "prompt_cache_hit_tokens",
)
_CACHE_WRITE: Final = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")


class Usage:
    """The counts of one answer, each as its latest report has it; what is not reported stays unset."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    @property
    def known(self) -> bool:
        """Whether the input was counted."""
        return "input" in self._counts or "uncached" in self._counts

    def take(self, raw: Any) -> None:
        """Take the counts of a provider's answer, or of an event of one."""
        counts: dict[str, int] = {}
        for holder in _holders(raw):
            counts = _counts(holder) | counts
            if "output" in counts and len(counts) > 1:
                break
        self._counts.update(counts)

    def write(self, invocation: InferenceInvocation) -> None:
        """Write what was reported; what was not stays for the client's own instrumentation to fill."""
        counts = self._counts
        invocation.input_tokens = counts.get("input")
        if invocation.input_tokens is None and "uncached" in counts:
            apart = counts.get("cache_read", 0) + counts.get("cache_write", 0)
            invocation.input_tokens = counts["uncached"] + apart
        invocation.output_tokens = counts.get("output")
        # util-genai leaves a count of zero out of these.
        for name, key in (
            (names.CACHE_READ_INPUT_TOKENS, "cache_read"),
            (names.CACHE_WRITE_INPUT_TOKENS, "cache_write"),
            (names.CACHE_WRITE_5M_INPUT_TOKENS, "cache_write_5m"),
            (names.CACHE_WRITE_1H_INPUT_TOKENS, "cache_write_1h"),
            (names.REASONING_OUTPUT_TOKENS, "reasoning"),
        ):
            if key in counts:
                invocation.attributes[name] = counts[key]


def _holders(raw: Any) -> Iterator[Any]:
    """Yield what may hold counts, the better first."""
    for around in (raw, *(inner for name in _AROUND if (inner := field(raw, name)) is not None)):
        for name in _HOLDERS:
            holder = field(around, name)
            if holder is not None:
                yield from (below for one in _BELOW if (below := field(holder, one)) is not None)
                yield holder
    yield raw
    results = field(raw, "results")
    if isinstance(results, list) and results:
        yield results[0]


def _counts(usage: Any) -> dict[str, int]:
    inputs = _first(*(field(usage, name) for name in _INPUT_DETAILS))
    outputs = _first(*(field(usage, name) for name in _OUTPUT_DETAILS))
    thoughts, output = _count(usage, "thoughts_token_count"), _count(usage, *_OUTPUT)
    lifetimes = field(usage, "cache_creation")
    counts = {
        "input": _sum(_count(usage, *_INPUT), _count(usage, "tool_use_prompt_token_count")),
        "output": _sum(output, thoughts),
        "cache_read": _first(_count(usage, *_CACHE_READ), _count(inputs, "cached_tokens")),
        "cache_write": _first(_count(usage, *_CACHE_WRITE), _count(inputs, "cache_write_tokens")),
        "cache_write_5m": _count(lifetimes, "ephemeral_5m_input_tokens"),
        "cache_write_1h": _count(lifetimes, "ephemeral_1h_input_tokens"),
        "reasoning": _first(_count(outputs, "reasoning_tokens", "thinking_tokens"), thoughts),
    }
    if counts["cache_write"] is None:
        counts["cache_write"] = _sum(counts["cache_write_5m"], counts["cache_write_1h"])
    if counts["input"] is None:
        # OpenAI's responses spell it alike, and say in the details what of it was cached.
        counts["input" if inputs is not None else "uncached"] = _count(usage, *_DISJOINT_INPUT)
    return {name: count for name, count in counts.items() if count is not None}


def _count(holder: Any, *spellings: str) -> int | None:
    if holder is None:
        return None
    for spelling in spellings:
        value = field(holder, spelling)
        # Cohere counts in floats.
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
