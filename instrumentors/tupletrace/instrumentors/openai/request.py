"""What a call sends: its keyword arguments, without what only the client library reads."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from openai import NotGiven
from openai._types import Omit  # pyright: ignore[reportPrivateUsage] - public only since 1.100
from opentelemetry.util.genai.invocation import EmbeddingInvocation, InferenceInvocation

from tupletrace.instrumentors.openai.fields import field, items, number, text
from tupletrace.semconv import names

Params = Mapping[str, Any]
FORMATS: Final = ("modalities", "response_format", "text_format", "text")
"""Parameters that may ask for another output than text."""
_NOT_SENT: Final = frozenset({NotGiven, Omit})
_MODALITIES: Final = {"audio": "speech", "image": "image"}
_MAX_TOKENS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


def sent(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that go over the wire; ``extra_body`` wins, as it does in the client."""
    extra = kwargs.get("extra_body")
    merged = {**kwargs, **extra} if isinstance(extra, Mapping) else kwargs
    return {
        name: value for name, value in merged.items() if value is not None and type(value) not in _NOT_SENT
    }


def describe_inference(invocation: InferenceInvocation, params: Params) -> None:
    """Set the request's facts of chat completions, responses and legacy completions."""
    for name in params:
        if (known := _FACTS.get(name)) is not None:
            fact, read = known
            if (value := read(params[name])) is not None:
                setattr(invocation, fact, value)
    if not params.keys().isdisjoint(_MAX_TOKENS):
        limits = (_integer(params.get(name)) for name in _MAX_TOKENS)
        invocation.max_tokens = next((limit for limit in limits if limit is not None), None)
    if not params.keys().isdisjoint(FORMATS):
        invocation.output_type = _output_type(params)
    tier = text(params.get("service_tier"))
    if tier is not None and tier != "auto":
        invocation.attributes[names.OPENAI_REQUEST_SERVICE_TIER] = tier


def describe_embedding(invocation: EmbeddingInvocation, params: Params) -> None:
    """Set the request's facts of embeddings."""
    dimensions = number(params.get("dimensions"))
    invocation.dimension_count = None if dimensions is None else int(dimensions)
    encoding = text(params.get("encoding_format"))
    invocation.encoding_formats = None if encoding is None else [encoding]


def conversation_id(params: Params) -> str | None:
    """Return the id of ``conversation``, which is a string or ``{"id": ...}``."""
    if (conversation := params.get("conversation")) is None:
        return None
    return text(conversation) or text(field(conversation, "id"))


def _stop_sequences(stop: Any) -> list[str] | None:
    sequences = [stop] if isinstance(stop, str) else [item for item in items(stop) if isinstance(item, str)]
    return sequences or None


def _float(value: Any) -> float | None:
    return None if (said := number(value)) is None else float(said)


def _integer(value: Any) -> int | None:
    return None if (said := number(value)) is None else int(said)


def _choices(value: Any) -> int | None:
    return None if (said := _integer(value)) == 1 else said


def _output_type(params: Params) -> str | None:
    for modality in items(params.get("modalities")):
        if (kind := _MODALITIES.get(text(modality) or "")) is not None:
            return kind
    wanted = params.get("response_format") or params.get("text_format") or field(params, "text", "format")
    if isinstance(wanted, type):
        return "json"
    kind = text(wanted) or text(field(wanted, "type"))
    return "json" if kind in ("json_object", "json_schema") else kind


_FACTS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "temperature": ("temperature", _float),
    "top_p": ("top_p", _float),
    "frequency_penalty": ("frequency_penalty", _float),
    "presence_penalty": ("presence_penalty", _float),
    "top_k": ("top_k", _integer),
    "seed": ("seed", _integer),
    "n": ("request_choice_count", _choices),
    "stop": ("stop_sequences", _stop_sequences),
    "stream": ("request_stream", lambda said: said is True or None),
    "reasoning": ("reasoning_level", lambda said: text(field(said, "effort"))),
    "reasoning_effort": ("reasoning_level", text),
    "previous_response_id": ("previous_response_id", text),
}
"""The invocation's facts by the parameter that says them, and how they are read from it."""
