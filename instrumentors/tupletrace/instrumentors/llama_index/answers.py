"""What a provider's answer says: id, model, why it stopped, and the tokens exactly as reported."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.util.genai.invocation import InferenceInvocation

from tupletrace.instrumentors.llama_index.models import field, is_mapping
from tupletrace.instrumentors.llama_index.usage import Usage
from tupletrace.semconv import names

_FINISH: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason", "completionReason")
_FINISH_REASONS: Final[Mapping[str, str]] = {
    "complete": "stop",
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "eos_token": "stop",
    "finish": "stop",
    "guardrail_intervened": "content_filter",
    "max_tokens": "length",
    "safety": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
"""A provider's word, in lower case -> OpenAI's, so that a client's own instrumentation says the same."""
_REPORTING: Final = frozenset(
    {
        *_FINISH,
        "candidates",
        "done",
        "message",
        "meta",
        "prompt_eval_count",
        "response",
        "usage",
        "usage_metadata",
        "x_groq",
    }
)
"""What of a chunk, when it is set, says more than text; and ``choices``, when one of them has ended."""


class Answer:
    """Gathers what the chunks of one answer report, in any provider's spelling."""

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.model: str | None = None
        self.finish_reasons: dict[int, str] = {}
        self.usage = Usage()
        self.openai: dict[str, str] = {}

    def take(self, response: Any) -> None:
        """Take what a LlamaIndex response, or one chunk of it, carries from the provider."""
        raw = field(response, "raw")
        if raw is not None:
            # An event of OpenAI's Responses API carries the response that it completes.
            event = field(raw, "response")
            self._take_raw(raw if event is None or isinstance(event, str) else event)
        if not self.usage.known and isinstance(counts := field(response, "additional_kwargs"), Mapping):
            self.usage.take(counts)

    def _take_raw(self, raw: Any) -> None:
        # Anthropic's first event carries the message that it begins.
        for said in (raw, field(raw, "message")):
            self.response_id = (
                _text(field(said, "id")) or _text(field(said, "response_id")) or self.response_id
            )
            model = _text(field(said, "model")) or _text(field(said, "model_version"))
            self.model = model or self.model
        for key, name in (
            ("system_fingerprint", names.OPENAI_SYSTEM_FINGERPRINT),
            ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
        ):
            if (value := _text(field(raw, key))) is not None:
                self.openai[name] = value
        several = (_items(field(raw, name)) for name in ("choices", "candidates", "results"))
        answers = next((items for items in several if items), [])
        for position, answer in enumerate(answers or (raw, field(raw, "delta"))):
            reason = next((text for key in _FINISH if (text := _text(field(answer, key)))), None)
            if reason is not None:
                index = (field(answer, "index") or position) if answers else 0
                self.finish_reasons[index] = _FINISH_REASONS.get(reason.lower(), reason.lower())
        self.usage.take(raw)

    def write(self, invocation: InferenceInvocation) -> None:
        """Write what was reported; what was not stays for the client's own instrumentation to fill."""
        invocation.response_id = self.response_id
        invocation.response_model_name = self.model
        if self.finish_reasons:
            invocation.finish_reasons = [self.finish_reasons[index] for index in sorted(self.finish_reasons)]
        self.usage.write(invocation)
        invocation.attributes.update(self.openai)


def reports(raw: Any) -> bool:
    """Tell whether a chunk from the provider holds more than text; asked of every one, so it is quick."""
    if raw is None:
        return False
    for name in _REPORTING.intersection(raw) if is_mapping(type(raw)) else _declared_fields(type(raw)):
        if field(raw, name):
            return True
    choices = field(raw, "choices")
    return bool(choices) and field(choices[0], "finish_reason") is not None


@functools.lru_cache(maxsize=256)
def _declared_fields(kind: type) -> frozenset[str]:
    """Return what of it a class may hold: a pydantic model says so, any other may hold it all."""
    declared = getattr(kind, "model_fields", None)
    return _REPORTING if declared is None else _REPORTING.intersection(declared)


def _text(value: Any) -> str | None:
    value = getattr(value, "value", value)
    return value if isinstance(value, str) and value else None


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
