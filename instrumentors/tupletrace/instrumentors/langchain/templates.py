"""What a prompt template consists of, as a version that changes when and only when the template does."""

import functools
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tupletrace.instrumentors.langchain.messages import role_of
from tupletrace.semconv import fingerprint

Text = tuple[str, str]
_ROLES: Final = {
    "SystemMessagePromptTemplate": "system",
    "HumanMessagePromptTemplate": "user",
    "AIMessagePromptTemplate": "assistant",
}


def given_name(template: Any, run_name: str | None) -> str | None:
    """Return the name that the user gave the template, if it is not just its class."""
    metadata = template.metadata or {}
    named = metadata.get("prompt_name") or metadata.get("name") or template.name
    if named:
        return str(named)
    return run_name if run_name and run_name != type(template).__name__ else None


def version_of(template: Any, texts: Sequence[Text]) -> str:
    """Fingerprint roles, template texts, examples and names of partial variables, never any value."""
    all_texts = [*texts]
    if partials := sorted(template.partial_variables):
        all_texts.append(("partials", ",".join(partials)))
    if "schema_" in _fields(type(template)) and template.schema_:
        all_texts.append(("schema", _schema_text(template.schema_)))
    return _version(tuple(all_texts), ",".join(sorted(_formats(template))) or "f-string")


@functools.lru_cache(maxsize=512)
def _version(texts: tuple[Text, ...], template_format: str) -> str:
    return fingerprint.template_version(texts, template_format)


def messages_of(template: Any) -> Sequence[Any]:
    """Return the messages, templates of messages and placeholders of a chat template; of others, nothing."""
    return template.messages if "messages" in _fields(type(template)) else ()


def texts_of(template: Any) -> list[Text]:
    """Return role and text of what a template consists of."""
    fields = _fields(type(template))
    if "messages" in fields:
        return [text for message in template.messages for text in _message(message)]
    if "example_prompt" in fields:
        return list(_few_shot(template))
    return [("user", _text(template))]


@functools.lru_cache(maxsize=512)
def _fields(kind: type) -> frozenset[str]:
    # Asking pydantic's objects for what they have not is slow.
    return frozenset(getattr(kind, "model_fields", ()))


def _message(message: Any) -> Sequence[Text]:
    fields = _fields(type(message))
    if "content" in fields:
        content = message.content
        return ((role_of(message), content if isinstance(content, str) else _json(content)),)
    if "variable_name" in fields:
        return (("placeholder", message.variable_name),)
    if "prompt" in fields:
        parts = message.prompt
        text = "\n".join(_text(part) for part in parts) if isinstance(parts, list) else _text(parts)
        return ((_role(type(message)) or str(getattr(message, "role", type(message).__name__)), text),)
    return texts_of(message)


def _few_shot(template: Any) -> Iterable[Text]:
    yield "prefix", _text(getattr(template, "prefix", ""))
    for role, text in texts_of(template.example_prompt):
        yield f"example:{role}", text
    selector = getattr(template, "example_selector", None)
    yield "examples", _json(template.examples) if selector is None else type(selector).__qualname__
    yield "suffix", _text(getattr(template, "suffix", ""))


def _text(part: Any) -> str:
    if part is None or isinstance(part, str):
        return part or ""
    if "template" not in _fields(type(part)):
        return type(part).__qualname__
    text = part.template
    return text if isinstance(text, str) else _json(text)


@functools.lru_cache(maxsize=512)
def _role(kind: type) -> str | None:
    return next((_ROLES[parent.__name__] for parent in kind.__mro__ if parent.__name__ in _ROLES), None)


def _formats(template: Any) -> set[str]:
    found: set[str] = set()
    for message in messages_of(template) or (template,):
        prompts = message.prompt if "prompt" in _fields(type(message)) else message
        for part in prompts if isinstance(prompts, list) else (prompts,):
            if "template_format" in _fields(type(part)):
                found.add(part.template_format)
    return found


def _schema_text(schema: Any) -> str:
    describe = getattr(schema, "model_json_schema", None)
    return _json(describe() if describe is not None else schema)


def _json(value: Any) -> str:
    # An object is known by its class: its text may be its address in memory.
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=lambda one: type(one).__qualname__)
