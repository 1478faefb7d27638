"""Which prompt a call uses: named by the call, declared by the program, or derived from its static text."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.context import Context

from tupletrace.instrumentors.context import declared_prompt
from tupletrace.instrumentors.identity import Prompt, static_prompt
from tupletrace.instrumentors.openai.fields import field, items, text
from tupletrace.instrumentors.openai.request import FORMATS, Params

Texts = list[tuple[str, str]]
_STATIC_ROLES: Final = ("system", "developer")
_schemas: Final[WeakKeyDictionary[type, Any]] = WeakKeyDictionary()


def prompt_of(
    params: Params, static_texts: Callable[[Params], Texts] | None, context: Context | None = None
) -> Prompt | None:
    """Return the prompt that is known before the answer; to be called on the caller's own stack."""
    stored = params.get("prompt")
    prompt = (None if stored is None else named_prompt(stored)) or declared_prompt(context)
    # What a stored prompt without a version says is on the server; its answer may tell.
    if prompt is not None or isinstance(stored, Mapping) or static_texts is None:
        return prompt
    return static_prompt(static_texts(params), response_schema=_response_schema(params))


def named_prompt(reference: Any) -> Prompt | None:
    """Return the stored prompt that ``{"id": ..., "version": ...}`` names in full, sent or echoed."""
    identity, version = text(field(reference, "id")), text(field(reference, "version"))
    return Prompt(identity, version, "declared") if identity and version else None


def chat_texts(params: Params) -> Texts:
    """Return the static texts of ``messages``."""
    return _static_texts(params.get("messages"))


def responses_texts(params: Params) -> Texts:
    """Return ``instructions`` and the static texts of ``input``."""
    instructions = text(params.get("instructions"))
    leading: Texts = [("system", instructions)] if instructions else []
    return leading + _static_texts(params.get("input"))


def _static_texts(messages: Any) -> Texts:
    texts: Texts = []
    for message in items(messages):
        role = message.get("role") if type(message) is dict else field(message, "role")
        if role in _STATIC_ROLES:
            texts += [(role, part) for part in _texts(field(message, "content"))]
    return texts


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    return [part for item in items(content) if (part := text(field(item, "text")))]


def _response_schema(params: Params) -> dict[str, Any] | None:
    """Reduce each way of asking for structured output to what the model sees: name, description, schema."""
    if params.keys().isdisjoint(FORMATS):
        return None
    wanted = params.get("response_format") or params.get("text_format") or field(params, "text", "format")
    if isinstance(wanted, type):
        wanted = _schema_of(wanted)
    schema = field(wanted, "json_schema") or wanted
    if not isinstance(schema, Mapping) or not isinstance(field(schema, "schema"), Mapping):
        return None
    return {key: schema[key] for key in ("name", "description", "schema") if schema.get(key) is not None}


def _schema_of(model: type) -> Any:
    if model not in _schemas:
        # The client's own rule, so that `parse` and `create` with the same schema are one version.
        from openai.lib._parsing import type_to_response_format_param

        _schemas[model] = type_to_response_format_param(model)
    return _schemas[model]
