"""LangChain messages as util-genai's: roles and static texts always, parts only when content is captured."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.util.genai.types import (
    InputMessage,
    MessagePart,
    OutputMessage,
    ReasoningPart,
    TextPart,
    ToolCallRequestPart,
    ToolCallResponsePart,
    UriPart,
)

_ROLES: Final = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "function": "tool",
}


_BASE: Final = "langchain_core.messages.base"
_PROMPT_VALUES: Final = "langchain_core.prompt_values"
_PLAIN: Final = frozenset({"bson.objectid", "datetime", "decimal", "pathlib", "uuid"})
"""Modules whose objects are their text."""


def role_of(message: Any) -> str:
    """Return the OpenTelemetry role of a LangChain message."""
    if declared := (message.additional_kwargs or {}).get("__openai_role__"):
        return str(declared)
    if message.type in ("chat", "ChatMessageChunk"):
        return str(message.role)
    return _ROLES.get(message.type) or str(message.type)


def text_of(message: Any) -> str:
    """Return the text of a message, its text blocks joined."""
    content = message.content
    if isinstance(content, str):
        return content
    blocks = [block if isinstance(block, str) else block.get("text") for block in content]
    return "\n".join(block for block in blocks if isinstance(block, str))


def instructions(messages: Iterable[Any]) -> list[tuple[str, str]]:
    """Return ``(role, text)`` of the system and developer messages."""
    roles = ((role_of(message), message) for message in messages)
    return [(role, text_of(message)) for role, message in roles if role in ("system", "developer")]


def input_messages(messages: Iterable[Any]) -> list[InputMessage]:
    """Convert what a model was given."""
    return [InputMessage(role_of(message), _parts(message), name=message.name) for message in messages]


def output_messages(messages: Iterable[Any]) -> list[OutputMessage]:
    """Convert what a model, graph or chain answered."""
    return [OutputMessage(role_of(message), _parts(message), name=message.name) for message in messages]


def is_message(value: Any) -> bool:
    """Say whether a value is a message of LangChain's, without asking it anything."""
    return any(kind.__module__ == _BASE and kind.__name__ == "BaseMessage" for kind in type(value).__mro__)


def messages_in(value: Any) -> list[Any] | None:
    """Return the messages of a graph's state, a prompt value or a list; None if it is something else."""
    if isinstance(value, Mapping):
        value = value.get("messages")
    elif any(kind.__module__ == _PROMPT_VALUES for kind in type(value).__mro__):
        value = value.to_messages()
    elif is_message(value):
        value = [value]
    if isinstance(value, (list, tuple)) and all(map(is_message, value)):
        return list(value)
    return None


def any_input(value: Any) -> list[InputMessage]:
    """Convert the input of a chain or graph, whatever it is."""
    messages = messages_in(value)
    if messages is not None:
        return input_messages(messages)
    return [InputMessage("user", [TextPart(as_text(value))])]


def any_output(value: Any) -> list[OutputMessage]:
    """Convert the output of a chain or graph; of a conversation, its last message."""
    messages = messages_in(value)
    if messages is not None:
        return output_messages(messages[-1:])
    return [OutputMessage("assistant", [TextPart(as_text(value))])]


def as_text(value: Any) -> str:
    """Return a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return what JSON can hold of an object, none of whose own code runs."""
    kind = type(value)
    if kind.__module__ in _PLAIN:
        return str(value)
    if is_message(value):
        return {"role": role_of(value), "content": value.content}
    if kind.__dictoffset__ and (dataclasses.is_dataclass(kind) or "__pydantic_fields__" in vars(kind)):
        return object.__getattribute__(value, "__dict__")
    return list(value) if kind in (set, frozenset) else f"<{kind.__qualname__}>"


def _parts(message: Any) -> list[MessagePart]:
    call_id = getattr(message, "tool_call_id", None)
    if call_id is not None:
        return [ToolCallResponsePart(response=message.content, id=call_id)]
    parts = [TextPart(message.content)] if isinstance(message.content, str) else _blocks(message.content)
    calls = getattr(message, "tool_calls", None) or ()
    return [
        *(part for part in parts if not isinstance(part, TextPart) or part.content),
        *(ToolCallRequestPart(arguments=call["args"], name=call["name"], id=call["id"]) for call in calls),
    ]


def _blocks(content: Iterable[Any]) -> list[MessagePart]:
    parts = [_block(block) for block in content]
    return [part for part in parts if part is not None]


def _block(block: Any) -> MessagePart | None:
    if isinstance(block, str):
        return TextPart(block)
    match block.get("type"):
        case "text" | "output_text":
            return TextPart(str(block.get("text", "")))
        case "reasoning" | "thinking":
            return ReasoningPart(str(block.get("reasoning") or block.get("thinking") or ""))
        case "image_url" | "image":
            image: Any = block.get("image_url") or block.get("url")
            uri: Any = image.get("url") if isinstance(image, Mapping) else image
            # Inlined images would be megabytes on a span.
            inlined = not isinstance(uri, str) or uri.startswith("data:")
            return None if inlined else UriPart(mime_type=None, modality="image", uri=uri)
        case _:
            return None
