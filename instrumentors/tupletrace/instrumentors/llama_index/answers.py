"""What a provider's answer says: id, model, why it stopped, and the tokens exactly as reported."""

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.llama_index.models import field
from tupletrace.semconv import names

_INPUT: Final = ("prompt_tokens", "input_tokens", "inputTokens", "prompt_token_count", "prompt_eval_count")
_OUTPUT: Final = (
    "completion_tokens",
    "output_tokens",
    "outputTokens",
    "candidates_token_count",
    "eval_count",
)
_FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "function_call": "tool_call",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
}
"""A provider's word -> the conventions'."""


class Answer:
    """Gathers what the chunks of one answer report, in any provider's spelling."""

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.model: str | None = None
        self.finish_reasons: dict[int, str] = {}
        self.usage: dict[str, int] = {}
        self.openai: dict[str, str] = {}

    def take(self, response: Any) -> None:
        """Take what a LlamaIndex response, or one chunk of it, carries from the provider."""
        raw = field(response, "raw")
        if raw is not None:
            # An event of OpenAI's Responses API carries the response that it completes.
            event = field(raw, "response")
            self._take_raw(raw if event is None or isinstance(event, str) else event)
        if "input" not in self.usage:
            counts = field(response, "additional_kwargs")
            if isinstance(counts, Mapping):
                self.usage.update(_usage(counts))

    def _take_raw(self, raw: Any) -> None:
        self.response_id = _text(field(raw, "id")) or self.response_id
        self.model = _text(field(raw, "model")) or _text(field(raw, "model_version")) or self.model
        for key, name in (
            ("system_fingerprint", names.OPENAI_SYSTEM_FINGERPRINT),
            ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
        ):
            if (value := _text(field(raw, key))) is not None:
                self.openai[name] = value
        for position, choice in enumerate(_items(field(raw, "choices"))):
            reason = _text(field(choice, "finish_reason"))
            if reason is not None:
                self.finish_reasons[field(choice, "index") or position] = _FINISH_REASONS.get(reason, reason)
        if (reason := _text(field(raw, "stop_reason")) or _text(field(raw, "done_reason"))) is not None:
            self.finish_reasons[0] = _FINISH_REASONS.get(reason, reason)
        usage = field(raw, "usage") or field(raw, "usage_metadata") or field(field(raw, "message"), "usage")
        self.usage.update(_usage(usage if usage is not None else raw))

    def write(self, invocation: InferenceInvocation) -> None:
        """Write what was reported; what was not stays for the client's own instrumentation to fill."""
        invocation.response_id = self.response_id
        invocation.response_model_name = self.model
        if self.finish_reasons:
            invocation.finish_reasons = [self.finish_reasons[index] for index in sorted(self.finish_reasons)]
        invocation.input_tokens = self.usage.get("input")
        invocation.output_tokens = self.usage.get("output")
        # util-genai leaves a count of zero out of these.
        _set(invocation.attributes, names.CACHE_READ_INPUT_TOKENS, self.usage.get("cache_read"))
        _set(invocation.attributes, names.CACHE_WRITE_INPUT_TOKENS, self.usage.get("cache_write"))
        _set(invocation.attributes, names.REASONING_OUTPUT_TOKENS, self.usage.get("reasoning"))
        invocation.attributes.update(self.openai)


def reports(raw: Any) -> bool:
    """Tell whether a chunk from the provider holds more than text; asked of every one, so it is quick."""
    if raw is None:
        return False
    if field(raw, "usage") is not None:
        return True
    choices = field(raw, "choices")
    return bool(choices) and field(choices[0], "finish_reason") is not None


def _usage(usage: Any) -> dict[str, int]:
    """Return the counts that are reported, under our names; input includes what was cached."""
    inputs = field(usage, "prompt_tokens_details") or field(usage, "input_tokens_details")
    outputs = field(usage, "completion_tokens_details") or field(usage, "output_tokens_details")
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    counts = {
        "input": _count(usage, *_INPUT),
        "output": _count(usage, *_OUTPUT),
        "cache_read": _first(
            read, _count(inputs, "cached_tokens"), _count(usage, "cached_content_token_count")
        ),
        "cache_write": _first(written, _count(inputs, "cache_write_tokens")),
        "reasoning": _first(_count(outputs, "reasoning_tokens"), _count(usage, "thoughts_token_count")),
    }
    if counts["input"] is not None:
        # Anthropic counts what came from or went to its cache apart from the input.
        counts["input"] += (read or 0) + (written or 0)
    if counts["output"] is not None:
        counts["output"] += _count(usage, "thoughts_token_count") or 0
    return {name: count for name, count in counts.items() if count is not None}


def _count(holder: Any, *spellings: str) -> int | None:
    if holder is None:
        return None
    for spelling in spellings:
        value = field(holder, spelling)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _text(value: Any) -> str | None:
    value = getattr(value, "value", value)
    return value if isinstance(value, str) and value else None


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _set(attributes: MutableMapping[str, Any], name: str, count: int | None) -> None:
    if count is not None:
        attributes[name] = count
